// SPDX-License-Identifier: Apache-2.0
//! The mounts of a machine, and which of them may not answer: a look at a file of a network file system whose server is gone
//! can block forever. Only the text of `/proc/self/mountinfo` is read, see proc_pid_mountinfo(5).

use std::path::{Path, PathBuf};

/// File systems of this machine, whose files can be examined at any time.
const LOCAL: &[&str] = &[
    "bcachefs",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "jfs",
    "mqueue",
    "nsfs",
    "ntfs3",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "reiserfs",
    "rootfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "udf",
    "vfat",
    "xfs",
    "zfs",
];

/// The mount points whose file system may not answer.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    may_block: Vec<PathBuf>,
}

impl Mounts {
    /// Reads the text of `mountinfo`. The root file system is not counted: nothing works without it.
    pub(crate) fn parse(mountinfo: &str) -> Mounts {
        let may_block = mountinfo.lines().filter_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let kind = source.split(' ').next()?;
            let point = unescape(mount.split(' ').nth(4)?);
            (!LOCAL.contains(&kind) && point != "/").then(|| PathBuf::from(point))
        });
        Mounts { may_block: may_block.collect() }
    }

    /// Whether a look at this path may block.
    pub(crate) fn may_block(&self, path: &Path) -> bool {
        self.may_block.iter().any(|point| path.starts_with(point))
    }
}

/// Replaces `\040` and the like by the byte that they mean.
fn unescape(text: &str) -> String {
    let mut all = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        all.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                all.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                all.push('\\');
                rest = after;
            }
        }
    }
    all + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_other_machines_and_of_programs_may_block() {
        let mounts = Mounts::parse(
            "25 1 8:1 / / rw shared:1 - virtiofs root rw\n\
             30 25 0:5 / /mnt/nas\\040one rw,relatime shared:9 master:2 - nfs4 10.0.0.1:/x rw,hard\n\
             31 25 8:2 / /data rw - xfs /dev/sdb rw\n\
             32 25 0:6 / /home/me/mnt rw - fuse.sshfs me@host: rw\n\
             33 25 0:7 / /auto rw - autofs systemd-1 rw\n\
             not a mount\n",
        );
        for (path, want) in [
            ("/", false),
            ("/etc", false),
            ("/mnt", false),
            ("/mnt/nas one", true),
            ("/mnt/nas one/a/b", true),
            ("/mnt/nas", false),
            ("/data/k3s", false),
            ("/home/me", false),
            ("/home/me/mnt/x", true),
            ("/auto/x", true),
        ] {
            assert_eq!(mounts.may_block(Path::new(path)), want, "{path}");
        }
    }
}
