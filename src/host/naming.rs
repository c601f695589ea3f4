// SPDX-License-Identifier: Apache-2.0
//! How a finished file gets its name, never over another file, on file systems that lack one call or the other.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat, renameat2};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

/// The calls that a file system may refuse. A test replaces them.
pub(super) trait Calls {
    /// Gives an unnamed file a name.
    fn link_unnamed(&self, file: &File, dir: &File, to: &OsStr) -> nix::Result<()>;
    /// Gives a file a second name.
    fn link(&self, dir: &File, from: &CStr, to: &OsStr) -> nix::Result<()>;
    /// Renames, if the new name is free.
    fn rename_noreplace(&self, dir: &File, from: &CStr, to: &OsStr) -> nix::Result<()>;
}

/// The calls of the kernel.
pub(super) struct Kernel;

impl Calls for Kernel {
    fn link_unnamed(&self, file: &File, dir: &File, to: &OsStr) -> nix::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(AT_FDCWD, unnamed.as_str(), dir, to, AtFlags::AT_SYMLINK_FOLLOW)
    }

    fn link(&self, dir: &File, from: &CStr, to: &OsStr) -> nix::Result<()> {
        linkat(dir, from, dir, to, AtFlags::empty())
    }

    fn rename_noreplace(&self, dir: &File, from: &CStr, to: &OsStr) -> nix::Result<()> {
        renameat2(dir, from, dir, to, RenameFlags::RENAME_NOREPLACE)
    }
}

/// Whether a file system says that it has no such call. FUSE and network file systems use all of these.
pub(super) fn is_unsupported(e: Errno) -> bool {
    matches!(e, Errno::ENOSYS | Errno::EPERM | Errno::EINVAL | Errno::EOPNOTSUPP)
}

/// What came of naming a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// It has the name.
    Done,
    /// Another file has the name.
    Taken,
}

/// Names an unnamed file.
pub(super) fn name_unnamed(calls: &dyn Calls, file: &File, dir: &File, to: &OsStr) -> nix::Result<Named> {
    named(calls.link_unnamed(file, dir, to))
}

/// Renames the temporary file `from` in `dir`, whose path is `path`. Three ways, each for a file system that lacks the
/// ones before it: a hard link; a rename that replaces nothing; a plain rename onto an empty file that this call has
/// created itself. In the last way, a power cut between the two calls leaves the empty file, which is no snapshot.
pub(super) fn name_temporary(
    calls: &dyn Calls,
    dir: &File,
    path: &Path,
    from: &CStr,
    to: &OsStr,
) -> nix::Result<Named> {
    match calls.link(dir, from, to) {
        Err(e) if is_unsupported(e) => {}
        linked => {
            if named(linked)? == Named::Taken {
                return Ok(Named::Taken);
            }
            // Its name is what counts: a temporary name that stays is removed by a later run.
            let _ = unlinkat(dir, from, UnlinkatFlags::NoRemoveDir);
            return Ok(Named::Done);
        }
    }
    match calls.rename_noreplace(dir, from, to) {
        Err(e) if is_unsupported(e) => {}
        renamed => return named(renamed),
    }
    let placeholder = path.join(to);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&placeholder) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(Named::Taken),
        Err(e) => return Err(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
    }
    renameat(dir, from, dir, to).map(|()| Named::Done).inspect_err(|_| {
        let _ = std::fs::remove_file(&placeholder);
    })
}

fn named(result: nix::Result<()>) -> nix::Result<Named> {
    match result {
        Ok(()) => Ok(Named::Done),
        Err(Errno::EEXIST) => Ok(Named::Taken),
        Err(e) => Err(e),
    }
}

/// How the temporary name of a draft begins and ends.
const TEMP_NAME: (&str, &str) = (".k3s-snapshot-", ".part");

/// Whether a file name is the temporary one of a draft, on a file system without unnamed files.
pub(crate) fn is_temp_name(file: &str) -> bool {
    file.starts_with(TEMP_NAME.0) && file.ends_with(TEMP_NAME.1)
}

