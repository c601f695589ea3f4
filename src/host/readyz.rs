// SPDX-License-Identifier: Apache-2.0
//! Whether K3s's API server is ready: asks it with the admin's certificate that K3s keeps.
//!
//! On this machine only, without a proxy, once a call; who wants to wait asks again.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::error::{Code, Fault};
use crate::http::agent_config;

/// An answer has a line for each check, some fifty. Of more than this, the rest is not read.
const BODY: u64 = 64 * 1024;
/// A longer line is cut.
const LINE: usize = 200;

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// It is ready.
    Yes,
    /// It answers, and says that it is not: the status, and the first line that says what is missing.
    No(u16, String),
    /// No answer in time, or none that can be trusted, and why.
    NoAnswer(String),
}

impl Ready {
    /// The answer in words.
    pub fn describe(&self) -> String {
        match self {
            Ready::Yes => "it is ready".to_owned(),
            Ready::No(status, line) => format!("it answers {status}: {line}"),
            Ready::NoAnswer(why) => why.clone(),
        }
    }
}

/// Asks the API server at this address of this machine. An error is a certificate file of ours that cannot be used.
pub fn readyz(at: SocketAddr, cert: &Path, key: &Path, ca: &Path, timeout: Duration) -> Result<Ready> {
    let roots = certificates(ca)?;
    let chain = certificates(cert)?;
    let key_pem = read(key)?;
    let key_der = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|e| unusable(key, e))?;
    // ureq takes for granted that they are sound and a pair, and panics where they are not.
    rustls::sign::CertifiedKey::from_der(chain.clone(), key_der, &default_provider())
        .map_err(|e| unusable(key, e))?;
    let own = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
    let identity = ClientCert::new_with_certs(
        &chain.iter().map(own).collect::<Vec<_>>(),
        PrivateKey::from_pem(&key_pem).map_err(|e| unusable(key, e))?,
    );
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots.iter().map(own).collect::<Vec<_>>()))
        .client_cert(Some(identity))
        .build();
    let agent = agent_config().tls_config(tls).timeout_global(Some(timeout)).build().new_agent();
    let address = at.to_string();
    let mut answer = match agent.get(format!("https://{address}/readyz")).call() {
        Ok(answer) => answer,
        Err(e) => return Ok(Ready::NoAnswer(words(&e, &address, timeout))),
    };
    let status = answer.status().as_u16();
    if status == 200 {
        return Ok(Ready::Yes);
    }
    let body = answer.body_mut().with_config().limit(BODY).lossy_utf8(true).read_to_string();
    Ok(Ready::No(status, missing(&body.unwrap_or_default())))
}

/// The first check that failed, else the first line of whatever else was said.
fn missing(body: &str) -> String {
    let failed = body.lines().find_map(|line| line.strip_prefix("[-]"));
    let line = failed.or_else(|| body.lines().find(|line| !line.trim().is_empty())).unwrap_or_default();
    line.trim().chars().filter(|c| !c.is_control()).take(LINE).collect()
}

fn words(e: &ureq::Error, address: &str, timeout: Duration) -> String {
    match e {
        ureq::Error::Timeout(_) => format!("no answer from {address} within {} s", timeout.as_secs()),
        ureq::Error::ConnectionFailed => format!("nothing listens at {address}"),
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {address}")
        }
        e => format!("talking to {address}: {e}"),
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| {
        let (code, hint) = match e.kind() {
            io::ErrorKind::PermissionDenied => (Code::PermissionDenied, "Run it as root."),
            _ => (Code::CertificateUnusable, "Check --data-dir: K3s writes this file when it starts."),
        };
        let text = format!("reading K3s's certificate '{}'", file.display());
        anyhow::Error::from(e).context(Fault::new(code, text).hint(hint))
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|e| unusable(file, e))?;
    if all.is_empty() { Err(unusable(file, "it holds no certificate")) } else { Ok(all) }
}

fn unusable(file: &Path, why: impl std::fmt::Display) -> anyhow::Error {
    Fault::new(
        Code::CertificateUnusable,
        format!("K3s's certificate or key '{}' cannot be used: {why}", file.display()),
    )
    .hint("Certificate and key have to be a pair of this K3s, which makes missing ones anew when it starts.")
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_what_is_missing() {
        let rows = [
            (
                "[+]ping ok\n[-]etcd failed: reason withheld\n[-]x failed\nreadyz check failed\n",
                "etcd failed: reason withheld",
            ),
            ("\n\n  Unauthorized \n", "Unauthorized"),
            ("", ""),
            ("a\u{1b}[31mb\u{7}", "a[31mb"),
        ];
        for (body, line) in rows {
            assert_eq!(missing(body), line);
        }
        assert_eq!(missing(&"é".repeat(1000)).chars().count(), LINE);
    }
}
