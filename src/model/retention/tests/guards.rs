// SPDX-License-Identifier: Apache-2.0
//! Guards, which keep more than the policy does: wrong clocks, dropped key revisions, revisions out of order.

use super::*;

#[test]
fn unknown_key_revisions_are_not_a_drop() {
    let mut all = levels(&[10, 10, 100, 100]);
    assert_eq!(planned(&all, &last(1)), "kkkk");
    for snapshot in &mut all {
        snapshot.manifest = None;
    }
    assert_eq!(planned(&all, &last(1)), "k---", "unknown");
    for (snapshot, known) in all.iter_mut().zip([Some(10), None, Some(100), None]) {
        snapshot.key_revisions = known;
    }
    assert_eq!(planned(&all, &last(1)), "kkkk", "from a listing, some unknown");
}

#[test]
fn snapshots_dated_in_the_future_are_kept_and_not_counted() {
    let ahead = |days: u64| file(&format!("on-demand-n-{}", NOW + days * DAY), State::Verified);
    let mut all = vec![ahead(900), ahead(800), ahead(700)];
    all.extend(group("vvv"));
    assert_eq!(planned(&all, &last(2)), "kkkkk-", "they do not displace others");
    assert_eq!(planned(&all, &Policy { within: Some(DAY), ..last(1) }), "kkkkkk", "ages are in doubt");
    assert_eq!(planned(&all[..1], &last(1)), "k");
    let (selection, policies) = (selection(), last(2).into());
    let input = input(&selection, &policies);
    assert_eq!(warnings(&all, &input), [WarningCode::FutureDate]);
    // A corrupt one is not removed because of a verified one with a wrong date.
    assert_eq!(planned(&[ahead(1), file(&format!("on-demand-n-{NOW}"), State::Corrupt)], &last(1)), "kk");
    // The clock is at 1970: everything is in the future.
    assert_eq!(letters(&all, &[], &PruneInput { now: 0, ..input }), "kkkkkk");
    // Five minutes are within the allowed skew.
    let all = [file(&format!("on-demand-n-{}", NOW + 300), State::Verified), group("v").remove(0)];
    assert_eq!(planned(&all, &last(1)), "k-");
}

#[test]
fn a_gap_in_time_suspends_keep_within_until_three_snapshots_follow() {
    let daily = |after_gap: u64| -> Vec<Snapshot> {
        let new = (0..after_gap).map(|i| NOW - i * DAY);
        let old = (0..6).map(|i| NOW - (after_gap + 400 + i) * DAY);
        new.chain(old).map(|at| file(&format!("on-demand-n-{at}"), State::Verified)).collect()
    };
    assert_eq!(planned(&daily(1), &within(7 * DAY)), "kkkkkkk");
    assert_eq!(planned(&daily(2), &within(7 * DAY)), "kkkkkkkk");
    assert_eq!(planned(&daily(3), &within(7 * DAY)), "kkk------");
    assert_eq!(planned(&daily(1), &last(2)), "kk-----", "a count needs no dates");
    let (selection, policies) = (selection(), within(7 * DAY).into());
    let input = input(&selection, &policies);
    assert_eq!(warnings(&daily(1), &input), [WarningCode::ClockJump]);
    // A clock that is ahead now makes none of them old: age counts from the newest.
    assert_eq!(letters(&group("vvv"), &[], &PruneInput { now: NOW + 9000 * DAY, ..input }), "kkk");
}

#[test]
fn a_drop_of_the_key_revisions_keeps_all_until_three_snapshots_confirm_it() {
    #[rustfmt::skip]
    let rows: &[(&str, &[u64], u32, &str)] = &[
        ("no drop", &[100, 100, 100, 100], 2, "kk--"),
        ("by half is not by more than half", &[50, 100, 100], 1, "k--"),
        ("one at the new level", &[49, 100, 100, 100], 1, "kkkk"),
        ("two at the new level", &[49, 40, 100, 100], 1, "kkkk"),
        ("three at the new level", &[49, 40, 45, 100, 100], 1, "k----"),
        ("back to the old level", &[90, 40, 100, 100], 1, "k---"),
        ("to nothing", &[0, 100], 1, "kk"),
        ("from nothing", &[100, 0], 1, "k-"),
        ("a slow decline", &[60, 80, 100, 120, 140], 1, "k----"),
        ("a second drop", &[10, 40, 40, 40, 100], 1, "kkkkk"),
    ];
    for (name, key_revisions, n, want) in rows {
        assert_eq!(planned(&levels(key_revisions), &last(*n)), *want, "{name}");
    }
    let (selection, policies) = (selection(), last(1).into());
    let input = input(&selection, &policies);
    let accepted = PruneInput { accept_drop: true, ..input };
    assert_eq!(letters(&levels(&[1, 100, 100]), &[], &accepted), "k--", "with --accept-drop");
    assert_eq!(warnings(&levels(&[1, 100]), &input), [WarningCode::KeyRevisionsDropped]);
    assert_eq!(warnings(&levels(&[1, 100]), &accepted), []);
}

#[test]
fn while_a_snapshot_from_before_a_drop_is_kept_three_confirm_the_new_level() {
    let mut all = levels(&[40, 40, 40, 40]);
    all.push(file_in("/x", &format!("on-demand-n-{}", NOW - 400 * DAY), State::Verified, 100));
    let policy = Policy { yearly: 2, ..last(1) };
    assert_eq!(planned(&all, &policy), "kkk-k");
    all.remove(3);
    assert_eq!(planned(&all, &policy), "kkkk", "the next run keeps the same");
}

/// After a boot with a clock that is behind, the newest snapshots have the oldest dates.
#[test]
fn the_snapshot_with_the_highest_revision_is_kept_whatever_its_date_is() {
    let with_revision = |days: u64, revision: i64| {
        let mut snapshot = file(&format!("on-demand-n-{}", NOW - days * DAY), State::Verified);
        snapshot.manifest.as_mut().unwrap().revision = revision;
        snapshot
    };
    let regular = [with_revision(0, 30), with_revision(1, 20), with_revision(2, 10)];
    assert_eq!(planned(&regular, &last(1)), "k--");
    assert_eq!(words(&regular, &last(1))[0], "keep-last newest-verified", "the same snapshot");
    let behind = [&regular[..], &[with_revision(300, 41), with_revision(301, 40)]].concat();
    assert_eq!(planned(&behind, &last(1)), "k--k-");
    assert_eq!(words(&behind, &last(1))[3], "highest-revision");
    // A snapshot that failed verification has no revision that can be trusted.
    let mut corrupt = behind.clone();
    corrupt[3].state = State::Corrupt;
    assert_eq!(planned(&corrupt, &last(1)), "k---k");
    // Each stem keeps its own.
    let mut others = behind.clone();
    others.push(file("timer-n-1420070400", State::Verified));
    assert_eq!(planned(&others, &last(1)), "k--k-k");
}
