// SPDX-License-Identifier: Apache-2.0
//! The files for the textfile collector of node_exporter. A reader sees the old file or the new one, never a part.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use super::draft::Draft;
use super::fs::path_error;

/// Writes a file that every user can read, in place of the one before.
///
/// # Errors
/// If the directory does not exist or cannot be written.
pub fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let draft = Draft::new(dir)?;
    draft.append(text.as_bytes())?;
    let mode = std::fs::Permissions::from_mode(0o644);
    draft.file().set_permissions(mode).map_err(|e| path_error(e, "writing to", dir))?;
    draft.replace(name)
}

/// The file as it was written last; `None` if there is none that can be read.
pub fn read(dir: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(dir.join(name)).ok()
}

/// Removes a file; a file that does not exist is a success.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(dir: &Path, name: &str) -> Result<()> {
    let path = dir.join(name);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(path_error(e, "removing", &path)),
        _ => Ok(()),
    }
}
