// SPDX-License-Identifier: Apache-2.0
//! What holds for all listings and all policies.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

/// The own cluster, or all clusters.
fn scope(own: bool) -> ClusterScope<'static> {
    if own { ClusterScope::Own(OWN) } else { ClusterScope::All }
}

const OWN: &str = "0f9c2b6e-5c0d";
const OTHER: &str = "7d1e4f2a-0b3c";

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
        let file = |(hours, state, zip, n): (u64, usize, bool, u64)| {
            let at = NOW + DAY - hours * 7 * 3600;
            let (state, end) = match (state, zip) {
                (0 | 1, z) => (State::Verified, if z { ".zip" } else { "" }),
                (2, z) => (State::Unverified, if z { ".zip" } else { "" }),
                (3, z) => (State::Corrupt, if z { ".zip" } else { "" }),
                _ => (State::Incomplete, ".part"),
            };
            let stem = if hours % 5 == 0 { "timer-n" } else { "on-demand-n" };
            let mut file = file_in("/x", &format!("{stem}-{at}{end}"), state, n);
            if let Some(manifest) = &mut file.manifest {
                manifest.revision = n.cast_signed() * 7 % 101;
                manifest.cluster_id = [None, Some(OWN), Some(OTHER)][n as usize % 3].map(str::to_owned);
            }
            // As in a listing of a bucket, with and without the number.
            if n % 4 > 1 {
                let cluster = file.manifest.take().and_then(|m| m.cluster_id);
                file.cluster_id = cluster.map(|id| id[..8].to_owned());
                file.key_revisions = Some(n).filter(|n| n % 4 == 2);
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

/// What a plan removes. `own`: whether the cluster of the server is known.
fn removed(all: &[Snapshot], policy: &Policy, own: bool) -> Vec<String> {
    let (selection, policies) = (selection(), policy.clone().into());
    let input = PruneInput { clusters: scope(own), ..input(&selection, &policies) };
    let actions = apply_policy(all, &old_leftovers(all), &input).actions;
    let removed = actions.into_iter().filter(|a| matches!(a.decision, Decision::Remove(_)));
    removed.map(|a| a.snapshot.file.clone()).collect()
}

fn without(all: &[Snapshot], removed: &[String]) -> Vec<Snapshot> {
    all.iter().filter(|s| !removed.contains(&s.file)).cloned().collect()
}

proptest! {
    #[test]
    fn pruning_twice_deletes_nothing_more(
        all in arbitrary_listing(), policy in arbitrary_policy(), own in any::<bool>(),
    ) {
        if !policy.is_empty() {
            let first = removed(&all, &policy, own);
            prop_assert_eq!(removed(&without(&all, &first), &policy, own), Vec::<String>::new());
        }
    }

    #[test]
    fn with_a_known_cluster_only_its_own_snapshots_are_removed(
        all in arbitrary_listing(), policy in arbitrary_policy(),
    ) {
        let removed = removed(&all, &policy, true);
        for snapshot in all.iter().filter(|s| removed.contains(&s.file) && s.state != State::Incomplete) {
            prop_assert_eq!(snapshot.is_of_cluster(OWN), Some(true), "{}", snapshot.file);
        }
    }

    #[test]
    fn after_an_interrupted_run_the_next_one_removes_nothing_else(
        all in arbitrary_listing(), policy in arbitrary_policy(), killed in 0usize..40, own in any::<bool>(),
    ) {
        if !policy.is_empty() {
            let plan = removed(&all, &policy, own);
            let done = &plan[..killed.min(plan.len())];
            let rest = removed(&without(&all, done), &policy, own);
            prop_assert!(rest.iter().all(|f| plan[done.len()..].contains(f)), "{:?} of {:?}", rest, plan);
            // A store may have executed any part of a request.
            let any = |f: &&String| f.bytes().map(usize::from).sum::<usize>().wrapping_mul(killed + 1) % 3 == 0;
            let done: Vec<String> = plan.iter().filter(any).cloned().collect();
            let rest = removed(&without(&all, &done), &policy, own);
            prop_assert!(rest.iter().all(|f| plan.contains(f) && !done.contains(f)), "{:?} of {:?}", rest, plan);
            // The guards may keep what is left of a plan; the rules alone do not.
            let plain: Vec<Snapshot> = all.iter().map(|s| file(&s.file, s.state)).collect();
            let policy = Policy { within: None, ..policy };
            if !policy.is_empty() {
                let plan = removed(&plain, &policy, false);
                let done = &plan[..killed.min(plan.len())];
                prop_assert_eq!(removed(&without(&plain, done), &policy, false), &plan[done.len()..]);
            }
        }
    }

    #[test]
    fn a_wider_policy_never_removes_more(
        all in arbitrary_listing(), a in arbitrary_policy(), b in arbitrary_policy(), own in any::<bool>(),
    ) {
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
        let narrow = removed(&all, &a, own);
        prop_assert!(removed(&all, &wide, own).iter().all(|f| narrow.contains(f)));
        prop_assert_eq!(removed(&all, &Policy { last: Some(0), ..a }, own), Vec::<String>::new());
    }

    #[test]
    fn the_newest_and_the_newest_verified_snapshot_are_kept(
        all in arbitrary_listing(), policy in arbitrary_policy(), own in any::<bool>(),
    ) {
        if !policy.is_empty() {
            let removed = removed(&all, &policy, own);
            for stem in ["on-demand-n", "timer-n"] {
                let of = |states: &[State]| {
                    let fit = all.iter().filter(|s| states.contains(&s.state) && s.created_at <= NOW);
                    let fit = fit.filter(|s| s.name.as_ref().unwrap().stem == stem);
                    fit.max_by_key(|s| s.created_at).map(|s| s.file.clone())
                };
                for newest in [of(&[State::Verified]), of(&[State::Verified, State::Unverified])].into_iter().flatten() {
                    prop_assert!(!removed.contains(&newest), "{}", newest);
                }
            }
        }
    }

    #[test]
    fn decisions_do_not_depend_on_the_order(all in arbitrary_listing(), policy in arbitrary_policy(), by in any::<u64>()) {
        let mut other = all.clone();
        let hash = |s: &Snapshot| s.file.bytes().fold(by, |h, b| h.rotate_left(5) ^ u64::from(b));
        other.sort_by_key(hash);
        let (selection, policies, left) = (selection(), policy.clone().into(), old_leftovers(&all));
        let input = PruneInput { clusters: scope(by % 2 == 0), ..input(&selection, &policies) };
        let (a, b) = (apply_policy(&all, &left, &input), apply_policy(&other, &left, &input));
        let actions = |plan: &Plan| -> Vec<String> {
            plan.actions.iter().map(|a| format!("{} {:?}", a.snapshot.file, a.decision)).collect()
        };
        let messages = |plan: &Plan| -> Vec<String> { plan.warnings.iter().map(|w| w.message.clone()).collect() };
        prop_assert_eq!((actions(&a), messages(&a)), (actions(&b), messages(&b)));
    }
}
