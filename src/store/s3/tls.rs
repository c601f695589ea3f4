// SPDX-License-Identifier: Apache-2.0
//! Whom to believe: the authorities that the system has, unless the bucket names its own, which then replace them.

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

use super::error::{S3Error, S3ErrorKind};
use super::tls_verifier;
use crate::model::s3_config::S3Config;

/// Where distributions keep the authorities, as Go looks for them and so K3s does.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// An agent with the TLS of a bucket.
pub(super) fn agent(bucket: &S3Config, config: ConfigBuilder<AgentScope>) -> Result<Agent, S3Error> {
    let builder = TlsConfig::builder();
    let tls = match &bucket.authorities {
        _ if bucket.skip_verify => builder.disable_verification(true),
        Some(pem) => {
            let given: Vec<_> =
                certificates(pem.as_bytes()).iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
            if given.is_empty() {
                return Err(S3Error::of(S3ErrorKind::Config, "s3-endpoint-ca holds no certificate"));
            }
            return tls_verifier::agent(config.build(), given);
        }
        None => builder.root_certs(system().map_or(RootCerts::WebPki, |c| RootCerts::new_with_certs(&c))),
    };
    Ok(config.tls_config(tls.build()).build().new_agent())
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    items.filter_map(|item| if let PemItem::Certificate(c) = item { Some(c) } else { None }).collect()
}

/// `None` where the system has none that we can find; then the ones that were compiled in must do.
fn system() -> Option<Vec<Certificate<'static>>> {
    let named = std::env::var("SSL_CERT_FILE").ok().filter(|f| !f.is_empty());
    let files: Vec<&str> = match &named {
        Some(file) => vec![file],
        None => BUNDLES.to_vec(),
    };
    files.into_iter().find_map(|file| {
        let found = certificates(&std::fs::read(file).ok()?);
        (!found.is_empty()).then_some(found)
    })
}
