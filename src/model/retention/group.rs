// SPDX-License-Identifier: Apache-2.0
//! One group: the snapshots of one stem and one cluster in one location. The policy, and the guards that keep more than the policy does.
//!
//! A guard only adds: nothing here removes what the policy or another guard keeps.

use std::ops::Range;

use super::decision::{Decision, Keep, Remove};
use super::policy::{Policy, Rule};
use crate::model::name::MAX_CLOCK_SKEW;
use crate::model::snapshot::{Leftover, Snapshot, State};
use crate::model::warning::{Warning, WarningCode};

/// One day in seconds: a leftover that was written to within it may still be in use.
const DAY: u64 = 86_400;
/// How many verified snapshots must follow a drop of the key revisions or a gap in time until it is accepted.
const CONFIRMATIONS: usize = 3;

/// What a group is decided by. Small, as there may be very many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Seconds since the epoch.
    pub(super) at: u64,
    pub(super) state: State,
    /// The index in the listing.
    pub(super) index: usize,
    /// Its group, if a policy is applied to it.
    pub(super) group: Option<usize>,
    key_revisions: Option<u64>,
    /// The revision of etcd in it, if it is verified.
    revision: Option<i64>,
}

impl Item {
    /// The item for a snapshot.
    pub(super) fn new(snapshot: &Snapshot, index: usize, group: Option<usize>) -> Item {
        let verified = snapshot.manifest.as_ref().filter(|_| snapshot.state == State::Verified);
        Item {
            at: snapshot.created_at,
            state: snapshot.state,
            index,
            group,
            key_revisions: snapshot.key_revisions(),
            revision: verified.map(|m| m.revision),
        }
    }
}

/// The rules for a group.
pub(super) struct Rules<'a> {
    pub(super) policy: &'a Policy,
    /// Seconds since the epoch.
    pub(super) now: u64,
    pub(super) accept_drop: bool,
}

/// A point in time: one file, or the plain and the zipped snapshot of the same second.
struct Candidate {
    at: u64,
    /// The range of its files in the group.
    files: Range<usize>,
    /// Whether one of its files is not corrupt.
    is_usable: bool,
    /// Whether one of its files is verified.
    is_verified: bool,
    /// If it is verified and they are known.
    key_revisions: Option<u64>,
    /// If it is verified and it is known.
    revision: Option<i64>,
    keep: Vec<Keep>,
}

/// Decides about the items of a group, newest first and none incomplete, and calls `set` for each.
pub(super) fn decide(
    stem: &str,
    items: &[Item],
    rules: &Rules,
    set: &mut dyn FnMut(&Item, Decision),
    warnings: &mut Vec<Warning>,
) {
    let mut candidates = candidates(items);
    let stem = stem.escape_debug().to_string();
    let newest_verified = newest_verified(items, rules.now);
    let future = guard_future_dates(&mut candidates, &stem, rules.now, warnings);
    // A snapshot that is dated in the future is kept, and does not count for the rules and the other guards.
    let mut counted: Vec<&mut Candidate> =
        candidates.iter_mut().filter(|c| c.is_usable && !is_future(c.at, rules.now)).collect();
    apply_rules(&mut counted, rules.policy);
    guard_newest(&mut counted);
    guard_highest_revision(&mut counted);
    if rules.policy.within.is_some() && (future > 0 || has_clock_jump(&counted)) {
        guard_clock_jump(&mut counted, &stem, warnings);
    }
    if !rules.accept_drop {
        guard_key_revision_drop(&mut counted, &stem, warnings);
    }
    for candidate in candidates {
        let files = items.get(candidate.files.clone()).unwrap_or_default();
        let decision = explain(candidate, rules.policy, newest_verified);
        let Some((last, others)) = files.split_last() else { continue };
        others.iter().for_each(|item| set(item, decision.clone()));
        set(last, decision);
    }
}

