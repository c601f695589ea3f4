// SPDX-License-Identifier: Apache-2.0
//! A named row for every guard and every edge, and what holds for all listings.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::tz::TimeZone;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

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
        folder: "/x".into(),
        file: FileId { dev: 1, ino: 2, size: 3, mtime_ns: 4, ctime_ns: 5 },
        stored_sha256: Digest([0; 32]),
        expected_sha256: None,
        plain_sha256: Digest([0; 32]),
        plain_size: 3,
        revision: 7,
        entries,
        token_hash: vec![],
        cluster_id: None,
        node: None,
        base: None,
        etcd_version: None,
        method: None,
        method_reason: None,
        members: vec![],
        alarms: vec![],
        recency: None,
        findings: vec![],
        saved_at: None,
        checked_at: 6,
        proven_at: Some(6),
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
        manifest: (state == State::Proven).then(|| manifest(file, entries)),
        entries: None,
        file: file.into(),
    }
}

fn file(file: &str, state: State) -> Snapshot {
    file_in("/x", file, state, 100)
}

/// A group of its own, newest first: `p` proven, `u` unchecked, `b` bad, each a day older than the one before.
fn group(states: &str) -> Vec<Snapshot> {
    let state = |c| match c {
        'p' => State::Proven,
        'u' => State::Unchecked,
        'b' => State::Bad,
        _ => panic!("{c}"),
    };
    let days = states.chars().enumerate();
    days.map(|(i, c)| file(&format!("on-demand-n-{}", NOW - i as u64 * DAY), state(c))).collect()
}

/// The same, proven, with these entries.
fn levels(entries: &[u64]) -> Vec<Snapshot> {
    let days = entries.iter().enumerate();
    days.map(|(i, n)| file_in("/x", &format!("on-demand-n-{}", NOW - i as u64 * DAY), State::Proven, *n))
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
fn letters(all: &[Snapshot], leftovers: &[Leftover], ask: &Ask) -> String {
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
        &Ask { selection: &selection(), policies: &policy.clone().into(), now: NOW, accept_drop: false },
    )
}

fn reasons(all: &[Snapshot], policy: &Policy) -> Vec<String> {
    let selection = selection();
    let judgement = judge(
        all,
        &[],
        &Ask { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false },
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
        file(&at(NOW), State::Unchecked),
        file(&format!("{}.zip", at(NOW)), State::Proven),
        file(&at(NOW - 1), State::Proven),
        file(&at(NOW - 2), State::Proven),
        file(&format!("{}.zip", at(NOW - 2)), State::Bad),
        file(&at(NOW - 3), State::Proven),
        file(&format!("{}.zip", at(NOW - 3)), State::Bad),
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
    let p = |f: &str| file(f, State::Proven);
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
        file("etcd-snapshot--1", State::Unchecked),
    ];
    let shown = |selection: &Selection| {
        letters(&all, &[], &Ask { selection, policies: &last(1).into(), now: NOW, accept_drop: false })
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
    let ask = Ask { selection: &selection, policies: &last(1).into(), now: NOW, accept_drop: false };
    assert_eq!(letters(&all, &[], &ask), "k-.");
    // etcd's members tell of nodes too.
    let mut members = p("on-demand-server-1-3");
    members.manifest.as_mut().unwrap().members = vec!["eu-server-1-0a1b2c3d".into()];
    assert_eq!(letters(&[all[0].clone(), all[1].clone(), members], &[], &ask), "..k");
}

#[test]
fn in_a_place_that_nodes_share_it_has_to_be_told_whose_a_stem_is() {
    let u = |f: &str| file_in("bucket", f, State::Unchecked, 1);
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
        let ask = Ask { selection, policies: &last(1).into(), now: NOW, accept_drop: false };
        assert_eq!(letters(&all, &[], &ask), *want, "{what}");
        assert_eq!(selection.asks(&all).into_values().collect::<Vec<_>>(), *asks, "{what}");
    }
    let ask = Ask { selection: &rows[2].1, policies: &last(1).into(), now: NOW, accept_drop: false };
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
    let p = |f: &str| file(f, State::Proven);
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
        letters(&all, &[], &Ask { selection, policies: &policies, now: NOW, accept_drop: false })
    };
    assert_eq!(shown(&selection()), "kk-k--..");
    assert_eq!(shown(&Selection { all: true, ..selection() }), "kk-k--k-", "its base is timer-eu");
    let told = Some([("timer-eu-n".to_owned(), "eu-n".to_owned())].into());
    assert_eq!(shown(&Selection { all_nodes: true, told, ..selection() }), "kk-k--kk", "its base is timer");
}

