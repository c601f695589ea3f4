// SPDX-License-Identifier: Apache-2.0
//! The table of options: one row each, for flags, configuration files and environment variables.
//!
//! A new option is a row here, a field in `settings.rs`, a flag in `cli/` and a paragraph in k3s-snapshot.conf(5); tests
//! compare the four.

/// One option.
#[derive(Debug)]
pub struct OptionSpec {
    /// Its identity in code.
    pub(crate) id: OptionId,
    /// Its name: flag, configuration key and (upper case, with `_`) environment variable.
    pub name: &'static str,
    /// Other spellings in our own configuration and on the command line.
    pub aliases: &'static [&'static str],
    /// The keys of K3s's config.yaml that mean it. The first one is the flag of `k3s server` and wins over the others.
    pub k3s: &'static [&'static str],
    /// The environment variables of K3s that mean it, the one that wins first; those of RKE2 begin with `RKE2_` instead of
    /// `K3S_`.
    pub k3s_env: &'static [&'static str],
    /// Whether our own configuration and `K3S_SNAPSHOT_*` can set it; else it is only read from K3s.
    pub is_ours: bool,
    /// Whether all of its values count; else only the last one does.
    pub is_list: bool,
    /// Whether its value must never be shown.
    pub is_secret: bool,
    /// Its value if it is not set.
    pub default: Option<&'static str>,
    /// What its value is.
    pub(crate) kind: ValueKind,
}

/// What the value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// Any text.
    Text,
    /// True or false.
    Bool,
    /// A whole number.
    Number,
    /// A duration, such as `90m`.
    Duration,
    /// The path of a file that is only read.
    File,
    /// The path of a directory.
    Directory,
}

/// Where manifests are stored.
pub const STATE_DIR: &str = "/var/lib/k3s-snapshot";
/// Where locks are stored.
pub const RUN_DIR: &str = "/run/k3s-snapshot";
/// The prefix of our environment variables.
pub const ENV_PREFIX: &str = "K3S_SNAPSHOT_";

