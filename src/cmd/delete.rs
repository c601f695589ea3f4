// SPDX-License-Identifier: Apache-2.0
//! delete: deletes snapshots by their exact names. All names are checked before the first is deleted.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::prune::{certain, remove};
use crate::error::{Fault, Kind};
use crate::host::Progress;
use crate::model::report::{Report, Row};
use crate::model::retention::{check_name, last_good};
use crate::model::snapshot::{Snapshot, State};
use crate::store::Store;

/// What is to be deleted, and how.
pub struct Request<'a> {
    /// Names of snapshots.
    pub names: &'a [String],
    /// Whether the last good one of a group may go.
    pub force: bool,
    /// Whether names that do not exist are passed over.
    pub ignore_missing: bool,
    /// Whether it is only shown.
    pub dry_run: bool,
    /// Asks whether so many files are to be deleted; false where somebody said no.
    pub confirm: &'a dyn Fn(&[&str]) -> Result<bool>,
    /// Hash of this server's token, where it is known.
    pub token: Option<&'a str>,
}

/// Deletes what was named, or nothing.
pub fn run(req: &Request, store: &dyn Store, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    for name in req.names {
        check_name(name)
            .map_err(|why| Fault::new(Kind::Usage, format!("the name '{}' {why}", name.escape_debug())))?;
    }
    let mut listing = store.list()?;
    certain(&listing)?;
    listing.snapshots.sort_by(|a, b| (a.created_at, &a.file).cmp(&(b.created_at, &b.file)));
    let named: HashSet<&str> = req.names.iter().map(String::as_str).collect();
    let doomed: Vec<&Snapshot> =
        listing.snapshots.iter().filter(|s| named.contains(s.file.as_str())).collect();
    known(req, &doomed)?;
    let last: HashMap<&str, &Snapshot> =
        last_good(&listing.snapshots, &named).into_iter().map(|s| (s.file.as_str(), s)).collect();
    for snapshot in &doomed {
        let kept = last.contains_key(snapshot.file.as_str()) && !req.force;
        let reason = if kept { "the last good one of its name" } else { "named" };
        report.snapshots.push(Row {
            verdict: Some(if kept { "keep" } else { "remove" }),
            reasons: vec![reason.to_owned()],
            ..Row::of(snapshot, req.token)
        });
    }
    if let Some(first) = doomed.iter().find(|s| last.contains_key(s.file.as_str())).filter(|_| !req.force) {
        return Err(Fault::new(
            Kind::Refused,
            format!(
                "'{}' is the last good snapshot of its name ({}); nothing was deleted",
                first.file.escape_debug(),
                first.state.label()
            ),
        )
        .hint("Save another one first, or say --force.")
        .into());
    }
    let files: Vec<&str> = doomed.iter().map(|s| s.file.as_str()).collect();
    if req.dry_run || files.is_empty() {
        return Ok(());
    }
    if !(req.confirm)(&files)? {
        return Err(Fault::new(Kind::Refused, "somebody said no; nothing was deleted").into());
    }
    remove(&files, store, progress, report);
    Ok(())
}

/// Fails where a name is that of nothing, or of what is not a snapshot.
fn known(req: &Request, doomed: &[&Snapshot]) -> Result<()> {
    if let Some(foreign) = doomed.iter().find(|s| s.state == State::Foreign || s.name.is_none()) {
        return Err(Fault::new(
            Kind::Refused,
            format!("'{}' is not a snapshot; nothing was deleted", foreign.file.escape_debug()),
        )
        .into());
    }
    let there: HashSet<&str> = doomed.iter().map(|s| s.file.as_str()).collect();
    let missing: Vec<&String> = req.names.iter().filter(|n| !there.contains(n.as_str())).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    if req.ignore_missing {
        missing.iter().for_each(|name| log::info!("no snapshot '{}'", name.escape_debug()));
        return Ok(());
    }
    Err(Fault::new(Kind::Missing, format!("no snapshot '{}'; nothing was deleted", first.escape_debug()))
        .hint("k3s-snapshot-list shows what is there; --ignore-missing passes over what is not.")
        .into())
}
