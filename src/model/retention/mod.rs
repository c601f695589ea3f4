// SPDX-License-Identifier: Apache-2.0
//! Retention: which snapshots are kept, which are deleted, and why.
//!
//! Pure: a listing, a policy and the time give a plan with reasons. Nothing is deleted that the plan does not remove. `group`
//! applies the policy to one series of snapshots, with the guards that keep more than the policy does.

mod cluster;
mod decision;
mod deletion;
mod group;
mod plan;
mod policy;
mod selection;
#[cfg(test)]
mod tests;

pub use cluster::{ClusterScope, last_saved_cluster, of_own_cluster};
pub use decision::{Decision, Keep, Remove, Unmatched};
pub use deletion::{check_name, last_verified_lost};
pub use plan::{Plan, PlannedAction, PruneInput, apply_policy};
pub use policy::{Location, Policies, Policy, Rule};
pub use selection::Selection;
