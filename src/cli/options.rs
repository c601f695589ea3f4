// SPDX-License-Identifier: Apache-2.0
//! What several verbs take: the common options and those of the bucket.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{ArgAction, Args, ValueEnum};

/// What every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The distribution: k3s or rke2 [default: what is found on the machine]
    #[arg(long, value_name = "NAME")]
    pub distribution: Option<String>,
    /// K3s's data-dir [default: /var/lib/rancher/k3s, or what K3s's configuration or unit says]
    #[arg(short = 'd', long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The snapshot folder [default: DATA-DIR/server/db/snapshots, or what K3s's configuration says]
    #[arg(long, alias = "etcd-snapshot-dir", value_name = "DIR")]
    pub dir: Option<String>,
    /// K3s's configuration file [default: $K3S_CONFIG_FILE, what K3s's unit names, or /etc/rancher/k3s/config.yaml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<String>,
    /// K3s's unit, whose flags and environment count as K3s's configuration does [default: k3s.service, else the one that
    /// runs K3s]
    #[arg(long, value_name = "NAME")]
    pub unit: Option<String>,
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
    /// Use the bucket too: save sends there, list shows what lies there, restore fetches from there, prune and delete take
    /// from there
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
    /// How many parts of an upload may be in flight at once; twice as many requests when reading [default: 4]
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
