// SPDX-License-Identifier: Apache-2.0
//! Reading files by position, their identity, directories of ours, and errors of paths with a hint.
//!
//! Files are written by [`super::Draft`] and nothing else.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use rustix::fs::{Advice, AtFlags, StatxFlags};
use rustix::io::ReadWriteFlags;

use crate::error::{Code, Fault};
use crate::io::ReadAt;
use crate::model::snapshot::FileId;

/// What to do if a file system is full.
pub(super) const NO_SPACE_HINT: &str =
    "Free some space, or use a directory on another file system with --dir.";

/// A file that is read by position.
pub struct FileAt {
    file: File,
    size: u64,
}

impl FileAt {
    /// Reads `file`, as long as it is now.
    ///
    /// # Errors
    ///
    /// If its size cannot be read.
    pub fn new(file: File) -> Result<FileAt> {
        let size = file.metadata().context("reading the size of a file")?.len();
        Ok(FileAt { file, size })
    }

    /// Takes the lock that etcd holds on its database while it runs. The lock ends with this handle.
    ///
    /// # Errors
    ///
    /// If another process has the lock, or the file system has no locks.
    pub fn try_lock(&self) -> Result<(), std::fs::TryLockError> {
        self.file.try_lock()
    }

    /// Whether another process has a record lock on the byte `at`.
    ///
    /// # Errors
    ///
    /// If the file system has no locks.
    pub(crate) fn is_locked_elsewhere(&self, at: i64) -> io::Result<bool> {
        let mut lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: at,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&self.file, FcntlArg::F_GETLK(&mut lock))?;
        Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
    }

    /// Prepares the file for [`FileAt::read_once`]: the kernel reads nothing ahead.
    pub fn without_read_ahead(self) -> FileAt {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Random);
        self
    }

    /// Fills `buf` from `offset`. Pages that must be read from the disk are removed from the page cache again: they would
    /// displace pages that other processes need. Pages that were in the page cache stay in it.
    ///
    /// # Errors
    ///
    /// As [`ReadAt::read_exact_at`].
    pub fn read_once(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        // Fails if the first page is not in the page cache, and on file systems that do not know the flag.
        let cached =
            rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT);
        let cached = cached.unwrap_or(0);
        let Some(rest) = buf.get_mut(cached..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        let from = offset.saturating_add(cached as u64);
        self.file.read_exact_at(rest, from)?;
        let _ = rustix::fs::fadvise(&self.file, from, NonZeroU64::new(rest.len() as u64), Advice::DontNeed);
        Ok(())
    }

    /// The identity of the file.
    ///
    /// # Errors
    ///
    /// If the file system does not tell.
    pub fn id(&self) -> io::Result<FileId> {
        file_id(&self.file)
    }
}

impl ReadAt for FileAt {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn will_need(&self, offset: u64, len: u64) {
        let _ = rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(len), Advice::WillNeed);
    }
}

/// The flag that opens a file without waiting for a writer, if it is a pipe.
pub(crate) fn nonblocking() -> i32 {
    OFlag::O_NONBLOCK.bits()
}

/// The identity of an open file, and of its version.
pub(crate) fn file_id(file: &File) -> io::Result<FileId> {
    match statx(file, "", AtFlags::EMPTY_PATH) {
        Some(id) => Ok(id),
        None => Ok(id_of(&file.metadata()?)),
    }
}

/// The identity of the file of this name, asked of the file system itself: a network file system, or one in user
/// space, may otherwise answer with times from before the last change. `None` if the kernel cannot do that.
pub(super) fn published_id(dir: &File, name: &str) -> Option<FileId> {
    statx(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn statx(at: impl AsFd, name: &str, flags: AtFlags) -> Option<FileId> {
    let wanted = StatxFlags::BASIC_STATS;
    let found = rustix::fs::statx(at, name, flags | AtFlags::STATX_FORCE_SYNC, wanted).ok()?;
    let ns = |t: rustix::fs::StatxTimestamp| nanoseconds(t.tv_sec, i64::from(t.tv_nsec));
    Some(FileId {
        dev: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
        ino: found.stx_ino,
        size: found.stx_size,
        mtime_ns: ns(found.stx_mtime),
        ctime_ns: ns(found.stx_ctime),
    })
}

fn nanoseconds(seconds: i64, more: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(more)
}

/// The identity in what `stat` returned.
pub(crate) fn id_of(meta: &std::fs::Metadata) -> FileId {
    FileId {
        dev: meta.dev(),
        ino: meta.ino(),
        size: meta.size(),
        mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
    }
}

/// An error of an operation on a path, with the code and the hint that fit: `operation` is a gerund, like "deleting".
pub(crate) fn path_error(e: io::Error, operation: &str, path: &Path) -> anyhow::Error {
    with_hint(e, format!("{operation} '{}'", path.display()), Some(path), nix::unistd::geteuid().is_root())
}

/// The same for an error whose message is complete.
pub(crate) fn permission_context(e: io::Error, message: String) -> anyhow::Error {
    with_hint(e, message, None, nix::unistd::geteuid().is_root())
}

fn with_hint(e: io::Error, message: String, path: Option<&Path>, is_root: bool) -> anyhow::Error {
    let fault = match (e.kind(), e.raw_os_error().map(Errno::from_raw)) {
        (io::ErrorKind::PermissionDenied, Some(Errno::EPERM)) if is_root => {
            let path = path.map_or_else(|| "PATH".to_owned(), |p| format!("'{}'", p.display()));
            Fault::new(Code::PermissionDenied, message).hint(format!(
                "Check the file and its directory for the immutable flag with 'lsattr -d {path}', and clear it with \
                 'chattr -i {path}'."
            ))
        }
        (io::ErrorKind::PermissionDenied, _) if is_root => Fault::new(Code::PermissionDenied, message).hint(
            "Check what limits root here: the sandbox of the unit, SELinux or AppArmor, or root_squash of a network \
             file system.",
        ),
        (io::ErrorKind::PermissionDenied, _) => {
            Fault::new(Code::PermissionDenied, message).hint("Run this command as root.")
        }
        (io::ErrorKind::ReadOnlyFilesystem, _) => Fault::new(Code::ReadOnly, message).hint(
            "Mount the file system for writing, or use another directory with --dir. A unit can write only to the directories in \
             its ReadWritePaths=: after a change of the directories of K3s, run 'systemctl daemon-reload'.",
        ),
        (io::ErrorKind::StorageFull, _) => Fault::new(Code::NoSpace, message).hint(NO_SPACE_HINT),
        _ => Fault::new(Code::Io, message),
    };
    anyhow::Error::from(e).context(fault)
}

/// Whether an error of `stat` says that a link leads to nothing.
pub(crate) fn is_dangling(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP))
}

