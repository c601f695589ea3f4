// SPDX-License-Identifier: Apache-2.0
//! A named row for every rule and every guard. What holds for all listings is in `properties`.
#![cfg(test)]

mod clusters;
mod deletion;
mod guards;
mod properties;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::tz::TimeZone;

use super::*;
use crate::model::name::SnapshotName;
use crate::model::snapshot::{
    Digest, FileId, Leftover, MANIFEST_VERSION, Manifest, Snapshot, State, plausible_size,
};
use crate::model::warning::WarningCode;

/// Noon of a day in 2026.
const NOW: u64 = 1_795_348_800;
const DAY: u64 = 86_400;

fn manifest(file: &str, key_revisions: u64) -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        name: file.into(),
        directory: "/x".into(),
        file: FileId { dev: 1, ino: 2, size: 3, mtime_ns: 4, ctime_ns: 5 },
        stored_sha256: Digest([0; 32]),
        expected_sha256: None,
        plain_sha256: Digest([0; 32]),
        plain_size: 3,
        revision: 7,
        key_revisions,
        token_hash: vec![],
        cluster_id: None,
        node: None,
        base: None,
        etcd_version: None,
        method: None,
        method_reason: None,
        missing_entries: None,
        k3s_version: None,
        etcd_storage_version: None,
        authentication: None,
        members: vec![],
        alarms: vec![],
        freshness: None,
        findings: vec![],
        saved_at: None,
        checked_at: 6,
        upload: None,
        kit: None,
        verified_at: Some(6),
        other: Default::default(),
    }
}

fn file_in(location: &str, file: &str, state: State, key_revisions: u64) -> Snapshot {
    let name = SnapshotName::parse(file).or_else(|| SnapshotName::parse_partial(file));
    Snapshot {
        location: format!("file://{location}/{file}"),
        size: 32 + 512,
        created_at: name.as_ref().map_or(0, |n| n.at),
        name,
        state,
        manifest: (state == State::Verified).then(|| manifest(file, key_revisions)),
        key_revisions: None,
        cluster_id: None,
        file: file.into(),
    }
}

fn file(file: &str, state: State) -> Snapshot {
    file_in("/x", file, state, 100)
}

/// A group, newest first: `v` verified, `u` unverified, `c` corrupt, each a day older than the one before.
fn group(states: &str) -> Vec<Snapshot> {
    let state = |c| match c {
        'v' => State::Verified,
        'u' => State::Unverified,
        'c' => State::Corrupt,
        _ => panic!("{c}"),
    };
    let days = states.chars().enumerate();
    days.map(|(i, c)| file(&format!("on-demand-n-{}", NOW - i as u64 * DAY), state(c))).collect()
}

/// A group of verified snapshots with these key revisions, newest first.
fn levels(key_revisions: &[u64]) -> Vec<Snapshot> {
    let days = key_revisions.iter().enumerate();
    days.map(|(i, n)| file_in("/x", &format!("on-demand-n-{}", NOW - i as u64 * DAY), State::Verified, *n))
        .collect()
}

fn last(n: u32) -> Policy {
    Policy { last: Some(n), ..Policy::none(TimeZone::UTC) }
}

fn within(seconds: u64) -> Policy {
    Policy { within: Some(seconds), ..Policy::none(TimeZone::UTC) }
}

fn selection() -> Selection {
    Selection {
        bases: ["on-demand", "timer", "pre-restore"].map(str::to_owned).to_vec(),
        node: "n".into(),
        scheduled: vec!["etcd-snapshot".into()],
        ..Selection::default()
    }
}

/// The input of a plan for all clusters.
fn input<'a>(selection: &'a Selection, policies: &'a Policies) -> PruneInput<'a> {
    PruneInput { selection, policies, clusters: ClusterScope::All, now: NOW, accept_drop: false }
}

