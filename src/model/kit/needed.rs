// SPDX-License-Identifier: Apache-2.0
//! Which kits no snapshot needs any more.

use std::collections::{BTreeMap, BTreeSet};

use super::name::KitName;
use crate::util::DAY;

/// A kit in a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKit {
    /// Its name.
    pub name: KitName,
    /// When it was written, seconds since the epoch.
    pub modified: u64,
    /// Bytes.
    pub size: u64,
}

/// What the snapshots of a location need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KitNeeds {
    /// The kits that manifests name.
    pub named: BTreeSet<String>,
    /// When the snapshots were saved whose kit is not known: those of K3s, and those without a manifest.
    pub unnamed: Vec<u64>,
}

/// The kits that are not needed. One is kept if a snapshot names it; if it is the newest of its node and cluster; if a snapshot
/// without a known kit was saved while it was the newest; and for a day, because its snapshot may be on its way.
pub(crate) fn unneeded(kits: &[StoredKit], needs: &KitNeeds, now: u64) -> Vec<KitName> {
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&StoredKit>> = BTreeMap::new();
    for kit in kits {
        groups.entry((&kit.name.node, kit.name.cluster())).or_default().push(kit);
    }
    let mut all = Vec::new();
    for group in groups.values_mut() {
        group.sort_by_key(|kit| kit.modified);
        for (at, kit) in group.iter().enumerate() {
            let Some(next) = group.get(at + 1) else { continue };
            let is_first = at == 0;
            // The kit of a save is written after the time in the name of its snapshot.
            let serves = |saved: &u64| {
                *saved < next.modified.saturating_add(DAY)
                    && (is_first || *saved >= kit.modified.saturating_sub(DAY))
            };
            let is_kept = needs.named.contains(&kit.name.to_string())
                || now < kit.modified.saturating_add(DAY)
                || needs.unnamed.iter().any(serves);
            if !is_kept {
                all.push(kit.name.clone());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kit(node: &str, at_day: u64) -> StoredKit {
        let name = KitName::new(node, Some("6f9c1f0e"), &at_day.to_le_bytes());
        StoredKit { name, modified: at_day * DAY, size: 1 }
    }

    /// The days of the kits of node `n` that are removed, from those of the days 10, 20, 30 and 40.
    fn removed(named: &[u64], unnamed: &[u64], now: u64) -> Vec<u64> {
        let kits: Vec<StoredKit> = [30, 10, 40, 20].map(|day| kit("n", day)).to_vec();
        let needs = KitNeeds {
            named: named.iter().map(|day| kit("n", *day).name.to_string()).collect(),
            unnamed: unnamed.iter().map(|day| day * DAY).collect(),
        };
        let names = unneeded(&kits, &needs, now * DAY);
        let mut days: Vec<u64> =
            kits.iter().filter(|k| names.contains(&k.name)).map(|k| k.modified / DAY).collect();
        days.sort_unstable();
        days
    }

    #[test]
    fn a_kit_is_kept_while_a_snapshot_needs_it() {
        for (what, named, unnamed, now, want) in [
            ("nothing needs them: the newest stays", &[][..], &[][..], 100, &[10, 20, 30][..]),
            ("those that are named stay", &[10, 30], &[], 100, &[20]),
            ("the one of the time of a snapshot stays", &[], &[25], 100, &[10, 30]),
            ("on the border both stay", &[], &[30], 100, &[10]),
            ("before the first one, the first one stays", &[], &[3], 100, &[20, 30]),
            ("after the last one, the last one serves", &[], &[99], 100, &[10, 20, 30]),
            ("a young one stays", &[], &[], 30, &[10, 20]),
        ] {
            assert_eq!(removed(named, unnamed, now), want, "{what}");
        }
    }

    #[test]
    fn each_node_keeps_its_newest_kit() {
        let kits = [kit("a", 1), kit("a", 2), kit("b", 1)];
        let removed = unneeded(&kits, &KitNeeds::default(), 100 * DAY);
        assert_eq!(removed, [kit("a", 1).name]);
    }
}
