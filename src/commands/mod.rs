// SPDX-License-Identifier: Apache-2.0
//! The commands, one per file: gather, decide, act, report. They see traits and pure values, never a concrete adapter.

mod authenticity;
mod capture;
mod check;
pub mod check_s3;
pub mod delete;
mod extra_metadata;
pub mod fetch;
pub(crate) mod kit;
pub mod list;
mod offline;
mod pending;
pub mod prune;
pub(crate) mod rebuild;
pub mod rejoined;
mod removal;
pub mod restore;
pub mod save;
pub mod status;
pub mod upload;
pub mod verify;
mod verify_result;
mod zipped;
