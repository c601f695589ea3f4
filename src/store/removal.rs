// SPDX-License-Identifier: Apache-2.0
//! Deletes from a snapshot directory: snapshots by name, and manifests without a snapshot. Finds what interrupted saves
//! have left. Decides nothing.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;

use super::directory::unavailable;
use super::manifests::Manifests;
use crate::error::{Code, Fault};
use crate::host::fs::{path_error, sync_dir};
use crate::host::is_temp_name;
use crate::host::open_files::held;
use crate::model::name::SnapshotName;
use crate::model::snapshot::Leftover;

/// Refuses a name that leads out of the directory.
///
/// # Errors
///
/// [`Code::InvalidName`].
pub(super) fn check_name(file: &str) -> Result<()> {
    if file.is_empty() || file.contains(['/', '\0']) || file == "." || file == ".." {
        let what = format!("'{}' is not the name of a snapshot", file.escape_debug());
        return Err(Fault::new(Code::InvalidName, what).into());
    }
    Ok(())
}

/// Deletes these files in their order, each with the metadata file of K3s, and then their manifests. A failure does not
/// stop the rest. A manifest is deleted only after the directory was synced: no snapshot comes back after a power cut
/// without its manifest.
pub(super) fn delete(
    dir: &Path,
    metadata: Option<&Path>,
    manifests: &Manifests,
    files: &[&str],
) -> Vec<(String, Result<bool>)> {
    let mut results: Vec<(String, Result<bool>)> =
        files.iter().map(|file| ((*file).to_owned(), delete_file(dir, metadata, file))).collect();
    if results.iter().all(|(_, result)| result.is_err()) {
        return results;
    }
    if let Err(e) = sync_dir(dir) {
        log::warn!("{e:#}; the manifests are kept");
        return results;
    }
    for (file, result) in &mut results {
        if result.is_ok()
            && let Err(e) = manifests.remove(file)
        {
            log::warn!("{e:#}; it does no harm, and the next prune deletes it");
        }
    }
    manifests.sync();
    results
}

/// True if the file existed.
fn delete_file(dir: &Path, metadata: Option<&Path>, file: &str) -> Result<bool> {
    check_name(file)?;
    let path = dir.join(file);
    let existed = match std::fs::remove_file(&path) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(path_error(e, "deleting", &path)),
    };
    let Some(metadata) = metadata.map(|dir| dir.join(file)) else {
        return Ok(existed);
    };
    // Most snapshots have none. A sandbox may not let this process delete there, which is then of no concern.
    let exists = metadata.symlink_metadata().is_ok();
    if exists && let Err(e) = std::fs::remove_file(&metadata) {
        log::warn!("{:#}", path_error(e, "deleting the metadata file of K3s", &metadata));
    }
    Ok(existed)
}

/// The `.part` files of this directory, and the temporary files of this tool.
///
/// # Errors
///
/// If the directory cannot be read.
pub(super) fn leftovers(dir: &Path) -> Result<Vec<Leftover>> {
    let error = |e| path_error(e, "reading", dir);
    let mut all = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries.map_err(error)?,
    };
    for entry in entries {
        let entry = entry.map_err(error)?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        let ours = is_temp_name(&file);
        if !ours && SnapshotName::parse_partial(&file).is_none() {
            continue;
        }
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(path_error(e, "reading", &entry.path())),
        };
        if meta.is_file() {
            let modified_at = u64::try_from(meta.mtime()).unwrap_or(0);
            all.push(Leftover { file, modified_at, in_use: true, ours });
        }
    }
    let paths: Vec<_> = all.iter().map(|l| dir.join(&l.file)).collect();
    all.iter_mut().zip(held(&paths)).for_each(|(leftover, held)| leftover.in_use = held);
    Ok(all)
}

/// Deletes the manifests of snapshots that do not exist any more, and returns how many. Deletes none if the directory
/// has no snapshot at all: its file system may not be mounted. Removes what killed runs have left next to them, too.
///
/// # Errors
///
/// If the directory or the manifests cannot be read, or a manifest cannot be deleted.
pub(super) fn delete_orphan_manifests(dir: &Path, manifests: &Manifests) -> Result<usize> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(|e| unavailable(e, dir))?,
    };
    let mut names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    if !names.any(|n| SnapshotName::parse(&n).is_some()) {
        return Ok(0);
    }
    let mut deleted = 0;
    for file in manifests.names()? {
        // Right before each deletion: a save creates the file first and then its manifest.
        match dir.join(&file).symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => deleted += usize::from(manifests.remove(&file)?),
            _ => {}
        }
    }
    manifests.remove_leftovers()?;
    manifests.sync();
    Ok(deleted)
}
