// SPDX-License-Identifier: Apache-2.0
//! The command line of verify.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::{Common, S3};

/// Verify snapshots: read every byte and say what is wrong
///
/// Compares the SHA-256 with the snapshot's own and with what was written down when it was saved, and walks the
/// database in it page by page. Takes K3s's snapshots and zips too. The verdict is remembered for k3s-snapshot-list.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-verify",
    version,
    after_help = "\
Examples:
  k3s-snapshot-verify --all                                verify the whole folder
  k3s-snapshot-verify on-demand-server-1-1795339215        verify one snapshot of the folder
  k3s-snapshot-verify /mnt/backup/server-1-1795339215      verify any file
  k3s-snapshot-verify --quick --all                        compare checksums only

Exit codes: 0 none is bad; 1 failed; 2 usage; 4 no such snapshot; 65 at least one is bad;
77 refused; 78 configuration. See k3s-snapshot-verify(8)."
)]
pub struct Verify {
    /// Names of snapshots in the folder, or paths (anything with a slash)
    #[arg(value_name = "NAME|PATH")]
    pub snapshots: Vec<String>,
    /// Verify everything in the snapshot folder
    #[arg(short, long, conflicts_with = "snapshots")]
    pub all: bool,
    /// Compare the checksum only; quick, and less than a proof
    #[arg(long)]
    pub quick: bool,
    /// With --all: verify only so many, other ones at another time
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
    /// Exit 0 with the reason where this machine rightly keeps no embedded etcd; for units
    #[arg(long)]
    pub skip_without_etcd: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
