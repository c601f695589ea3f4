// SPDX-License-Identifier: Apache-2.0
//! The metrics of a run and of the state after it, as values. `output/metrics.rs` makes their text.

mod family;
mod run;
mod state;

pub use family::{FAMILIES, Family, Sample};
pub use run::{Run, samples_of_run};
pub use state::{State, samples_of_skip, samples_of_state};
