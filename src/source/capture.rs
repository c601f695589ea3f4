// SPDX-License-Identifier: Apache-2.0
//! What every method of capturing a snapshot has in common.

use anyhow::Result;

use super::handshake::Handshake;
use crate::error::Fault;
use crate::host::{Draft, Progress};
use crate::inspect::TRAILER;
use crate::model::method::Method;
use crate::model::snapshot::Digest;

/// Fills a draft with a snapshot. It verifies nothing: `inspect` does.
pub trait Source {
    /// Fills the draft. `ensure_space` is called once with the expected size in bytes, before any byte is written.
    ///
    /// # Errors
    /// A failure that no other source would avoid, or the error of `ensure_space`.
    fn fill(
        &self,
        draft: &Draft,
        ensure_space: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome>;

    /// How it captures a snapshot, if it can.
    fn method(&self) -> Method;

    /// How many snapshots are captured until one passes verification, the first one included.
    fn max_attempts(&self) -> u32 {
        1
    }
}

/// The result of a capture. An error is neither: it ends the save, because no other source would succeed.
#[derive(Debug)]
pub enum CaptureOutcome {
    /// The draft has a snapshot.
    Captured(Captured),
    /// This method is not possible here, and why; another one may be.
    Unavailable(Fault),
}

/// What the source knows of the bytes in the draft.
#[derive(Debug)]
pub struct Captured {
    /// How it was captured.
    pub method: Method,
    /// Why the source captured it in another way than its own.
    pub method_reason: Option<String>,
    /// Bytes, trailer included.
    pub bytes: u64,
    /// SHA-256 of all of them. `None`: the draft has the database only, and the caller appends the trailer, so that hashing and
    /// verification read the file at the same time.
    pub sha256: Option<Digest>,
    /// Version of etcd; `None` if it did not run.
    pub version: Option<String>,
    /// The URL at which etcd was reached; empty if it did not run.
    pub endpoint: String,
    /// The revision that the cluster had acknowledged before the capture, or why that is not known.
    pub asked: Result<i64, String>,
    /// Alarms of etcd, each once: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
    /// The id of the member; `None` if it did not run.
    pub member: Option<u64>,
    /// Whether the member had a leader.
    pub has_leader: bool,
    /// Damage of the write-ahead log of SQLite, as a sentence.
    pub log_damage: Option<String>,
}

impl Captured {
    /// Captured from an etcd that runs.
    pub(super) fn online(
        bytes: u64,
        sha256: Option<Digest>,
        handshake: Handshake,
        method: Method,
    ) -> Captured {
        Captured {
            method,
            method_reason: None,
            bytes,
            sha256,
            version: Some(handshake.version),
            endpoint: handshake.endpoint,
            asked: handshake.cluster_revision,
            alarms: handshake.alarms,
            member: handshake.member,
            has_leader: handshake.has_leader,
            log_damage: None,
        }
    }

    /// The database of `db_len` bytes of SQLite, whose revision was `acknowledged` before the capture.
    pub(super) fn of_sqlite(db_len: u64, acknowledged: i64, log_damage: Option<String>) -> Captured {
        Captured {
            method: Method::Backup,
            method_reason: None,
            bytes: db_len + TRAILER,
            sha256: None,
            version: None,
            endpoint: String::new(),
            asked: Ok(acknowledged),
            alarms: vec![],
            member: None,
            has_leader: true,
            log_damage,
        }
    }

    /// The database of `db_len` bytes of an etcd that does not run. `reason` is the first half of a sentence.
    pub(super) fn offline(db_len: u64, reason: &str, method: Method) -> Captured {
        Captured {
            method,
            method_reason: None,
            bytes: db_len + TRAILER,
            sha256: None,
            version: None,
            endpoint: String::new(),
            asked: Err(format!(
                "{reason}, so the database file was copied offline; changes that are only in the write-ahead log of etcd are \
                 missing"
            )),
            alarms: vec![],
            member: None,
            has_leader: true,
            log_damage: None,
        }
    }
}
