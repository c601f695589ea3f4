// SPDX-License-Identifier: Apache-2.0
//! Errors between this program and etcd: a code, a message and a hint for each, instead of the text of a library.
//!
//! The libraries have no stable error types for most of this, so errors are recognized by their texts. A new kind of error is a
//! row in `RULES`.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use crate::error::{Code, Fault};

/// The port accepted the connection, and the TLS handshake did not complete in time.
#[derive(Debug)]
pub(super) struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer")
    }
}

impl Error for NoAnswer {}

/// An etcd and the files that were used for it, for messages.
pub(super) struct Peer<'a> {
    /// Its URL.
    pub(super) endpoint: &'a str,
    /// The unit that it belongs to.
    pub(super) unit: &'a str,
    /// The CA certificate.
    pub(super) cacert: &'a Path,
    /// The client certificate.
    pub(super) cert: &'a Path,
}

/// Texts by which an error is recognized, and the fault for it: from the peer and the cause in one line.
struct Rule {
    texts: &'static [&'static str],
    fault: fn(&Peer, &str) -> Fault,
}

/// The first row with a text that is in the error applies. A problem of the server's certificate comes before one of the client
/// certificate: an error may name both.
const RULES: &[Rule] = &[
    Rule { texts: &["Unimplemented", "unknown service"], fault: not_etcd },
    Rule {
        texts: &[
            "certificate expired",
            "certificate not valid yet",
            "peer certificate: Expired",
            "peer certificate: NotValidYet",
        ],
        fault: server_certificate_expired,
    },
    Rule {
        texts: &["invalid peer certificate", "UnknownIssuer", "NotValidForName", "BadSignature"],
        fault: server_certificate_untrusted,
    },
    Rule { texts: &["alert: CertificateExpired"], fault: client_certificate_expired },
    Rule {
        texts: &[
            "received fatal alert",
            "CertificateRequired",
            "BadCertificate",
            "UnknownCA",
            "bad certificate",
        ],
        fault: client_certificate_refused,
    },
];

/// Applies if the connection broke and the URL begins with `http://`: a server that expects TLS ends it.
const NO_TLS: Rule = Rule { texts: &["frame", "FRAME", BROKEN], fault: no_tls };

/// Applied after the kinds of I/O errors.
const LATER_RULES: &[Rule] = &[
    Rule {
        texts: &["no answer", "deadline", "timed out", "Timeout"],
        fault: |peer, _| no_answer(peer.endpoint, peer.unit),
    },
    Rule { texts: &[BROKEN], fault: connection_broken },
    Rule { texts: &["KeyMismatch", "private key", "pem", "PEM", "certificate"], fault: files_unusable },
];

/// The cause of every connection that ended before its time.
const BROKEN: &str = "the connection was closed";

/// Texts of the HTTP/2 library for a connection that ended before its time.
const BROKEN_TEXTS: &[&str] = &[
    "h2 protocol error",
    "broken pipe",
    "connection closed",
    "connection error",
    "connection reset",
    "error reading a body from connection",
    "GoAway",
    "GO_AWAY",
    "close_notify",
    "stream no longer needed",
    "channel closed",
    "operation was canceled",
];

/// An error, and the causes behind it. The etcd client does not give the cause of its own errors.
pub(super) fn chain<'a>(e: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(e);
    std::iter::from_fn(move || {
        let now = next?;
        next = match now.downcast_ref::<etcd_client::Error>() {
            Some(etcd_client::Error::GRpcStatus(status)) => Some(status),
            Some(etcd_client::Error::TransportError(e)) => Some(e),
            Some(etcd_client::Error::IoError(e)) => Some(e),
            _ => now.source(),
        };
        Some(now)
    })
}

