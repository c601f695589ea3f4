// SPDX-License-Identifier: Apache-2.0
//! The plan of a prune: a decision for every file of some locations.

use std::collections::HashMap;
use std::mem;

use super::cluster::{ClusterScope, cluster_of};
use super::decision::{Decision, Keep, Unmatched};
use super::group::{self, Item};
use super::policy::{Policies, Policy};
use super::selection::{Selected, Selection};
use crate::model::name::SnapshotName;
use crate::model::snapshot::{Leftover, Snapshot, State};
use crate::model::warning::{Warning, WarningCode};

/// The input of a plan, in addition to the listing.
#[derive(Debug)]
pub struct PruneInput<'a> {
    /// Which snapshots are selected.
    pub selection: &'a Selection,
    /// What is kept of them.
    pub policies: &'a Policies,
    /// The clusters whose snapshots are counted and deleted.
    pub clusters: ClusterScope<'a>,
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
    let Classified { mut decisions, items, stems } = classify(all, &leftovers, &selected, input);
    let Stems { mut stems, mut groups, .. } = stems;
    for item in items.iter().rev() {
        if let Some(group) = item.group.and_then(|group| groups.get_mut(group)) {
            group.push(*item);
        }
    }
    stems.sort_unstable_by_key(|stem| (stem.location, stem.name));
    let mut warnings = Vec::new();
    for stem in &mut stems {
        stem.clusters.sort_unstable();
        let mut set = |item: &Item, decision| {
            if let Some(entry) = decisions.get_mut(item.index) {
                *entry = decision;
            }
        };
        stem.decide(all, &leftovers, &groups, input, &mut set, &mut warnings);
    }
    let action = |item: Item| {
        let decision = decisions.get_mut(item.index).map(|d| mem::replace(d, UNDECIDED))?;
        Some(PlannedAction { snapshot: all.get(item.index)?, decision })
    };
    Plan { actions: items.into_iter().filter_map(action).collect(), warnings }
}

/// The decision about a file until its group is decided. A file without a group keeps another one.
const UNDECIDED: Decision = Decision::Unmatched(Unmatched::OtherName);

/// The files, and the groups that the policies are applied to.
struct Classified<'a> {
    /// By the index in the listing.
    decisions: Vec<Decision>,
    /// The oldest first.
    items: Vec<Item>,
    stems: Stems<'a>,
}

/// Decides about the files that no policy is applied to, and finds the group of the others.
fn classify<'a>(
    all: &'a [Snapshot],
    leftovers: &HashMap<&str, &Leftover>,
    selected: &'a Selected<'_>,
    input: &'a PruneInput,
) -> Classified<'a> {
    let mut stems = Stems::default();
    let mut items: Vec<Item> = Vec::with_capacity(all.len());
    let mut decisions: Vec<Decision> = Vec::with_capacity(all.len());
    for (index, snapshot) in all.iter().enumerate() {
        let group = match snapshot.name.as_ref().filter(|_| snapshot.state != State::Foreign) {
            Some(name) => stems.group_of(snapshot, name, selected, input),
            None => Err(match leftovers.get(snapshot.file.as_str()) {
                Some(left) if left.ours => group::decide_leftover(Some(left), 0, None, input.now),
                _ => Decision::Unmatched(Unmatched::Foreign),
            }),
        };
        items.push(Item::new(snapshot, index, group.as_ref().ok().copied()));
        decisions.push(group.err().unwrap_or(UNDECIDED));
    }
    let file = |item: &Item| all.get(item.index).map(|s| s.file.as_str());
    items.sort_unstable_by(|a, b| a.at.cmp(&b.at).then_with(|| file(a).cmp(&file(b))));
    Classified { decisions, items, stems }
}

/// The selected stems in all locations.
#[derive(Default)]
struct Stems<'a> {
    by_name: HashMap<(&'a str, &'a str, bool), Result<usize, Unmatched>>,
    stems: Vec<Stem<'a>>,
    /// The items of each group of a stem.
    groups: Vec<Vec<Item>>,
}

