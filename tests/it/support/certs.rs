// SPDX-License-Identifier: Apache-2.0
//! The certificates of a K3s data directory, as files and as the TLS settings of an etcd client. They are made by
//! `scripts/make-k3s-root`, never here.

use etcd_client::{Certificate, Identity, TlsOptions};
use std::path::{Path, PathBuf};

/// The directory `server/tls/etcd` of a K3s data directory.
#[derive(Debug, Clone)]
pub(crate) struct Certs(PathBuf);

impl Certs {
    /// Those below this data directory.
    pub(crate) fn of(data_dir: &Path) -> Certs {
        Certs(data_dir.join("server/tls/etcd"))
    }

    /// A file there, for instance `peer-ca.crt`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The authority that signed etcd's own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.file("server-ca.crt")
    }

    /// The settings of a client that trusts the authority and shows K3s's client certificate.
    pub(crate) fn mutual(&self) -> TlsOptions {
        let identity = Identity::from_pem(self.read("client.crt"), self.read("client.key"));
        self.anonymous().identity(identity)
    }

    /// The settings of a client that trusts the authority and shows no certificate.
    pub(crate) fn anonymous(&self) -> TlsOptions {
        TlsOptions::new().ca_certificate(Certificate::from_pem(self.read("server-ca.crt")))
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name))
            .unwrap_or_else(|e| panic!("reading '{}': {e}", self.file(name).display()))
    }
}
