// SPDX-License-Identifier: Apache-2.0
//! Deletions that are requested by name: which names are valid, and which deletions would remove the last good snapshot.

use std::collections::{BTreeMap, HashSet};

use super::cluster::cluster_of;
use super::plan::location_of;
use crate::model::snapshot::{Snapshot, State};

/// Checks that a name is that of one file in the snapshot directory.
///
/// # Errors
/// What is wrong with the name, as the end of a sentence.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.contains('/') || name == "." || name == ".." {
        return Err("is a path, and only names in the snapshot directory can be deleted");
    }
    if name.contains(['*', '?', '[', ']']) {
        return Err("is a pattern, and only exact names can be deleted");
    }
    if name.chars().any(char::is_control) {
        return Err("has a control character");
    }
    Ok(())
}

/// The snapshots of `deleted` whose deletion would leave a group without a good snapshot: without a verified one if it has
/// verified ones, else without an unverified one. A group is a stem, a datastore and a cluster in a location. Snapshots of an unknown cluster
/// are a group only if nothing good of a known cluster is left of the stem.
pub fn last_verified_lost<'a>(all: &'a [Snapshot], deleted: &HashSet<&str>) -> Vec<&'a Snapshot> {
    let mut stems: BTreeMap<(&str, &str, bool), Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in all {
        if let Some(name) = &snapshot.name {
            let key = (location_of(snapshot), name.stem.as_str(), name.suffix.is_sqlite());
            stems.entry(key).or_default().push(snapshot);
        }
    }
    let mut lost = Vec::new();
    for files in stems.into_values() {
        let is_left = |f: &Snapshot| is_good(f) && !deleted.contains(f.file.as_str());
        let known_is_left = files.iter().any(|f| cluster_of(f).is_some() && is_left(f));
        let mut groups: BTreeMap<Option<&str>, Vec<&Snapshot>> = BTreeMap::new();
        files.into_iter().for_each(|f| groups.entry(cluster_of(f)).or_default().push(f));
        for (cluster, files) in groups {
            if cluster.is_some() || !known_is_left {
                lost.extend(lost_of_group(files, deleted));
            }
        }
    }
    lost
}

/// The good snapshots of a group, if all of them are deleted.
fn lost_of_group<'a>(files: Vec<&'a Snapshot>, deleted: &HashSet<&str>) -> Vec<&'a Snapshot> {
    let best = [State::Verified, State::Unverified].into_iter().find(|s| files.iter().any(|f| f.state == *s));
    let good: Vec<&Snapshot> = files.into_iter().filter(|f| Some(f.state) == best).collect();
    if good.iter().all(|f| deleted.contains(f.file.as_str())) { good } else { vec![] }
}

fn is_good(snapshot: &Snapshot) -> bool {
    matches!(snapshot.state, State::Verified | State::Unverified)
}