/// One letter for each file in the given order: `k` is kept, `-` is removed, `.` is not selected.
fn letters(all: &[Snapshot], leftovers: &[Leftover], input: &PruneInput) -> String {
    let plan = apply_policy(all, leftovers, input);
    let by_name: BTreeMap<&str, &Decision> =
        plan.actions.iter().map(|a| (a.snapshot.file.as_str(), &a.decision)).collect();
    all.iter()
        .map(|s| match by_name[s.file.as_str()] {
            Decision::Keep(reasons) if !reasons.is_empty() => 'k',
            Decision::Remove(_) => '-',
            Decision::Unmatched(_) => '.',
            other => panic!("{}: {other:?}", s.file),
        })
        .collect()
}

fn planned(all: &[Snapshot], policy: &Policy) -> String {
    letters(all, &[], &input(&selection(), &policy.clone().into()))
}

/// The words of the reasons for each file, newest first.
fn words(all: &[Snapshot], policy: &Policy) -> Vec<String> {
    let (selection, policies) = (selection(), policy.clone().into());
    let plan = apply_policy(all, &[], &input(&selection, &policies));
    plan.actions.iter().rev().map(|a| a.decision.words().join(" ")).collect()
}

/// The codes of the warnings of a plan.
fn warnings(all: &[Snapshot], input: &PruneInput) -> Vec<WarningCode> {
    apply_policy(all, &[], input).warnings.iter().map(|w| w.code).collect()
}

#[test]
fn the_policy_counts_usable_snapshots_and_keeps_the_newest_verified() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, Policy, &str)] = &[
        ("an empty directory", "", last(5), ""),
        ("the only one is kept", "v", last(1), "k"),
        ("keep-last 5", "vvvvvvv", last(5), "kkkkk--"),
        ("keep-last 0 keeps all, the corrupt too", "vvcvu", last(0), "kkkkk"),
        ("unverified do not displace verified", "uuuuuvvvvvv", last(5), "kkkkkkkkkk-"),
        ("unverified are not kept forever", "uuuuuu", last(2), "kk----"),
        ("unverified among verified count with all", "vuvuvu", last(2), "kkk---"),
        ("the newest verified is kept after any number of unverified", "uuuuv", last(1), "k---k"),
        ("the newest unverified is kept if none is verified", "cu", last(1), "kk"),
        ("corrupt do not count", "ccvcv", last(2), "kkk-k"),
        ("corrupt are removed if a newer one is verified", "vc", last(5), "k-"),
        ("corrupt are kept while no newer one is verified", "ccv", last(1), "kkk"),
        ("a newer unverified one does not remove corrupt ones", "ucu", last(1), "kk-"),
        ("only corrupt ones are kept", "ccc", last(1), "kkk"),
        ("a policy of age alone keeps the newest", "vv", within(60), "k-"),
    ];
    for (name, states, policy, want) in rows {
        assert_eq!(planned(&group(states), policy), *want, "{name}");
    }
}

#[test]
fn every_decision_has_stable_words() {
    let policy = Policy { daily: 1, ..last(1) };
    assert_eq!(
        words(&group("uvuvc"), &policy),
        [
            "keep-last keep-daily",
            "keep-last-verified keep-daily-verified newest-verified",
            "no-rule",
            "no-rule",
            "corrupt",
        ]
    );
    assert_eq!(words(&group("cu"), &last(1)), ["no-newer-verified", "keep-last newest-unverified"]);
    assert_eq!(words(&group("v"), &last(0)), ["keep-all"]);
}

#[test]
fn plain_and_zip_of_one_second_count_as_one() {
    let at = |seconds: u64| format!("on-demand-n-{seconds}");
    let all = [
        file(&at(NOW), State::Unverified),
        file(&format!("{}.zip", at(NOW)), State::Verified),
        file(&at(NOW - 1), State::Verified),
        file(&at(NOW - 2), State::Verified),
        file(&format!("{}.zip", at(NOW - 2)), State::Corrupt),
        file(&at(NOW - 3), State::Verified),
        file(&format!("{}.zip", at(NOW - 3)), State::Corrupt),
    ];
    assert_eq!(planned(&all, &last(3)), "kkkkk--");
    assert_eq!(planned(&all, &last(1)), "kk-----");
}