/// The decision about a candidate whose reasons to keep it are complete.
fn explain(candidate: Candidate, policy: &Policy, newest_verified: Option<u64>) -> Decision {
    if policy.keeps_all() {
        Decision::Keep(vec![Keep::All])
    } else if !candidate.keep.is_empty() {
        Decision::Keep(candidate.keep)
    } else if candidate.is_usable {
        Decision::Remove(Remove::NoRule)
    } else if newest_verified.is_some_and(|at| at > candidate.at) {
        Decision::Remove(Remove::Corrupt)
    } else {
        Decision::Keep(vec![Keep::NoNewerVerified])
    }
}

fn candidates(items: &[Item]) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let is_verified = item.state == State::Verified;
        let key_revisions = item.key_revisions.filter(|_| is_verified);
        let is_usable = is_verified || item.state == State::Unverified;
        match all.last_mut().filter(|c| c.at == item.at) {
            Some(c) => {
                c.files.end = i + 1;
                (c.is_usable, c.is_verified) = (c.is_usable || is_usable, c.is_verified || is_verified);
                c.key_revisions = c.key_revisions.max(key_revisions);
                c.revision = c.revision.max(item.revision);
            }
            None => all.push(Candidate {
                at: item.at,
                files: i..i + 1,
                is_usable,
                is_verified,
                key_revisions,
                revision: item.revision,
                keep: Vec::new(),
            }),
        }
    }
    all
}

/// Keeps what the rules keep: applied to all candidates, and to the verified ones alone. So unverified snapshots do not displace
/// verified ones, and are not kept forever either.
fn apply_rules(counted: &mut [&mut Candidate], policy: &Policy) {
    let of_all = policy.apply(&counted.iter().map(|c| c.at).collect::<Vec<_>>());
    let verified: Vec<u64> = counted.iter().filter(|c| c.is_verified).map(|c| c.at).collect();
    let mut of_verified = policy.apply(&verified).into_iter();
    for (candidate, all) in counted.iter_mut().zip(of_all) {
        let verified =
            if candidate.is_verified { of_verified.next().unwrap_or_default() } else { Default::default() };
        for rule in Rule::ALL {
            if all.has(rule) {
                candidate.keep.push(Keep::Rule(rule));
            } else if verified.has(rule) {
                candidate.keep.push(Keep::RuleOfVerified(rule));
            }
        }
    }
}

/// Keeps what is dated in the future: the clock is wrong, or was. Returns how many usable candidates that are.
fn guard_future_dates(
    candidates: &mut [Candidate],
    stem: &str,
    now: u64,
    warnings: &mut Vec<Warning>,
) -> usize {
    let mut count = 0;
    for candidate in candidates.iter_mut().filter(|c| is_future(c.at, now)) {
        candidate.keep.push(Keep::FutureDate);
        count += usize::from(candidate.is_usable);
    }
    if count > 0 {
        let message = format!(
            "{count} snapshots of '{stem}' are dated in the future (clock error?); they are kept and not counted"
        );
        warnings.push(Warning { code: WarningCode::FutureDate, message });
    }
    count
}

/// Keeps the newest verified candidate; the newest one if none is verified.
fn guard_newest(counted: &mut [&mut Candidate]) {
    match counted.iter_mut().find(|c| c.is_verified) {
        Some(newest) => newest.keep.push(Keep::NewestVerified),
        None => counted.iter_mut().take(1).for_each(|c| c.keep.push(Keep::NewestUnverified)),
    }
}

/// Keeps the candidate with the highest revision. After a boot with a clock that is behind, the newest snapshots have the oldest
/// dates; the revision of a cluster only grows.
fn guard_highest_revision(counted: &mut [&mut Candidate]) {
    // Of several with this revision, the newest: they are sorted newest first.
    let highest = counted.iter_mut().rev().filter(|c| c.revision.is_some()).max_by_key(|c| c.revision);
    if let Some(highest) = highest.filter(|c| !c.keep.contains(&Keep::NewestVerified)) {
        highest.keep.push(Keep::HighestRevision);
    }
}

/// Whether the newest one or two candidates follow a gap that is much longer than the gaps before it.
fn has_clock_jump(counted: &[&mut Candidate]) -> bool {
    let gaps: Vec<u64> = counted.windows(2).filter_map(|w| Some(w.first()?.at - w.last()?.at)).collect();
    (0..CONFIRMATIONS - 1).any(|i| {
        let (Some(gap), Some(before)) = (gaps.get(i), gaps.get(i + 1..)) else { return false };
        let mut before: Vec<u64> = before.iter().take(7).copied().collect();
        before.sort_unstable();
        let median = before.get(before.len() / 2).filter(|_| before.len() >= 3);
        *gap > DAY && median.is_some_and(|median| *gap / 10 > *median)
    })
}

