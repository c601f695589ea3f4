// SPDX-License-Identifier: Apache-2.0
//! Who hears what a run has to say. The only folder that prints.

pub mod journal;
pub mod kmsg;
pub mod log;
pub mod progress_bar;
pub mod prompt;
pub mod render;
mod runbook;
