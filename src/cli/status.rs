// SPDX-License-Identifier: Apache-2.0
//! The arguments of status.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::common::Common;
use super::s3::S3;

/// Show the state of the snapshots, the jobs and etcd, and the reasons to act
///
/// One screen: the newest verified snapshot here and in the bucket, pending uploads, the last result and the next run of each
/// job, etcd, space, and an interrupted restore. What cannot be seen is listed. Changes nothing.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot status                   one screen
  k3s-snapshot status --max-age 7h      exit 1 if the newest verified snapshot is older
  k3s-snapshot status --s3=false        without a connection to the bucket
  k3s-snapshot status --report json     for programs

Exit codes: 0 done; 1 a reason to act; 2 usage; 78 configuration. See k3s-snapshot-status(8).")]
pub struct Status {
    /// Greatest age of the newest verified snapshot: 90m, 25h, 7d [default: 25h]
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<String>,
    /// Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)
    #[arg(long)]
    pub skip_without_etcd: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