#[test]
fn entries_that_nobody_knows_are_no_fall() {
    let mut all = levels(&[10, 10, 100, 100]);
    assert_eq!(judged(&all, &last(1)), "kkkk");
    for snapshot in &mut all {
        snapshot.manifest = None;
    }
    assert_eq!(judged(&all, &last(1)), "k---", "unknown");
    for (snapshot, entries) in all.iter_mut().zip([Some(10), None, Some(100), None]) {
        snapshot.entries = entries;
    }
    assert_eq!(judged(&all, &last(1)), "kkkk", "told by a list, with gaps");
}

#[test]
fn the_same_stem_in_another_place_is_another_group() {
    let all =
        [file_in("/x", "on-demand-n-2", State::Proven, 1), file_in("/y", "on-demand-n-1", State::Proven, 1)];
    assert_eq!(judged(&all, &last(1)), "kk");
}

#[test]
fn dates_in_the_future_stay_and_count_for_nothing() {
    let ahead = |days: u64| file(&format!("on-demand-n-{}", NOW + days * DAY), State::Proven);
    let mut all = vec![ahead(900), ahead(800), ahead(700)];
    all.extend(group("ppp"));
    assert_eq!(judged(&all, &last(2)), "kkkkk-", "they take nobody's place");
    assert_eq!(judged(&all, &Policy { within: Some(DAY), ..last(1) }), "kkkkkk", "no age can be believed");
    assert_eq!(judged(&all[..1], &last(1)), "k");
    let selection = selection();
    let ask = Ask { selection: &selection, policies: &last(2).into(), now: NOW, accept_drop: false };
    assert!(judge(&all, &[], &ask).warnings[0].contains("3 of 'on-demand-n' are dated in the future"));
    // A bad one is not removed for a proven one whose date nobody believes.
    assert_eq!(judged(&[ahead(1), file(&format!("on-demand-n-{NOW}"), State::Bad)], &last(1)), "kk");
    // The clock fell back to 1970: everything is in the future.
    let ask = Ask { now: 0, ..ask };
    assert_eq!(letters(&all, &[], &ask), "kkkkkk");
    // Five minutes are within what clocks differ by.
    let all = [file(&format!("on-demand-n-{}", NOW + 300), State::Proven), group("p").remove(0)];
    assert_eq!(judged(&all, &last(1)), "k-");
}

#[test]
fn a_clock_that_jumped_ahead_stops_pruning_by_age_until_three_stand_behind_the_gap() {
    let daily = |standing: u64| -> Vec<Snapshot> {
        let new = (0..standing).map(|i| NOW - i * DAY);
        let old = (0..6).map(|i| NOW - (standing + 400 + i) * DAY);
        new.chain(old).map(|at| file(&format!("on-demand-n-{at}"), State::Proven)).collect()
    };
    assert_eq!(judged(&daily(1), &within(7 * DAY)), "kkkkkkk");
    assert_eq!(judged(&daily(2), &within(7 * DAY)), "kkkkkkkk");
    assert_eq!(judged(&daily(3), &within(7 * DAY)), "kkk------");
    assert_eq!(judged(&daily(1), &last(2)), "kk-----", "a count asks for no dates");
    let selection = selection();
    let ask = Ask { selection: &selection, policies: &within(7 * DAY).into(), now: NOW, accept_drop: false };
    assert!(judge(&daily(1), &[], &ask).warnings[0].contains("make a jump"));
    // Nor does a clock that is ahead now make all of them old: age is counted from the newest.
    assert_eq!(letters(&group("ppp"), &[], &Ask { now: NOW + 9000 * DAY, ..ask }), "kkk");
}

