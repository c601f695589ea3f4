// SPDX-License-Identifier: Apache-2.0
//! When a snapshot was created: the rule for all stores.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::name::SnapshotName;

/// The time in the name; if the name has none, or a number that cannot be one, the time at which the file was modified. Seconds
/// since the epoch.
pub(super) fn created_at(name: Option<&SnapshotName>, modified_at: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    name.and_then(|name| name.time(now)).unwrap_or(modified_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_possible_time_has_the_time_of_its_file() {
        let at = |file: &str| created_at(SnapshotName::parse(file).as_ref(), 77);
        assert_eq!(at("timer-n-1627633080"), 1_627_633_080);
        for file in
            ["snapshot-20261127030000", "backup-1795748400000", "backup-2026-11-27", "a-n-5", "notes.txt"]
        {
            assert_eq!(at(file), 77, "{file}");
        }
    }
}
