// SPDX-License-Identifier: Apache-2.0
//! Questions to a running datastore. No question changes anything.

use anyhow::Result;

use crate::inspect::{Comparison, Sample};

/// A running datastore: etcd, or SQLite. Every call has a timeout.
pub trait DatastoreProbe {
    /// What the member on this machine reports about itself and its cluster. Needs no quorum; takes a few seconds at most.
    ///
    /// # Errors
    /// If the member does not answer.
    fn look(&self) -> Result<MemberStatus>;

    /// The id of the live Kubernetes cluster: the UID of its namespace kube-system. `None` if it has no such namespace.
    ///
    /// # Errors
    /// If etcd does not answer.
    fn cluster_id(&self) -> Result<Option<String>>;

    /// For each of these URLs, in their order, whether an etcd answers there. All are asked at the same time, within 3 s. An etcd
    /// that refuses our certificates does answer; a port that accepts the connection and then sends nothing does not.
    fn answers(&self, urls: &[String]) -> Vec<(String, bool)>;

    /// Whether etcd contains what a snapshot contains: at `revision` exactly `live` keys exist, and each key of the sample has
    /// its value. Needs a quorum.
    ///
    /// # Errors
    /// If etcd does not answer or has no quorum.
    fn holds(&self, revision: i64, live: u64, sample: &[Sample]) -> Result<Comparison>;
}

/// What a member reports about itself and its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The revision that it has applied.
    pub revision: i64,
    /// Its id.
    pub member_id: u64,
    /// Whether it is a learner, which has no vote.
    pub learner: bool,
    /// All members, itself included; empty if it is a learner, which does not list them.
    pub members: Vec<LiveMember>,
    /// The size of its database file in bytes.
    pub db_size: i64,
    /// The id of its leader; 0 if it has none. Without one nothing can be written.
    pub leader_id: u64,
    /// Alarms in the words of etcd, each once: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
    /// Its version.
    pub version: String,
}

impl MemberStatus {
    /// Whether it has a leader.
    pub fn has_leader(&self) -> bool {
        self.leader_id != 0
    }
}

/// A member of the cluster, as another member knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveMember {
    /// Its id.
    pub id: u64,
    /// Its name; empty if it has not started yet.
    pub name: String,
    /// URLs for its peers.
    pub peer_urls: Vec<String>,
    /// URLs for clients.
    pub client_urls: Vec<String>,
    /// Whether it is a learner, which has no vote.
    pub learner: bool,
}
