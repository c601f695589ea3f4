// SPDX-License-Identifier: Apache-2.0
//! A database of SQLite: its file, and the write-ahead log that belongs to it and to no other file. They are exchanged together.
//!
//! The order of the renames decides to which database a log belongs, whenever the exchange is interrupted: a log that is next to
//! the new database is of the new one. Without a database file, it is of the previous one.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::database::{fingerprint, sqlite_database as database};
use super::layout::ServerFiles;
use super::scratch::Scratch;
use super::swap::previous_is_gone;
use crate::distribution::{SQLITE_FAILED, SQLITE_FILE, SQLITE_LOGS};
use crate::host::draft::Draft;
use crate::host::fs::{create_dir, sync_dir};
use crate::host::{file_tree, open_files};
use crate::model::restore::{Database, RestoreState};

/// A log that has been moved already is not there.
fn has_log_of(directory: &Path, was: Option<&Database>) -> Result<bool> {
    let [log, _] = SQLITE_LOGS;
    let now = fingerprint(&directory.join(log))?.filter(|log| log.size > 0);
    Ok(now.is_none_or(|now| was.and_then(|was| was.log) == Some(now)))
}

/// Moves the files of a database that exist, in this order, durably.
fn move_files<'n>(names: impl IntoIterator<Item = &'n str>, from: &Path, to: &Path) -> Result<()> {
    for name in names {
        if file_tree::inode_id(&from.join(name))?.is_some() {
            file_tree::rename_noreplace(&from.join(name), &to.join(name))?;
        }
    }
    Ok(())
}

fn create_and_sync(dir: &Path) -> Result<()> {
    create_dir(dir)?;
    sync_dir(dir.parent().unwrap_or(dir))
}

impl ServerFiles {
    /// Whether a process has a file of the database open. Locks would not show a database that is about to be opened.
    ///
    /// # Errors
    /// If a file cannot be examined: that is not a no.
    pub(super) fn is_sqlite_open(&self) -> Result<bool> {
        let mut existing = Vec::new();
        for name in [SQLITE_FILE].into_iter().chain(SQLITE_LOGS) {
            let path = self.db().join(name);
            existing.extend(file_tree::inode_id(&path)?.map(|_| path));
        }
        Ok(open_files::held(&existing).contains(&true))
    }

    /// Exchanges the database: its files are moved away, the file first, and the new file takes its place.
    pub(super) fn swap_sqlite(&self, state: &RestoreState) -> Result<()> {
        let (db, old) = (self.db(), self.old_database(state));
        create_and_sync(&old)?;
        move_files([SQLITE_FILE].into_iter().chain(SQLITE_LOGS), &db, &old)?;
        self.install_files()?;
        file_tree::rename_noreplace(&self.scratch().new_database_path(), &db.join(SQLITE_FILE))?;
        // On a new machine nothing was moved.
        let _ = fs::remove_dir(&old);
        Ok(())
    }

    /// As [`ServerFiles::is_untouched`].
    pub(super) fn is_sqlite_untouched(&self, state: &RestoreState) -> Result<bool> {
        let (db, aside) = (self.db(), self.old_database(state));
        let (live, old) = (database(&db)?, database(&aside)?);
        let (was, new) = (state.live_database.as_ref(), state.new_database.as_ref());
        if Database::is_unchanged(live.as_ref(), was) && was.is_some() {
            return has_log_of(&db, was);
        }
        if live.is_none() && was.is_none() {
            return Ok(true);
        }
        // In the middle, or exchanged.
        let owner = if live.is_none() { was } else { new };
        let is_known = live.is_none() || Database::is_unchanged(live.as_ref(), new);
        let is_kept = was.is_none() || Database::is_unchanged(old.as_ref(), was);
        Ok(is_known && is_kept && has_log_of(&db, owner)? && has_log_of(&aside, was)?)
    }

    /// As [`ServerFiles::swap_back`].
    pub(super) fn swap_sqlite_back(&self, state: &RestoreState) -> Result<Option<PathBuf>> {
        let (db, old) = (self.db(), self.old_database(state));
        let is_previous =
            |now: Option<Database>| Database::is_same(now.as_ref(), state.live_database.as_ref());
        let live = database(&db)?;
        let mut failed = None;
        if !is_previous(live) {
            if state.live_database.is_some() && !is_previous(database(&old)?) {
                return Err(previous_is_gone(&db.join(SQLITE_FILE), &old.join(SQLITE_FILE)));
            }
            if live.is_some() {
                let dir = db.join(format!("{SQLITE_FAILED}{}", state.id));
                create_and_sync(&dir)?;
                move_files(SQLITE_LOGS.into_iter().chain([SQLITE_FILE]), &db, &dir)?;
                failed = Some(dir);
            }
            move_files(SQLITE_LOGS.into_iter().chain([SQLITE_FILE]), &old, &db)?;
        }
        // Only if it is empty.
        let _ = fs::remove_dir(&old);
        Ok(failed)
    }
}

impl Scratch {
    /// Makes the pinned snapshot the new database: the same file, without the checksum that follows the database.
    ///
    /// # Errors
    /// If it cannot be changed or renamed.
    pub fn make_sqlite_database(&self, db_len: u64) -> Result<()> {
        let snapshot = self.snapshot();
        let context = || format!("creating the new database from '{}'", snapshot.display());
        let file = File::options().read(true).write(true).open(&snapshot).with_context(context)?;
        file.set_len(db_len).with_context(context)?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).with_context(context)?;
        file_tree::rename_noreplace(&snapshot, &self.new_database_path())
    }

    /// Writes the new database to the disk, and makes sure that it is a file of its own, without a log.
    ///
    /// # Errors
    /// If it cannot be written, or a program has left a log next to it.
    pub fn sync_sqlite_database(&self) -> Result<()> {
        let path = self.new_database_path();
        let dir = path.parent().unwrap_or(&path);
        let open = File::open(&path).with_context(|| format!("opening '{}'", path.display()))?;
        open.sync_all().with_context(|| format!("writing '{}' to the disk", path.display()))?;
        for name in SQLITE_LOGS.into_iter().chain(["state.db-journal"]) {
            let log = dir.join(name);
            anyhow::ensure!(file_tree::inode_id(&log)?.is_none(), "'{}' is left", log.display());
        }
        sync_dir(dir)
    }

    /// Writes a file of the server into the scratch directory, if its content differs. `file` is below `server`. As K3s does it:
    /// its mode stays, and a new file is readable only by root.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_file(&self, file: &str, content: &[u8]) -> Result<()> {
        let path = self.server_path(file);
        if fs::read(&path).is_ok_and(|now| now == content) {
            return Ok(());
        }
        let context = || format!("writing '{}'", path.display());
        if path.is_file() {
            return fs::write(&path, content).with_context(context);
        }
        let (dir, name) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
        let (dir, name) = dir.zip(name).with_context(context)?;
        create_dir(dir)?;
        let draft = Draft::new(dir)?;
        (&draft).write_all(content).with_context(context)?;
        draft.replace(name)
    }
}
