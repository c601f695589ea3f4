// SPDX-License-Identifier: Apache-2.0
//! The gate: while it is closed, systemd refuses to start K3s's unit, whoever asks, over reboots too.
//!
//! A mask does not do that: K3s's unit lies where a mask would have to. The gate is a file, and a drop-in for the unit that
//! asserts that the file is not there. Both are needed: the file can be removed before K3s starts at boot without a reload
//! of systemd, and the drop-in goes when the restore has ended.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::ServerFiles;
use crate::error::{Code, Fault};
use crate::host::fs::{create_dir, sync_dir};
use crate::host::{Draft, file_tree};

const GATE: &str = "start-blocked";
const DROP_IN: &str = "90-k3s-snapshot-restore.conf";

impl ServerFiles {
    fn gate(&self) -> PathBuf {
        self.state.join(GATE)
    }

    fn drop_in(&self) -> PathBuf {
        self.units.join(format!("{}.d", self.unit)).join(DROP_IN)
    }

    /// Whether the gate is closed, as far as files tell.
    pub fn is_closed(&self) -> Result<bool> {
        Ok(file_tree::inode_id(&self.gate())?.is_some())
    }

    /// Closes the gate, durably. It holds once systemd has reloaded.
    pub fn close(&self) -> Result<()> {
        create_dir(&self.state)?;
        put(&self.state, GATE, "A restore is at work: see k3s-snapshot-restore(8).\n")?;
        let path = self.drop_in();
        let folder = path.parent().context("naming the drop-in")?;
        let refuse = || {
            Fault::new(Code::StartBlockFailed, format!("barring {} by '{}'", self.unit, path.display()))
                .hint("Without that, K3s could be started on data that is not proven; so nothing was done.")
        };
        std::fs::create_dir_all(folder).with_context(refuse)?;
        sync_dir(&self.units).with_context(refuse)?;
        // systemd expands %-specifiers here.
        let state = self.state.display().to_string().replace('%', "%%");
        let text = format!(
            "# Written by k3s-snapshot-restore while it is at work, so that {unit} is not started on a database that is not\n\
             # proven. Not to be removed by hand: 'k3s-snapshot-restore --recover' does it when that is safe.\n\
             [Unit]\n\
             Wants=k3s-snapshot-recover.service\n\
             After=k3s-snapshot-recover.service\n\
             Before=k3s-snapshot-recover-finish.service\n\
             RequiresMountsFor={state}\n\
             AssertPathExists=!{state}/{GATE}\n",
            unit = self.unit,
        );
        put(folder, DROP_IN, &text).with_context(refuse)
    }

    /// Opens the gate, durably: the file first, which is enough for the next start; then the drop-in.
    pub fn unbar(&self) -> Result<()> {
        file_tree::remove(&self.gate())?;
        file_tree::remove_temp_copies(&self.state, GATE)?;
        if self.state.is_dir() {
            sync_dir(&self.state)?;
        }
        let path = self.drop_in();
        file_tree::remove(&path)?;
        let Some(folder) = path.parent().filter(|f| f.is_dir()) else { return Ok(()) };
        file_tree::remove_temp_copies(folder, DROP_IN)?;
        sync_dir(folder)?;
        // Ours if we made it; an administrator's own drop-ins keep it.
        if std::fs::remove_dir(folder).is_ok() {
            sync_dir(&self.units)?;
        }
        Ok(())
    }
}

fn put(folder: &std::path::Path, name: &str, text: &str) -> Result<()> {
    let draft = Draft::new(folder)?;
    (&draft).write_all(text.as_bytes()).with_context(|| format!("writing in '{}'", folder.display()))?;
    draft.replace(name)
}
