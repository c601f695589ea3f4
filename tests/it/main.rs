// SPDX-License-Identifier: Apache-2.0
//! All integration tests in one program: it links once. A theme is a module; the real parts are in `support`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic is how a test reports"
)]

// XX mod architecture;
mod bolt_writer;
mod churn;
mod clone;
mod conformance;
mod content;
mod corruption;
// XX mod documents;
mod generator;
mod machine;
// XX mod packages;
mod parts;
mod prune;
mod prune_s3;
mod ready;
mod restore;
mod restore_cluster;
mod rke2;
mod s3;
mod s3_faults;
mod s3_moto;
mod s3_stores;
mod save;
mod standin;
mod support;
mod systemd;
mod timer;
mod trouble;
mod verify;
