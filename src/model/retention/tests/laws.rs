// SPDX-License-Identifier: Apache-2.0
//! What holds for all listings and policies.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

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
                (0 | 1, z) => (State::Verified, if z { ".zip" } else { "" }),
                (2, z) => (State::Unverified, if z { ".zip" } else { "" }),
                (3, z) => (State::Corrupt, if z { ".zip" } else { "" }),
                _ => (State::Incomplete, ".part"),
            };
            let stem = if hours % 5 == 0 { "timer-n" } else { "on-demand-n" };
            let mut file = file_in("/x", &format!("{stem}-{at}{end}"), state, entries);
            // As a bucket tells them, and as a manifest without a number does.
            if entries % 4 > 1 {
                (file.manifest, file.key_revisions) = (None, Some(entries).filter(|n| n % 4 == 2));
            }
            file
        };
        rows.into_iter().map(file).filter(|f| seen.insert(f.file.clone())).collect()
    })
}

fn old_leftovers(all: &[Snapshot]) -> Vec<Leftover> {
    let left = |s: &Snapshot| Leftover { file: s.file.clone(), modified_at: 0, in_use: false, ours: false };
    all.iter().filter(|s| s.state == State::Incomplete).map(left).collect()
}

fn gone(all: &[Snapshot], policy: &Policy) -> Vec<String> {
    let selection = selection();
    let ask =
        PruneInput { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false };
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
                for newest in [of(&[State::Verified]), of(&[State::Verified, State::Unverified])].into_iter().flatten() {
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
        let ask = PruneInput { selection: &selection, policies: &policy.clone().into(), now: NOW, accept_drop: false };
        let (a, b) = (judge(&all, &left, &ask), judge(&other, &left, &ask));
        let rows = |j: &Plan| -> Vec<String> {
            j.verdicts.iter().map(|v| format!("{} {:?}", v.snapshot.file, v.decision)).collect()
        };
        prop_assert_eq!((rows(&a), a.warnings), (rows(&b), b.warnings));
    }
}
