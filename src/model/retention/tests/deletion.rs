// SPDX-License-Identifier: Apache-2.0
//! What is deleted without a policy: leftovers, and what somebody names.

use super::*;

#[test]
fn leftovers_go_when_they_are_old_and_nobody_holds_them() {
    let left = |file: &str, age: u64, held| Leftover {
        file: file.into(),
        modified_at: NOW - age,
        in_use: held,
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
        ("old and let go of", State::Verified, DAY, false, "k--."),
        ("young", State::Verified, DAY - 1, false, "kkk."),
        ("held", State::Verified, 9 * DAY, true, "kkk."),
        ("no newer one is proven: ours goes all the same", State::Unverified, 9 * DAY, false, "kk-."),
    ];
    let (selection, policy) = (selection(), last(5));
    let ask =
        PruneInput { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false };
    for (what, newer, age, held, want) in rows {
        let leftovers = [left(&part, *age, *held), left(dot, *age, *held)];
        assert_eq!(letters(&all(*newer), &leftovers, &ask), *want, "{what}");
    }
    assert_eq!(letters(&all(State::Verified), &[], &ask), "kk..", "nobody looked");
    let leftovers = [left(&part, 9 * DAY, false), left(dot, 9 * DAY, false)];
    assert_eq!(
        letters(&all(State::Verified), &leftovers, &PruneInput { policies: &last(0).into(), ..ask }),
        "kk-."
    );
    let k3s = file("etcd-snapshot-n-5.part", State::Incomplete);
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
    let all = [group("bpup"), vec![file("timer-n-5", State::Unverified), file("timer-n-6", State::Corrupt)]]
        .concat();
    let names: Vec<&str> = all.iter().map(|s| s.file.as_str()).collect();
    let last = |doomed: &[usize]| -> Vec<&str> {
        let doomed: HashSet<&str> = doomed.iter().map(|i| names[*i]).collect();
        last_good(&all, &doomed).into_iter().map(|s| s.file.as_str()).collect()
    };
    assert_eq!(last(&[0, 1, 2, 5]), [""; 0], "one proven and one unchecked are left");
    assert_eq!(last(&[1, 3]), [names[1], names[3]], "an unchecked one is no proven one");
    assert_eq!(last(&[4]), [names[4]]);
    let twin = [file("a-n-5", State::Verified), file("a-n-5.zip", State::Verified)];
    assert!(last_good(&twin, &HashSet::from(["a-n-5"])).is_empty(), "the zip is left");
    assert!(plausible_size(twin[0].size));
}
