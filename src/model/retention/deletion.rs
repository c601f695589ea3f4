// SPDX-License-Identifier: Apache-2.0
//! Names that somebody wants deleted: which are names at all, and which of them a group cannot do without.

use std::collections::{BTreeMap, HashSet};

use super::place;
use crate::model::snapshot::{Snapshot, State};

/// Says what is wrong with a name that is no name of a file in the folder, or may be meant for more than one.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.contains('/') || name == "." || name == ".." {
        return Err("is a path, and only names in the snapshot folder can be deleted");
    }
    if name.contains(['*', '?', '[', ']']) {
        return Err("is a pattern, and only exact names can be deleted");
    }
    if name.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    Ok(())
}

/// Those of `doomed` without which a group would have no good snapshot left: no proven one where it had one, else no
/// unchecked one.
pub fn last_good<'a>(all: &'a [Snapshot], doomed: &HashSet<&str>) -> Vec<&'a Snapshot> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in all {
        if let Some(name) = &snapshot.name {
            groups.entry((place(snapshot), &name.stem)).or_default().push(snapshot);
        }
    }
    let mut last = Vec::new();
    for files in groups.into_values() {
        let best =
            [State::Verified, State::Unverified].into_iter().find(|s| files.iter().any(|f| f.state == *s));
        let good: Vec<&Snapshot> = files.into_iter().filter(|f| Some(f.state) == best).collect();
        if good.iter().all(|f| doomed.contains(f.file.as_str())) {
            last.extend(good);
        }
    }
    last
}
