// SPDX-License-Identifier: Apache-2.0
//! Where the files of a K3s server are, and what is in them before a restore.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::database::{etcd_database, sqlite_database};
use crate::datastore::Datastore;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::host::draft::Draft;
use crate::host::file_tree;
use crate::host::fs::FileAt;
use crate::model::restore::{Database, Identity, RestoreState};
use crate::model::secret::Secret;

/// In the state directory: the output of the last reset of K3s.
pub(crate) const RESET_LOG: &str = "k3s-reset.log";

/// The hidden directory of a restore next to the databases; only root can read it.
pub(super) const WORK_DIR: &str = ".k3s-snapshot-restore";

/// The files of one K3s server.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    /// The directory of the state file and of the marker that blocks the start.
    pub state: PathBuf,
    /// Data directory of K3s.
    pub data_dir: PathBuf,
    /// Where an administrator's units and drop-ins are.
    pub units: PathBuf,
    /// The K3s unit.
    pub unit: String,
    /// The kubeconfig that K3s writes.
    pub kubeconfig: PathBuf,
    /// The datastore of this server, or the one that a restore makes.
    pub datastore: Datastore,
}

impl ServerFiles {
    pub(super) fn server(&self) -> PathBuf {
        self.data_dir.join(distribution::SERVER)
    }

    pub(super) fn db(&self) -> PathBuf {
        self.data_dir.join(distribution::DB)
    }

    /// The directory of the etcd database.
    pub fn etcd(&self) -> PathBuf {
        self.data_dir.join(distribution::ETCD)
    }

    /// The database: the directory of etcd, or the file of SQLite.
    pub fn database_path(&self) -> PathBuf {
        match self.datastore {
            Datastore::Etcd => self.etcd(),
            Datastore::Sqlite => self.data_dir.join(distribution::SQLITE),
        }
    }

    /// The file that a process has open that uses the database.
    pub fn open_file(&self) -> PathBuf {
        match self.datastore {
            Datastore::Etcd => self.data_dir.join(distribution::ETCD_DB),
            Datastore::Sqlite => self.database_path(),
        }
    }

    /// The name of a database that is set aside, before the seconds, as a path.
    pub fn old_database_prefix(&self) -> String {
        self.db().join(distribution::ETCD_OLD).display().to_string()
    }

    pub(super) fn work_dir(&self) -> PathBuf {
        self.db().join(WORK_DIR)
    }

