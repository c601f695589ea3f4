// SPDX-License-Identifier: Apache-2.0
//! A directory of snapshots on this machine: that of K3s, or any other.
//!
//! Every file in it is listed, as K3s does. What is no snapshot is called foreign and never deleted.

use std::fs::{DirEntry, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::created_at::created_at;
use super::directory::{real_path, unavailable, why_missing};
use super::extra_metadata;
use super::manifests::Manifests;
use super::removal::{self, check_name};
use super::traits::{LocalStore, Opened, PublishedSnapshot, Store};
use crate::error::{Code, Fault};
use crate::host::fs::{create_dir, id_of, is_dangling, nonblocking, path_error};
use crate::host::{Draft, FileAt, Published, is_temp_name};
use crate::model::name::SnapshotName;
use crate::model::snapshot::{Leftover, Listing, Manifest, Snapshot, State, plausible_size};

/// The note of a snapshot whose file system has no lasting identity for files.
const NO_LASTING_ID: &str = "the file system of the snapshot directory gives files no lasting inode number: a listing \
                             may show this snapshot as unverified";

/// What a row needs to know of a file.
#[derive(Clone, Copy, Default)]
struct FileMeta {
    is_file: bool,
    size: u64,
    /// Seconds since the epoch.
    modified_at: u64,
}

impl From<&Metadata> for FileMeta {
    fn from(meta: &Metadata) -> FileMeta {
        let modified_at = u64::try_from(meta.mtime()).unwrap_or(0);
        FileMeta { is_file: meta.is_file(), size: meta.len(), modified_at }
    }
}

/// A snapshot directory.
pub struct Local {
    dir: PathBuf,
    /// Where K3s keeps the extra metadata.
    metadata: Option<PathBuf>,
    may_create: bool,
    manifests: Manifests,
}

impl Local {
    /// The snapshots of `dir`, with their manifests below `state_dir`. Set `may_create` only for the directory that
    /// K3s itself would create. Any other directory that is missing is a file system that is not mounted.
    pub fn new(dir: &Path, state_dir: &Path, may_create: bool) -> Local {
        // The directory is the key of the manifests, so two paths to it must become one.
        let real = real_path(dir);
        Local {
            manifests: Manifests::new(state_dir, &real),
            metadata: extra_metadata::dir_of(dir),
            dir: real,
            may_create,
        }
    }

    /// The row of a file. `manifest` must describe this version of the file.
    fn row(&self, file: String, meta: FileMeta, manifest: Option<Manifest>) -> Snapshot {
        let partial = SnapshotName::parse_partial(&file);
        let name = SnapshotName::parse(&file);
        let state = match (&name, &manifest) {
            _ if !meta.is_file => State::Foreign,
            (None, _) if partial.is_some() || is_temp_name(&file) => State::Incomplete,
            (None, Some(m)) => m.state(),
            (None, None) => State::Foreign,
            (Some(n), _) if !n.suffix.is_zip() && !plausible_size(meta.size) => State::Corrupt,
            (Some(_), Some(m)) => m.state(),
            (Some(_), None) if meta.size == 0 => State::Corrupt,
            _ => State::Unverified,
        };
        Snapshot {
            location: format!("file://{}", self.dir.join(&file).display()),
            size: meta.size,
            created_at: created_at(name.as_ref().or(partial.as_ref()), meta.modified_at),
            name: name.or(partial),
            state,
            manifest,
            key_revisions: None,
            cluster_id: None,
            file,
        }
    }

    /// The row of an entry of the directory. `None` if it was deleted in the meantime.
    fn listed(
        &self,
        entry: &DirEntry,
        has_manifest: &dyn Fn(&str) -> bool,
        listing: &mut Listing,
    ) -> Option<Snapshot> {
        let name = entry.file_name();
        let file = name.to_string_lossy().into_owned();
        // Follows links, as K3s does. A link without a target is foreign.
        let meta = match std::fs::metadata(entry.path()) {
            Ok(meta) => Some(meta),
            Err(e) => match std::fs::symlink_metadata(entry.path()) {
                Ok(link) if link.is_symlink() && is_dangling(&e) => Some(link),
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => return None,
                // What is behind the name of a snapshot matters; what is behind another name does not.
                _ if SnapshotName::parse(&file).is_none() => None,
                _ => {
                    log::warn!("reading '{}': {e}", entry.path().display());
                    listing.complete = false;
                    None
                }
            },
        };
        let of_file = meta.as_ref().map(FileMeta::from).unwrap_or_default();
        if name.to_str().is_none() {
            // Neither K3s nor this tool makes such a name, and JSON cannot hold it.
            return Some(Snapshot { state: State::Foreign, ..self.row(file, of_file, None) });
        }
        let manifest = if has_manifest(&file) { self.manifests.read(&file) } else { Ok(None) };
        let manifest = manifest.unwrap_or_else(|e| {
            log::warn!("{e:#}");
            listing.manifests_readable = false;
            None
        });
        let is_current = |m: &Manifest| meta.as_ref().is_some_and(|meta| m.file == id_of(meta));
        let manifest = manifest.filter(is_current);
        Some(self.row(file, of_file, manifest))
    }

    /// Fails if the directory has no snapshot because its file system is not mounted.
    fn ensure_mounted(&self, has_snapshot: &dyn Fn() -> bool) -> Result<()> {
        match why_missing(&self.dir) {
            Some(fault) if !has_snapshot() => Err(fault.into()),
            _ => Ok(()),
        }
    }

    fn has_snapshot(&self) -> bool {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|e| e.file_name().into_string().ok());
        names.any(|n| SnapshotName::parse(&n).is_some())
    }

    fn open_error(&self, e: io::Error, file: &str, path: &Path) -> anyhow::Error {
        if e.kind() != io::ErrorKind::NotFound {
            return path_error(e, "opening the snapshot", path);
        }
        // The directory itself may be gone.
        if let Err(e) = std::fs::metadata(&self.dir)
            && !(self.may_create && why_missing(&self.dir).is_none())
        {
            return unavailable(e, &self.dir);
        }
        let what = format!("no snapshot '{}' in '{}'", file.escape_debug(), self.dir.display());
        Fault::new(Code::SnapshotNotFound, what).hint("Run 'k3s-snapshot list' to see the snapshots.").into()
    }
}

