// SPDX-License-Identifier: Apache-2.0
//! The errors of a restore that was rolled back, and of one that could not be.

use anyhow::Result;

use super::context::Machine;
use crate::datastore::Datastore;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::model::restore::{PriorState, RestoreState, Stage};
use crate::model::restore_report::K3sState;

/// The error of a run that was rolled back: what happened, and what K3s does now.
pub(super) fn rolled_back(state: &RestoreState, why: &str, k3s: Result<K3sState>) -> anyhow::Error {
    let (now, hint) = match k3s {
        Ok(K3sState::Ready) => (
            "K3s serves what it served before".to_owned(),
            "No data is lost. Run 'k3s-snapshot list' to see other snapshots.".to_owned(),
        ),
        Ok(_) if state.previous_state == PriorState::Stopped => (
            "its files are as they were, and K3s is stopped as before".to_owned(),
            "No data is lost. Run 'k3s-snapshot list' to see other snapshots.".to_owned(),
        ),
        Ok(_) => (
            "its files are as they were, and K3s was started again; it was not ready before".to_owned(),
            format!("No data is lost. Check K3s with 'journalctl -u {}'.", state.unit),
        ),
        Err(e) => (
            format!("its files are as they were, but K3s does not serve yet: {e:#}"),
            format!(
                "No data is lost. Check K3s with 'journalctl -u {0}'. If it is down, start it with 'systemctl start {0}'.",
                state.unit
            ),
        ),
    };
    let what = format!("not {}, and rolled back: {why}; {now}", state.operation.past_participle());
    Fault::new(Code::RolledBack, what).hint(hint).into()
}

/// The error of a rollback that failed: everything stays as it is. `state` is what was written down last.
pub(super) fn rollback_failed(
    machine: &Machine,
    state: &RestoreState,
    why: &str,
    e: &anyhow::Error,
) -> anyhow::Error {
    let (kind, name) = match state.datastore {
        Datastore::Etcd => ("directory", "etcd"),
        Datastore::Sqlite => ("file", distribution::SQLITE_FILE),
    };
    let live = match state.live_database {
        Some(live) => format!("the {kind} with inode {}", live.directory.ino),
        None => "absent: there was no database".to_owned(),
    };
    let files = machine.files;
    // Unknown counts as blocked: the hint is the same.
    let blocked = match files.is_start_blocked_by(state.id) {
        Ok(false) => "is not blocked",
        _ => "is blocked",
    };
    let next = match state.stage {
        // K3s may have served the new database, so a later process never reverses that.
        Stage::Starting => format!(
            "K3s was started on the new database, and the databases were not renamed back. To keep the new database, run \
             'k3s-snapshot restore --recover'. To return to the previous one: stop {} first.",
            state.unit
        ),
        _ => "Remove the cause of the second error, then run 'k3s-snapshot restore --recover' to continue."
            .to_owned(),
    };
    Fault::new(
        Code::RollbackFailed,
        format!("{why}; and rolling back failed: {e:#}; the start of {} {blocked}", state.unit),
    )
    .hint(format!(
        "{next} By hand: the previous database is {live} in '{}' or in '{}' ('ls -di' shows inodes) and must be named '{name}' \
         in the former; '{}' names the copies of the other files.",
        files.database_path().parent().unwrap_or(&files.data_dir).display(),
        files.old_database(state).display(),
        files.state_path().display(),
    ))
    .into()
}
