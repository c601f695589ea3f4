// SPDX-License-Identifier: Apache-2.0
//! The exchange of the databases and of the files that belong to them, and its reversal.
//!
//! Every name is known before the first rename, so that a later process can tell from the names and identities alone how
//! far an interrupted exchange came.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::database::etcd_database as database;
use super::layout::ServerFiles;
use super::scratch::is_certificate_backup;
use crate::datastore::Datastore;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::host::fs::sync_dir;
use crate::host::{file_tree, install};
use crate::model::restore::{Database, RestoreState};

/// The error of a roll-back whose previous database is in neither of its two places.
pub(super) fn previous_is_gone(live: &Path, old: &Path) -> anyhow::Error {
    let what = format!("the previous database is neither '{}' nor '{}'", live.display(), old.display());
    Fault::new(Code::RollbackFailed, what)
        .hint("Another program moved or deleted it. Restore the snapshot pre-restore-..., or another one.")
        .into()
}

impl ServerFiles {
    /// The name of the live database after the exchange, of a second that is free. For etcd it is K3s's own name for it.
    ///
    /// # Errors
    /// If the directory cannot be examined.
    pub fn free_old_name(&self, seconds: u64) -> Result<String> {
        let prefix = match self.datastore {
            Datastore::Etcd => distribution::ETCD_OLD,
            Datastore::Sqlite => distribution::SQLITE_OLD,
        };
        for at in seconds.. {
            let name = format!("{prefix}{at}");
            if file_tree::inode_id(&self.db().join(&name))?.is_none() {
                return Ok(name);
            }
        }
        anyhow::bail!("there is no free name for the previous database")
    }

    /// Where the database that was live is after the exchange.
    pub fn old_database(&self, state: &RestoreState) -> PathBuf {
        self.db().join(&state.old_name)
    }

    fn failed_database(&self, state: &RestoreState) -> PathBuf {
        self.db().join(format!("{}{}", distribution::ETCD_FAILED, state.id))
    }

    /// Exchanges everything: the live database is renamed, the new one takes its place, and every file that K3s wrote aside
    /// replaces the live one if it differs. K3s must be down, and copies of the files must exist.
    ///
    /// # Errors
    /// If a file cannot be replaced or renamed: [`ServerFiles::swap_back`] reverses what was done.
    pub fn swap(&self, state: &RestoreState) -> Result<()> {
        if self.datastore == Datastore::Sqlite {
            return self.swap_sqlite(state);
        }
        if state.live_database.is_some() {
            file_tree::rename_noreplace(&self.etcd(), &self.old_database(state))?;
        }
        if state.new_database.is_some() {
            self.install_files()?;
            for name in distribution::LOAD_BALANCERS {
                // They name members that are gone; K3s's own reset removes them too.
                file_tree::remove(&self.data_dir.join(name))?;
            }
            file_tree::rename_noreplace(&self.scratch().new_database_dir(), &self.etcd())?;
        }
        Ok(())
    }

    /// Replaces each file of the server that K3s wrote aside and that differs from the live one.
    pub(super) fn install_files(&self) -> Result<()> {
        let scratch = self.scratch();
        for name in distribution::REWRITTEN {
            let (from, to) = (scratch.server_path(name), self.server().join(name));
            match self.is_link_to_token(&to) && !from.is_symlink() && from.exists() {
                // Another token: it must not be written through the link into the server token.
                true => install::file(&from, &to)?,
                false => install(&from, &to)?,
            }
        }
        let flag = scratch.server_path("db/reset-flag");
        if flag.exists() {
            install::file(&flag, &self.data_dir.join(distribution::RESET_FLAG))?;
        }
        Ok(())
    }

    /// Whether no other program has used the databases since the state was written: then, and only then, the exchange may
    /// be reversed by another process than the one that made it.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn is_untouched(&self, state: &RestoreState) -> Result<bool> {
        if self.is_database_open()? {
            return Ok(false);
        }
        if self.datastore == Datastore::Sqlite {
            return self.is_sqlite_untouched(state);
        }
        let live = self.live_database()?;
        let old = database(&self.old_database(state))?;
        let same = |now: &Option<Database>, was: &Option<Database>| {
            Database::is_unchanged(now.as_ref(), was.as_ref())
        };
        // Not exchanged yet, in the middle, or exchanged.
        let before = same(&live, &state.live_database);
        let between = live.is_none() && same(&old, &state.live_database);
        let after = same(&live, &state.new_database)
            && (state.live_database.is_none() || same(&old, &state.live_database));
        Ok(before || between || after)
    }

    /// Reverses the exchange of the databases, as far as it was made. The new database is kept; its path is returned.
    /// Can be repeated at any point.
    ///
    /// # Errors
    /// [`Code::RollbackFailed`] if the database that was live cannot be found under one of its two names.
    pub fn swap_back(&self, state: &RestoreState) -> Result<Option<PathBuf>> {
        if self.datastore == Datastore::Sqlite {
            return self.swap_sqlite_back(state);
        }
        let (etcd, old) = (self.etcd(), self.old_database(state));
        let live = self.live_database()?;
        let is_previous =
            |now: Option<Database>| Database::is_same(now.as_ref(), state.live_database.as_ref());
        if is_previous(live) {
            return Ok(None);
        }
        if state.live_database.is_some() && !is_previous(database(&old)?) {
            return Err(previous_is_gone(&etcd, &old));
        }
        let mut failed = None;
        if live.is_some() {
            let path = file_tree::unused_path(&self.failed_database(state))?;
            file_tree::rename_noreplace(&etcd, &path)?;
            failed = Some(path);
        }
        if state.live_database.is_some() {
            file_tree::rename_noreplace(&old, &etcd)?;
        }
        Ok(failed)
    }

    /// Removes the directories that the restore created, if they are empty.
    pub fn remove_created(&self, state: &RestoreState) {
        for dir in state.created.iter().rev() {
            let _ = fs::remove_dir(dir);
        }
    }

    /// The certificates that resets of K3s set aside next to the live ones. They hold the keys of the authorities.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn certificate_backups(&self) -> Result<Vec<PathBuf>> {
        let server = self.server();
        let context = || format!("reading '{}'", server.display());
        let mut all = Vec::new();
        for entry in fs::read_dir(&server).with_context(context)? {
            let entry = entry.with_context(context)?;
            if is_certificate_backup(&entry.file_name().to_string_lossy()) {
                all.push(entry.path());
            }
        }
        all.sort();
        Ok(all)
    }
}

