// SPDX-License-Identifier: Apache-2.0
//! The way back: everything as it was, and K3s in the state that it was in. Where even that fails, K3s stays barred and
//! nothing more is touched.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::walk::{RESTARTS, Walk};
use super::{Machine, Request, told, until};
use crate::error::{Code, Fault};
use crate::host::Active;
use crate::model::report::Report;
use crate::model::restore::{Operation, PriorState, RestoreState, Stage, Way};
use crate::model::warning::WarningCode;

impl Walk<'_> {
    /// Puts everything back, and says in one error what happened and what K3s is now.
    pub(super) fn roll_back(&mut self, why: anyhow::Error) -> anyhow::Error {
        let why = format!("{why:#}");
        log::error!("{why}; rolling back");
        self.machine.progress.step("rolling back", None);
        self.record.rollback_reason = Some(why.clone());
        if let Err(e) = self.back() {
            self.times(None);
            return stuck(&why, &e, self.machine, &self.record);
        }
        told(self.report).mark_rolled_back();
        let back = bring_back(self.req, self.machine, &self.record, self.report);
        self.times(None);
        if let Err(e) = self.machine.site.forget() {
            self.report.warn(WarningCode::TidyFailed, format!("{e:#}"));
        }
        rolled_back(&why, back, &self.record)
    }

    /// The files, by the stage that was written down; then the gate.
    fn back(&mut self) -> Result<()> {
        let (site, service) = (self.machine.site, self.machine.service);
        if self.record.stage == Stage::Starting {
            // It may run on what is to be taken away from it.
            self.enter(Stage::Undoing)?;
            site.close()?;
            service.reload()?;
            service.stop(self.req.stop_timeout)?;
            self.quiet()?;
        }
        if self.record.stage.way() == Way::PutBack {
            self.enter(Stage::Undoing)?;
            put_back(self.machine, &mut self.record, self.report)?;
        }
        self.enter(Stage::Undone)?;
        site.unbar()?;
        service.reload()
    }
}

/// Puts the files back, once nobody is at work on them.
pub(super) fn put_back(machine: &Machine, record: &mut RestoreState, report: &mut Report) -> Result<()> {
    if let Some(process) = &record.reset {
        machine.k3s.end(process).context("ending K3s's reset")?;
    }
    let free = until(Duration::from_secs(15), Duration::from_millis(50), machine.progress, || {
        !machine.site.held().unwrap_or(true)
    });
    anyhow::ensure!(free, "some process has the database in '{}' open", machine.site.etcd().display());
    if let Some(evidence) = machine.site.put_back(record)? {
        told(report).failed_database = Some(evidence.display().to_string());
        told(report).old_database = None;
    }
    Ok(())
}

/// Brings K3s to where it was, and waits until it serves what it served. An error says what is not as before.
pub(super) fn bring_back(
    req: &Request,
    machine: &Machine,
    record: &RestoreState,
    report: &mut Report,
) -> Result<()> {
    match record.previous_state {
        PriorState::Stopped => return Ok(()),
        PriorState::Failing => {
            report.warn(
                WarningCode::PreviousStateKept,
                "K3s did not run properly before the restore; it is left stopped",
            );
            return Ok(());
        }
        PriorState::Running => {}
    }
    machine.progress.step("starting K3s as it was", None);
    // A stop that took too long may still be under way.
    let mut last = None;
    let down = until(req.stop_timeout, req.poll, machine.progress, || match machine.service.unit() {
        Ok(unit) => {
            let there = unit.active == Active::Active || unit.active.is_down();
            last = Some(unit);
            there || last.as_ref().is_some_and(|u| u.active == Active::Activating)
        }
        Err(_) => false,
    });
    anyhow::ensure!(down, "K3s's unit is neither up nor down");
    if last.is_some_and(|u| u.active.is_down()) {
        machine.service.reset_failed()?;
        machine.service.start()?;
    }
    if record.operation == Operation::ClusterReset {
        // An etcd that is started without a quorum answers nobody.
        return Ok(());
    }
    let mut why = anyhow!("etcd has not answered");
    let mut lost = false;
    let serves = until(req.ready_timeout, req.poll, machine.progress, || match machine.live.look() {
        Ok(look) => {
            let member = record.before.member.is_none_or(|m| m == look.member_id);
            let revision = record.before.revision.is_none_or(|r| look.revision >= r);
            if !member || !revision {
                why = anyhow!("the etcd that answers is not the one from before, or lacks revisions of it");
            }
            member && revision
        }
        Err(e) => {
            why = e;
            lost =
                machine.service.unit().is_ok_and(|u| u.active == Active::Failed || u.restarts > 2 * RESTARTS);
            lost
        }
    });
    if serves && !lost { Ok(()) } else { Err(why) }
}

/// Rolled back: what happened, and how K3s is.
pub(super) fn rolled_back(why: &str, back: Result<()>, record: &RestoreState) -> anyhow::Error {
    let (how, hint) = match (back, record.previous_state) {
        (Err(e), _) => (
            format!("its files are as they were, but it does not serve yet: {e:#}"),
            format!("Look with 'journalctl -u {}'.", record.unit),
        ),
        (Ok(()), PriorState::Running) if record.operation == Operation::ClusterReset => (
            "its files are as they were, and K3s is started; without a quorum it serves nobody, as before"
                .to_owned(),
            "Nothing is lost. What went wrong is said above; a snapshot can be restored instead.".to_owned(),
        ),
        (Ok(()), PriorState::Running) => (
            "K3s serves what it served before".to_owned(),
            "Nothing is lost. What went wrong is said above; k3s-snapshot-list shows other snapshots."
                .to_owned(),
        ),
        (Ok(()), was) => (
            "its files are as they were".to_owned(),
            format!("K3s was {} before, and is left stopped.", was.as_str()),
        ),
    };
    Fault::new(Code::RolledBack, format!("not {}, and rolled back: {why}; {how}", record.operation.past()))
        .hint(hint)
        .into()
}

/// The last resort: everything stays as it is, and K3s down.
pub(super) fn stuck(why: &str, e: &anyhow::Error, machine: &Machine, record: &RestoreState) -> anyhow::Error {
    let live = record
        .live_database
        .map_or("there was none".to_owned(), |l| format!("the folder with the inode {}", l.ino));
    Fault::new(Code::RollbackFailed, format!("{why}; and rolling back failed: {e:#}. {} is kept from starting", record.unit))
        .hint(format!(
            "Mend what the second error says, then run 'k3s-snapshot-restore --recover': it goes on from here. By hand: the \
             database that was live is {live} in '{}' ('ls -di' shows inodes) and belongs to 'etcd' there; copies of the \
             certificates and tokens are named in '{}'.",
            machine.site.etcd().parent().unwrap_or(&machine.site.data_dir).display(),
            machine.site.record_path().display(),
        ))
        .into()
}
