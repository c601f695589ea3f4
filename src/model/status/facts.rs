// SPDX-License-Identifier: Apache-2.0
//! What status reports. A fact that could not be seen is `None`, and has a row in `unknown`.

use serde::Serialize;

use super::job::Job;
use super::location::{LocationStatus, PendingUploads};
use super::reason::Reason;
use crate::model::restore::Stage;

/// The state of the backups of one server.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    /// Why an administrator must act; empty if all is well.
    pub reasons: Vec<Reason>,
    /// What could not be seen.
    pub unknown: Vec<Unknown>,
    /// The snapshot directory.
    pub local: Option<LocationStatus>,
    /// The copies in the bucket: as listed, else as this server has recorded its uploads.
    pub s3: Option<LocationStatus>,
    /// Snapshots whose upload is pending; `None` if the manifests cannot be read.
    pub pending_uploads: Option<PendingUploads>,
    /// The live etcd.
    pub etcd: Option<EtcdStatus>,
    /// The live SQLite, on a server that has no etcd.
    pub sqlite: Option<SqliteStatus>,
    /// Bytes that are free in the file system of the snapshot directory.
    pub free_bytes: Option<u64>,
    /// The recovery kit; `None` if none are sealed.
    pub kit: Option<KitStatus>,
    /// The jobs of the timers.
    pub jobs: Vec<Job>,
    /// The stage of an interrupted restore; `None` if there is none.
    pub interrupted_restore: Option<String>,
    /// The schedule of K3s for its own snapshots; `None` if it makes none, as with SQLite.
    pub k3s_schedule: Option<String>,
}

/// A fact that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// A stable word.
    pub fact: &'static str,
    /// Why.
    pub reason: String,
}

/// The recovery kit in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KitStatus {
    /// Its file name; `None` if none was sealed yet.
    pub name: Option<String>,
    /// When it was sealed, RFC 3339.
    pub sealed_at: Option<String>,
    /// When a kit for the same recipients was opened, and its token opened a snapshot, RFC 3339.
    pub verified_at: Option<String>,
}

/// What the live etcd reports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EtcdStatus {
    /// The revision that the member has applied.
    pub revision: i64,
    /// The size of its database in bytes.
    pub db_bytes: u64,
    /// The limit of that size.
    pub quota_bytes: u64,
    /// Whether it has a leader.
    pub has_leader: bool,
    /// Alarms in the words of etcd.
    pub alarms: Vec<String>,
    /// The members of its cluster; empty if it is a learner, which does not list them.
    pub members: Vec<MemberFact>,
}

/// A member of the cluster of etcd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemberFact {
    /// Its name; empty if it has not started yet.
    pub name: String,
    /// Whether it is the member on this server.
    pub here: bool,
    /// Whether it is the leader.
    pub leader: bool,
    /// Whether it is a learner, which has no vote.
    pub learner: bool,
}

/// What the live database of SQLite shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SqliteStatus {
    /// The revision of kine.
    pub revision: i64,
    /// The size of the database in bytes.
    pub db_bytes: u64,
}

impl Status {
    /// Records that a fact could not be seen.
    pub fn cannot_see(&mut self, fact: &'static str, why: &anyhow::Error) {
        self.unknown.push(Unknown { fact, reason: format!("{why:#}") });
    }

    /// Keeps a fact, or records that it could not be seen.
    pub fn see<T>(&mut self, fact: &'static str, look: anyhow::Result<T>) -> Option<T> {
        look.map_err(|e| self.cannot_see(fact, &e)).ok()
    }

    /// Records the stage of an interrupted restore.
    pub fn set_restore(&mut self, stage: Option<Stage>) {
        self.interrupted_restore = stage.map(|stage| stage.as_str().to_owned());
    }

    /// Whether a fact could not be seen.
    pub fn is_unknown(&self, fact: &str) -> bool {
        self.unknown.iter().any(|u| u.fact == fact)
    }
}
