// SPDX-License-Identifier: Apache-2.0
//! Whether this machine has a datastore, found by looking. What cannot be looked at is never taken for a machine without one.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::app::context::Context;
use crate::distribution;
use crate::error::{Code, Fault, code_of};
use crate::host::datastore::{self, Said};
use crate::model::mounts;

/// Whether the data-dir has a datastore.
///
/// # Errors
/// [`Code::DatastoreUnknown`] if that cannot be found out.
pub(super) fn exists(cx: &Context, data_dir: &Path) -> Result<bool> {
    // Below another data-dir than that of the settings, their file of SQLite does not count.
    let said = if data_dir == cx.settings.data_dir { cx.datastore_config() } else { Said::default() };
    look(data_dir, said).map_err(|e| match code_of(&e) {
        Code::OtherDatastore => e,
        _ => e.context(
            Fault::new(
                Code::DatastoreUnknown,
                format!("it is not known whether there is a datastore in '{}'", data_dir.display()),
            )
            .hint("Check that the disk is mounted and can be read. Nothing was changed."),
        ),
    })
}

fn look(data_dir: &Path, said: Said) -> Result<bool> {
    ensure_mounted(data_dir)?;
    if datastore::to_restore(data_dir, said)?.is_some() {
        return Ok(true);
    }
    // Not whole, so K3s would not start on it; but it may hold data.
    let db = data_dir.join(distribution::DB);
    let entries = match std::fs::read_dir(&db) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(false),
        Err(e) => return Err(e).with_context(|| format!("reading '{}'", db.display())),
    };
    for entry in entries {
        let name = entry.with_context(|| format!("reading '{}'", db.display()))?.file_name();
        let name = name.to_string_lossy();
        let is_old =
            [distribution::ETCD_OLD, distribution::SQLITE_OLD].iter().any(|old| name.starts_with(old));
        let is_part = name == "etcd" && db.join("etcd/member").symlink_metadata().is_ok();
        if is_old || is_part {
            anyhow::bail!("'{}' holds a database that is not in use", db.join(&*name).display());
        }
    }
    Ok(false)
}

/// Fails if a disk of the machine that is not mounted would hold the databases.
fn ensure_mounted(data_dir: &Path) -> Result<()> {
    let read = |path: &str| match std::fs::read_to_string(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| format!("reading '{path}'")),
    };
    let (fstab, mountinfo) = (read("/etc/fstab")?, read("/proc/self/mountinfo")?);
    let db = data_dir.join(distribution::DB);
    match mounts::unmounted(&fstab, &mountinfo, &db) {
        Some(point) => anyhow::bail!("'{}' is in /etc/fstab and is not mounted", point.display()),
        None => Ok(()),
    }
}
