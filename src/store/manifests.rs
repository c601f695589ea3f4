// SPDX-License-Identifier: Apache-2.0
//! The manifests on disk: one JSON file for each snapshot, in a directory of ours for each snapshot directory.
//!
//! They are never in the snapshot directory: K3s lists and prunes everything there.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::error::{Code, Fault};
use crate::host::fs::{create_dir, path_error, sync_dir};
use crate::host::{Draft, remove_replacements};
use crate::model::snapshot::Manifest;
use crate::util::hex;

/// The file whose lock each change holds. No name of a manifest begins with a dot.
const LOCK: &str = ".lock";
/// A change takes milliseconds. A process that holds the lock longer than this is stopped or hangs.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The manifests of one snapshot directory.
pub(super) struct Manifests {
    dir: PathBuf,
}

impl Manifests {
    /// The manifests of the directory `snapshots`, below `state_dir`. Creates nothing.
    pub(super) fn new(state_dir: &Path, snapshots: &Path) -> Manifests {
        let hash = Sha256::digest(snapshots.as_os_str().as_encoded_bytes());
        Manifests { dir: state_dir.join("manifests").join(hex(hash.get(..8).unwrap_or_default())) }
    }

    /// The names of the snapshots that have a manifest. Empty if none was ever written.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub(super) fn names(&self) -> Result<HashSet<String>> {
        let context = || format!("reading the manifests in '{}'", self.dir.display());
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
            entries => entries.with_context(context)?,
        };
        let mut names = HashSet::new();
        for entry in entries {
            let file = entry.with_context(context)?.file_name();
            let name = file.to_str().and_then(|f| f.strip_suffix(".json")).filter(|n| !n.starts_with('.'));
            names.extend(name.map(str::to_owned));
        }
        Ok(names)
    }

    /// The manifest of a file. `None` if there is none, or none of this format.
    ///
    /// # Errors
    ///
    /// If it cannot be read: whether the snapshot is verified is then not known.
    pub(super) fn read(&self, file: &str) -> Result<Option<Manifest>> {
        let path = self.path(file);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(path_error(e, "reading the manifest", &path)),
        };
        match serde_json::from_slice::<Manifest>(&text) {
            Ok(manifest) if manifest.name == file => Ok(Some(manifest)),
            Ok(other) => {
                let name = other.name.escape_debug();
                log::warn!("the manifest '{}' is of '{name}' and is ignored", path.display());
                Ok(None)
            }
            Err(e) => {
                log::warn!("the manifest '{}' has a wrong form and is ignored: {e}", path.display());
                Ok(None)
            }
        }
    }

    /// Writes a manifest in place of an older one.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or another process holds the lock.
    pub(super) fn write(&self, manifest: &Manifest) -> Result<()> {
        let _lock = self.lock()?;
        self.replace(manifest)
    }

    /// Reads the manifest of a file, lets `change` make the new one of it, and replaces it, all under the lock. Returns what
    /// the manifest is then. Nothing is created if there is no manifest and `change` makes none.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written, or another process holds the lock.
    pub(super) fn record(
        &self,
        file: &str,
        change: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
    ) -> Result<Option<Manifest>> {
        let (now, _lock) = match self.dir.symlink_metadata() {
            // A lock would create the directory.
            Err(e) if e.kind() == io::ErrorKind::NotFound && change(None).is_none() => return Ok(None),
            _ => {
                let lock = self.lock()?;
                (self.read(file)?, lock)
            }
        };
        let new = change(now.as_ref());
        match new {
            None => Ok(now),
            Some(new) => {
                if now.as_ref() != Some(&new) {
                    self.replace(&new)?;
                }
                Ok(Some(new))
            }
        }
    }

    /// Deletes the manifest of a file. True if there was one.
    ///
    /// # Errors
    ///
    /// If it cannot be deleted, or another process holds the lock.
    pub(super) fn remove(&self, file: &str) -> Result<bool> {
        let path = self.path(file);
        if path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            return Ok(false);
        }
        let _lock = self.lock()?;
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(path_error(e, "deleting the manifest", &path)),
        }
    }

    /// Removes what killed processes have left next to the manifests.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read, or another process holds the lock.
    pub(super) fn remove_leftovers(&self) -> Result<()> {
        if self.dir.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        let _lock = self.lock()?;
        remove_replacements(&self.dir).map_err(|e| path_error(e, "reading", &self.dir))
    }

    /// Makes deletions durable, if that is possible. A manifest that comes back does no harm.
    pub(super) fn sync(&self) {
        if let Err(e) = sync_dir(&self.dir) {
            log::debug!("{e:#}");
        }
    }

    fn replace(&self, manifest: &Manifest) -> Result<()> {
        let context = || format!("writing the manifest '{}'", self.path(&manifest.name).display());
        let mut text = serde_json::to_vec_pretty(manifest).with_context(context)?;
        text.push(b'\n');
        let draft = Draft::new(&self.dir)?;
        draft.append(&text).with_context(context)?;
        draft.replace(&format!("{}.json", manifest.name))
    }

    /// The lock of this directory, which is created if it does not exist. The lock ends with the handle.
    fn lock(&self) -> Result<File> {
        create_dir(&self.dir)?;
        let path = self.dir.join(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| path_error(e, "opening the lock", &path))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_TIMEOUT => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let what = format!("another process holds the lock '{}'", path.display());
                    return Err(Fault::new(Code::Locked, what)
                        .hint("Wait until the other run has ended, then try again.")
                        .into());
                }
                Err(TryLockError::Error(e)) => return Err(path_error(e, "locking", &path)),
            }
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(format!("{file}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;
    use crate::model::manifest::tests::manifest;

    fn manifests(dir: &Path) -> Manifests {
        let manifests = Manifests::new(dir, Path::new("/snapshots"));
        manifests.write(&manifest()).unwrap();
        manifests
    }

    fn amend(all: &Manifests, file: &str, change: &mut dyn FnMut(&mut Manifest)) -> Result<bool> {
        let change = &mut |now: Option<&Manifest>| {
            let mut manifest = now?.clone();
            change(&mut manifest);
            Some(manifest)
        };
        Ok(all.record(file, change)?.is_some())
    }

    #[test]
    fn changes_by_several_processes_at_once_are_never_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (all, name) = (manifests(dir.path()), manifest().name);
        let (threads, changes) = (4, 25);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                // As each process does, with a handle of its own.
                let own = Manifests::new(dir.path(), Path::new("/snapshots"));
                let name = &name;
                scope.spawn(move || {
                    for _ in 0..changes {
                        assert!(amend(&own, name, &mut |m| m.revision += 1).unwrap());
                    }
                });
            }
        });
        let revision = all.read(&name).unwrap().unwrap().revision;
        assert_eq!(revision, manifest().revision + threads * changes);
    }

    #[test]
    fn a_change_sees_what_another_run_has_written_since() {
        let dir = tempfile::tempdir().unwrap();
        let all = manifests(dir.path());
        let before = all.read(&manifest().name).unwrap().unwrap();
        let finding = crate::model::snapshot::FindingRecord::new("page-tree", "page 3");
        amend(&all, &before.name, &mut |m| m.findings.push(finding.clone())).unwrap();
        // An upload that began before that finding writes down its own field, and nothing else.
        amend(&all, &before.name, &mut |m| m.upload = None).unwrap();
        assert_eq!(all.read(&before.name).unwrap().unwrap().findings, [finding]);
    }

    #[test]
    fn a_change_tells_that_there_is_no_manifest_and_creates_none() {
        let dir = tempfile::tempdir().unwrap();
        let all = Manifests::new(dir.path(), Path::new("/snapshots"));
        assert!(!amend(&all, "manual-n-5", &mut |_| panic!("there is none")).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let all = manifests(dir.path());
        std::fs::write(all.path("odd-n-5"), "{").unwrap();
        assert!(!amend(&all, "odd-n-5", &mut |_| panic!("it is no manifest")).unwrap());
    }

    #[test]
    fn what_a_killed_change_has_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let all = Manifests::new(dir.path(), Path::new("/snapshots"));
        all.remove_leftovers().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let all = manifests(dir.path());
        for file in [".manual-n-5.json.4711", ".a.b", ".notes.", "x.4711"] {
            std::fs::write(all.dir.join(file), "{").unwrap();
        }
        all.remove_leftovers().unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&all.dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".a.b", ".lock", ".notes.", "manual-n-5.json", "x.4711"]);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_an_error_and_no_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let all = manifests(dir.path());
        std::fs::create_dir(all.path("dir-n-5")).unwrap();
        assert_eq!(code_of(&all.read("dir-n-5").unwrap_err()), Code::Io);
        assert!(amend(&all, "dir-n-5", &mut |_| ()).is_err());
    }
}
