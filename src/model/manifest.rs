// SPDX-License-Identifier: Apache-2.0
//! What is known of one snapshot file, written down next to it: the manifest.
//!
//! The JSON is a file format: fields are only added, never renamed, and a reader keeps the fields that it does not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::authenticity::{AuthenticationCode, CoveredFacts};
use super::digest::Digest;
use super::state::State;

/// The version of [`Manifest`] that this code writes.
pub const MANIFEST_VERSION: u32 = 1;

/// The alarm of etcd with which a snapshot is never `verified`.
pub const ALARM_CORRUPT: &str = "CORRUPT";
/// The alarm of etcd with which a cluster takes no writes, because its database is full.
pub const ALARM_NOSPACE: &str = "NOSPACE";

/// The file that a manifest describes. The manifest is valid only while these are the same.
///
/// The device number is written down but not compared: it changes over a reboot on btrfs, LVM and NFS.
#[derive(Debug, Clone, Copy, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// Device number, as `stat` gives it.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Last change of the inode, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

impl PartialEq for FileId {
    fn eq(&self, other: &FileId) -> bool {
        (self.ino, self.size, self.mtime_ns, self.ctime_ns)
            == (other.ino, other.size, other.mtime_ns, other.ctime_ns)
    }
}

/// Whether a snapshot holds everything that the cluster had acknowledged when the save began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Freshness {
    /// It holds everything that was acknowledged before the save began.
    Current {
        /// The revision that a linearizable read gave before the save.
        cluster_revision: i64,
    },
    /// The member lagged: revisions that were acknowledged before the save are missing.
    Behind {
        /// The revision that a linearizable read gave before the save.
        cluster_revision: i64,
    },
    /// The cluster could not be asked.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// One thing that verification found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// The check, a stable word; k3s-snapshot-verify(8) lists them.
    pub check: String,
    /// Place and detail, for people.
    pub message: String,
}

impl FindingRecord {
    /// A finding of a check that is not one of the database's own.
    pub fn new(check: &str, message: impl Into<String>) -> FindingRecord {
        FindingRecord { check: check.to_owned(), message: message.into() }
    }
}

impl std::fmt::Display for FindingRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.message, self.check)
    }
}

/// How a local snapshot and the bucket stand to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Upload {
    /// It is to be uploaded, and is not yet.
    Pending {
        /// Why the last attempt failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// When that was, seconds since the epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
    },
    /// It was uploaded, or deleted from the bucket on purpose: it is not to be uploaded again.
    Uploaded {
        /// Its URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        /// When, seconds since the epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
    },
}

/// What is known of one snapshot file; kept next to the K3s snapshot directory, never in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format: 1.
    pub version: u32,
    /// File name.
    pub name: String,
    /// Directory, absolute.
    pub directory: String,
    /// The file that it describes.
    pub file: FileId,
    /// SHA-256 of the file as stored.
    pub stored_sha256: Digest,
    /// The SHA-256 that the file had when it was verified, if its content was replaced since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_sha256: Option<Digest>,
    /// SHA-256 of the plain snapshot (database and trailer).
    pub plain_sha256: Digest,
    /// Bytes of the plain snapshot.
    pub plain_size: u64,
    /// The revision of etcd in the snapshot.
    pub revision: i64,
    /// Records of etcd's bucket `key`: every revision of every key that is not compacted.
    pub key_revisions: u64,
    /// First 12 hex digits of the SHA-256 of the token that the snapshot needs; several after a rotation.
    #[serde(default)]
    pub token_hash: Vec<String>,
    /// UID of the namespace kube-system.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// Name of the node that saved it.
    #[serde(default)]
    pub node: Option<String>,
    /// Base of the name, if this tool made it.
    #[serde(default)]
    pub base: Option<String>,
    /// Version of the etcd server that it was saved from.
    #[serde(default)]
    pub etcd_version: Option<String>,
    /// How it was captured: `clone`, `copy`, `stream` or `offline`.
    #[serde(default)]
    pub method: Option<String>,
    /// Why the preferred method was not used.
    #[serde(default)]
    pub method_reason: Option<String>,
    /// Of an offline save: how many entries the write-ahead log of etcd had that the database did not have. Each can be a change that
    /// is missing in the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_entries: Option<u64>,
    /// Members of the etcd cluster, by name.
    #[serde(default)]
    pub members: Vec<String>,
    /// Alarms of etcd at the time of the save.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// Whether it was up to date; `None` if it was not saved by this tool.
    #[serde(default)]
    pub freshness: Option<Freshness>,
    /// What verification found wrong; empty if every check passed.
    #[serde(default)]
    pub findings: Vec<FindingRecord>,
    /// When it was saved, if that is known: seconds since the epoch.
    #[serde(default)]
    pub saved_at: Option<u64>,
    /// When every byte was last read and checked: seconds since the epoch.
    pub checked_at: u64,
    /// When that last ended without a finding. Without it the digests are those of a file that was never verified.
    #[serde(default)]
    pub verified_at: Option<u64>,
    /// Version of K3s on the node that saved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k3s_version: Option<String>,
    /// Version of the format of etcd's database, as the database names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_storage_version: Option<String>,
    /// Shows that a holder of the server token saved it; `None` if no token was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationCode>,
    /// Whether it was, or is to be, uploaded; `None` if no upload was configured when it was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// The file name of the recovery kit that a restore on a new machine needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kit: Option<String>,
    /// Fields that this reader does not know, kept as they were.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

