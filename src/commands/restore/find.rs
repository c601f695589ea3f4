// SPDX-License-Identifier: Apache-2.0
//! Finds the snapshot that is meant, makes it a file that nobody can take away, and proves that file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::bucket::Distant;
use super::{Machine, Request, told};
use crate::archive::zip;
use crate::commands::check::{check_snapshot, not_a_snapshot};
use crate::error::{Code, Fault, Kind, kind_of};
use crate::inspect::{self, Content};
use crate::io::ReadAt;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::report::{Report, Row, rfc3339};
use crate::model::restore::SnapshotRef;
use crate::model::snapshot::{Digest, FileId, Manifest, Snapshot, State};
use crate::model::warning::WarningCode;
use crate::store::{Opened, Store};

/// A snapshot that exists.
pub(super) struct Found {
    snapshot: Snapshot,
    recorded: Option<Manifest>,
    id: FileId,
    place: Place,
}

/// Where it lies.
enum Place {
    /// A file, and its folder where that is not the snapshot folder.
    File(PathBuf, Option<PathBuf>),
    /// The bucket.
    Bucket(Distant),
}

/// A pinned file that is a whole snapshot.
pub(super) struct Proven {
    pub(super) pinned: PathBuf,
    pub(super) subject: SnapshotRef,
    pub(super) content: Content,
}

/// The one that is meant. Nothing is guessed: what could be two is refused.
pub(super) fn find(req: &Request, machine: &Machine) -> Result<Found> {
    let usage = |what: &str| {
        Fault::new(Code::MissingArgument, what.to_owned())
            .hint("Name one snapshot: a NAME that k3s-snapshot-list shows, a PATH, or 'latest'.")
    };
    match req.target {
        Some("") => Err(usage("the snapshot to restore is named by an empty text").into()),
        None if req.before.is_none() => Err(usage("no snapshot is named").into()),
        Some("latest") | None => latest(req, machine),
        Some(_) if req.before.is_some() => {
            Err(usage("--before goes with 'latest', not with the name of a snapshot").into())
        }
        Some(target) => match target.rsplit_once('/') {
            None => named(target, req, machine),
            Some((folder, file)) => {
                let folder = Path::new(if folder.is_empty() { "/" } else { folder });
                found((machine.elsewhere)(folder).open(file)?, Some(folder.to_owned()))
            }
        },
    }
}

fn found(opened: Opened, elsewhere: Option<PathBuf>) -> Result<Found> {
    let path = opened.snapshot.location.strip_prefix("file://").map(PathBuf::from);
    let path = path.context("a snapshot that is no file of this machine")?;
    let place = Place::File(path, elsewhere);
    Ok(Found { recorded: opened.manifest, id: opened.id, snapshot: opened.snapshot, place })
}

/// The one of this name: in the folder, else in the bucket.
fn named(file: &str, req: &Request, machine: &Machine) -> Result<Found> {
    match (machine.home.open(file), &req.bucket) {
        (Err(e), Some(_)) if kind_of(&e) == Kind::NotFound => from_bucket(file, req, &e),
        (opened, _) => found(opened?, None),
    }
}

fn from_bucket(file: &str, req: &Request, here: &anyhow::Error) -> Result<Found> {
    let bucket = req.bucket.context("no bucket is turned on")?;
    let (snapshot, recorded, id, distant) = bucket.find(file, here)?;
    Ok(Found { snapshot, recorded, id, place: Place::Bucket(distant) })
}

/// The newest that may be good, here or in the bucket. What this verb saved before a restore is not what an operator means by
/// that.
fn latest(req: &Request, machine: &Machine) -> Result<Found> {
    let own = format!("{}-{}", req.safety_base, req.node);
    let ours = |s: &Snapshot| {
        s.name.as_ref().is_some_and(|n| n.stem == own)
            || s.manifest.as_ref().is_some_and(|m| m.base.as_deref() == Some(req.safety_base))
    };
    let good = |s: &Snapshot| matches!(s.state, State::Verified | State::Unverified);
    let mut all: Vec<(Snapshot, bool)> =
        machine.home.list()?.snapshots.into_iter().map(|s| (s, false)).collect();
    if let Some(bucket) = &req.bucket {
        // Other servers send what they saved before a restore there too.
        let theirs = format!("{}-", req.safety_base);
        let far = bucket.list()?.into_iter().filter(|f| !f.file.starts_with(&theirs));
        // The same snapshot in both places is taken from here, where it is not known to be bad.
        let far = far.filter(|f| !all.iter().any(|(s, _)| s.file == f.file && good(s)));
        let far: Vec<(Snapshot, bool)> = far.map(|s| (s, true)).collect();
        all.extend(far);
    }
    all.retain(|(s, _)| {
        good(s) && s.name.is_some() && !ours(s) && req.before.is_none_or(|t| s.created_at < t)
    });
    all.sort_by_key(|(s, _)| std::cmp::Reverse(s.created_at));
    let when = req.before.map(|t| format!(" from before {}", rfc3339(t))).unwrap_or_default();
    let Some((newest, is_far)) = all.first() else {
        return Err(Fault::new(Code::SnapshotNotFound, format!("there is no snapshot{when} to restore"))
            .hint("k3s-snapshot-list shows what is there.")
            .into());
    };
    if let Some((twin, _)) = all.get(1).filter(|(s, _)| s.created_at == newest.created_at) {
        return Err(Fault::new(
            Code::SnapshotAmbiguous,
            format!(
                "'{}' and '{}' are of the same second",
                newest.file.escape_debug(),
                twin.file.escape_debug()
            ),
        )
        .hint("Name the one that is meant.")
        .into());
    }
    match is_far {
        true => from_bucket(&newest.file, req, &anyhow::anyhow!("it was the newest")),
        false => found(machine.home.open(&newest.file)?, None),
    }
}