/// Creates a file with a temporary name that no other process has, on any machine that shares the directory.
pub(super) fn create_temp_file(dir: &Path) -> io::Result<(File, CString)> {
    for n in 0..64u32 {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), n);
        let name = format!("{}{}-{random:016x}{}", TEMP_NAME.0, std::process::id(), TEMP_NAME.1);
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(dir.join(&name)) {
            Ok(file) => {
                // Locked as long as this process lives: a temporary file that is not locked is a leftover. Not every
                // file system has locks.
                let _ = file.try_lock();
                return Ok((file, CString::new(name)?));
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The temporary name of a file that is to take the place of `name`.
pub(super) fn replacement_name(name: &str) -> String {
    format!(".{name}.{}", std::process::id())
}

/// Removes the temporary names of [`replacement_name`] in `dir`, which killed processes have left. The caller holds the lock that
/// every process holds while it replaces a file there.
///
/// # Errors
///
/// If the directory cannot be read. A name that cannot be removed stays.
pub(crate) fn remove_replacements(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_replacement = entry.file_name().to_str().is_some_and(|file| {
            let number =
                file.strip_prefix('.').and_then(|rest| rest.rsplit_once('.')).map(|(_, number)| number);
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        if is_replacement && std::fs::remove_file(entry.path()).is_ok() {
            log::debug!("removed '{}', which a killed run had left", entry.path().display());
        }
    }
    Ok(())
}

/// Removes temporary files that a killed process has left: a day old, and locked by no process.
pub(super) fn remove_stale_temp_files(dir: &Path) {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(is_temp_name);
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if is_ours && age.is_some_and(|a| a > DAY) {
            let unused = File::open(entry.path()).is_ok_and(|f| f.try_lock().is_ok());
            if unused && std::fs::remove_file(entry.path()).is_ok() {
                log::info!("removed '{}', which a killed run had left", entry.path().display());
            }
        }
    }
}

/// The path of a file with a temporary name.
pub(super) fn temp_path(dir: &Path, name: &CStr) -> std::path::PathBuf {
    dir.join(OsStr::from_bytes(name.to_bytes()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file system that refuses these calls, as some in user space do.
    pub(in crate::host) struct Refusing {
        pub(in crate::host) link: Option<Errno>,
        pub(in crate::host) rename: Option<Errno>,
    }

    /// A file system in which each name of a file has an inode number of its own.
    pub(in crate::host) struct InodePerName(pub(in crate::host) std::path::PathBuf);

    impl Calls for InodePerName {
        fn link_unnamed(&self, file: &File, dir: &File, to: &OsStr) -> nix::Result<()> {
            Kernel.link_unnamed(file, dir, to)
        }

        fn link(&self, _: &File, from: &CStr, to: &OsStr) -> nix::Result<()> {
            std::fs::copy(temp_path(&self.0, from), self.0.join(to)).map(drop).map_err(|_| Errno::EIO)
        }

        fn rename_noreplace(&self, dir: &File, from: &CStr, to: &OsStr) -> nix::Result<()> {
            Kernel.rename_noreplace(dir, from, to)
        }
    }

    impl Calls for Refusing {
        fn link_unnamed(&self, file: &File, dir: &File, to: &OsStr) -> nix::Result<()> {
            self.link.map_or_else(|| Kernel.link_unnamed(file, dir, to), Err)
        }

        fn link(&self, dir: &File, from: &CStr, to: &OsStr) -> nix::Result<()> {
            self.link.map_or_else(|| Kernel.link(dir, from, to), Err)
        }

        fn rename_noreplace(&self, dir: &File, from: &CStr, to: &OsStr) -> nix::Result<()> {
            self.rename.map_or_else(|| Kernel.rename_noreplace(dir, from, to), Err)
        }
    }

    #[test]
    fn a_file_gets_its_name_whatever_call_the_file_system_lacks_and_never_over_another() {
        let errors = [Errno::ENOSYS, Errno::EPERM, Errno::EINVAL, Errno::EOPNOTSUPP];
        let rows = [(None, None)].into_iter().chain(
            errors
                .into_iter()
                .flat_map(|e| [(Some(e), None), (Some(e), Some(Errno::EINVAL)), (Some(e), Some(e))]),
        );
        for (link, rename) in rows {
            let dir = tempfile::tempdir().unwrap();
            let (open, calls) = (File::open(dir.path()).unwrap(), Refusing { link, rename });
            let put = |content: &str| {
                let (file, temp) = create_temp_file(dir.path()).unwrap();
                io::Write::write_all(&mut &file, content.as_bytes()).unwrap();
                let named = name_temporary(&calls, &open, dir.path(), &temp, OsStr::new("a")).unwrap();
                (named, temp_path(dir.path(), &temp))
            };
            assert_eq!(put("one").0, Named::Done, "{link:?} {rename:?}");
            let (named, temp) = put("two");
            assert_eq!(named, Named::Taken, "{link:?} {rename:?}");
            assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"one");
            assert_eq!(std::fs::read(&temp).unwrap(), b"two", "the draft is still there");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        }
    }
}
