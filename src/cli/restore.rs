// SPDX-License-Identifier: Apache-2.0
//! The arguments of restore.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use std::path::PathBuf;

use clap::Parser;

use super::common::Common;
use super::s3::S3;

/// Restore K3s from a snapshot, with automatic rollback
///
/// The snapshot is verified and a new database is made from it in a directory of its own, while K3s still serves. Then K3s
/// is stopped, the databases are exchanged by renaming, and K3s is started. If K3s does not serve the data of the snapshot,
/// the exchange is reversed.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot restore --dry-run latest                      show the plan only
  k3s-snapshot restore manual-server-1-1795339215            show the plan, ask, restore
  k3s-snapshot restore --yes /mnt/backup/server-1-1795339215.zip
  k3s-snapshot restore --before '2026-11-22 08:00' latest    the newest one before that time
  k3s-snapshot restore --s3 --s3-bucket backups latest       from the bucket too
  k3s-snapshot restore --recover                             finish an interrupted restore
  k3s-snapshot restore --rejoin --server URL                 on the other servers, after the restore
  k3s-snapshot restore --cluster-reset                       the quorum is lost for good
  systemctl start k3s-snapshot-restore@$(systemd-escape manual-server-1-1795339215)

Exit codes: 0 restored; 1 failed, nothing was changed; 2 usage; 4 no such snapshot; 10 rolled back;
11 restored, but K3s is not ready; 12 the rollback failed too, the start of K3s is blocked; 65 the
snapshot is corrupt; 75 another run holds the lock, or an interrupted one was finished instead;
77 refused; 78 configuration. See k3s-snapshot-restore(8).")]
pub struct Restore {
    /// A name in the snapshot directory or the bucket, a path (anything with a slash), or 'latest'
    #[arg(value_name = "NAME|PATH|latest")]
    pub snapshot: Option<String>,
    /// Restore the newest snapshot before TIME: '2026-11-22 08:00', RFC 3339, or seconds since the epoch
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Show the plan; do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restore even if the snapshot is from another cluster or a newer K3s
    #[arg(long)]
    pub force: bool,
    /// Do not save the current state first
    #[arg(long)]
    pub no_safety_snapshot: bool,
    /// Proceed even if another server answers, or cannot be asked
    #[arg(long)]
    pub assume_others_stopped: bool,
    /// Leave the revisions as they are in the snapshot; clients of other machines can then miss changes for hours
    #[arg(long)]
    pub keep_revisions: bool,
    /// Start K3s aside on the new database first; fail if there is not enough memory [default: if memory allows]
    #[arg(long, conflicts_with = "no_rehearse")]
    pub rehearse: bool,
    /// Do not start K3s aside first
    #[arg(long)]
    pub no_rehearse: bool,
    /// The K3s program that makes the new database, if the one of the unit is a wrapper or cannot be found
    #[arg(long, value_name = "PATH")]
    pub k3s_binary: Option<PathBuf>,
    /// Time limit for K3s to become ready [default: 10m]
    #[arg(long, value_name = "DURATION")]
    pub ready_timeout: Option<String>,
    /// Abort the reset of K3s after this long without progress [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub reset_timeout: Option<String>,
    /// Finish an interrupted restore: recover its files, start K3s, and report
    #[arg(long, conflicts_with_all = ["snapshot", "before", "dry_run", "prune_old_databases"])]
    pub recover: bool,
    /// Recover the files of an interrupted restore without starting K3s
    #[arg(long, conflicts_with_all = ["snapshot", "before", "dry_run", "recover", "prune_old_databases"])]
    pub recover_files_only: bool,
    /// Reset the cluster to this server only, with its present data (the quorum is lost)
    #[arg(long, conflicts_with_all = ["snapshot", "before", "recover", "recover_files_only", "prune_old_databases", "rejoin"])]
    pub cluster_reset: bool,
    /// Rejoin the cluster: set the local database aside and join another server
    #[arg(long, conflicts_with_all = ["snapshot", "before", "recover", "recover_files_only", "prune_old_databases"])]
    pub rejoin: bool,
    /// With --rejoin: the URL of the restored server [default: 'server' of the K3s configuration]
    #[arg(long, value_name = "URL", requires = "rejoin")]
    pub server: Option<String>,
    /// Delete databases left by earlier restores, keeping the newest KEEP of each kind
    #[arg(long, value_name = "KEEP", conflicts_with_all = ["snapshot", "before"])]
    pub prune_old_databases: Option<usize>,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
