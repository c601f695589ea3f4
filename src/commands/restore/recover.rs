// SPDX-License-Identifier: Apache-2.0
//! Finishes a restore that was interrupted: by a kill, a power cut, a reboot. It reads the state file and nothing else.
//!
//! [`recover_files`] changes files only, so that it can run before K3s at boot. [`recover`] does the same, and then starts
//! or stops K3s as the result needs it.

use anyhow::{Result, anyhow};

use super::context::Machine;
use super::failure::{rollback_failed, rolled_back};
use super::rollback::{note_restart, restart_previous, reverse_files};
use super::transaction::{clean_up, record_last_restore};
use crate::error::{Code, Fault};
use crate::host::{Active, Ready, ServerFiles};
use crate::model::report::Report;
use crate::model::restore::{Database, Operation, PriorState, Recovery, RestoreState, Stage};
use crate::model::restore_report::{K3sState, Recovered, Restore};
use crate::model::warning::WarningCode;

const INTERRUPTED: &str = "the restore was interrupted";

/// Recovers the files of an interrupted restore and unblocks the start of K3s. Starts nothing.
///
/// # Errors
/// [`Code::RolledBack`] if the exchange was reversed, so that this is heard; [`Code::RollbackFailed`] if the files cannot be
/// recovered: the start stays blocked.
pub fn recover_files(machine: &Machine, report: &mut Report) -> Result<()> {
    let Some(state) = machine.files.load_state()? else { return ensure_not_blocked(machine) };
    let recovered = recover_state(machine, &state, report)?;
    let found =
        format!("an interrupted {} of stage '{}' was found", state.operation.as_str(), state.stage.as_str());
    log::warn!("{found}: {}", recovered.describe());
    if recovered == Recovered::Kept && has_to_join(machine, &state) {
        // k3s-snapshot-recover-finish.service waits for that.
        return Ok(());
    }
    clean_up(machine, &state, report);
    if recovered != Recovered::RolledBack {
        return Ok(());
    }
    // At boot: systemd starts K3s, not this program.
    let what = format!("not {}, and rolled back: {INTERRUPTED}", state.operation.past_participle());
    let hint = "No data is lost. Run 'k3s-snapshot list' to see the snapshots, and restore again.";
    Err(Fault::new(Code::RolledBack, what).hint(hint).into())
}

/// Recovers the files of an interrupted restore, brings K3s to what it was doing, and waits for it.
///
/// # Errors
/// [`Code::RolledBack`] if the restore did not come to its end, [`Code::NotReady`] if it did and K3s is not ready.
pub fn recover(machine: &Machine, report: &mut Report) -> Result<()> {
    let Some(state) = machine.files.load_state()? else { return ensure_not_blocked(machine) };
    let was_blocked = machine.files.is_start_blocked_by(state.id)?;
    let recovered = recover_state(machine, &state, report)?;
    log::warn!("an interrupted {} was found: {}", state.operation.as_str(), recovered.describe());
    if recovered == Recovered::Kept {
        // If systemd does not take the request, the state file stays.
        machine.unit.start_if_down()?;
        let ready = go_forward(machine, &state, report);
        if ready.is_ok() || !has_to_join(machine, &state) {
            clean_up(machine, &state, report);
        }
        return ready;
    }
    if !has_to_start(machine, &state, recovered, was_blocked) {
        clean_up(machine, &state, report);
        machine.files.remove_created(&state);
        return Ok(());
    }
    let k3s = restart_previous(machine, &state, report);
    k3s.end(machine, &state, report);
    let why = state.rollback_reason.as_deref().unwrap_or(INTERRUPTED);
    Err(rolled_back(&state, why, k3s.result))
}

/// Whether K3s is down because of the interrupted restore. If it was started since, it was stopped by another program.
fn has_to_start(machine: &Machine, state: &RestoreState, recovered: Recovered, was_blocked: bool) -> bool {
    let is_unused = || {
        let live = machine.files.live_database();
        live.is_ok_and(|live| Database::is_unchanged(live.as_ref(), state.live_database.as_ref()))
    };
    match recovered {
        Recovered::Kept => false,
        Recovered::RolledBack => true,
        Recovered::CleanedUp => {
            (was_blocked || state.stage == Stage::Restarting && is_unused()) && !is_up(machine)
        }
    }
}

/// A marker without a state file was not left by a restore that was interrupted.
fn ensure_not_blocked(machine: &Machine) -> Result<()> {
    if !machine.files.is_start_blocked()? {
        // A process that is killed while it writes its first state leaves a draft of it.
        return machine.files.remove_state_drafts();
    }
    Err(Fault::new(
        Code::RestoreStateMissing,
        format!("the start of K3s is blocked, but '{}' does not exist", machine.files.state_path().display()),
    )
    .hint(format!(
        "Check that the database of K3s is the right one, then unblock the start with 'rm {}'.",
        machine.files.marker().display()
    ))
    .into())
}

/// Brings the files to one of the two good states and unblocks the start of K3s. The state file stays.
///
/// # Errors
/// [`Code::RollbackFailed`].
pub(super) fn recover_state(
    machine: &Machine,
    state: &RestoreState,
    report: &mut Report,
) -> Result<Recovered> {
    let data_dir = state.data_dir.display().to_string();
    let mut restore =
        Restore::new(state.operation, state.datastore, &state.unit, data_dir, state.previous_state);
    // How far each step came is not written down.
    restore.steps.clear();
    restore.runbook.clone_from(&state.runbook);
    report.restore = Some(restore);
    let recovered = recover_by_stage(machine, state, report).map_err(|e| {
        rollback_failed(machine, state, state.rollback_reason.as_deref().unwrap_or(INTERRUPTED), &e)
    })?;
    report.restore_mut().recovered = Some(recovered);
    if recovered == Recovered::Kept {
        record_last_restore(machine, state, report);
    }
    Ok(recovered)
}

