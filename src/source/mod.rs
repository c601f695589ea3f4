// SPDX-License-Identifier: Apache-2.0
//! Where a snapshot comes from. Another datastore, or another way to read one, is another file here.

pub mod clone;
pub mod etcd;
pub mod intake;
mod trouble;

use anyhow::Result;

use crate::error::Fault;
use crate::host::{Draft, Progress};
use crate::model::method::Method;
use crate::model::snapshot::Digest;

/// Something that can fill a draft with a snapshot. It proves nothing: that is `inspect`'s work.
pub trait Source {
    /// Fills the draft. `room` is told the expected size once, before any byte; its error ends the fill.
    fn fill(&self, draft: &Draft, room: &dyn Fn(u64) -> Result<()>, progress: &dyn Progress) -> Result<Fill>;

    /// How it takes a snapshot.
    fn method(&self) -> Method;

    /// How often one that does not pass the proof is thrown away and taken anew, the first time included.
    fn tries(&self) -> u32 {
        1
    }
}

/// What came of a fill. An error is neither: it ends the save, as no other source would do better.
#[derive(Debug)]
pub enum Fill {
    /// The draft holds a snapshot.
    Captured(Captured),
    /// It cannot be done this way here, and why; another source may.
    Declined(Fault),
}

/// What the source knows of the bytes it gave.
#[derive(Debug)]
pub struct Captured {
    /// Bytes, trailer included.
    pub bytes: u64,
    /// SHA-256 of all of them. `None`: the draft holds the database alone, and its trailer is left to write, so that
    /// the one reading it takes goes along with the proof.
    pub sha256: Option<Digest>,
    /// Version of the server; `None` where it was not asked.
    pub version: Option<String>,
    /// Where it was reached; empty where it was not.
    pub endpoint: String,
    /// The revision that had been acknowledged before the first byte, or why nobody could tell.
    pub asked: Result<i64, String>,
    /// etcd's alarms, each once: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
    /// Whether the member knew a leader.
    pub has_leader: bool,
}
