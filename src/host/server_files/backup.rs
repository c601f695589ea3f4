// SPDX-License-Identifier: Apache-2.0
//! Copies of the files that K3s rewrites, made while K3s is down, and how they are restored.
//!
//! A file is restored by renaming its copy over it: this needs no free space, can be repeated, and never leaves half a
//! file. Links are resolved when the copy is made, so that the file itself is restored.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::{ServerFiles, WORK_DIR};
use crate::distribution;
use crate::host::fs::{create_dir, sync_dir};
use crate::host::{file_tree, install};
use crate::model::restore::{Backup, RestoreState};

impl ServerFiles {
    /// Copies every file that K3s rewrites when it starts on another database. Returns the copies, and the directories all
    /// of whose files were copied.
    ///
    /// # Errors
    /// If a file cannot be copied.
    pub fn back_up(&self) -> Result<(Vec<Backup>, Vec<PathBuf>)> {
        let (files, directories) = self.rewritten_files()?;
        let mut backups = Vec::new();
        let mut touched = BTreeSet::new();
        for (n, path) in files.into_iter().enumerate() {
            // A link to another file: K3s writes to what it leads to.
            let real = match self.is_link_to_token(&path) {
                true => real_parent(&path),
                false => path.canonicalize().unwrap_or(path),
            };
            if fs::symlink_metadata(&real).is_err() {
                backups.push(Backup { path: real, copy: None });
                continue;
            }
            let dir = self.backup_dir(&real);
            if touched.insert(dir.clone()) {
                file_tree::remove(&dir)?;
                create_dir(&dir)?;
            }
            let copy = dir.join(n.to_string());
            file_tree::copy(&real, &copy)?;
            backups.push(Backup { path: real, copy: Some(copy) });
        }
        for dir in &touched {
            let open = fs::File::open(dir).with_context(|| format!("opening '{}'", dir.display()))?;
            rustix::fs::syncfs(&open).with_context(|| format!("writing '{}' to the disk", dir.display()))?;
        }
        Ok((backups, directories))
    }

    /// Every file that K3s rewrites, and the directories all of whose files are among them.
    fn rewritten_files(&self) -> Result<(BTreeSet<PathBuf>, Vec<PathBuf>)> {
        let mut files: BTreeSet<PathBuf> = BTreeSet::new();
        let mut directories = Vec::new();
        for name in distribution::REWRITTEN {
            collect(&self.server().join(name), &mut files, &mut directories)?;
        }
        for name in distribution::LOAD_BALANCERS {
            files.insert(self.data_dir.join(name));
        }
        files.insert(self.data_dir.join(distribution::RESET_FLAG));
        files.insert(self.kubeconfig.clone());
        Ok((files, directories))
    }

    /// The directory for the copy of a file: on its own file system, so that the copy can be renamed.
    fn backup_dir(&self, file: &Path) -> PathBuf {
        let server = self.server();
        let server = server.canonicalize().unwrap_or(server);
        let base = if file.starts_with(&server) { server } else { file.parent().unwrap_or(file).to_owned() };
        base.join(WORK_DIR).join("backup")
    }

    /// Restores every file from its copy, and removes files that did not exist. Can be repeated at any point.
    ///
    /// # Errors
    /// If a file cannot be restored.
    pub fn restore_backups(&self, state: &RestoreState) -> Result<()> {
        let created = distribution::REWRITTEN.map(|name| self.server().join(name));
        for backup in &state.backups {
            let is_created = backup.copy.is_none() && created.contains(&backup.path);
            restore_one(backup, is_created)
                .with_context(|| format!("restoring '{}'", backup.path.display()))?;
        }
        let known: BTreeSet<&Path> = state.backups.iter().map(|b| b.path.as_path()).collect();
        let directories: BTreeSet<&Path> = state.backed_up_directories.iter().map(PathBuf::as_path).collect();
        for dir in &directories {
            remove_unknown(dir, &known, &directories)?;
        }
        Ok(())
    }

    /// Removes the copies, also those of a restore that was killed before it wrote them down.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn remove_backups(&self, state: &RestoreState) -> Result<()> {
        let copies = state.backups.iter().filter_map(|b| b.copy.as_deref()?.parent()?.parent());
        let mut dirs: BTreeSet<PathBuf> = copies.map(Path::to_owned).collect();
        let server = self.server();
        dirs.insert(server.canonicalize().unwrap_or(server).join(WORK_DIR));
        for file in self.rewritten_files()?.0 {
            let real = file.canonicalize().unwrap_or(file);
            dirs.extend(self.backup_dir(&real).parent().map(Path::to_owned));
        }
        dirs.iter().filter(|dir| dir.ends_with(WORK_DIR)).try_for_each(|dir| file_tree::remove(dir))
    }
}

/// The path with its directory, but not itself, resolved.
fn real_parent(path: &Path) -> PathBuf {
    let real = path.parent().and_then(|parent| parent.canonicalize().ok());
    real.zip(path.file_name()).map_or(path.to_owned(), |(parent, name)| parent.join(name))
}

/// All files below a path, or the path itself if it is a file. Every directory is listed.
fn collect(path: &Path, files: &mut BTreeSet<PathBuf>, directories: &mut Vec<PathBuf>) -> Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let real = path.canonicalize().unwrap_or(path.to_owned());
            let context = || format!("reading '{}'", real.display());
            for entry in fs::read_dir(&real).with_context(context)? {
                let entry = entry.with_context(context)?;
                if entry.file_name() != WORK_DIR {
                    collect(&entry.path(), files, directories)?;
                }
            }
            directories.push(real);
        }
        Ok(meta) if !meta.is_file() => {}
        // A file, or nothing yet, or a link that leads nowhere.
        _ => {
            files.insert(path.to_owned());
        }
    }
    Ok(())
}

/// `is_created`: neither a file nor a directory of this name existed. A directory of certificates holds the keys of a cluster.
fn restore_one(backup: &Backup, is_created: bool) -> Result<()> {
    let parent = backup.path.parent().unwrap_or(&backup.path);
    let Some(copy) = &backup.copy else {
        if fs::symlink_metadata(&backup.path).is_ok_and(|m| !m.is_dir() || is_created) {
            file_tree::remove(&backup.path)?;
            sync_dir(parent)?;
        }
        return Ok(());
    };
    if file_tree::inode_id(copy)?.is_none() {
        // Restored already: the copy was renamed.
        return Ok(());
    }
    if !parent.is_dir() {
        create_dir(parent)?;
    }
    match fs::rename(copy, &backup.path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            install::file(copy, &backup.path)?;
            file_tree::remove(copy)?;
        }
        Err(e) => return Err(e).with_context(|| format!("renaming '{}'", copy.display())),
    }
    sync_dir(parent)
}

/// Removes files and directories that K3s has added since.
fn remove_unknown(dir: &Path, files: &BTreeSet<&Path>, directories: &BTreeSet<&Path>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    let mut changed = false;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading '{}'", dir.display()))?;
        let path = entry.path();
        if entry.file_name() == WORK_DIR {
            continue;
        }
        let kind = entry.file_type().with_context(|| format!("examining '{}'", path.display()))?;
        let known = match kind.is_dir() {
            true => directories.contains(path.as_path()),
            false => files.contains(path.as_path()) || kind.is_symlink(),
        };
        if !known {
            file_tree::remove(&path)?;
            changed = true;
        }
    }
    if changed { sync_dir(dir) } else { Ok(()) }
}
