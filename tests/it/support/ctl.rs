// SPDX-License-Identifier: Apache-2.0
//! etcd's own programs, etcdctl and etcdutl: the second opinion on what ours say. Each call is a process, so for many
//! keys take `Etcd::fill`.

use super::etcd::Etcd;
use super::require;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn program(name: &str) -> Command {
    let path = require::etcd_programs().unwrap_or_else(|why| panic!("{why}")).join(name);
    let mut command = Command::new(path);
    command.env("ETCDCTL_API", "3");
    command
}

fn told(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Etcd {
    /// Runs etcdctl with K3s's client certificate against this member.
    pub(crate) fn ctl<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        let certs = self.root.certs();
        program("etcdctl")
            .arg("--endpoints")
            .arg(self.endpoint())
            .arg("--cacert")
            .arg(certs.ca())
            .arg("--cert")
            .arg(certs.file("client.crt"))
            .arg("--key")
            .arg(certs.file("client.key"))
            .args(args)
            .output()
            .unwrap()
    }

    /// Writes a key.
    pub(crate) fn put(&self, key: &str, value: &str) {
        told("etcdctl put", &self.ctl(&["put", "--", key, value]));
    }

    /// Reads a key through the leader.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let said = told("etcdctl get", &self.ctl(&["get", "--print-value-only", "--", key]));
        said.strip_suffix('\n').map(str::to_owned)
    }

    /// Reads a key from what this member has, whatever the others say.
    pub(crate) fn get_stale(&self, key: &str) -> Option<String> {
        let args = ["get", "--consistency=s", "--print-value-only", "--", key];
        told("etcdctl get", &self.ctl(&args)).strip_suffix('\n').map(str::to_owned)
    }

    /// Deletes a key.
    pub(crate) fn del(&self, key: &str) {
        told("etcdctl del", &self.ctl(&["del", "--", key]));
    }

    /// Compacts all revisions before this one.
    pub(crate) fn compact(&self, revision: i64) {
        told("etcdctl compact", &self.ctl(&["compact", &revision.to_string()]));
    }

    /// Saves a snapshot as etcd's own program does.
    pub(crate) fn snapshot_save(&self, to: &Path) {
        told("etcdctl snapshot save", &self.ctl(&["snapshot".as_ref(), "save".as_ref(), to.as_os_str()]));
    }

    /// What the member says of itself: the object `Status` of `endpoint status -w json`.
    pub(crate) fn status(&self) -> serde_json::Value {
        let said = told("etcdctl endpoint status", &self.ctl(&["endpoint", "status", "-w", "json"]));
        serde_json::from_str::<serde_json::Value>(&said).unwrap()[0]["Status"].clone()
    }

    /// What the member complains of in its status, joined; empty when all is well.
    pub(crate) fn errors(&self) -> String {
        let status = self.status();
        let all = status["errors"].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|e| e.as_str()).collect::<Vec<_>>().join("; ")
    }
}

/// What etcd's own program says of a snapshot: hash, revision, totalKey, totalSize. An error is what it complains of.
pub(crate) fn snapshot_status(file: &Path) -> Result<serde_json::Value, String> {
    let output = program("etcdutl").args(["snapshot", "status", "-w", "json"]).arg(file).output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Restores a snapshot into a new data directory of etcd, for a single member with the default name of etcd.
pub(crate) fn snapshot_restore(file: &Path, data_dir: &Path) -> Result<PathBuf, String> {
    restore(file, data_dir, &[])
}

/// The same for a member with this name and this peer URL. A reset of K3s restores a snapshot in this way.
pub(crate) fn snapshot_restore_as(
    file: &Path,
    data_dir: &Path,
    name: &str,
    peer: &str,
) -> Result<PathBuf, String> {
    let cluster = format!("{name}={peer}");
    let args = ["--name", name, "--initial-cluster", &cluster, "--initial-advertise-peer-urls", peer];
    restore(file, data_dir, &args)
}

fn restore(file: &Path, data_dir: &Path, args: &[&str]) -> Result<PathBuf, String> {
    let output = program("etcdutl")
        .args(["snapshot", "restore", "--data-dir"])
        .arg(data_dir)
        .args(args)
        .arg(file)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(data_dir.join("member/snap/db"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