impl Manifest {
    /// The state that the manifest gives its snapshot.
    pub fn state(&self) -> State {
        if !self.findings.is_empty() {
            State::Corrupt
        } else if self.alarms.iter().any(|a| a == ALARM_CORRUPT) {
            State::Unverified
        } else {
            State::Verified
        }
    }

    /// Whether its upload is pending.
    pub fn is_upload_pending(&self) -> bool {
        matches!(self.upload, Some(Upload::Pending { .. }))
    }

    /// What its authentication code covers, without a look at the snapshot.
    pub fn covered_facts(&self) -> CoveredFacts<'_> {
        CoveredFacts {
            name: &self.name,
            stored_sha256: self.stored_sha256,
            stored_size: self.file.size,
            plain_sha256: self.plain_sha256,
            plain_size: self.plain_size,
            revision: self.revision,
            cluster_id: self.cluster_id.as_deref(),
            saved_at: self.saved_at,
            k3s_version: self.k3s_version.as_deref(),
            etcd_storage_version: self.etcd_storage_version.as_deref(),
        }
    }

    /// The SHA-256 that the file must have, if it was ever verified: damage must not become the new truth.
    pub fn verified_sha256(&self) -> Option<Digest> {
        self.verified_at.map(|_| self.expected_sha256.unwrap_or(self.stored_sha256))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A manifest of a snapshot that was verified.
    pub(crate) fn manifest() -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            name: "manual-n-5".into(),
            directory: "/x".into(),
            file: FileId { dev: 1, ino: 2, size: 3, mtime_ns: 4, ctime_ns: 5 },
            stored_sha256: Digest([0xab; 32]),
            expected_sha256: None,
            plain_sha256: Digest([1; 32]),
            plain_size: 3,
            revision: 7,
            key_revisions: 8,
            token_hash: vec!["ba1d715a4f9b".into()],
            cluster_id: None,
            node: Some("n".into()),
            base: Some("manual".into()),
            etcd_version: None,
            method: Some("clone".into()),
            method_reason: None,
            missing_entries: None,
            members: vec![],
            alarms: vec![],
            freshness: Some(Freshness::Current { cluster_revision: 7 }),
            findings: vec![],
            saved_at: Some(5),
            checked_at: 6,
            verified_at: Some(6),
            kit: None,
            k3s_version: None,
            etcd_storage_version: None,
            authentication: None,
            upload: Some(Upload::Pending { reason: None, at: None }),
            other: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_prints_back_and_keeps_what_a_later_version_added() {
        let mut json = serde_json::to_value(manifest()).unwrap();
        json["from_the_future"] = serde_json::json!({"a": [1]});
        let read: Manifest = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        assert_eq!(json["freshness"], serde_json::json!({"state": "current", "cluster_revision": 7}));
        assert_eq!(json["upload"], serde_json::json!({"state": "pending"}));
        assert_eq!(json["stored_sha256"], "ab".repeat(32));
    }

    #[test]
    fn state_follows_findings_then_alarm() {
        let mut m = manifest();
        assert_eq!(m.state(), State::Verified);
        m.alarms = vec!["NOSPACE".into()];
        assert_eq!(m.state(), State::Verified);
        m.alarms.push(ALARM_CORRUPT.into());
        assert_eq!(m.state(), State::Unverified);
        m.findings.push(FindingRecord::new("trailer", "x"));
        assert_eq!(m.state(), State::Corrupt);
    }

    #[test]
    fn a_file_id_ignores_the_device_number_which_changes_over_a_reboot() {
        let id = manifest().file;
        assert_eq!(id, FileId { dev: 99, ..id });
        for other in [
            FileId { ino: 9, ..id },
            FileId { size: 9, ..id },
            FileId { mtime_ns: 9, ..id },
            FileId { ctime_ns: 9, ..id },
        ] {
            assert_ne!(id, other);
        }
    }
}
