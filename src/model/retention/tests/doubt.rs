// SPDX-License-Identifier: Apache-2.0
//! Where more is kept than the policy says: clocks that jumped, entries that fell.

use super::*;

#[test]
fn entries_that_nobody_knows_are_no_fall() {
    let mut all = levels(&[10, 10, 100, 100]);
    assert_eq!(judged(&all, &last(1)), "kkkk");
    for snapshot in &mut all {
        snapshot.manifest = None;
    }
    assert_eq!(judged(&all, &last(1)), "k---", "unknown");
    for (snapshot, entries) in all.iter_mut().zip([Some(10), None, Some(100), None]) {
        snapshot.key_revisions = entries;
    }
    assert_eq!(judged(&all, &last(1)), "kkkk", "told by a list, with gaps");
}

#[test]
fn dates_in_the_future_stay_and_count_for_nothing() {
    let ahead = |days: u64| file(&format!("on-demand-n-{}", NOW + days * DAY), State::Verified);
    let mut all = vec![ahead(900), ahead(800), ahead(700)];
    all.extend(group("ppp"));
    assert_eq!(judged(&all, &last(2)), "kkkkk-", "they take nobody's place");
    assert_eq!(judged(&all, &Policy { within: Some(DAY), ..last(1) }), "kkkkkk", "no age can be believed");
    assert_eq!(judged(&all[..1], &last(1)), "k");
    let selection = selection();
    let ask = PruneInput { selection: &selection, policies: &last(2).into(), now: NOW, accept_drop: false };
    assert!(judge(&all, &[], &ask).warnings[0].contains("3 of 'on-demand-n' are dated in the future"));
    // A bad one is not removed for a proven one whose date nobody believes.
    assert_eq!(judged(&[ahead(1), file(&format!("on-demand-n-{NOW}"), State::Corrupt)], &last(1)), "kk");
    // The clock fell back to 1970: everything is in the future.
    let ask = PruneInput { now: 0, ..ask };
    assert_eq!(letters(&all, &[], &ask), "kkkkkk");
    // Five minutes are within what clocks differ by.
    let all = [file(&format!("on-demand-n-{}", NOW + 300), State::Verified), group("p").remove(0)];
    assert_eq!(judged(&all, &last(1)), "k-");
}

#[test]
fn a_clock_that_jumped_ahead_stops_pruning_by_age_until_three_stand_behind_the_gap() {
    let daily = |standing: u64| -> Vec<Snapshot> {
        let new = (0..standing).map(|i| NOW - i * DAY);
        let old = (0..6).map(|i| NOW - (standing + 400 + i) * DAY);
        new.chain(old).map(|at| file(&format!("on-demand-n-{at}"), State::Verified)).collect()
    };
    assert_eq!(judged(&daily(1), &within(7 * DAY)), "kkkkkkk");
    assert_eq!(judged(&daily(2), &within(7 * DAY)), "kkkkkkkk");
    assert_eq!(judged(&daily(3), &within(7 * DAY)), "kkk------");
    assert_eq!(judged(&daily(1), &last(2)), "kk-----", "a count asks for no dates");
    let selection = selection();
    let ask =
        PruneInput { selection: &selection, policies: &within(7 * DAY).into(), now: NOW, accept_drop: false };
    assert!(judge(&daily(1), &[], &ask).warnings[0].contains("make a jump"));
    // Nor does a clock that is ahead now make all of them old: age is counted from the newest.
    assert_eq!(letters(&group("ppp"), &[], &PruneInput { now: NOW + 9000 * DAY, ..ask }), "kkk");
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
    let ask = PruneInput { selection: &selection, policies: &last(1).into(), now: NOW, accept_drop: true };
    assert_eq!(letters(&levels(&[1, 100, 100]), &[], &ask), "k--", "with --accept-drop");
    let said = judge(&levels(&[1, 100]), &[], &PruneInput { accept_drop: false, ..ask }).warnings.join("");
    assert!(said.contains("from 100 to 1") && said.contains("--accept-drop"), "{said}");
}

#[test]
fn where_one_from_before_a_fall_stays_three_show_the_new_level() {
    let mut all = levels(&[40, 40, 40, 40]);
    all.push(file_in("/x", &format!("on-demand-n-{}", NOW - 400 * DAY), State::Verified, 100));
    let policy = Policy { yearly: 2, ..last(1) };
    assert_eq!(judged(&all, &policy), "kkk-k");
    all.remove(3);
    assert_eq!(judged(&all, &policy), "kkkk", "and it stays so");
}
