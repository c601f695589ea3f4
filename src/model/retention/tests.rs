// SPDX-License-Identifier: Apache-2.0
//! A named row for every guard and every edge; what holds for all listings is in `laws`.
#![cfg(test)]

mod deletion;
mod doubt;
mod laws;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::tz::TimeZone;

use super::*;
use crate::model::name::SnapshotName;
use crate::model::snapshot::{Digest, FileId, MANIFEST_VERSION, Manifest, plausible_size};

/// Noon of a day in 2026.
const NOW: u64 = 1_795_348_800;
const DAY: u64 = 86_400;

fn manifest(file: &str, entries: u64) -> Manifest {
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
        key_revisions: entries,
        token_hash: vec![],
        cluster_id: None,
        node: None,
        base: None,
        etcd_version: None,
        method: None,
        method_reason: None,
        members: vec![],
        alarms: vec![],
        freshness: None,
        findings: vec![],
        saved_at: None,
        checked_at: 6,
        upload: None,
        verified_at: Some(6),
        other: Default::default(),
    }
}

fn file_in(place: &str, file: &str, state: State, entries: u64) -> Snapshot {
    let name = SnapshotName::parse(file).or_else(|| SnapshotName::parse_partial(file));
    Snapshot {
        location: format!("file://{place}/{file}"),
        size: 32 + 512,
        created_at: name.as_ref().map_or(0, |n| n.at),
        name,
        state,
        manifest: (state == State::Verified).then(|| manifest(file, entries)),
        key_revisions: None,
        cluster_id: None,
        file: file.into(),
    }
}

fn file(file: &str, state: State) -> Snapshot {
    file_in("/x", file, state, 100)
}

/// A group of its own, newest first: `p` proven, `u` unchecked, `b` bad, each a day older than the one before.
fn group(states: &str) -> Vec<Snapshot> {
    let state = |c| match c {
        'p' => State::Verified,
        'u' => State::Unverified,
        'b' => State::Corrupt,
        _ => panic!("{c}"),
    };
    let days = states.chars().enumerate();
    days.map(|(i, c)| file(&format!("on-demand-n-{}", NOW - i as u64 * DAY), state(c))).collect()
}

/// The same, proven, with these entries.
fn levels(entries: &[u64]) -> Vec<Snapshot> {
    let days = entries.iter().enumerate();
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

/// One letter for each file in the order given: `k` stays, `-` goes, `.` was not asked about.
fn letters(all: &[Snapshot], leftovers: &[Leftover], ask: &PruneInput) -> String {
    let judgement = judge(all, leftovers, ask);
    let by_name: BTreeMap<&str, &Decision> =
        judgement.verdicts.iter().map(|v| (v.snapshot.file.as_str(), &v.decision)).collect();
    all.iter()
        .map(|s| match by_name[s.file.as_str()] {
            Decision::Keep(why) if !why.is_empty() => 'k',
            Decision::Remove(_) => '-',
            Decision::Unmatched(_) => '.',
            other => panic!("{}: {other:?}", s.file),
        })
        .collect()
}

fn judged(all: &[Snapshot], policy: &Policy) -> String {
    letters(
        all,
        &[],
        &PruneInput {
            selection: &selection(),
            policies: &policy.clone().into(),
            now: NOW,
            accept_drop: false,
        },
    )
}

fn reasons(all: &[Snapshot], policy: &Policy) -> Vec<String> {
    let selection = selection();
    let judgement = judge(
        all,
        &[],
        &PruneInput { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false },
    );
    judgement.verdicts.iter().rev().map(|v| v.decision.reasons().join(", ")).collect()
}

#[test]
fn what_counts_and_what_stays_in_spite_of_the_policy() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, Policy, &str)] = &[
        ("an empty folder", "", last(5), ""),
        ("the only one stays", "p", last(1), "k"),
        ("as many as K3s keeps", "ppppppp", last(5), "kkkkk--"),
        ("retention 0 keeps all, the bad too", "ppbpu", last(0), "kkkkk"),
        ("the unproven push out no proven one", "uuuuupppppp", last(5), "kkkkkkkkkk-"),
        ("the unproven are not kept for ever", "uuuuuu", last(2), "kk----"),
        ("the unproven among the proven count with all", "pupupu", last(2), "kkk---"),
        ("the newest proven stays behind any number of unproven", "uuuup", last(1), "k---k"),
        ("the newest unchecked stays if none is proven", "bu", last(1), "kk"),
        ("bad ones never count", "bbpbp", last(2), "kkk-k"),
        ("bad ones go when a newer one is proven", "pb", last(5), "k-"),
        ("bad ones stay while no newer one is proven", "bbp", last(1), "kkk"),
        ("an unchecked newer one does not let bad ones go", "ubu", last(1), "kk-"),
        ("nothing but bad ones stays as it is", "bbb", last(1), "kkk"),
        ("a policy of age alone keeps the newest", "pp", within(60), "k-"),
    ];
    for (what, states, policy, want) in rows {
        assert_eq!(judged(&group(states), policy), *want, "{what}");
    }
}

