// SPDX-License-Identifier: Apache-2.0
//! Snapshots of several clusters with the same names in one location: a shared bucket, or a server that was installed again.

use super::*;

const OWN: &str = "0f9c2b6e-5c0d-4a87-9a55-6f3b7c1d2e4f";
const OTHER: &str = "7d1e4f2a-0b3c-4d5e-8f90-a1b2c3d4e5f6";

/// A verified snapshot of a cluster, so many days old.
fn of(cluster: Option<&str>, days: u64) -> Snapshot {
    let mut snapshot = file(&format!("timer-n-{}", NOW - days * DAY), State::Verified);
    snapshot.manifest.as_mut().unwrap().cluster_id = cluster.map(str::to_owned);
    snapshot
}

fn unverified(days: u64) -> Snapshot {
    file(&format!("timer-n-{}", NOW - days * DAY), State::Unverified)
}

fn planned_in(clusters: ClusterScope, all: &[Snapshot], policy: &Policy) -> String {
    let (selection, policies) = (selection(), policy.clone().into());
    letters(all, &[], &PruneInput { clusters, ..input(&selection, &policies) })
}

#[test]
fn snapshots_of_another_cluster_are_kept_and_do_not_displace_those_of_this_one() {
    let all = [of(Some(OTHER), 0), of(Some(OTHER), 1), of(Some(OWN), 2), of(Some(OWN), 3)];
    assert_eq!(planned_in(ClusterScope::Own(OWN), &all, &last(1)), "kkk-");
    // The lost cluster, seen from the new cluster of the same name: its snapshots are not removed.
    assert_eq!(planned_in(ClusterScope::Own(OTHER), &all, &last(1)), "k-kk");
    let (selection, policies) = (selection(), last(1).into());
    let plan = apply_policy(
        &all,
        &[],
        &PruneInput { clusters: ClusterScope::Own(OWN), ..input(&selection, &policies) },
    );
    let words: Vec<_> = plan.actions.iter().rev().map(|a| a.decision.words()).collect();
    assert_eq!(words[..2], [["other-cluster"], ["other-cluster"]]);
    assert_eq!(words[2], ["keep-last", "newest-verified"], "the newest verified one of this cluster");
    assert!(plan.warnings.is_empty());
}

/// A cluster that was moved from SQLite to etcd has the same id and the same names, and counts its revisions from 1 again.
#[test]
fn snapshots_of_sqlite_and_of_etcd_are_groups_of_their_own() {
    let of_sqlite = |days: u64| {
        let mut snapshot = file(&format!("timer-n-{}.sqlite", NOW - days * DAY), State::Verified);
        let manifest = snapshot.manifest.as_mut().unwrap();
        (manifest.cluster_id, manifest.revision) = (Some(OWN.to_owned()), 9_000_000);
        snapshot
    };
    let all = [of(Some(OWN), 0), of(Some(OWN), 1), of_sqlite(2), of_sqlite(3)];
    assert_eq!(planned_in(ClusterScope::Own(OWN), &all, &last(1)), "k-k-");
    let (selection, policies) = (selection(), last(1).into());
    let own = PruneInput { clusters: ClusterScope::Own(OWN), ..input(&selection, &policies) };
    let plan = apply_policy(&all, &[], &own);
    let words: Vec<_> = plan.actions.iter().rev().map(|a| a.decision.words()).collect();
    assert_eq!(words[2], ["keep-last", "newest-verified"]);
    assert!(plan.warnings.is_empty());
    let name = |s: &Snapshot| s.file.clone();
    let deleted: Vec<String> = all[2..].iter().map(name).collect();
    let deleted = deleted.iter().map(String::as_str).collect();
    assert_eq!(last_verified_lost(&all, &deleted).len(), 2, "they are the last ones of SQLite");
}

#[test]
fn snapshots_of_an_unknown_cluster_are_kept_if_the_own_cluster_is_known() {
    let all = [unverified(0), of(None, 1), of(Some(OWN), 2), of(Some(OWN), 3), unverified(4)];
    assert_eq!(planned_in(ClusterScope::Own(OWN), &all, &last(1)), "kkk-k");
    let (selection, policies) = (selection(), last(1).into());
    let known = PruneInput { clusters: ClusterScope::Own(OWN), ..input(&selection, &policies) };
    assert_eq!(warnings(&all, &known), [WarningCode::UnknownCluster]);
    let plan = apply_policy(&all, &[], &known);
    assert_eq!(plan.actions[0].decision, Decision::Keep(vec![Keep::UnknownCluster]));
}

#[test]
fn with_all_clusters_the_policy_applies_to_each_cluster_by_itself() {
    let all = [of(Some(OTHER), 0), of(Some(OTHER), 1), of(Some(OWN), 2), of(Some(OWN), 3), unverified(4)];
    assert_eq!(planned_in(ClusterScope::All, &all, &last(1)), "k-k-k");
}

