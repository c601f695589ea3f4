// SPDX-License-Identifier: Apache-2.0
//! delete: deletes snapshots by their exact names, in the snapshot directory and in the bucket. All names are checked in
//! all locations before the first file is deleted.

use std::collections::HashSet;

use anyhow::Result;

use super::pending::clear_pending_uploads;
use super::removal::{Deletion, LOCAL_DIR, delete_all, ensure_complete_listing};
use crate::error::{Code, Fault};
use crate::host::Progress;
use crate::model::action::Action;
use crate::model::report::{Report, Row};
use crate::model::retention::{check_name, last_verified_lost};
use crate::model::snapshot::{Listing, Snapshot, State};
use crate::store::{RemoteStore, Store};

/// What is to be deleted, and how.
pub struct Request<'a> {
    /// Names of snapshots.
    pub names: &'a [String],
    /// Whether the last good one of a group may be deleted.
    pub force: bool,
    /// Whether names that do not exist are ignored.
    pub ignore_missing: bool,
    /// Whether nothing is deleted.
    pub dry_run: bool,
    /// Asks for a confirmation; false if it was declined.
    pub confirm: &'a dyn Fn(&[&str]) -> Result<bool>,
    /// Hash of the token of this server, if it is known.
    pub token: Option<&'a str>,
}

/// The named snapshots of both locations.
struct Selected {
    /// All snapshots: first the local ones, then those in the bucket.
    all: Vec<Snapshot>,
    /// How many of them are local.
    local: usize,
    /// Locations of those that are the last good ones of their names.
    last: HashSet<String>,
}

/// Deletes the named snapshots in every location, or none.
///
/// # Errors
/// If a name is invalid, does not exist or is not a snapshot; if it is the last good one; if a listing is incomplete; if
/// the confirmation is declined. Failed deletions are errors in the report.
pub fn run(
    req: &Request,
    local: &dyn Store,
    bucket: Option<&dyn RemoteStore>,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let location = bucket.map(|b| format!("'{}'", b.url())).unwrap_or_default();
    let selected = select(req, local, bucket, &location)?;
    let (local_files, bucket_files) = add_rows(req, &selected, report);
    ensure_not_last(req, &selected)?;
    if req.dry_run || report.snapshots.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = selected
        .all
        .iter()
        .enumerate()
        .filter(|(_, s)| is_named(req, s))
        .map(|(i, s)| if i < selected.local { s.file.as_str() } else { s.location.as_str() })
        .collect();
    if !(req.confirm)(&shown)? {
        return Err(Fault::new(Code::NotConfirmed, "canceled; nothing was deleted").into());
    }
    clear_pending_uploads(local, &bucket_files, report);
    delete_all(&local_files, local, LOCAL_DIR, progress, report);
    if let Some(bucket) = bucket {
        delete_all(&bucket_files, bucket, &location, progress, report);
    }
    Ok(())
}

fn is_named(req: &Request, snapshot: &Snapshot) -> bool {
    req.names.contains(&snapshot.file)
}

fn select(
    req: &Request,
    local: &dyn Store,
    bucket: Option<&dyn RemoteStore>,
    location: &str,
) -> Result<Selected> {
    for name in req.names {
        check_name(name).map_err(|why| {
            Fault::new(Code::InvalidName, format!("the name '{}' {why}", name.escape_debug()))
        })?;
    }
    let mut all = oldest_first(local.list()?, LOCAL_DIR)?;
    let local = all.len();
    if let Some(bucket) = bucket {
        all.extend(oldest_first(bucket.list()?, location)?);
    }
    ensure_names_exist(req, &all.iter().filter(|s| is_named(req, s)).collect::<Vec<_>>())?;
    let names: HashSet<&str> = req.names.iter().map(String::as_str).collect();
    let last = last_verified_lost(&all, &names).into_iter().map(|s| s.location.clone()).collect();
    Ok(Selected { all, local, last })
}

/// Adds a row for each named snapshot. Returns the local ones and those in the bucket.
fn add_rows(req: &Request, selected: &Selected, report: &mut Report) -> (Vec<Deletion>, Vec<Deletion>) {
    let (mut local, mut bucket) = (vec![], vec![]);
    for (i, snapshot) in selected.all.iter().enumerate().filter(|(_, s)| is_named(req, s)) {
        let kept = selected.last.contains(&snapshot.location) && !req.force;
        let (action, reason) =
            if kept { (Action::Keep, "the last good one of its name") } else { (Action::Remove, "named") };
        let deletion = Deletion { row: report.snapshots.len(), file: snapshot.file.clone() };
        if i < selected.local { &mut local } else { &mut bucket }.push(deletion);
        report.snapshots.push(Row {
            action: Some(action),
            reasons: vec![reason.to_owned()],
            ..Row::from_snapshot(snapshot, req.token)
        });
    }
    (local, bucket)
}

fn ensure_not_last(req: &Request, selected: &Selected) -> Result<()> {
    let is_last = |s: &&Snapshot| is_named(req, s) && selected.last.contains(&s.location);
    let Some(first) = selected.all.iter().find(is_last).filter(|_| !req.force) else { return Ok(()) };
    let base = first.manifest.as_ref().and_then(|m| m.base.as_deref());
    let how = base.map(|base| format!(" with 'k3s-snapshot save --name {base}'")).unwrap_or_default();
    Err(Fault::new(
        Code::LastGoodSnapshot,
        format!(
            "'{}' is the last good snapshot of its name ({}); nothing was deleted",
            first.location.escape_debug(),
            first.state.as_str()
        ),
    )
    .hint(format!("Save another one first{how}, or use --force."))
    .into())
}

/// All snapshots of a location, the oldest first.
fn oldest_first(listing: Listing, location: &str) -> Result<Vec<Snapshot>> {
    ensure_complete_listing(&listing, location)?;
    Ok(listing.sorted())
}

/// Fails if a name does not exist, or is not that of a snapshot.
fn ensure_names_exist(req: &Request, found: &[&Snapshot]) -> Result<()> {
    if let Some(foreign) = found.iter().find(|s| s.state == State::Foreign || s.name.is_none()) {
        return Err(Fault::new(
            Code::NotASnapshot,
            format!("'{}' is not a snapshot; nothing was deleted", foreign.file.escape_debug()),
        )
        .into());
    }
    let existing: HashSet<&str> = found.iter().map(|s| s.file.as_str()).collect();
    let missing: Vec<&String> = req.names.iter().filter(|n| !existing.contains(n.as_str())).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    if req.ignore_missing {
        missing.iter().for_each(|name| log::info!("no snapshot '{}'", name.escape_debug()));
        return Ok(());
    }
    Err(Fault::new(
        Code::SnapshotNotFound,
        format!("no snapshot '{}'; nothing was deleted", first.escape_debug()),
    )
    .hint("Run 'k3s-snapshot list' to see the names; --ignore-missing ignores names that do not exist.")
    .into())
}