/// The cause of an error in a few plain words.
pub(super) fn describe(e: &(dyn Error + 'static)) -> String {
    if let Some(text) = io_kind(e).and_then(describe_kind) {
        return text.to_owned();
    }
    let innermost = chain(e).last().unwrap_or(e);
    let text = match innermost.downcast_ref::<tonic::Status>() {
        // Without a cause it is an answer of etcd, in its own words.
        Some(status) if !status.message().is_empty() => status.message().to_owned(),
        Some(status) => status.code().description().to_owned(),
        None => innermost.to_string(),
    };
    // No text of the HTTP/2 library helps an operator.
    let is_broken = BROKEN_TEXTS.iter().any(|broken| text.contains(broken));
    if is_broken { BROKEN.to_owned() } else { text }
}

fn io_kind(e: &(dyn Error + 'static)) -> Option<ErrorKind> {
    chain(e).filter_map(|e| e.downcast_ref::<io::Error>()).map(io::Error::kind).last()
}

fn describe_kind(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::ConnectionRefused => Some("the connection was refused"),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => Some(BROKEN),
        ErrorKind::TimedOut => Some("the connection timed out"),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some("the host cannot be reached"),
        _ => None,
    }
}

/// The fault for an error of the transport or of a request.
pub(super) fn explain(peer: &Peer, e: &(dyn Error + 'static)) -> Fault {
    let cause = describe(e);
    // Every text of the chain counts, not only the innermost.
    let texts = chain(e).map(ToString::to_string).chain([cause.clone()]).collect::<Vec<_>>().join(": ");
    let applies = |rule: &&Rule| rule.texts.iter().any(|text| texts.contains(text));
    if let Some(rule) = RULES.iter().find(applies) {
        return (rule.fault)(peer, &cause);
    }
    if peer.endpoint.starts_with("http://") && applies(&&NO_TLS) {
        return (NO_TLS.fault)(peer, &cause);
    }
    match io_kind(e) {
        Some(ErrorKind::ConnectionRefused) => {
            return Fault::new(
                Code::EtcdUnreachable,
                format!("connecting to etcd at {}: {cause}", peer.endpoint),
            )
            .hint(start_hint(peer.unit));
        }
        Some(ErrorKind::TimedOut) => return no_answer(peer.endpoint, peer.unit),
        _ => {}
    }
    match LATER_RULES.iter().find(applies) {
        Some(rule) => (rule.fault)(peer, &cause),
        None => Fault::new(Code::EtcdError, format!("asking etcd at {}: {cause}", peer.endpoint))
            .hint(start_hint(peer.unit)),
    }
}

fn not_etcd(peer: &Peer, _: &str) -> Fault {
    let message = format!("the datastore at {} is not etcd and cannot give a snapshot", peer.endpoint);
    Fault::new(Code::NotEtcd, message)
        .hint("A server with an external database has no snapshots of etcd: back up that database with its own tools.")
}

fn server_certificate_expired(peer: &Peer, cause: &str) -> Fault {
    let message = format!("the certificate of etcd at {} is not valid now: {cause}", peer.endpoint);
    Fault::new(Code::EtcdCertificateExpired, message).hint(renew_hint(peer.unit))
}

fn client_certificate_expired(peer: &Peer, _: &str) -> Fault {
    let message = format!(
        "etcd at {} refused the client certificate '{}': it is not valid now",
        peer.endpoint,
        peer.cert.display()
    );
    Fault::new(Code::EtcdCertificateExpired, message).hint(renew_hint(peer.unit))
}

fn server_certificate_untrusted(peer: &Peer, cause: &str) -> Fault {
    let message = format!(
        "the certificate of the server at {} is not signed by '{}': {cause}",
        peer.endpoint,
        peer.cacert.display()
    );
    Fault::new(Code::EtcdCertificateUntrusted, message)
        .hint("Check that --data-dir belongs to the server that listens there.")
}

fn client_certificate_refused(peer: &Peer, cause: &str) -> Fault {
    let message = format!(
        "etcd at {} refused the client certificate '{}': {cause}",
        peer.endpoint,
        peer.cert.display()
    );
    Fault::new(Code::EtcdClientCertificateRefused, message)
        .hint("Check that certificate and key are a pair and come from the data-dir of this server.")
}

fn no_tls(peer: &Peer, _: &str) -> Fault {
    let message = format!("the server at {} does not speak the protocol of etcd without TLS", peer.endpoint);
    Fault::new(Code::EtcdNoTls, message)
        .hint("Use an https:// URL with the client port of etcd, usually 2379.")
}

fn files_unusable(_: &Peer, cause: &str) -> Fault {
    Fault::new(Code::CertificateUnusable, format!("the certificates for etcd cannot be used: {cause}"))
        .hint("Check --etcd-cacert, --etcd-cert and --etcd-key.")
}

fn connection_broken(peer: &Peer, cause: &str) -> Fault {
    Fault::new(Code::EtcdConnectionBroken, format!("asking etcd at {}: {cause}", peer.endpoint))
        .hint(start_hint(peer.unit))
}

/// The member accepted the connection and did not answer in time.
pub(super) fn no_answer(endpoint: &str, unit: &str) -> Fault {
    Fault::new(Code::EtcdNoAnswer, format!("etcd at {endpoint} does not answer"))
        .hint(format!("Check 'systemctl status {}' and the load of the server, then try again.", short(unit)))
}

/// The stream paused for too long.
pub(super) fn stalled(endpoint: &str, limit: Duration) -> Fault {
    Fault::new(
        Code::EtcdStalled,
        format!("etcd at {endpoint} sent nothing for {} s; nothing was kept", limit.as_secs()),
    )
    .hint("Try again, with a longer --stall-timeout if the server is slow.")
}

/// The stream ended before its end.
pub(super) fn broken(endpoint: &str, unit: &str, cause: &str) -> Fault {
    Fault::new(
        Code::EtcdStreamBroken,
        format!("receiving the snapshot from etcd at {endpoint}: {cause}; nothing was kept"),
    )
    .hint(format!("Check 'systemctl status {}', then try again.", short(unit)))
}

fn start_hint(unit: &str) -> String {
    format!(
        "Check with 'systemctl status {}' that K3s runs. The address of etcd comes from server/db/etcd/config; \
         --etcd-endpoints sets another one.",
        short(unit)
    )
}

fn renew_hint(unit: &str) -> String {
    format!(
        "Check the clock with 'date'. If it is right, run 'systemctl restart {}': K3s renews its certificates when it starts.",
        short(unit)
    )
}

/// A unit as it is typed.
fn short(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(endpoint: &str, e: &(dyn Error + 'static)) -> Code {
        let peer =
            Peer { endpoint, unit: "k3s.service", cacert: Path::new("ca.crt"), cert: Path::new("c.crt") };
        explain(&peer, e).code()
    }

    #[test]
    fn each_text_of_a_library_has_its_code() {
        #[rustfmt::skip]
        let rows = [
            ("unknown service etcdserverpb.Maintenance", Code::NotEtcd),
            ("invalid peer certificate: certificate expired: verification time 9 (UNIX), but certificate is not valid after 5", Code::EtcdCertificateExpired),
            ("invalid peer certificate: certificate not valid yet: verification time 5", Code::EtcdCertificateExpired),
            ("invalid peer certificate: Expired", Code::EtcdCertificateExpired),
            ("invalid peer certificate: NotValidYet", Code::EtcdCertificateExpired),
            ("received fatal alert: CertificateExpired", Code::EtcdCertificateExpired),
            ("invalid peer certificate: UnknownIssuer", Code::EtcdCertificateUntrusted),
            ("invalid peer certificate: NotValidForName", Code::EtcdCertificateUntrusted),
            ("received fatal alert: BadCertificate", Code::EtcdClientCertificateRefused),
            ("keys may not be consistent: KeyMismatch", Code::CertificateUnusable),
            ("h2 protocol error: error reading a body from connection", Code::EtcdConnectionBroken),
            ("peer closed connection without sending TLS close_notify: https://docs.rs/rustls/...", Code::EtcdConnectionBroken),
            ("context deadline exceeded", Code::EtcdNoAnswer),
            ("etcdserver: no leader", Code::EtcdError),
        ];
        for (text, wanted) in rows {
            assert_eq!(code("https://h:2379", &io::Error::other(text)), wanted, "{text}");
        }
        assert_eq!(code("http://h:2379", &io::Error::from(ErrorKind::ConnectionReset)), Code::EtcdNoTls);
        assert_eq!(code("https://h", &NoAnswer), Code::EtcdNoAnswer);
        for (kind, wanted) in [
            (ErrorKind::ConnectionRefused, Code::EtcdUnreachable),
            (ErrorKind::TimedOut, Code::EtcdNoAnswer),
            (ErrorKind::ConnectionReset, Code::EtcdConnectionBroken),
            (ErrorKind::UnexpectedEof, Code::EtcdConnectionBroken),
        ] {
            assert_eq!(code("https://h", &io::Error::from(kind)), wanted, "{kind:?}");
        }
    }

    /// A request whose connection broke: the library nests the cause in several errors, and prints all of them.
    #[test]
    fn the_innermost_cause_is_described_and_not_the_text_of_a_library() {
        let io = io::Error::from(ErrorKind::ConnectionReset);
        let status = tonic::Status::from_error(Box::new(io));
        let e = etcd_client::Error::GRpcStatus(status);
        assert!(e.to_string().contains("grpc request error: code: "), "{e}");
        assert_eq!(describe(&e), BROKEN);
        assert_eq!(code("https://h", &e), Code::EtcdConnectionBroken);
        let answer =
            etcd_client::Error::GRpcStatus(tonic::Status::unavailable("etcdserver: request timed out"));
        assert_eq!(describe(&answer), "etcdserver: request timed out");
    }
}
