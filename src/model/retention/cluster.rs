// SPDX-License-Identifier: Apache-2.0
//! The cluster that a snapshot is of. Its name does not identify the cluster: a server that was installed again has the old host
//! name.

use crate::model::snapshot::Snapshot;

/// Digits of a cluster id that distinguish clusters. A listing of a bucket shows only these.
const DIGITS: usize = 8;

/// Whether a snapshot is of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is of this cluster.
    Same,
    /// It is of another cluster.
    Other,
    /// Its cluster is not known.
    Unknown,
}

/// The cluster of a snapshot, as far as its id distinguishes clusters; `None` if it is not known.
pub(super) fn cluster_of(snapshot: &Snapshot) -> Option<&str> {
    prefix(snapshot.cluster_id()?)
}

/// Whether a snapshot of `cluster`, as [`cluster_of`] gives it, is of the cluster with the id `own`.
pub(super) fn relation(cluster: Option<&str>, own: &str) -> Relation {
    match (cluster, prefix(own)) {
        (Some(id), Some(own)) if id == own => Relation::Same,
        (Some(_), Some(_)) => Relation::Other,
        _ => Relation::Unknown,
    }
}

fn prefix(id: &str) -> Option<&str> {
    Some(id.get(..DIGITS).unwrap_or(id)).filter(|id| !id.is_empty())
}
