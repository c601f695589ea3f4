// SPDX-License-Identifier: Apache-2.0
//! The S3 server of the tests as a program of its own, for the benchmark: both sides of a comparison use it.
//!
//! usage: s3-server DIRECTORY PORT ACCESS-KEY SECRET-KEY; each directory in DIRECTORY is a bucket. Runs until it is killed.
#![allow(clippy::unwrap_used, reason = "a panic is how it says that it cannot serve")]

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, port, access, secret] = args.try_into().unwrap();
    let mut builder = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    builder.set_auth(SimpleAuth::from_single(access, secret.as_str()));
    let service = builder.build();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse().unwrap())).await.unwrap();
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ =
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
}
