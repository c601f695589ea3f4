// SPDX-License-Identifier: Apache-2.0
//! The changes to the files of an etcd member, made durably: each function has written and synced all of its changes
//! when it returns, and may be called again after an interruption.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::fence::Fence;
use super::raise_revision::{Raised, plan_raise};
use super::wal::{WalInfo, WalScan, corrupt};
use super::{bolt_write, wal_name};
use crate::error::{Code, Fault};
use crate::io::ReadAt;

/// What the new files are called until they are complete. etcd passes over the names that end in `.tmp`.
const NEW: &str = ".k3s-snapshot.tmp";
/// The log is written in pieces of this size.
const BUFFER: usize = 256 * 1024;

/// The cluster id of a write-ahead log before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// The id it had.
    pub old: u64,
    /// The id it has.
    pub new: u64,
}

/// Raises the revision of the database in `file`, opened for reading and writing, to `target` and marks all revisions
/// before as compacted; see [`plan_raise`]. Some pages are written and synced, then the meta page that makes them count:
/// after an interruption the database is either as it was or as it has to be.
///
/// The second call with the same `target` changes nothing and returns the same.
///
/// # Errors
///
/// As [`plan_raise`]; `database-in-use` if another process, or another handle of this one, has the database locked; an
/// error of the file.
pub fn raise_revision(file: &File, target: i64) -> anyhow::Result<Raised> {
    // bbolt has this lock for as long as it has the file open.
    file.try_lock().map_err(|e| match e {
        TryLockError::WouldBlock => anyhow::Error::from(Fault::new(
            Code::DatabaseInUse,
            "changing the database: a process has it open",
        )),
        TryLockError::Error(e) => anyhow::Error::from(e).context("locking the database"),
    })?;
    let raised = raise_locked(file, target);
    let unlocked = file.unlock().context("unlocking the database");
    raised.and_then(|raised| unlocked.map(|()| raised))
}

fn raise_locked(file: &File, target: i64) -> anyhow::Result<Raised> {
    let plan = plan_raise(&FileBytes::new(file)?, target)?;
    let Some(commit) = plan.commit else {
        file.sync_all().context("syncing the database")?;
        return Ok(plan.raised);
    };
    let write = |page: &bolt_write::PageWrite| {
        file.write_all_at(&page.bytes, page.offset).context("writing the database")
    };
    commit.pages.iter().try_for_each(write)?;
    file.sync_all().context("syncing the database")?;
    write(&commit.meta)?;
    file.sync_all().context("syncing the database")?;
    let written = plan_raise(&FileBytes::new(file)?, target)?;
    match written.commit {
        None if written.raised == plan.raised => Ok(plan.raised),
        _ => Err(corrupt_after(target)),
    }
}

fn corrupt_after(target: i64) -> anyhow::Error {
    let text = format!("changing the database: it does not read back as raised to revision {target}");
    Fault::new(Code::DatabaseCorrupt, text).into()
}

/// Gives the write-ahead log in `dir` (`member/wal` of an etcd that does not run) the cluster id `cluster_id`.
///
/// New files are written next to the old ones, synced and read back; then each replaces the old one. A log of one file,
/// as after a reset of K3s, is either as it was or as it has to be after an interruption. An interruption while several
/// files are replaced leaves a log that neither etcd nor this function accepts.
///
/// A log that has the id already is not changed.
///
/// # Errors
///
/// `database-corrupt` if the log is not whole; as [`Fence::new`]; an error of the file system.
pub fn fence(dir: &Path, cluster_id: u64) -> anyhow::Result<Fenced> {
    let fence = Fence::new(cluster_id)?;
    let names = log_files(dir)?;
    remove_new(dir, &names)?;
    let before = scan(dir, &names, "")?;
    if before.cluster_id != cluster_id {
        replace(dir, &names, fence, &before).inspect_err(|_| {
            // The first error counts; what stays is removed by the next call.
            let _ = remove_new(dir, &names);
        })?;
    }
    sync_dir(dir)?;
    Ok(Fenced { old: before.cluster_id, new: cluster_id })
}

/// Reads the write-ahead log in `dir` from its first to its last record, and verifies every checksum.
///
/// # Errors
///
/// `database-corrupt` if the log is not whole; an error of the file system.
pub fn wal_info(dir: &Path) -> anyhow::Result<WalInfo> {
    scan(dir, &log_files(dir)?, "")
}

fn replace(dir: &Path, names: &[String], mut fence: Fence, before: &WalInfo) -> anyhow::Result<()> {
    let cluster_id = fence.cluster_id();
    for name in names {
        rewrite(&dir.join(name), &new_path(dir, name), &mut fence)?;
    }
    let wanted = WalInfo { cluster_id, ..before.clone() };
    if scan(dir, names, NEW)? != wanted {
        return Err(corrupt("the new files do not read back as they have to be".into()));
    }
    for name in names {
        let (from, to) = (new_path(dir, name), dir.join(name));
        fs::rename(&from, &to).with_context(|| format!("renaming '{}'", from.display()))?;
    }
    Ok(())
}

/// Writes one new file, as long as the old one at least: etcd allocates a file in advance.
fn rewrite(from: &Path, to: &Path, fence: &mut Fence) -> anyhow::Result<()> {
    let old = open(from)?;
    let metadata = old.metadata().with_context(|| format!("reading '{}'", from.display()))?;
    let writing = || format!("writing '{}'", to.display());
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).with_context(writing)?;
    let mut out = BufWriter::with_capacity(BUFFER, &new);
    let written = fence.file(&FileBytes::new(&old)?, &mut out).with_context(|| from.display().to_string())?;
    out.flush().with_context(writing)?;
    drop(out);
    new.set_len(metadata.len().max(written)).with_context(writing)?;
    new.set_permissions(metadata.permissions()).with_context(writing)?;
    let (uid, gid) = (metadata.uid(), metadata.gid());
    let own = new.metadata().with_context(writing)?;
    if (own.uid(), own.gid()) != (uid, gid) {
        fchown(&new, Some(uid), Some(gid)).with_context(writing)?;
    }
    new.sync_all().with_context(writing)
}

fn scan(dir: &Path, names: &[String], suffix: &str) -> anyhow::Result<WalInfo> {
    let mut scan = WalScan::new();
    for name in names {
        let path = dir.join(format!("{name}{suffix}"));
        scan.file(&FileBytes::new(&open(&path)?)?).with_context(|| path.display().to_string())?;
    }
    scan.finish()
}

fn log_files(dir: &Path) -> anyhow::Result<Vec<String>> {
    let reading = || format!("reading '{}'", dir.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(reading)? {
        names.extend(entry.with_context(reading)?.file_name().into_string());
    }
    wal_name::in_order(names.into_iter()).with_context(|| dir.display().to_string())
}

/// Removes what an interrupted run has left.
fn remove_new(dir: &Path, names: &[String]) -> anyhow::Result<()> {
    for path in names.iter().map(|name| new_path(dir, name)) {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("removing '{}'", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn new_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{NEW}"))
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("opening '{}'", path.display()))
}

fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    open(dir)?.sync_all().with_context(|| format!("syncing '{}'", dir.display()))
}

/// The bytes of an open file.
struct FileBytes<'a> {
    file: &'a File,
    size: u64,
}

impl FileBytes<'_> {
    fn new(file: &File) -> anyhow::Result<FileBytes<'_>> {
        let size = file.metadata().context("reading the size of a file")?.len();
        Ok(FileBytes { file, size })
    }
}

impl ReadAt for FileBytes<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}
