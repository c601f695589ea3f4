// SPDX-License-Identifier: Apache-2.0
//! The metrics of the state after a run. What could not be seen has no sample: an alert must not take it for zero.

use super::family::{
    BUILD, DB_QUOTA, DB_SIZE, FREE, IS_CURRENT, MAX_AGE, NEWEST, NEWEST_REVISION, NEWEST_SIZE,
    OLDEST_PENDING, PENDING, SKIPPED, SNAPSHOTS, Sample, UPLOADS, WRITTEN_AT,
};
use crate::model::retention::{last_saved_cluster, of_own_cluster};
use crate::model::snapshot::{Freshness, Listing, Snapshot, State as SnapshotState};
use crate::model::status::{Counts, Newest, of_uploads};

/// The state of this server.
#[derive(Debug, Default)]
pub struct State<'a> {
    /// Seconds since the epoch.
    pub now: u64,
    /// The version of this program.
    pub version: &'a str,
    /// The listing of the snapshot directory.
    pub listing: Option<&'a Listing>,
    /// The greatest age of the newest verified snapshot, in seconds.
    pub max_age: u64,
    /// Whether snapshots are to be uploaded.
    pub uploads: bool,
    /// The size of the database file of etcd.
    pub db_bytes: Option<u64>,
    /// The size limit of the database of etcd; `None` with SQLite, which has none.
    pub quota_bytes: Option<u64>,
    /// Free bytes for snapshots.
    pub free_bytes: Option<u64>,
}

/// The samples of a machine on which jobs are skipped: no alert waits for anything else of it.
pub fn samples_of_skip(version: &str) -> Vec<Sample> {
    vec![SKIPPED.value(1.0), BUILD.labeled(&[("version", version)], 1.0)]
}

/// The samples of a state.
#[allow(clippy::cast_precision_loss, reason = "times and sizes are far below 2^53")]
pub fn samples_of_state(state: &State) -> Vec<Sample> {
    let mut all = vec![
        BUILD.labeled(&[("version", state.version)], 1.0),
        WRITTEN_AT.value(state.now as f64),
        MAX_AGE.value(state.max_age as f64),
        UPLOADS.value(f64::from(u8::from(state.uploads))),
    ];
    all.extend(state.quota_bytes.map(|bytes| DB_QUOTA.value(bytes as f64)));
    all.extend(state.db_bytes.map(|bytes| DB_SIZE.value(bytes as f64)));
    all.extend(state.free_bytes.map(|bytes| FREE.value(bytes as f64)));
    let listing = state.listing.filter(|listing| listing.complete && listing.manifests_readable);
    let Some(listing) = listing else { return all };
    let snapshots = &listing.snapshots;
    for (state, count) in Counts::of(snapshots).rows() {
        let labels = [("location", "local"), ("state", state.as_str())];
        all.push(SNAPSHOTS.labeled(&labels, count as f64));
    }
    let (pending, _) = of_uploads(snapshots, state.now);
    // Other clusters can share the directory.
    let of_own = of_own_cluster(snapshots, last_saved_cluster(snapshots));
    let (_, uploaded) = of_uploads(&of_own, state.now);
    all.push(PENDING.value(pending.count as f64));
    all.extend(pending.oldest_at.map(|at| OLDEST_PENDING.value(at as f64)));
    for (location, newest) in [("local", Newest::of(&of_own, state.now)), ("s3", uploaded)] {
        let Some(newest) = newest else { continue };
        let label = [("location", location)];
        all.push(NEWEST.labeled(&label, newest.created_at as f64));
        all.push(NEWEST_SIZE.labeled(&label, newest.size as f64));
        all.extend(newest.revision.map(|revision| NEWEST_REVISION.labeled(&label, revision as f64)));
    }
    all.extend(is_current(snapshots).map(|current| IS_CURRENT.value(f64::from(u8::from(current)))));
    all
}

/// Whether the last snapshot that this program saved is current.
fn is_current(snapshots: &[Snapshot]) -> Option<bool> {
    let saved = snapshots.iter().filter(|s| s.state != SnapshotState::Corrupt);
    let saved = saved.filter_map(|s| Some((s.created_at, s.manifest.as_ref()?.freshness.as_ref()?)));
    let (_, freshness) = saved.max_by_key(|(at, _)| *at)?;
    Some(matches!(freshness, Freshness::Current { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::tests::manifest;

    fn listing(complete: bool) -> Listing {
        let mut behind = manifest();
        behind.freshness = Some(Freshness::Behind { cluster_revision: 9 });
        let row = |file: &str, created_at, manifest| Snapshot {
            file: file.into(),
            name: None,
            location: format!("file:///s/{file}"),
            size: 544,
            created_at,
            state: SnapshotState::Verified,
            manifest: Some(manifest),
            key_revisions: None,
            cluster_id: None,
        };
        let snapshots = vec![row("good", 100, manifest()), row("behind", 200, behind)];
        Listing { snapshots, complete, manifests_readable: true }
    }

    fn value(all: &[Sample], name: &str) -> Option<f64> {
        all.iter().find(|s| s.family.name == name).map(|s| s.value)
    }

    #[test]
    fn what_could_not_be_seen_has_no_sample() {
        let seen = listing(true);
        let state = State { now: 1000, listing: Some(&seen), db_bytes: Some(7), ..State::default() };
        let all = samples_of_state(&state);
        assert_eq!(value(&all, NEWEST.name), Some(100.0), "a snapshot that is behind does not count");
        assert_eq!(value(&all, IS_CURRENT.name), Some(0.0));
        assert_eq!(value(&all, PENDING.name), Some(2.0));
        assert_eq!(value(&all, DB_SIZE.name), Some(7.0));
        let part = listing(false);
        for listing in [Some(&part), None] {
            let all = samples_of_state(&State { listing, db_bytes: None, ..state });
            for name in [NEWEST.name, IS_CURRENT.name, PENDING.name, SNAPSHOTS.name, DB_SIZE.name] {
                assert_eq!(value(&all, name), None, "{name}");
            }
            assert_eq!(value(&all, WRITTEN_AT.name), Some(1000.0));
        }
    }
}
