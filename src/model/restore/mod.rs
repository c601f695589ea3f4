// SPDX-License-Identifier: Apache-2.0
//! A restore as values: its operations, its steps, and the state file that an interrupted one leaves.

mod last;
mod operation;
mod state;
mod steps;

pub use last::{LAST_VERSION, LastRestore, MissingServer};
pub use operation::Operation;
pub use state::{
    Backup, Database, Fingerprint, Identity, PriorState, Recovery, RestoreState, STATE_VERSION, SnapshotRef,
    Stage,
};
pub use steps::{StepId, StepState, steps_of};
