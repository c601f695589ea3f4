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

mod architecture;
mod authenticity;
mod bolt_reader;
mod bolt_writer;
mod clone;
mod config_secret;
mod conformance;
mod content;
mod corruption;
mod documents;
mod fake_k3s;
mod false_positives;
mod faults;
mod fence;
mod foreign_file_systems;
mod generator;
mod import_circles;
mod kit;
mod language;
mod machine;
mod monitoring;
mod offline;
mod packages;
mod pings;
mod pinned;
mod prose;
mod prune;
mod prune_s3;
mod raise;
mod readers;
mod readyz;
mod report_format;
mod restore;
mod restore_cluster;
mod restore_guards;
mod restore_left_over;
mod restore_sqlite;
mod restore_steps;
mod restore_world;
mod rke2;
mod s3;
mod s3_faults;
mod s3_moto;
mod s3_stores;
mod save;
mod save_failures;
mod sqlite;
mod sqlite_corruption;
mod sqlite_world;
mod status;
mod support;
mod support_selftest;
mod systemd;
mod timer;
mod verify;
mod wal_writer;