/// Makes the names in a directory durable.
///
/// # Errors
///
/// If the directory cannot be opened or synced. A file system that cannot sync directories at all is no error.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    let context = || format!("syncing the directory '{}'", path.display());
    match File::open(path).with_context(context)?.sync_all() {
        Err(e) if is_sync_unsupported(&e) => Ok(()),
        done => done.with_context(context),
    }
}

/// Whether a file system says that it cannot sync a directory: some network file systems cannot.
pub(super) fn is_sync_unsupported(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS))
}

/// Creates a directory of ours with its parents, mode 0700.
///
/// # Errors
///
/// If one of them cannot be created.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| path_error(e, "creating the directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{code_of, hint_of};

    #[test]
    fn eperm_as_root_has_the_hint_of_the_immutable_flag_and_every_user_and_errno_a_hint_of_its_own() {
        let hint = |errno: Errno, is_root: bool| {
            let e = io::Error::from(errno);
            let error = with_hint(e, "deleting".into(), Some(Path::new("/x")), is_root);
            assert_eq!(code_of(&error), Code::PermissionDenied);
            hint_of(&error).unwrap().to_owned()
        };
        assert!(hint(Errno::EPERM, true).contains("lsattr -d '/x'"));
        for errno in [Errno::EPERM, Errno::EACCES] {
            assert_ne!(hint(errno, false), hint(errno, true));
        }
        assert_eq!(hint(Errno::EPERM, false), hint(Errno::EACCES, false));
    }

    #[test]
    fn a_file_that_is_read_once_leaves_the_page_cache_as_it_was() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("a");
        let bytes: Vec<u8> = (0..4 << 20).map(|i: u32| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let is_cached = |page: u64| {
            let mut buf = [0; 4096];
            let slice = &mut [IoSliceMut::new(&mut buf)];
            rustix::io::preadv2(&file, slice, page * 4096, ReadWriteFlags::NOWAIT).is_ok_and(|n| n == 4096)
        };
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::Random).unwrap();
        if is_cached(0) || is_cached(1023) {
            return; // a file system in memory
        }
        let mut page = [0; 4096];
        file.read_exact_at(&mut page, 512 * 4096).unwrap();
        assert!(is_cached(512), "the file system has a page cache that can be asked");
        let reader = FileAt::new(File::open(&path).unwrap()).unwrap().without_read_ahead();
        let mut read = vec![0; bytes.len()];
        for (i, piece) in read.chunks_mut(256 * 1024).enumerate() {
            reader.read_once(piece, i as u64 * 256 * 1024).unwrap();
        }
        assert!(read == bytes);
        assert!(is_cached(512), "a page that was cached before stays");
        let left = (0..1024).filter(|page| is_cached(*page)).count();
        assert!(left < 70, "{left} of 1024 pages were left in the page cache");
        assert!(reader.read_once(&mut page, bytes.len() as u64 - 1).is_err());
    }

    #[test]
    fn both_ways_to_ask_give_one_identity() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("a")).unwrap();
        let id = id_of(&file.metadata().unwrap());
        assert_eq!(file_id(&file).unwrap(), id);
        assert_eq!(published_id(&File::open(dir.path()).unwrap(), "a"), Some(id));
        assert_eq!(file_id(&file).unwrap().dev, id.dev);
        assert_eq!(published_id(&File::open(dir.path()).unwrap(), "b"), None);
    }
}
