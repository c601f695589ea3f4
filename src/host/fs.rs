// SPDX-License-Identifier: Apache-2.0
//! Files: [`Draft`], the only durable write of the program, and reading by position.
//!
//! A draft has no name until it is published, so nobody can list it, prune it or mistake it for a snapshot, and a
//! process that dies leaves nothing. Another way to write a file that must last does not belong anywhere.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, renameat2};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use rustix::fs::Advice;

use crate::error::{Code, Fault};
use crate::io::ReadAt;
use crate::model::snapshot::FileId;

const NO_SPACE_HINT: &str = "Free some space, or name a folder on another file system with --dir.";

/// So much, or a twentieth of the file system where that is less, is left to others.
const MIN_FREE: u64 = 1 << 30;

/// An unnamed 0600 file in the folder where it may get a name.
pub struct Draft {
    file: File,
    folder: File,
    path: PathBuf,
    /// Its dot name, where the file system knows no unnamed files.
    dot_name: Option<CString>,
}

/// What came of publishing.
pub enum Published {
    /// The draft has its name now, and name and content survive a power cut.
    Done(FileId),
    /// The name is taken; the draft is as it was.
    Taken(Draft),
}

impl Draft {
    /// A new draft in `folder`, which must exist.
    pub fn new(folder: &Path) -> Result<Draft> {
        let context = || format!("creating a file in '{}'", folder.display());
        let dir = File::open(folder).map_err(|e| permission_context(e, context()))?;
        let unnamed = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlag::O_TMPFILE.bits())
            .open(folder);
        let (file, dot_name) = match unnamed {
            Ok(file) => (file, None),
            // The kernel answers EISDIR where it is older than O_TMPFILE, the others come from file systems.
            Err(e)
                if matches!(
                    e.raw_os_error().map(Errno::from_raw),
                    Some(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL)
                ) =>
            {
                sweep(folder);
                let (file, name) = dotted(folder).with_context(context)?;
                (file, Some(name))
            }
            Err(e) => return Err(permission_context(e, context())),
        };
        Ok(Draft { file, folder: dir, path: folder.to_owned(), dot_name })
    }

    /// The file to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes the next bytes, with words where that fails.
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        (&self.file).write_all(bytes).map_err(|e| {
            let fault = Fault::new(Code::Io, format!("writing to '{}'", self.path.display()));
            let full = e.kind() == io::ErrorKind::StorageFull;
            let fault = if full { fault.hint(NO_SPACE_HINT) } else { fault };
            anyhow::Error::from(e).context(fault)
        })
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// The content so far, to read by position.
    pub fn reader(&self) -> Result<FileAt> {
        FileAt::new(self.file.try_clone().context("reading a draft")?)
    }

    /// Makes it a clone of `from`: the same blocks on disk, shared until one of the two changes. What it held is gone.
    pub fn clone_of(&self, from: &File) -> io::Result<()> {
        self.file.set_len(0)?;
        Ok(rustix::fs::ioctl_ficlone(&self.file, from)?)
    }

    /// Fails with words where the file system has not `bytes` left for it.
    pub fn ensure_free_space(&self, bytes: u64) -> Result<()> {
        let stat = nix::sys::statvfs::fstatvfs(&self.file)
            .with_context(|| format!("asking for the free space of '{}'", self.path.display()))?;
        let of_blocks = |n: u64| n.saturating_mul(stat.fragment_size());
        let free = of_blocks(stat.blocks_available());
        // The default folder is on etcd's own disk, and an etcd without room stops the cluster.
        let reserve = (of_blocks(stat.blocks()) / 20).min(MIN_FREE);
        if free < bytes.saturating_add(reserve) {
            return Err(Fault::new(
                Code::NoSpace,
                format!(
                    "no room in '{}': {free} bytes are free, {bytes} are needed and {reserve} must stay free",
                    self.path.display()
                ),
            )
            .hint(NO_SPACE_HINT)
            .into());
        }
        Ok(())
    }

    /// Waits until the content is on disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().with_context(|| format!("writing to '{}'", self.path.display()))
    }

    /// Gives it a name, never over an existing one, if it is `size` bytes long. The content is synced first, then the
    /// folder: a name that can be seen after a power cut has its whole content.
    pub fn publish(mut self, name: &str, size: u64) -> Result<Published> {
        self.sync()?;
        let context = || format!("publishing '{}'", self.path.join(name).display());
        let before = file_id(&self.file).with_context(context)?;
        anyhow::ensure!(
            before.size == size,
            "the draft has {} bytes instead of {size}; nothing was kept",
            before.size
        );
        if let Some(dot) = &self.dot_name {
            // On such file systems, the name is all that holds the draft; it must still be ours.
            let path = self.path.join(OsStr::from_bytes(dot.as_bytes()));
            let same =
                std::fs::symlink_metadata(&path).is_ok_and(|m| m.ino() == before.ino && m.len() == size);
            anyhow::ensure!(same, "'{}' was taken away; nothing was kept", path.display());
        }
        let linked = match &self.dot_name {
            None => linkat(
                AT_FDCWD,
                format!("/proc/self/fd/{}", self.file.as_raw_fd()).as_str(),
                &self.folder,
                name,
                AtFlags::AT_SYMLINK_FOLLOW,
            ),
            Some(dot) => match linkat(&self.folder, dot.as_c_str(), &self.folder, name, AtFlags::empty()) {
                Ok(()) => unlinkat(&self.folder, dot.as_c_str(), UnlinkatFlags::NoRemoveDir),
                // A file system without hard links.
                Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS) => renameat2(
                    &self.folder,
                    dot.as_c_str(),
                    &self.folder,
                    OsStr::new(name),
                    RenameFlags::RENAME_NOREPLACE,
                ),
                Err(e) => Err(e),
            },
        };
        match linked {
            Ok(()) => {
                self.dot_name = None;
                match self.folder.sync_all() {
                    Ok(()) => {}
                    Err(e) if no_folder_sync(&e) => log::warn!(
                        "the file system of '{}' cannot sync folders; the name may not survive a power cut",
                        self.path.display()
                    ),
                    Err(e) => {
                        let there = format!("{}: it is there, but may not survive a power cut", context());
                        return Err(e).context(there);
                    }
                }
                Ok(Published::Done(file_id(&self.file).with_context(context)?))
            }
            Err(Errno::EEXIST) => Ok(Published::Taken(self)),
            Err(e) => Err(e).with_context(context),
        }
    }

    /// Gives it a name in place of what has it, for our own records. Same promise: old or new, never half.
    pub fn replace(mut self, name: &str) -> Result<()> {
        self.sync()?;
        let context = || format!("writing '{}'", self.path.join(name).display());
        let dot = match self.dot_name.take() {
            Some(dot) => dot,
            None => {
                let dot = CString::new(format!(".{name}.{}", std::process::id())).with_context(context)?;
                let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                // A process of the same number may have died here.
                match unlinkat(&self.folder, dot.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(e) => return Err(e).with_context(context),
                }
                linkat(AT_FDCWD, unnamed.as_str(), &self.folder, dot.as_c_str(), AtFlags::AT_SYMLINK_FOLLOW)
                    .with_context(context)?;
                dot
            }
        };
        nix::fcntl::renameat(&self.folder, dot.as_c_str(), &self.folder, OsStr::new(name))
            .with_context(context)?;
        match self.folder.sync_all() {
            Err(e) if !no_folder_sync(&e) => Err(e).with_context(context),
            _ => Ok(()),
        }
    }
}

