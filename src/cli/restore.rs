// SPDX-License-Identifier: Apache-2.0
//! The command line of restore.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::{Common, S3};

/// Restore K3s from a snapshot, or leave it as it was
///
/// The snapshot is proven while K3s still runs, and everything that could stand in the way is looked at. Then K3s is
/// stopped, makes a new database of the snapshot by its own cluster reset, and is started on it. If any step fails before K3s
/// serves the snapshot's data, everything is put back and K3s serves what it served before.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-restore",
    version,
    after_help = "\
Examples:
  k3s-snapshot-restore --dry-run latest                      show the plan, do nothing
  k3s-snapshot-restore on-demand-server-1-1795339215         show the plan, ask, restore
  k3s-snapshot-restore --yes /mnt/backup/server-1-1795339215.zip
  k3s-snapshot-restore --before '2026-11-22 08:00' latest    the newest from before that
  k3s-snapshot-restore --s3 --s3-bucket backups latest       from the bucket too
  k3s-snapshot-restore --recover                             end a restore that was cut off
  k3s-snapshot-restore --rejoin                              on the other servers, afterwards
  k3s-snapshot-restore --reset-only                          the quorum is lost for good
  systemctl start k3s-snapshot-restore@$(systemd-escape on-demand-server-1-1795339215)

Exit codes: 0 restored; 1 failed, nothing was touched; 2 usage; 4 no such snapshot; 10 rolled back;
11 restored, but K3s is not ready; 12 the way back failed too, K3s is kept from starting; 65 the
snapshot is damaged; 75 another run is at work, or one was cut off and is ended now; 77 refused;
78 configuration. See k3s-snapshot-restore(8)."
)]
pub struct Restore {
    /// A name in the snapshot folder or in the bucket, a path (anything with a slash), or 'latest'
    #[arg(value_name = "NAME|PATH|latest")]
    pub snapshot: Option<String>,
    /// The newest from before this moment: '2026-11-22 08:00', RFC 3339, or seconds since the epoch
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Show the plan, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Take a snapshot of another cluster or of a newer K3s all the same
    #[arg(long)]
    pub force: bool,
    /// Do not save first what is live now
    #[arg(long)]
    pub no_safety_snapshot: bool,
    /// The other servers are stopped, even if one of them answers
    #[arg(long)]
    pub others_stopped: bool,
    /// How long K3s may take until it serves again [default: 10m]
    #[arg(long, value_name = "DURATION")]
    pub ready_timeout: Option<String>,
    /// How long K3s's reset may show no progress [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub reset_timeout: Option<String>,
    /// Bring the files of a restore that was cut off to a good state; start nothing
    #[arg(long, conflicts_with_all = ["snapshot", "before", "dry_run", "conclude", "clean_old"])]
    pub recover: bool,
    /// The same, then bring K3s to where it was, prove and report
    #[arg(long, conflicts_with_all = ["snapshot", "before", "dry_run", "clean_old"])]
    pub conclude: bool,
    /// Restore nothing: make the cluster one of this server alone, with the data that it has, where the quorum is lost
    #[arg(long, conflicts_with_all = ["snapshot", "before", "recover", "conclude", "clean_old", "rejoin"])]
    pub reset_only: bool,
    /// Restore nothing: move the database aside and join again the server that K3s's configuration names
    #[arg(long, conflicts_with_all = ["snapshot", "before", "recover", "conclude", "clean_old"])]
    pub rejoin: bool,
    /// Delete the databases that restores have left, but the newest KEEP of each kind
    #[arg(long, value_name = "KEEP", conflicts_with_all = ["snapshot", "before"])]
    pub clean_old: Option<usize>,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
