// SPDX-License-Identifier: Apache-2.0
//! Copies what K3s rewrites in a reset, and puts everything back: the copies, and the database that was live, which is known
//! by its inode wherever K3s has moved it. No other one is ever put in its place.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{ServerFiles, WORK};
use crate::distribution;
use crate::error::{Code, Fault};
use crate::host::file_tree;
use crate::host::fs::{create_dir, sync_dir};
use crate::model::restore::{BackupEntry, Identity, RestoreState};

impl ServerFiles {
    /// Which folder etcd's database is.
    pub fn live(&self) -> Result<Option<Identity>> {
        file_tree::inode_id(&self.etcd())
    }

    /// What is to be kept, in the order in which it goes back, and where the copies are to lie. Nothing is copied yet.
    pub fn to_keep(&self) -> Vec<BackupEntry> {
        let server = self.server();
        let mut all = Vec::new();
        let mut push = |path: PathBuf, beside: &Path, as_name: &str| {
            all.push(BackupEntry {
                copy: beside.join(WORK).join("kept").join(as_name),
                path,
                identity: None,
            });
        };
        for name in distribution::REWRITTEN {
            push(server.join(name), &server, name);
        }
        push(self.data_dir.join(distribution::RESET_FLAG), &self.db(), "reset-flag");
        // These lie in the database's folder, which goes back as a whole, before them.
        for name in distribution::REWRITTEN_IN_ETCD {
            push(self.etcd().join(name), &self.db(), name);
        }
        // A link to another file, where an operator wants it elsewhere: K3s writes to what it leads to.
        for (path, name) in [(self.kubeconfig.clone(), "kubeconfig")]
            .into_iter()
            .chain(self.kubeconfig.canonicalize().ok().map(|real| (real, "kubeconfig-itself")))
        {
            if let Some(folder) = path.parent().filter(|f| f.is_dir()) {
                push(path.clone(), folder, name);
            }
        }
        all.dedup_by(|a, b| a.path == b.path);
        all
    }

    /// Makes the copies, brings them to the disk, and notes which they are. What an earlier run has left is made anew.
    pub fn keep(&self, mut all: Vec<BackupEntry>) -> Result<Vec<BackupEntry>> {
        let folders: std::collections::BTreeSet<PathBuf> =
            all.iter().filter_map(|k| k.copy.parent().map(Path::to_owned)).collect();
        for folder in &folders {
            file_tree::remove(folder)?;
            // Nothing is made where K3s has nothing: a new machine.
            if folder.ancestors().nth(2).is_some_and(Path::is_dir) {
                create_dir(folder)?;
            }
        }
        for kept in &mut all {
            if file_tree::inode_id(&kept.path)?.is_some() {
                file_tree::copy(&kept.path, &kept.copy)?;
                kept.identity = file_tree::inode_id(&kept.copy)?;
            }
        }
        for folder in folders.iter().filter(|f| f.is_dir()) {
            let open =
                std::fs::File::open(folder).with_context(|| format!("opening '{}'", folder.display()))?;
            rustix::fs::syncfs(&open)
                .with_context(|| format!("writing '{}' to the disk", folder.display()))?;
        }
        Ok(all)
    }

    /// Puts everything back as it was. What K3s made of the snapshot is kept as evidence; its name is returned.
    pub fn put_back(&self, record: &RestoreState) -> Result<Option<PathBuf>> {
        let evidence = self.database_back(record)?;
        for kept in &record.backups {
            back(kept).with_context(|| format!("putting back '{}'", kept.path.display()))?;
        }
        Ok(evidence)
    }

