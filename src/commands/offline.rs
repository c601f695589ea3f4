// SPDX-License-Identifier: Apache-2.0
//! What an offline save does not have: entries that etcd has written to its write-ahead log, and not yet to its database.
//!
//! Not every raft entry is a change of a key, and the last ones may never have been acknowledged. So the number is an upper limit.

use std::path::Path;

use crate::etcd_files::{WalEnd, wal_end};
use crate::model::report::Report;
use crate::model::warning::WarningCode;

/// How many entries the log in `wal` has after the entry `applied`, the last one in the database. `None` if that is not known. Anything
/// but zero is a warning.
pub(super) fn missing_entries(wal: &Path, applied: Option<u64>, report: &mut Report) -> Option<u64> {
    let unknown = |report: &mut Report, why: &str| {
        let text = format!("changes can be missing in the snapshot; how many is not known: {why}");
        report.warn(WarningCode::WalUnreadable, text);
    };
    let Some(applied) = applied else {
        unknown(report, "the database has no raft index");
        return None;
    };
    match wal_end(wal) {
        Ok(WalEnd { last_index, incomplete }) => {
            let missing = last_index.saturating_sub(applied);
            let least = if incomplete.is_some() { "at least " } else { "" };
            if missing > 0 || incomplete.is_some() {
                let end = incomplete.map(|why| format!("; {why}")).unwrap_or_default();
                let text = format!(
                    "the write-ahead log of etcd has {least}{missing} entries that are not in the snapshot; each can be a change{end}"
                );
                report.warn(WarningCode::WalEntriesMissing, text);
            }
            Some(missing)
        }
        Err(e) => {
            unknown(report, &format!("{e:#}"));
            None
        }
    }
}
