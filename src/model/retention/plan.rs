// SPDX-License-Identifier: Apache-2.0
//! The plan of a prune: a decision for every file of some locations.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use super::cluster::{Relation, cluster_of, relation};
use super::decision::{Decision, Keep, Unmatched};
use super::group::{self, Item};
use super::policy::{Policies, Policy};
use super::selection::{Selected, Selection};
use crate::model::snapshot::{Leftover, Snapshot, State};
use crate::model::warning::{Warning, WarningCode};

/// What a plan is made from, besides the listing.
#[derive(Debug)]
pub struct PruneInput<'a> {
    /// Which snapshots are selected.
    pub selection: &'a Selection,
    /// What is kept of them.
    pub policies: &'a Policies,
    /// The id of the cluster of this server: the UID of its namespace kube-system. If it is known, snapshots of other and of
    /// unknown clusters are kept and not counted. If it is not known, the policy is applied to each cluster by itself.
    pub cluster_id: Option<&'a str>,
    /// Seconds since the epoch.
    pub now: u64,
    /// Whether a drop of the key revisions is intended.
    pub accept_drop: bool,
}

/// A file, and what happens to it.
#[derive(Debug, Clone)]
pub struct PlannedAction<'a> {
    /// The file.
    pub snapshot: &'a Snapshot,
    /// What happens to it.
    pub decision: Decision,
}

/// The decisions about all files.
#[derive(Debug)]
pub struct Plan<'a> {
    /// One for each file, the oldest first: files are deleted in this order.
    pub actions: Vec<PlannedAction<'a>>,
    /// Warnings for the operator.
    pub warnings: Vec<Warning>,
}

/// Applies the policies to everything that is listed.
pub fn apply_policy<'a>(all: &'a [Snapshot], leftovers: &[Leftover], input: &PruneInput) -> Plan<'a> {
    let leftovers: HashMap<&str, &Leftover> = leftovers.iter().map(|l| (l.file.as_str(), l)).collect();
    let selected = input.selection.resolve(all);
    let Classified { mut decisions, items, mut stems } = classify(all, &leftovers, &selected, input);
    for item in items.iter().rev() {
        let stem = item.stem.and_then(|stem| stems.get_mut(stem));
        stem.into_iter().for_each(|stem| stem.add(*item, all));
    }
    stems.sort_unstable_by_key(|stem| (stem.location, stem.name));
    let mut warnings = Vec::new();
    for stem in &stems {
        for (item, decision) in stem.decide(all, &leftovers, input, &mut warnings) {
            if let Some(entry) = decisions.get_mut(item.index) {
                *entry = decision;
            }
        }
    }
    let action = |item: Item| {
        let decision = decisions.get_mut(item.index).map(|d| mem::replace(d, UNDECIDED))?;
        Some(PlannedAction { snapshot: all.get(item.index)?, decision })
    };
    Plan { actions: items.into_iter().filter_map(action).collect(), warnings }
}

/// The decision about a file until its group is decided. A file without a group keeps another one.
const UNDECIDED: Decision = Decision::Unmatched(Unmatched::OtherName);

/// The files, sorted by age, and the stems that the policies are applied to.
struct Classified<'a> {
    /// By the index in the listing.
    decisions: Vec<Decision>,
    /// The oldest first.
    items: Vec<Item>,
    stems: Vec<Stem<'a>>,
}

