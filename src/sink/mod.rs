// SPDX-License-Identifier: Apache-2.0
//! Who hears what a run has to say. The only folder that prints.

pub mod bar;
pub mod log;
pub mod stdout;

use crate::model::report::Report;

/// Hears the final report. Never fails a run: a reader that is gone is no reason to call a save failed.
pub trait Sink {
    /// Says it.
    fn emit(&self, report: &Report);
}
