// SPDX-License-Identifier: Apache-2.0
//! The options of the bucket, for every command that uses it.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{ArgAction, Args};

/// The options of the bucket.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "S3 options")]
pub struct S3 {
    /// Use the bucket too: save uploads to it, list shows it, restore downloads from it, prune and delete delete in it
    #[arg(long, alias = "etcd-s3", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3: Option<String>,
    /// Endpoint of the store: host, host:port or URL [default: s3.amazonaws.com]
    #[arg(long, alias = "etcd-s3-endpoint", value_name = "HOST")]
    pub s3_endpoint: Option<String>,
    /// CA certificates to trust instead of the system's: PEM files, or base64 of PEM
    #[arg(long, alias = "etcd-s3-endpoint-ca", value_name = "FILE", action = ArgAction::Append)]
    pub s3_endpoint_ca: Vec<String>,
    /// Do not verify the server certificate (insecure)
    #[arg(long, alias = "etcd-s3-skip-ssl-verify", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3_skip_ssl_verify: Option<String>,
    /// File with the access key [default: $AWS_ACCESS_KEY_ID, the systemd credential s3-access-key, ...]
    #[arg(long, value_name = "FILE")]
    pub s3_access_key_file: Option<String>,
    /// File with the secret key [default: $AWS_SECRET_ACCESS_KEY, the systemd credential s3-secret-key, ...]
    #[arg(long, value_name = "FILE")]
    pub s3_secret_key_file: Option<String>,
    /// File with the session token of temporary credentials
    #[arg(long, value_name = "FILE")]
    pub s3_session_token_file: Option<String>,
    /// Name of the bucket
    #[arg(long, alias = "etcd-s3-bucket", value_name = "NAME")]
    pub s3_bucket: Option<String>,
    /// Bucket name in the host name (dns) or in the path (path) [default: auto]
    #[arg(long, alias = "etcd-s3-bucket-lookup-type", value_name = "TYPE")]
    pub s3_bucket_lookup_type: Option<String>,
    /// Region of the bucket [default: us-east-1]
    #[arg(long, alias = "etcd-s3-region", value_name = "NAME")]
    pub s3_region: Option<String>,
    /// Prefix in the bucket
    #[arg(long, alias = "etcd-s3-folder", value_name = "PATH")]
    pub s3_folder: Option<String>,
    /// Use plain HTTP
    #[arg(long, alias = "etcd-s3-insecure", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3_insecure: Option<String>,
    /// Abort a request after this long without progress [default: 5m]
    #[arg(long, alias = "etcd-s3-timeout", value_name = "DURATION")]
    pub s3_timeout: Option<String>,
    /// HTTP proxy URL, or 'none' [default: HTTPS_PROXY and NO_PROXY]
    #[arg(long, alias = "etcd-s3-proxy", value_name = "URL")]
    pub s3_proxy: Option<String>,
    /// Storage class of new objects
    #[arg(long, value_name = "CLASS")]
    pub s3_storage_class: Option<String>,
    /// Server-side encryption: AES256 or aws:kms
    #[arg(long, value_name = "KIND")]
    pub s3_encryption: Option<String>,
    /// Key ID for aws:kms
    #[arg(long, value_name = "ID")]
    pub s3_kms_key_id: Option<String>,
    /// File with a key of 32 bytes for SSE-C; K3s cannot read such objects
    #[arg(long, value_name = "FILE")]
    pub s3_customer_key_file: Option<String>,
    /// Tags of new objects: key=value,key=value
    #[arg(long, value_name = "LIST", action = ArgAction::Append)]
    pub s3_tags: Vec<String>,
    /// Parts of an upload in flight at once; a download has twice as many [default: 4]
    #[arg(long, value_name = "N")]
    pub s3_parallel: Option<String>,
    /// Size of one part of an upload or download [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub s3_part_size: Option<String>,
    /// After a save, make the pending uploads of earlier saves too [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub s3_backlog: Option<String>,
    /// The value itself, as K3s takes it; the process list shows it: prefer the -file option
    #[arg(long, alias = "etcd-s3-access-key", value_name = "VALUE", hide = true)]
    pub s3_access_key: Option<String>,
    /// The value itself, as K3s takes it; the process list shows it: prefer the -file option
    #[arg(long, alias = "etcd-s3-secret-key", value_name = "VALUE", hide = true)]
    pub s3_secret_key: Option<String>,
    /// The value itself, as K3s takes it; the process list shows it: prefer the -file option
    #[arg(long, alias = "etcd-s3-session-token", value_name = "VALUE", hide = true)]
    pub s3_session_token: Option<String>,
}