#[test]
fn reasons_are_said() {
    let policy = Policy { daily: 1, ..last(1) };
    assert_eq!(
        reasons(&group("upupb"), &policy),
        [
            "keep-last, keep-daily",
            "keep-last among the proven, keep-daily among the proven, the newest proven one",
            "no rule keeps it",
            "no rule keeps it",
            "bad, and a newer one is proven",
        ]
    );
    assert_eq!(reasons(&group("bu"), &last(1))[1], "keep-last, the newest one, none is proven");
    assert_eq!(reasons(&group("bu"), &last(1))[0], "no newer one is proven");
    assert_eq!(reasons(&group("p"), &last(0)), ["all are kept"]);
}

#[test]
fn plain_and_zip_of_one_second_are_one_point_in_time() {
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
    assert_eq!(judged(&all, &last(3)), "kkkkk--");
    assert_eq!(judged(&all, &last(1)), "kk-----");
}

#[test]
fn groups_are_places_and_exact_stems() {
    let s = |bases: &[&str]| Selection {
        bases: bases.iter().map(|b| (*b).to_owned()).collect(),
        named: true,
        node: "server-1".into(),
        scheduled: vec!["etcd-snapshot".into()],
        ..Selection::default()
    };
    let of = |mut f: Snapshot, base: &str, node: &str| {
        f.manifest = f.manifest.map(|m| Manifest { base: Some(base.into()), node: Some(node.into()), ..m });
        f
    };
    let p = |f: &str| file(f, State::Verified);
    let all = [
        p("prod-server-1-2"),
        p("prod-server-1-1"),
        p("prod2-server-1-2"),
        p("prod2-server-1-1"),
        p("prod-eu-server-1-2"),
        p("prod-eu-server-1-1"),
        p("prod-server-1-weekly-2"),
        p("prod-server-1-weekly-1"),
        p("etcd-snapshot-server-1-2"),
        p("etcd-snapshot-server-1-1"),
        p("etcd-snapshot-weekly-server-1-2"),
        p("etcd-snapshot-weekly-server-1-1"),
        of(p("on-demand-eu-server-1-2"), "on-demand", "eu-server-1"),
        of(p("on-demand-eu-server-1-1"), "on-demand", "eu-server-1"),
        p("on-demand-server-1-2"),
        p("on-demand-server-1-1"),
        file("backup.tar.gz", State::Foreign),
        file("etcd-snapshot--1", State::Unverified),
    ];
    let shown = |selection: &Selection| {
        letters(&all, &[], &PruneInput { selection, policies: &last(1).into(), now: NOW, accept_drop: false })
    };
    let default = Selection { named: false, ..s(&["on-demand", "timer", "pre-restore", "etcd-snapshot"]) };
    #[rustfmt::skip]
    let rows: &[(&str, Selection, &str)] = &[
        ("a base never takes one that begins with it", s(&["prod"]), "k-................"),
        ("a base with a dash", s(&["prod-eu"]), "....k-............"),
        ("the same text as a longer node of a shorter base", Selection { node: "eu-server-1".into(), ..s(&["prod"]) }, "....k-............"),
        ("K3s's own are taken when named, exactly", s(&["etcd-snapshot"]), "........k-........"),
        ("what this tool makes here, K3s's own not", default.clone(), "..............k-.."),
        ("a base that only begins a stem", s(&["prod-server-1"]), ".................."),
        ("every stem of this node, but of no node that is known to be another, and not K3s's own",
            Selection { all: true, ..default.clone() }, "k-k-..........k-.."),
        ("of all nodes, as the manifests say", Selection { all_nodes: true, ..default.clone() }, "............k-k-.."),
        ("another node", Selection { node: "eu-server-1".into(), ..default.clone() }, "............k-...."),
    ];
    for (what, selection, want) in rows {
        assert_eq!(shown(selection), *want, "{what}");
    }
    // Where nobody knows of another node, the name is all there is.
    let all = [p("prod-eu-server-1-2"), p("prod-eu-server-1-1"), p("-server-1-1")];
    let selection = Selection { all: true, ..default };
    let ask = PruneInput { selection: &selection, policies: &last(1).into(), now: NOW, accept_drop: false };
    assert_eq!(letters(&all, &[], &ask), "k-.");
    // etcd's members tell of nodes too.
    let mut members = p("on-demand-server-1-3");
    members.manifest.as_mut().unwrap().members = vec!["eu-server-1-0a1b2c3d".into()];
    assert_eq!(letters(&[all[0].clone(), all[1].clone(), members], &[], &ask), "..k");
}