#[test]
fn groups_are_exact_stems() {
    let s = |bases: &[&str]| Selection {
        bases: bases.iter().map(|b| (*b).to_owned()).collect(),
        named: true,
        node: "server-1".into(),
        scheduled: vec!["etcd-snapshot".into()],
        ..Selection::default()
    };
    let saved_as = |mut f: Snapshot, base: &str, node: &str| {
        f.manifest = f.manifest.map(|m| Manifest { base: Some(base.into()), node: Some(node.into()), ..m });
        f
    };
    let v = |f: &str| file(f, State::Verified);
    let all = [
        v("prod-server-1-2"),
        v("prod-server-1-1"),
        v("prod2-server-1-2"),
        v("prod2-server-1-1"),
        v("prod-eu-server-1-2"),
        v("prod-eu-server-1-1"),
        v("prod-server-1-weekly-2"),
        v("prod-server-1-weekly-1"),
        v("etcd-snapshot-server-1-2"),
        v("etcd-snapshot-server-1-1"),
        v("etcd-snapshot-weekly-server-1-2"),
        v("etcd-snapshot-weekly-server-1-1"),
        saved_as(v("on-demand-eu-server-1-2"), "on-demand", "eu-server-1"),
        saved_as(v("on-demand-eu-server-1-1"), "on-demand", "eu-server-1"),
        v("on-demand-server-1-2"),
        v("on-demand-server-1-1"),
        file("backup.tar.gz", State::Foreign),
        file("etcd-snapshot--1", State::Unverified),
    ];
    let policies = last(1).into();
    let planned = |selection: &Selection| letters(&all, &[], &input(selection, &policies));
    let default = Selection { named: false, ..s(&["on-demand", "timer", "pre-restore", "etcd-snapshot"]) };
    #[rustfmt::skip]
    let rows: &[(&str, Selection, &str)] = &[
        ("a base does not select a longer base", s(&["prod"]), "k-................"),
        ("a base with a dash", s(&["prod-eu"]), "....k-............"),
        ("a stem may be a shorter base and a longer node", Selection { node: "eu-server-1".into(), ..s(&["prod"]) }, "....k-............"),
        ("scheduled snapshots of K3s are selected if named, exactly", s(&["etcd-snapshot"]), "........k-........"),
        ("without a name, the snapshots of this program", default.clone(), "..............k-.."),
        ("a base that is only the beginning of a stem", s(&["prod-server-1"]), ".................."),
        ("every stem of this node, but not of other known nodes, and not those of K3s",
            Selection { all: true, ..default.clone() }, "k-k-..........k-.."),
        ("of all nodes that manifests name", Selection { all_nodes: true, ..default.clone() }, "............k-k-.."),
        ("another node", Selection { node: "eu-server-1".into(), ..default.clone() }, "............k-...."),
    ];
    for (name, selection, want) in rows {
        assert_eq!(planned(selection), *want, "{name}");
    }
    // If no other node is known, the name alone counts.
    let all = [v("prod-eu-server-1-2"), v("prod-eu-server-1-1"), v("-server-1-1")];
    let selection = Selection { all: true, ..default };
    assert_eq!(letters(&all, &[], &input(&selection, &policies)), "k-.");
    // The members of etcd name nodes too.
    let mut members = v("on-demand-server-1-3");
    members.manifest.as_mut().unwrap().members = vec!["eu-server-1-0a1b2c3d".into()];
    let all = [all[0].clone(), all[1].clone(), members];
    assert_eq!(letters(&all, &[], &input(&selection, &policies)), "..k");
}

