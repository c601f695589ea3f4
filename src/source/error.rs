// SPDX-License-Identifier: Apache-2.0
//! Words for what can go wrong between us and etcd: one sentence and one hint for each.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::error::{Code, Fault};

/// A port took the connection and said nothing.
#[derive(Debug)]
pub(super) struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer")
    }
}

impl Error for NoAnswer {}

/// An error, and what is behind it.
pub(super) fn chain<'a>(e: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(e);
    std::iter::from_fn(move || {
        let now = next?;
        next = now.source();
        Some(now)
    })
}

/// The chain of an error in one line, each cause once.
pub(super) fn describe(e: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for text in chain(e).map(ToString::to_string) {
        if !said.iter().any(|s| s.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

/// What an error of the transport means to an operator.
pub(super) fn explain(
    endpoint: &str,
    unit: &str,
    e: &(dyn Error + 'static),
    ca: &Path,
    cert: &Path,
) -> anyhow::Error {
    let said = describe(e);
    let io = chain(e).find_map(|e| e.downcast_ref::<io::Error>()).map(io::Error::kind);
    let has = |words: &[&str]| words.iter().any(|w| said.contains(w));
    let not_running = format!(
        "Is it running? See 'systemctl status {}'. etcd's address is taken from server/db/etcd/config; --etcd-endpoints names \
         another.",
        short(unit)
    );
    if has(&["Unimplemented", "unknown service"]) {
        return Fault::new(
            Code::NotEtcd,
            format!("the datastore at {endpoint} is not etcd: it cannot give a snapshot"),
        )
        .hint("A server with SQLite or an external database has no etcd snapshots; back that database up by its own means.")
        .into();
    }
    // A certificate of theirs that we do not trust, before one of ours that they do not: both may be named.
    if has(&["invalid peer certificate", "UnknownIssuer", "NotValidForName", "BadSignature"]) {
        return Fault::new(
            Code::EtcdCertificateUntrusted,
            format!(
                "the server at {endpoint} showed a certificate that '{}' did not sign for it ({said})",
                ca.display()
            ),
        )
        .hint("Check that --data-dir belongs to the server that listens there.")
        .into();
    }
    if has(&["received fatal alert", "CertificateRequired", "BadCertificate", "UnknownCA", "bad certificate"])
    {
        return Fault::new(
            Code::EtcdClientCertificateRefused,
            format!("etcd at {endpoint} refused the client certificate '{}' ({said})", cert.display()),
        )
        .hint(
            "Check that certificate and key are a pair, have not expired, and come from this server's data-dir.",
        )
        .into();
    }
    if endpoint.starts_with("http://")
        && has(&[
            "BrokenPipe",
            "broken pipe",
            "frame",
            "FRAME",
            "Connection reset",
            "ConnectionReset",
            "ConnectionAborted",
        ])
    {
        return Fault::new(Code::EtcdNoTls, format!("{endpoint} does not speak etcd's protocol without TLS"))
            .hint("Its etcd is reached by https:// on its client port, usually 2379.")
            .into();
    }
    match io {
        Some(io::ErrorKind::ConnectionRefused) => {
            Fault::new(Code::EtcdUnreachable, format!("nothing listens at {endpoint}"))
                .hint(not_running)
                .into()
        }
        Some(io::ErrorKind::TimedOut) => silent(endpoint, unit),
        _ if has(&["no answer", "deadline", "timed out", "Timeout"]) => silent(endpoint, unit),
        _ if has(&["KeyMismatch", "private key", "pem", "PEM", "certificate"]) => Fault::new(
            Code::CertificateUnusable,
            format!("the certificates for etcd cannot be used ({said})"),
        )
        .hint("Check --etcd-cacert, --etcd-cert and --etcd-key.")
        .into(),
        _ => Fault::new(Code::EtcdError, format!("talking to etcd at {endpoint}: {said}"))
            .hint(not_running)
            .into(),
    }
}

/// Connected, then nothing.
pub(super) fn silent(endpoint: &str, unit: &str) -> anyhow::Error {
    Fault::new(Code::EtcdNoAnswer, format!("etcd at {endpoint} does not answer"))
        .hint(format!("See 'systemctl status {}' and the server's load; then try again.", short(unit)))
        .into()
}

/// The stream stood still.
pub(super) fn stalled(endpoint: &str, limit: Duration) -> anyhow::Error {
    Fault::new(
        Code::EtcdStalled,
        format!("etcd at {endpoint} sent nothing for {} s; nothing was kept", limit.as_secs()),
    )
    .hint("Try again; --stall-timeout sets how long to wait.")
    .into()
}

/// The stream ended before its end.
pub(super) fn broken(endpoint: &str, unit: &str, said: &str) -> anyhow::Error {
    Fault::new(
        Code::EtcdStreamBroken,
        format!("the stream from etcd at {endpoint} broke off: {said}; nothing was kept"),
    )
    .hint(format!("See 'systemctl status {}', then try again.", short(unit)))
    .into()
}

/// A unit as people type it.
fn short(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}
