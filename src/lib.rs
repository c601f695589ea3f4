// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot: save, list, verify, prune and delete snapshots of the datastore of K3s.
//!
//! Gather facts, decide in pure code, act through adapters, return one report.
//!
//! ```text
//! bin -> app -> cli, config, commands -> model, inspect, and the traits of source, store, host, output
//!               adapters that implement them: source/etcd, store/local, store/s3, host/*, output/*
//! etcd_files:   changes etcd's files at rest; above inspect alone
//! below all:    io, http, util, datastore, distribution, error
//! ```
//!
//! `model` and `inspect` are pure. `app` alone names concrete adapters. CONTRIBUTING.md says where a change goes.

pub mod app;
pub mod archive;
pub mod cli;
pub mod commands;
pub mod config;
pub mod datastore;
pub mod distribution;
pub mod error;
pub mod etcd_files;
pub mod host;
mod http;
pub mod inspect;
pub mod io;
pub mod model;
pub mod output;
#[doc(hidden)]
pub mod readers;
pub mod source;
pub mod store;
mod util;