#[test]
fn in_a_shared_location_a_stem_is_selected_only_if_its_node_is_known() {
    let u = |f: &str| file_in("bucket", f, State::Unverified, 1);
    let all = [
        u("on-demand-server-1-2"),
        u("on-demand-server-1-1"),
        u("on-demand-server-2-2"),
        u("on-demand-server-2-1"),
        u("on-demand-eu-server-1-2"),
        u("on-demand-eu-server-1-1"),
        u("prod-server-1-2"),
        u("prod-server-1-1"),
        u("unknown-server-1-2"),
        u("unknown-server-1-1"),
        u("etcd-snapshot-server-1-2"),
        u("etcd-snapshot-server-1-1"),
    ];
    let owners: BTreeMap<String, String> = [
        ("on-demand-server-2", "server-2"),
        ("on-demand-eu-server-1", "eu-server-1"),
        ("prod-server-1", "server-1"),
    ]
    .map(|(stem, node)| (stem.to_owned(), node.to_owned()))
    .into();
    let one = Selection { node: "server-1".into(), owners: Some(owners), ..selection() };
    #[rustfmt::skip]
    let rows: &[(&str, Selection, &str, &[&str])] = &[
        ("stems of this node are not ambiguous", one.clone(), "k-..........", &[]),
        ("all nodes, as far as they are known", Selection { all_nodes: true, ..one.clone() }, "k-k-k-......",
            &["on-demand-eu-server-1-2", "on-demand-server-2-2"]),
        ("all bases of this node, as far as it is known", Selection { all: true, ..one.clone() }, "k-....k-....",
            &["on-demand-eu-server-1-2", "prod-server-1-2", "unknown-server-1-2"]),
        ("all bases, nothing known", Selection { all: true, owners: Some(BTreeMap::new()), ..one.clone() },
            "k-..........", &["on-demand-eu-server-1-2", "prod-server-1-2", "unknown-server-1-2"]),
        ("a known node is not extracted from a stem", Selection { all_nodes: true, bases: vec!["on-demand-eu".into()], ..one.clone() },
            "....k-......", &[]),
    ];
    let policies = last(1).into();
    for (name, selection, want, ambiguous) in rows {
        assert_eq!(letters(&all, &[], &input(selection, &policies)), *want, "{name}");
        assert_eq!(selection.ambiguous_stems(&all).into_values().collect::<Vec<_>>(), *ambiguous, "{name}");
    }
    let plan = apply_policy(&all, &[], &input(&rows[2].1, &policies));
    let decision = |stem: &str| {
        plan.actions.iter().find(|a| a.snapshot.file.starts_with(stem)).unwrap().decision.clone()
    };
    assert_eq!(decision("unknown"), Decision::Unmatched(Unmatched::UnknownOwner));
    assert_eq!(decision("on-demand-eu"), Decision::Unmatched(Unmatched::OtherNode));
}

#[test]
fn a_base_may_have_its_own_policy() {
    let v = |f: &str| file(f, State::Verified);
    let all = [
        v("timer-n-3"),
        v("timer-n-2"),
        v("timer-n-1"),
        v("on-demand-n-3"),
        v("on-demand-n-2"),
        v("on-demand-n-1"),
        v("timer-eu-n-2"),
        v("timer-eu-n-1"),
    ];
    let policies = Policies { all: last(1), of_base: [("timer".to_owned(), last(2))].into() };
    let planned = |selection: &Selection| letters(&all, &[], &input(selection, &policies));
    assert_eq!(planned(&selection()), "kk-k--..");
    assert_eq!(planned(&Selection { all: true, ..selection() }), "kk-k--k-", "its base is timer-eu");
    let owners = Some([("timer-eu-n".to_owned(), "eu-n".to_owned())].into());
    assert_eq!(
        planned(&Selection { all_nodes: true, owners, ..selection() }),
        "kk-k--kk",
        "its base is timer"
    );
}

#[test]
fn the_same_stem_in_another_location_is_another_group() {
    let all = [
        file_in("/x", "on-demand-n-2", State::Verified, 1),
        file_in("/y", "on-demand-n-1", State::Verified, 1),
    ];
    assert_eq!(planned(&all, &last(1)), "kk");
}
