// SPDX-License-Identifier: Apache-2.0
//! A snapshot as a row: where it lies, what is known of it, and the manifest that says so.
//!
//! The manifest's JSON is a format: fields are only added, never renamed, and readers ignore what they do not know.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::SnapshotName;

/// A SHA-256. Prints and serialises as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = String;

    fn from_str(hex: &str) -> Result<Digest, String> {
        let mut bytes = [0u8; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return Err("a SHA-256 is 64 hex digits".to_owned());
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|e| e.to_string())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|e| e.to_string())?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Digest, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is known of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every byte was read and everything held.
    Verified,
    /// Nobody has looked yet, or it cannot be called proven.
    Unverified,
    /// It was looked at and is damaged, or its size alone says so.
    Corrupt,
    /// A save that was cut off left it.
    Incomplete,
    /// Not a snapshot: a file of somebody else's in the folder.
    Foreign,
}

impl State {
    /// The word for tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Verified => "proven",
            State::Unverified => "unchecked",
            State::Corrupt => "bad",
            State::Incomplete => "partial",
            State::Foreign => "foreign",
        }
    }
}

/// The file that a manifest speaks of. The manifest holds only while these are the same.
///
/// The device is written down but not compared: its number changes over a reboot on btrfs, LVM and NFS.
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

/// How far a snapshot is known to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Freshness {
    /// It holds everything that was acknowledged before the save began.
    Current {
        /// The revision that a linearizable read gave before the save.
        cluster_revision: i64,
    },
    /// The member lagged: revisions acknowledged before the save are missing.
    Behind {
        /// The revision that a linearizable read gave before the save.
        cluster_revision: i64,
    },
    /// Nobody could tell: no quorum, or it was not saved by this tool.
    Unknown {
        /// Why, in words.
        reason: String,
    },
}

/// What is known of one snapshot file; kept beside, never in, K3s's snapshot folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format: 1.
    pub version: u32,
    /// File name.
    pub name: String,
    /// Folder, absolute.
    pub directory: String,
    /// The file this speaks of.
    pub file: FileId,
    /// SHA-256 of the file as stored.
    pub stored_sha256: Digest,
    /// What that has to be, where a file that was proven was exchanged for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_sha256: Option<Digest>,
    /// SHA-256 of the plain snapshot (database and trailer).
    pub plain_sha256: Digest,
    /// Bytes of the plain snapshot.
    pub plain_size: u64,
    /// etcd's revision in the snapshot.
    pub revision: i64,
    /// Keys of etcd's bucket `key`: every revision that was not yet compacted.
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
    /// Base of the name, where we made it.
    #[serde(default)]
    pub base: Option<String>,
    /// Version of the etcd server that it was saved from.
    #[serde(default)]
    pub etcd_version: Option<String>,
    /// How it was taken: `stream` or `clone`.
    #[serde(default)]
    pub method: Option<String>,
    /// Why not by the other method, where that would have been preferred.
    #[serde(default)]
    pub method_reason: Option<String>,
    /// Members of the etcd cluster, by name.
    #[serde(default)]
    pub members: Vec<String>,
    /// etcd's alarms at the time.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// How far it reaches; `None` where it was not saved by this tool.
    #[serde(default)]
    pub freshness: Option<Freshness>,
    /// What the check found wrong; empty where everything held.
    #[serde(default)]
    pub findings: Vec<String>,
    /// When it was saved, where that is known: seconds since the epoch.
    #[serde(default)]
    pub saved_at: Option<u64>,
    /// When every byte was last read and checked: seconds since the epoch.
    pub checked_at: u64,
    /// When that last ended without a finding. Until then the digests are those of an unproven file.
    #[serde(default)]
    pub verified_at: Option<u64>,
    /// What this reader does not know, kept as it was.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// The version of [`Manifest`] that this code writes.
pub const MANIFEST_VERSION: u32 = 1;

/// The alarm that forbids to call a snapshot proven.
pub const ALARM_CORRUPT: &str = "CORRUPT";

impl Manifest {
    /// What the manifest makes of its snapshot.
    pub fn state(&self) -> State {
        if !self.findings.is_empty() {
            State::Corrupt
        } else if self.alarms.iter().any(|a| a == ALARM_CORRUPT) {
            State::Unverified
        } else {
            State::Verified
        }
    }

    /// Whether the snapshot is known to lack acknowledged revisions.
    pub fn is_behind(&self) -> bool {
        matches!(self.freshness, Some(Freshness::Behind { .. }))
    }
}

/// A snapshot, or what lies among them, in one place.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// File name as it is; characters a terminal would obey are kept here and escaped by the sinks.
    pub file: String,
    /// The parsed name; `None` for foreign files.
    pub name: Option<SnapshotName>,
    /// Where it lies, as a URL: `file:///...`.
    pub location: String,
    /// Bytes.
    pub size: u64,
    /// From the name, else the file's time: seconds since the epoch.
    pub created_at: u64,
    /// What is known of it.
    pub state: State,
    /// The manifest, where there is a valid one.
    pub manifest: Option<Manifest>,
    /// Keys of etcd's bucket `key`, where a list can tell that without the manifest.
    pub key_revisions: Option<u64>,
}

impl Snapshot {
    /// Keys of etcd's bucket `key`, where anything tells of them.
    pub fn key_revisions(&self) -> Option<u64> {
        // Of a bad snapshot perhaps nothing could be read.
        let read = |m: &&Manifest| m.findings.is_empty() || m.key_revisions > 0;
        self.manifest.as_ref().filter(read).map(|m| m.key_revisions).or(self.key_revisions)
    }
}

/// The content of one place.
#[derive(Debug, Default)]
pub struct Listing {
    /// Everything that lies there, foreign files included, in no order.
    pub snapshots: Vec<Snapshot>,
    /// False where something could not be looked at: then nothing may be deleted.
    pub complete: bool,
    /// False where the manifests could not be read: then nobody knows what is proven, and nothing may be deleted.
    pub manifests_readable: bool,
}

/// What a save left that was cut off, or is still at work: a `.part` file, or a temporary name of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// File name.
    pub file: String,
    /// When its content last changed: seconds since the epoch.
    pub modified_at: u64,
    /// Whether a process is known to have it open.
    pub in_use: bool,
    /// Whether its name is a temporary one of this tool.
    pub ours: bool,
}

/// Whether a plain file of this size can be a snapshot: bbolt's pages, then 32 bytes of SHA-256.
pub fn plausible_size(size: u64) -> bool {
    size > 32 && size % 512 == 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            name: "on-demand-n-5".into(),
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
            base: Some("on-demand".into()),
            etcd_version: None,
            method: Some("clone".into()),
            method_reason: None,
            members: vec![],
            alarms: vec![],
            freshness: Some(Freshness::Current { cluster_revision: 7 }),
            findings: vec![],
            saved_at: Some(5),
            checked_at: 6,
            verified_at: Some(6),
            other: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_prints_back_and_keeps_what_a_later_version_added() {
        let mut json = serde_json::to_value(manifest()).unwrap();
        json["from_the_future"] = serde_json::json!({"a": [1]});
        let read: Manifest = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        assert_eq!(json["recency"], serde_json::json!({"state": "current", "asked": 7}));
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
        m.findings.push("page 3".into());
        assert_eq!(m.state(), State::Corrupt);
    }

    #[test]
    fn the_device_number_may_change_over_a_reboot() {
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

    #[test]
    fn digests_refuse_what_is_not_one() {
        assert!("ab".repeat(32).parse::<Digest>().is_ok());
        for bad in ["", "ab", &"zz".repeat(32), &"é".repeat(32), &"ab".repeat(33)] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
