// SPDX-License-Identifier: Apache-2.0
//! The verbs: gather, decide, do, report. One file each.
//!
//! To add one: a file here, its arguments in `cli/`, its wiring in `wire/`, ten lines in `bin/`. A verb sees
//! traits, `model` and `inspect`; never a concrete store or source, never the clock.

mod capture;
mod check;
pub mod delete;
pub mod fetch;
pub mod list;
pub mod prune;
pub mod restore;
pub mod save;
pub mod upload;
pub mod verify;
mod verify_result;
