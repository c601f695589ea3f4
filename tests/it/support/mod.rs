// SPDX-License-Identifier: Apache-2.0
//! The real parts that the tests use: etcd alone and in a cluster, our own programs, a network that misbehaves, a
//! disk that is full. Nothing here decides the result of a test. `make setup` puts the parts in place. A new part is a new
//! file here, with a test in `support_selftest.rs` that checks it.
#![cfg(test)] // what the lints allow to tests, they allow here
#![allow(dead_code, reason = "a theme takes what it needs")]

pub(crate) mod bucket;
pub(crate) mod calls;
pub(crate) mod certs;
pub(crate) mod cli;
pub(crate) mod cluster;
pub(crate) mod ctl;
pub(crate) mod disk;
pub(crate) mod etcd;
pub(crate) mod front;
pub(crate) mod host;
pub(crate) mod k3s_root;
pub(crate) mod kine;
pub(crate) mod memory;
pub(crate) mod moto;
pub(crate) mod objects;
pub(crate) mod odd_fs;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod require;
pub(crate) mod rust_source;
pub(crate) mod schema;
pub(crate) mod tunnel;
pub(crate) mod volume;
pub(crate) mod writers;

use std::time::{Duration, Instant};

/// Asks again every 20 ms until the answer is yes; panics with `what` when `limit` has passed.
pub(crate) fn eventually(what: &str, limit: Duration, mut ask: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !ask() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
