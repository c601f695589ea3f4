// SPDX-License-Identifier: Apache-2.0
//! The command line of save.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{ArgAction, Parser};

use super::{Common, S3};

/// Save a snapshot of K3s's etcd, and prove it before it gets its name
///
/// The snapshot is streamed from the local etcd with the client certificate that K3s keeps, checked byte by byte,
/// and only then appears in the snapshot folder, as <NAME>-<NODE>-<UNIX SECONDS>. K3s lists, prunes and restores it
/// like its own. Needs neither the API server nor k3s's own command; needs root to read K3s's certificates.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-save",
    version,
    after_help = "\
Examples:
  k3s-snapshot-save                          save as on-demand-<node>-<time>
  k3s-snapshot-save --name before-upgrade    save under another name
  k3s-snapshot-save --snapshot-compress      save as a zip, as K3s does
  k3s-snapshot-save --dir /mnt/backup        save to another folder
  k3s-snapshot-save --explain                show the settings and where they come from

Exit codes: 0 saved and proven; 1 failed; 2 usage; 3 kept, but not current; 65 the database is
damaged, or etcd says so; 75 another run is at work; 77 refused; 78 configuration.
See k3s-snapshot-save(8)."
)]
pub struct Save {
    /// What the name begins with
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The node in the name [default: K3s's node-name, else the host name in lower case]
    #[arg(long, value_name = "NODE")]
    pub node_name: Option<String>,
    /// Store a zip, as K3s's option of this name does
    #[arg(long, alias = "etcd-snapshot-compress", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub snapshot_compress: Option<String>,
    /// How to take it: clone (the file system clones the database file: instant, no load on etcd; XFS, btrfs), stream
    /// (etcd sends it), or auto (clone where that can be, else stream) [default: auto]
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// How long etcd may send nothing before the save is given up [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub stall_timeout: Option<String>,
    /// Where etcd listens [default: from DATA-DIR/server/db/etcd/config, else port 2379 on loopback]
    #[arg(long, value_name = "URL", value_delimiter = ',', action = ArgAction::Append)]
    pub etcd_endpoints: Vec<String>,
    /// The authority of etcd's certificates [default: DATA-DIR/server/tls/etcd/server-ca.crt]
    #[arg(long, value_name = "FILE")]
    pub etcd_cacert: Option<String>,
    /// Do not send what earlier saves could not send
    #[arg(long)]
    pub no_backlog: bool,
    /// The client certificate for etcd [default: DATA-DIR/server/tls/etcd/client.crt]
    #[arg(long, value_name = "FILE")]
    pub etcd_cert: Option<String>,
    /// Its key [default: DATA-DIR/server/tls/etcd/client.key]
    #[arg(long, value_name = "FILE")]
    pub etcd_key: Option<String>,
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
