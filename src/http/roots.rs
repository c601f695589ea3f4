// SPDX-License-Identifier: Apache-2.0
//! The certificate authorities of the system.

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// The bundles of distributions, in the order in which Go looks for them, and so K3s.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The authorities of the system; those in this program if no bundle is found.
pub(crate) fn system_roots() -> RootCerts {
    system().map_or(RootCerts::WebPki, |found| RootCerts::new_with_certs(&found))
}

/// The certificates in a text of PEM.
pub(crate) fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    items.filter_map(|item| if let PemItem::Certificate(c) = item { Some(c) } else { None }).collect()
}

/// The certificates of the system. `None` if no bundle is found.
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
