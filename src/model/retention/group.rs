// SPDX-License-Identifier: Apache-2.0
//! One group: the snapshots of one stem in one place. The policy, and the guards that keep more than it says.
//!
//! Nothing here takes away what a policy or another guard keeps; a guard only ever adds.

use super::policy::{Policy, Rule};
use super::{Decision, Keep, PruneInput, Remove, Seen};
use crate::model::snapshot::{Leftover, State};

/// A snapshot may be this much younger than now before its date is not believed, in seconds.
const SKEW: u64 = 300;
/// How long nobody has touched what is called left over, in seconds.
const DAY: u64 = 86_400;
/// So many proven snapshots have to stand behind a fall or a gap before it is believed.
const BELIEVED: usize = 3;

/// A point in time: one file, or the plain and the zipped one of the same second.
struct Point {
    at: u64,
    /// Where its files stand in the list of the group.
    files: std::ops::Range<usize>,
    good: bool,
    proven: bool,
    /// Where it is proven and anything tells of them: how many entries.
    entries: Option<u64>,
    keep: Vec<Keep>,
}

/// Judges `files`, newest first, none of them partial. Gives back one decision for each, and what to warn of.
pub(super) fn judge(
    stem: &str,
    files: &[Seen],
    policy: &Policy,
    ask: &PruneInput,
    warnings: &mut Vec<String>,
) -> Vec<Decision> {
    let mut points = points(files);
    let future = |p: &Point| p.at > ask.now.saturating_add(SKEW);
    let newest_proven = points.iter().find(|p| p.proven && !future(p)).map(|p| p.at);
    // What is dated ahead stays, and takes nobody's place.
    let ahead = points.iter().filter(|p| p.good && future(p)).count();
    points.iter_mut().filter(|p| future(p)).for_each(|p| p.keep.push(Keep::Future));
    let mut good: Vec<&mut Point> = points.iter_mut().filter(|p| p.good && !future(p)).collect();
    by_policy(&mut good, policy);
    match good.iter_mut().find(|p| p.proven) {
        Some(newest) => newest.keep.push(Keep::NewestProven),
        None => good.iter_mut().take(1).for_each(|p| p.keep.push(Keep::NewestUnchecked)),
    }
    let stem = stem.escape_debug();
    if ahead > 0 {
        warnings.push(format!(
            "{ahead} of '{stem}' are dated in the future: the clock is wrong, or was; they are kept and count for nothing"
        ));
    }
    if policy.within.is_some() && (ahead > 0 || jumped(&good)) {
        good.iter_mut().for_each(|p| p.keep.push(Keep::Clock));
        warnings.push(format!(
            "the dates of '{stem}' make a jump, so none is removed by its age (keep-within): look at the clock; \
             if it was a long pause, it is over when {BELIEVED} snapshots stand behind it"
        ));
    }
    if !ask.accept_drop {
        by_entries(&mut good, &stem.to_string(), warnings);
    }
    let mut decided = vec![Decision::Remove(Remove::NoRule); files.len()];
    for point in points {
        let decision = if policy.keeps_all() {
            Decision::Keep(vec![Keep::All])
        } else if !point.keep.is_empty() {
            Decision::Keep(point.keep)
        } else if point.good {
            Decision::Remove(Remove::NoRule)
        } else if newest_proven.is_some_and(|at| at > point.at) {
            Decision::Remove(Remove::Bad)
        } else {
            Decision::Keep(vec![Keep::NoNewerProven])
        };
        decided.get_mut(point.files).into_iter().flatten().for_each(|d| *d = decision.clone());
    }
    decided
}

fn points(files: &[Seen]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let proven = file.state == State::Verified;
        let entries = file.entries.filter(|_| proven);
        let good = proven || file.state == State::Unverified;
        match points.last_mut().filter(|p| p.at == file.at) {
            Some(p) => {
                p.files.end = i + 1;
                (p.good, p.proven) = (p.good || good, p.proven || proven);
                p.entries = p.entries.max(entries);
            }
            None => {
                points.push(Point { at: file.at, files: i..i + 1, good, proven, entries, keep: Vec::new() })
            }
        }
    }
    points
}

