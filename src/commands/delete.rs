// SPDX-License-Identifier: Apache-2.0
//! delete: deletes snapshots by their exact names, in the folder and in the bucket. All names are checked in all places
//! before the first is deleted.

use std::collections::HashSet;

use anyhow::Result;

use super::prune::{Doomed, FOLDER, certain, remove};
use super::upload::forgive;
use crate::error::{Code, Fault};
use crate::host::Progress;
use crate::model::report::{Report, Row};
use crate::model::retention::{check_name, last_good};
use crate::model::snapshot::{Listing, Snapshot, State};
use crate::store::{Remote, Store};

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
    /// Asks whether these are to be deleted; false where somebody said no.
    pub confirm: &'a dyn Fn(&[&str]) -> Result<bool>,
    /// Hash of this server's token, where it is known.
    pub token: Option<&'a str>,
}

/// Deletes what was named wherever it lies, or nothing.
pub fn run(
    req: &Request,
    home: &dyn Store,
    bucket: Option<&dyn Remote>,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    for name in req.names {
        check_name(name).map_err(|why| {
            Fault::new(Code::InvalidName, format!("the name '{}' {why}", name.escape_debug()))
        })?;
    }
    let mut all = sorted(home.list()?, FOLDER)?;
    let here = all.len();
    let place = bucket.map(|b| format!("'{}'", b.url())).unwrap_or_default();
    if let Some(bucket) = bucket {
        all.extend(sorted(bucket.list()?, &place)?);
    }
    let named: HashSet<&str> = req.names.iter().map(String::as_str).collect();
    let doomed = |s: &Snapshot| named.contains(s.file.as_str());
    known(req, &all.iter().filter(|s| doomed(s)).collect::<Vec<_>>())?;
    let last: HashSet<&str> = last_good(&all, &named).into_iter().map(|s| s.location.as_str()).collect();
    let (mut in_folder, mut in_bucket): (Vec<Doomed>, Vec<Doomed>) = (vec![], vec![]);
    for (i, snapshot) in all.iter().enumerate().filter(|(_, s)| doomed(s)) {
        let kept = last.contains(snapshot.location.as_str()) && !req.force;
        let reason = if kept { "the last good one of its name" } else { "named" };
        let place = if i < here { &mut in_folder } else { &mut in_bucket };
        place.push((report.snapshots.len(), snapshot.file.clone()));
        report.snapshots.push(Row {
            action: Some(if kept { "keep" } else { "remove" }),
            reasons: vec![reason.to_owned()],
            ..Row::from_snapshot(snapshot, req.token)
        });
    }
    let refused = all.iter().filter(|s| doomed(s) && !req.force).find(|s| last.contains(s.location.as_str()));
    if let Some(first) = refused {
        return Err(Fault::new(
            Code::LastGoodSnapshot,
            format!(
                "'{}' is the last good snapshot of its name ({}); nothing was deleted",
                first.location.escape_debug(),
                first.state.as_str()
            ),
        )
        .hint("Save another one first, or say --force.")
        .into());
    }
    if req.dry_run || report.snapshots.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = all
        .iter()
        .enumerate()
        .filter(|(_, s)| doomed(s))
        .map(|(i, s)| if i < here { s.file.as_str() } else { s.location.as_str() })
        .collect();
    if !(req.confirm)(&shown)? {
        return Err(Fault::new(Code::NotConfirmed, "somebody said no; nothing was deleted").into());
    }
    forgive(home, &in_bucket);
    remove(&in_folder, home, FOLDER, progress, report);
    if let Some(bucket) = bucket {
        remove(&in_bucket, bucket, &place, progress, report);
    }
    Ok(())
}

/// All there is in a place, oldest first; fails unless that is known to be all.
fn sorted(mut listing: Listing, place: &str) -> Result<Vec<Snapshot>> {
    certain(&listing, place)?;
    listing.snapshots.sort_by(|a, b| (a.created_at, &a.file).cmp(&(b.created_at, &b.file)));
    Ok(listing.snapshots)
}

/// Fails where a name is that of nothing, or of what is not a snapshot.
fn known(req: &Request, doomed: &[&Snapshot]) -> Result<()> {
    if let Some(foreign) = doomed.iter().find(|s| s.state == State::Foreign || s.name.is_none()) {
        return Err(Fault::new(
            Code::NotASnapshot,
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
    Err(Fault::new(
        Code::SnapshotNotFound,
        format!("no snapshot '{}'; nothing was deleted", first.escape_debug()),
    )
    .hint("k3s-snapshot-list shows what is there; --ignore-missing passes over what is not.")
    .into())
}
