// SPDX-License-Identifier: Apache-2.0
//! Which certificates are trusted: those of the system, or only those that the configuration names.

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};

use super::error::{S3Error, S3ErrorKind};
use super::tcp::TcpConnector;
use super::tls_verifier;
use crate::model::s3_config::S3Config;

/// The bundles of distributions, in the order in which Go looks for them, and so K3s.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// An agent with the TLS settings of a bucket.
pub(super) fn agent(bucket: &S3Config, config: ConfigBuilder<AgentScope>) -> Result<Agent, S3Error> {
    let tcp = ().chain(ConnectProxyConnector::default()).chain(TcpConnector);
    let resolver = DefaultResolver::default();
    let builder = TlsConfig::builder();
    let tls = match &bucket.authorities {
        _ if bucket.skip_verify => builder.disable_verification(true),
        Some(pem) => {
            let trusted: Vec<_> =
                certificates(pem.as_bytes()).iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
            if trusted.is_empty() {
                return Err(S3Error::new(S3ErrorKind::Config, "s3-endpoint-ca has no certificate"));
            }
            let connector = tcp.chain(tls_verifier::connector(trusted)?);
            return Ok(Agent::with_parts(config.build(), connector, resolver));
        }
        None => builder.root_certs(system().map_or(RootCerts::WebPki, |c| RootCerts::new_with_certs(&c))),
    };
    let config = config.tls_config(tls.build()).build();
    Ok(Agent::with_parts(config, tcp.chain(RustlsConnector::default()), resolver))
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    items.filter_map(|item| if let PemItem::Certificate(c) = item { Some(c) } else { None }).collect()
}

/// The certificates of the system. `None` if no bundle is found: then those in this program are used.
fn system() -> Option<Vec<Certificate<'static>>> {
    let configured = std::env::var("SSL_CERT_FILE").ok().filter(|f| !f.is_empty());
    let files: Vec<&str> = match &configured {
        Some(file) => vec![file],
        None => BUNDLES.to_vec(),
    };
    files.into_iter().find_map(|file| {
        let found = certificates(&std::fs::read(file).ok()?);
        (!found.is_empty()).then_some(found)
    })
}
