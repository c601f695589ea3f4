// SPDX-License-Identifier: Apache-2.0
//! The second half of save: sends what was kept here to the bucket, and after it what earlier saves could not send.
//!
//! What is still to be sent stands in the local manifest, so it ends with the local snapshot: what was pruned or
//! deleted here is never sent again, and what was once sent is never sent twice. Who deletes in the bucket takes the
//! debt away too.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::prune::Doomed;
use crate::error::{Code, Fault, Kind, hint_of, kind_of};
use crate::host::Progress;
use crate::model::name::SnapshotName;
use crate::model::report::{Report, Row};
use crate::model::snapshot::{Manifest, Snapshot, State};
use crate::store::{Remote, Store};

/// The manifest's field about the bucket.
const FIELD: &str = "s3";
/// An unfinished upload this old is nobody's work in progress: K3s gives up after minutes.
const ABANDONED: u64 = 24 * 60 * 60;

/// The bucket, to be opened when it is needed: a save is kept here first, whatever is wrong with the bucket.
pub struct Bucket<'a> {
    /// Opens it.
    pub open: &'a dyn Fn() -> Result<Box<dyn Remote>>,
    /// Whether to send what earlier saves could not send.
    pub backlog: bool,
}

/// How it stands between a local snapshot and the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Begun, or failed.
    Owed,
    Done,
}

fn sent(manifest: &Manifest) -> Option<Sent> {
    match manifest.other.get(FIELD)?.get("state")?.as_str()? {
        "owed" => Some(Sent::Owed),
        "sent" => Some(Sent::Done),
        _ => None,
    }
}

fn mark(home: &dyn Store, manifest: &mut Manifest, state: Sent, more: Value) {
    let word = if state == Sent::Owed { "owed" } else { "sent" };
    let mut value = json!({ "state": word });
    if let (Some(all), Value::Object(more)) = (value.as_object_mut(), more) {
        all.extend(more);
    }
    manifest.other.insert(FIELD.to_owned(), value);
    if let Err(e) = home.write_manifest(manifest) {
        log::warn!("{e:#}; a later save will not know whether '{}' is in the bucket", manifest.name);
    }
}

/// Takes the debt from those that are about to be deleted from the bucket, where a save died before it could write
/// down that they are there: they must not be sent again. Before the deed, so that a kill leaves no debt either.
pub(super) fn forgive(home: &dyn Store, doomed: &[Doomed]) {
    if doomed.is_empty() {
        return;
    }
    let doomed: HashSet<&str> = doomed.iter().map(|(_, file)| file.as_str()).collect();
    let here = match home.list() {
        Ok(listing) => listing.snapshots,
        Err(e) => return log::warn!("{e:#}; a later save may send again what is deleted now"),
    };
    for mut manifest in here.into_iter().filter_map(|s| s.manifest) {
        if doomed.contains(manifest.name.as_str()) && sent(&manifest) == Some(Sent::Owed) {
            mark(home, &mut manifest, Sent::Done, json!({}));
        }
    }
}

/// What a send goes by.
pub(super) struct Send<'a> {
    pub(super) home: &'a dyn Store,
    pub(super) bucket: &'a Bucket<'a>,
    pub(super) stem: String,
    pub(super) now: u64,
    pub(super) token: Option<&'a str>,
}

/// Sends the new snapshot, then the backlog. Trouble is reported, never returned: the snapshot is kept here.
pub(super) fn send(req: &Send, saved: &Snapshot, progress: &dyn Progress, report: &mut Report) {
    // Owed from now on: a kill in the middle leaves the debt, not a gap.
    let mut manifest = saved.manifest.clone();
    if let Some(manifest) = &mut manifest {
        mark(req.home, manifest, Sent::Owed, json!({}));
    }
    let remote = match (req.bucket.open)() {
        Ok(remote) => remote,
        Err(e) => return fail(report, &saved.file, "the bucket", &e),
    };
    let owed = backlog(req, &saved.file);
    let ours = |file: &str, began: u64| {
        let known = file == saved.file || owed.iter().any(|s| s.file == file);
        let of_this_node = || SnapshotName::parse(file).is_some_and(|name| name.stem == req.stem);
        known || req.now.saturating_sub(began) > ABANDONED && of_this_node()
    };
    let files: Vec<&str> = owed.iter().map(|s| s.file.as_str()).collect();
    let swept = remote.abort_stale_uploads(&ours, &files);
    if swept > 0 {
        log::info!("{swept} unfinished upload(s) of earlier saves removed from {}", remote.url());
    }
    if let Err(e) = one(req, &*remote, &saved.file, manifest, progress, report) {
        return fail(report, &saved.file, &remote.url(), &e);
    }
    if !req.bucket.backlog {
        return;
    }
    for snapshot in &owed {
        log::info!("sending '{}', which an earlier save could not send", snapshot.file.escape_debug());
        if let Err(e) = one(req, &*remote, &snapshot.file, snapshot.manifest.clone(), progress, report) {
            // Another object has its name: no later save could change that.
            if kind_of(&e) == Kind::Refused && remote.open(&snapshot.file).is_ok() {
                report.warn(format!("'{}' was not sent: {e:#}", snapshot.file.escape_debug()));
                continue;
            }
            return fail(report, &snapshot.file, &remote.url(), &e);
        }
    }
}

/// Earlier snapshots that are still here and not in the bucket, oldest first.
fn backlog(req: &Send, new: &str) -> Vec<Snapshot> {
    let mut all = match req.home.list() {
        Ok(listing) => listing.snapshots,
        Err(e) => {
            log::warn!("looking for what earlier saves could not send: {e:#}");
            return Vec::new();
        }
    };
    all.retain(|s| {
        let owed = s.manifest.as_ref().is_some_and(|m| sent(m) == Some(Sent::Owed));
        owed && s.state != State::Corrupt && s.file != new
    });
    all.sort_by(|a, b| (a.created_at, &a.file).cmp(&(b.created_at, &b.file)));
    all
}

fn one(
    req: &Send,
    remote: &dyn Remote,
    file: &str,
    manifest: Option<Manifest>,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let opened = req.home.open(file)?;
    let mut manifest = manifest.or(opened.manifest).context("its manifest is gone")?;
    let name = opened.snapshot.name.context("its name is not a snapshot's")?;
    progress.step(&format!("sending {}", file.escape_debug()), Some(opened.data.size()));
    let mut clean = manifest.clone();
    clean.other.remove(FIELD);
    match remote.upload(&name, &*opened.data, &clean, progress) {
        Ok(there) => {
            if there.state != State::Verified && manifest.state() == State::Verified {
                report.warn(format!(
                    "'{}' was sent, but the store reports no checksum: only its size is known to be right",
                    there.location
                ));
            }
            mark(req.home, &mut manifest, Sent::Done, json!({ "location": there.location, "at": req.now }));
            report.snapshots.push(Row::from_snapshot(&there, req.token));
            Ok(())
        }
        Err(e) => {
            mark(req.home, &mut manifest, Sent::Owed, json!({ "why": format!("{e:#}"), "at": req.now }));
            Err(e)
        }
    }
}

fn fail(report: &mut Report, file: &str, place: &str, cause: &anyhow::Error) {
    let what = format!("'{}' was kept here, but not sent to {place}: {cause:#}", file.escape_debug());
    let hint = hint_of(cause).unwrap_or_default();
    let next = "The next save sends it too.";
    let hint = if hint.is_empty() { next.to_owned() } else { format!("{hint} {next}") };
    report.fail(&Fault::new(Code::UploadFailed, what).hint(hint).into());
}