/// Decides about the files that no policy is applied to, and finds the stem of the others.
fn classify<'a>(
    all: &'a [Snapshot],
    leftovers: &HashMap<&str, &Leftover>,
    selected: &'a Selected<'_>,
    input: &'a PruneInput,
) -> Classified<'a> {
    let mut by_name: HashMap<(&str, &str), Result<usize, Unmatched>> = HashMap::new();
    let mut stems: Vec<Stem> = Vec::new();
    let mut items: Vec<Item> = Vec::with_capacity(all.len());
    let mut decisions: Vec<Decision> = Vec::with_capacity(all.len());
    for (index, snapshot) in all.iter().enumerate() {
        let named = snapshot.name.as_ref().filter(|_| snapshot.state != State::Foreign);
        let (stem, decision) = match named {
            None => match leftovers.get(snapshot.file.as_str()) {
                Some(left) if left.ours => (None, group::decide_leftover(Some(left), 0, None, input.now)),
                _ => (None, Decision::Unmatched(Unmatched::Foreign)),
            },
            Some(name) => {
                let location = location_of(snapshot);
                let stem = by_name.entry((location, &name.stem)).or_insert_with(|| {
                    let base = selected.base_of(&name.stem)?;
                    stems.push(Stem::new(location, &name.stem, input.policies.for_base(base)));
                    Ok(stems.len() - 1)
                });
                match (*stem, foreign_cluster(snapshot, input)) {
                    (Err(unmatched), _) => (None, Decision::Unmatched(unmatched)),
                    (Ok(stem), Some(keep)) => {
                        stems.get_mut(stem).into_iter().for_each(|s| s.count_foreign(keep));
                        (None, Decision::Keep(vec![keep]))
                    }
                    (Ok(stem), None) => (Some(stem), UNDECIDED),
                }
            }
        };
        items.push(Item::new(snapshot, index, stem));
        decisions.push(decision);
    }
    let file = |item: &Item| all.get(item.index).map(|s| s.file.as_str());
    items.sort_unstable_by(|a, b| a.at.cmp(&b.at).then_with(|| file(a).cmp(&file(b))));
    Classified { decisions, items, stems }
}

/// Why a snapshot is kept because of its cluster. An incomplete file has no content that could tell a cluster.
fn foreign_cluster(snapshot: &Snapshot, input: &PruneInput) -> Option<Keep> {
    let own = input.cluster_id.filter(|_| snapshot.state != State::Incomplete)?;
    match relation(snapshot, own) {
        Relation::Same => None,
        Relation::Other => Some(Keep::OtherCluster),
        Relation::Unknown => Some(Keep::UnknownCluster),
    }
}

/// The files of one stem in one location, by cluster.
struct Stem<'a> {
    location: &'a str,
    name: &'a str,
    policy: &'a Policy,
    /// Newest first.
    clusters: BTreeMap<Option<&'a str>, Vec<Item>>,
    /// Newest first.
    incomplete: Vec<Item>,
    /// How many snapshots are of an unknown cluster, if the own one is known.
    unknown: usize,
}

impl<'a> Stem<'a> {
    fn new(location: &'a str, name: &'a str, policy: &'a Policy) -> Stem<'a> {
        Stem { location, name, policy, clusters: BTreeMap::new(), incomplete: Vec::new(), unknown: 0 }
    }

    fn count_foreign(&mut self, keep: Keep) {
        self.unknown += usize::from(keep == Keep::UnknownCluster);
    }

    fn add(&mut self, item: Item, all: &'a [Snapshot]) {
        if item.state == State::Incomplete {
            self.incomplete.push(item);
        } else {
            let cluster = all.get(item.index).and_then(cluster_of);
            self.clusters.entry(cluster).or_default().push(item);
        }
    }

    /// The decision about each file.
    fn decide(
        &self,
        all: &[Snapshot],
        leftovers: &HashMap<&str, &Leftover>,
        input: &PruneInput,
        warnings: &mut Vec<Warning>,
    ) -> Vec<(Item, Decision)> {
        let rules = group::Rules { policy: self.policy, now: input.now, accept_drop: input.accept_drop };
        let mut decided = Vec::new();
        for items in self.clusters.values() {
            decided.extend(items.iter().copied().zip(group::decide(self.name, items, &rules, warnings)));
        }
        let newest =
            self.clusters.values().filter_map(|items| group::newest_verified(items, input.now)).max();
        for item in &self.incomplete {
            let left = all.get(item.index).and_then(|s| leftovers.get(s.file.as_str())).copied();
            let decision = group::decide_leftover(left, item.at, Some((self.policy, newest)), input.now);
            decided.push((*item, decision));
        }
        if self.unknown > 0 {
            let message = format!(
                "{} snapshots of '{}' are of an unknown cluster; they are kept and not counted. 'k3s-snapshot verify' finds \
                 the cluster of a snapshot",
                self.unknown,
                self.name.escape_debug()
            );
            warnings.push(Warning { code: WarningCode::UnknownCluster, message });
        }
        decided
    }
}

/// The location of a snapshot: its URL without the file.
pub(super) fn location_of(snapshot: &Snapshot) -> &str {
    snapshot.location.strip_suffix(snapshot.file.as_str()).unwrap_or(&snapshot.location)
}
