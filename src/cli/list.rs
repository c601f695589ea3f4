// SPDX-License-Identifier: Apache-2.0
//! The command line of list.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{Parser, ValueEnum};

use super::{Common, S3};

/// Values of `list -o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// K3s's columns and ours.
    Table,
    /// The rows as JSON.
    Json,
    /// The rows as YAML.
    Yaml,
}

/// List the snapshots and what is known of them
///
/// K3s's columns come first, then the node, etcd's revision, the state and whether a snapshot needs the token that
/// this server has. The state is "proven" where every byte was checked by save or verify and the file is unchanged
/// since, "unchecked" where nobody has looked, "bad" where a check failed or the size alone says so, "partial" where
/// a save was cut off, and "foreign" where it is not a snapshot. No snapshot is opened.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-list",
    version,
    after_help = "\
Examples:
  k3s-snapshot-list                     a table, oldest first
  k3s-snapshot-list -o json             for programs
  k3s-snapshot-list --max-age 25h       exit 1 unless a proven snapshot is at most 25 hours old

Exit codes: 0 done; 1 too old; 2 usage; 77 refused; 78 configuration. See k3s-snapshot-list(8)."
)]
pub struct List {
    /// How to print the rows
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Fail unless the newest proven snapshot is at most this old: 90m, 25h, 7d
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<String>,
    /// Fetch this snapshot from the bucket into this folder, prove it, and only then give it its name
    #[arg(long, num_args = 2, value_names = ["NAME", "DIR"])]
    pub fetch: Vec<String>,
    /// Look step by step what works of the bucket, and say what to do about what does not
    #[arg(long, conflicts_with = "fetch")]
    pub check_s3: bool,
    /// Read the manifests in the bucket too: node, revision, token
    #[arg(long)]
    pub details: bool,
    /// Exit 0 with the reason where this machine rightly keeps no embedded etcd; for units
    #[arg(long)]
    pub skip_without_etcd: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
