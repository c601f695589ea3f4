// SPDX-License-Identifier: Apache-2.0
//! What is deleted without a policy: leftovers, and snapshots that are named.

use super::*;

#[test]
fn leftovers_are_removed_if_they_are_old_and_not_in_use() {
    let left = |file: &str, age: u64, in_use| Leftover {
        file: file.into(),
        modified_at: NOW - age,
        in_use,
        ours: file.starts_with('.'),
    };
    let part = format!("on-demand-n-{}.part", NOW - 3 * DAY);
    let dot = ".k3s-snapshot-123.part";
    let all = |newer: State| {
        vec![
            file(&format!("on-demand-n-{NOW}"), newer),
            file(&part, State::Incomplete),
            file(dot, State::Foreign),
            file(".k3s-snapshot-notes", State::Foreign),
        ]
    };
    #[rustfmt::skip]
    let rows: &[(&str, State, u64, bool, &str)] = &[
        ("old and not in use", State::Verified, DAY, false, "k--."),
        ("recently written", State::Verified, DAY - 1, false, "kkk."),
        ("in use", State::Verified, 9 * DAY, true, "kkk."),
        ("no newer one is verified: temporary files of this program are removed anyway", State::Unverified, 9 * DAY, false, "kk-."),
    ];
    let (selection, policies) = (selection(), last(5).into());
    let input = input(&selection, &policies);
    for (name, newer, age, in_use, want) in rows {
        let leftovers = [left(&part, *age, *in_use), left(dot, *age, *in_use)];
        assert_eq!(letters(&all(*newer), &leftovers, &input), *want, "{name}");
    }
    assert_eq!(letters(&all(State::Verified), &[], &input), "kk..", "no leftovers are known");
    let leftovers = [left(&part, 9 * DAY, false), left(dot, 9 * DAY, false)];
    let keeps_all = PruneInput { policies: &last(0).into(), ..input };
    assert_eq!(letters(&all(State::Verified), &leftovers, &keeps_all), "kk-.");
    // A leftover has no content from which its cluster could be read.
    let known = PruneInput { clusters: ClusterScope::Own("0f9c2b6e"), ..input };
    let mut own = all(State::Verified);
    own[0].manifest.as_mut().unwrap().cluster_id = Some("0f9c2b6e".into());
    assert_eq!(letters(&own, &leftovers, &known), "k--.");
    assert_eq!(letters(&all(State::Verified), &leftovers, &known), "kk-.", "no newer one of this cluster");
    let k3s = file("etcd-snapshot-n-5.part", State::Incomplete);
    let leftovers = [left("etcd-snapshot-n-5.part", 9 * DAY, false)];
    assert_eq!(letters(&[k3s], &leftovers, &input), ".", "scheduled snapshots of K3s must be named");
}

#[test]
fn only_names_of_single_files_can_be_deleted() {
    for good in ["on-demand-n-5", "on-demand-n-5.zip", "a-b-5.part", "ü-1", "..-5"] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for invalid in ["", ".", "..", "/", "a/b-5", "../a-5", "a-*", "a-?", "a-[12]", "a-\n5", "a-\x1b5", "a-5/"]
    {
        assert!(check_name(invalid).is_err(), "{invalid:?}");
    }
}

#[test]
fn deleting_the_last_good_snapshots_of_a_group_is_detected() {
    let all = [group("cvuv"), vec![file("timer-n-5", State::Unverified), file("timer-n-6", State::Corrupt)]]
        .concat();
    let names: Vec<&str> = all.iter().map(|s| s.file.as_str()).collect();
    let lost = |deleted: &[usize]| -> Vec<&str> {
        let deleted: HashSet<&str> = deleted.iter().map(|i| names[*i]).collect();
        last_verified_lost(&all, &deleted).into_iter().map(|s| s.file.as_str()).collect()
    };
    assert_eq!(lost(&[0, 1, 2, 5]), [""; 0], "a verified and an unverified one are left");
    assert_eq!(lost(&[1, 3]), [names[1], names[3]], "an unverified one does not replace a verified one");
    assert_eq!(lost(&[4]), [names[4]]);
    let both = [file("a-n-5", State::Verified), file("a-n-5.zip", State::Verified)];
    assert!(last_verified_lost(&both, &HashSet::from(["a-n-5"])).is_empty(), "the zip is left");
    assert!(plausible_size(both[0].size));
}