#[test]
fn a_fall_of_the_entries_keeps_all_until_it_is_believed() {
    #[rustfmt::skip]
    let rows: &[(&str, &[u64], u32, &str)] = &[
        ("no fall", &[100, 100, 100, 100], 2, "kk--"),
        ("by half is not by more than half", &[50, 100, 100], 1, "k--"),
        ("one stands at the new level", &[49, 100, 100, 100], 1, "kkkk"),
        ("two stand", &[49, 40, 100, 100], 1, "kkkk"),
        ("three stand", &[49, 40, 45, 100, 100], 1, "k----"),
        ("it rose again", &[90, 40, 100, 100], 1, "k---"),
        ("to nothing", &[0, 100], 1, "kk"),
        ("from nothing", &[100, 0], 1, "k-"),
        ("a slow fall", &[60, 80, 100, 120, 140], 1, "k----"),
        ("a second fall", &[10, 40, 40, 40, 100], 1, "kkkkk"),
    ];
    for (what, entries, n, want) in rows {
        assert_eq!(judged(&levels(entries), &last(*n)), *want, "{what}");
    }
    let selection = selection();
    let ask = Ask { selection: &selection, policies: &last(1).into(), now: NOW, accept_drop: true };
    assert_eq!(letters(&levels(&[1, 100, 100]), &[], &ask), "k--", "with --accept-drop");
    let said = judge(&levels(&[1, 100]), &[], &Ask { accept_drop: false, ..ask }).warnings.join("");
    assert!(said.contains("from 100 to 1") && said.contains("--accept-drop"), "{said}");
}

#[test]
fn where_one_from_before_a_fall_stays_three_show_the_new_level() {
    let mut all = levels(&[40, 40, 40, 40]);
    all.push(file_in("/x", &format!("on-demand-n-{}", NOW - 400 * DAY), State::Proven, 100));
    let policy = Policy { yearly: 2, ..last(1) };
    assert_eq!(judged(&all, &policy), "kkk-k");
    all.remove(3);
    assert_eq!(judged(&all, &policy), "kkkk", "and it stays so");
}

#[test]
fn leftovers_go_when_they_are_old_and_nobody_holds_them() {
    let left = |file: &str, age: u64, held| Leftover {
        file: file.into(),
        modified_at: NOW - age,
        held,
        ours: file.starts_with('.'),
    };
    let part = format!("on-demand-n-{}.part", NOW - 3 * DAY);
    let dot = ".k3s-snapshot-123.part";
    let all = |newer: State| {
        vec![
            file(&format!("on-demand-n-{NOW}"), newer),
            file(&part, State::Partial),
            file(dot, State::Foreign),
            file(".k3s-snapshot-notes", State::Foreign),
        ]
    };
    #[rustfmt::skip]
    let rows: &[(&str, State, u64, bool, &str)] = &[
        ("old and let go of", State::Proven, DAY, false, "k--."),
        ("young", State::Proven, DAY - 1, false, "kkk."),
        ("held", State::Proven, 9 * DAY, true, "kkk."),
        ("no newer one is proven: ours goes all the same", State::Unchecked, 9 * DAY, false, "kk-."),
    ];
    let (selection, policy) = (selection(), last(5));
    let ask = Ask { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false };
    for (what, newer, age, held, want) in rows {
        let leftovers = [left(&part, *age, *held), left(dot, *age, *held)];
        assert_eq!(letters(&all(*newer), &leftovers, &ask), *want, "{what}");
    }
    assert_eq!(letters(&all(State::Proven), &[], &ask), "kk..", "nobody looked");
    let leftovers = [left(&part, 9 * DAY, false), left(dot, 9 * DAY, false)];
    assert_eq!(letters(&all(State::Proven), &leftovers, &Ask { policies: &last(0).into(), ..ask }), "kk-.");
    let k3s = file("etcd-snapshot-n-5.part", State::Partial);
    let leftovers = [left("etcd-snapshot-n-5.part", 9 * DAY, false)];
    assert_eq!(letters(&[k3s], &leftovers, &ask), ".", "K3s's own has to be named");
}

