// SPDX-License-Identifier: Apache-2.0
//! The only layer that prints: results on standard output, the log, the journal, progress and prompts.

pub mod escape;
pub mod journal;
mod kit;
pub mod kmsg;
pub mod log;
pub mod metrics;
pub mod ping;
pub mod plan;
pub mod progress_bar;
pub mod prompt;
mod rebuild;
pub mod render;
mod runbook;
mod status;
pub mod table;
