// SPDX-License-Identifier: Apache-2.0
//! The variables that a unit gives to K3s, and which of them K3s takes for flags.

use std::path::Path;

use super::{env_file, unit_file};
use crate::config::layer::Origin;
use crate::config::load::in_root;
use crate::model::unit::Definition;

/// The variables that K3s takes for flags where nothing says the flag, by K3s's names.
pub(super) const FLAGS: [(&str, &str); 26] = [
    ("K3S_DEBUG", "debug"),
    ("K3S_DATA_DIR", "data-dir"),
    ("K3S_TOKEN", "token"),
    ("K3S_TOKEN_FILE", "token-file"),
    ("K3S_AGENT_TOKEN", "agent-token"),
    ("K3S_AGENT_TOKEN_FILE", "agent-token-file"),
    ("K3S_CLUSTER_SECRET", "cluster-secret"),
    ("K3S_URL", "server"),
    ("K3S_CLUSTER_INIT", "cluster-init"),
    ("K3S_CLUSTER_RESET", "cluster-reset"),
    ("K3S_KUBECONFIG_OUTPUT", "write-kubeconfig"),
    ("K3S_KUBECONFIG_MODE", "write-kubeconfig-mode"),
    ("K3S_KUBECONFIG_GROUP", "write-kubeconfig-group"),
    ("K3S_DATASTORE_ENDPOINT", "datastore-endpoint"),
    ("K3S_DATASTORE_CAFILE", "datastore-cafile"),
    ("K3S_DATASTORE_CERTFILE", "datastore-certfile"),
    ("K3S_DATASTORE_KEYFILE", "datastore-keyfile"),
    ("K3S_NODE_NAME", "node-name"),
    ("K3S_SELINUX", "selinux"),
    ("K3S_LB_SERVER_PORT", "lb-server-port"),
    ("K3S_RESOLV_CONF", "resolv-conf"),
    ("K3S_VPN_AUTH", "vpn-auth"),
    ("K3S_VPN_AUTH_FILE", "vpn-auth-file"),
    ("AWS_ACCESS_KEY_ID", "etcd-s3-access-key"),
    ("AWS_SECRET_ACCESS_KEY", "etcd-s3-secret-key"),
    ("AWS_SESSION_TOKEN", "etcd-s3-session-token"),
];

/// The variable that names K3s's configuration file, by K3s's name.
pub(in crate::config) const CONFIG_FILE: &str = "K3S_CONFIG_FILE";

/// One variable, and where it was said.
#[derive(Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// The variables of a unit, each once. A file that may not be read, or is not there, is passed over: K3s's is for root
/// alone, and not everybody who lists snapshots is root.
pub(super) fn of(definition: &Definition, root: &Path) -> Vec<Variable> {
    let mut all: Vec<Variable> = Vec::new();
    let mut set = |name: &str, value: String, origin: Origin| {
        all.retain(|v| v.name != name);
        all.push(Variable { name: name.to_owned(), value, origin });
    };
    for (name, value) in &definition.environment {
        let origin = Origin::Environment { unit: definition.name.clone(), name: name.clone() };
        set(name, value.clone(), origin);
    }
    for (path, _) in &definition.environment_files {
        let path = in_root(root, path);
        let text = match unit_file::read(root, &path) {
            Ok(text) => text.unwrap_or_default(),
            Err(e) => {
                log::debug!("environment of K3s's unit: {e:#}");
                continue;
            }
        };
        for v in env_file::parse(&text) {
            let origin = Origin::EnvironmentFile {
                path: path.display().to_string(),
                line: v.line,
                name: v.name.clone(),
            };
            set(&v.name, v.value, origin);
        }
    }
    all
}

/// Whether a process that resets K3s's cluster must not get this variable: it would lead it to another cluster, to a
/// bucket, to another configuration, or make it speak to a service manager that does not listen.
pub(super) fn leads_astray(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "K3S_URL",
        "K3S_CLUSTER_RESET",
        CONFIG_FILE,
        "NOTIFY_SOCKET",
        "CREDENTIALS_DIRECTORY",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "MAINPID",
        "MANAGERPID",
        "SYSTEMD_EXEC_PID",
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "PIDFILE",
        "TRIGGER_UNIT",
    ];
    const BEGINNINGS: [&str; 5] = ["AWS_", "K3S_ETCD_S3", "K3S_S3", "LISTEN_", "WATCHDOG_"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|b| name.starts_with(b))
}
