// SPDX-License-Identifier: Apache-2.0
//! Copies files and directories exactly: bytes, mode, owner, times, extended attributes. For small trees that must be
//! restored as they were. Compares, moves and removes them too.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};

use super::fs::{path_error, permission_context, sync_dir};
use super::naming::is_unsupported;
use crate::model::restore::Identity;

/// Copies `from` to `to`, which must not exist. A link is copied as a link. What is neither a file nor a directory nor a
/// link is left out.
///
/// # Errors
///
/// If something cannot be read or written. A part of the copy may then exist.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("copying '{}' to '{}'", from.display(), to.display());
    let meta = fs::symlink_metadata(from).with_context(context)?;
    if meta.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(to).with_context(context)?;
        for name in names(from)? {
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else if meta.is_symlink() {
        symlink(fs::read_link(from).with_context(context)?, to).with_context(context)?;
    } else if meta.is_file() {
        let mut target =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).with_context(context)?;
        io::copy(&mut File::open(from).with_context(context)?, &mut target).with_context(context)?;
    } else {
        log::debug!("'{}' is neither a file nor a directory and is not copied", from.display());
        return Ok(());
    }
    copy_metadata(from, to, &meta).with_context(context)
}

/// Copies owner, extended attributes, mode and times, in this order: a later one does not change an earlier one.
fn copy_metadata(from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
    let owner = (Some(Uid::from_raw(meta.uid())), Some(Gid::from_raw(meta.gid())));
    let copy = fs::symlink_metadata(to)?;
    if (copy.uid(), copy.gid()) != (meta.uid(), meta.gid()) {
        fchownat(AT_FDCWD, to, owner.0, owner.1, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    attributes(from, to)?;
    if !meta.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    let (read, written) =
        (TimeSpec::new(meta.atime(), meta.atime_nsec()), TimeSpec::new(meta.mtime(), meta.mtime_nsec()));
    Ok(utimensat(AT_FDCWD, to, &read, &written, UtimensatFlags::NoFollowSymlink)?)
}

fn attributes(from: &Path, to: &Path) -> io::Result<()> {
    let mut list = vec![0u8; 64 * 1024];
    let n = match rustix::fs::llistxattr(from, &mut list) {
        Ok(n) => n,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let mut value = vec![0u8; 64 * 1024];
    for name in list.get(..n).unwrap_or_default().split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let size = rustix::fs::lgetxattr(from, name, &mut value)?;
        let value = value.get(..size).unwrap_or_default();
        // The kernel may have given the copy the same label, which this process may not set.
        if let Err(e) = rustix::fs::lsetxattr(to, name, value, rustix::fs::XattrFlags::empty()) {
            let mut copied = vec![0u8; 64 * 1024];
            let is_same = rustix::fs::lgetxattr(to, name, &mut copied)
                .is_ok_and(|n| copied.get(..n).unwrap_or_default() == value);
            if !is_same {
                return Err(e.into());
            }
        }
    }
    Ok(())
}

/// Whether two trees are identical, including modes, owners and times of the last change.
///
/// # Errors
///
/// If a part of them cannot be read.
pub fn is_identical(a: &Path, b: &Path) -> Result<bool> {
    let meta = |p: &Path| fs::symlink_metadata(p).with_context(|| format!("looking at '{}'", p.display()));
    let (x, y) = (meta(a)?, meta(b)?);
    let of = |m: &Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
    if of(&x) != of(&y) {
        return Ok(false);
    }
    if x.is_dir() {
        let (in_a, in_b) = (names(a)?, names(b)?);
        if in_a != in_b {
            return Ok(false);
        }
        for name in in_a {
            if !is_identical(&a.join(&name), &b.join(&name))? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let reading = || format!("comparing '{}' with '{}'", a.display(), b.display());
    if x.is_symlink() {
        return Ok(fs::read_link(a).with_context(reading)? == fs::read_link(b).with_context(reading)?);
    }
    Ok(x.len() == y.len() && fs::read(a).with_context(reading)? == fs::read(b).with_context(reading)?)
}

fn names(dir: &Path) -> Result<Vec<std::ffi::OsString>> {
    let context = || format!("reading '{}'", dir.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        let kind = entry.file_type().with_context(context)?;
        if kind.is_file() || kind.is_dir() || kind.is_symlink() {
            all.push(entry.file_name());
        }
    }
    all.sort();
    Ok(all)
}

/// The disk space that a file or directory uses, in bytes.
///
/// # Errors
///
/// If a part of it cannot be read.
pub fn size(path: &Path) -> Result<u64> {
    let meta = fs::symlink_metadata(path).with_context(|| format!("looking at '{}'", path.display()))?;
    if !meta.is_dir() {
        return Ok(meta.blocks() * 512);
    }
    names(path)?.into_iter().try_fold(0, |sum, name| Ok(sum + size(&path.join(name))?))
}

/// The identity of the file or directory at a path; of the link, if it is a link. `None` if nothing exists there.
///
/// # Errors
///
/// If that cannot be found out.
pub fn inode_id(path: &Path) -> Result<Option<Identity>> {
    match fs::symlink_metadata(path) {
        Ok(meta) => {
            let born = meta.created().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
            let born_ns = born.and_then(|t| i64::try_from(t.as_nanos()).ok());
            Ok(Some(Identity { dev: meta.dev(), ino: meta.ino(), born_ns }))
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e).with_context(|| format!("looking at '{}'", path.display())),
    }
}

/// Moves a file or directory to a name that is free, durably.
///
/// # Errors
///
/// If the name is taken, or the file system refuses.
pub fn rename_noreplace(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("moving '{}' to '{}'", from.display(), to.display());
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => {}
        // A file system without this flag. The lock of the run keeps other runs away, so it is enough to look first.
        Err(e) if is_unsupported(e) => {
            if inode_id(to)?.is_some() {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists)).with_context(context);
            }
            fs::rename(from, to).map_err(|e| permission_context(e, context()))?;
        }
        Err(e) => return Err(permission_context(e.into(), context())),
    }
    let parents: Vec<&Path> = [from.parent(), to.parent()].into_iter().flatten().collect();
    parents.iter().try_for_each(|p| sync_dir(p))
}

/// `path` if nothing exists there, else the first free path with a number appended: `path-1`, `path-2`.
///
/// # Errors
///
/// If the directory cannot be read.
pub fn unused_path(path: &Path) -> Result<PathBuf> {
    let mut candidate = path.to_owned();
    let mut n = 1;
    while inode_id(&candidate)?.is_some() {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("-{n}"));
        candidate = name.into();
        n += 1;
    }
    Ok(candidate)
}

