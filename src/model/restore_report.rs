// SPDX-License-Identifier: Apache-2.0
//! What a restore has to say beyond its snapshot: the plan, then how each step of it went.

use serde::Serialize;

use super::restore::{Operation, PriorState};
use super::runbook::Task;

/// A restore, planned and done.
#[derive(Debug, Clone, Serialize)]
pub struct Restore {
    /// `restore`, `reset-only` or `rejoin`.
    pub operation: &'static str,
    /// K3s's unit.
    pub unit: String,
    /// Its data-dir.
    pub data_dir: String,
    /// The node's K3s, as it says of itself.
    pub k3s_version: Option<String>,
    /// The newest K3s among the snapshot's nodes, where it names any.
    pub snapshot_version: Option<String>,
    /// `running`, `down` or `broken`: what K3s was doing before.
    pub previous_state: &'static str,
    /// etcd's revision before, where it answered.
    pub live_revision: Option<i64>,
    /// How many revisions are given up: those after the snapshot.
    pub lost_revisions: Option<i64>,
    /// How old the snapshot is, in seconds: what was written since is given up.
    pub age_s: u64,
    /// Whether the token of this server opens the snapshot: `proven`, or why that is not known.
    pub token: String,
    /// The other members of etcd's cluster, whose data has to be moved aside before they join again.
    pub others: Vec<String>,
    /// What is to be done on the other machines, before and after, in this order.
    pub runbook: Vec<Task>,
    /// The server that is joined again.
    pub server: Option<String>,
    /// What was live before, as a snapshot; `None` where it was not saved.
    pub safety_snapshot: Option<String>,
    /// Where K3s left the database that was live.
    pub old_database: Option<String>,
    /// Where a new database lies that was given up.
    pub failed_database: Option<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// From the moment K3s was asked to stop until it served again, milliseconds.
    pub downtime_ms: Option<u64>,
    /// What of that was K3s's own: its stop, its reset, its start.
    pub k3s_ms: Option<u64>,
    /// The rest: ours.
    pub own_ms: Option<u64>,
}

/// One step of a restore.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// A stable word.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// What undoes it.
    pub undo: &'static str,
    /// `planned`, `skipped`, `done`, `failed` or `undone`.
    pub state: &'static str,
    /// How long it took, milliseconds.
    pub ms: Option<u64>,
}

/// A database that a restore has left behind.
#[derive(Debug, Clone, Serialize)]
pub struct OldDatabase {
    /// Its folder.
    pub path: String,
    /// How much room it takes.
    pub bytes: u64,
    /// `keep` or `remove`.
    pub action: &'static str,
    /// Whether it was deleted; `None` where that was not to be.
    pub deleted: Option<bool>,
}

impl Restore {
    /// The plan of a restore: nothing is done yet.
    pub fn new(unit: &str, data_dir: String, was: PriorState) -> Restore {
        Restore::of(Operation::Restore, unit, data_dir, was)
    }

    /// The same of any deed.
    pub fn of(deed: Operation, unit: &str, data_dir: String, was: PriorState) -> Restore {
        let planned = |s: &super::restore::Step| Step {
            name: s.name,
            description: s.description,
            undo: s.undo,
            state: "planned",
            ms: None,
        };
        Restore {
            operation: deed.as_str(),
            unit: unit.to_owned(),
            data_dir,
            k3s_version: None,
            snapshot_version: None,
            previous_state: was.as_str(),
            live_revision: None,
            lost_revisions: None,
            age_s: 0,
            token: String::new(),
            others: vec![],
            runbook: vec![],
            server: None,
            safety_snapshot: None,
            old_database: None,
            failed_database: None,
            steps: deed.steps().iter().map(planned).collect(),
            downtime_ms: None,
            k3s_ms: None,
            own_ms: None,
        }
    }

    /// Notes how a step went.
    pub fn step(&mut self, name: &str, state: &'static str, ms: Option<u64>) {
        if let Some(step) = self.steps.iter_mut().find(|s| s.name == name) {
            step.state = state;
            step.ms = ms.or(step.ms);
        }
    }

    /// Whether K3s serves the snapshot's data: then the other machines have to follow.
    pub fn is_restored(&self) -> bool {
        self.steps.iter().any(|s| s.name == "verify" && s.state == "done")
    }

    /// Notes that what was done is undone.
    pub fn mark_rolled_back(&mut self) {
        for step in self.steps.iter_mut().filter(|s| s.state == "done" && s.name != "pre-restore-save") {
            step.state = "undone";
        }
    }
}
