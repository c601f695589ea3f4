// SPDX-License-Identifier: Apache-2.0
//! Deletes databases that restores have left: those that K3s moved aside, and those that were given up.

use anyhow::Result;

use super::Machine;
use crate::error::{Code, Fault};
use crate::model::report::Report;
use crate::model::restore_report::OldDatabase;

/// Keeps the newest `keep` of each kind.
pub fn clean(
    keep: usize,
    dry_run: bool,
    machine: &Machine,
    confirm: &dyn Fn(&Report) -> Result<bool>,
    report: &mut Report,
) -> Result<()> {
    if machine.site.record()?.is_some() {
        return Err(Fault::new(
            Code::RestoreInterrupted,
            "a restore was cut off, and needs what it left; nothing was deleted",
        )
        .hint("End it with 'k3s-snapshot-restore --conclude' first.")
        .into());
    }
    let mut kept: Vec<(&'static str, usize)> = Vec::new();
    for (kind, path, bytes) in machine.site.left_behind()? {
        let n = match kept.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, n)) => n,
            None => {
                kept.push((kind, 0));
                &mut kept.last_mut().ok_or_else(|| anyhow::anyhow!("no room"))?.1
            }
        };
        *n += 1;
        let verdict = if *n <= keep { "keep" } else { "remove" };
        report.old_databases.push(OldDatabase {
            path: path.display().to_string(),
            bytes,
            action: verdict,
            deleted: None,
        });
    }
    if dry_run || report.old_databases.iter().all(|o| o.action == "keep") {
        return Ok(());
    }
    if !confirm(report)? {
        return Err(Fault::new(Code::NotConfirmed, "nothing was deleted: it was not confirmed").into());
    }
    let mut errors = Vec::new();
    for old in report.old_databases.iter_mut().filter(|o| o.action == "remove") {
        let done = machine.site.discard(std::path::Path::new(&old.path));
        old.deleted = Some(done.is_ok());
        errors.extend(done.err());
    }
    errors.iter().for_each(|e| report.fail(e));
    Ok(())
}
