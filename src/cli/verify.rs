// SPDX-License-Identifier: Apache-2.0
//! The arguments of verify.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::common::Common;
use super::s3::S3;

/// Verify snapshots: read every byte and report what is wrong
///
/// Compares the SHA-256 with the snapshot's own and with the recorded one, and checks the database page by page and key by
/// key. Verifies snapshots and zips of K3s too. The result is recorded for list and prune. A path works on any machine.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot verify --all                                verify the whole directory
  k3s-snapshot verify manual-server-1-1795339215           verify one snapshot of the directory
  k3s-snapshot verify /mnt/backup/server-1-1795339215      verify any file
  k3s-snapshot verify --quick --all                        compare checksums only

Exit codes: 0 none is corrupt; 1 failed; 2 usage; 4 no such snapshot; 65 at least one is corrupt;
77 refused; 78 configuration. See k3s-snapshot-verify(8).")]
pub struct Verify {
    /// Names of snapshots, or paths (anything with a slash)
    #[arg(value_name = "NAME|PATH")]
    pub snapshots: Vec<String>,
    /// Verify everything in the snapshot directory, or with --s3 in the bucket
    #[arg(short, long, conflicts_with = "snapshots")]
    pub all: bool,
    /// Check only the checksum (fast; does not mark the snapshot as verified)
    #[arg(long)]
    pub quick: bool,
    /// With --all: verify N snapshots, chosen at random
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
    /// Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)
    #[arg(long)]
    pub skip_without_etcd: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
