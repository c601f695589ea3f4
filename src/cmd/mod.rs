// SPDX-License-Identifier: Apache-2.0
//! The verbs: gather, decide, do, report. One file each.
//!
//! To add one: a file here, its arguments in `cli.rs`, its wiring in `wire.rs`, ten lines in `bin/`. A verb sees
//! traits, `model` and `inspect`; never a concrete store or source, never the clock.

mod examine;
pub mod fetch;
pub mod list;
pub mod save;
pub mod send;
mod take;
pub mod verify;
