// SPDX-License-Identifier: Apache-2.0
//! The record on disk, and what else is cleared away at the end.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{ServerFiles, WORK};
use crate::error::{Code, Fault};
use crate::host::fs::{create_dir, sync_dir};
use crate::host::{Draft, file_tree};
use crate::model::restore::{RECORD_VERSION, RestoreState};

const RECORD: &str = "state.json";

impl ServerFiles {
    /// Where the record is.
    pub fn record_path(&self) -> PathBuf {
        self.state.join(RECORD)
    }

    /// What an earlier restore has left; `None` where every one of them has ended.
    pub fn record(&self) -> Result<Option<RestoreState>> {
        let path = self.record_path();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("reading '{}'", path.display())),
        };
        let unclear = |why: String| {
            Fault::new(Code::RestoreStateUnreadable, format!("reading '{}': {why}", path.display())).hint(
                "A restore was cut off, and what it left cannot be understood. Nothing was changed. K3s stays barred \
                 until this is resolved by hand; see k3s-snapshot-restore(8), INTERRUPTED RESTORES.",
            )
        };
        let record: RestoreState = serde_json::from_slice(&text).map_err(|e| unclear(e.to_string()))?;
        if record.version != RECORD_VERSION {
            return Err(unclear(format!("version {} is not known here", record.version)).into());
        }
        Ok(Some(record))
    }

    /// Writes the record, in place of the one before; on the disk when this returns.
    pub fn write(&self, record: &RestoreState) -> Result<()> {
        create_dir(&self.state)?;
        let context = || format!("writing '{}'", self.record_path().display());
        let mut text = serde_json::to_vec_pretty(record).with_context(context)?;
        text.push(b'\n');
        let draft = Draft::new(&self.state)?;
        (&draft).write_all(&text).with_context(context)?;
        draft.replace(RECORD)
    }

    /// Removes our own folders beside K3s's files, and what a record that never got its name has left.
    pub fn clear_work(&self) -> Result<()> {
        file_tree::remove_temp_copies(&self.state, RECORD)?;
        let mut folders = vec![self.db().join(WORK), self.server().join(WORK)];
        folders.extend(self.kubeconfig.parent().map(|p| p.join(WORK)));
        folders.iter().try_for_each(|f| file_tree::remove(f))
    }

    /// Ends a restore: our folders go, and the record last.
    pub fn forget(&self) -> Result<()> {
        // Wherever the settings of that run had them.
        for kept in self.record()?.map(|r| r.backups).unwrap_or_default() {
            let work = kept.copy.parent().and_then(std::path::Path::parent);
            work.filter(|w| w.ends_with(WORK)).map(file_tree::remove).transpose()?;
        }
        self.clear_work()?;
        file_tree::remove(&self.record_path())?;
        if self.state.is_dir() {
            sync_dir(&self.state)?;
        }
        Ok(())
    }
}
