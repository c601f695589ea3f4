// SPDX-License-Identifier: Apache-2.0
//! systemd over the system bus. The only directory that imports the bus, and one of two places with an async runtime: one
//! `block_on` for each call, nothing kept between calls.

mod bus;
mod error;
mod jobs;
mod journal;
mod service;

pub use jobs::jobs;
pub use service::{Systemd, definition, find, move_to_scope};
