// SPDX-License-Identifier: Apache-2.0
//! Who hears what a run has to say. The only folder that prints.

pub mod ask;
pub mod bar;
pub mod journal;
pub mod kmsg;
pub mod log;
mod runbook;
pub mod stdout;
