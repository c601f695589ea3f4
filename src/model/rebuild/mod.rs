// SPDX-License-Identifier: Apache-2.0
//! A rebuild of a server on a new machine: what is written, what a report tells of it, and what is recorded until it is done.

mod plan;
mod record;
mod report;

pub(crate) use plan::{FileFound, NewMachine, PlannedFile, RebuildPlan};
pub(crate) use record::RebuildRecord;
pub use report::{FileAction, RebuildFile, RebuildReport};
