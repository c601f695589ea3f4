// SPDX-License-Identifier: Apache-2.0
//! The state file of a restore. It has one fixed path, whatever other settings say: the process that recovers an interrupted
//! restore at boot reads this file and nothing else.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::ServerFiles;
use crate::error::{Code, Fault};
use crate::host::draft::Draft;
use crate::host::file_tree;
use crate::host::fs::create_dir;
use crate::model::restore::{RestoreState, STATE_VERSION};

/// The name of the state file.
const STATE: &str = "state.json";
/// A file without a meaning, whose space a rollback needs.
const RESERVE: &str = "reserve";
/// Its size in bytes.
const RESERVED: usize = 256 << 10;

/// What an interrupted restore left in the state directory; `None` if there is none.
///
/// # Errors
/// [`Code::RestoreStateUnreadable`] if it exists and cannot be understood.
pub fn load_state(directory: &Path) -> Result<Option<RestoreState>> {
    let path = directory.join(STATE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(e).with_context(|| format!("reading '{}'", path.display())),
    };
    let invalid = |why: String| {
        Fault::new(Code::RestoreStateUnreadable, format!("reading '{}': {why}", path.display())).hint(
            "An interrupted restore left this file. Nothing was changed, and the start of K3s stays blocked. Follow \
             'INTERRUPTED RESTORES' in k3s-snapshot-restore(8).",
        )
    };
    let state: RestoreState = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
    if state.version != STATE_VERSION {
        return Err(invalid(format!("version {} is unknown", state.version)).into());
    }
    Ok(Some(state))
}

impl ServerFiles {
    /// The files of the server whose restore was interrupted: everything is taken from its state.
    pub fn from_state(directory: &Path, units: &Path, state: &RestoreState) -> ServerFiles {
        ServerFiles {
            state: directory.to_owned(),
            data_dir: state.data_dir.clone(),
            units: units.to_owned(),
            unit: state.unit.clone(),
            kubeconfig: state.kubeconfig.clone(),
            datastore: state.datastore,
        }
    }

    /// What an interrupted restore left; `None` if there is none.
    ///
    /// # Errors
    /// As [`load_state`].
    pub fn load_state(&self) -> Result<Option<RestoreState>> {
        load_state(&self.state)
    }

    /// The path of the state file.
    pub fn state_path(&self) -> PathBuf {
        self.state.join(STATE)
    }

    /// Writes the state file, in place of the one before; it is on the disk when this returns.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_state(&self, state: &RestoreState) -> Result<()> {
        create_dir(&self.state)?;
        let context = || format!("writing '{}'", self.state_path().display());
        let mut text = serde_json::to_vec_pretty(state).with_context(context)?;
        text.push(b'\n');
        let draft = Draft::new(&self.state)?;
        (&draft).write_all(&text).with_context(context)?;
        draft.replace(STATE)
    }

    /// Reserves the space that a rollback needs for its state file and the marker: K3s can fill the disk when it starts.
    ///
    /// # Errors
    /// If there is no space.
    pub fn reserve_space(&self) -> Result<()> {
        create_dir(&self.state)?;
        let context = || format!("reserving space in '{}'", self.state.display());
        let draft = Draft::new(&self.state)?;
        // Bytes that no file system compresses away.
        let mut bytes = vec![0; RESERVED];
        let mut state = 1u32;
        for byte in &mut bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0];
        }
        (&draft).write_all(&bytes).with_context(context)?;
        draft.replace(RESERVE)
    }

    /// Gives the reserved space back.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn release_space(&self) -> Result<()> {
        file_tree::remove(&self.state.join(RESERVE))?;
        file_tree::remove_temp_copies(&self.state, RESERVE)
    }

    /// Removes what a process has left that was killed while it wrote the state file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_state_drafts(&self) -> Result<()> {
        file_tree::remove_temp_copies(&self.state, STATE)
    }

    /// Removes the state file: the restore has ended.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_state(&self) -> Result<()> {
        self.release_space()?;
        file_tree::remove(&self.state_path())?;
        self.remove_state_drafts()?;
        if self.state.is_dir() { crate::host::fs::sync_dir(&self.state) } else { Ok(()) }
    }
}
