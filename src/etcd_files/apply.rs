// SPDX-License-Identifier: Apache-2.0
//! Changes the files of an etcd member durably. All changes are synced when a function returns, and every function can be
//! called again after an interruption.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::fence::Fence;
use super::raise_revision::{Raised, plan_raise};
use super::wal::{WalInfo, WalScan, corrupt};
use super::{bolt_write, wal_name};
use crate::error::{Code, Fault, code_of};
use crate::io::ReadAt;

/// The suffix of a new file until it replaces the old one. etcd ignores names that end in `.tmp`.
const NEW: &str = ".k3s-snapshot.tmp";
/// Bytes of the log that are written at once.
const BUFFER: usize = 256 * 1024;

/// The cluster id of a write-ahead log before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// The id before.
    pub old: u64,
    /// The id after.
    pub new: u64,
}

/// Raises the revision of the database `member/snap/db` to `target`, and marks all earlier revisions as compacted; see
/// [`plan_raise`]. `file` must be open for reading and writing.
///
/// New pages are written and synced before the meta page is written. After an interruption the database has either its
/// old content or all changes. A second call with the same `target` changes nothing and returns the same.
///
/// # Errors
///
/// As [`plan_raise`]. `database-in-use` if the database is locked: by another process, or by this process through another
/// open of the file. An error of the file system.
pub fn raise_revision(file: &File, target: i64) -> anyhow::Result<Raised> {
    // bbolt holds this lock while it has the file open.
    file.try_lock().map_err(|e| match e {
        TryLockError::WouldBlock => anyhow::Error::from(Fault::new(
            Code::DatabaseInUse,
            "changing the database: a process has the file locked",
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
    let text =
        format!("raising the revision of the database to {target}: the file does not have it afterwards");
    Fault::new(Code::DatabaseCorrupt, text).into()
}

/// Sets the cluster id in the write-ahead log in `dir`: the directory `member/wal` of an etcd that does not run. The caller
/// makes sure that etcd does not run.
///
/// New files are written next to the old ones, synced and read back. Then each new file replaces the old one. After a
/// reset of K3s the log has one file: then an interruption leaves either the old log or the new one. If the log has
/// several files, an interruption between two of them leaves a log that both etcd and this function refuse.
///
/// If the log has the id, nothing changes.
///
/// # Errors
///
/// `database-corrupt` if the log is not complete and valid. As [`Fence::new`]. An error of the file system.
pub fn fence(dir: &Path, cluster_id: u64) -> anyhow::Result<Fenced> {
    let fence = Fence::new(cluster_id)?;
    let names = log_files(dir)?;
    remove_new(dir, &names)?;
    let before = scan(dir, &names, "")?;
    if before.cluster_id != cluster_id {
        replace(dir, &names, fence, &before).inspect_err(|_| {
            // The first error counts. The next call removes a file that is left.
            let _ = remove_new(dir, &names);
        })?;
    }
    sync_dir(dir)?;
    Ok(Fenced { old: before.cluster_id, new: cluster_id })
}

/// Reads all of the write-ahead log in `dir` and verifies every record.
///
/// # Errors
///
/// `database-corrupt` if the log is not complete and valid. An error of the file system.
pub fn wal_info(dir: &Path) -> anyhow::Result<WalInfo> {
    scan(dir, &log_files(dir)?, "")
}

/// The end of a write-ahead log that can be incomplete: etcd was killed, or the machine lost its power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalEnd {
    /// The raft index of the last verified entry, or of the last raft snapshot if that is later.
    pub last_index: u64,
    /// Why the log could not be read to its end; `None` if it was.
    pub incomplete: Option<String>,
}

/// Reads the write-ahead log in `dir` up to the first record that is not valid.
///
/// # Errors
///
/// `database-corrupt` if there is no log, or not even its beginning is valid. An error of the file system.
pub fn wal_end(dir: &Path) -> anyhow::Result<WalEnd> {
    let mut scan = WalScan::new();
    for name in log_files(dir)? {
        let path = dir.join(name);
        if let Err(e) = scan.file(&FileBytes::new(&open(&path)?)?) {
            return match scan.last_index() {
                Some(last_index) if code_of(&e) == Code::DatabaseCorrupt => {
                    Ok(WalEnd { last_index, incomplete: Some(format!("{e:#}")) })
                }
                _ => Err(e.context(format!("reading '{}'", path.display()))),
            };
        }
    }
    Ok(WalEnd { last_index: scan.finish()?.last_index, incomplete: None })
}

fn replace(dir: &Path, names: &[String], mut fence: Fence, before: &WalInfo) -> anyhow::Result<()> {
    let cluster_id = fence.cluster_id();
    for name in names {
        rewrite(&dir.join(name), &new_path(dir, name), &mut fence)?;
    }
    let wanted = WalInfo { cluster_id, ..before.clone() };
    if scan(dir, names, NEW)? != wanted {
        return Err(corrupt("the new files do not have the expected content".into()));
    }
    for name in names {
        let (from, to) = (new_path(dir, name), dir.join(name));
        fs::rename(&from, &to).with_context(|| format!("renaming '{}'", from.display()))?;
    }
    Ok(())
}

/// Writes one new file. The file has at least the size of the old one, because etcd allocates files in advance: at its
/// start, etcd allocates the space after the last record again.
fn rewrite(from: &Path, to: &Path, fence: &mut Fence) -> anyhow::Result<()> {
    let old = open(from)?;
    let metadata = old.metadata().with_context(|| format!("reading '{}'", from.display()))?;
    let writing = || format!("writing '{}'", to.display());
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).with_context(writing)?;
    let mut out = BufWriter::with_capacity(BUFFER, &new);
    let written = fence
        .file(&FileBytes::new(&old)?, &mut out)
        .with_context(|| format!("reading '{}'", from.display()))?;
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
        scan.file(&FileBytes::new(&open(&path)?)?)
            .with_context(|| format!("reading '{}'", path.display()))?;
    }
    scan.finish()
}

fn log_files(dir: &Path) -> anyhow::Result<Vec<String>> {
    let reading = || format!("reading '{}'", dir.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(reading)? {
        names.extend(entry.with_context(reading)?.file_name().into_string());
    }
    wal_name::in_order(names.into_iter()).with_context(reading)
}

/// Removes the new files that an interrupted call has left.
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