/// Pins it and reads every byte of what was pinned.
pub(super) fn prove(found: &Found, req: &Request, machine: &Machine, report: &mut Report) -> Result<Proven> {
    let file = &found.snapshot.file;
    let zipped = match (&found.snapshot.name, &found.place) {
        (Some(name), _) => name.suffix == Suffix::Zip,
        (None, Place::File(path, _)) => zip::is_zip(&machine.site.open(path)?)?,
        (None, Place::Bucket(distant)) => zip::is_zip(distant.data())?,
    };
    let plain_name = plain_name(file);
    let pinned = match &found.place {
        Place::Bucket(distant) => distant.bring(file, zipped, &plain_name, machine)?,
        Place::File(path, _) if zipped => unpack(&machine.site.open(path)?, file, &plain_name, machine)?,
        Place::File(path, _) => machine.site.pin(path, &plain_name)?,
    };
    machine.progress.step(&format!("proving {}", file.escape_debug()), Some(found.snapshot.size));
    let data = machine.site.open(&pinned)?;
    let examined = check_snapshot(&data, false, machine.progress)
        .with_context(|| format!("proving '{}'", file.escape_debug()))?;
    let mut findings: Vec<String> = examined.findings.iter().map(ToString::to_string).collect();
    if !inspect::has_magic(&data) {
        findings = vec![not_a_snapshot(&data).to_string()];
    }
    let digest = examined.digests.map(|d| Digest(d.file)).context("hashing the snapshot")?;
    if let Some(old) = found.recorded.as_ref().filter(|m| m.verified_at.is_some() && m.plain_sha256 != digest)
    {
        findings.push(format!(
            "it is not the snapshot that was recorded on {}: its SHA-256 is {digest}, that one's was {}",
            rfc3339(old.checked_at),
            old.plain_sha256
        ));
    }
    if !findings.is_empty() {
        return Err(damaged(file, &findings));
    }
    let db_len = inspect::database_len(data.size()).map_err(|f| damaged(file, &[f.to_string()]))?;
    let content = inspect::read_content(&data, db_len, None)
        .with_context(|| format!("reading '{}'", file.escape_debug()))?
        .map_err(|all| damaged(file, &all.iter().map(ToString::to_string).collect::<Vec<_>>()))?;
    let row = Row::from_snapshot(&found.snapshot, None);
    report.snapshots.push(Row {
        state: State::Verified,
        revision: Some(content.facts.revision),
        key_revisions: Some(content.facts.key_revisions),
        token_hash: content.facts.token_hashes.clone(),
        cluster_id: content.facts.cluster_id.clone(),
        sha256: (!zipped).then(|| digest.to_string()),
        findings: vec![],
        ..row
    });
    told(report).age_s = req.now.saturating_sub(found.snapshot.created_at);
    let subject = SnapshotRef {
        name: file.clone(),
        location: found.snapshot.location.clone(),
        sha256: digest,
        size: data.size(),
        revision: content.facts.revision,
        created_at: found.snapshot.created_at,
    };
    Ok(Proven { pinned, subject, content })
}

/// K3s is given a plain file under a name without anything that means something to it.
fn plain_name(file: &str) -> String {
    match SnapshotName::parse(file) {
        Some(name) => name.plain().to_string(),
        None => "snapshot".to_owned(),
    }
}

/// Unpacks a zip into our own folder, under this name.
pub(super) fn unpack(data: &dyn ReadAt, file: &str, plain_name: &str, machine: &Machine) -> Result<PathBuf> {
    let draft = machine.site.draft()?;
    let room = |size: u64| draft.ensure_free_space(size);
    match zip::unpack(data, &room, &mut &draft)
        .with_context(|| format!("unpacking '{}'", file.escape_debug()))?
    {
        zip::Unpacked::Damaged(why) => Err(damaged(file, &[why])),
        zip::Unpacked::Whole(_) => {
            let size = draft.reader()?.size();
            machine.site.publish(draft, plain_name, size)
        }
    }
}

fn damaged(file: &str, findings: &[String]) -> anyhow::Error {
    Fault::new(
        Code::SnapshotCorrupt,
        format!("'{}' must not be restored from: {}", file.escape_debug(), findings.join("; ")),
    )
    .hint("Nothing was touched. k3s-snapshot-list shows the others; 'k3s-snapshot-verify --all' tells which are whole.")
    .into()
}

impl Found {
    /// Whether this row is it.
    pub(super) fn is(&self, row: &Snapshot) -> bool {
        row.location == self.snapshot.location
    }

    /// Lets the pinned file go. A second name changes a file's ctime, and with that what is recorded of it would not hold
    /// any more; it is the same file still, so that is recorded anew.
    pub(super) fn release(&self, machine: &Machine, report: &mut Report) {
        if let Err(e) = machine.site.clear_work() {
            report.warn(WarningCode::TidyFailed, format!("{e:#}"));
        }
        let (Some(manifest), Place::File(_, elsewhere)) = (&self.snapshot.manifest, &self.place) else {
            return;
        };
        let other = elsewhere.as_ref().map(|folder| (machine.elsewhere)(folder));
        let store: &dyn Store = other.as_deref().unwrap_or(machine.home);
        let Ok(now) = store.open(&self.snapshot.file) else { return };
        let same =
            (now.id.ino, now.id.size, now.id.mtime_ns) == (self.id.ino, self.id.size, self.id.mtime_ns);
        if same
            && now.id != self.id
            && let Err(e) = store.write_manifest(&Manifest { file: now.id, ..manifest.clone() })
        {
            log::debug!("recording '{}' anew: {e:#}", self.snapshot.file.escape_debug());
        }
    }
}
