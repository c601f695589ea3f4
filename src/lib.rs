// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot: save, list, verify, prune and delete the etcd snapshots of K3s.
//!
//! Facts in, judgement in the middle, deeds at the rim, one report out:
//!
//! ```text
//! bin -> wire -> app, cli, cmd -> model, inspect, and the traits of source, store, host
//!                                  ^ implemented by the rim: source/etcd, store/local, host/fs, sink/*
//! ```
//!
//! `model` and `inspect` are pure. `wire` alone names concrete parts. CONTRIBUTING.md says where a change goes.

pub mod app;
pub mod cli;
pub mod cmd;
pub mod codec;
pub mod config;
pub mod error;
pub mod host;
pub mod inspect;
pub mod model;
pub mod sink;
pub mod source;
pub mod store;
pub mod wire;
