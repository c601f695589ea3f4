// SPDX-License-Identifier: Apache-2.0
//! The command line of delete.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::{Common, S3};

/// Delete snapshots by their names
///
/// Takes exact names of snapshots in the snapshot folder, and with --s3 in the bucket too: no paths, no patterns. A
/// name is deleted wherever it lies. If one of them does not exist, nothing is deleted. The last good snapshot of a
/// group is not deleted without --force.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-delete",
    version,
    after_help = "\
Examples:
  k3s-snapshot-delete on-demand-server-1-1795339215           asks, then deletes
  k3s-snapshot-delete --yes on-demand-server-1-1795339215     deletes, for scripts
  k3s-snapshot-delete --dry-run timer-server-1-1795339215     shows what would be done
  k3s-snapshot-delete --s3 timer-server-1-1795339215          deletes it in the bucket too

Exit codes: 0 deleted; 1 failed; 2 usage; 4 no such snapshot, nothing was deleted; 75 another run
is at work; 77 refused; 78 configuration. See k3s-snapshot-delete(8)."
)]
pub struct Delete {
    /// Names of snapshots in the folder
    #[arg(value_name = "NAME", required_unless_present_any = ["explain"])]
    pub snapshots: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Delete the last good snapshot of a group too
    #[arg(long)]
    pub force: bool,
    /// Pass over names that do not exist
    #[arg(long)]
    pub ignore_missing: bool,
    /// Show what would be done, and delete nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Wait this long for another run to end [default: not at all]
    #[arg(long, value_name = "DURATION")]
    pub retry_lock: Option<String>,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
