// SPDX-License-Identifier: Apache-2.0
//! The steps of a restore: stable words, what each does, and how it is rolled back.

use serde::{Serialize, Serializer};

use super::operation::Operation;
use crate::datastore::Datastore;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepId {
    /// K3s makes the new database aside.
    Prepare,
    /// The new database is compared with what it was made from.
    VerifyNew,
    /// Revisions are raised above those of the present cluster.
    RaiseRevisions,
    /// The new member gets a cluster id of its own.
    Fence,
    /// K3s is started aside on a copy of the new database.
    Rehearse,
    /// The present state is saved.
    PreRestoreSave,
    /// The start of K3s is blocked.
    BlockStart,
    /// K3s is stopped.
    Stop,
    /// The databases are exchanged.
    Swap,
    /// K3s is started.
    Start,
    /// The running etcd is asked for the data.
    Verify,
    /// The API server is ready.
    WaitReady,
}

/// The steps of an operation, in order.
pub fn steps_of(operation: Operation, datastore: Datastore) -> &'static [StepId] {
    use StepId::{
        BlockStart, Fence, PreRestoreSave, Prepare, RaiseRevisions, Rehearse, Start, Stop, Swap, Verify,
        VerifyNew, WaitReady,
    };
    match operation {
        Operation::Restore if datastore == Datastore::Sqlite => &[
            Prepare,
            RaiseRevisions,
            VerifyNew,
            Rehearse,
            PreRestoreSave,
            BlockStart,
            Stop,
            Swap,
            Start,
            Verify,
            WaitReady,
        ],
        Operation::Restore => &[
            Prepare,
            VerifyNew,
            RaiseRevisions,
            Fence,
            Rehearse,
            PreRestoreSave,
            BlockStart,
            Stop,
            Swap,
            Start,
            Verify,
            WaitReady,
        ],
        Operation::ClusterReset => &[
            PreRestoreSave,
            BlockStart,
            Stop,
            Prepare,
            VerifyNew,
            RaiseRevisions,
            Fence,
            Swap,
            Start,
            Verify,
            WaitReady,
        ],
        Operation::Rejoin => &[BlockStart, Stop, Swap, Start, Verify, WaitReady],
    }
}

impl StepId {
    /// The stable word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            StepId::Prepare => "prepare",
            StepId::VerifyNew => "verify-new",
            StepId::RaiseRevisions => "raise-revisions",
            StepId::Fence => "fence",
            StepId::Rehearse => "rehearse",
            StepId::PreRestoreSave => "pre-restore-save",
            StepId::BlockStart => "block-start",
            StepId::Stop => "stop",
            StepId::Swap => "swap",
            StepId::Start => "start",
            StepId::Verify => "verify",
            StepId::WaitReady => "wait-ready",
        }
    }

    /// What it does, for people.
    pub fn description(self, operation: Operation, datastore: Datastore) -> &'static str {
        use Operation::{ClusterReset, Rejoin};
        if datastore == Datastore::Sqlite
            && let Some(text) = self.description_of_sqlite()
        {
            return text;
        }
        match (self, operation) {
            (StepId::Prepare, ClusterReset) => {
                "reset a copy of the database to a cluster of this server only"
            }
            (StepId::Prepare, _) => "create the new database aside (k3s server --cluster-reset)",
            (StepId::VerifyNew, ClusterReset) => "compare the new database with the present one",
            (StepId::VerifyNew, _) => "compare the new database with the snapshot",
            (StepId::RaiseRevisions, _) => "raise the revisions, so that every client lists again",
            (StepId::Fence, _) => "give the new member a cluster id of its own",
            (StepId::Rehearse, _) => "start K3s aside on a copy of the new database",
            (StepId::PreRestoreSave, _) => "save the present state as pre-restore",
            (StepId::BlockStart, _) => "block the start of K3s",
            (StepId::Stop, _) => "stop K3s",
            (StepId::Swap, Rejoin) => "rename the database to etcd-old-<time>",
            (StepId::Swap, _) => "rename the database to etcd-old-<time> and put the new one in its place",
            (StepId::Start, Rejoin) => "start K3s, which joins with an empty database",
            (StepId::Start, _) => "start K3s",
            (StepId::Verify, Rejoin) => "wait until etcd is a voting member (point of no return)",
            (StepId::Verify, _) => "check that etcd serves the data (point of no return)",
            (StepId::WaitReady, _) => "wait until the API server is ready",
        }
    }

    /// What it does with a database of SQLite, if that differs.
    fn description_of_sqlite(self) -> Option<&'static str> {
        Some(match self {
            StepId::Prepare => "create the new database aside, a copy of the snapshot",
            StepId::Swap => {
                "move the files of the database to sqlite-old-<time> and put the new one in its place"
            }
            StepId::Verify => "check that K3s writes to the new database (point of no return)",
            _ => return None,
        })
    }

    /// How it is rolled back, for people; `none` if there is nothing to roll back.
    pub fn undo(self, datastore: Datastore) -> &'static str {
        match self {
            StepId::Swap if datastore == Datastore::Sqlite => {
                "move the files back; the new database is kept as sqlite-failed-<time>"
            }
            StepId::Prepare => "delete the scratch directory",
            StepId::BlockStart => "unblock the start",
            StepId::Stop => "start K3s, if it was running",
            StepId::Swap => "rename both back; the new database is kept as etcd-failed-<time>",
            StepId::Start => "stop K3s, then as for swap",
            StepId::PreRestoreSave => "the snapshot is kept",
            _ => "none",
        }
    }
}

impl Serialize for StepId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It is still to be done.
    Planned,
    /// It is left out.
    Skipped,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was done, and was rolled back.
    RolledBack,
}

impl StepState {
    /// The word for tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            StepState::Planned => "planned",
            StepState::Skipped => "skipped",
            StepState::Done => "done",
            StepState::Failed => "failed",
            StepState::RolledBack => "rolled-back",
        }
    }
}
