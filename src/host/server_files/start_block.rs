// SPDX-License-Identifier: Apache-2.0
//! The block on the start of K3s: a drop-in with an assertion, and the marker file that it looks for. It holds over reboots,
//! `systemctl status` shows it, and an administrator can remove it by hand.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::ServerFiles;
use crate::error::{Code, Fault};
use crate::host::draft::Draft;
use crate::host::file_tree;
use crate::host::fs::{create_dir, sync_dir};

/// The marker file: as long as it exists, systemd refuses to start K3s.
const MARKER: &str = "start-blocked";
/// The drop-in of the K3s unit.
const DROP_IN: &str = "60-k3s-snapshot-restore.conf";
/// The drop-in for the first start of a server that rejoins.
const REJOIN: &str = "60-k3s-snapshot-rejoin.conf";
/// The unit that recovers the files of an interrupted restore before K3s starts.
const RECOVER: &str = "k3s-snapshot-recover.service";
/// Its drop-in, which makes it wait for the disk of the databases, and only while there is a restore.
const MOUNTS: &str = "60-k3s-snapshot-mounts.conf";

impl ServerFiles {
    /// The path of the marker file.
    pub fn marker(&self) -> PathBuf {
        self.state.join(MARKER)
    }

    fn drop_in(&self, unit: &str, name: &str) -> PathBuf {
        self.units.join(format!("{unit}.d")).join(name)
    }

    /// Whether the start is blocked by the restore with this id.
    ///
    /// # Errors
    /// If the marker cannot be read.
    pub fn is_start_blocked_by(&self, id: u64) -> Result<bool> {
        match std::fs::read_to_string(self.marker()) {
            Ok(text) => Ok(text.lines().next() == Some(id.to_string().as_str())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e).with_context(|| format!("reading '{}'", self.marker().display())),
        }
    }

    /// Whether the start is blocked by any restore.
    ///
    /// # Errors
    /// If the marker cannot be examined.
    pub fn is_start_blocked(&self) -> Result<bool> {
        Ok(file_tree::inode_id(&self.marker())?.is_some())
    }

    /// Blocks the start, durably. It holds once systemd has reloaded its units.
    ///
    /// # Errors
    /// [`Code::StartBlockFailed`].
    pub fn block_start(&self, id: u64) -> Result<()> {
        self.block_again(id)?;
        let quoted = |path: &Path| quote(&path.display().to_string());
        let db = self.db();
        // systemd does not follow links in these paths.
        let mounts = [quoted(&db), quoted(&db.canonicalize().unwrap_or_else(|_| db.clone()))].join(" ");
        let text = format!(
            "# Written by 'k3s-snapshot restore': its files may be on a disk that is mounted late.\n\
             [Unit]\n\
             RequiresMountsFor={mounts}\n"
        );
        self.put_drop_in(RECOVER, MOUNTS, &text)?;
        let text = format!(
            "# Written by 'k3s-snapshot restore': {unit} must not start while its database is being exchanged.\n\
             # Do not remove it by hand: 'k3s-snapshot restore --recover' removes it when that is safe.\n\
             [Unit]\n\
             Wants={RECOVER}\n\
             After={RECOVER}\n\
             RequiresMountsFor={mounts}\n\
             AssertPathExists=!{marker}\n",
            unit = self.unit,
            marker = self.marker().display().to_string().replace('%', "%%"),
        );
        self.put_drop_in(&self.unit, DROP_IN, &text)
    }

    /// Blocks the start again while the drop-in still exists: no reload is needed.
    ///
    /// # Errors
    /// If the marker cannot be written.
    pub fn block_again(&self, id: u64) -> Result<()> {
        create_dir(&self.state)?;
        let text = format!("{id}\nA restore is running or was interrupted: see k3s-snapshot-restore(8).\n");
        put(&self.state, MARKER, &text)
    }

    /// Unblocks the start, durably. Removing the marker is enough; the drop-in does nothing without it.
    ///
    /// # Errors
    /// If the marker cannot be removed.
    pub fn unblock_start(&self) -> Result<()> {
        file_tree::remove(&self.marker())?;
        file_tree::remove_temp_copies(&self.state, MARKER)?;
        if self.state.is_dir() { sync_dir(&self.state) } else { Ok(()) }
    }

    /// Removes what a killed process left of writing the marker.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_marker_drafts(&self) -> Result<()> {
        file_tree::remove_temp_copies(&self.state, MARKER)
    }

    /// Removes the drop-ins. True if there was one: then systemd must reload its units.
    ///
    /// # Errors
    /// If a drop-in cannot be removed.
    pub fn remove_drop_ins(&self) -> Result<bool> {
        let mut removed = false;
        for (unit, name) in [(&*self.unit, DROP_IN), (&*self.unit, REJOIN), (RECOVER, MOUNTS)] {
            let path = self.drop_in(unit, name);
            removed |= file_tree::inode_id(&path)?.is_some();
            file_tree::remove(&path)?;
            let Some(dir) = path.parent().filter(|d| d.is_dir()) else { continue };
            file_tree::remove_temp_copies(dir, name)?;
            sync_dir(dir)?;
            // The directory is removed if this program made it; drop-ins of an administrator keep it.
            if std::fs::remove_dir(dir).is_ok() {
                sync_dir(&self.units)?;
            }
        }
        Ok(removed)
    }

    /// Makes the next start of K3s join the server at `url`, whatever its configuration file says. systemd must reload its
    /// units afterwards.
    ///
    /// # Errors
    /// If the drop-in cannot be written.
    pub fn join_at_next_start(&self, url: &str) -> Result<()> {
        // No part of a URL is quoted.
        let url = url.replace('%', "%%").replace(['"', '\\', '\n'], "");
        let text = format!(
            "# Written by 'k3s-snapshot restore --rejoin', and removed when this server has joined.\n\
             [Service]\n\
             Environment=\"K3S_URL={url}\"\n"
        );
        self.put_drop_in(&self.unit, REJOIN, &text)
    }

    fn put_drop_in(&self, unit: &str, name: &str, text: &str) -> Result<()> {
        let path = self.drop_in(unit, name);
        let dir = path.parent().context("naming the drop-in")?;
        let refuse = || {
            Fault::new(Code::StartBlockFailed, format!("writing the drop-in '{}'", path.display()))
                .hint("Make the directory writable, then run the command again. Nothing was changed.")
        };
        std::fs::create_dir_all(dir).with_context(refuse)?;
        sync_dir(&self.units).with_context(refuse)?;
        put(dir, name, text).with_context(refuse)
    }
}

/// A word of a unit file: systemd expands %-specifiers and reads quotes.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{escaped}\"")
}

fn put(dir: &Path, name: &str, text: &str) -> Result<()> {
    let draft = Draft::new(dir)?;
    (&draft).write_all(text.as_bytes()).with_context(|| format!("writing in '{}'", dir.display()))?;
    draft.replace(name)
}
