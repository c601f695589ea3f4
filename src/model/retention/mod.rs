// SPDX-License-Identifier: Apache-2.0
//! Retention: which snapshots stay, which go, and why. Pure: what lies there, a policy and the time go in, verdicts
//! with reasons come out. Nothing is removed that is not said here to be removed.

mod deletion;
mod group;
mod policy;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

pub use deletion::{check_name, last_good};
pub use policy::{Policies, Policy, Rule};
pub use selection::{Selection, Unmatched};

use super::snapshot::{Leftover, Snapshot, State};

/// Where snapshots are kept: each place has a policy of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// The snapshot folder.
    Folder,
    /// The bucket.
    Bucket,
}

/// What is asked.
#[derive(Debug)]
pub struct PruneInput<'a> {
    /// Which snapshots it is about.
    pub selection: &'a Selection,
    /// What is kept of them.
    pub policies: &'a Policies,
    /// Seconds since the epoch.
    pub now: u64,
    /// Whether a fall of the entries is meant.
    pub accept_drop: bool,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// A rule of the policy.
    Rule(Rule),
    /// The same, counted among the proven alone.
    RuleOfProven(Rule),
    /// The policy keeps all.
    All,
    /// The newest proven one of its group.
    NewestProven,
    /// The newest unchecked one of a group without a proven one.
    NewestUnchecked,
    /// Its date is in the future.
    Future,
    /// The dates make a jump, so nothing is removed by age.
    Clock,
    /// The entries fell by more than half.
    Fall,
    /// It shows the level after such a fall.
    Level,
    /// It is bad or was cut off, but no newer one is proven.
    NoNewerProven,
    /// It was cut off, but was written to within the last day.
    Young,
    /// It was cut off, but a process has it open.
    Held,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remove {
    /// No rule keeps it.
    NoRule,
    /// It is bad, and a newer one is proven.
    Bad,
    /// A run that was cut off left it.
    Leftover,
}

/// What is to be done with one file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays; there is at least one reason.
    Keep(Vec<Keep>),
    /// It goes.
    Remove(Remove),
    /// It was not asked about, and stays.
    Unmatched(Unmatched),
}

/// A file and what is to be done with it.
#[derive(Debug, Clone)]
pub struct PlannedAction<'a> {
    /// The file.
    pub snapshot: &'a Snapshot,
    /// What is to be done.
    pub decision: Decision,
}

/// All verdicts, the oldest first, and what an operator should know.
#[derive(Debug)]
pub struct Plan<'a> {
    /// One for each file, oldest first: the order in which the deed is done.
    pub verdicts: Vec<PlannedAction<'a>>,
    /// In words.
    pub warnings: Vec<String>,
}