#[test]
fn names_to_delete_are_names() {
    for good in ["on-demand-n-5", "on-demand-n-5.zip", "a-b-5.part", "ü-1", "..-5"] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for bad in ["", ".", "..", "/", "a/b-5", "../a-5", "a-*", "a-?", "a-[12]", "a-\n5", "a-\x1b5", "a-5/"] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_last_good_one_of_a_group_is_known() {
    let all =
        [group("bpup"), vec![file("timer-n-5", State::Unchecked), file("timer-n-6", State::Bad)]].concat();
    let names: Vec<&str> = all.iter().map(|s| s.file.as_str()).collect();
    let last = |doomed: &[usize]| -> Vec<&str> {
        let doomed: HashSet<&str> = doomed.iter().map(|i| names[*i]).collect();
        last_good(&all, &doomed).into_iter().map(|s| s.file.as_str()).collect()
    };
    assert_eq!(last(&[0, 1, 2, 5]), [""; 0], "one proven and one unchecked are left");
    assert_eq!(last(&[1, 3]), [names[1], names[3]], "an unchecked one is no proven one");
    assert_eq!(last(&[4]), [names[4]]);
    let twin = [file("a-n-5", State::Proven), file("a-n-5.zip", State::Proven)];
    assert!(last_good(&twin, &HashSet::from(["a-n-5"])).is_empty(), "the zip is left");
    assert!(plausible_size(twin[0].size));
}

fn arbitrary_policy() -> impl Strategy<Value = Policy> {
    let n = || prop_oneof![Just(0u32), 0u32..4];
    let rest = (n(), n(), n(), n(), n());
    (proptest::option::of(1u32..4), rest, proptest::option::of(0u64..9 * DAY)).prop_map(
        |(last, r, within)| {
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            let (hourly, daily, weekly, monthly, yearly) = r;
            Policy { last, hourly, daily, weekly, monthly, yearly, within, zone }
        },
    )
}

fn arbitrary_listing() -> impl Strategy<Value = Vec<Snapshot>> {
    let one = (0u64..4000, 0usize..5, any::<bool>(), 0u64..200);
    proptest::collection::vec(one, 0..40).prop_map(|rows| {
        let mut seen = BTreeSet::new();
        let file = |(hours, state, zip, entries): (u64, usize, bool, u64)| {
            let at = NOW + DAY - hours * 7 * 3600;
            let (state, end) = match (state, zip) {
                (0 | 1, z) => (State::Proven, if z { ".zip" } else { "" }),
                (2, z) => (State::Unchecked, if z { ".zip" } else { "" }),
                (3, z) => (State::Bad, if z { ".zip" } else { "" }),
                _ => (State::Partial, ".part"),
            };
            let stem = if hours % 5 == 0 { "timer-n" } else { "on-demand-n" };
            let mut file = file_in("/x", &format!("{stem}-{at}{end}"), state, entries);
            // As a bucket tells them, and as a manifest without a number does.
            if entries % 4 > 1 {
                (file.manifest, file.entries) = (None, Some(entries).filter(|n| n % 4 == 2));
            }
            file
        };
        rows.into_iter().map(file).filter(|f| seen.insert(f.file.clone())).collect()
    })
}

fn old_leftovers(all: &[Snapshot]) -> Vec<Leftover> {
    let left = |s: &Snapshot| Leftover { file: s.file.clone(), modified_at: 0, held: false, ours: false };
    all.iter().filter(|s| s.state == State::Partial).map(left).collect()
}

fn gone(all: &[Snapshot], policy: &Policy) -> Vec<String> {
    let selection = selection();
    let ask = Ask { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false };
    let verdicts = judge(all, &old_leftovers(all), &ask).verdicts;
    let gone = verdicts.into_iter().filter(|v| matches!(v.decision, Decision::Remove(_)));
    gone.map(|v| v.snapshot.file.clone()).collect()
}

fn without(all: &[Snapshot], gone: &[String]) -> Vec<Snapshot> {
    all.iter().filter(|s| !gone.contains(&s.file)).cloned().collect()
}

proptest! {
    #[test]
    fn pruning_twice_deletes_nothing_more(all in arbitrary_listing(), policy in arbitrary_policy()) {
        if !policy.is_empty() {
            let first = gone(&all, &policy);
            prop_assert_eq!(gone(&without(&all, &first), &policy), Vec::<String>::new());
        }
    }

    #[test]
    fn a_run_that_was_killed_is_ended_by_the_next_and_nothing_more_goes(
        all in arbitrary_listing(), policy in arbitrary_policy(), killed in 0usize..40,
    ) {
        if !policy.is_empty() {
            let plan = gone(&all, &policy);
            let done = &plan[..killed.min(plan.len())];
            let rest = gone(&without(&all, done), &policy);
            prop_assert!(rest.iter().all(|f| plan[done.len()..].contains(f)), "{:?} of {:?}", rest, plan);
            // A store may have done any part of a request.
            let any = |f: &&String| f.bytes().map(usize::from).sum::<usize>().wrapping_mul(killed + 1) % 3 == 0;
            let done: Vec<String> = plan.iter().filter(any).cloned().collect();
            let rest = gone(&without(&all, &done), &policy);
            prop_assert!(rest.iter().all(|f| plan.contains(f) && !done.contains(f)), "{:?} of {:?}", rest, plan);
            // The guards may hold back what is left of a plan; the rules alone never do.
            let plain: Vec<Snapshot> = all.iter().map(|s| file(&s.file, s.state)).collect();
            let policy = Policy { within: None, ..policy };
            if !policy.is_empty() {
                let plan = gone(&plain, &policy);
                let done = &plan[..killed.min(plan.len())];
                prop_assert_eq!(gone(&without(&plain, done), &policy), &plan[done.len()..]);
            }
        }
    }

    #[test]
    fn a_wider_policy_never_deletes_more(all in arbitrary_listing(), a in arbitrary_policy(), b in arbitrary_policy()) {
        let wide = Policy {
            last: a.last.max(b.last),
            hourly: a.hourly.max(b.hourly),
            daily: a.daily.max(b.daily),
            weekly: a.weekly.max(b.weekly),
            monthly: a.monthly.max(b.monthly),
            yearly: a.yearly.max(b.yearly),
            within: a.within.max(b.within),
            zone: a.zone.clone(),
        };
        let narrow = gone(&all, &a);
        prop_assert!(gone(&all, &wide).iter().all(|f| narrow.contains(f)));
        prop_assert_eq!(gone(&all, &Policy { last: Some(0), ..a }), Vec::<String>::new());
    }

    #[test]
    fn the_newest_good_and_the_newest_proven_stay(all in arbitrary_listing(), policy in arbitrary_policy()) {
        if !policy.is_empty() {
            let gone = gone(&all, &policy);
            for stem in ["on-demand-n", "timer-n"] {
                let of = |states: &[State]| {
                    let fit = all.iter().filter(|s| states.contains(&s.state) && s.created_at <= NOW);
                    let fit = fit.filter(|s| s.name.as_ref().unwrap().stem == stem);
                    fit.max_by_key(|s| s.created_at).map(|s| s.file.clone())
                };
                for newest in [of(&[State::Proven]), of(&[State::Proven, State::Unchecked])].into_iter().flatten() {
                    prop_assert!(!gone.contains(&newest), "{}", newest);
                }
            }
        }
    }

    #[test]
    fn verdicts_do_not_depend_on_the_order(all in arbitrary_listing(), policy in arbitrary_policy(), by in any::<u64>()) {
        let mut other = all.clone();
        let hash = |s: &Snapshot| s.file.bytes().fold(by, |h, b| h.rotate_left(5) ^ u64::from(b));
        other.sort_by_key(hash);
        let (selection, left) = (selection(), old_leftovers(&all));
        let ask = Ask { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false };
        let (a, b) = (judge(&all, &left, &ask), judge(&other, &left, &ask));
        let rows = |j: &Judgement| -> Vec<String> {
            j.verdicts.iter().map(|v| format!("{} {:?}", v.snapshot.file, v.decision)).collect()
        };
        prop_assert_eq!((rows(&a), a.warnings), (rows(&b), b.warnings));
    }
}
