// SPDX-License-Identifier: Apache-2.0
//! The arguments of delete.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::common::Common;
use super::s3::S3;

/// Delete snapshots by name
///
/// Takes exact names of snapshots in the snapshot directory, and with --s3 in the bucket too: no paths, no patterns. A
/// snapshot is deleted in every location. If one name does not exist, nothing is deleted. The last good snapshot of a
/// group is not deleted without --force.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot delete manual-server-1-1795339215              asks, then deletes
  k3s-snapshot delete --yes manual-server-1-1795339215        deletes without asking
  k3s-snapshot delete --dry-run timer-server-1-1795339215     shows what would be deleted
  k3s-snapshot delete --s3 timer-server-1-1795339215          deletes it in the bucket too

Exit codes: 0 deleted; 1 failed; 2 usage; 4 no such snapshot, nothing was deleted; 75 another run
holds the lock; 77 refused; 78 configuration. See k3s-snapshot-delete(8).")]
pub struct Delete {
    /// Names of snapshots
    #[arg(value_name = "NAME", required_unless_present = "show_config")]
    pub snapshots: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Delete the last good snapshot of a group too
    #[arg(long)]
    pub force: bool,
    /// Ignore names that do not exist
    #[arg(long)]
    pub ignore_missing: bool,
    /// Show what would be deleted; delete nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Wait up to this long for the lock [default: fail immediately]
    #[arg(long, value_name = "DURATION")]
    pub retry_lock: Option<String>,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