/// Judges everything that lies in some places.
pub fn judge<'a>(all: &'a [Snapshot], leftovers: &[Leftover], ask: &PruneInput) -> Plan<'a> {
    let selected = ask.selection.among(all);
    let leftovers: HashMap<&str, &Leftover> = leftovers.iter().map(|l| (l.file.as_str(), l)).collect();
    let mut groups: HashMap<(&str, &str), Result<usize, Unmatched>> = HashMap::new();
    let mut keys: Vec<(&str, &str, &Policy)> = Vec::new();
    let mut seen: Vec<Seen> = Vec::with_capacity(all.len());
    let mut decisions: Vec<Decision> = Vec::with_capacity(all.len());
    for (index, snapshot) in all.iter().enumerate() {
        let named = snapshot.name.as_ref().filter(|_| snapshot.state != State::Foreign);
        let (group, decision) = match named {
            None => match leftovers.get(snapshot.file.as_str()) {
                Some(left) if left.ours => (None, group::leftover(Some(left), 0, None, ask.now)),
                _ => (None, Decision::Unmatched(Unmatched::Foreign)),
            },
            Some(name) => {
                let key = (place(snapshot), name.stem.as_str());
                let group = groups.entry(key).or_insert_with(|| {
                    let base = selected.base_of(&name.stem)?;
                    keys.push((key.0, key.1, ask.policies.of(base)));
                    Ok(keys.len() - 1)
                });
                match group {
                    Err(why) => (None, Decision::Unmatched(*why)),
                    // Until its group is judged.
                    Ok(group) => (Some(*group), Decision::Remove(Remove::NoRule)),
                }
            }
        };
        let (at, state, entries) = (snapshot.created_at, snapshot.state, snapshot.key_revisions());
        seen.push(Seen { at, state, entries, index, group });
        decisions.push(decision);
    }
    let file = |s: &Seen| all.get(s.index).map(|s| s.file.as_str());
    seen.sort_unstable_by(|a, b| a.at.cmp(&b.at).then_with(|| file(a).cmp(&file(b))));
    let mut members: Vec<Vec<Seen>> = vec![Vec::new(); keys.len()];
    for one in seen.iter().rev() {
        one.group.and_then(|g| members.get_mut(g)).into_iter().for_each(|group| group.push(*one));
    }
    let mut groups: Vec<_> = keys.into_iter().zip(members).collect();
    groups.sort_unstable_by_key(|((place, stem, _), _)| (*place, *stem));
    let mut warnings = Vec::new();
    for ((_, stem, policy), newest_first) in groups {
        let (partial, whole): (Vec<Seen>, Vec<Seen>) =
            newest_first.into_iter().partition(|s| s.state == State::Incomplete);
        let proven = group::newest_proven(&whole, ask.now);
        let decided = group::judge(stem, &whole, policy, ask, &mut warnings);
        let partial = partial.iter().map(|s| {
            let left = file(s).and_then(|f| leftovers.get(f)).copied();
            (s, group::leftover(left, s.at, Some((policy, proven)), ask.now))
        });
        for (one, decided) in whole.iter().zip(decided).chain(partial) {
            if let Some(decision) = decisions.get_mut(one.index) {
                *decision = decided;
            }
        }
    }
    let verdict = |s: Seen| {
        let decision = std::mem::replace(decisions.get_mut(s.index)?, Decision::Remove(Remove::NoRule));
        Some(PlannedAction { snapshot: all.get(s.index)?, decision })
    };
    Plan { verdicts: seen.into_iter().filter_map(verdict).collect(), warnings }
}

/// What a group is judged by. Small, as there may be very many.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: u64,
    state: State,
    entries: Option<u64>,
    /// Where it stands among all.
    index: usize,
    /// Which group it is of, where it is of one that is judged.
    group: Option<usize>,
}

/// The place of a snapshot: its location without the file.
fn place(snapshot: &Snapshot) -> &str {
    snapshot.location.strip_suffix(snapshot.file.as_str()).unwrap_or(&snapshot.location)
}

impl Decision {
    /// The word for reports; `None` where it was not asked about.
    pub fn as_str(&self) -> Option<&'static str> {
        match self {
            Decision::Keep(_) => Some("keep"),
            Decision::Remove(_) => Some("remove"),
            Decision::Unmatched(_) => None,
        }
    }

    /// The reasons, in words.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Decision::Keep(why) => why.iter().map(ToString::to_string).collect(),
            Decision::Remove(why) => vec![why.to_string()],
            Decision::Unmatched(why) => vec![why.to_string()],
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keep::Rule(rule) => rule.as_str(),
            Keep::RuleOfProven(rule) => return write!(f, "{} among the proven", rule.as_str()),
            Keep::All => "all are kept",
            Keep::NewestProven => "the newest proven one",
            Keep::NewestUnchecked => "the newest one, none is proven",
            Keep::Future => "dated in the future",
            Keep::Clock => "the dates make a jump",
            Keep::Fall => "the entries fell",
            Keep::Level => "shows the new level of the entries",
            Keep::NoNewerProven => "no newer one is proven",
            Keep::Young => "written to within a day",
            Keep::Held => "still open",
        })
    }
}

impl fmt::Display for Remove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Remove::NoRule => "no rule keeps it",
            Remove::Bad => "bad, and a newer one is proven",
            Remove::Leftover => "left by a run that was cut off",
        })
    }
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unmatched::Name => "not matched",
            Unmatched::Scheduled => "not matched: K3s's own, which has to be named",
            Unmatched::Node => "not matched: another node's",
            Unmatched::Untold => "not matched: nothing tells whose it is",
            Unmatched::Foreign => "not a snapshot",
        })
    }
}
