// SPDX-License-Identifier: Apache-2.0
//! The file that the last restore leaves for later runs. Without it, or if it cannot be understood, a run goes on as if there
//! had been no restore.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::host::draft::Draft;
use crate::host::file_tree;
use crate::host::fs::create_dir;
use crate::model::restore::{LAST_VERSION, LastRestore};

const LAST: &str = "last.json";

/// What the last restore left in the state directory.
pub fn load_last_restore(directory: &Path) -> Option<LastRestore> {
    let path = directory.join(LAST);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return None,
        Err(e) => {
            log::warn!("reading '{}': {e}; it is not known whether this server was restored", path.display());
            return None;
        }
    };
    let last = serde_json::from_slice::<LastRestore>(&text);
    let last = last.inspect_err(|e| log::warn!("'{}' has a wrong form and is ignored: {e}", path.display()));
    last.ok().filter(|last| last.version == LAST_VERSION)
}

/// Writes it, in place of the one before.
///
/// # Errors
/// If it cannot be written.
pub fn save_last_restore(directory: &Path, last: &LastRestore) -> Result<()> {
    create_dir(directory)?;
    let context = || format!("writing '{}'", directory.join(LAST).display());
    let mut text = serde_json::to_vec_pretty(last).with_context(context)?;
    text.push(b'\n');
    let draft = Draft::new(directory)?;
    (&draft).write_all(&text).with_context(context)?;
    draft.replace(LAST)?;
    file_tree::remove_temp_copies(directory, LAST)
}
