// SPDX-License-Identifier: Apache-2.0
//! [`Draft`]: the only durable write of the program.
//!
//! A draft has no name until it is published. No process can list it, prune it or take it for a snapshot, and a process
//! that dies leaves nothing. Do not write a file that must last in any other way.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::fs::{FileAt, NO_SPACE_HINT, file_id, id_of, is_sync_unsupported, path_error, published_id};
use super::naming::{self, Calls, Kernel, Named};
use crate::error::{Code, Fault};
use crate::model::snapshot::FileId;

/// Bytes that stay free for others, or a twentieth of the file system if that is less.
const MIN_FREE: u64 = 1 << 30;

/// An unnamed file, mode 0600, in the directory where it may get a name.
pub struct Draft {
    file: File,
    dir: File,
    path: PathBuf,
    /// The temporary name, if the file system has no unnamed files.
    temp_name: Option<CString>,
}

/// What came of publishing a draft.
pub enum Published {
    /// The draft has its name. Name and content survive a power cut.
    Done(PublishedFile),
    /// Another file has the name. The draft is unchanged.
    Taken(Draft),
}

/// A draft that was published.
#[derive(Debug, Clone, Copy)]
pub struct PublishedFile {
    /// Its identity, taken from its name.
    pub id: FileId,
    /// Whether the file system shows the same inode under the name and through the open file. If not, inode numbers
    /// are no lasting identity there.
    pub has_lasting_id: bool,
}

