// SPDX-License-Identifier: Apache-2.0
//! The rollback: the same renames backwards, and K3s in its previous state. If the rollback fails too, the start of K3s stays
//! blocked and nothing else is changed.

use anyhow::{Context as _, Result, anyhow};

use super::context::Machine;
use super::failure::{rollback_failed, rolled_back};
use super::transaction::{Transaction, clean_up};
use crate::host::{Active, Ready};
use crate::model::report::Report;
use crate::model::restore::{PriorState, RestoreState, Stage};
use crate::model::restore_report::K3sState;
use crate::model::warning::WarningCode;

impl Transaction<'_> {
    /// Reverses everything, waits until K3s is as it was, and returns the error of the run.
    pub(super) fn roll_back(&mut self, why: anyhow::Error) -> anyhow::Error {
        let why = format!("{why:#}");
        let machine = self.cx.machine;
        log::error!("{why}; rolling back");
        machine.progress.step("rolling back", None);
        self.state.rollback_reason = Some(why.clone());
        if let Err(e) = self.reverse() {
            self.record_downtime(None);
            return rollback_failed(machine, &self.state, &why, &e);
        }
        self.report.restore_mut().mark_rolled_back();
        let k3s = restart_previous(machine, &self.state, self.report);
        self.record_downtime(None);
        clean_up(machine, &self.state, self.report);
        machine.files.remove_created(&self.state);
        rolled_back(&self.state, &why, k3s)
    }

    fn reverse(&mut self) -> Result<()> {
        let machine = self.cx.machine;
        let files = machine.files;
        // A full disk must not keep the state file from being written: what is not needed any more goes first.
        let _ = files.scratch().free_space();
        let _ = files.release_space();
        if self.state.stage == Stage::Starting {
            // Until K3s is down again, a later process would go forward.
            files.block_again(self.state.id)?;
            self.blocked = true;
            machine.unit.stop(machine.timeouts.stop)?;
        }
        if self.state.stage != Stage::Preparing {
            machine.wait_until_idle()?;
            if self.state.stage == Stage::Starting {
                // K3s has written to it since.
                self.state.new_database = files.live_database()?;
            }
            self.set_stage(Stage::RollingBack)?;
            reverse_files(machine, &self.state, self.report)?;
        }
        files.unblock_start()
    }
}

/// Reverses the exchange on the disk. Can be repeated at any point.
///
/// # Errors
/// If a file cannot be renamed back.
pub(super) fn reverse_files(machine: &Machine, state: &RestoreState, report: &mut Report) -> Result<()> {
    let files = machine.files;
    let failed = files.swap_back(state).context("renaming the databases back")?;
    files.restore_backups(state)?;
    files.sync()?;
    let restore = report.restore_mut();
    restore.failed_database =
        failed.map(|path| path.display().to_string()).or(restore.failed_database.take());
    restore.old_database = None;
    Ok(())
}

/// Brings K3s to what it was doing, and waits until it serves again if it did before.
///
/// # Errors
/// If it does not; with K3s's own reason.
pub(super) fn restart_previous(
    machine: &Machine,
    state: &RestoreState,
    report: &mut Report,
) -> Result<K3sState> {
    let result = restart(machine, state, report);
    report.restore_mut().k3s_state = Some(match &result {
        Ok(k3s) => *k3s,
        Err(_) if machine.is_serving() => K3sState::EtcdOnly,
        Err(_) => K3sState::NotRunning,
    });
    result
}

fn restart(machine: &Machine, state: &RestoreState, report: &mut Report) -> Result<K3sState> {
    if state.previous_state == PriorState::Stopped {
        return Ok(K3sState::NotRunning);
    }
    machine.progress.step("starting K3s as it was", None);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    // A stop that took too long may still be going on.
    machine.poll_until(machine.timeouts.stop, || {
        machine.unit.unit().is_ok_and(|u| u.active != Active::Deactivating)
    });
    if machine.unit.unit()?.active.is_down() {
        machine.unit.reset_failed()?;
        machine.unit.start()?;
    }
    if state.previous_state == PriorState::Failing {
        report.warn(
            WarningCode::PreviousStateKept,
            "K3s did not run properly before the restore; it was started again on its previous database",
        );
    }
    if !state.was_ready {
        // There is no more to wait for than there was before.
        return Ok(K3sState::NotRunning);
    }
    let mut last = Ready::NoAnswer("the API server was not asked".to_owned());
    let ready = machine.poll_until(machine.timeouts.ready, || {
        last = machine.k3s.ready();
        matches!(last, Ready::Yes) && machine.unit.unit().is_ok_and(|u| u.active == Active::Active)
    });
    if ready {
        return Ok(K3sState::Ready);
    }
    let reason = machine.unit.fatal_message(since).unwrap_or_else(|| last.describe());
    Err(anyhow!("after {} s its API server is not ready: {reason}", machine.timeouts.ready.as_secs()))
}