fn recover_by_stage(machine: &Machine, state: &RestoreState, report: &mut Report) -> Result<Recovered> {
    let files = machine.files;
    let own_block = files.is_start_blocked_by(state.id)?;
    // A K3s that has been started since may have its data elsewhere by now.
    anyhow::ensure!(
        files.is_mounted(state)? || !own_block && files.live_database()?.is_some(),
        "the directory of databases of '{}' is missing or another one: its disk may not be mounted",
        files.data_dir.display()
    );
    let recovered = match state.stage.recovery() {
        Recovery::CleanUp => Recovered::CleanedUp,
        // If no database is live, K3s was not started yet: it would start an empty cluster.
        Recovery::RollForward if files.live_database()?.is_some() => Recovered::Kept,
        Recovery::RollForward | Recovery::RollBack => {
            let live = files.live_database()?;
            let untouched = files.is_untouched(state)?;
            // Without the block, K3s may have been started since. If no database is live, it was not started.
            if untouched && (own_block || live.is_none()) {
                reverse_files(machine, state, report)?;
                Recovered::RolledBack
            } else if Database::is_same(live.as_ref(), state.live_database.as_ref()) {
                Recovered::CleanedUp
            } else if live.is_some_and(|l| l.file.is_some()) && (!own_block || files.is_database_open()?) {
                // K3s was started since: the database is in use, or was in use.
                Recovered::Kept
            } else {
                return Err(anyhow!(
                    "another program has moved the databases in '{}'",
                    files.database_path().display()
                ));
            }
        }
    };
    if recovered == Recovered::RolledBack || own_block && recovered == Recovered::CleanedUp {
        note_restart(machine, state);
    }
    if own_block {
        files.unblock_start()?;
    }
    Ok(recovered)
}

/// Whether K3s still needs the URL of the other server: without it, and without a database, it starts an empty cluster.
fn has_to_join(machine: &Machine, state: &RestoreState) -> bool {
    let joined = || machine.etcd.look().is_ok_and(|l| l.has_leader() && !l.learner && l.members.len() > 1);
    state.operation == Operation::Rejoin && !joined()
}

/// Whether K3s runs or starts. A K3s that is still stopping was stopped by the restore.
fn is_up(machine: &Machine) -> bool {
    machine.unit.unit().is_ok_and(|u| !u.active.is_down() && u.active != Active::Deactivating)
}

/// K3s was started on the new database before the interruption: it has to serve.
fn go_forward(machine: &Machine, state: &RestoreState, report: &mut Report) -> Result<()> {
    let mut last = Ready::NoAnswer("the API server was not asked".to_owned());
    let ready = machine.poll_until(machine.timeouts.ready, || {
        last = machine.k3s.ready();
        machine.host.stop_requested()
            || matches!(last, Ready::Yes) && machine.unit.unit().is_ok_and(|u| u.active == Active::Active)
    }) && !machine.host.stop_requested();
    let restore = report.restore_mut();
    if ready {
        restore.k3s_state = Some(K3sState::Ready);
        return Ok(());
    }
    let etcd = machine.is_serving();
    restore.k3s_state = Some(if etcd { K3sState::EtcdOnly } else { K3sState::NotRunning });
    let what = format!(
        "{}, but the API server is not ready: {}",
        state.operation.past_participle(),
        machine.unit.fatal_message(state.id).unwrap_or_else(|| last.describe())
    );
    Err(Fault::new(Code::NotReady, what)
        .hint(format!("Check K3s with 'journalctl -u {}'.", state.unit))
        .into())
}

/// What a new operation does with the state of an earlier one: what is no longer needed is removed, what is half done is
/// finished, and the new operation ends.
///
/// # Errors
/// [`Code::RestoreInterrupted`] if an exchange had to be reversed.
pub(super) fn clear_left_over(machine: &Machine, report: &mut Report) -> Result<()> {
    let Some(state) = machine.files.load_state()? else { return ensure_not_blocked(machine) };
    // In the middle of an exchange, the disk does not show which datastore it is.
    let files = ServerFiles { datastore: state.datastore, ..machine.files.clone() };
    let machine = &Machine { files: &files, ..*machine };
    let was_blocked = machine.files.is_start_blocked_by(state.id)?;
    let recovered = recover_state(machine, &state, report)?;
    report.warn(
        WarningCode::RestoreInterrupted,
        format!("an earlier {} was interrupted: {}", state.operation.as_str(), recovered.describe()),
    );
    // What was stopped before the earlier operation is stopped for this one, too.
    let is_as_before = recovered != Recovered::RolledBack && state.previous_state == PriorState::Stopped;
    if is_as_before || !has_to_start(machine, &state, recovered, was_blocked) {
        clean_up(machine, &state, report);
        report.restore = None;
        return Ok(());
    }
    let k3s = restart_previous(machine, &state, report);
    k3s.end(machine, &state, report);
    let what =
        "an earlier restore was interrupted and has now been rolled back; the new restore was not started";
    let fault = Fault::new(Code::RestoreInterrupted, what)
        .hint("Check K3s with 'kubectl get nodes', then run the command again.");
    match k3s.result {
        Ok(_) => Err(fault.into()),
        Err(e) => Err(e.context("an earlier restore was rolled back").context(fault)),
    }
}
