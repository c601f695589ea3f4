// SPDX-License-Identifier: Apache-2.0
//! The table of options: one row each, for flags, configuration files and environment alike.
//!
//! A new option is a row here, a field in `settings.rs`, a flag in `cli/` and a paragraph in k3s-snapshot.conf(5);
//! tests hold the four together.

/// One option.
#[derive(Debug)]
pub struct OptionSpec {
    /// Its name: flag, configuration key and (upper case, with `_`) environment variable.
    pub name: &'static str,
    /// Other spellings in our own configuration and on the command line.
    pub aliases: &'static [&'static str],
    /// The keys of K3s's config.yaml that mean it.
    pub k3s: &'static [&'static str],
    /// The environment variables of K3s that mean it; RKE2's begin with `RKE2_` where these do with `K3S_`.
    pub k3s_env: &'static [&'static str],
    /// Whether it may be set in our own configuration and by `K3S_SNAPSHOT_*`; else it is only read from K3s.
    pub ours: bool,
    /// Whether all of its values count; else the last one does.
    pub list: bool,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Its value where nothing sets it.
    pub default: Option<&'static str>,
}

const fn key(name: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        aliases: &[],
        k3s: &[],
        k3s_env: &[],
        ours: true,
        list: false,
        secret: false,
        default: None,
    }
}

const fn k3s_only(
    name: &'static str,
    k3s: &'static [&'static str],
    k3s_env: &'static [&'static str],
) -> OptionSpec {
    OptionSpec { k3s, k3s_env, ours: false, ..key(name) }
}

/// A secret: on a command line it would be seen by everybody, so there is a file for it.
const fn secret(
    name: &'static str,
    aliases: &'static [&'static str],
    k3s: &'static [&'static str],
    k3s_env: &'static [&'static str],
) -> OptionSpec {
    OptionSpec { aliases, k3s, k3s_env, secret: true, ..key(name) }
}

/// Where manifests are kept.
pub const STATE_DIR: &str = "/var/lib/k3s-snapshot";
/// Where locks are kept.
pub const RUN_DIR: &str = "/run/k3s-snapshot";
/// The option of K3s's schedule.
pub const SCHEDULE: &str = "etcd-snapshot-schedule-cron";