macro_rules! options {
    ($($(#[$doc:meta])* $id:ident $name:literal { $($field:ident: $value:expr),* $(,)? })*) => {
        /// The identity of an option.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum OptionId { $($(#[$doc])* $id),* }

        /// Every option, in the order of `--show-config`.
        pub const OPTIONS: &[OptionSpec] = &[$(OptionSpec {
            id: OptionId::$id,
            name: $name,
            $($field: $value,)*
            ..NOTHING_SPECIAL
        }),*];

        impl OptionId {
            /// Its name.
            pub(crate) fn name(self) -> &'static str {
                match self { $(OptionId::$id => $name),* }
            }
        }
    };
}

/// A text of ours without other spellings and without a default.
const NOTHING_SPECIAL: OptionSpec = OptionSpec {
    id: OptionId::Name,
    name: "",
    aliases: &[],
    k3s: &[],
    k3s_env: &[],
    is_ours: true,
    is_list: false,
    is_secret: false,
    default: None,
    kind: ValueKind::Text,
};

options! {
    Distribution "distribution" { default: Some("k3s") }
    DataDir "data-dir" { k3s: &["data-dir", "d"], k3s_env: &["K3S_DATA_DIR"], kind: ValueKind::Directory }
    NodeName "node-name" { k3s: &["node-name"], k3s_env: &["K3S_NODE_NAME"] }
    Dir "dir" { aliases: &["etcd-snapshot-dir"], k3s: &["etcd-snapshot-dir"], kind: ValueKind::Directory }
    Name "name" { default: Some("manual") }
    Compress "snapshot-compress" { aliases: &["etcd-snapshot-compress"], k3s: &["etcd-snapshot-compress", "snapshot-compress"], default: Some("false"), kind: ValueKind::Bool }
    Method "method" { default: Some("auto") }
    StallTimeout "stall-timeout" { default: Some("30s"), kind: ValueKind::Duration }
    RateLimit "rate-limit" {}
    EtcdEndpoints "etcd-endpoints" { is_list: true }
    EtcdCacert "etcd-cacert" { kind: ValueKind::File }
    EtcdCert "etcd-cert" { kind: ValueKind::File }
    EtcdKey "etcd-key" { kind: ValueKind::File }
    MaxAge "max-age" { kind: ValueKind::Duration }
    SnapshotRetention "snapshot-retention" { aliases: &["keep-last", "etcd-snapshot-retention"], k3s: &["etcd-snapshot-retention", "snapshot-retention"], default: Some("5"), kind: ValueKind::Number }
    KeepHourly "keep-hourly" { kind: ValueKind::Number }
    KeepDaily "keep-daily" { kind: ValueKind::Number }
    KeepWeekly "keep-weekly" { kind: ValueKind::Number }
    KeepMonthly "keep-monthly" { kind: ValueKind::Number }
    KeepYearly "keep-yearly" { kind: ValueKind::Number }
    KeepWithin "keep-within" { kind: ValueKind::Duration }
    Timezone "timezone" {}
    S3 "s3" { aliases: &["etcd-s3"], k3s: &["etcd-s3", "s3"], default: Some("false"), kind: ValueKind::Bool }
    S3Endpoint "s3-endpoint" { aliases: &["etcd-s3-endpoint"], k3s: &["etcd-s3-endpoint", "s3-endpoint"], default: Some("s3.amazonaws.com") }
    S3EndpointCa "s3-endpoint-ca" { aliases: &["etcd-s3-endpoint-ca"], k3s: &["etcd-s3-endpoint-ca", "s3-endpoint-ca"], is_list: true, kind: ValueKind::File }
    S3SkipSslVerify "s3-skip-ssl-verify" { aliases: &["etcd-s3-skip-ssl-verify"], k3s: &["etcd-s3-skip-ssl-verify", "s3-skip-ssl-verify"], default: Some("false"), kind: ValueKind::Bool }
    S3AccessKey "s3-access-key" { aliases: &["etcd-s3-access-key"], k3s: &["etcd-s3-access-key", "s3-access-key"], k3s_env: &["AWS_ACCESS_KEY_ID"], is_secret: true }
    S3AccessKeyFile "s3-access-key-file" { kind: ValueKind::File }
    S3SecretKey "s3-secret-key" { aliases: &["etcd-s3-secret-key"], k3s: &["etcd-s3-secret-key", "s3-secret-key"], k3s_env: &["AWS_SECRET_ACCESS_KEY"], is_secret: true }
    S3SecretKeyFile "s3-secret-key-file" { kind: ValueKind::File }
    S3SessionToken "s3-session-token" { aliases: &["etcd-s3-session-token"], k3s: &["etcd-s3-session-token", "s3-session-token"], k3s_env: &["AWS_SESSION_TOKEN"], is_secret: true }
    S3SessionTokenFile "s3-session-token-file" { kind: ValueKind::File }
    S3Bucket "s3-bucket" { aliases: &["etcd-s3-bucket"], k3s: &["etcd-s3-bucket", "s3-bucket"] }
    S3BucketLookupType "s3-bucket-lookup-type" { aliases: &["etcd-s3-bucket-lookup-type"], k3s: &["etcd-s3-bucket-lookup-type", "s3-bucket-lookup-type"], default: Some("auto") }
    S3Region "s3-region" { aliases: &["etcd-s3-region"], k3s: &["etcd-s3-region", "s3-region"], default: Some("us-east-1") }
    S3Folder "s3-folder" { aliases: &["etcd-s3-folder"], k3s: &["etcd-s3-folder", "s3-folder"] }
    S3Insecure "s3-insecure" { aliases: &["etcd-s3-insecure"], k3s: &["etcd-s3-insecure", "s3-insecure"], default: Some("false"), kind: ValueKind::Bool }
    S3Timeout "s3-timeout" { aliases: &["etcd-s3-timeout"], k3s: &["etcd-s3-timeout", "s3-timeout"], default: Some("5m"), kind: ValueKind::Duration }
    S3Proxy "s3-proxy" { aliases: &["etcd-s3-proxy"], k3s: &["etcd-s3-proxy", "s3-proxy"], is_secret: true }
    HttpsProxy "https-proxy" { is_ours: false, k3s_env: &["HTTPS_PROXY", "https_proxy"], is_secret: true }
    HttpProxy "http-proxy" { is_ours: false, k3s_env: &["HTTP_PROXY", "http_proxy"], is_secret: true }
    NoProxy "no-proxy" { is_ours: false, k3s_env: &["NO_PROXY", "no_proxy"] }
    S3Retention "s3-retention" { aliases: &["etcd-s3-retention"], k3s: &["etcd-s3-retention", "s3-retention"], kind: ValueKind::Number }
    S3ConfigSecret "s3-config-secret" { is_ours: false, k3s: &["etcd-s3-config-secret", "s3-config-secret"] }
    S3StorageClass "s3-storage-class" {}
    S3Encryption "s3-encryption" {}
    S3KmsKeyId "s3-kms-key-id" {}
    S3CustomerKeyFile "s3-customer-key-file" { kind: ValueKind::File }
    S3Tags "s3-tags" { is_list: true }
    S3Parallel "s3-parallel" { default: Some("4"), kind: ValueKind::Number }
    S3PartSize "s3-part-size" { default: Some("16MiB") }
    S3Backlog "s3-backlog" { default: Some("true"), kind: ValueKind::Bool }
    AwsSharedCredentialsFile "aws-shared-credentials-file" { is_ours: false, k3s_env: &["AWS_SHARED_CREDENTIALS_FILE"], kind: ValueKind::File }
    AwsProfile "aws-profile" { is_ours: false, k3s_env: &["AWS_PROFILE"], default: Some("default") }
    AwsMetadataEndpoint "aws-metadata-endpoint" { is_ours: false, k3s_env: &["AWS_EC2_METADATA_SERVICE_ENDPOINT"], default: Some("http://169.254.169.254") }
    AwsMetadataDisabled "aws-metadata-disabled" { is_ours: false, k3s_env: &["AWS_EC2_METADATA_DISABLED"], kind: ValueKind::Bool }
    KitRecipients "kit-recipients" { is_list: true }
    StateDir "state-dir" { default: Some(STATE_DIR), kind: ValueKind::Directory }
    RunDir "run-dir" { default: Some(RUN_DIR), kind: ValueKind::Directory }
    RetryLock "retry-lock" { kind: ValueKind::Duration }
    MetricsDir "metrics-dir" { kind: ValueKind::Directory }
    PingUrlSave "ping-url-save" { is_secret: true }
    PingUrlSaveFile "ping-url-save-file" { kind: ValueKind::File }
    PingUrlPrune "ping-url-prune" { is_secret: true }
    PingUrlPruneFile "ping-url-prune-file" { kind: ValueKind::File }
    PingUrlVerify "ping-url-verify" { is_secret: true }
    PingUrlVerifyFile "ping-url-verify-file" { kind: ValueKind::File }
    NotifyUrl "notify-url" { is_secret: true }
    NotifyUrlFile "notify-url-file" { kind: ValueKind::File }
    Unit "unit" {}
    TokenFile "token-file" { k3s: &["token-file"], k3s_env: &["K3S_TOKEN_FILE"], kind: ValueKind::File }
    Token "token" { is_ours: false, k3s: &["token", "t"], k3s_env: &["K3S_TOKEN"], is_secret: true }
    // Its URL may hold a password.
    DatastoreEndpoint "datastore-endpoint" { is_ours: false, k3s: &["datastore-endpoint"], k3s_env: &["K3S_DATASTORE_ENDPOINT"], is_secret: true }
    ScheduledName "etcd-snapshot-name" { is_ours: false, k3s: &["etcd-snapshot-name"] }
    Schedule "etcd-snapshot-schedule-cron" { is_ours: false, k3s: &["etcd-snapshot-schedule-cron"] }
    DisableSnapshots "etcd-disable-snapshots" { is_ours: false, k3s: &["etcd-disable-snapshots"], default: Some("false"), kind: ValueKind::Bool }
    HttpsListenPort "https-listen-port" { is_ours: false, k3s: &["https-listen-port"], default: Some("6443"), kind: ValueKind::Number }
    ClusterInit "cluster-init" { is_ours: false, k3s: &["cluster-init"], k3s_env: &["K3S_CLUSTER_INIT"], default: Some("false"), kind: ValueKind::Bool }
    DisableEtcd "disable-etcd" { is_ours: false, k3s: &["disable-etcd"], default: Some("false"), kind: ValueKind::Bool }
    WriteKubeconfig "write-kubeconfig" { is_ours: false, k3s: &["write-kubeconfig", "o"], k3s_env: &["K3S_KUBECONFIG_OUTPUT"], kind: ValueKind::File }
}

/// The option that a key of our own configuration means.
pub(crate) fn find(spelling: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|o| o.is_ours && (o.name == spelling || o.aliases.contains(&spelling)))
}

/// The option that a key of K3s's config.yaml means.
pub(crate) fn find_k3s(spelling: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|o| o.k3s.contains(&spelling))
}

impl OptionSpec {
    /// The name of our own environment variable for it.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_meaning() {
        let mut ours: Vec<&str> =
            OPTIONS.iter().flat_map(|o| o.aliases.iter().copied().chain([o.name])).collect();
        let mut k3s: Vec<&str> = OPTIONS.iter().flat_map(|o| o.k3s.iter().copied()).collect();
        for all in [&mut ours, &mut k3s] {
            let before = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), before);
        }
        assert_eq!(find("dir").unwrap().env(), "K3S_SNAPSHOT_DIR");
        assert!(OPTIONS.iter().all(|o| o.id.name() == o.name));
    }
}
