// SPDX-License-Identifier: Apache-2.0
//! A snapshot as a row: where it is stored and what is known of it.

pub use super::digest::Digest;
pub use super::manifest::{
    ALARM_CORRUPT, ALARM_NOSPACE, FileId, FindingRecord, Freshness, MANIFEST_VERSION, Manifest, Upload,
};
use super::name::SnapshotName;
pub use super::state::State;

/// The digits of a cluster id that distinguish clusters. The name of a manifest in a bucket has only these.
pub(crate) const MIN_CLUSTER_DIGITS: usize = 8;

/// A snapshot, or another file next to snapshots, in one location.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// File name as it is; control characters are escaped only by the output layer.
    pub file: String,
    /// The parsed name; `None` for foreign files.
    pub name: Option<SnapshotName>,
    /// URL: `file:///...` or `s3://...`.
    pub location: String,
    /// Bytes.
    pub size: u64,
    /// From the name, else the time of the file: seconds since the epoch.
    pub created_at: u64,
    /// What is known of it.
    pub state: State,
    /// The manifest, if there is a valid one.
    pub manifest: Option<Manifest>,
    /// Records of etcd's bucket `key`, if a listing shows that without the manifest.
    pub key_revisions: Option<u64>,
    /// The beginning of the cluster id, at least 8 digits, if a listing shows that without the manifest.
    pub cluster_id: Option<String>,
}

impl Snapshot {
    /// The cluster id (UID of the namespace kube-system): the whole of it if there is a manifest, else what the listing
    /// shows of it. `None` if the cluster is not known.
    pub fn cluster_id(&self) -> Option<&str> {
        self.manifest.as_ref().and_then(|m| m.cluster_id.as_deref()).or(self.cluster_id.as_deref())
    }

    /// Whether it is of the cluster with this id. `None` if that is not known.
    pub fn is_of_cluster(&self, id: &str) -> Option<bool> {
        // Less than eight digits distinguish no clusters.
        let of = self.cluster_id().filter(|of| of.len().min(id.len()) >= MIN_CLUSTER_DIGITS)?;
        Some(of.starts_with(id) || id.starts_with(of))
    }

    /// Records of etcd's bucket `key`, from the manifest or the listing.
    pub fn key_revisions(&self) -> Option<u64> {
        // Of a corrupt snapshot perhaps nothing could be read.
        let read = |m: &&Manifest| m.findings.is_empty() || m.key_revisions > 0;
        self.manifest.as_ref().filter(read).map(|m| m.key_revisions).or(self.key_revisions)
    }

    /// The order by age: the oldest first, then by name.
    pub fn cmp_by_age(&self, other: &Snapshot) -> std::cmp::Ordering {
        (self.created_at, &self.file).cmp(&(other.created_at, &other.file))
    }
}

/// The content of one location.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every file or object, foreign ones included, in no order.
    pub snapshots: Vec<Snapshot>,
    /// False if a part could not be listed: then nothing may be deleted.
    pub complete: bool,
    /// False if the manifests could not be read: then it is not known what is verified, and nothing may be deleted.
    pub manifests_readable: bool,
}

impl Listing {
    /// All snapshots, the oldest first.
    pub fn sorted(mut self) -> Vec<Snapshot> {
        self.snapshots.sort_by(Snapshot::cmp_by_age);
        self.snapshots
    }
}

/// What an interrupted save left, or a running one still writes: a `.part` file, or a temporary name of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// File name.
    pub file: String,
    /// When its content last changed: seconds since the epoch.
    pub modified_at: u64,
    /// Whether a process has it open.
    pub in_use: bool,
    /// Whether its name is a temporary one of this tool.
    pub ours: bool,
}

/// Whether a plain file of this size can be a snapshot: pages of bbolt, then 32 bytes of SHA-256.
pub fn plausible_size(size: u64) -> bool {
    size > 32 && size % 512 == 32
}
