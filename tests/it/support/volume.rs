// SPDX-License-Identifier: Apache-2.0
//! A file system of a chosen kind on a loop device, in a sparse image that vanishes with it. Needs root, and a machine that
//! lets root mount. A disk that is to be full is `disk.rs`.

use super::require;
use std::path::Path;
use std::process::{Command, Output};

/// Where the statistics of a block device have what was read, and what was written.
const READ: usize = 2;
const WRITTEN: usize = 6;

/// The mounted file system.
#[derive(Debug)]
pub(crate) struct Volume {
    dir: tempfile::TempDir,
    kind: String,
}

impl Volume {
    /// Makes and mounts an empty file system: `xfs`, `xfs-without-reflink`, `btrfs`, `ext4` or `tmpfs`. Takes disk only for what
    /// is written.
    pub(crate) fn mount(kind: &str) -> Result<Volume, String> {
        require::root()?;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mount");
        std::fs::create_dir(&path).unwrap();
        if kind == "tmpfs" {
            let mounted = Command::new("mount").args(["-t", kind, kind]).arg(&path).output();
            done("mount of tmpfs", mounted)?;
            return Ok(Volume { dir, kind: kind.to_owned() });
        }
        let image = dir.path().join("image");
        std::fs::File::create(&image).and_then(|f| f.set_len(4 << 30)).unwrap();
        let (kind, options) = match kind {
            "xfs-without-reflink" => ("xfs", &["-m", "reflink=0"][..]),
            kind => (kind, &[][..]),
        };
        let mkfs = Command::new(format!("mkfs.{kind}")).arg("-q").args(options).arg(&image).output();
        done(&format!("mkfs.{kind}"), mkfs)?;
        let mounted = Command::new("mount").args(["-o", "loop", "-t", kind]).arg(&image).arg(&path).output();
        done(&format!("mount of {kind} on a loop device"), mounted)?;
        Ok(Volume { dir, kind: kind.to_owned() })
    }

    /// Simulates a power cut: data that had not reached the disk is lost. No process may use the volume.
    pub(crate) fn power_cut(&mut self) {
        let (image, copy) = (self.dir.path().join("image"), self.dir.path().join("copy"));
        // The disk as it is, behind the back of the file system: as long as that writes its metadata, a copy would have some of
        // it from before a write and some from after it.
        let mut copied = None;
        for _ in 0..200 {
            let before = self.device_stat(WRITTEN);
            copied = Some(Command::new("cp").arg("--sparse=always").arg(&image).arg(&copy).status().unwrap());
            if self.device_stat(WRITTEN) == before {
                break;
            }
            copied = None;
        }
        let copied = copied.expect("the file system has stopped to write");
        let gone = Command::new("umount").arg(self.path()).status().unwrap();
        std::fs::rename(&copy, &image).unwrap();
        // Another test's host can keep the old mount in its namespace. XFS refuses a second one with the same UUID without
        // `nouuid`; btrfs would show the old one again.
        let options = if self.kind == "xfs" { "loop,nouuid" } else { "loop" };
        assert!(self.kind != "btrfs" || self.is_released(), "btrfs is still mounted elsewhere");
        let mounted =
            Command::new("mount").args(["-o", options]).arg(&image).arg(self.path()).status().unwrap();
        assert!(copied.success() && gone.success() && mounted.success(), "{copied}, {gone}, {mounted}");
    }

    /// Whether the loop device of the image that was renamed over has gone, after a while.
    fn is_released(&self) -> bool {
        let image = self.dir.path().join("image").display().to_string();
        (0..6000).any(|_| {
            let all = Command::new("losetup")
                .args(["--list", "--noheadings", "--output", "BACK-FILE"])
                .output()
                .unwrap();
            let gone = !String::from_utf8_lossy(&all.stdout).contains(&image);
            if !gone {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            gone
        })
    }

    /// Bytes that were read from the loop device so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.device_stat(READ)
    }

    /// Bytes by a number in the statistics of the loop device.
    fn device_stat(&self, number: usize) -> u64 {
        let found =
            Command::new("findmnt").args(["-no", "SOURCE", "--target"]).arg(self.path()).output().unwrap();
        let device = String::from_utf8(found.stdout).unwrap();
        let stat = device.trim().replace("/dev/", "/sys/class/block/") + "/stat";
        let stat = std::fs::read_to_string(&stat).unwrap_or_else(|e| panic!("{stat}: {e}"));
        // It counts sectors of 512 bytes.
        stat.split_whitespace().nth(number).unwrap().parse::<u64>().unwrap() * 512
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        Path::join(self.dir.path(), "mount")
    }
}

fn done(what: &str, outcome: std::io::Result<Output>) -> Result<(), String> {
    match outcome {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("needs {what}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("needs {what}: {e}")),
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a child that still has a file open there must not keep the mount alive.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
