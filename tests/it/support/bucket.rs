// SPDX-License-Identifier: Apache-2.0
//! A bucket on a real S3 server (s3s with its file system backend, in this process) that checks signatures. The proxy of
//! `front.rs` is in front of it: it checks what the server does not check, and fails on demand.

use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use k3s_snapshot::model::s3_config::{Credentials, Keys, Objects, Proxy, S3Config as Settings};
use k3s_snapshot::model::secret::Secret;
use k3s_snapshot::store::s3::S3;
use s3s::auth::SimpleAuth;
use s3s::host::SingleDomain;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use super::front::Front;

pub(crate) const ACCESS: &str = "AKIDTESTTESTTEST";
pub(crate) const SECRET: &str = "geheim/geheim+geheim";
pub(crate) const NAME: &str = "snapshots";

/// Settings for the bucket of a server at this URL.
pub(crate) fn settings(endpoint: &str) -> Settings {
    Settings {
        distribution: "k3s",
        name: NAME.into(),
        endpoint: endpoint.into(),
        region: "us-east-1".into(),
        folder: "backups/k3s".into(),
        in_host: false,
        authorities: None,
        skip_verify: false,
        timeout: Duration::from_secs(2),
        proxy: Proxy::Direct,
        credentials: Credentials::Given(Keys {
            access: Secret::new(ACCESS),
            secret: Secret::new(SECRET),
            token: None,
        }),
        objects: Objects::default(),
        parallel: 3,
        // The smallest part that a store accepts.
        part_size: 5 << 20,
    }
}

/// A server with one bucket.
pub(crate) struct Bucket {
    pub(crate) front: Front,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bucket {
    /// With the bucket in the path.
    pub(crate) fn start() -> Bucket {
        Bucket::start_at(None)
    }

    /// With a domain: also with the bucket in the host name, below that domain.
    pub(crate) fn start_at(domain: Option<&str>) -> Bucket {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(NAME)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
        if let Some(domain) = domain {
            builder.set_host(SingleDomain::new(domain).unwrap());
        }
        let service = builder.build();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        let front = Front::to(port);
        Bucket { front, folder, _runtime: runtime }
    }

    /// Settings that work.
    pub(crate) fn settings(&self) -> Settings {
        settings(&format!("http://127.0.0.1:{}", self.front.port()))
    }

    pub(crate) fn store(&self) -> S3 {
        self.store_with(|_| ())
    }

    pub(crate) fn store_with(&self, change: impl FnOnce(&mut Settings)) -> S3 {
        let mut settings = self.settings();
        change(&mut settings);
        S3::new(settings).unwrap()
    }

    /// The file of an object on the server.
    pub(crate) fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join(NAME).join(key)
    }

    /// Creates an object without a request.
    pub(crate) fn plant(&self, key: &str, bytes: &[u8]) {
        let path = self.object(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// The keys in the bucket.
    pub(crate) fn keys(&self) -> Vec<String> {
        fn walk(folder: &std::path::Path, base: &std::path::Path, all: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, base, all);
                } else {
                    all.push(path.strip_prefix(base).unwrap().display().to_string());
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.object(""), &self.object(""), &mut all);
        all.sort();
        all
    }
}
