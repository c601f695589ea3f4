// SPDX-License-Identifier: Apache-2.0
//! Deletes what restores and resets have left: previous databases, discarded ones, and certificates that K3s set aside.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::error::{Code, Fault};
use crate::host::ServerFiles;
use crate::model::action::Action;
use crate::model::report::Report;
use crate::model::restore_report::OldDatabase;

/// Keeps the newest `keep` of each kind and deletes the others.
///
/// # Errors
/// If a restore was interrupted, the deletion was not confirmed, or something cannot be deleted.
pub fn prune_old_databases(
    files: &ServerFiles,
    keep: usize,
    dry_run: bool,
    confirm: &dyn Fn(&Report) -> Result<bool>,
    report: &mut Report,
) -> Result<()> {
    if files.load_state()?.is_some() {
        return Err(Fault::new(
            Code::RestoreInterrupted,
            "a restore was interrupted and still needs its files; nothing was deleted",
        )
        .hint("Run 'k3s-snapshot restore --recover' first.")
        .into());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, path, bytes) in files.old_databases()? {
        let count = counts.entry(kind).or_default();
        *count += 1;
        report.old_databases.push(OldDatabase {
            path: path.display().to_string(),
            bytes,
            action: if *count <= keep { Action::Keep } else { Action::Remove },
            deleted: None,
        });
    }
    let nothing_to_do = report.old_databases.iter().all(|o| o.action == Action::Keep);
    if dry_run || nothing_to_do {
        return Ok(());
    }
    if !confirm(report)? {
        return Err(Fault::new(Code::NotConfirmed, "canceled; nothing was deleted").into());
    }
    let mut errors = Vec::new();
    for old in report.old_databases.iter_mut().filter(|o| o.action == Action::Remove) {
        let result = files.delete_old_database(Path::new(&old.path));
        old.deleted = Some(result.is_ok());
        errors.extend(result.err());
    }
    errors.iter().for_each(|e| report.fail(e));
    Ok(())
}
