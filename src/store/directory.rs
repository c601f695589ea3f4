// SPDX-License-Identifier: Apache-2.0
//! Whether a snapshot directory is available: a link whose target is missing, or a file system that is not mounted, is
//! no empty directory.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Code, Fault};
use crate::host::fs::path_error;
use crate::util::mount_field;

/// The path without links, as far as it exists.
pub(super) fn real_path(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) => real_path(parent).join(name),
        _ => path.to_owned(),
    }
}

/// The error of a directory that cannot be opened.
pub(super) fn unavailable(e: io::Error, dir: &Path) -> anyhow::Error {
    if e.kind() == io::ErrorKind::PermissionDenied {
        return path_error(e, "opening the snapshot directory", dir);
    }
    let fault = why_missing(dir).unwrap_or_else(|| {
        let what = format!("opening the snapshot directory '{}'", dir.display());
        let hint = match e.kind() {
            io::ErrorKind::NotFound => {
                format!("Create it with 'install -d -m 0700 {}', or mount its file system.", dir.display())
            }
            _ => format!("Check its file system with 'findmnt -T {}'.", dir.display()),
        };
        Fault::new(Code::DirectoryUnavailable, what).hint(hint)
    });
    anyhow::Error::from(e).context(fault)
}

/// Why a directory that does not exist, or is empty, is probably not the directory that is meant. `None` if no reason
/// is known.
pub(super) fn why_missing(dir: &Path) -> Option<Fault> {
    if let Some((link, target)) = dangling_link(dir) {
        let what = format!(
            "the snapshot directory '{}' is not available: '{}' is a link to '{}', which does not exist",
            dir.display(),
            link.display(),
            target.display()
        );
        let hint = format!("Mount the file system of '{}', or correct the link.", target.display());
        return Some(Fault::new(Code::DirectoryUnavailable, what).hint(hint));
    }
    let text = |path: &str| std::fs::read_to_string(path);
    let fstab = match text("/etc/fstab") {
        Ok(fstab) => fstab,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => return Some(unknown_mounts(dir, "/etc/fstab", &e)),
    };
    // A sandbox shows each directory that it makes writable as a mount point. The table of PID 1 does not have these.
    let mounted = match text("/proc/1/mountinfo").or_else(|_| text("/proc/self/mountinfo")) {
        Ok(mounted) => mounted,
        Err(e) => return Some(unknown_mounts(dir, "/proc/self/mountinfo", &e)),
    };
    let point = unmounted(&fstab, &mounted, dir)?;
    let what = format!(
        "the snapshot directory '{}' is not available: '{}' is in /etc/fstab, but is not mounted",
        dir.display(),
        point.display()
    );
    let hint = format!("Mount it with 'mount {}', or remove it from /etc/fstab.", point.display());
    Some(Fault::new(Code::DirectoryUnavailable, what).hint(hint))
}

/// It is not known whether the file system of an empty or missing directory is mounted.
fn unknown_mounts(dir: &Path, file: &str, e: &io::Error) -> Fault {
    let what = format!(
        "the snapshot directory '{}' is empty or missing, and '{file}' cannot be read: {e}; it may not be mounted",
        dir.display()
    );
    Fault::new(Code::DirectoryUnavailable, what)
        .hint(format!("Make '{file}' readable, or set another directory with --dir DIRECTORY."))
}

/// The link on the way to `path` whose target does not exist, and its target.
fn dangling_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let deepest = path.ancestors().find(|p| p.symlink_metadata().is_ok())?;
    let is_missing = deepest.metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    let target = deepest.read_link().ok().filter(|_| is_missing)?;
    Some((deepest.to_owned(), target))
}

/// The mount point in `fstab` that `path` is at or below, if `mountinfo` does not have it.
fn unmounted(fstab: &str, mountinfo: &str, path: &Path) -> Option<PathBuf> {
    let field = |line: &str, n: usize| line.split_whitespace().nth(n).map(mount_field);
    let mounted: Vec<PathBuf> = mountinfo.lines().filter_map(|line| field(line, 4)).collect();
    let configured = fstab.lines().filter(|line| !line.trim_start().starts_with('#'));
    configured
        .filter_map(|line| field(line, 1))
        .map(|point| point.canonicalize().unwrap_or(point))
        .filter(|point| point.is_absolute() && point != Path::new("/") && path.starts_with(point))
        .find(|point| !mounted.contains(point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_of_fstab_that_is_not_mounted_is_found() {
        let fstab = "# /x /backup ext4\nUUID=1 / ext4 defaults 0 1\n/dev/sdb1 /backup ext4 nofail 0 2\n\
                     nas:/s /mnt/my\\040nas nfs _netdev\n/dev/sdc none swap sw 0 0\n";
        let info = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        let found = |mountinfo: &str, path: &str| unmounted(fstab, mountinfo, Path::new(path));
        assert_eq!(found(info, "/backup/k3s"), Some("/backup".into()));
        assert_eq!(found(info, "/backup"), Some("/backup".into()));
        assert_eq!(found(info, "/mnt/my nas/k3s"), Some("/mnt/my nas".into()));
        assert_eq!(found(info, "/backups"), None);
        assert_eq!(found(info, "/var/lib"), None);
        let mounted = format!(
            "{info}30 21 8:2 / /backup rw - ext4 /dev/sdb1 rw\n31 21 0:9 / /mnt/my\\040nas rw - nfs x rw\n"
        );
        assert_eq!(found(&mounted, "/backup/k3s"), None);
        assert_eq!(found(&mounted, "/mnt/my nas"), None);
    }

    #[test]
    fn a_link_without_its_target_is_found_wherever_it_is_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: &str| dir.path().join(n);
        std::os::unix::fs::symlink("/nowhere/at-all", path("link")).unwrap();
        std::fs::create_dir(path("real")).unwrap();
        std::os::unix::fs::symlink(path("real"), path("good")).unwrap();
        let target = PathBuf::from("/nowhere/at-all");
        assert_eq!(dangling_link(&path("link")), Some((path("link"), target.clone())));
        assert_eq!(dangling_link(&path("link/below/it")), Some((path("link"), target)));
        for fine in ["good", "real", "good/below", "missing"] {
            assert_eq!(dangling_link(&path(fine)), None, "{fine}");
        }
    }
}