impl<'a> Stems<'a> {
    /// The group of a snapshot; an error is the decision about a snapshot without a group.
    fn group_of(
        &mut self,
        snapshot: &'a Snapshot,
        name: &'a SnapshotName,
        selected: &'a Selected<'_>,
        input: &'a PruneInput,
    ) -> Result<usize, Decision> {
        let location = location_of(snapshot);
        // A cluster that was moved from SQLite to etcd counts its revisions from 1 again, and returns with its snapshots of SQLite.
        let key = (location, name.stem.as_str(), name.suffix.is_sqlite());
        let name = name.stem.as_str();
        let stem = self.by_name.entry(key).or_insert_with(|| {
            let base = selected.base_of(name)?;
            self.stems.push(Stem::new(location, name, input.policies.for_base(base)));
            Ok(self.stems.len() - 1)
        });
        let stem = stem.map_err(Decision::Unmatched)?;
        let stem = self.stems.get_mut(stem).ok_or(UNDECIDED)?;
        stem.group_of(snapshot, input, &mut self.groups).map_err(|keep| Decision::Keep(vec![keep]))
    }
}

/// The files of one stem and one datastore in one location.
struct Stem<'a> {
    location: &'a str,
    name: &'a str,
    policy: &'a Policy,
    /// The group of each cluster.
    clusters: Vec<(Option<&'a str>, usize)>,
    /// The group of the incomplete files.
    incomplete: Option<usize>,
    /// How many snapshots are kept because a cluster is not known.
    unknown: usize,
}

impl<'a> Stem<'a> {
    fn new(location: &'a str, name: &'a str, policy: &'a Policy) -> Stem<'a> {
        Stem { location, name, policy, clusters: Vec::new(), incomplete: None, unknown: 0 }
    }

    /// The group of a snapshot of this stem. An error is the reason to keep it without a group.
    fn group_of(
        &mut self,
        snapshot: &'a Snapshot,
        input: &PruneInput,
        groups: &mut Vec<Vec<Item>>,
    ) -> Result<usize, Keep> {
        let mut new_group = || {
            groups.push(Vec::new());
            groups.len() - 1
        };
        // An incomplete file has no content from which its cluster could be read.
        if snapshot.state == State::Incomplete {
            return Ok(*self.incomplete.get_or_insert_with(new_group));
        }
        if let Some(keep) = input.clusters.keeps(snapshot) {
            self.unknown += usize::from(keep != Keep::OtherCluster);
            return Err(keep);
        }
        let cluster = cluster_of(snapshot);
        if let Some((_, group)) = self.clusters.iter().find(|(of, _)| *of == cluster) {
            return Ok(*group);
        }
        let group = new_group();
        self.clusters.push((cluster, group));
        Ok(group)
    }

    /// Decides about each file in the groups of the stem.
    fn decide(
        &self,
        all: &[Snapshot],
        leftovers: &HashMap<&str, &Leftover>,
        groups: &[Vec<Item>],
        input: &PruneInput,
        set: &mut dyn FnMut(&Item, Decision),
        warnings: &mut Vec<Warning>,
    ) {
        let rules = group::Rules { policy: self.policy, now: input.now, accept_drop: input.accept_drop };
        let of_clusters = || self.clusters.iter().filter_map(|(_, group)| groups.get(*group));
        for items in of_clusters() {
            group::decide(self.name, items, &rules, set, warnings);
        }
        let newest = of_clusters().filter_map(|items| group::newest_verified(items, input.now)).max();
        for item in self.incomplete.and_then(|group| groups.get(group)).into_iter().flatten() {
            let left = all.get(item.index).and_then(|s| leftovers.get(s.file.as_str())).copied();
            let group = Some((self.policy, newest));
            set(item, group::decide_leftover(left, item.at, group, input.now));
        }
        if self.unknown > 0 {
            let (code, why) = match input.clusters {
                ClusterScope::Unknown => (
                    WarningCode::OwnClusterUnknown,
                    "are kept: the cluster of this server is not known. Try again when etcd runs, or use --all-clusters",
                ),
                _ => (
                    WarningCode::UnknownCluster,
                    "are of an unknown cluster; they are kept and not counted. 'k3s-snapshot verify' finds the cluster of a \
                     snapshot; --all-clusters counts them",
                ),
            };
            let message = format!("{} snapshots of '{}' {why}", self.unknown, self.name.escape_debug());
            warnings.push(Warning { code, message });
        }
    }
}

/// The location of a snapshot: its URL without the file.
pub(super) fn location_of(snapshot: &Snapshot) -> &str {
    snapshot.location.strip_suffix(snapshot.file.as_str()).unwrap_or(&snapshot.location)
}
