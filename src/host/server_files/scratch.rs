// SPDX-License-Identifier: Apache-2.0
//! The scratch directory in which the new database is prepared: a copy of the small files of the server, an empty directory
//! of databases, and the snapshot. It is on the file system of the live databases, so that the result can be renamed.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::database::{etcd_database, sqlite_database};
use super::layout::{ServerFiles, member_name};
use crate::datastore::Datastore;
use crate::distribution;
use crate::host::aside::BindMount;
use crate::host::draft::{Draft, Published};
use crate::host::fs::{FileAt, create_dir, sync_dir};
use crate::host::progress::NoProgress;
use crate::host::{file_tree, install};
use crate::io::ReadAt;
use crate::model::restore::Database;
use crate::model::secret::Secret;

/// The snapshot in the scratch directory.
const SNAPSHOT: &str = "snapshot";
/// The configuration of K3s for the run aside.
const CONFIG: &str = "config.yaml";
/// The directory that is mounted over `<data-dir>/server`.
const SERVER: &str = "server";
/// The copy of it for a rehearsal.
const REHEARSAL: &str = "rehearsal";
/// Larger files of the server than this are not copied: logs, not credentials.
const MAX_COPIED: u64 = 16 << 20;

/// The scratch directory of one restore.
#[derive(Debug, Clone)]
pub struct Scratch {
    root: PathBuf,
    data_dir: PathBuf,
    datastore: Datastore,
}

impl ServerFiles {
    /// The scratch directory, which need not exist.
    pub fn scratch(&self) -> Scratch {
        Scratch { root: self.work_dir(), data_dir: self.data_dir.clone(), datastore: self.datastore }
    }

    /// Creates an empty scratch directory, and the directories of the live system that are hidden from the run aside. What
    /// an earlier run left is removed. Returns the directories that did not exist, the deepest last.
    ///
    /// # Errors
    /// If a directory cannot be created.
    pub fn create_scratch(&self) -> Result<Vec<PathBuf>> {
        file_tree::remove(&self.work_dir())?;
        let mut created = Vec::new();
        for (path, mode) in [
            (self.data_dir.clone(), 0o755),
            (self.server(), 0o700),
            (self.db(), 0o700),
            (self.data_dir.join(distribution::AGENT), 0o755),
            (self.data_dir.join(distribution::PROGRAMS), 0o755),
            (PathBuf::from(distribution::RUNTIME), 0o711),
            (PathBuf::from(distribution::RANCHER_DIR), 0o755),
        ] {
            create_missing_dirs(&path, mode, &mut created)?;
        }
        let scratch = self.scratch();
        create_dir(&scratch.root)?;
        for name in ["agent", "run"] {
            create_dir(&scratch.root.join(name))?;
        }
        // What flags of K3s name there, such as an audit policy; and the node password, which K3s creates on a new machine.
        let etc = scratch.root.join("etc");
        install::copy_following_links(Path::new(distribution::RANCHER_DIR), &etc, MAX_COPIED)?;
        create_dir(&etc.join("k3s"))?;
        create_dir(&scratch.server().join("db"))?;
        sync_dir(&self.db())?;
        Ok(created)
    }

    /// Copies the small files of the live server into the scratch directory: everything but databases and snapshots.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn copy_server_files(&self) -> Result<()> {
        let (from, to) = (self.server(), self.scratch().server());
        let context = || format!("reading '{}'", from.display());
        for entry in fs::read_dir(&from).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = entry.file_name();
            let text = name.to_string_lossy().into_owned();
            // Databases; and certificates that earlier resets set aside, which hold keys.
            if text == "db" || is_certificate_backup(&text) {
                continue;
            }
            if text == "logs" {
                create_dir(&to.join(&name))?;
                continue;
            }
            if self.is_link_to_token(&entry.path()) {
                install::link(&entry.path(), &to.join(&name))?;
                continue;
            }
            install::copy_following_links(&entry.path(), &to.join(&name), MAX_COPIED)?;
        }
        Ok(())
    }

    /// Whether a file of the server is a link to its token: `node-token`, and `agent-token` if none is configured.
    pub(super) fn is_link_to_token(&self, path: &Path) -> bool {
        let token = self.data_dir.join(distribution::TOKEN);
        let real = |path: &Path| path.canonicalize().ok();
        path.is_symlink() && *path != token && real(path).is_some_and(|to| Some(to) == real(&token))
    }

    /// Puts the snapshot into the scratch directory: a second name of the same file, else a copy. No other program can take
    /// it away from there, and this file is the one that is verified and restored.
    ///
    /// # Errors
    /// If it cannot be read, or there is no room for a copy.
    pub fn pin(&self, snapshot: &Path) -> Result<PathBuf> {
        let scratch = self.scratch();
        let pinned = scratch.snapshot();
        file_tree::remove(&pinned)?;
        let context = || format!("pinning '{}'", snapshot.display());
        // A link leads to another file, which may be exchanged: the file itself is meant.
        let file = snapshot.canonicalize().with_context(context)?;
        let data = FileAt::new(File::open(&file).with_context(context)?)?;
        let draft = Draft::new(&scratch.root)?;
        // A clone or a copy: a second name would change with the file, if another program writes into it.
        if draft.clone_of(&File::open(&file).with_context(context)?).is_err() {
            draft.ensure_free_space(data.size())?;
            draft.fill_from(&data, 1, u64::MAX, &NoProgress)?;
        }
        let size = data.size();
        scratch.publish_snapshot(draft, size)
    }
}

