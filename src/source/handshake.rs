// SPDX-License-Identifier: Apache-2.0
//! What a running etcd reports before a snapshot is captured, for every method that asks it.

/// What a member reports about itself and its cluster before a snapshot is taken.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The URL at which it was reached.
    pub(super) endpoint: String,
    /// Its version.
    pub(super) version: String,
    /// The size of its database in bytes.
    pub(super) size: u64,
    /// The revision that it has applied.
    pub(super) applied: i64,
    /// The revision that the cluster has acknowledged, or why that is not known.
    pub(super) cluster_revision: Result<i64, String>,
    /// Its alarms, each once: `NOSPACE`, `CORRUPT`.
    pub(super) alarms: Vec<String>,
    /// Its id.
    pub(super) member: Option<u64>,
    /// Whether it has a leader.
    pub(super) has_leader: bool,
}
