// SPDX-License-Identifier: Apache-2.0
//! The arguments of save.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{ArgAction, Parser};

use super::common::Common;
use super::s3::S3;

/// Save a verified snapshot of the etcd of K3s
///
/// The snapshot is cloned or copied from the database file, or streamed from the local etcd. Every byte is checked before it appears
/// in the snapshot directory as <NAME>-<NODE>-<UNIX SECONDS>. K3s can list and restore it like its own snapshots. Works
/// while the API server is down. Needs root to read the certificates of K3s.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot save                          save as manual-<node>-<time>
  k3s-snapshot save --name before-upgrade    save under another name
  k3s-snapshot save --snapshot-compress      save as a zip, as K3s does
  k3s-snapshot save --dir /mnt/backup        save to another directory
  k3s-snapshot save --show-config            show the settings and their origin

Exit codes: 0 saved and verified; 1 failed; 2 usage; 3 kept, but not uploaded or not known to be
current; 65 the database is corrupt; 75 another run holds the lock; 77 refused; 78 configuration.
See k3s-snapshot-save(8).")]
pub struct Save {
    /// Base of the snapshot name [default: manual]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Node in the snapshot name [default: node name of K3s, else the host name in lower case]
    #[arg(long, value_name = "NODE")]
    pub node_name: Option<String>,
    /// Store a zip, like the K3s option of this name
    #[arg(long, alias = "etcd-snapshot-compress", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub snapshot_compress: Option<String>,
    /// How to capture it: clone (by the file system; XFS, btrfs), copy (of the database file), stream (etcd sends it), or auto
    /// (the first of them that is possible) [default: auto]
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// Save the database file of an etcd that does not run [default: etcd must answer]
    #[arg(long, conflicts_with_all = ["method", "etcd_endpoints", "skip_without_etcd"])]
    pub offline: bool,
    /// Abort after this long without data from etcd [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub stall_timeout: Option<String>,
    /// Read at most this much of the database per second, for instance 20MiB [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub rate_limit: Option<String>,
    /// Client URLs of etcd [default: from DATA-DIR/server/db/etcd/config, else port 2379 on loopback]
    #[arg(long, value_name = "URL", value_delimiter = ',', action = ArgAction::Append)]
    pub etcd_endpoints: Vec<String>,
    /// CA certificate of etcd [default: DATA-DIR/server/tls/etcd/server-ca.crt]
    #[arg(long, value_name = "FILE")]
    pub etcd_cacert: Option<String>,
    /// Do not make the pending uploads of earlier saves
    #[arg(long)]
    pub no_backlog: bool,
    /// Client certificate for etcd [default: DATA-DIR/server/tls/etcd/client.crt]
    #[arg(long, value_name = "FILE")]
    pub etcd_cert: Option<String>,
    /// Key of the client certificate [default: DATA-DIR/server/tls/etcd/client.key]
    #[arg(long, value_name = "FILE")]
    pub etcd_key: Option<String>,
    /// Seal a recovery kit for this public key: age1..., ssh-ed25519 ... or ssh-rsa ... (can be repeated)
    #[arg(long, value_name = "KEY", action = ArgAction::Append)]
    pub kit_recipients: Vec<String>,
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