/// Keeps everything while ages are in doubt.
fn guard_clock_jump(counted: &mut [&mut Candidate], stem: &str, warnings: &mut Vec<Warning>) {
    counted.iter_mut().for_each(|c| c.keep.push(Keep::ClockJump));
    let message = format!(
        "'{stem}': gap in the snapshot times, keep-within is suspended. Check the clock. It resumes after {CONFIRMATIONS} more \
         snapshots"
    );
    warnings.push(Warning { code: WarningCode::ClockJump, message });
}

/// Keeps everything after the key revisions dropped by more than half: it may be an accident that was not noticed yet.
fn guard_key_revision_drop(counted: &mut [&mut Candidate], stem: &str, warnings: &mut Vec<Warning>) {
    let is_drop = |now: u64, before: u64| now.saturating_mul(2) < before;
    let known: Vec<u64> = counted.iter().filter_map(|c| c.key_revisions).collect();
    let drop = (1..CONFIRMATIONS).find_map(|confirmed| {
        let (level, before) = (known.get(..confirmed)?, *known.get(confirmed)?);
        level.iter().all(|n| is_drop(*n, before)).then_some((*level.last()?, before))
    });
    if let Some((now, before)) = drop {
        counted.iter_mut().for_each(|c| c.keep.push(Keep::KeyRevisionsDropped));
        let message = format!(
            "'{stem}': the key revisions dropped from {before} to {now}; no snapshot is removed until {CONFIRMATIONS} verified \
             snapshots confirm the new level, or with --accept-drop"
        );
        warnings.push(Warning { code: WarningCode::KeyRevisionsDropped, message });
        return;
    }
    // While a snapshot from before the drop is kept, keep those that confirm the new level: otherwise the next run would see the
    // drop again.
    let Some(level) = known.get(..CONFIRMATIONS).and_then(|l| l.iter().max().copied()) else { return };
    let kept = counted.iter().filter_map(|c| Some((!c.keep.is_empty(), c.key_revisions?)));
    if kept.skip(CONFIRMATIONS).any(|(is_kept, before)| is_kept && is_drop(level, before)) {
        let confirming = counted.iter_mut().filter(|c| c.key_revisions.is_some()).take(CONFIRMATIONS);
        confirming.for_each(|c| c.keep.push(Keep::NewBaseline));
    }
}

/// Decides about a file that an interrupted save left, dated `at`. `group` is the policy of its stem and the time of the newest
/// verified snapshot of the stem; a temporary file of this program has neither.
pub(super) fn decide_leftover(
    left: Option<&Leftover>,
    at: u64,
    group: Option<(&Policy, Option<u64>)>,
    now: u64,
) -> Decision {
    let Some(left) = left else { return Decision::Keep(vec![Keep::RecentlyWritten]) };
    let has_newer = group.is_none_or(|(_, newest)| newest.is_some_and(|newest| newest > at));
    if left.in_use {
        Decision::Keep(vec![Keep::InUse])
    } else if left.modified_at.saturating_add(DAY) > now {
        Decision::Keep(vec![Keep::RecentlyWritten])
    } else if !has_newer {
        Decision::Keep(vec![Keep::NoNewerVerified])
    } else if group.is_some_and(|(policy, _)| policy.keeps_all()) {
        Decision::Keep(vec![Keep::All])
    } else {
        Decision::Remove(Remove::Leftover)
    }
}

/// The time of the newest verified item that is not dated in the future.
pub(super) fn newest_verified(items: &[Item], now: u64) -> Option<u64> {
    let counts = |i: &&Item| i.state == State::Verified && !is_future(i.at, now);
    items.iter().filter(counts).map(|i| i.at).max()
}

fn is_future(at: u64, now: u64) -> bool {
    at > now.saturating_add(MAX_CLOCK_SKEW)
}
