// SPDX-License-Identifier: Apache-2.0
//! The mounts of a machine, and which of them may not answer: a look at a file of a network file system whose server is gone
//! can block forever. Only the text of `/proc/self/mountinfo` is read, see proc_pid_mountinfo(5).

use std::path::{Path, PathBuf};

use crate::util::mount_field;

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
            let point = mount_field(mount.split(' ').nth(4)?);
            (!LOCAL.contains(&kind) && point != Path::new("/")).then_some(point)
        });
        Mounts { may_block: may_block.collect() }
    }

    /// Whether a look at this path may block.
    pub(crate) fn may_block(&self, path: &Path) -> bool {
        self.may_block.iter().any(|point| path.starts_with(point))
    }
}

/// The mount point of `fstab` that `path` is on and that is not mounted; `None` if there is none. The root is always mounted.
pub(crate) fn unmounted(fstab: &str, mountinfo: &str, path: &Path) -> Option<PathBuf> {
    let mounted: Vec<PathBuf> =
        mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(mount_field).collect();
    let lines = fstab.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let points = lines.filter_map(|line| line.split_whitespace().nth(1)).map(mount_field);
    points
        .filter(|point| point.is_absolute() && point != Path::new("/"))
        .find(|point| path.starts_with(point) && !mounted.contains(point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_of_fstab_that_is_not_mounted_is_found() {
        let fstab =
            "# /dev/x /var ext4\n/dev/a / ext4\nUUID=b /var/lib/rancher/ xfs nofail 0 2\n/dev/c none swap\n";
        let path = Path::new("/var/lib/rancher/k3s/server/db");
        let mountinfo = "25 1 8:1 / / rw - ext4 /dev/a rw\n";
        assert_eq!(unmounted(fstab, mountinfo, path).as_deref(), Some(Path::new("/var/lib/rancher")));
        let mounted = format!("{mountinfo}26 25 8:2 / /var/lib/rancher rw - xfs /dev/b rw\n");
        assert_eq!(unmounted(fstab, &mounted, path), None);
        assert_eq!(unmounted(fstab, mountinfo, Path::new("/var/lib/k3s")), None);
        assert_eq!(unmounted("", "", path), None);
    }

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
