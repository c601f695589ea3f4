// SPDX-License-Identifier: Apache-2.0
//! A folder of snapshots on this machine: K3s's own, or any other.
//!
//! Whatever lies there is listed, as K3s does; what is not a snapshot is called foreign and left alone.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::manifests::Manifests;
use super::{LocalStore, Opened, PublishedSnapshot, Store, removal};
use crate::error::{Code, Fault};
use crate::host::fs::{Published, id_of, is_dot_name, make_folder, nonblocking};
use crate::host::{Draft, FileAt, Progress};
use crate::io::ReadAt;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::snapshot::{Leftover, Listing, Manifest, Snapshot, State, plausible_size};

/// A snapshot folder.
pub struct Local {
    folder: PathBuf,
    may_create: bool,
    manifests: Manifests,
}

impl Local {
    /// The snapshots of `folder`, their manifests below `state_dir`. Only a folder that K3s itself would create may
    /// be created: a missing one that somebody configured is a file system that is not mounted.
    pub fn new(folder: &Path, state_dir: &Path, may_create: bool) -> Local {
        // Manifests are keyed by the folder, so two ways to say it must be one.
        let real = real_path(folder);
        Local { manifests: Manifests::new(state_dir, &real), folder: real, may_create }
    }

    fn row(&self, file: String, meta: Option<&Metadata>, manifest: Option<Manifest>) -> Snapshot {
        let partial = SnapshotName::parse_partial(&file);
        let ours = is_dot_name(&file);
        let name = SnapshotName::parse(&file);
        let regular = meta.filter(|m| m.is_file());
        let manifest = manifest.filter(|m| regular.is_some_and(|r| m.file == id_of(r)));
        let state = match (&name, regular, &manifest) {
            (_, None, _) => State::Foreign,
            (None, ..) if partial.is_some() || ours => State::Incomplete,
            (None, _, Some(m)) => m.state(),
            (None, ..) => State::Foreign,
            (Some(n), Some(r), _) if n.suffix == Suffix::Plain && !plausible_size(r.len()) => State::Corrupt,
            (Some(_), _, Some(m)) => m.state(),
            (Some(_), Some(r), None) if r.len() == 0 => State::Corrupt,
            _ => State::Unverified,
        };
        let mtime = meta.map_or(0, |m| u64::try_from(m.mtime()).unwrap_or(0));
        Snapshot {
            location: format!("file://{}", self.folder.join(&file).display()),
            size: meta.map_or(0, Metadata::len),
            created_at: name.as_ref().or(partial.as_ref()).map_or(mtime, |n| n.at),
            name: name.or(partial),
            state,
            manifest,
            key_revisions: None,
            file,
        }
    }

    fn missing(&self, e: io::Error) -> anyhow::Error {
        let (code, hint) = match e.kind() {
            io::ErrorKind::PermissionDenied => (Code::PermissionDenied, "Run it as root.".to_owned()),
            _ => (
                Code::DirectoryUnavailable,
                format!(
                    "Create it with 'install -d -m 0700 {}', or check that it is mounted.",
                    self.folder.display()
                ),
            ),
        };
        anyhow::Error::from(e).context(
            Fault::new(code, format!("opening the snapshot folder '{}'", self.folder.display())).hint(hint),
        )
    }
}

/// Refuses what would lead out of the folder.
fn check_name(file: &str) -> Result<()> {
    if file.is_empty() || file.contains(['/', '\0']) || file == "." || file == ".." {
        let what = format!("'{}' is not the name of a snapshot", file.escape_debug());
        return Err(Fault::new(Code::InvalidName, what).into());
    }
    Ok(())
}

/// The path without links, as far as it exists.
fn real_path(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) => real_path(parent).join(name),
        _ => path.to_owned(),
    }
}

