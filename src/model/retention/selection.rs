// SPDX-License-Identifier: Apache-2.0
//! Which snapshots a prune is about: stems, taken as exact texts. Base and node are never cut out of a name.

use std::collections::HashSet;

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
    /// The stems of these bases on other nodes too, where a manifest says that they are.
    pub all_nodes: bool,
    /// Bases of K3s's scheduled snapshots.
    pub scheduled: Vec<String>,
}

/// The same, with what the snapshots at hand tell of stems and nodes.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    selection: &'a Selection,
    stems: HashSet<String>,
    /// What the stems of other nodes end with, where those could be taken for this one's.
    others: Vec<String>,
}

impl Selection {
    pub(super) fn among<'a>(&'a self, all: &[Snapshot]) -> Selected<'a> {
        let mut stems: HashSet<String> =
            self.bases.iter().map(|base| format!("{base}-{}", self.node)).collect();
        let tail = format!("-{}", self.node);
        let mut others = HashSet::new();
        for snapshot in all {
            let (Some(name), Some(manifest)) = (&snapshot.name, &snapshot.manifest) else { continue };
            // etcd's members are called `<node>-<8 hex digits>` by K3s.
            let members = manifest.members.iter().filter_map(|m| Some(m.rsplit_once('-')?.0));
            let nodes = manifest.node.as_deref().into_iter().chain(members);
            others.extend(nodes.filter(|n| n.ends_with(&tail)).map(|n| format!("-{n}")));
            if let (true, Some(base), Some(node)) = (self.all_nodes, &manifest.base, &manifest.node)
                && self.bases.contains(base)
                && name.stem == format!("{base}-{node}")
                && !stems.contains(&name.stem)
            {
                stems.insert(name.stem.clone());
            }
        }
        Selected { selection: self, stems, others: others.into_iter().collect() }
    }
}

impl Selected<'_> {
    /// Why a stem is not among them; `None` where it is.
    pub(super) fn leaves_out(&self, stem: &str) -> Option<Unmatched> {
        let s = self.selection;
        if !s.named && s.scheduled.iter().any(|base| begins(stem, base)) {
            return Some(Unmatched::Scheduled);
        }
        if self.stems.contains(stem) {
            return None;
        }
        let of_node = stem.strip_suffix(s.node.as_str()).and_then(|head| head.strip_suffix('-'));
        if !s.all || of_node.is_none_or(str::is_empty) {
            return Some(Unmatched::Name);
        }
        self.others.iter().any(|tail| stem.ends_with(tail.as_str())).then_some(Unmatched::Node)
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
    /// It is no snapshot.
    Foreign,
}
