// SPDX-License-Identifier: Apache-2.0
//! Finds the snapshot that is meant, makes it a file that nobody can take away, and proves that file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Machine, Request, told};
use crate::cmd::examine::examine;
use crate::codec::zip;
use crate::error::{Fault, Kind};
use crate::inspect::{self, Content, ReadAt};
use crate::model::name::{SnapshotName, Suffix};
use crate::model::report::{Report, Row, rfc3339};
use crate::model::restore::Subject;
use crate::model::snapshot::{Digest, FileId, Manifest, Snapshot, State};
use crate::store::{Opened, Store};

/// A snapshot that exists.
pub(super) struct Found {
    snapshot: Snapshot,
    recorded: Option<Manifest>,
    id: FileId,
    path: PathBuf,
    /// The folder it lies in, where that is not the snapshot folder.
    elsewhere: Option<PathBuf>,
}

/// A pinned file that is a whole snapshot.
pub(super) struct Proven {
    pub(super) pinned: PathBuf,
    pub(super) subject: Subject,
    pub(super) content: Content,
}

/// The one that is meant. Nothing is guessed: what could be two is refused.
pub(super) fn find(req: &Request, machine: &Machine) -> Result<Found> {
    let usage = |what: &str| {
        Fault::new(Kind::Usage, what.to_owned())
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
            None => found(machine.home.open(target)?, None),
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
    Ok(Found { recorded: opened.recorded, id: opened.id, snapshot: opened.snapshot, path, elsewhere })
}

/// The newest that may be good. What this verb saved before a restore is not what an operator means by that.
fn latest(req: &Request, machine: &Machine) -> Result<Found> {
    let listing = machine.home.list()?;
    let own = format!("{}-{}", req.safety_base, req.node);
    let ours = |s: &Snapshot| {
        s.name.as_ref().is_some_and(|n| n.stem == own)
            || s.manifest.as_ref().is_some_and(|m| m.base.as_deref() == Some(req.safety_base))
    };
    let mut all: Vec<Snapshot> = listing
        .snapshots
        .into_iter()
        .filter(|s| matches!(s.state, State::Proven | State::Unchecked) && s.name.is_some() && !ours(s))
        .filter(|s| req.before.is_none_or(|t| s.created_at < t))
        .collect();
    all.sort_by_key(|s| std::cmp::Reverse(s.created_at));
    let when = req.before.map(|t| format!(" from before {}", rfc3339(t))).unwrap_or_default();
    let Some(newest) = all.first() else {
        return Err(Fault::new(Kind::Missing, format!("there is no snapshot{when} to restore"))
            .hint("k3s-snapshot-list shows what is there.")
            .into());
    };
    if let Some(twin) = all.get(1).filter(|s| s.created_at == newest.created_at) {
        return Err(Fault::new(
            Kind::Usage,
            format!(
                "'{}' and '{}' are of the same second",
                newest.file.escape_debug(),
                twin.file.escape_debug()
            ),
        )
        .hint("Name the one that is meant.")
        .into());
    }
    found(machine.home.open(&newest.file)?, None)
}

/// Pins it and reads every byte of what was pinned.
pub(super) fn prove(found: &Found, req: &Request, machine: &Machine, report: &mut Report) -> Result<Proven> {
    let file = &found.snapshot.file;
    let zipped = match &found.snapshot.name {
        Some(name) => name.suffix == Suffix::Zip,
        None => is_zip(&machine.site.open(&found.path)?)?,
    };
    machine.progress.step(&format!("proving {}", file.escape_debug()), Some(found.snapshot.size));
    let pinned =
        if zipped { unpack(found, machine)? } else { machine.site.pin(&found.path, &plain_name(file))? };
    let data = machine.site.open(&pinned)?;
    let examined = examine(&data, false, machine.progress)
        .with_context(|| format!("proving '{}'", file.escape_debug()))?;
    let mut findings = examined.findings.clone();
    if !inspect::looks_like(&data) {
        findings = vec!["this is not an etcd snapshot at all".to_owned()];
    }
    let digest = examined.digests.map(|d| Digest(d.file)).context("hashing the snapshot")?;
    if let Some(old) = found.recorded.as_ref().filter(|m| m.proven_at.is_some() && m.plain_sha256 != digest) {
        findings.push(format!(
            "it is not the snapshot that was recorded on {}: its SHA-256 is {digest}, that one's was {}",
            rfc3339(old.checked_at),
            old.plain_sha256
        ));
    }
    if !findings.is_empty() {
        return Err(damaged(file, &findings));
    }
    let db_len = inspect::split(data.size()).map_err(|f| damaged(file, &[f.to_string()]))?;
    let content = inspect::content(&data, db_len, None)
        .with_context(|| format!("reading '{}'", file.escape_debug()))?
        .map_err(|all| damaged(file, &all.iter().map(ToString::to_string).collect::<Vec<_>>()))?;
    let row = Row::of(&found.snapshot, None);
    report.snapshots.push(Row {
        state: State::Proven,
        revision: Some(content.facts.revision),
        entries: Some(content.facts.entries),
        token_hash: content.facts.token_hashes.clone(),
        cluster_id: content.facts.cluster_id.clone(),
        sha256: (!zipped).then(|| digest.to_string()),
        findings: vec![],
        ..row
    });
    told(report).age_s = req.now.saturating_sub(found.snapshot.created_at);
    let subject = Subject {
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

fn unpack(found: &Found, machine: &Machine) -> Result<PathBuf> {
    let file = &found.snapshot.file;
    let data = machine.site.open(&found.path)?;
    let draft = machine.site.draft()?;
    let room = |size: u64| draft.room_for(size);
    match zip::unpack(&data, &room, &mut &draft)
        .with_context(|| format!("unpacking '{}'", file.escape_debug()))?
    {
        zip::Unpacked::Damaged(why) => Err(damaged(file, &[why])),
        zip::Unpacked::Whole(_) => {
            let size = draft.reader()?.size();
            machine.site.publish(draft, &plain_name(file), size)
        }
    }
}

fn is_zip(data: &dyn ReadAt) -> Result<bool> {
    let mut head = [0u8; 4];
    if data.size() < 4 {
        return Ok(false);
    }
    data.read_exact_at(&mut head, 0).context("reading the first bytes")?;
    Ok(&head == b"PK\x03\x04")
}

fn damaged(file: &str, findings: &[String]) -> anyhow::Error {
    Fault::new(
        Kind::Corrupt,
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
            report.warn(format!("{e:#}"));
        }
        let Some(manifest) = &self.snapshot.manifest else { return };
        let other = self.elsewhere.as_ref().map(|folder| (machine.elsewhere)(folder));
        let store: &dyn Store = other.as_deref().unwrap_or(machine.home);
        let Ok(now) = store.open(&self.snapshot.file) else { return };
        let same =
            (now.id.ino, now.id.size, now.id.mtime_ns) == (self.id.ino, self.id.size, self.id.mtime_ns);
        if same
            && now.id != self.id
            && let Err(e) = store.record(&Manifest { file: now.id, ..manifest.clone() })
        {
            log::debug!("recording '{}' anew: {e:#}", self.snapshot.file.escape_debug());
        }
    }
}
