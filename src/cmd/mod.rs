// SPDX-License-Identifier: Apache-2.0
//! The verbs: gather, decide, do, report. One file each.
//!
//! To add one: a file here, its arguments in `cli/`, its wiring in `wire/`, ten lines in `bin/`. A verb sees
//! traits, `model` and `inspect`; never a concrete store or source, never the clock.

pub mod delete;
mod examine;
pub mod fetch;
pub mod list;
pub mod prune;
pub mod restore;
pub mod save;
pub mod send;
mod take;
mod verdict;
pub mod verify;
