// SPDX-License-Identifier: Apache-2.0
//! Where a snapshot comes from. Another datastore, or another way to read one, is another file here.

pub mod etcd;
pub mod intake;
mod trouble;

use anyhow::Result;

use crate::host::{Draft, Progress};
use crate::model::snapshot::Digest;

/// Something that can fill a draft with a snapshot. It proves nothing: that is `inspect`'s work.
pub trait Source {
    /// Fills the draft. `room` is told the expected size once, before any byte; its error ends the fill.
    fn fill(
        &self,
        draft: &Draft,
        room: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<Captured>;
}

/// What the source knows of the bytes it gave.
#[derive(Debug)]
pub struct Captured {
    /// Bytes, trailer included.
    pub bytes: u64,
    /// SHA-256 of all of them.
    pub sha256: Digest,
    /// Version of the server.
    pub version: String,
    /// Where it was reached.
    pub endpoint: String,
    /// The revision that had been acknowledged before the first byte, or why nobody could tell.
    pub asked: Result<i64, String>,
    /// etcd's alarms, each once: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
    /// Whether the member knew a leader.
    pub has_leader: bool,
}
