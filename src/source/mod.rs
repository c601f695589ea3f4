// SPDX-License-Identifier: Apache-2.0
//! Where a snapshot comes from. Another datastore, or another way to read one, is another file here.

mod error;
pub mod etcd;
pub mod offline;
pub mod reflink;
pub mod trailer_hasher;

use anyhow::Result;

use crate::error::Fault;
use crate::host::{Draft, Progress};
pub use crate::inspect::{Comparison, Sample};
use crate::model::method::Method;
use crate::model::snapshot::Digest;

/// Something that can fill a draft with a snapshot. It proves nothing: that is `inspect`'s work.
pub trait Source {
    /// Fills the draft. `room` is told the expected size once, before any byte; its error ends the fill.
    fn fill(
        &self,
        draft: &Draft,
        room: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome>;

    /// How it takes a snapshot.
    fn method(&self) -> Method;

    /// How often one that does not pass the proof is thrown away and taken anew, the first time included.
    fn max_attempts(&self) -> u32 {
        1
    }
}

/// What came of a fill. An error is neither: it ends the save, as no other source would do better.
#[derive(Debug)]
pub enum CaptureOutcome {
    /// The draft holds a snapshot.
    Captured(Captured),
    /// It cannot be done this way here, and why; another source may.
    Unavailable(Fault),
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
    /// The id of the member; `None` where nobody was asked.
    pub member: Option<u64>,
    /// Whether the member knew a leader.
    pub has_leader: bool,
}

/// A running etcd, asked and never changed. No call waits for ever; each has its own short deadline.
pub trait EtcdProbe {
    /// What the member on this machine says of itself and its cluster, within seconds. Needs no quorum. A clear error where
    /// it does not answer.
    fn look(&self) -> Result<MemberStatus>;

    /// Which of these URLs an etcd answers at, in their order, asked all at once within 3 s. One that accepts the
    /// connection and then says nothing does not; one that answers and lets us not in does.
    fn answers(&self, urls: &[String]) -> Vec<(String, bool)>;

    /// Whether it holds what a snapshot holds: at `revision` just `live` keys exist, and each of the sample has its value.
    /// Needs a quorum.
    fn holds(&self, revision: i64, live: u64, sample: &[Sample]) -> Result<Comparison>;
}

/// What a member says of itself and its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The revision that it has applied.
    pub revision: i64,
    /// Its id.
    pub member_id: u64,
    /// It has no vote.
    pub learner: bool,
    /// All members, itself included; none where it is a learner, which does not tell.
    pub members: Vec<LiveMember>,
    /// Bytes of its database file.
    pub db_size: i64,
    /// Whether it knows a leader: without one nothing can be written.
    pub leader: bool,
    /// Alarms in etcd's words, each once: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
    /// The version of this member.
    pub version: String,
}

/// A member of the cluster, as the one that is asked knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveMember {
    /// Its id.
    pub id: u64,
    /// Its name; empty if it has not yet started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// It has no vote.
    pub learner: bool,
}
