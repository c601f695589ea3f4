// SPDX-License-Identifier: Apache-2.0
//! The record of a rebuild that is not done, in a file of ours at one fixed path. As long as it exists, the rebuild is not done,
//! whatever is on the disk.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::error::{Code, Fault};
use crate::host::private_file;
use crate::model::rebuild::RebuildRecord;

/// The file of the record.
pub(crate) struct RecordFile(pub(crate) PathBuf);

impl RecordFile {
    /// The record; `None` if no rebuild is unfinished.
    ///
    /// # Errors
    /// [`Code::RestoreStateUnreadable`] if it exists and cannot be understood.
    pub(crate) fn load(&self) -> Result<Option<RebuildRecord>> {
        let Some(text) = private_file::read(&self.0)? else { return Ok(None) };
        let record: Option<RebuildRecord> =
            serde_json::from_slice(&text).ok().filter(RebuildRecord::is_known);
        record.map(Some).ok_or_else(|| {
            let what = format!("reading '{}': its form is unknown", self.0.display());
            Fault::new(Code::RestoreStateUnreadable, what)
                .hint("Use the version of k3s-snapshot that began the rebuild, or remove the file.")
                .into()
        })
    }

    /// Writes the record, durably.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self, record: &RebuildRecord) -> Result<()> {
        let text = serde_json::to_vec_pretty(record).context("encoding the record of the rebuild")?;
        private_file::write(&self.0, &text)
    }

    /// Removes the record: the rebuild is done.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(&self) -> Result<()> {
        private_file::remove(&self.0)
    }
}