#[test]
fn in_a_place_that_nodes_share_it_has_to_be_told_whose_a_stem_is() {
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
        u("untold-server-1-2"),
        u("untold-server-1-1"),
        u("etcd-snapshot-server-1-2"),
        u("etcd-snapshot-server-1-1"),
    ];
    let told: BTreeMap<String, String> = [
        ("on-demand-server-2", "server-2"),
        ("on-demand-eu-server-1", "eu-server-1"),
        ("prod-server-1", "server-1"),
    ]
    .map(|(stem, node)| (stem.to_owned(), node.to_owned()))
    .into();
    let one = Selection { node: "server-1".into(), told: Some(told), ..selection() };
    #[rustfmt::skip]
    let rows: &[(&str, Selection, &str, &[&str])] = &[
        ("this node's need no telling", one.clone(), "k-..........", &[]),
        ("all nodes, as far as it is told", Selection { all_nodes: true, ..one.clone() }, "k-k-k-......",
            &["on-demand-eu-server-1-2", "on-demand-server-2-2"]),
        ("all bases of this node, as far as it is told", Selection { all: true, ..one.clone() }, "k-....k-....",
            &["on-demand-eu-server-1-2", "prod-server-1-2", "untold-server-1-2"]),
        ("of all bases nothing where nothing is told", Selection { all: true, told: Some(BTreeMap::new()), ..one.clone() },
            "k-..........", &["on-demand-eu-server-1-2", "prod-server-1-2", "untold-server-1-2"]),
        ("a node that is told is not cut out of a stem", Selection { all_nodes: true, bases: vec!["on-demand-eu".into()], ..one.clone() },
            "....k-......", &[]),
    ];
    for (what, selection, want, asks) in rows {
        let ask = PruneInput { selection, policies: &last(1).into(), now: NOW, accept_drop: false };
        assert_eq!(letters(&all, &[], &ask), *want, "{what}");
        assert_eq!(selection.asks(&all).into_values().collect::<Vec<_>>(), *asks, "{what}");
    }
    let ask = PruneInput { selection: &rows[2].1, policies: &last(1).into(), now: NOW, accept_drop: false };
    let judgement = judge(&all, &[], &ask);
    let why = |stem: &str| {
        let found = judgement.verdicts.iter().find(|v| v.snapshot.file.starts_with(stem)).unwrap();
        found.decision.reasons().join("")
    };
    assert!(
        why("untold").contains("nothing tells whose it is") && why("on-demand-eu").contains("another node's")
    );
}

#[test]
fn a_base_may_have_a_policy_of_its_own() {
    let p = |f: &str| file(f, State::Verified);
    let all = [
        p("timer-n-3"),
        p("timer-n-2"),
        p("timer-n-1"),
        p("on-demand-n-3"),
        p("on-demand-n-2"),
        p("on-demand-n-1"),
        p("timer-eu-n-2"),
        p("timer-eu-n-1"),
    ];
    let policies = Policies { all: last(1), of_base: [("timer".to_owned(), last(2))].into() };
    let shown = |selection: &Selection| {
        letters(&all, &[], &PruneInput { selection, policies: &policies, now: NOW, accept_drop: false })
    };
    assert_eq!(shown(&selection()), "kk-k--..");
    assert_eq!(shown(&Selection { all: true, ..selection() }), "kk-k--k-", "its base is timer-eu");
    let told = Some([("timer-eu-n".to_owned(), "eu-n".to_owned())].into());
    assert_eq!(shown(&Selection { all_nodes: true, told, ..selection() }), "kk-k--kk", "its base is timer");
}

#[test]
fn the_same_stem_in_another_place_is_another_group() {
    let all = [
        file_in("/x", "on-demand-n-2", State::Verified, 1),
        file_in("/y", "on-demand-n-1", State::Verified, 1),
    ];
    assert_eq!(judged(&all, &last(1)), "kk");
}
