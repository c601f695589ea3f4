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
        let before = self.state.stage;
        if let Err(e) = self.reverse() {
            self.record_downtime(None);
            return rollback_failed(machine, &self.state, &why, &e);
        }
        let was_started = before == Stage::Starting;
        if was_started && self.report.restore_mut().revision_after.is_some() {
            self.report.warn(
                WarningCode::RevisionsTakenBack,
                "K3s ran on the new database, whose revisions were raised, until it was rolled back: if pods on other machines \
                 do not follow the cluster, restart K3s there with 'systemctl restart k3s-agent' or 'systemctl restart k3s'",
            );
        }
        self.report.restore_mut().mark_rolled_back();
        let k3s = restart_previous(machine, &self.state, self.report);
        self.record_downtime(None);
        k3s.end(machine, &self.state, self.report);
        rolled_back(&self.state, &why, k3s.result)
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
                // K3s has written to it since. etcd does not sync the time of a change, and a later process compares it.
                if let Err(e) = files.sync() {
                    log::warn!("{e:#}");
                }
                self.state.new_database = files.live_database()?;
            }
            self.set_stage(Stage::RollingBack)?;
            reverse_files(machine, &self.state, self.report)?;
        }
        self.state = note_restart(machine, &self.state);
        files.unblock_start()
    }
}

/// Writes down that K3s is down and has to be started on the live database, as soon as that is unblocked. Without it, a
/// process that is killed in between leaves K3s stopped.
pub(super) fn note_restart(machine: &Machine, state: &RestoreState) -> RestoreState {
    let now = RestoreState {
        stage: Stage::Restarting,
        live_database: machine.files.live_database().unwrap_or(state.live_database),
        ..state.clone()
    };
    match machine.files.save_state(&now) {
        Ok(()) => now,
        Err(e) => {
            // On a full disk, K3s is started anyway.
            log::warn!("{e:#}");
            state.clone()
        }
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

/// How the start of K3s went after a rollback.
pub(super) struct Restart {
    /// What K3s does now; or why it does not serve.
    pub(super) result: Result<K3sState>,
    /// Whether K3s is to be stopped as before, or systemd has taken the request to start it.
    accepted: bool,
}

impl Restart {
    /// Removes everything that the restore needed or created. If systemd did not take the request to start K3s, all of it
    /// stays: a later process finds the state file and starts K3s.
    pub(super) fn end(&self, machine: &Machine, state: &RestoreState, report: &mut Report) {
        if self.accepted {
            clean_up(machine, state, report);
            machine.files.remove_created(state);
        }
    }
}

/// Brings K3s to what it was doing, and waits until it serves again if it did before.
pub(super) fn restart_previous(machine: &Machine, state: &RestoreState, report: &mut Report) -> Restart {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (accepted, result) = match state.previous_state {
        PriorState::Stopped => (true, Ok(K3sState::NotRunning)),
        _ => match start_previous(machine) {
            Ok(()) => (true, wait_for_previous(machine, state, since, report)),
            Err(e) => (false, Err(e)),
        },
    };
    report.restore_mut().k3s_state = Some(match &result {
        Ok(k3s) => *k3s,
        Err(_) if machine.is_serving() => K3sState::EtcdOnly,
        Err(_) => K3sState::NotRunning,
    });
    Restart { result, accepted }
}

fn start_previous(machine: &Machine) -> Result<()> {
    machine.progress.step("starting K3s as it was", None);
    // A stop that took too long may still be going on.
    machine.poll_until(machine.timeouts.stop, || {
        machine.unit.unit().is_ok_and(|u| u.active != Active::Deactivating)
    });
    machine.unit.start_if_down()
}

fn wait_for_previous(
    machine: &Machine,
    state: &RestoreState,
    since: u64,
    report: &mut Report,
) -> Result<K3sState> {
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