impl Store for Local {
    fn list(&self) -> Result<Listing> {
        let mut listing = Listing { snapshots: vec![], complete: true, manifests_readable: true };
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            // K3s creates its default directory when it starts first. Until then there are no snapshots.
            Err(e)
                if e.kind() == io::ErrorKind::NotFound
                    && self.may_create
                    && why_missing(&self.dir).is_none() =>
            {
                return Ok(listing);
            }
            Err(e) => return Err(unavailable(e, &self.dir)),
        };
        // A listing works without manifests. A deletion has to know that they could not be read.
        let known = self.manifests.names().unwrap_or_else(|e| {
            log::debug!("{e:#}");
            listing.manifests_readable = false;
            Default::default()
        });
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let row = self.listed(&entry, &|file| known.contains(file), &mut listing);
                    listing.snapshots.extend(row);
                }
                Err(e) => {
                    log::warn!("reading '{}': {e}", self.dir.display());
                    listing.complete = false;
                }
            }
        }
        self.ensure_mounted(&|| listing.snapshots.iter().any(|s| s.name.is_some()))?;
        Ok(listing)
    }

    fn open(&self, file: &str) -> Result<Opened> {
        check_name(file)?;
        let path = self.dir.join(file);
        let opened = File::options()
            .read(true)
            .custom_flags(nonblocking())
            .open(&path)
            .map_err(|e| self.open_error(e, file, &path))?;
        let meta = opened.metadata().map_err(|e| path_error(e, "opening the snapshot", &path))?;
        if !meta.is_file() {
            let what = format!("'{}' is not a regular file, so it is no snapshot", path.display());
            return Err(Fault::new(Code::NotASnapshot, what).into());
        }
        let data = FileAt::new(opened)?;
        let id = data.id().map_err(|e| path_error(e, "opening the snapshot", &path))?;
        let recorded = self.manifests.read(file)?;
        let current = recorded.clone().filter(|m| m.file == id);
        let snapshot = self.row(file.to_owned(), FileMeta::from(&meta), current);
        Ok(Opened { id, data: Box::new(data), snapshot, manifest: recorded })
    }

    fn record(
        &self,
        file: &str,
        change: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
    ) -> Result<Option<Manifest>> {
        check_name(file)?;
        let directory = self.dir.display().to_string();
        self.manifests.record(file, &mut |now| {
            Some(Manifest { name: file.to_owned(), directory: directory.clone(), ..change(now)? })
        })
    }

    fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
        removal::delete(&self.dir, self.metadata.as_deref(), &self.manifests, files)
    }

    fn delete_orphan_manifests(&self, _: u64) -> Result<usize> {
        removal::delete_orphan_manifests(&self.dir, &self.manifests)
    }
}

impl LocalStore for Local {
    fn draft(&self) -> Result<Draft> {
        if let Err(e) = std::fs::metadata(&self.dir) {
            // Only this directory and not its parents: a missing parent is a file system that is not mounted.
            let has_parent = self.dir.parent().is_some_and(Path::is_dir);
            let is_first = e.kind() == io::ErrorKind::NotFound && self.may_create && has_parent;
            if !is_first || why_missing(&self.dir).is_some() {
                return Err(unavailable(e, &self.dir));
            }
            create_dir(&self.dir)?;
        }
        self.ensure_mounted(&|| self.has_snapshot())?;
        Draft::new(&self.dir)
    }

    fn unused_name(&self, name: &SnapshotName) -> Result<SnapshotName> {
        let mut name = name.clone();
        // Both forms of a name count as taken: K3s unpacks `x.zip` to `x`.
        let is_taken = |n: &SnapshotName| -> Result<bool> {
            for name in [n, &n.twin()] {
                let path = self.dir.join(name.to_string());
                match path.symlink_metadata() {
                    Ok(_) => return Ok(true),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(path_error(e, "looking for a free name: reading", &path)),
                }
            }
            Ok(false)
        };
        while is_taken(&name)? {
            name.at = name.at.checked_add(1).context("naming the snapshot: no later second is left")?;
        }
        Ok(name)
    }

