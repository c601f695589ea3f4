// SPDX-License-Identifier: Apache-2.0
//! A small disk of its own, to be filled: a tmpfs that is unmounted when dropped. Needs root, and a machine that lets
//! root mount.

use super::require;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The mounted disk.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts an empty disk of `bytes` bytes at `path`, which is made if it is not there.
    pub(crate) fn mount(path: &Path, bytes: u64) -> Result<Disk, String> {
        require::root()?;
        std::fs::create_dir_all(path).map_err(|e| format!("making '{}': {e}", path.display()))?;
        let size = format!("size={bytes},mode=0700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        match done {
            Ok(output) if output.status.success() => Ok(Disk { path: path.to_owned() }),
            Ok(output) => Err(format!("needs mount: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(e) => Err(format!("needs mount: {e}")),
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it read-only.
    pub(crate) fn remount_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.path).status().unwrap();
        assert!(done.success(), "remounting '{}': {done}", self.path.display());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a child that still has a file open there must not keep the mount alive.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