    fn database_back(&self, record: &RestoreState) -> Result<Option<PathBuf>> {
        let (db, etcd) = (self.db(), self.etcd());
        let now = file_tree::inode_id(&etcd)?;
        let was = match (record.live_database, now) {
            (Some(live), Some(now)) if now.is(live) => return Ok(None),
            (Some(live), _) => Some(self.find(live)?),
            (None, None) => return Ok(None),
            (None, Some(_)) => None,
        };
        let mut evidence = None;
        if now.is_some() {
            let aside =
                file_tree::unused_path(&db.join(format!("{}{}", distribution::ETCD_FAILED, record.id)))?;
            file_tree::rename_noreplace(&etcd, &aside)?;
            evidence = Some(aside);
        }
        if let Some(was) = was {
            file_tree::rename_noreplace(&was, &etcd)?;
        }
        Ok(evidence)
    }

    /// The folder that was the live database.
    pub(super) fn find(&self, live: Identity) -> Result<PathBuf> {
        let db = self.db();
        let context = || format!("looking for the database that was live in '{}'", db.display());
        for entry in std::fs::read_dir(&db).with_context(context)? {
            let path = entry.with_context(context)?.path();
            if path.is_dir() && file_tree::inode_id(&path)?.is_some_and(|i| i.is(live)) {
                return Ok(path);
            }
        }
        Err(Fault::new(
            Code::RollbackFailed,
            format!("the database that was live is not in '{}' any more", db.display()),
        )
        .hint("It was moved or deleted by something else. Restore the snapshot that was saved before, or another one.")
        .into())
    }
}

impl ServerFiles {
    /// The databases that restores have left: kind, folder, bytes; the newest first.
    pub fn left_behind(&self) -> Result<Vec<(&'static str, PathBuf, u64)>> {
        let db = self.db();
        let context = || format!("reading '{}'", db.display());
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&db).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            for kind in [distribution::ETCD_OLD, distribution::ETCD_FAILED] {
                // Nothing but what is named by K3s or by us: a number, and perhaps another behind a dash.
                let number = name.strip_prefix(kind).map(|n| n.split('-').map(str::parse::<u64>).collect());
                if let Some(Ok::<Vec<u64>, _>(numbers)) = number
                    && entry.file_type().with_context(context)?.is_dir()
                {
                    all.push((numbers, kind, entry.path()));
                }
            }
        }
        all.sort();
        all.into_iter()
            .rev()
            .map(|(_, kind, path)| Ok((kind, file_tree::size(&path)?, path)))
            .map(|r: Result<_>| r.map(|(kind, bytes, path)| (kind, path, bytes)))
            .collect()
    }

    /// Deletes one of them.
    pub fn discard(&self, old: &Path) -> Result<()> {
        file_tree::remove(old)?;
        sync_dir(&self.db())
    }
}

/// Puts one thing back, unless it is as it was. Which of the two is the copy is told by its inode, so that this can be done
/// again at any point.
fn back(kept: &BackupEntry) -> Result<()> {
    let now = file_tree::inode_id(&kept.path)?;
    let Some(copy) = kept.identity else {
        // There was nothing.
        if now.is_some() {
            file_tree::remove(&kept.path)?;
            sync_dir(kept.path.parent().unwrap_or(&kept.path))?;
        }
        return Ok(());
    };
    if now.is_some_and(|n| n.is(copy)) || now.is_some() && is_as_it_was(kept)? {
        return Ok(());
    }
    if file_tree::inode_id(&kept.copy)?.is_none_or(|c| !c.is(copy)) {
        return Err(
            Fault::new(Code::RollbackFailed, format!("the copy '{}' is gone", kept.copy.display())).into()
        );
    }
    if now.is_some() {
        let mut aside = kept.copy.clone().into_os_string();
        aside.push(".rewritten");
        file_tree::remove(Path::new(&aside))?;
        file_tree::rename_noreplace(&kept.path, Path::new(&aside))?;
    }
    file_tree::rename_noreplace(&kept.copy, &kept.path)
}

fn is_as_it_was(kept: &BackupEntry) -> Result<bool> {
    Ok(file_tree::inode_id(&kept.copy)?.is_some() && file_tree::is_identical(&kept.path, &kept.copy)?)
}