/// To all of them, and to the proven alone: so the unproven push out no proven one, and are not kept for ever either.
fn by_policy(good: &mut [&mut Point], policy: &Policy) {
    let of_all = policy.apply(&good.iter().map(|p| p.at).collect::<Vec<_>>());
    let proven: Vec<u64> = good.iter().filter(|p| p.proven).map(|p| p.at).collect();
    let mut of_proven = policy.apply(&proven).into_iter();
    for (point, all) in good.iter_mut().zip(of_all) {
        let proven = if point.proven { of_proven.next().unwrap_or_default() } else { Default::default() };
        for rule in Rule::ALL {
            if all.has(rule) {
                point.keep.push(Keep::Rule(rule));
            } else if proven.has(rule) {
                point.keep.push(Keep::RuleOfProven(rule));
            }
        }
    }
}

/// Whether the newest one or two stand behind a gap that is out of all proportion to those before it.
fn jumped(good: &[&mut Point]) -> bool {
    let gaps: Vec<u64> = good.windows(2).filter_map(|w| Some(w.first()?.at - w.last()?.at)).collect();
    (0..BELIEVED - 1).any(|i| {
        let (Some(gap), Some(before)) = (gaps.get(i), gaps.get(i + 1..)) else { return false };
        let mut before: Vec<u64> = before.iter().take(7).copied().collect();
        before.sort_unstable();
        let usual = before.get(before.len() / 2).filter(|_| before.len() >= 3);
        *gap > DAY && usual.is_some_and(|usual| *gap / 10 > *usual)
    })
}

/// A fall of the entries by more than half may be an accident of which nobody knows yet.
fn by_entries(good: &mut [&mut Point], stem: &str, warnings: &mut Vec<String>) {
    let fell = |now: u64, before: u64| now.saturating_mul(2) < before;
    let entries: Vec<u64> = good.iter().filter_map(|p| p.entries).collect();
    let fall = (1..BELIEVED).find_map(|standing| {
        let (level, before) = (entries.get(..standing)?, *entries.get(standing)?);
        level.iter().all(|n| fell(*n, before)).then_some((*level.last()?, before))
    });
    if let Some((now, before)) = fall {
        good.iter_mut().for_each(|p| p.keep.push(Keep::Fall));
        warnings.push(format!(
            "the entries of '{stem}' fell from {before} to {now}, so none of them is removed until {BELIEVED} proven \
             ones stand at the new level, or --accept-drop is given"
        ));
        return;
    }
    // Where one from before the fall stays, so do those that show the new level: else it would be doubted again.
    let Some(level) = entries.get(..BELIEVED).and_then(|l| l.iter().max().copied()) else { return };
    let known = good.iter().filter_map(|p| Some((!p.keep.is_empty(), p.entries?)));
    if known.skip(BELIEVED).any(|(stays, entries)| stays && fell(level, entries)) {
        good.iter_mut().filter(|p| p.entries.is_some()).take(BELIEVED).for_each(|p| p.keep.push(Keep::Level));
    }
}

/// A group as its leftovers see it: its policy, and the time of its newest proven one.
pub(super) type Group<'a> = (&'a Policy, Option<u64>);

/// Judges what a run left behind that was cut off, dated `at`. No group is that of a temporary name of ours.
pub(super) fn leftover(left: Option<&Leftover>, at: u64, group: Option<Group>, now: u64) -> Decision {
    let Some(left) = left else { return Decision::Keep(vec![Keep::Young]) };
    let newer = group.is_none_or(|(_, proven)| proven.is_some_and(|p| p > at));
    if left.in_use {
        Decision::Keep(vec![Keep::Held])
    } else if left.modified_at.saturating_add(DAY) > now {
        Decision::Keep(vec![Keep::Young])
    } else if !newer {
        Decision::Keep(vec![Keep::NoNewerProven])
    } else if group.is_some_and(|(policy, _)| policy.keeps_all()) {
        Decision::Keep(vec![Keep::All])
    } else {
        Decision::Remove(Remove::Leftover)
    }
}

/// The time of the newest proven one that can be believed.
pub(super) fn newest_proven(files: &[Seen], now: u64) -> Option<u64> {
    let believed = |f: &&Seen| f.state == State::Verified && f.at <= now.saturating_add(SKEW);
    files.iter().filter(believed).map(|f| f.at).max()
}
