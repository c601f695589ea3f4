// SPDX-License-Identifier: Apache-2.0
//! Whether the API server of K3s is ready, and its version: `GET /readyz` and `/version` with the administrator's certificate
//! of K3s.
//!
//! On this machine only, without a proxy, one request per call; a caller that waits calls again.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::error::{Code, Fault};
use crate::http::agent_config;
use crate::model::version::Version;

/// The most bytes of an answer that are read. An answer has one line for each check, about fifty.
const BODY: u64 = 64 * 1024;
/// The most characters of a line that are kept.
const LINE: usize = 200;

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// The API server is ready.
    Yes,
    /// It answers that it is not ready: the HTTP status, and the first failed check.
    No(u16, String),
    /// No answer in time, or none that can be trusted: the reason.
    NoAnswer(String),
}

impl Ready {
    /// The answer, for people.
    pub fn describe(&self) -> String {
        match self {
            Ready::Yes => "it is ready".to_owned(),
            Ready::No(status, line) => format!("it answers {status}: {line}"),
            Ready::NoAnswer(why) => why.clone(),
        }
    }
}

/// Asks the API server at this address of this machine.
///
/// # Errors
/// If a certificate file on this machine cannot be used.
pub fn readyz(at: SocketAddr, cert: &Path, key: &Path, ca: &Path, timeout: Duration) -> Result<Ready> {
    let agent = agent(cert, key, ca, timeout)?;
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

/// Asks the API server at this address of this machine for the version of K3s.
///
/// # Errors
/// If a certificate file cannot be used; if there is no answer in time, or none with a version.
pub fn version(at: SocketAddr, cert: &Path, key: &Path, ca: &Path, timeout: Duration) -> Result<String> {
    let agent = agent(cert, key, ca, timeout)?;
    let address = at.to_string();
    let answer = agent.get(format!("https://{address}/version")).call();
    let mut answer = answer.map_err(|e| anyhow!(words(&e, &address, timeout)))?;
    let body = answer.body_mut().with_config().limit(BODY).read_to_string();
    let body = body.with_context(|| format!("reading the answer of {address}"))?;
    let found =
        serde_json::from_str(&body).ok().and_then(|VersionInfo { git_version }| Version::parse(&git_version));
    let found = found
        .with_context(|| format!("the answer {} of {address} has no version", answer.status().as_u16()))?;
    Ok(found.to_string())
}

/// What `/version` answers, as far as it is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionInfo {
    git_version: String,
}

fn agent(cert: &Path, key: &Path, ca: &Path, timeout: Duration) -> Result<ureq::Agent> {
    let roots = certificates(ca)?;
    let chain = certificates(cert)?;
    let key_pem = read(key)?;
    let key_der = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|e| unusable(key, e))?;
    // ureq panics if the certificate and the key are not valid or not a pair.
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
    Ok(agent_config().tls_config(tls).timeout_global(Some(timeout)).build().new_agent())
}

/// The first check that failed, else the first line of the answer.
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
        e => format!("asking {address}: {e}"),
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| {
        let (code, hint) = match e.kind() {
            io::ErrorKind::PermissionDenied => (Code::PermissionDenied, "Run this command as root."),
            _ => (
                Code::CertificateUnusable,
                "Check --data-dir DIRECTORY; K3s writes this file when it starts.",
            ),
        };
        let text = format!("reading the K3s certificate '{}'", file.display());
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
        format!("using the K3s certificate or key '{}': {why}", file.display()),
    )
    .hint("Remove the certificate and its key, then run 'systemctl restart k3s': K3s creates missing ones.")
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
