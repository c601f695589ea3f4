// SPDX-License-Identifier: Apache-2.0
//! The part of a report that is the restore: the plan, then how each step ended.

use serde::Serialize;

use super::action::Action;
use super::restore::{Operation, PriorState, StepId, StepState, steps_of};
use super::runbook::Task;
use crate::datastore::Datastore;

/// A restore, planned and done.
#[derive(Debug, Clone, Serialize)]
pub struct Restore {
    /// `restore`, `cluster-reset` or `rejoin`.
    pub operation: Operation,
    /// `etcd` or `sqlite`: the datastore of this server.
    pub datastore: Datastore,
    /// The K3s unit.
    pub unit: String,
    /// Data directory of K3s.
    pub data_dir: String,
    /// The version that the installed K3s prints.
    pub k3s_version: Option<String>,
    /// The newest K3s among the nodes of the snapshot, if it names any.
    pub snapshot_version: Option<String>,
    /// `running`, `stopped` or `failing`: what K3s was doing before.
    pub previous_state: PriorState,
    /// The revision of etcd before, if it answered.
    pub live_revision: Option<i64>,
    /// How many revisions are lost: those after the snapshot.
    pub lost_revisions: Option<i64>,
    /// Age of the snapshot in seconds; `None` if it is dated in the future.
    pub age_s: Option<u64>,
    /// Whether the token of this server opens the snapshot: `verified`, `not-needed`, `unverified`.
    pub token: TokenCheck,
    /// Other members of the etcd cluster, with their addresses.
    pub others: Vec<String>,
    /// What is to be done on the other machines, in this order.
    pub runbook: Vec<Task>,
    /// The server that is joined.
    pub server: Option<String>,
    /// Why the plan may not be carried out; only in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// The revision of the new database as K3s made it.
    pub revision_before: Option<i64>,
    /// The revision to which it was raised.
    pub revision_after: Option<i64>,
    /// The snapshot of the present state; `None` if it was not saved.
    pub safety_snapshot: Option<String>,
    /// Where the previous database is kept.
    pub old_database: Option<String>,
    /// Where a new database is kept that was discarded.
    pub failed_database: Option<String>,
    /// What was done with the files of an interrupted restore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Recovered>,
    /// What K3s does now: `ready`, `etcd-only`, `not-running`.
    pub k3s_state: Option<K3sState>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// From the moment K3s was asked to stop until it served again, milliseconds.
    pub downtime_ms: Option<u64>,
    /// The part of K3s: its stop and its start.
    pub k3s_ms: Option<u64>,
    /// The part of this program.
    pub own_ms: Option<u64>,
}

/// Whether a token is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenCheck {
    /// It opens the bootstrap data, or the other server accepts it.
    Verified,
    /// The snapshot holds no bootstrap data.
    NotNeeded,
    /// It was not checked.
    Unverified,
}

impl TokenCheck {
    /// The word for people and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenCheck::Verified => "verified",
            TokenCheck::NotNeeded => "not needed",
            TokenCheck::Unverified => "not verified",
        }
    }
}

/// What K3s does at the end of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum K3sState {
    /// Its API server is ready.
    Ready,
    /// The datastore serves; the API server is not ready yet.
    EtcdOnly,
    /// It does not serve.
    NotRunning,
}

/// What was done with the files of an interrupted restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recovered {
    /// The files of K3s are those from before the restore. What it had prepared is deleted.
    CleanedUp,
    /// The exchange was reversed.
    RolledBack,
    /// K3s may have served the restored data: its files are left as they are.
    Kept,
}

impl Recovered {
    /// What it means, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Recovered::CleanedUp => "the files of K3s are as they were; what was prepared is deleted",
            Recovered::RolledBack => "its exchange of files was reversed; K3s starts as it was",
            Recovered::Kept => "K3s was started since, so its files are left as they are",
        }
    }
}

/// One step of a restore.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// A stable word.
    pub name: StepId,
    /// What it does.
    pub description: &'static str,
    /// How it is rolled back.
    pub undo: &'static str,
    /// `planned`, `skipped`, `done`, `failed` or `rolled-back`.
    pub state: StepState,
    /// How long it took, milliseconds.
    pub ms: Option<u64>,
}

/// A database that a restore has left.
#[derive(Debug, Clone, Serialize)]
pub struct OldDatabase {
    /// Its directory.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// `keep` or `remove`.
    pub action: Action,
    /// Whether it was deleted; `None` if that was not planned.
    pub deleted: Option<bool>,
}

impl Restore {
    /// The plan of an operation: nothing is done yet.
    pub fn new(
        operation: Operation,
        datastore: Datastore,
        unit: &str,
        data_dir: String,
        previous_state: PriorState,
    ) -> Restore {
        let planned = |id: &StepId| Step {
            name: *id,
            description: id.description(operation, datastore),
            undo: id.undo(datastore),
            state: StepState::Planned,
            ms: None,
        };
        Restore {
            operation,
            datastore,
            unit: unit.to_owned(),
            data_dir,
            k3s_version: None,
            snapshot_version: None,
            previous_state,
            live_revision: None,
            lost_revisions: None,
            age_s: None,
            token: TokenCheck::Unverified,
            others: vec![],
            runbook: vec![],
            server: None,
            refusals: vec![],
            revision_before: None,
            revision_after: None,
            safety_snapshot: None,
            old_database: None,
            failed_database: None,
            recovered: None,
            k3s_state: None,
            steps: steps_of(operation, datastore).iter().map(planned).collect(),
            downtime_ms: None,
            k3s_ms: None,
            own_ms: None,
        }
    }

    /// Records how a step ended, with its time in milliseconds.
    pub fn set_step(&mut self, id: StepId, state: StepState, ms: Option<u64>) {
        if let Some(step) = self.steps.iter_mut().find(|s| s.name == id) {
            step.state = state;
            step.ms = ms.or(step.ms);
        }
    }

    /// How far a step is; `None` if the operation has no such step.
    pub fn step_state(&self, id: StepId) -> Option<StepState> {
        self.steps.iter().find(|s| s.name == id).map(|s| s.state)
    }

    /// Whether nothing was done yet.
    pub fn is_plan(&self) -> bool {
        self.recovered.is_none()
            && self.steps.iter().all(|s| matches!(s.state, StepState::Planned | StepState::Skipped))
    }

    /// Whether etcd serves the new data: then the other machines must follow.
    pub fn is_restored(&self) -> bool {
        self.recovered == Some(Recovered::Kept) || self.step_state(StepId::Verify) == Some(StepState::Done)
    }

    /// Records that what was done was rolled back.
    pub fn mark_rolled_back(&mut self) {
        let done = self.steps.iter_mut().filter(|s| s.state == StepState::Done);
        for step in done.filter(|s| s.name != StepId::PreRestoreSave) {
            step.state = StepState::RolledBack;
        }
    }
}
