// SPDX-License-Identifier: Apache-2.0
//! The manifests on disk: one JSON file per snapshot, in our own folder, keyed by snapshot folder and file name.
//!
//! Never in the snapshot folder: K3s lists and prunes everything there.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::host::Draft;
use crate::host::fs::make_folder;
use crate::model::snapshot::Manifest;

/// The manifests of one snapshot folder.
pub(super) struct Manifests {
    folder: PathBuf,
}

impl Manifests {
    /// Those of `snapshots`, below `state_dir`. Nothing is created.
    pub(super) fn new(state_dir: &Path, snapshots: &Path) -> Manifests {
        let hash = Sha256::digest(snapshots.as_os_str().as_encoded_bytes());
        let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
        Manifests { folder: state_dir.join("manifests").join(hash) }
    }

    /// The names that have one, in one look. Unreadable means none: a list must not fail for want of a manifest.
    pub(super) fn names(&self) -> HashSet<String> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return HashSet::new() };
        entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
            .filter(|n| !n.starts_with('.'))
            .collect()
    }

    /// The manifest of a file; `None` where there is none, or none that can be read.
    pub(super) fn read(&self, file: &str) -> Option<Manifest> {
        let path = self.path(file);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    log::debug!("reading '{}': {e}", path.display());
                }
                return None;
            }
        };
        match serde_json::from_slice::<Manifest>(&text) {
            Ok(manifest) if manifest.name == file => Some(manifest),
            Ok(_) => None,
            Err(e) => {
                log::debug!("reading '{}': {e}", path.display());
                None
            }
        }
    }

    /// Writes a manifest, in place of an older one.
    pub(super) fn write(&self, manifest: &Manifest) -> Result<()> {
        make_folder(&self.folder)?;
        let context = || format!("writing the manifest '{}'", self.path(&manifest.name).display());
        let mut text = serde_json::to_vec_pretty(manifest).with_context(context)?;
        text.push(b'\n');
        let draft = Draft::new(&self.folder)?;
        (&draft).write_all(&text).with_context(context)?;
        draft.replace(&format!("{}.json", manifest.name))
    }

    /// Removes the manifest of a file, if there is one.
    pub(super) fn remove(&self, file: &str) -> Result<()> {
        let path = self.path(file);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("deleting the manifest '{}'", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(format!("{file}.json"))
    }
}