#[test]
fn nothing_is_removed_if_the_own_cluster_is_not_known() {
    let all = [of(Some(OTHER), 0), of(Some(OTHER), 1), of(Some(OWN), 2), of(Some(OWN), 3), unverified(4)];
    assert_eq!(planned_in(ClusterScope::Unknown, &all, &last(1)), "kkkkk");
    let (selection, policies) = (selection(), last(1).into());
    let unknown = PruneInput { clusters: ClusterScope::Unknown, ..input(&selection, &policies) };
    assert_eq!(warnings(&all, &unknown), [WarningCode::OwnClusterUnknown]);
    let plan = apply_policy(&all, &[], &unknown);
    assert!(plan.actions.iter().all(|a| a.decision == Decision::Keep(vec![Keep::OwnClusterUnknown])));
}

#[test]
fn the_cluster_of_the_last_save_is_that_of_the_newest_manifest_that_a_save_has_written() {
    let saved = |cluster: Option<&str>, days: u64| {
        let mut snapshot = of(cluster, days);
        let manifest = snapshot.manifest.as_mut().unwrap();
        (manifest.base, manifest.saved_at) = (Some("timer".into()), Some(NOW - days * DAY));
        snapshot
    };
    let verified = |cluster: &str, days: u64| {
        let mut snapshot = of(Some(cluster), days);
        let manifest = snapshot.manifest.as_mut().unwrap();
        (manifest.base, manifest.saved_at) = (None, None);
        snapshot
    };
    assert_eq!(last_saved_cluster(&[] as &[Snapshot]), None);
    let shared = [verified(OTHER, 0), saved(Some(OWN), 1), saved(Some(OTHER), 2)];
    assert_eq!(
        last_saved_cluster(&shared),
        Some(OWN),
        "another program, or another machine, saved the newest one"
    );
    assert_eq!(last_saved_cluster(&shared[..1]), None);
    assert_eq!(
        last_saved_cluster(&[saved(None, 0), saved(Some(OWN), 1)]),
        None,
        "the newest is of an unknown one"
    );
}

#[test]
fn the_guards_of_one_cluster_do_not_see_the_snapshots_of_another() {
    // A drop of the key revisions from one cluster to the other is none.
    let mut all = vec![of(Some(OWN), 0), of(Some(OWN), 1), of(Some(OTHER), 2), of(Some(OTHER), 3)];
    for (snapshot, key_revisions) in all.iter_mut().zip([10, 10, 1000, 1000]) {
        snapshot.manifest.as_mut().unwrap().key_revisions = key_revisions;
    }
    assert_eq!(planned_in(ClusterScope::All, &all, &last(1)), "k-k-");
    assert_eq!(planned_in(ClusterScope::Own(OWN), &all, &last(1)), "k-kk");
    // Nor is its highest revision the highest one.
    all[3].manifest.as_mut().unwrap().revision = 9_000_000;
    all[1].manifest.as_mut().unwrap().revision = 8;
    assert_eq!(planned_in(ClusterScope::Own(OWN), &all, &last(1)), "kkkk");
}

#[test]
fn eight_digits_of_the_id_are_enough_and_an_empty_id_is_unknown() {
    // A listing of a bucket shows the first digits only.
    let listed = |days: u64, cluster: &str| Snapshot {
        manifest: None,
        cluster_id: Some(cluster[..8].to_owned()),
        ..of(None, days)
    };
    let all = [listed(0, OWN), listed(1, OWN), of(Some(""), 2), listed(3, OTHER), listed(4, OWN)];
    assert_eq!(planned_in(ClusterScope::Own(OWN), &all, &last(1)), "k-kk-");
    assert_eq!(
        planned_in(ClusterScope::Own(""), &all, &last(1)),
        "kkkkk",
        "an empty own id matches no cluster"
    );
}

#[test]
fn the_last_verified_snapshot_of_each_cluster_is_known_before_a_deletion() {
    let all = [of(Some(OTHER), 0), of(Some(OWN), 1), of(Some(OWN), 2), unverified(3)];
    let lost = |deleted: &[usize]| -> Vec<usize> {
        let names: HashSet<&str> = deleted.iter().map(|i| all[*i].file.as_str()).collect();
        let lost = last_verified_lost(&all, &names);
        (0..all.len()).filter(|i| lost.iter().any(|s| s.file == all[*i].file)).collect()
    };
    assert_eq!(lost(&[1, 3]), [0; 0]);
    assert_eq!(lost(&[0]), [0], "the last one of the other cluster");
    assert_eq!(lost(&[1, 2]), [1, 2]);
    assert_eq!(lost(&[0, 1, 2, 3]), [0, 1, 2, 3], "nothing good is left");
}

#[test]
fn selected_files_of_an_unknown_cluster_can_be_looked_up() {
    let other_name = file("prod-n-1795348800", State::Unverified);
    let part = file("timer-n-1795348800.part", State::Incomplete);
    let all = [of(Some(OWN), 0), unverified(1), of(None, 2), other_name, part];
    assert_eq!(selection().unknown_clusters(&all), [all[1].file.as_str(), all[2].file.as_str()]);
}
