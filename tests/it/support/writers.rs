// SPDX-License-Identifier: Apache-2.0
//! Clients that write to an etcd without pause and remember what it acknowledged. They go on over a restart of it.

use super::etcd::Etcd;
use super::objects::filler;
use etcd_client::{Client, ConnectOptions, TlsOptions};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

/// Keys of each writer, written in turn.
const KEYS: u64 = 60;

/// By key, what was acknowledged: revision and digest of the value, in order.
pub(crate) type Log = BTreeMap<String, Vec<(i64, [u8; 32])>>;

/// The writers. Dropping them ends them.
pub(crate) struct Writers {
    acknowledged: Arc<AtomicI64>,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Log>>,
}

impl Writers {
    /// Starts `n` writers of values of 0.5 to 12 kB, on different keys.
    pub(crate) fn start(etcd: &Etcd, n: u64) -> Writers {
        let (acknowledged, end) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let threads = (0..n)
            .map(|w| {
                let (endpoint, tls) = (etcd.endpoint(), etcd.root.certs().mutual());
                let (acknowledged, end) = (acknowledged.clone(), end.clone());
                std::thread::spawn(move || write(w, &endpoint, &tls, &acknowledged, &end))
            })
            .collect();
        Writers { acknowledged, end, threads }
    }

    /// The newest revision that etcd has reported to any of them.
    pub(crate) fn acknowledged(&self) -> i64 {
        self.acknowledged.load(SeqCst)
    }

    /// Ends them.
    pub(crate) fn stop(mut self) -> Log {
        self.end.store(true, SeqCst);
        self.threads.drain(..).flat_map(|t| t.join().unwrap()).collect()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
    }
}

fn write(w: u64, endpoint: &str, tls: &TlsOptions, acknowledged: &AtomicI64, end: &AtomicBool) -> Log {
    let limit = Duration::from_secs(5);
    let mut log = Log::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut i = 0_u64;
        while !end.load(SeqCst) {
            let options = ConnectOptions::new().with_tls(tls.clone()).with_timeout(limit);
            let connected = tokio::time::timeout(limit, Client::connect([endpoint], Some(options))).await;
            let Ok(Ok(mut client)) = connected else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            while !end.load(SeqCst) {
                i += 1;
                let key = format!("/writers/{w}/{:03}", i % KEYS);
                let value = filler(w << 32 | i, 500 + (i * 7919 % 11_500) as usize).into_bytes();
                let put = tokio::time::timeout(limit, client.put(key.as_str(), value.as_slice(), None)).await;
                let Ok(Ok(answer)) = put else { break };
                let revision = answer.header().unwrap().revision();
                acknowledged.fetch_max(revision, SeqCst);
                log.entry(key).or_default().push((revision, Sha256::digest(&value).into()));
            }
        }
    });
    log
}
