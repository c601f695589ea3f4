// SPDX-License-Identifier: Apache-2.0
//! The command line of prune.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{ArgAction, Parser};

use super::{Common, S3};

/// Prune snapshots: delete those that no rule keeps
///
/// Snapshots are counted by groups: those whose names are the same text before the last dash. The rules are K3s's
/// --snapshot-retention and restic's --keep-*; what one of them keeps is kept. They are applied to the proven snapshots,
/// and once more to all that are not bad. The newest proven one of a group always stays. K3s's scheduled snapshots are
/// left alone unless they are named.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-prune",
    version,
    after_help = "\
Examples:
  k3s-snapshot-prune --dry-run                        show what would go, and why
  k3s-snapshot-prune                                  keep 5, or what K3s's config.yaml says
  k3s-snapshot-prune --keep-daily 7 --keep-weekly 4   keep one of each of 7 days and of 4 weeks
  k3s-snapshot-prune --name etcd-snapshot             prune K3s's scheduled snapshots
  k3s-snapshot-prune --s3 --s3-retention 30           prune the folder, and keep 30 in the bucket

Exit codes: 0 done; 1 failed, or not everything could be looked at; 2 usage; 75 another run is
at work; 77 refused; 78 configuration. See k3s-snapshot-prune(8)."
)]
pub struct Prune {
    /// The snapshots whose names begin with NAME, a dash and the node; may be repeated [default: those of this tool]
    #[arg(long = "name", value_name = "NAME", action = ArgAction::Append, conflicts_with = "all")]
    pub base: Vec<String>,
    /// Another node than this one
    #[arg(long, value_name = "NODE", conflicts_with = "all_nodes")]
    pub node: Option<String>,
    /// Those of other nodes too, where it is known whose they are
    #[arg(long, conflicts_with = "all")]
    pub all_nodes: bool,
    /// Every snapshot of the node but K3s's scheduled ones
    #[arg(short, long)]
    pub all: bool,
    /// Keep the newest N, 0 for all [default: 5, or what K3s's config.yaml says, if there is no --keep-*]
    #[arg(long, visible_alias = "keep-last", alias = "etcd-snapshot-retention", value_name = "N")]
    pub snapshot_retention: Option<String>,
    /// The same in the bucket [default: what holds for the folder, or what K3s's config.yaml says]
    #[arg(long, alias = "etcd-s3-retention", value_name = "N")]
    pub s3_retention: Option<String>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<String>,
    /// Keep the newest of each of the last N days that have one
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<String>,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<String>,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<String>,
    /// Keep the newest of each of the last N years that have one
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<String>,
    /// Keep all that are at most this much older than the newest: 36h, 7d, 8w
    #[arg(long, value_name = "DURATION")]
    pub keep_within: Option<String>,
    /// Whose hours and days these are, such as Europe/Berlin [default: the system's]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Believe a fall of the entries by more than half
    #[arg(long)]
    pub accept_drop: bool,
    /// Show what would be done and why, and delete nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Wait this long for another run to end [default: not at all]
    #[arg(long, value_name = "DURATION")]
    pub retry_lock: Option<String>,
    /// Exit 0 with the reason where this machine rightly keeps no embedded etcd; for units
    #[arg(long)]
    pub skip_without_etcd: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
