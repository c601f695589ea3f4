// SPDX-License-Identifier: Apache-2.0
//! The text of a rebuild: what is restored and written. No secret is in the report.

use std::fmt::Write as _;

use super::escape::printable;
use crate::model::rebuild::RebuildReport;

/// The plan, or what was done.
pub(super) fn text(rebuild: &RebuildReport) -> String {
    let mut out = String::new();
    let or_unknown = |text: &Option<String>| text.as_deref().map_or_else(|| "unknown".to_owned(), printable);
    let Some(snapshot) = &rebuild.snapshot else {
        return "An interrupted rebuild: its data is restored already.\n".to_owned();
    };
    let _ = writeln!(
        out,
        "Rebuild this server from {} of the server {}, cluster {}.",
        printable(snapshot),
        or_unknown(&rebuild.old_node),
        or_unknown(&rebuild.cluster_id)
    );
    if let Some(kit) = &rebuild.kit {
        let _ = writeln!(out, "Recovery kit: {}.", printable(kit));
    }
    for file in &rebuild.files {
        let _ = writeln!(out, "  {:8} {}", file.action.as_str(), printable(&file.path));
    }
    for (text, all) in [
        ("Flags of the old machine that are dropped or replaced", &rebuild.dropped),
        ("Flags that still have an address of the old machine", &rebuild.old_addresses),
        ("Files of the kit that are not written", &rebuild.not_written),
        ("Variables of the old service that are not set", &rebuild.variables),
    ] {
        if !all.is_empty() {
            let _ = writeln!(out, "{text}: {}.", printable(&all.join(", ")));
        }
    }
    out
}
