// SPDX-License-Identifier: Apache-2.0
//! Which certificates are trusted: those of the system, or only those that the configuration names.

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::TlsConfig;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};

use super::error::{S3Error, S3ErrorKind};
use super::tcp::TcpConnector;
use super::tls_verifier;
use crate::http::{certificates, system_roots};
use crate::model::s3_config::S3Config;

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
        None => builder.root_certs(system_roots()),
    };
    let config = config.tls_config(tls.build()).build();
    Ok(Agent::with_parts(config, tcp.chain(RustlsConnector::default()), resolver))
}
