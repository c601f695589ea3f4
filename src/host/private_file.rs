// SPDX-License-Identifier: Apache-2.0
//! Files outside of the directories of ours, or with secrets: only root can read them, and a power cut leaves the old content or
//! the new one.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::draft::Draft;
use super::fs::{create_dir, path_error, sync_dir};
use crate::error::{Code, Fault};

/// The content of a file; `None` if it does not exist.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(path_error(e, "reading", path)),
    }
}

/// Writes a file, durably, in place of the one that has its name. Missing directories are created.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("writing '{}'", path.display());
    let (dir, name) = match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(dir), Some(name)) => (dir, name),
        _ => return Err(Fault::new(Code::InvalidArgument, context()).into()),
    };
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    create_dir(dir)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        sync_dir(parent)?;
    }
    let draft = Draft::new(dir).with_context(context)?;
    draft.append(bytes).with_context(context)?;
    draft.replace(name).with_context(context)
}

/// Removes a file, durably. One that does not exist is no error.
///
/// # Errors
/// If it cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_dir),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        Err(e) => Err(path_error(e, "removing", path)),
    }
}
