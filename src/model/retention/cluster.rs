// SPDX-License-Identifier: Apache-2.0
//! The cluster that a snapshot is of, and the clusters whose snapshots a prune may delete. A name does not identify a cluster: a
//! server that was installed again has the old host name, and clusters with the same names can share a bucket.

use super::decision::Keep;
use crate::model::snapshot::{MIN_CLUSTER_DIGITS, Snapshot};

/// The clusters whose snapshots a prune counts and deletes. The others are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterScope<'a> {
    /// This cluster: the UID of its namespace kube-system. Snapshots of other clusters and of an unknown cluster are kept.
    Own(&'a str),
    /// It is not known which cluster this server is of, so no snapshot is known to be of it: all are kept.
    Unknown,
    /// The user has selected all clusters: the policy is applied to each cluster by itself, and to the snapshots of an unknown
    /// cluster.
    All,
}

impl ClusterScope<'_> {
    /// Why a snapshot is kept, whatever the policy says; `None` if the policy decides.
    pub(super) fn keeps(self, snapshot: &Snapshot) -> Option<Keep> {
        match self {
            ClusterScope::All => None,
            ClusterScope::Unknown => Some(Keep::OwnClusterUnknown),
            ClusterScope::Own(own) => match snapshot.is_of_cluster(own) {
                Some(true) => None,
                Some(false) => Some(Keep::OtherCluster),
                None => Some(Keep::UnknownCluster),
            },
        }
    }
}

/// The cluster of the newest snapshot that was saved on this machine, as the manifests of a snapshot directory show: they are
/// kept on this machine, also if others use the directory. `None` if nothing was saved here, or the cluster is not known.
pub fn last_saved_cluster<'a>(all: impl IntoIterator<Item = &'a Snapshot>) -> Option<&'a str> {
    let manifests = all.into_iter().filter_map(|s| s.manifest.as_ref());
    let saved = manifests.filter_map(|m| Some((m.saved_at.filter(|_| m.base.is_some())?, m)));
    let (_, newest) = saved.max_by_key(|(at, _)| *at)?;
    newest.cluster_id.as_deref().filter(|id| !id.is_empty())
}

/// The snapshots that can be of the cluster `own`, if that is known: other clusters can share a directory or a bucket, with the
/// same names.
pub fn of_own_cluster(all: &[Snapshot], own: Option<&str>) -> Vec<Snapshot> {
    let is_own = |s: &&Snapshot| own.is_none_or(|own| s.is_of_cluster(own) != Some(false));
    all.iter().filter(is_own).cloned().collect()
}

/// The cluster of a snapshot, as far as its id distinguishes clusters; `None` if it is not known.
pub(super) fn cluster_of(snapshot: &Snapshot) -> Option<&str> {
    let id = snapshot.cluster_id()?;
    Some(id.get(..MIN_CLUSTER_DIGITS).unwrap_or(id)).filter(|id| !id.is_empty())
}
