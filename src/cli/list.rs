// SPDX-License-Identifier: Apache-2.0
//! The arguments of list.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{Parser, ValueEnum};

use super::common::Common;
use super::s3::S3;

/// Values of `list -o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The columns of K3s and ours.
    Table,
    /// The rows as JSON.
    Json,
    /// The rows as YAML.
    Yaml,
}

/// List snapshots and their state
///
/// The columns of K3s come first, then node, revision, state and token. States: verified (every byte was checked by save or
/// verify, and the file has not changed since), unverified, corrupt, incomplete (left by an interrupted save), foreign (not
/// a snapshot). Token: whether the token of this server opens the snapshot. No snapshot is opened.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot list                     a table, oldest first
  k3s-snapshot list -o json             for programs
  k3s-snapshot list --max-age 25h       exit 1 if the newest verified snapshot is older

Exit codes: 0 done; 1 too old; 2 usage; 77 refused; 78 configuration. See k3s-snapshot-list(8).")]
pub struct List {
    /// How to print the rows
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Fail if the newest verified snapshot is older than this: 90m, 25h, 7d
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<String>,
    /// Read the manifests in the bucket too (node, revision, token)
    #[arg(long)]
    pub details: bool,
    /// Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)
    #[arg(long)]
    pub skip_without_etcd: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
