// SPDX-License-Identifier: Apache-2.0
//! Which snapshots a prune selects: exact stems. Base and node are never extracted from a name, as both may contain dashes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::decision::Unmatched;
use crate::model::snapshot::{Snapshot, State};

/// The selection of a prune.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Base names. Each selects the stem `<base>-<node>`.
    pub bases: Vec<String>,
    /// Whether the bases were named by the user. Otherwise the scheduled snapshots of K3s are not selected.
    pub named: bool,
    /// The name of the node.
    pub node: String,
    /// Whether every stem of the node is selected, whatever its base is.
    pub all: bool,
    /// Whether the stems of these bases on other nodes are selected too, if a manifest or `owners` names the node.
    pub all_nodes: bool,
    /// Base names of the scheduled snapshots of K3s.
    pub scheduled: Vec<String>,
    /// For a location that several nodes use: the node of each stem of [`Selection::ambiguous_stems`], if the location knows it.
    /// With `all`, only stems of this node are then selected: the end of a stem does not identify the node.
    pub owners: Option<BTreeMap<String, String>>,
}

/// A selection, with what the listed snapshots show about stems and nodes.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    selection: &'a Selection,
    /// The base of each selected stem.
    stems: HashMap<String, &'a str>,
    /// The ends of the stems of other nodes that also end with the name of this node.
    others: Vec<String>,
}

impl Selection {
    /// For a location that several nodes use: the stems whose node must be found out, and the newest file of each. Empty if the
    /// names are enough.
    pub fn ambiguous_stems<'a>(&self, all: &'a [Snapshot]) -> BTreeMap<&'a str, &'a str> {
        let own: HashSet<String> = self.bases.iter().map(|base| format!("{base}-{}", self.node)).collect();
        let mut newest: BTreeMap<&str, &Snapshot> = BTreeMap::new();
        for snapshot in all {
            let Some(name) = &snapshot.name else { continue };
            let stem = name.stem.as_str();
            let is_candidate = self.all && self.base_before_node(stem).is_some()
                || self.all_nodes && self.bases.iter().any(|base| has_base(stem, base));
            if !is_candidate || own.contains(stem) || self.is_scheduled(stem) {
                continue;
            }
            let newest = newest.entry(stem).or_insert(snapshot);
            if (snapshot.created_at, &snapshot.file) > (newest.created_at, &newest.file) {
                *newest = snapshot;
            }
        }
        newest.into_iter().map(|(stem, s)| (stem, s.file.as_str())).collect()
    }

    /// The selected files whose cluster the listing does not show. With a known own cluster they are kept, so a location that can
    /// be asked for the cluster of a file should be asked: a save that was interrupted after the upload leaves such a file.
    pub fn unknown_clusters<'a>(&self, all: &'a [Snapshot]) -> Vec<&'a str> {
        let selected = self.resolve(all);
        let is_unknown = |s: &&Snapshot| {
            let has_content = !matches!(s.state, State::Foreign | State::Incomplete);
            let name = s.name.as_ref().filter(|_| has_content && s.cluster_id().is_none());
            name.is_some_and(|name| selected.base_of(&name.stem).is_ok())
        };
        all.iter().filter(is_unknown).map(|s| s.file.as_str()).collect()
    }

    /// Finds the selected stems in a listing.
    pub(super) fn resolve<'a>(&'a self, all: &'a [Snapshot]) -> Selected<'a> {
        let mut stems: HashMap<String, &str> =
            self.bases.iter().map(|base| (format!("{base}-{}", self.node), base.as_str())).collect();
        let own: HashSet<String> = stems.keys().cloned().collect();
        let mut other_node = |stem: &str, base: &'a str| {
            if !own.contains(stem) {
                // If two bases give the same stem, the choice must not depend on the order.
                let chosen = stems.entry(stem.to_owned()).or_insert(base);
                *chosen = base.min(chosen);
            }
        };
        let tail = format!("-{}", self.node);
        let mut others = HashSet::new();
        for snapshot in all {
            let (Some(name), Some(manifest)) = (&snapshot.name, &snapshot.manifest) else { continue };
            // K3s names the members of etcd `<node>-<8 hex digits>`.
            let members = manifest.members.iter().filter_map(|m| Some(m.rsplit_once('-')?.0));
            let nodes = manifest.node.as_deref().into_iter().chain(members);
            others.extend(nodes.filter(|n| n.ends_with(&tail)).map(|n| format!("-{n}")));
            if let (true, Some(base), Some(node)) = (self.all_nodes, &manifest.base, &manifest.node)
                && let Some(base) = self.bases.iter().find(|b| *b == base)
                && name.stem == format!("{base}-{node}")
            {
                other_node(&name.stem, base);
            }
        }
        for (stem, node) in self.owners.iter().flatten().filter(|_| self.all_nodes) {
            for base in self.bases.iter().filter(|base| *stem == format!("{base}-{node}")) {
                other_node(stem, base);
            }
        }
        Selected { selection: self, stems, others: others.into_iter().collect() }
    }

    /// The part of a stem before a dash and the name of the node.
    fn base_before_node<'b>(&self, stem: &'b str) -> Option<&'b str> {
        stem.strip_suffix(self.node.as_str())?.strip_suffix('-').filter(|head| !head.is_empty())
    }

    /// Whether these are scheduled snapshots of K3s whose base was not named.
    fn is_scheduled(&self, stem: &str) -> bool {
        !self.named && self.scheduled.iter().any(|base| has_base(stem, base))
    }
}

impl<'a> Selected<'a> {
    /// The base of a selected stem.
    ///
    /// # Errors
    /// Why the stem is not selected.
    pub(super) fn base_of<'b>(&'b self, stem: &'b str) -> Result<&'b str, Unmatched>
    where
        'a: 'b,
    {
        let s = self.selection;
        if s.is_scheduled(stem) {
            return Err(Unmatched::ScheduledByK3s);
        }
        if let Some(base) = self.stems.get(stem) {
            return Ok(base);
        }
        let Some(base) = s.base_before_node(stem).filter(|_| s.all) else {
            return Err(Unmatched::OtherName);
        };
        match s.owners.as_ref().map(|owners| owners.get(stem)) {
            Some(Some(node)) if *node == s.node => Ok(base),
            Some(Some(_)) => Err(Unmatched::OtherNode),
            Some(None) => Err(Unmatched::UnknownOwner),
            None if self.others.iter().any(|tail| stem.ends_with(tail.as_str())) => Err(Unmatched::OtherNode),
            None => Ok(base),
        }
    }
}

/// Whether a stem is a base, or a base followed by a dash.
fn has_base(stem: &str, base: &str) -> bool {
    stem.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
