// SPDX-License-Identifier: Apache-2.0
//! The arguments of prune.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{ArgAction, Parser};

use super::common::Common;
use super::s3::S3;

/// Apply the retention policy: delete snapshots that no rule keeps
///
/// Snapshots are grouped by the part of their name before the last dash. The rules are --snapshot-retention of K3s and
/// --keep-*; a snapshot is kept if one rule keeps it. The rules are applied twice: to the verified snapshots of a group, and
/// to all that are not corrupt. The newest verified snapshot of a group always stays. Scheduled snapshots of K3s are not
/// pruned unless --name selects them.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot prune --dry-run                        show what would be deleted, and why
  k3s-snapshot prune                                  keep 5, or as configured in K3s
  k3s-snapshot prune --keep-daily 7 --keep-weekly 4   keep 7 daily and 4 weekly snapshots
  k3s-snapshot prune --name etcd-snapshot             prune the scheduled snapshots of K3s
  k3s-snapshot prune --s3 --s3-retention 30           prune the directory, and keep 30 in the bucket

Exit codes: 0 done; 1 failed, or a listing is incomplete; 2 usage; 75 another run holds the lock;
77 refused; 78 configuration. See k3s-snapshot-prune(8).")]
pub struct Prune {
    /// Prune snapshots named NAME-NODE-SECONDS; may be repeated [default: the base names of this program]
    #[arg(long = "name", value_name = "NAME", action = ArgAction::Append, conflicts_with = "all")]
    pub base: Vec<String>,
    /// Prune the snapshots of another node
    #[arg(long, value_name = "NODE", conflicts_with = "all_nodes")]
    pub node: Option<String>,
    /// Prune the snapshots of all nodes, if their node is known
    #[arg(long, conflicts_with = "all")]
    pub all_nodes: bool,
    /// Prune the snapshots of every cluster, each by itself, and those of an unknown cluster
    #[arg(long)]
    pub all_clusters: bool,
    /// Prune every snapshot of the node except the scheduled ones of K3s
    #[arg(short, long)]
    pub all: bool,
    /// Keep the newest N, 0 for all [default: as configured in K3s, else 5, if no --keep-* is set]
    #[arg(long, visible_alias = "keep-last", alias = "etcd-snapshot-retention", value_name = "N")]
    pub snapshot_retention: Option<String>,
    /// Keep the newest N in the bucket [default: as configured in K3s, else as for the directory]
    #[arg(long, alias = "etcd-s3-retention", value_name = "N")]
    pub s3_retention: Option<String>,
    /// Keep the newest of each of the last N hours with snapshots
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<String>,
    /// Keep the newest of each of the last N days with snapshots
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<String>,
    /// Keep the newest of each of the last N weeks with snapshots
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<String>,
    /// Keep the newest of each of the last N months with snapshots
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<String>,
    /// Keep the newest of each of the last N years with snapshots
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<String>,
    /// Keep snapshots within this duration of the newest one: 36h, 7d, 8w
    #[arg(long, value_name = "DURATION")]
    pub keep_within: Option<String>,
    /// Time zone of the hourly to yearly rules, such as Europe/Berlin [default: that of the system]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Prune even if the number of key revisions dropped by more than half
    #[arg(long)]
    pub accept_drop: bool,
    /// Show what would be deleted and why; delete nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Wait up to this long for the lock [default: fail immediately]
    #[arg(long, value_name = "DURATION")]
    pub retry_lock: Option<String>,
    /// Exit successfully if this machine is not expected to have embedded etcd or SQLite (for timers)
    #[arg(long)]
    pub skip_without_etcd: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