    /// The database file of etcd, opened for reading; `None` if there is none.
    ///
    /// # Errors
    /// If it exists and cannot be opened.
    pub fn database_file(&self) -> Result<Option<FileAt>> {
        let path = self.data_dir.join(distribution::ETCD_DB);
        match File::open(&path) {
            Ok(file) => FileAt::new(file).map(Some),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e).with_context(|| format!("opening '{}'", path.display())),
        }
    }

    /// Opens the database file at `path` for reading and writing, for changes at rest.
    ///
    /// # Errors
    /// If it cannot be opened, or `change` fails.
    pub fn with_database<T>(&self, path: &Path, change: impl FnOnce(&File) -> Result<T>) -> Result<T> {
        let file = File::options().read(true).write(true).open(path);
        change(&file.with_context(|| format!("opening '{}' for a change", path.display()))?)
    }

    /// What the live database is; `None` if there is no directory of it.
    ///
    /// # Errors
    /// If it exists and cannot be examined.
    pub fn live_database(&self) -> Result<Option<Database>> {
        match self.datastore {
            Datastore::Etcd => etcd_database(&self.etcd()),
            Datastore::Sqlite => sqlite_database(&self.db()),
        }
    }

    /// Whether there is a database.
    ///
    /// # Errors
    /// As [`ServerFiles::live_database`].
    pub fn has_database(&self) -> Result<bool> {
        Ok(self.live_database()?.is_some_and(|live| live.file.is_some()))
    }

    /// The directory of databases itself, links followed; `None` if it does not exist.
    ///
    /// # Errors
    /// If it exists and cannot be examined.
    pub fn databases(&self) -> Result<Option<Identity>> {
        let db = self.db();
        match db.canonicalize() {
            Ok(real) => file_tree::inode_id(&real),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e).with_context(|| format!("examining '{}'", db.display())),
        }
    }

    /// Whether the disk of the databases is the one on which a restore worked. A disk that is not mounted yet looks like a
    /// server without a database.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn is_mounted(&self, state: &RestoreState) -> Result<bool> {
        Ok(match (state.databases, self.databases()?) {
            (Some(was), now) => now.is_some_and(|now| now.is_same(was)),
            // Interrupted before it was written down.
            (None, _) => self.data_dir.is_dir() || state.created.contains(&self.data_dir),
        })
    }

    /// Whether a process has the database open. etcd locks the file for as long as it runs.
    ///
    /// # Errors
    /// If that cannot be found out. An error is not a no.
    pub fn is_database_open(&self) -> Result<bool> {
        if self.datastore == Datastore::Sqlite {
            return self.is_sqlite_open();
        }
        let Some(file) = self.database_file()? else { return Ok(false) };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(e).context("checking whether the etcd database is in use"),
        }
    }

    /// The name of the etcd member of this server, as K3s wrote it.
    pub fn member_name(&self) -> Option<String> {
        member_name(&self.etcd())
    }

    /// The token in the directory of the live server; `None` if there is none.
    pub fn token(&self) -> Option<Secret> {
        fs::read_to_string(self.server().join("token")).ok().map(|t| Secret::new(t.trim()))
    }

    /// Fails if files cannot be exchanged by renaming: a mount point or a link where the database is.
    ///
    /// # Errors
    /// [`Code::UnsupportedLayout`].
    pub fn ensure_renamable(&self) -> Result<()> {
        let (path, is_file) = (self.database_path(), self.datastore == Datastore::Sqlite);
        let refuse = |what: String, hint: &str| {
            Err(Fault::new(Code::UnsupportedLayout, what).hint(hint.to_owned()).into())
        };
        let shown = path.display();
        match fs::symlink_metadata(&path) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
            Err(e) => Err(e).with_context(|| format!("examining '{shown}'")),
            Ok(meta) if meta.is_symlink() => refuse(
                format!("'{shown}' is a symbolic link, which cannot be exchanged safely"),
                "Stop K3s, replace the link by what it leads to, or link its parent 'server/db' instead.",
            ),
            Ok(meta) if meta.is_file() != is_file => {
                let kind = if is_file { "file" } else { "directory" };
                refuse(format!("'{shown}' is not a {kind}"), "Check --data-dir DIRECTORY.")
            }
            Ok(_) if is_mount_point(&path)? => refuse(
                format!("'{shown}' is a mount point, which cannot be renamed"),
                "Stop K3s and mount that disk one directory higher, on 'server/db'.",
            ),
            Ok(_) => Ok(()),
        }
    }

    /// Fails unless the disk of the databases has this many bytes free, in addition to what must stay free.
    ///
    /// # Errors
    /// [`Code::NoSpace`]. A machine without a data directory has the disk of the nearest directory that exists.
    pub fn ensure_free_space(&self, bytes: u64) -> Result<()> {
        let db = self.db();
        let existing = db.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/"));
        Draft::new(existing)?.ensure_free_space(bytes)
    }

    /// Writes everything on the file system of the databases to the disk.
    ///
    /// # Errors
    /// If the kernel reports a write error.
    pub fn sync(&self) -> Result<()> {
        let mut roots = vec![self.db(), self.server(), self.data_dir.clone()];
        roots.retain(|p| p.is_dir());
        for root in roots {
            let open = File::open(&root).with_context(|| format!("opening '{}'", root.display()))?;
            rustix::fs::syncfs(&open).with_context(|| format!("writing '{}' to the disk", root.display()))?;
        }
        Ok(())
    }
}

/// The name of the member in the directory of a database.
pub(super) fn member_name(directory: &Path) -> Option<String> {
    fs::read_to_string(directory.join("name")).ok().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty())
}

fn is_mount_point(path: &Path) -> Result<bool> {
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOSYS) => Ok(false),
        Err(e) => Err(e).with_context(|| format!("examining '{}'", path.display())),
    }
}