/// Every option, in the order of `--explain`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec { default: Some("k3s"), ..key("distribution") },
    OptionSpec { k3s: &["data-dir", "d"], k3s_env: &["K3S_DATA_DIR"], ..key("data-dir") },
    OptionSpec { k3s: &["node-name"], k3s_env: &["K3S_NODE_NAME"], ..key("node-name") },
    OptionSpec { aliases: &["etcd-snapshot-dir"], k3s: &["etcd-snapshot-dir"], ..key("dir") },
    OptionSpec { default: Some("manual"), ..key("name") },
    OptionSpec {
        aliases: &["etcd-snapshot-compress"],
        k3s: &["etcd-snapshot-compress", "snapshot-compress"],
        default: Some("false"),
        ..key("snapshot-compress")
    },
    OptionSpec { default: Some("auto"), ..key("method") },
    OptionSpec { default: Some("30s"), ..key("stall-timeout") },
    OptionSpec { list: true, ..key("etcd-endpoints") },
    key("etcd-cacert"),
    key("etcd-cert"),
    key("etcd-key"),
    key("max-age"),
    OptionSpec {
        aliases: &["keep-last", "etcd-snapshot-retention"],
        k3s: &["etcd-snapshot-retention", "snapshot-retention"],
        default: Some("5"),
        ..key("snapshot-retention")
    },
    key("keep-hourly"),
    key("keep-daily"),
    key("keep-weekly"),
    key("keep-monthly"),
    key("keep-yearly"),
    key("keep-within"),
    key("timezone"),
    OptionSpec { aliases: &["etcd-s3"], k3s: &["etcd-s3", "s3"], default: Some("false"), ..key("s3") },
    OptionSpec {
        aliases: &["etcd-s3-endpoint"],
        k3s: &["etcd-s3-endpoint", "s3-endpoint"],
        default: Some("s3.amazonaws.com"),
        ..key("s3-endpoint")
    },
    OptionSpec {
        list: true,
        aliases: &["etcd-s3-endpoint-ca"],
        k3s: &["etcd-s3-endpoint-ca", "s3-endpoint-ca"],
        ..key("s3-endpoint-ca")
    },
    OptionSpec {
        aliases: &["etcd-s3-skip-ssl-verify"],
        k3s: &["etcd-s3-skip-ssl-verify", "s3-skip-ssl-verify"],
        default: Some("false"),
        ..key("s3-skip-ssl-verify")
    },
    secret(
        "s3-access-key",
        &["etcd-s3-access-key"],
        &["etcd-s3-access-key", "s3-access-key"],
        &["AWS_ACCESS_KEY_ID"],
    ),
    key("s3-access-key-file"),
    secret(
        "s3-secret-key",
        &["etcd-s3-secret-key"],
        &["etcd-s3-secret-key", "s3-secret-key"],
        &["AWS_SECRET_ACCESS_KEY"],
    ),
    key("s3-secret-key-file"),
    secret(
        "s3-session-token",
        &["etcd-s3-session-token"],
        &["etcd-s3-session-token", "s3-session-token"],
        &["AWS_SESSION_TOKEN"],
    ),
    key("s3-session-token-file"),
    OptionSpec { aliases: &["etcd-s3-bucket"], k3s: &["etcd-s3-bucket", "s3-bucket"], ..key("s3-bucket") },
    OptionSpec {
        aliases: &["etcd-s3-bucket-lookup-type"],
        k3s: &["etcd-s3-bucket-lookup-type", "s3-bucket-lookup-type"],
        default: Some("auto"),
        ..key("s3-bucket-lookup-type")
    },
    OptionSpec {
        aliases: &["etcd-s3-region"],
        k3s: &["etcd-s3-region", "s3-region"],
        default: Some("us-east-1"),
        ..key("s3-region")
    },
    OptionSpec { aliases: &["etcd-s3-folder"], k3s: &["etcd-s3-folder", "s3-folder"], ..key("s3-folder") },
    OptionSpec {
        aliases: &["etcd-s3-insecure"],
        k3s: &["etcd-s3-insecure", "s3-insecure"],
        default: Some("false"),
        ..key("s3-insecure")
    },
    OptionSpec {
        aliases: &["etcd-s3-timeout"],
        k3s: &["etcd-s3-timeout", "s3-timeout"],
        default: Some("5m"),
        ..key("s3-timeout")
    },
    OptionSpec {
        secret: true,
        ..OptionSpec { aliases: &["etcd-s3-proxy"], k3s: &["etcd-s3-proxy", "s3-proxy"], ..key("s3-proxy") }
    },
    OptionSpec {
        aliases: &["etcd-s3-retention"],
        k3s: &["etcd-s3-retention", "s3-retention"],
        ..key("s3-retention")
    },
    k3s_only("s3-config-secret", &["etcd-s3-config-secret", "s3-config-secret"], &[]),
    key("s3-storage-class"),
    key("s3-encryption"),
    key("s3-kms-key-id"),
    key("s3-customer-key-file"),
    OptionSpec { list: true, ..key("s3-tags") },
    OptionSpec { default: Some("4"), ..key("s3-parallel") },
    OptionSpec { default: Some("16MiB"), ..key("s3-part-size") },
    OptionSpec { default: Some("true"), ..key("s3-backlog") },
    k3s_only("aws-shared-credentials-file", &[], &["AWS_SHARED_CREDENTIALS_FILE"]),
    OptionSpec { default: Some("default"), ..k3s_only("aws-profile", &[], &["AWS_PROFILE"]) },
    OptionSpec {
        default: Some("http://169.254.169.254"),
        ..k3s_only("aws-metadata-endpoint", &[], &["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
    },
    k3s_only("aws-metadata-disabled", &[], &["AWS_EC2_METADATA_DISABLED"]),
    OptionSpec { default: Some(STATE_DIR), ..key("state-dir") },
    OptionSpec { default: Some(RUN_DIR), ..key("run-dir") },
    key("retry-lock"),
    key("unit"),
    OptionSpec { k3s: &["token-file"], k3s_env: &["K3S_TOKEN_FILE"], ..key("token-file") },
    OptionSpec { secret: true, ..k3s_only("token", &["token", "t"], &["K3S_TOKEN"]) },
    OptionSpec {
        secret: true, // its URL may hold a password
        ..k3s_only("datastore-endpoint", &["datastore-endpoint"], &["K3S_DATASTORE_ENDPOINT"])
    },
    k3s_only("etcd-snapshot-name", &["etcd-snapshot-name"], &[]),
    k3s_only(SCHEDULE, &[SCHEDULE], &[]),
    OptionSpec {
        default: Some("false"),
        ..k3s_only("etcd-disable-snapshots", &["etcd-disable-snapshots"], &[])
    },
    OptionSpec { default: Some("6443"), ..k3s_only("https-listen-port", &["https-listen-port"], &[]) },
    OptionSpec {
        default: Some("false"),
        ..k3s_only("cluster-init", &["cluster-init"], &["K3S_CLUSTER_INIT"])
    },
    OptionSpec { default: Some("false"), ..k3s_only("disable-etcd", &["disable-etcd"], &[]) },
    k3s_only("write-kubeconfig", &["write-kubeconfig", "o"], &["K3S_KUBECONFIG_OUTPUT"]),
];

/// The row of a key by its name; `None` is a programming error that the tests find.
pub fn by_name(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|k| k.name == name)
}

/// The row that a key of our own configuration means.
pub fn by_our_spelling(spelling: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|k| k.ours && (k.name == spelling || k.aliases.contains(&spelling)))
}

/// The row that a key of K3s's config.yaml means.
pub fn by_k3s_spelling(spelling: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|k| k.k3s.contains(&spelling))
}

impl OptionSpec {
    /// Our own environment variable.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

/// What our environment variables begin with.
pub const ENV_PREFIX: &str = "K3S_SNAPSHOT_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_means_two_things() {
        let mut ours: Vec<&str> =
            OPTIONS.iter().flat_map(|k| k.aliases.iter().copied().chain([k.name])).collect();
        let mut k3s: Vec<&str> = OPTIONS.iter().flat_map(|k| k.k3s.iter().copied()).collect();
        for all in [&mut ours, &mut k3s] {
            let before = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), before);
        }
        assert_eq!(by_name("dir").unwrap().env(), "K3S_SNAPSHOT_DIR");
    }
}