    fn publish(
        &self,
        draft: Draft,
        name: &SnapshotName,
        size: u64,
        manifest: Manifest,
    ) -> Result<PublishedSnapshot> {
        let Published::Done(published) = draft.publish(&name.to_string(), size)? else {
            let what = format!("another program has just created '{name}'; nothing was kept");
            return Err(Fault::new(Code::NameTaken, what).hint("Try again.").into());
        };
        let file = name.to_string();
        let manifest = Manifest {
            name: file.clone(),
            directory: self.dir.display().to_string(),
            file: published.id,
            saved_at: Some(name.at),
            ..manifest
        };
        // The snapshot is published. Without its manifest it is only unverified, so this is no error of the save.
        let recorded = self.manifests.write(&manifest);
        let modified_at = u64::try_from(published.id.mtime_ns / 1_000_000_000).unwrap_or(0);
        let meta = FileMeta { is_file: true, size: published.id.size, modified_at };
        // The manifest is of this very draft, whatever identity the file system shows for the file.
        let snapshot = self.row(file, meta, Some(manifest));
        let notes = if published.has_lasting_id { vec![] } else { vec![NO_LASTING_ID.to_owned()] };
        Ok(PublishedSnapshot { snapshot, recorded, notes })
    }

    fn write_extra_metadata(&self, file: &str, json: &[u8]) -> Result<()> {
        let dir = self.metadata.as_deref().context("the snapshot directory has no parent")?;
        extra_metadata::write(dir, file, json)
    }

    fn extra_metadata(&self, file: &str) -> Result<Option<Vec<u8>>> {
        self.metadata.as_deref().map_or(Ok(None), |dir| extra_metadata::read(dir, file))
    }

    fn leftovers(&self) -> Result<Vec<Leftover>> {
        removal::leftovers(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;
    use crate::model::manifest::tests::manifest;

    #[test]
    fn a_directory_behind_a_link_without_target_is_unavailable_and_never_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("snapshots"), dir.path().join("nas/snaps"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for may_create in [true, false] {
            let local = Local::new(&link, dir.path(), may_create);
            let errors = [
                local.list().unwrap_err(),
                local.open("manual-n-5").err().unwrap(),
                local.draft().err().unwrap(),
                Local::new(&link.join("below"), dir.path(), may_create).list().unwrap_err(),
            ];
            for e in errors {
                assert_eq!(code_of(&e), Code::DirectoryUnavailable, "{e:#}");
                assert!(format!("{e:#}").contains(&*target.to_string_lossy()), "{e:#}");
            }
        }
        assert!(!target.exists(), "nothing was created");
        // The default directory of K3s may not exist yet.
        let local = Local::new(&dir.path().join("db/snapshots"), dir.path(), true);
        assert!(local.list().unwrap().snapshots.is_empty());
        assert_eq!(code_of(&local.open("manual-n-5").err().unwrap()), Code::SnapshotNotFound);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_makes_the_listing_unfit_for_a_deletion() {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let local = Local::new(dir.path(), state.path(), false);
        std::fs::write(dir.path().join("manual-n-5"), [0; 544]).unwrap();
        local.record("manual-n-5", &mut |_| Some(manifest())).unwrap();
        let listing = local.list().unwrap();
        assert!(listing.complete && listing.manifests_readable);
        let of_dir = std::fs::read_dir(state.path().join("manifests")).unwrap().next().unwrap().unwrap();
        let path = of_dir.path().join("manual-n-5.json");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let listing = local.list().unwrap();
        assert_eq!((listing.snapshots.len(), listing.manifests_readable), (1, false));
        assert!(local.open("manual-n-5").is_err(), "what it must be is not known");
    }

    #[test]
    fn a_link_that_cannot_be_followed_matters_only_under_the_name_of_a_snapshot() {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        link("/nowhere", "manual-n-5");
        link("manual-n-6", "manual-n-6");
        let listing = Local::new(dir.path(), state.path(), false).list().unwrap();
        assert!(listing.complete);
        assert!(listing.snapshots.iter().all(|s| s.state == State::Foreign));
        // What is behind a name that is too long is not known.
        link(&"x".repeat(300), "notes");
        assert!(Local::new(dir.path(), state.path(), false).list().unwrap().complete);
        link(&"x".repeat(300), "manual-n-7");
        assert!(!Local::new(dir.path(), state.path(), false).list().unwrap().complete);
    }

    #[test]
    fn a_published_snapshot_is_verified_whatever_the_file_system_tells_later() {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let local = Local::new(dir.path(), state.path(), false);
        let draft = local.draft().unwrap();
        draft.append(&[0; 544]).unwrap();
        let name = SnapshotName::parse("manual-n-5").unwrap();
        let published = local.publish(draft, &name, 544, manifest()).unwrap();
        assert_eq!((published.snapshot.state, published.snapshot.size), (State::Verified, 544));
        assert!(published.notes.is_empty() && published.recorded.is_ok());
        assert_eq!(local.list().unwrap().snapshots[0].state, State::Verified);
    }
}
