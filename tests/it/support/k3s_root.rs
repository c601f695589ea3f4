// SPDX-License-Identifier: Apache-2.0
//! A machine's root directory with the data directory of a K3s server in it, as `scripts/make-k3s-root` lays it out. It vanishes when
//! dropped. The paths inside etcd's configuration are real ones, they do not start at the fake root.

use super::certs::Certs;
use super::ports::Ports;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the data directory shall be like; the default is a server of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// `rke2`; K3s when empty.
    pub(crate) distribution: String,
    /// Member name; K3s's own form when empty.
    pub(crate) name: String,
    /// Password of the server token; `secret` when empty.
    pub(crate) token: String,
    /// The data directory of a server to share authorities and token with.
    pub(crate) ca_of: Option<PathBuf>,
    /// All peers as name=url,...; this member alone when empty.
    pub(crate) initial_cluster: String,
    /// Joins a cluster that is there.
    pub(crate) joins: bool,
    /// The directory to make it in; that of temporary files when empty.
    pub(crate) under: PathBuf,
    /// Further lines of etcd's configuration.
    pub(crate) etcd_args: Vec<(String, String)>,
}

impl Layout {
    /// Adds a line to etcd's configuration.
    pub(crate) fn etcd_arg(mut self, key: &str, value: &str) -> Layout {
        self.etcd_args.push((key.into(), value.into()));
        self
    }
}

/// The root directory.
#[derive(Debug)]
pub(crate) struct K3sRoot {
    dir: tempfile::TempDir,
    distribution: String,
    pub(crate) ports: Ports,
}

impl K3sRoot {
    /// Lays it out, for an etcd on these ports.
    pub(crate) fn new(layout: &Layout, ports: Ports) -> K3sRoot {
        let dir = match layout.under.as_os_str().is_empty() {
            true => tempfile::tempdir(),
            false => tempfile::tempdir_in(&layout.under),
        };
        let distribution = match layout.distribution.as_str() {
            "" => "k3s".to_owned(),
            other => other.to_owned(),
        };
        let root = K3sRoot { dir: dir.unwrap(), distribution, ports };
        let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-k3s-root"));
        script.arg(root.data_dir());
        for (option, port) in [("client", ports.client), ("peer", ports.peer), ("metrics", ports.metrics)] {
            script.arg(format!("--{option}-port")).arg(port.to_string());
        }
        for (option, value) in [
            ("--distribution", &layout.distribution),
            ("--name", &layout.name),
            ("--token", &layout.token),
            ("--initial-cluster", &layout.initial_cluster),
        ] {
            if !value.is_empty() {
                script.args([option, value]);
            }
        }
        if let Some(other) = &layout.ca_of {
            script.arg("--ca-of").arg(other);
        }
        if layout.joins {
            script.args(["--initial-state", "existing"]);
        }
        for (key, value) in &layout.etcd_args {
            script.arg("--etcd-arg").arg(format!("{key}={value}"));
        }
        let made = script.output().unwrap();
        assert!(made.status.success(), "scripts/make-k3s-root: {}", String::from_utf8_lossy(&made.stderr));
        root
    }

    /// The root directory itself, for `--root`.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// K3s's data directory, for `--data-dir`.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("var/lib/rancher").join(&self.distribution)
    }

    /// `server` in the data directory.
    pub(crate) fn server(&self) -> PathBuf {
        self.data_dir().join("server")
    }

    /// The directory of the snapshots.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.server().join("db/snapshots")
    }

    /// The file names in the directory of the snapshots, sorted, whatever they are.
    pub(crate) fn snapshot_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.snapshots()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// etcd's configuration.
    pub(crate) fn etcd_config(&self) -> PathBuf {
        self.server().join("db/etcd/config")
    }

    /// Our own state, for `--state-dir`.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path().join("var/lib/k3s-snapshot")
    }

    /// Our own locks, for `--run-dir`.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.path().join("run/k3s-snapshot")
    }

    /// The certificates.
    pub(crate) fn certs(&self) -> Certs {
        Certs::of(&self.data_dir())
    }

    /// The member's name.
    pub(crate) fn member_name(&self) -> String {
        std::fs::read_to_string(self.server().join("db/etcd/name")).unwrap()
    }

    /// The password in the server token.
    pub(crate) fn token_password(&self) -> String {
        let token = std::fs::read_to_string(self.server().join("token")).unwrap();
        token.trim_end().rsplit(':').next().unwrap().to_owned()
    }

    /// Changes etcd's configuration so that every later reader expects etcd at this port.
    pub(crate) fn point_clients_at(&self, port: u16) {
        let url = format!("https://127.0.0.1:{port}");
        self.set_config(&[("advertise-client-urls", &url), ("listen-client-urls", &url)]);
    }

    /// Replaces top-level lines of etcd's configuration.
    pub(crate) fn set_config(&self, values: &[(&str, &str)]) {
        let mut text = std::fs::read_to_string(self.etcd_config()).unwrap();
        for (key, value) in values {
            let start = format!("{key}:");
            let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with(&start)).collect();
            text = format!("{}\n{key}: {value}\n", kept.join("\n"));
        }
        std::fs::write(self.etcd_config(), text).unwrap();
    }
}