/// What the dot name of a draft begins and ends with.
const DOT: (&str, &str) = (".k3s-snapshot-", ".part");

/// Whether a file name is that of a draft of ours, on a file system that knows no unnamed files.
pub fn is_dot_name(file: &str) -> bool {
    file.starts_with(DOT.0) && file.ends_with(DOT.1)
}

/// A new file with a dot name that no other process, on no other machine that shares the folder, can have.
fn dotted(folder: &Path) -> io::Result<(File, CString)> {
    for n in 0..64u32 {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), n);
        let name = format!("{}{}-{random:016x}{}", DOT.0, std::process::id(), DOT.1);
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(folder.join(&name))
        {
            Ok(file) => {
                // Held as long as we live: what nobody holds is a leftover. Not every file system can.
                let _ = file.try_lock();
                return Ok((file, CString::new(name)?));
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes what a killed run left under a dot name: a day old, and held by nobody.
fn sweep(folder: &Path) {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(is_dot_name);
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if ours && age.is_some_and(|a| a > DAY) {
            let free = File::open(entry.path()).is_ok_and(|f| f.try_lock().is_ok());
            if free && std::fs::remove_file(entry.path()).is_ok() {
                log::info!("removed '{}', which a killed run had left", entry.path().display());
            }
        }
    }
}

/// Some network file systems cannot sync a folder at all.
fn no_folder_sync(e: &io::Error) -> bool {
    matches!(e.raw_os_error().map(Errno::from_raw), Some(Errno::EINVAL | Errno::EOPNOTSUPP))
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(dot) = &self.dot_name {
            let _ = unlinkat(&self.folder, dot.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

impl Write for &Draft {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.file).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file read by position.
pub struct FileAt {
    file: File,
    size: u64,
}

impl FileAt {
    /// Reads `file` as long as it is now.
    pub fn new(file: File) -> Result<FileAt> {
        let size = file.metadata().context("asking for the size of a file")?.len();
        Ok(FileAt { file, size })
    }

    /// Takes the lock that etcd holds on its database while it runs; it goes with this handle.
    pub fn try_lock(&self) -> Result<(), std::fs::TryLockError> {
        self.file.try_lock()
    }

    /// Which file it is.
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

/// The flag to open a file without waiting for anybody.
pub fn nonblocking() -> i32 {
    OFlag::O_NONBLOCK.bits()
}

/// What tells one file, and one version of it, from another.
fn file_id(file: &File) -> io::Result<FileId> {
    Ok(id_of(&file.metadata()?))
}

/// The same from what `stat` gave.
pub fn id_of(meta: &std::fs::Metadata) -> FileId {
    let ns = |s: i64, n: i64| s.saturating_mul(1_000_000_000).saturating_add(n);
    FileId {
        dev: meta.dev(),
        ino: meta.ino(),
        size: meta.size(),
        mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
    }
}

/// An error with its context; where it is a matter of permission, of the kind and with the hint for that.
pub fn permission_context(e: io::Error, context: String) -> anyhow::Error {
    let fault = match e.kind() {
        io::ErrorKind::PermissionDenied => Fault::new(Code::PermissionDenied, context).hint("Run it as root."),
        io::ErrorKind::ReadOnlyFilesystem => {
            Fault::new(Code::ReadOnly, context).hint(
                "Mount it for writing, or name another folder. A unit may write only to the folders that it names: after a change \
                 of K3s's folders, run 'systemctl daemon-reload'.",
            )
        }
        _ => Fault::new(Code::Io, context),
    };
    anyhow::Error::from(e).context(fault)
}

/// Brings the names in a folder to the disk.
pub fn sync_folder(path: &Path) -> Result<()> {
    let context = || format!("writing the folder '{}' to the disk", path.display());
    match File::open(path).with_context(context)?.sync_all() {
        Err(e) if no_folder_sync(&e) => Ok(()),
        done => done.with_context(context),
    }
}

/// Makes a folder of ours, 0700, with its parents.
pub fn make_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        let text = format!("creating the folder '{}'", path.display());
        permission_context(e, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_draft_cannot_be_seen_until_it_is_published_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        (&draft).write_all(b"one").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let Published::Done(id) = draft.publish("a", 3).unwrap() else { panic!("taken") };
        assert_eq!(id, id_of(&std::fs::metadata(dir.path().join("a")).unwrap()));
        assert_eq!(id.size, 3);
        let draft = Draft::new(dir.path()).unwrap();
        (&draft).write_all(b"two").unwrap();
        let Published::Taken(draft) = draft.publish("a", 3).unwrap() else { panic!("overwrote") };
        assert!(matches!(draft.publish("b", 3).unwrap(), Published::Done(_)));
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"one");
        assert_eq!(std::fs::read(dir.path().join("b")).unwrap(), b"two");
        let mode = std::fs::metadata(dir.path().join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(Draft::new(dir.path()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn the_dot_name_way_leaves_one_name_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let with_dot = |content: &[u8]| {
            let name = CString::new(".dot").unwrap();
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(dir.path().join(".dot"))
                .unwrap();
            let draft = Draft {
                file,
                folder: File::open(dir.path()).unwrap(),
                path: dir.path().into(),
                dot_name: Some(name),
            };
            (&draft).write_all(content).unwrap();
            draft
        };
        assert!(matches!(with_dot(b"one").publish("a", 3).unwrap(), Published::Done(_)));
        assert!(matches!(with_dot(b"two").publish("a", 3).unwrap(), Published::Taken(_)));
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"one");
        with_dot(b"three").replace("a").unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"three");
    }

    #[test]
    fn replace_leaves_the_new_content_and_no_leftover() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["one", "two"] {
            // What a dead process of our number would have left.
            std::fs::write(dir.path().join(format!(".m.json.{}", std::process::id())), b"old").unwrap();
            let draft = Draft::new(dir.path()).unwrap();
            (&draft).write_all(content.as_bytes()).unwrap();
            draft.replace("m.json").unwrap();
            assert_eq!(std::fs::read(dir.path().join("m.json")).unwrap(), content.as_bytes());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_room_names_the_folder_and_both_figures() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        assert!(draft.ensure_free_space(1).is_ok());
        let said = draft.ensure_free_space(u64::MAX).unwrap_err().to_string();
        assert!(said.contains(&dir.path().display().to_string()) && said.contains("are free"), "{said}");
    }
}
