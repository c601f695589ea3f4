// SPDX-License-Identifier: Apache-2.0
//! The command lines of all verbs. No logic: what a flag means is decided where settings are.
//!
//! An argument whose id is a row of `config/key.rs` (with `_` for `-`) goes the way of every setting.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{ArgAction, Args, CommandFactory, Parser, ValueEnum};

/// What every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// K3s's data-dir [default: /var/lib/rancher/k3s, or what K3s's config.yaml says]
    #[arg(short = 'd', long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The snapshot folder [default: DATA-DIR/server/db/snapshots, or what K3s's config.yaml says]
    #[arg(long, alias = "etcd-snapshot-dir", value_name = "DIR")]
    pub dir: Option<String>,
    /// K3s's configuration file [default: /etc/rancher/k3s/config.yaml, or $K3S_CONFIG_FILE]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<String>,
    /// The file that holds the server token, for the Token column [default: DATA-DIR/server/token]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// Work on the machine whose file system is mounted here; etcd is then contacted only if --etcd-endpoints names it
    #[arg(long, value_name = "DIR")]
    pub root: Option<String>,
    /// Where the manifests are kept, which remember what was proven [default: /var/lib/k3s-snapshot]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Where the lock is kept [default: /run/k3s-snapshot]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<String>,
    /// Print every effective setting and where it was said, then end
    #[arg(long)]
    pub explain: bool,
    /// How to report the result: text, or json with everything (see k3s-snapshot(7))
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub report: ReportFormat,
    /// Say nothing but warnings and errors, and show no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more
    #[arg(long)]
    pub debug: bool,
}

/// The bucket. Secrets are given as files, never as values: a command line can be seen by everybody.
#[derive(Debug, Args)]
#[command(next_help_heading = "S3 options")]
pub struct S3 {
    /// Use the bucket too: save sends the snapshot there, list shows what lies there
    #[arg(long, alias = "etcd-s3", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3: Option<String>,
    /// The store: a host, host:port or URL [default: s3.amazonaws.com]
    #[arg(long, alias = "etcd-s3-endpoint", value_name = "HOST")]
    pub s3_endpoint: Option<String>,
    /// Authorities that sign the store's certificate, instead of the system's: files, or base64 of PEM
    #[arg(long, alias = "etcd-s3-endpoint-ca", value_name = "FILE", action = ArgAction::Append)]
    pub s3_endpoint_ca: Vec<String>,
    /// Believe any certificate
    #[arg(long, alias = "etcd-s3-skip-ssl-verify", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3_skip_ssl_verify: Option<String>,
    /// A file that holds the access key [default: $AWS_ACCESS_KEY_ID, the credential s3-access-key, ...]
    #[arg(long, value_name = "FILE")]
    pub s3_access_key_file: Option<String>,
    /// A file that holds the secret key [default: $AWS_SECRET_ACCESS_KEY, the credential s3-secret-key, ...]
    #[arg(long, value_name = "FILE")]
    pub s3_secret_key_file: Option<String>,
    /// A file that holds the session token of temporary keys
    #[arg(long, value_name = "FILE")]
    pub s3_session_token_file: Option<String>,
    /// The bucket
    #[arg(long, alias = "etcd-s3-bucket", value_name = "NAME")]
    pub s3_bucket: Option<String>,
    /// Where a request names the bucket: auto, dns (in the host name) or path [default: auto]
    #[arg(long, alias = "etcd-s3-bucket-lookup-type", value_name = "TYPE")]
    pub s3_bucket_lookup_type: Option<String>,
    /// The bucket's region [default: us-east-1]
    #[arg(long, alias = "etcd-s3-region", value_name = "NAME")]
    pub s3_region: Option<String>,
    /// The folder in the bucket
    #[arg(long, alias = "etcd-s3-folder", value_name = "PATH")]
    pub s3_folder: Option<String>,
    /// Use plain HTTP
    #[arg(long, alias = "etcd-s3-insecure", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3_insecure: Option<String>,
    /// How long nothing may move before a request is given up [default: 5m]
    #[arg(long, alias = "etcd-s3-timeout", value_name = "DURATION")]
    pub s3_timeout: Option<String>,
    /// The proxy: a URL, or 'none' [default: as the environment says]
    #[arg(long, alias = "etcd-s3-proxy", value_name = "URL")]
    pub s3_proxy: Option<String>,
    /// The storage class of new objects
    #[arg(long, value_name = "CLASS")]
    pub s3_storage_class: Option<String>,
    /// Encryption by the store: AES256 or aws:kms
    #[arg(long, value_name = "KIND")]
    pub s3_encryption: Option<String>,
    /// The key for aws:kms
    #[arg(long, value_name = "ID")]
    pub s3_kms_key_id: Option<String>,
    /// A file with a key of 32 bytes that the store encrypts with and does not keep; K3s cannot read such objects
    #[arg(long, value_name = "FILE")]
    pub s3_customer_key_file: Option<String>,
    /// Tags of new objects: key=value,key=value
    #[arg(long, value_name = "LIST", action = ArgAction::Append)]
    pub s3_tags: Vec<String>,
    /// How many requests may be in flight at once [default: 4]
    #[arg(long, value_name = "N")]
    pub s3_parallel: Option<String>,
    /// The size of one part of an upload or download [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub s3_part_size: Option<String>,
    /// Send what earlier saves could not send after a new snapshot [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3_backlog: Option<String>,
    /// Refused: K3s takes the value here, where everybody can see it
    #[arg(long, alias = "etcd-s3-access-key", value_name = "VALUE", hide = true)]
    pub s3_access_key: Option<String>,
    /// Refused: K3s takes the value here, where everybody can see it
    #[arg(long, alias = "etcd-s3-secret-key", value_name = "VALUE", hide = true)]
    pub s3_secret_key: Option<String>,
    /// Refused: K3s takes the value here, where everybody can see it
    #[arg(long, alias = "etcd-s3-session-token", value_name = "VALUE", hide = true)]
    pub s3_session_token: Option<String>,
}

