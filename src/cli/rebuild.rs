// SPDX-License-Identifier: Apache-2.0
//! The arguments of rebuild.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use std::path::PathBuf;

use clap::Parser;

use super::common::Common;
use super::restore::Restore;
use super::s3::S3;

/// Rebuild a lost server on this machine, from the bucket and one private key
///
/// The newest verified snapshot of the cluster is found, and its recovery kit is opened. The configuration of K3s and the
/// server token are written, without the names and addresses of the old machine. Then the snapshot is restored and K3s is
/// started.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot rebuild --dry-run --identity /mnt/key         show what would be done
  k3s-snapshot rebuild --identity /mnt/key                   show it, ask, rebuild
  k3s-snapshot rebuild --identity key --cluster 6f9c1f0e     one of several clusters
  k3s-snapshot rebuild --identity key --kit /mnt/kit.age     with a kit that is in a file
  k3s-snapshot rebuild --token-file /mnt/token               without a kit
  k3s-snapshot rebuild --yes --if-empty --identity /mnt/key  if there is no datastore

Exit codes: 0 rebuilt, or nothing to do with --if-empty; 1 failed; 2 usage; 4 no such snapshot, kit
or cluster; 10 rolled back; 11 restored, but K3s is not ready; 12 the rollback failed too; 65 the
snapshot or the kit is corrupt; 75 another run holds the lock; 77 refused; 78 configuration.
See k3s-snapshot-rebuild(8).")]
pub struct Rebuild {
    /// A name in the bucket, or a path (anything with a slash) [default: the newest verified snapshot]
    #[arg(value_name = "NAME|PATH")]
    pub snapshot: Option<String>,
    /// File with the private key that opens the recovery kit, of age or of SSH; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    pub identity: Option<String>,
    /// Use the recovery kit in this file instead of the one that the snapshot names
    #[arg(long, value_name = "FILE", requires = "identity")]
    pub kit: Option<String>,
    /// The cluster, if the bucket holds several: the beginning of its id, or the name of a server of it
    #[arg(long, value_name = "NAME|ID")]
    pub cluster: Option<String>,
    /// The name of this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The address of this node; two with a comma for IPv4 and IPv6 [default: K3s chooses]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub node_ip: Vec<String>,
    /// Replace files of the configuration of K3s that exist and differ from the kit
    #[arg(long)]
    pub overwrite: bool,
    /// Do nothing if this machine has a datastore; finish a rebuild that was interrupted
    #[arg(long)]
    pub if_empty: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Show what would be written and restored; do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Use a snapshot that is not known to be authentic, or is from a newer K3s
    #[arg(long)]
    pub force: bool,
    /// Proceed even if another server of the cluster answers, or cannot be asked
    #[arg(long)]
    pub assume_others_stopped: bool,
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
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}

impl Rebuild {
    /// The command line of the restore of a snapshot, or of the recovery of an interrupted one.
    pub fn restore(&self, snapshot: Option<String>) -> Restore {
        Restore {
            recover: snapshot.is_none(),
            snapshot,
            before: None,
            // The plan of the rebuild was confirmed.
            yes: true,
            dry_run: false,
            force: self.force,
            no_safety_snapshot: false,
            assume_others_stopped: self.assume_others_stopped,
            keep_revisions: false,
            rehearse: false,
            no_rehearse: self.no_rehearse,
            k3s_binary: self.k3s_binary.clone(),
            ready_timeout: self.ready_timeout.clone(),
            reset_timeout: self.reset_timeout.clone(),
            recover_files_only: false,
            cluster_reset: false,
            rejoin: false,
            server: None,
            prune_old_databases: None,
            s3: self.s3.clone(),
            common: self.common.clone(),
        }
    }
}