impl Scratch {
    fn server(&self) -> PathBuf {
        self.root.join(SERVER)
    }

    /// The directory of the scratch itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The pinned snapshot.
    pub fn snapshot(&self) -> PathBuf {
        self.root.join(SNAPSHOT)
    }

    /// An unnamed file for a snapshot that must be downloaded or unpacked.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn draft(&self) -> Result<Draft> {
        Draft::new(&self.root)
    }

    /// Makes a draft the pinned snapshot.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn publish_snapshot(&self, draft: Draft, size: u64) -> Result<PathBuf> {
        let pinned = self.snapshot();
        file_tree::remove(&pinned)?;
        match draft.publish(SNAPSHOT, size)? {
            Published::Done(_) => Ok(pinned),
            Published::Taken(_) => Err(anyhow::anyhow!("'{}' already exists", pinned.display())),
        }
    }

    /// Opens a file of the scratch directory, or any other, for reading.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&self, file: &Path) -> Result<FileAt> {
        FileAt::new(File::open(file).with_context(|| format!("opening '{}'", file.display()))?)
    }

    /// The path of the pinned snapshot as K3s sees it aside.
    pub fn snapshot_aside(&self) -> PathBuf {
        self.data_dir.join(distribution::SERVER).join(SNAPSHOT)
    }

    /// The path of the configuration as K3s sees it aside.
    pub fn config_aside(&self) -> PathBuf {
        self.data_dir.join(distribution::SERVER).join(CONFIG)
    }

    /// Makes the pinned snapshot visible to K3s aside.
    ///
    /// # Errors
    /// If the second name cannot be made.
    pub fn expose_snapshot(&self) -> Result<()> {
        let target = self.server().join(SNAPSHOT);
        file_tree::remove(&target)?;
        fs::hard_link(self.snapshot(), &target)
            .or_else(|_| fs::copy(self.snapshot(), &target).map(drop))
            .with_context(|| format!("creating '{}'", target.display()))
    }

    /// Writes the configuration of K3s for a run aside, readable only by root.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_config(&self, text: &Secret, rehearsal: bool) -> Result<()> {
        let dir = self.server_dir(rehearsal);
        let draft = Draft::new(&dir)?;
        (&draft)
            .write_all(text.expose().as_bytes())
            .context("writing the configuration of K3s for the run aside")?;
        draft.replace(CONFIG)
    }

    fn server_dir(&self, rehearsal: bool) -> PathBuf {
        if rehearsal { self.root.join(REHEARSAL) } else { self.server() }
    }

    /// Copies a database at rest into the scratch directory, for a reset that works on it.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn copy_database(&self, from: &Path) -> Result<()> {
        let to = self.server().join("db").join("etcd");
        file_tree::remove(&to)?;
        file_tree::copy(from, &to)
    }

    /// Copies what was prepared, for a rehearsal that may write to it.
    ///
    /// # Errors
    /// If there is no room, or it cannot be copied.
    pub fn copy_for_rehearsal(&self) -> Result<()> {
        let to = self.root.join(REHEARSAL);
        file_tree::remove(&to)?;
        file_tree::copy(&self.server(), &to)
    }

    /// Removes what is not needed after the preparation: the pinned snapshot and the copy of a rehearsal.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn free_space(&self) -> Result<()> {
        file_tree::remove(&self.snapshot())?;
        file_tree::remove(&self.server().join(SNAPSHOT))?;
        self.remove_rehearsal()
    }

    /// Removes the copy of a rehearsal.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_rehearsal(&self) -> Result<()> {
        file_tree::remove(&self.root.join(REHEARSAL))
    }

    /// What is mounted over the directories of the live server.
    pub fn binds(&self, rehearsal: bool) -> Vec<BindMount> {
        let bind = |source: PathBuf, target: PathBuf| BindMount { source, target };
        vec![
            bind(self.server_dir(rehearsal), self.data_dir.join(distribution::SERVER)),
            bind(self.root.join("agent"), self.data_dir.join(distribution::AGENT)),
            bind(self.root.join("run"), PathBuf::from(distribution::RUNTIME)),
            bind(self.root.join("etc"), PathBuf::from(distribution::RANCHER_DIR)),
            // K3s unpacks its own programs there if they are not there yet, as its next start would.
            bind(self.data_dir.join(distribution::PROGRAMS), self.data_dir.join(distribution::PROGRAMS)),
        ]
    }

    /// The new database: the directory of etcd, or the file of SQLite.
    pub fn new_database_path(&self) -> PathBuf {
        match self.datastore {
            Datastore::Etcd => self.new_database_dir(),
            Datastore::Sqlite => self.server().join("db").join(distribution::SQLITE_FILE),
        }
    }

    /// The new database of etcd, as K3s made it.
    pub fn new_database_dir(&self) -> PathBuf {
        self.server().join("db").join("etcd")
    }

    /// What the new database is; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be examined.
    pub fn new_database(&self) -> Result<Option<Database>> {
        match self.datastore {
            Datastore::Etcd => etcd_database(&self.new_database_dir()),
            Datastore::Sqlite => sqlite_database(&self.server().join("db")),
        }
    }

    /// The file of the new database, opened for reading.
    ///
    /// # Errors
    /// If there is none.
    pub fn new_database_file(&self) -> Result<FileAt> {
        match self.datastore {
            Datastore::Etcd => self.open(&self.new_database_dir().join(distribution::ETCD_DB_FILE)),
            Datastore::Sqlite => self.open(&self.new_database_path()),
        }
    }

    /// The name of the new member.
    pub fn new_member_name(&self) -> Option<String> {
        member_name(&self.new_database_dir())
    }

    /// The token that K3s wrote aside; `None` if it wrote none.
    pub fn token(&self) -> Option<Secret> {
        fs::read_to_string(self.server().join("token")).ok().map(|t| Secret::new(t.trim()))
    }

    /// Whether K3s marked its reset as done, and made a log of etcd.
    ///
    /// # Errors
    /// If that cannot be examined.
    pub fn missing_after_reset(&self) -> Result<Option<&'static str>> {
        for (path, what) in [
            ("db/etcd/member/wal", "there is no new log of etcd"),
            ("db/reset-flag", "K3s has not marked the reset as done"),
        ] {
            if file_tree::inode_id(&self.server().join(path))?.is_none() {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }

    /// The directory of certificates that K3s wrote aside.
    pub fn tls(&self, rehearsal: bool) -> PathBuf {
        self.server_dir(rehearsal).join("tls")
    }

    /// The files of the server that K3s wrote aside, as paths relative to `server/`.
    pub(super) fn server_path(&self, name: &str) -> PathBuf {
        self.server().join(name)
    }

    /// Removes the scratch directory.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        file_tree::remove(&self.root)
    }

    /// A file for the output of K3s in `state`; readable only by root.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn log_file(state: &Path, name: &str) -> Result<(PathBuf, File)> {
        use std::os::unix::fs::OpenOptionsExt;
        create_dir(state)?;
        let path = state.join(name);
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("creating '{}'", path.display()))?;
        Ok((path, file))
    }
}

/// Whether a name is that of certificates that a reset of K3s set aside: `tls-<seconds>`.
pub(super) fn is_certificate_backup(name: &str) -> bool {
    name.strip_prefix(distribution::TLS_OLD)
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Creates a directory with its parents, and records which of them did not exist.
fn create_missing_dirs(path: &Path, mode: u32, created: &mut Vec<PathBuf>) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.is_dir()).collect();
    for dir in missing.into_iter().rev() {
        DirBuilder::new().mode(mode).create(dir).with_context(|| format!("creating '{}'", dir.display()))?;
        created.push(dir.to_owned());
        sync_dir(dir.parent().unwrap_or(dir))?;
    }
    Ok(())
}