/// Values of `--report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Values of `list -o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// K3s's columns and ours.
    Table,
    /// The rows as JSON.
    Json,
    /// The rows as YAML.
    Yaml,
}

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
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}

/// List the snapshots and what is known of them
///
/// K3s's columns come first, then the node, etcd's revision, the state and whether a snapshot needs the token that
/// this server has. The state is "proven" where every byte was checked by save or verify and the file is unchanged
/// since, "unchecked" where nobody has looked, "bad" where a check failed or the size alone says so, "partial" where
/// a save was cut off, and "foreign" where it is not a snapshot. No snapshot is opened.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-list",
    version,
    after_help = "\
Examples:
  k3s-snapshot-list                     a table, oldest first
  k3s-snapshot-list -o json             for programs
  k3s-snapshot-list --max-age 25h       exit 1 unless a proven snapshot is at most 25 hours old

Exit codes: 0 done; 1 too old; 2 usage; 77 refused; 78 configuration. See k3s-snapshot-list(8)."
)]
pub struct List {
    /// How to print the rows
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Fail unless the newest proven snapshot is at most this old: 90m, 25h, 7d
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<String>,
    /// Fetch this snapshot from the bucket into this folder, prove it, and only then give it its name
    #[arg(long, num_args = 2, value_names = ["NAME", "DIR"])]
    pub fetch: Vec<String>,
    /// Look step by step what works of the bucket, and say what to do about what does not
    #[arg(long, conflicts_with = "fetch")]
    pub check_s3: bool,
    /// Read the manifests in the bucket too: node, revision, token
    #[arg(long)]
    pub details: bool,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}

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
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}

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
    #[command(flatten)]
    pub common: Common,
}

/// Delete snapshots by their names
///
/// Takes exact names of snapshots in the snapshot folder: no paths, no patterns. If one of them does not exist, nothing
/// is deleted. The last good snapshot of a group is not deleted without --force.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-snapshot-delete",
    version,
    after_help = "\
Examples:
  k3s-snapshot-delete on-demand-server-1-1795339215           asks, then deletes
  k3s-snapshot-delete --yes on-demand-server-1-1795339215     deletes, for scripts
  k3s-snapshot-delete --dry-run timer-server-1-1795339215     shows what would be done

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
    #[command(flatten)]
    pub common: Common,
}

/// The command lines of all verbs, for tests of the documents.
pub fn commands() -> Vec<clap::Command> {
    vec![Save::command(), List::command(), Verify::command(), Prune::command(), Delete::command()]
}

#[cfg(test)]
mod tests {
    use crate::config::key;

    #[test]
    fn the_command_lines_are_sound() {
        super::commands().into_iter().for_each(clap::Command::debug_assert);
    }

    #[test]
    fn every_setting_of_ours_has_a_flag_of_the_same_name_and_aliases() {
        for key in key::KEYS.iter().filter(|k| k.ours) {
            let found = super::commands().iter().any(|c| {
                c.get_arguments().any(|a| {
                    let mut names = a.get_all_aliases().unwrap_or_default();
                    names.extend(a.get_long());
                    names.contains(&key.name) && key.aliases.iter().all(|k| names.contains(k))
                })
            });
            assert!(found, "no verb has --{} with its aliases", key.name);
        }
    }
}