impl Draft {
    /// Creates a draft in `dir`, which must exist.
    ///
    /// # Errors
    ///
    /// If no file can be created there.
    pub fn new(dir: &Path) -> Result<Draft> {
        let error = |e| path_error(e, "creating a file in", dir);
        let open = File::open(dir).map_err(error)?;
        let unnamed = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlag::O_TMPFILE.bits())
            .open(dir);
        let (file, temp_name) = match unnamed {
            Ok(file) => (file, None),
            // EISDIR is the answer of a kernel older than O_TMPFILE, the others are answers of file systems.
            Err(e)
                if matches!(
                    e.raw_os_error().map(Errno::from_raw),
                    Some(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL | Errno::ENOSYS)
                ) =>
            {
                naming::remove_stale_temp_files(dir);
                let (file, name) = naming::create_temp_file(dir).map_err(error)?;
                (file, Some(name))
            }
            Err(e) => return Err(error(e)),
        };
        Ok(Draft { file, dir: open, path: dir.to_owned(), temp_name })
    }

    /// The file to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    ///
    /// If they cannot be written; with a hint if the file system is full.
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        (&self.file).write_all(bytes).map_err(|e| self.write_error(e))
    }

    /// The error of writing to its file, with a hint if the file system is full.
    pub(crate) fn write_error(&self, e: io::Error) -> anyhow::Error {
        path_error(e, "writing to", &self.path)
    }

    /// The directory that it is in.
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// Reads the content so far by position.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened a second time.
    pub fn reader(&self) -> Result<FileAt> {
        FileAt::new(self.file.try_clone().context("reading a draft")?)
    }

    /// Makes the draft a clone of `from`: both use the same blocks on disk, until one of them changes. The draft loses
    /// its former content.
    ///
    /// # Errors
    ///
    /// If the file system cannot clone, or the two are on different ones.
    pub fn clone_of(&self, from: &File) -> io::Result<()> {
        self.file.set_len(0)?;
        Ok(rustix::fs::ioctl_ficlone(&self.file, from)?)
    }

    /// Checks that the file system has room for `bytes` more.
    ///
    /// # Errors
    ///
    /// [`Code::NoSpace`] if it has not.
    pub fn ensure_free_space(&self, bytes: u64) -> Result<()> {
        let stat = nix::sys::statvfs::fstatvfs(&self.file)
            .with_context(|| format!("reading the free space of '{}'", self.path.display()))?;
        let in_bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
        if stat.blocks() == 0 {
            // Some network file systems do not report their size. That is not a full disk.
            log::debug!("the file system of '{}' does not report its free space", self.path.display());
            return Ok(());
        }
        let free = in_bytes(stat.blocks_available());
        // The default directory is on the disk of etcd, and etcd without free space stops the cluster.
        let reserve = (in_bytes(stat.blocks()) / 20).min(MIN_FREE);
        if free < bytes.saturating_add(reserve) {
            return Err(Fault::new(
                Code::NoSpace,
                format!(
                    "not enough free space in '{}': {free} bytes are free, {bytes} are needed and {reserve} must stay \
                     free",
                    self.path.display()
                ),
            )
            .hint(NO_SPACE_HINT)
            .into());
        }
        Ok(())
    }

    /// Waits until the content is on disk.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| self.write_error(e))
    }

    /// Gives the draft a name, never that of another file, if it is `size` bytes long. The content is synced first,
    /// then the directory: a name that can be seen after a power cut has its whole content.
    ///
    /// # Errors
    ///
    /// If the draft has another size, or cannot be synced or named. Then nothing is kept, except if the directory
    /// cannot be synced: the message says so.
    pub fn publish(self, name: &str, size: u64) -> Result<Published> {
        self.publish_by(&Kernel, name, size)
    }

    fn publish_by(mut self, calls: &dyn Calls, name: &str, size: u64) -> Result<Published> {
        self.sync()?;
        let context = || format!("publishing '{}'", self.path.join(name).display());
        let before = file_id(&self.file).with_context(context)?;
        anyhow::ensure!(
            before.size == size,
            "the draft has {} bytes instead of {size}; nothing was kept",
            before.size
        );
        match self.give_name(calls, OsStr::new(name), &before) {
            Ok(Named::Done) => self.temp_name = None,
            Ok(Named::Taken) => return Ok(Published::Taken(self)),
            Err(e) => return Err(e.context(context())),
        }
        match self.dir.sync_all() {
            Ok(()) => {}
            Err(e) if is_sync_unsupported(&e) => log::warn!(
                "the file system of '{}' cannot sync directories; the name may not survive a power cut",
                self.path.display()
            ),
            Err(e) => {
                return Err(e).context(format!("{}: it exists, but may not survive a power cut", context()));
            }
        }
        // A file system in user space may not answer for an open file whose temporary name is gone.
        let open = file_id(&self.file);
        // What a later listing sees is the name, not this open file.
        let id = match (published_id(&self.dir, name), &open) {
            (Some(id), _) => id,
            (None, Ok(id)) => *id,
            (None, Err(_)) => id_of(&std::fs::metadata(self.path.join(name)).with_context(context)?),
        };
        anyhow::ensure!(
            id.size == size,
            "{}: the file has {} bytes instead of {size} under its name",
            context(),
            id.size
        );
        Ok(Published::Done(PublishedFile {
            id,
            has_lasting_id: open.is_ok_and(|open| (id.dev, id.ino) == (open.dev, open.ino)),
        }))
    }

    fn give_name(&self, calls: &dyn Calls, name: &OsStr, before: &FileId) -> Result<Named> {
        let named = match &self.temp_name {
            None => naming::name_unnamed(calls, &self.file, &self.dir, name),
            Some(temp) => {
                // On such a file system, only the temporary name holds the draft. It must still be this file.
                let path = naming::temp_path(&self.path, temp);
                let is_same = std::fs::symlink_metadata(&path)
                    .is_ok_and(|m| (m.dev(), m.ino(), m.len()) == (before.dev, before.ino, before.size));
                anyhow::ensure!(
                    is_same,
                    "'{}' was removed by another program; nothing was kept",
                    path.display()
                );
                naming::name_temporary(calls, &self.dir, &self.path, temp, name)
            }
        };
        named.map_err(|e| self.naming_error(e))
    }

    fn naming_error(&self, e: Errno) -> anyhow::Error {
        if !naming::is_unsupported(e) {
            return path_error(e.into(), "naming a file in", &self.path);
        }
        let what = format!("the file system of '{}' cannot give a file its name", self.path.display());
        anyhow::Error::from(e).context(
            Fault::new(Code::FileSystemUnsupported, what)
                .hint("Use a directory on another file system with --dir."),
        )
    }

    /// Gives the draft a name in place of the file that has it, for records of ours. After a power cut the name has
    /// the old content or the new one, never a part.
    ///
    /// # Errors
    ///
    /// If the draft cannot be synced or named. Then the old file is unchanged, except if the directory cannot be
    /// synced.
    pub fn replace(mut self, name: &str) -> Result<()> {
        self.sync()?;
        let path = self.path.join(name);
        let error = |e: Errno| path_error(e.into(), "writing", &path);
        let temp = match self.temp_name.clone() {
            Some(temp) => temp,
            None => {
                let temp = CString::new(naming::replacement_name(name))
                    .with_context(|| format!("writing '{}'", path.display()))?;
                // A process of the same number may have died here.
                match unlinkat(&self.dir, temp.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(e) => return Err(error(e)),
                }
                Kernel
                    .link_unnamed(&self.file, &self.dir, OsStr::new(&*temp.to_string_lossy()))
                    .map_err(|e| self.naming_error(e))?;
                // From now on this name goes with the draft, unless it becomes the new one.
                self.temp_name = Some(temp.clone());
                temp
            }
        };
        renameat(&self.dir, temp.as_c_str(), &self.dir, OsStr::new(name)).map_err(error)?;
        self.temp_name = None;
        match self.dir.sync_all() {
            Err(e) if !is_sync_unsupported(&e) => Err(path_error(e, "syncing the directory", &self.path)),
            _ => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp_name {
            let _ = unlinkat(&self.dir, temp.as_c_str(), UnlinkatFlags::NoRemoveDir);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;
    use crate::host::naming::tests::{InodePerName, Refusing};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_draft_cannot_be_seen_until_it_is_published_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        (&draft).write_all(b"one").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let Published::Done(done) = draft.publish("a", 3).unwrap() else { panic!("taken") };
        assert_eq!(done.id, id_of(&std::fs::metadata(dir.path().join("a")).unwrap()));
        assert_eq!((done.id.size, done.has_lasting_id), (3, true));
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

    /// A draft as on a file system without unnamed files.
    fn temporary(dir: &Path, content: &[u8]) -> Draft {
        let (file, name) = naming::create_temp_file(dir).unwrap();
        let draft = Draft { file, dir: File::open(dir).unwrap(), path: dir.into(), temp_name: Some(name) };
        (&draft).write_all(content).unwrap();
        draft
    }

    #[test]
    fn a_temporary_name_is_gone_after_publishing_and_never_overwrites() {
        for refusing in [
            Refusing { link: None, rename: None },
            Refusing { link: Some(Errno::ENOSYS), rename: None },
            Refusing { link: Some(Errno::EPERM), rename: Some(Errno::EINVAL) },
        ] {
            let dir = tempfile::tempdir().unwrap();
            let one = temporary(dir.path(), b"one").publish_by(&refusing, "a", 3).unwrap();
            let Published::Done(one) = one else { panic!("taken") };
            assert_eq!(one.id, id_of(&std::fs::metadata(dir.path().join("a")).unwrap()));
            let two = temporary(dir.path(), b"two").publish_by(&refusing, "a", 3).unwrap();
            assert!(matches!(two, Published::Taken(_)));
            drop(two);
            let names: Vec<_> =
                std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["a"]);
            assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"one");
            temporary(dir.path(), b"three").replace("a").unwrap();
            assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"three");
        }
    }

    #[test]
    fn the_identity_is_that_of_the_name_also_if_each_name_has_an_inode_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let calls = InodePerName(dir.path().to_owned());
        let done = temporary(dir.path(), b"one").publish_by(&calls, "a", 3).unwrap();
        let Published::Done(done) = done else { panic!("taken") };
        assert_eq!(done.id, id_of(&std::fs::metadata(dir.path().join("a")).unwrap()));
        assert!(!done.has_lasting_id);
    }

    #[test]
    fn a_file_system_that_cannot_name_an_unnamed_file_is_reported_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let refusing = Refusing { link: Some(Errno::ENOSYS), rename: None };
        let e = Draft::new(dir.path()).unwrap().publish_by(&refusing, "a", 0).err().unwrap();
        assert_eq!(code_of(&e), Code::FileSystemUnsupported);
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
    fn replace_that_fails_leaves_no_temporary_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("m.json")).unwrap();
        assert!(Draft::new(dir.path()).unwrap().replace("m.json").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn too_little_free_space_has_its_code_and_names_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        assert!(draft.ensure_free_space(1).is_ok());
        let e = draft.ensure_free_space(u64::MAX).unwrap_err();
        assert_eq!(code_of(&e), Code::NoSpace);
        assert!(e.to_string().contains(&dir.path().display().to_string()), "{e}");
    }
}
