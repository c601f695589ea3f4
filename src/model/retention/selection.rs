// SPDX-License-Identifier: Apache-2.0
//! Which snapshots a prune is about: stems, taken as exact texts. Base and node are never cut out of a name.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::snapshot::Snapshot;

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Bases: of each, the stem `<base>-<node>`.
    pub bases: Vec<String>,
    /// Whether somebody named the bases; else K3s's own snapshots are left out.
    pub named: bool,
    /// The node.
    pub node: String,
    /// Every stem of the node, whatever its base.
    pub all: bool,
    /// The stems of these bases on other nodes too, where a manifest or `told` says that they are.
    pub all_nodes: bool,
    /// Bases of K3s's scheduled snapshots.
    pub scheduled: Vec<String>,
    /// Of a place that nodes share: of which node each stem of `asks` is, where the place tells. With `all`, only what
    /// is told to be the node's is taken there: an end that fits is no proof.
    pub told: Option<BTreeMap<String, String>>,
}

/// The same, with what the snapshots at hand tell of stems and nodes.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    selection: &'a Selection,
    /// Stem to base.
    stems: HashMap<String, &'a str>,
    /// What the stems of other nodes end with, where those could be taken for this one's.
    others: Vec<String>,
}

impl Selection {
    /// Of the stems in a place that nodes share, those of which it has to be known whose they are: the newest file of
    /// each. None where the names say all that is asked for.
    pub fn asks<'a>(&self, all: &'a [Snapshot]) -> BTreeMap<&'a str, &'a str> {
        let own: HashSet<String> = self.bases.iter().map(|base| format!("{base}-{}", self.node)).collect();
        let mut newest: BTreeMap<&str, &Snapshot> = BTreeMap::new();
        for snapshot in all {
            let Some(name) = &snapshot.name else { continue };
            let stem = name.stem.as_str();
            let may_be = self.all && self.head_of(stem).is_some()
                || self.all_nodes && self.bases.iter().any(|base| begins(stem, base));
            if !may_be || own.contains(stem) || self.is_scheduled(stem) {
                continue;
            }
            let held = newest.entry(stem).or_insert(snapshot);
            if (snapshot.created_at, &snapshot.file) > (held.created_at, &held.file) {
                *held = snapshot;
            }
        }
        newest.into_iter().map(|(stem, s)| (stem, s.file.as_str())).collect()
    }

    pub(super) fn among<'a>(&'a self, all: &'a [Snapshot]) -> Selected<'a> {
        let mut stems: HashMap<String, &str> =
            self.bases.iter().map(|base| (format!("{base}-{}", self.node), base.as_str())).collect();
        let own: HashSet<String> = stems.keys().cloned().collect();
        let mut other_node = |stem: &str, base: &'a str| {
            if !own.contains(stem) {
                // Of two bases that make the same text, always the same one.
                let held = stems.entry(stem.to_owned()).or_insert(base);
                *held = base.min(held);
            }
        };
        let tail = format!("-{}", self.node);
        let mut others = HashSet::new();
        for snapshot in all {
            let (Some(name), Some(manifest)) = (&snapshot.name, &snapshot.manifest) else { continue };
            // etcd's members are called `<node>-<8 hex digits>` by K3s.
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
        for (stem, node) in self.told.iter().flatten().filter(|_| self.all_nodes) {
            for base in self.bases.iter().filter(|base| *stem == format!("{base}-{node}")) {
                other_node(stem, base);
            }
        }
        Selected { selection: self, stems, others: others.into_iter().collect() }
    }

    /// What stands before a dash and the node at the end of a stem.
    fn head_of<'b>(&self, stem: &'b str) -> Option<&'b str> {
        stem.strip_suffix(self.node.as_str())?.strip_suffix('-').filter(|head| !head.is_empty())
    }

    /// Whether these are K3s's scheduled ones, which nobody named.
    fn is_scheduled(&self, stem: &str) -> bool {
        !self.named && self.scheduled.iter().any(|base| begins(stem, base))
    }
}

impl<'a> Selected<'a> {
    /// The base of a stem that is among them, else why it is not.
    pub(super) fn base_of<'b>(&'b self, stem: &'b str) -> Result<&'b str, Unmatched>
    where
        'a: 'b,
    {
        let s = self.selection;
        if s.is_scheduled(stem) {
            return Err(Unmatched::Scheduled);
        }
        if let Some(base) = self.stems.get(stem) {
            return Ok(base);
        }
        let Some(head) = s.head_of(stem).filter(|_| s.all) else { return Err(Unmatched::Name) };
        match s.told.as_ref().map(|told| told.get(stem)) {
            Some(Some(node)) if *node == s.node => Ok(head),
            Some(Some(_)) => Err(Unmatched::Node),
            Some(None) => Err(Unmatched::Untold),
            None if self.others.iter().any(|tail| stem.ends_with(tail.as_str())) => Err(Unmatched::Node),
            None => Ok(head),
        }
    }
}

/// Whether a stem is a base, or a base and more behind a dash.
fn begins(stem: &str, base: &str) -> bool {
    stem.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Why a snapshot is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// It has another name.
    Name,
    /// It is one of K3s's scheduled ones, and those were not named.
    Scheduled,
    /// It is known to be another node's.
    Node,
    /// It lies in a place that nodes share, and nothing there tells which one it is of.
    Untold,
    /// It is no snapshot.
    Foreign,
}