impl Store for Local {
    fn list(&self) -> Result<Listing> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            // K3s creates its default folder at its first start: no folder, no snapshots.
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.may_create => {
                return Ok(Listing { snapshots: vec![], complete: true, manifests_readable: true });
            }
            Err(e) => return Err(self.missing(e)),
        };
        let mut listing = Listing { snapshots: vec![], complete: true, manifests_readable: true };
        // A list does not fail for want of a manifest; what deletes has to know.
        let known = self.manifests.names().unwrap_or_else(|e| {
            log::debug!("{e:#}");
            listing.manifests_readable = false;
            Default::default()
        });
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    log::warn!("reading '{}': {e}", self.folder.display());
                    listing.complete = false;
                    continue;
                }
            };
            let name = entry.file_name();
            let text = name.to_str();
            let file = name.to_string_lossy().into_owned();
            // Follows links, as K3s does; one that leads nowhere is foreign.
            let meta = match std::fs::metadata(entry.path()) {
                Ok(meta) => Some(meta),
                Err(e) => match std::fs::symlink_metadata(entry.path()) {
                    Ok(link) if link.is_symlink() => Some(link),
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
                    _ => {
                        log::warn!("reading '{}': {e}", entry.path().display());
                        listing.complete = false;
                        None
                    }
                },
            };
            if text.is_none() {
                // No snapshot of K3s's or ours, and its name cannot be told in JSON: it is somebody else's.
                listing
                    .snapshots
                    .push(Snapshot { state: State::Foreign, ..self.row(file, meta.as_ref(), None) });
                continue;
            }
            let manifest = if known.contains(&file) { self.manifests.read(&file) } else { None };
            listing.snapshots.push(self.row(file, meta.as_ref(), manifest));
        }
        Ok(listing)
    }

    fn open(&self, file: &str) -> Result<Opened> {
        let path = self.folder.join(file);
        let context = || format!("opening snapshot '{}'", path.display());
        check_name(file)?;
        // Not to wait for a writer where it is a pipe.
        let opened =
            File::options().read(true).custom_flags(nonblocking()).open(&path).map_err(|e| {
                match e.kind() {
                    io::ErrorKind::NotFound => anyhow::Error::from(
                        Fault::new(
                            Code::SnapshotNotFound,
                            format!("no snapshot '{}' in '{}'", file.escape_debug(), self.folder.display()),
                        )
                        .hint("k3s-snapshot-list shows what is there."),
                    ),
                    io::ErrorKind::PermissionDenied => anyhow::Error::from(e)
                        .context(Fault::new(Code::PermissionDenied, context()).hint("Run it as root.")),
                    _ => anyhow::Error::from(e).context(context()),
                }
            })?;
        let meta = opened.metadata().with_context(context)?;
        if !meta.is_file() {
            return Err(Fault::new(
                Code::NotASnapshot,
                format!("'{}' is not a file, so not a snapshot", path.display()),
            )
            .into());
        }
        let recorded = self.manifests.read(file);
        let snapshot = self.row(file.to_owned(), Some(&meta), recorded.clone());
        Ok(Opened { id: id_of(&meta), data: Box::new(FileAt::new(opened)?), snapshot, manifest: recorded })
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.manifests.write(&Manifest { directory: self.folder.display().to_string(), ..manifest.clone() })
    }

    fn draft(&self) -> Result<Draft> {
        if let Err(e) = std::fs::metadata(&self.folder) {
            // Not its parents: where they are missing, a disk is not mounted.
            let parent = self.folder.parent().is_some_and(Path::is_dir);
            if e.kind() == io::ErrorKind::NotFound && self.may_create && parent {
                make_folder(&self.folder)?;
            } else {
                return Err(self.missing(e));
            }
        }
        Draft::new(&self.folder)
    }

    fn upload(
        &self,
        name: &SnapshotName,
        data: &dyn ReadAt,
        manifest: &Manifest,
        progress: &dyn Progress,
    ) -> Result<Snapshot> {
        let draft = self.draft()?;
        draft.ensure_free_space(data.size())?;
        draft.fill_from(data, 1, u64::MAX, progress)?;
        let kept = self.publish(draft, name, data.size(), manifest.clone())?;
        kept.recorded.map(|()| kept.snapshot)
    }

    fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
        removal::delete(&self.folder, &self.manifests, files)
    }

    fn delete_orphan_manifests(&self, _: u64) -> Result<usize> {
        removal::forget(&self.folder, &self.manifests)
    }
}

impl LocalStore for Local {
    fn unused_name(&self, name: &SnapshotName) -> Result<SnapshotName> {
        let mut name = name.clone();
        // Both forms of a name count as taken: K3s unpacks `x.zip` to `x`.
        let taken = |n: &SnapshotName| {
            let other = if n.suffix == Suffix::Zip { Suffix::Plain } else { Suffix::Zip };
            let twin = SnapshotName { suffix: other, ..n.clone() };
            [n, &twin].iter().any(|n| self.folder.join(n.to_string()).symlink_metadata().is_ok())
        };
        while taken(&name) {
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
        let Published::Done(id) = draft.publish(&name.to_string(), size)? else {
            return Err(Fault::new(
                Code::NameTaken,
                format!("another program has just made '{name}'; nothing was kept"),
            )
            .hint("Try again.")
            .into());
        };
        let file = name.to_string();
        let manifest = Manifest {
            name: file.clone(),
            directory: self.folder.display().to_string(),
            file: id,
            saved_at: Some(name.at),
            ..manifest
        };
        // The snapshot stands. Without its manifest it is only "unchecked", so this is told, not fatal.
        let recorded = self.manifests.write(&manifest);
        let path = self.folder.join(&file);
        let meta = std::fs::metadata(&path).with_context(|| format!("looking at '{}'", path.display()))?;
        Ok(PublishedSnapshot { snapshot: self.row(file, Some(&meta), Some(manifest)), recorded })
    }

    fn leftovers(&self) -> Result<Vec<Leftover>> {
        removal::leftovers(&self.folder)
    }
}
