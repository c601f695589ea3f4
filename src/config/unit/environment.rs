// SPDX-License-Identifier: Apache-2.0
//! The variables that the K3s service gives to K3s, and the flags that K3s takes from variables.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{env_file, unit_file};
use crate::config::layer::Origin;
use crate::config::paths::{in_root, is_dangling_link};
use crate::model::unit::Definition;

/// The variables that set a flag of K3s unless a configuration file or an argument sets it, by their K3s names.
pub(super) const FLAGS: [(&str, &str); 27] = [
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
    ("K3S_SYSTEM_DEFAULT_REGISTRY", "system-default-registry"),
    ("K3S_LB_SERVER_PORT", "lb-server-port"),
    ("K3S_RESOLV_CONF", "resolv-conf"),
    ("K3S_VPN_AUTH", "vpn-auth"),
    ("K3S_VPN_AUTH_FILE", "vpn-auth-file"),
    ("AWS_ACCESS_KEY_ID", "etcd-s3-access-key"),
    ("AWS_SECRET_ACCESS_KEY", "etcd-s3-secret-key"),
    ("AWS_SESSION_TOKEN", "etcd-s3-session-token"),
];

/// The variable that names the configuration file of K3s, by its K3s name.
pub(in crate::config) const CONFIG_FILE: &str = "K3S_CONFIG_FILE";

/// One variable, and where it is set.
#[derive(Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// The variables of a unit.
#[derive(Clone, Default)]
pub(super) struct Environment {
    /// Each variable once, in the order in which they were set last.
    pub(super) variables: Vec<Variable>,
    /// The environment files.
    pub(super) files: Vec<PathBuf>,
    /// Why variables may be missing: an environment file that exists and cannot be read.
    pub(super) unknown: Option<String>,
}

impl Environment {
    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|v| v.name == name).map(|v| v.value.as_str())
    }

    fn set(&mut self, name: &str, value: String, origin: Origin) {
        self.variables.retain(|v| v.name != name);
        self.variables.push(Variable { name: name.to_owned(), value, origin });
    }
}

/// The variables of a unit. An environment file that cannot be read is noted and does not end the reading: the one of K3s is
/// readable for root only, and users who list snapshots may not be root.
pub(super) fn read(definition: &Definition, root: &Path) -> Environment {
    let mut all = Environment::default();
    for (name, value) in &definition.environment {
        let origin = Origin::Environment { unit: definition.name.clone(), name: name.clone() };
        all.set(name, value.clone(), origin);
    }
    for (path, _) in &definition.environment_files {
        all.files.push(path.clone());
        // systemd allows patterns here.
        if path.to_string_lossy().contains(['*', '?', '[']) {
            all.unknown = Some(format!(
                "the environment files '{}' of {} are not read",
                path.display(),
                definition.name
            ));
            continue;
        }
        let text = match unit_file::read(root, path) {
            Ok(Some(text)) => text,
            Ok(None) if is_dangling_link(root, path) => {
                all.unknown = Some(format!(
                    "the environment file '{}' of {} is a link to a file that does not exist",
                    path.display(),
                    definition.name
                ));
                continue;
            }
            Ok(None) => String::new(),
            Err(e) => {
                log::debug!("environment of the K3s service: {e:#}");
                let why = e.root_cause().to_string();
                all.unknown = Some(format!(
                    "the environment file '{}' of {} cannot be read: {why}",
                    path.display(),
                    definition.name
                ));
                continue;
            }
        };
        let path = in_root(root, path).display().to_string();
        for v in env_file::parse(&text) {
            let origin = Origin::EnvironmentFile { path: path.clone(), line: v.line, name: v.name.clone() };
            all.set(&v.name, v.value, origin);
        }
    }
    all
}

/// The variables that the unit files of a unit set; none if there is no such unit.
///
/// # Errors
/// If a unit file cannot be read.
pub(crate) fn variables_in_files(root: &Path, unit: &str) -> Result<Vec<(String, String)>> {
    let Some(definition) = unit_file::load(root, unit)? else { return Ok(Vec::new()) };
    Ok(read(&definition, root).variables.into_iter().map(|v| (v.name, v.value)).collect())
}

/// Whether a process that resets the cluster of K3s must not get this variable: it would name another cluster, a bucket or
/// another configuration, or make the process report to a service manager.
pub(super) fn is_unsafe_for_reset(name: &str) -> bool {
    const UNSAFE_NAMES: [&str; 14] = [
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
    const UNSAFE_PREFIXES: [&str; 5] = ["AWS_", "K3S_ETCD_S3", "K3S_S3", "LISTEN_", "WATCHDOG_"];
    UNSAFE_NAMES.contains(&name) || UNSAFE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
