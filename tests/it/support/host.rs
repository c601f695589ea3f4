// SPDX-License-Identifier: Apache-2.0
//! A host with a real systemd of its own, booted by `tests/host/boot` on this machine's root or on a clean one, in which a
//! scenario of `tests/host/` runs. `/var/lib` is a directory on the disk: K3s and k3s-snapshot share a file system, as on a real server.
//! What a scenario needs inside is bound to `/opt`: the source tree, our programs, etcd's. Needs root and systemd-nspawn.

use super::cli::programs;
use super::require;
use super::volume::Volume;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The host; what it writes vanishes when this is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    disk: Disk,
    root: Vec<String>,
    binds: Vec<String>,
    seconds: u32,
}

#[derive(Debug)]
enum Disk {
    /// For `/var/lib` alone; the rest is in memory and lost at the end of a scenario.
    Directory(tempfile::TempDir),
    /// For all that is written, which the next boot finds again.
    Volume(Volume),
}

/// What came of a scenario.
#[derive(Debug)]
pub(crate) struct Booted {
    /// The exit code of the scenario, or of `tests/host/boot`; 137 where the host ended under it.
    pub(crate) code: Option<i32>,
    /// The output of the scenario.
    pub(crate) output: String,
}

impl Host {
    /// Not booted yet.
    pub(crate) fn new() -> Result<Host, String> {
        Host::on(Disk::Directory(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()))
    }

    /// The same, on a disk of its own with a file system of this kind, for more than one boot.
    pub(crate) fn on_volume(kind: &str) -> Result<Host, String> {
        Host::on(Disk::Volume(Volume::mount(kind)?))
    }

    fn on(disk: Disk) -> Result<Host, String> {
        require::root()?;
        require::program("systemd-nspawn")?;
        require::program("python3")?;
        require::program("strace")?;
        let etcd = std::fs::canonicalize(require::etcd_programs()?.join("etcd")).unwrap();
        let root = vec!["-H".to_owned()];
        let host = Host { disk, root, binds: Vec::new(), seconds: 120 };
        let library = host.disk().join("var-lib");
        std::fs::create_dir(&library).unwrap();
        let read = [
            (top(), "/opt/k3s-snapshot"),
            (programs(), "/opt/programs"),
            (etcd.parent().unwrap(), "/opt/etcd"),
        ];
        let host = host.bind("-b", &library, "/var/lib");
        Ok(read.iter().fold(host, |host, (from, to)| host.bind("-B", from, to)))
    }

    fn disk(&self) -> PathBuf {
        match &self.disk {
            Disk::Directory(dir) => dir.path().to_owned(),
            Disk::Volume(volume) => volume.path(),
        }
    }

    /// A clean Debian of this release, with nothing but systemd and what a scenario needs. It is made once, below
    /// `target/`, by mmdebstrap.
    pub(crate) fn clean(release: &str) -> Result<Host, String> {
        require::program("mmdebstrap")?;
        let mut host = Host::new()?;
        host.root = vec!["-s".to_owned(), release.to_owned(), "-p".to_owned(), "python3".to_owned()];
        // /var/lib is part of it.
        host.binds.drain(..2);
        Ok(host)
    }

    /// A directory of this machine that the host sees: `-b` to write in, `-B` to read.
    pub(crate) fn bind(mut self, how: &str, from: &Path, to: &str) -> Host {
        self.binds.extend([how.to_owned(), format!("{}:{to}", from.display())]);
        self
    }

    /// Another limit for a scenario than two minutes.
    pub(crate) fn seconds(mut self, seconds: u32) -> Host {
        self.seconds = seconds;
        self
    }

    /// Boots it, runs a file of `tests/host/` with these arguments, and shuts it down.
    pub(crate) fn run(&self, scenario: &str, args: &[&str]) -> Booted {
        let mut boot = Command::new(top().join("tests/host/boot"));
        boot.env("BOOTED_CACHE", top().join("target/booted"));
        boot.args(&self.root).args(["-t", &self.seconds.to_string()]).args(&self.binds);
        if let Disk::Volume(volume) = &self.disk {
            boot.arg("-U").arg(volume.path());
        }
        let script = top().join("tests/host").join(scenario);
        let out = boot.arg("--").arg(script).args(args).output().unwrap();
        let output = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        Booted { code: out.status.code(), output }
    }

    /// The power is cut, after the host has ended: what had not reached its disk is lost.
    pub(crate) fn power_cut(&mut self) {
        match &mut self.disk {
            Disk::Volume(volume) => volume.power_cut(),
            Disk::Directory(_) => panic!("it has no disk of its own"),
        }
    }
}

impl Booted {
    /// Panics with the output unless the scenario succeeded; returns the output.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert!(self.code == Some(0), "exit code {:?}\n{}", self.code, self.output);
        self.output
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
