// SPDX-License-Identifier: Apache-2.0
//! Retention: which snapshots stay, which go, and why. Pure: what lies there, a policy and the time go in, verdicts
//! with reasons come out. Nothing is removed that is not said here to be removed.

mod deletion;
mod group;
mod policy;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

pub use deletion::{check_name, last_good};
pub use policy::{Policy, Rule};
pub use selection::{Selection, Unmatched};

use super::snapshot::{Leftover, Snapshot, State};
use group::Decided;

/// What is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Which snapshots it is about.
    pub selection: &'a Selection,
    /// What is kept of them.
    pub policy: &'a Policy,
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
pub struct Verdict<'a> {
    /// The file.
    pub snapshot: &'a Snapshot,
    /// What is to be done.
    pub decision: Decision,
}

/// All verdicts, the oldest first, and what an operator should know.
#[derive(Debug)]
pub struct Judgement<'a> {
    /// One for each file, oldest first: the order in which the deed is done.
    pub verdicts: Vec<Verdict<'a>>,
    /// In words.
    pub warnings: Vec<String>,
}

/// Judges everything that lies in some places.
pub fn judge<'a>(all: &'a [Snapshot], leftovers: &[Leftover], ask: &Ask) -> Judgement<'a> {
    let selected = ask.selection.among(all);
    let leftovers: HashMap<&str, &Leftover> = leftovers.iter().map(|l| (l.file.as_str(), l)).collect();
    let mut groups: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    let mut decisions: Vec<Decision> = Vec::with_capacity(all.len());
    for (i, snapshot) in all.iter().enumerate() {
        let named = snapshot.name.as_ref().filter(|_| snapshot.state != State::Foreign);
        decisions.push(match named {
            None => match leftovers.get(snapshot.file.as_str()) {
                Some(left) if left.ours => group::leftover(Some(left), None, ask).into(),
                _ => Decision::Unmatched(Unmatched::Foreign),
            },
            Some(name) => match selected.leaves_out(&name.stem) {
                Some(why) => Decision::Unmatched(why),
                None => {
                    groups.entry((place(snapshot), &name.stem)).or_default().push(i);
                    Decision::Remove(Remove::NoRule) // until its group is judged
                }
            },
        });
    }
    let mut warnings = Vec::new();
    for ((_, stem), mut members) in groups {
        let at = |i: &usize| all.get(*i).map(|s| (s.created_at, &s.file));
        members.sort_unstable_by(|a, b| at(b).cmp(&at(a)));
        let (partial, whole): (Vec<usize>, Vec<usize>) =
            members.into_iter().partition(|i| all.get(*i).is_some_and(|s| s.state == State::Partial));
        let files: Vec<&Snapshot> = whole.iter().filter_map(|i| all.get(*i)).collect();
        let proven = group::newest_proven(&files, ask.now);
        let decided = group::judge(stem, &files, ask, &mut warnings);
        let partial = partial.into_iter().filter_map(|i| {
            let file = all.get(i)?;
            let left = leftovers.get(file.file.as_str()).copied();
            Some((i, group::leftover(left, Some((file.created_at, proven)), ask)))
        });
        for (i, decided) in whole.into_iter().zip(decided).chain(partial) {
            if let Some(decision) = decisions.get_mut(i) {
                *decision = decided.into();
            }
        }
    }
    let mut verdicts: Vec<Verdict> =
        all.iter().zip(decisions).map(|(snapshot, decision)| Verdict { snapshot, decision }).collect();
    let order = |v: &Verdict<'a>| (v.snapshot.created_at, v.snapshot.file.as_str());
    verdicts.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    Judgement { verdicts, warnings }
}

/// The place of a snapshot: its location without the file.
fn place(snapshot: &Snapshot) -> &str {
    snapshot.location.strip_suffix(snapshot.file.as_str()).unwrap_or(&snapshot.location)
}

impl From<Decided> for Decision {
    fn from(decided: Decided) -> Decision {
        match decided {
            Decided::Keep(why) => Decision::Keep(why),
            Decided::Remove(why) => Decision::Remove(why),
        }
    }
}

impl Decision {
    /// The word for reports; `None` where it was not asked about.
    pub fn label(&self) -> Option<&'static str> {
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
            Keep::Rule(rule) => rule.label(),
            Keep::RuleOfProven(rule) => return write!(f, "{} among the proven", rule.label()),
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
            Unmatched::Foreign => "not a snapshot",
        })
    }
}
