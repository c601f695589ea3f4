// SPDX-License-Identifier: Apache-2.0
//! What a snapshot folder lets go of: snapshots by name, and what cut-off runs left. Decides nothing.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::manifests::Manifests;
use crate::distribution::METADATA;
use crate::host::fs::{is_dot_name, permission_context, sync_folder};
use crate::host::open_files::held;
use crate::model::name::SnapshotName;
use crate::model::snapshot::Leftover;

/// Deletes these files in their order, each with K3s's companion, and then their manifests. A failure does not stop
/// the rest. A manifest goes only after the folder is on the disk: over a power cut, no snapshot comes back without it.
pub(super) fn delete(folder: &Path, manifests: &Manifests, files: &[&str]) -> Vec<(String, Result<bool>)> {
    let mut results: Vec<(String, Result<bool>)> =
        files.iter().map(|file| ((*file).to_owned(), delete_file(folder, file))).collect();
    if results.iter().all(|(_, result)| result.is_err()) {
        return results;
    }
    if let Err(e) = sync_folder(folder) {
        log::warn!("{e:#}; the manifests stay");
        return results;
    }
    for (file, result) in &mut results {
        if result.is_ok()
            && let Err(e) = manifests.remove(file)
        {
            log::warn!("{e:#}; it does no harm, the next prune removes it");
        }
    }
    manifests.sync();
    results
}

/// True where it was there.
fn delete_file(folder: &Path, file: &str) -> Result<bool> {
    if file.is_empty() || file.contains('/') || file == "." || file == ".." {
        return Err(anyhow!("'{}' is not the name of a file", file.escape_debug()));
    }
    let path = folder.join(file);
    let there = match std::fs::remove_file(&path) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(permission_context(e, format!("deleting '{}'", path.display()))),
    };
    let companion = folder.parent().map(|above| above.join(METADATA).join(file));
    if let Some(companion) = companion
        && let Err(e) = std::fs::remove_file(&companion)
        && !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    {
        log::warn!("deleting '{}': {e}", companion.display());
    }
    Ok(there)
}

/// The `.part` files of this folder, and temporary files of ours.
pub(super) fn leftovers(folder: &Path) -> Result<Vec<Leftover>> {
    let context = || format!("reading '{}'", folder.display());
    let mut all = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries.with_context(context)?,
    };
    for entry in entries {
        let entry = entry.with_context(context)?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        let ours = is_dot_name(&file);
        if !ours && SnapshotName::parse_partial(&file).is_none() {
            continue;
        }
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            let modified_at = u64::try_from(meta.mtime()).unwrap_or(0);
            all.push(Leftover { file, modified_at, in_use: true, ours });
        }
    }
    let paths: Vec<_> = all.iter().map(|l| folder.join(&l.file)).collect();
    all.iter_mut().zip(held(&paths)).for_each(|(left, held)| left.in_use = held);
    Ok(all)
}

/// Deletes the manifests of snapshots that are gone, and gives back how many. Never where the folder has no snapshot
/// at all: perhaps it is not mounted.
pub(super) fn forget(folder: &Path, manifests: &Manifests) -> Result<usize> {
    let context = || format!("reading '{}'", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(context)?,
    };
    let mut names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    if !names.any(|n| SnapshotName::parse(&n).is_some()) {
        return Ok(0);
    }
    let mut swept = 0;
    for file in manifests.names()? {
        // Asked right before: whoever saved it meanwhile made the file first.
        match folder.join(&file).symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => swept += usize::from(manifests.remove(&file)?),
            _ => {}
        }
    }
    manifests.sync();
    Ok(swept)
}