/// Removes a file, or a directory with its content. It is no error if nothing exists there.
///
/// # Errors
///
/// If it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match gone {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        done => done.map_err(|e| path_error(e, "removing", path)),
    }
}

/// Removes the temporary files that killed processes have left of replacing this name.
///
/// # Errors
///
/// If the directory cannot be read, or a file cannot be removed.
pub fn remove_temp_copies(dir: &Path, name: &str) -> Result<()> {
    let context = || format!("clearing '{}'", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(context)?,
    };
    let prefix = format!(".{name}.");
    for entry in entries {
        let entry = entry.with_context(context)?;
        let file = entry.file_name();
        let pid = file.to_str().and_then(|f| f.strip_prefix(&prefix));
        if pid.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_until_a_byte_a_mode_or_a_time_differs() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("sub")).unwrap();
        fs::write(a.join("sub/key"), b"secret").unwrap();
        fs::set_permissions(a.join("sub/key"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("sub/key", a.join("link")).unwrap();
        let old = TimeSpec::new(1_000_000_000, 123_456_789);
        for path in [a.join("sub/key"), a.join("link"), a.join("sub"), a.clone()] {
            utimensat(AT_FDCWD, &path, &old, &old, UtimensatFlags::NoFollowSymlink).unwrap();
        }
        let check = |what: &str, change: &dyn Fn()| {
            remove(&b).unwrap();
            copy(&a, &b).unwrap();
            assert!(is_identical(&a, &b).unwrap());
            change();
            assert!(!is_identical(&a, &b).unwrap(), "{what}");
        };
        check("a byte", &|| {
            fs::write(b.join("sub/key"), b"Secret").unwrap();
            utimensat(AT_FDCWD, &b.join("sub/key"), &old, &old, UtimensatFlags::NoFollowSymlink).unwrap();
        });
        check("a mode", &|| {
            fs::set_permissions(b.join("sub/key"), fs::Permissions::from_mode(0o644)).unwrap();
        });
        check("a time", &|| {
            let later = TimeSpec::new(1_000_000_000, 123_456_790);
            utimensat(AT_FDCWD, &b.join("sub/key"), &later, &later, UtimensatFlags::NoFollowSymlink).unwrap();
        });
        check("a new file", &|| fs::write(b.join("more"), b"").unwrap());
        check("a link", &|| {
            fs::remove_file(b.join("link")).unwrap();
            symlink("elsewhere", b.join("link")).unwrap();
        });
    }

    #[test]
    fn moving_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: &str| dir.path().join(n);
        fs::create_dir(path("a")).unwrap();
        fs::create_dir(path("b")).unwrap();
        assert!(rename_noreplace(&path("a"), &path("b")).is_err());
        assert_eq!(unused_path(&path("b")).unwrap(), path("b-1"));
        rename_noreplace(&path("a"), &path("b-1")).unwrap();
        assert!(inode_id(&path("a")).unwrap().is_none() && inode_id(&path("b-1")).unwrap().is_some());
        remove(&path("b")).unwrap();
        remove(&path("b")).unwrap();
    }
}