/// Replaces a file, or every file of a directory, if it differs. Links of the live system are followed.
fn install(from: &Path, to: &Path) -> Result<()> {
    let Ok(meta) = fs::symlink_metadata(from) else { return Ok(()) };
    if meta.is_symlink() {
        // `agent-token` is a link to `token`, if none is configured.
        return install::link(from, to);
    }
    if !meta.is_dir() {
        let real = to.canonicalize().unwrap_or(to.to_owned());
        return if install::has_same_content(from, &real)? { Ok(()) } else { install::file(from, &real) };
    }
    if !to.is_dir() {
        file_tree::copy(from, to)?;
        return sync_dir(to.parent().unwrap_or(to));
    }
    let context = || format!("reading '{}'", from.display());
    for entry in fs::read_dir(from).with_context(context)? {
        let entry = entry.with_context(context)?;
        install(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::model::restore::Backup;

    /// A server with a data directory here.
    fn files_in(dir: &Path) -> ServerFiles {
        let files = ServerFiles {
            state: dir.join("state"),
            data_dir: dir.join("data"),
            units: dir.join("units"),
            unit: "k3s.service".into(),
            kubeconfig: dir.join("k3s.yaml"),
            datastore: Datastore::Etcd,
        };
        fs::create_dir_all(files.db()).unwrap();
        fs::create_dir_all(files.scratch().server_path("")).unwrap();
        files
    }

    fn state_with((backups, backed_up_directories): (Vec<Backup>, Vec<PathBuf>)) -> RestoreState {
        let state: RestoreState =
            serde_json::from_slice(include_bytes!("../../../fuzz/seeds/state/restore")).unwrap();
        RestoreState { backups, backed_up_directories, ..state }
    }

    /// `agent-token` is a link to `token`, and another token for agents was configured since: it is not written through the link.
    #[test]
    fn a_token_for_agents_replaces_the_link_to_the_server_token_and_a_rollback_has_the_link_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = files_in(dir.path());
        let server = files.server();
        fs::write(server.join("token"), "server").unwrap();
        for name in ["agent-token", "node-token"] {
            symlink(server.join("token"), server.join(name)).unwrap();
        }
        files.copy_server_files().unwrap();
        let aside = |name: &str| files.scratch().server_path(name);
        assert!(aside("agent-token").is_symlink() && aside("node-token").is_symlink());
        fs::remove_file(aside("agent-token")).unwrap();
        fs::write(aside("agent-token"), "agents").unwrap();
        let state = state_with(files.back_up().unwrap());
        files.install_files().unwrap();
        let read = |name: &str| fs::read_to_string(server.join(name)).unwrap();
        assert_eq!([read("token"), read("agent-token"), read("node-token")], ["server", "agents", "server"]);
        assert!(!server.join("agent-token").is_symlink() && server.join("node-token").is_symlink());
        files.restore_backups(&state).unwrap();
        assert_eq!([read("token"), read("agent-token")], ["server", "server"]);
        assert_eq!(fs::read_link(server.join("agent-token")).unwrap(), server.join("token"));
    }

    /// On a new machine there were no certificates: after a rollback there are none, since they hold the keys of the cluster.
    #[test]
    fn certificates_that_did_not_exist_are_removed_by_a_rollback() {
        let dir = tempfile::tempdir().unwrap();
        let files = files_in(dir.path());
        fs::create_dir_all(files.scratch().server_path("tls/etcd")).unwrap();
        fs::write(files.scratch().server_path("tls/etcd/key"), "secret").unwrap();
        let state = state_with(files.back_up().unwrap());
        files.install_files().unwrap();
        assert!(files.server().join("tls/etcd/key").exists());
        files.restore_backups(&state).unwrap();
        assert!(!files.server().join("tls").exists());
    }
}
