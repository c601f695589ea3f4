// SPDX-License-Identifier: Apache-2.0
//! verify: reads every byte of snapshots that exist, says what it found, and writes that down.

use std::path::Path;

use anyhow::{Context, Result};

use super::examine::{Examined, examine};
use crate::codec::zip;
use crate::error::{Fault, Kind};
use crate::host::{Draft, Progress};
use crate::inspect::{self, ReadAt};
use crate::model::name::{SnapshotName, Suffix};
use crate::model::report::{Report, Row, rfc3339};
use crate::model::snapshot::{Digest, MANIFEST_VERSION, Manifest, Snapshot, State};
use crate::store::{Opened, Store};

/// Bytes that are fetched in one go.
const STRETCH: u64 = 16 << 20;

/// Which snapshots, and how thoroughly.
pub struct Request<'a> {
    /// Names in the snapshot folder, or paths (with a slash). Empty: all of the folder.
    pub targets: &'a [String],
    /// Only the checksum.
    pub quick: bool,
    /// Only so many, other ones at another time; where all are asked for.
    pub sample: Option<usize>,
    /// Where the snapshots are far away: in how many stretches at once one is fetched before it is looked at.
    pub far: Option<usize>,
    /// Seconds since the epoch.
    pub now: u64,
    /// Hash of this server's token, where it is known.
    pub token: Option<&'a str>,
    /// The snapshot folder.
    pub home: &'a dyn Store,
    /// The store of another folder.
    pub elsewhere: &'a dyn Fn(&Path) -> Box<dyn Store>,
    /// An unnamed file for what must be unpacked, where the snapshot's own folder cannot take one.
    pub scratch: &'a dyn Fn() -> Result<Draft>,
}

/// Verifies, one after another; a bad one does not stop the rest.
pub fn run(req: &Request, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let mut errors = Vec::new();
    if req.targets.is_empty() {
        let mut listing = req.home.list()?;
        listing.snapshots.sort_by(|a, b| (a.created_at, &a.file).cmp(&(b.created_at, &b.file)));
        if let Some(n) = req.sample {
            sample(&mut listing.snapshots, n, req.now);
        }
        for snapshot in &listing.snapshots {
            match snapshot.state {
                State::Foreign | State::Partial => report.snapshots.push(Row::of(snapshot, req.token)),
                _ => errors.extend(one(req, req.home, &snapshot.file, progress, report)),
            }
        }
        if !listing.complete {
            errors.push(anyhow::anyhow!("not everything in the folder could be looked at"));
        }
    }
    for target in req.targets {
        match target.rsplit_once('/') {
            None => errors.extend(one(req, req.home, target, progress, report)),
            Some((folder, file)) => {
                let folder = if folder.is_empty() { "/" } else { folder };
                errors.extend(one(req, &*(req.elsewhere)(Path::new(folder)), file, progress, report));
            }
        }
    }
    let named = !req.targets.is_empty();
    let bad = |r: &&Row| r.state == State::Bad || named && r.state == State::Foreign;
    let count = report.snapshots.iter().filter(bad).count();
    if count > 0 {
        let all = report.snapshots.len();
        report.fail(
            &Fault::new(Kind::Corrupt, format!("{count} of {all} cannot be restored from"))
                .hint("Keep the other snapshots; save a new one with k3s-snapshot-save.")
                .into(),
        );
    }
    // Damage is the worse news, whatever came first.
    errors.iter().for_each(|e| report.fail(e));
    Ok(())
}

/// Leaves `n` of those that can be verified, other ones at another time.
fn sample(all: &mut Vec<Snapshot>, n: usize, now: u64) {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    all.retain(|s| !matches!(s.state, State::Foreign | State::Partial));
    all.sort_by_cached_key(|s| BuildHasherDefault::<DefaultHasher>::default().hash_one((now, &s.file)));
    all.truncate(n);
    all.sort_by(|a, b| (a.created_at, &a.file).cmp(&(b.created_at, &b.file)));
}

/// Adds a row to the report, or gives back why there is none.
fn one(
    req: &Request,
    store: &dyn Store,
    file: &str,
    progress: &dyn Progress,
    report: &mut Report,
) -> Option<anyhow::Error> {
    let done = store.open(file).and_then(|opened| {
        let checked = check(req, store, &opened, progress)
            .with_context(|| format!("verifying '{}'", file.escape_debug()))?;
        Ok((opened, checked))
    });
    match done {
        Ok((opened, checked)) => report.snapshots.push(conclude(req, store, opened, checked)),
        // Removed by a prune since the list was made: nothing to say about it.
        Err(e) if req.targets.is_empty() && crate::error::kind_of(&e) == Kind::Missing => {}
        Err(e) => return Some(e),
    }
    None
}

pub(super) struct Checked {
    pub(super) examined: Examined,
    /// SHA-256 of the bytes as stored, and of the plain snapshot with its size.
    pub(super) stored: Digest,
    plain: Option<(Digest, u64)>,
    pub(super) is_snapshot: bool,
}

fn check(req: &Request, store: &dyn Store, opened: &Opened, progress: &dyn Progress) -> Result<Checked> {
    let (file, name) = (&opened.snapshot.file, opened.snapshot.name.as_ref());
    // Beside the snapshot, where there is room for such files; a read-only folder is no reason not to verify.
    let scratch = || store.draft().or_else(|_| (req.scratch)());
    let zipped = name.is_some_and(|n| n.suffix == Suffix::Zip);
    match req.far {
        // The walk reads here and there: what is far away is fetched first. A checksum alone is read as it comes.
        Some(ways) if zipped || !req.quick => {
            let near = fetch(&*opened.data, file, ways, scratch()?, progress)?;
            proof_of(&near.reader()?, file, name, req.quick, &scratch, progress)
        }
        _ => proof_of(&*opened.data, file, name, req.quick, &scratch, progress),
    }
}

/// Copies all of it into the draft, several stretches at once.
pub(super) fn fetch(data: &dyn ReadAt, file: &str, ways: usize, to: Draft, progress: &dyn Progress) -> Result<Draft> {
    to.room_for(data.size())?;
    progress.step(&format!("fetching {}", file.escape_debug()), Some(data.size()));
    to.fill_from(data, ways, STRETCH, progress)?;
    Ok(to)
}

/// Reads every byte, and says what it found.
pub(super) fn proof_of(
    data: &dyn ReadAt,
    file: &str,
    name: Option<&SnapshotName>,
    quick: bool,
    scratch: &dyn Fn() -> Result<Draft>,
    progress: &dyn Progress,
) -> Result<Checked> {
    progress.step(&format!("verifying {}", file.escape_debug()), Some(data.size()));
    let zipped = match name {
        Some(name) => name.suffix == Suffix::Zip,
        None => starts_as_zip(data)?,
    };
    if !zipped {
        let examined = examine(data, quick, progress)?;
        let plain = examined.digests.map(|d| Digest(d.file));
        return Ok(Checked {
            stored: plain.context("hashing the snapshot")?,
            plain: plain.map(|p| (p, data.size())),
            is_snapshot: inspect::looks_like(data),
            examined,
        });
    }
    let stored = Digest(inspect::hash(data, data.size(), &mut |n| progress.advance(n))?.file);
    let draft = scratch()?;
    let unpacked = zip::unpack(data, &|size| draft.room_for(size), &mut &draft)?;
    let (examined, plain, is_snapshot) = match unpacked {
        zip::Unpacked::Damaged(why) => (
            Examined { digests: None, proof: None, findings: vec![why] },
            None,
            name.is_some(),
        ),
        zip::Unpacked::Whole(entry) => {
            let reader = draft.reader()?;
            let mut examined = examine(&reader, quick, progress)?;
            let expected = name.map(|n| n.plain().to_string());
            if let Some(expected) = expected.filter(|e| *e != entry) {
                examined
                    .findings
                    .push(format!("the zip's entry is called '{}', not '{expected}'", entry.escape_debug()));
            }
            let plain = examined.digests.map(|d| (Digest(d.file), reader.size()));
            (examined, plain, inspect::looks_like(&reader))
        }
    };
    Ok(Checked { examined, stored, plain, is_snapshot })
}

/// The verdict, and the manifest that keeps it.
fn conclude(req: &Request, store: &dyn Store, opened: Opened, checked: Checked) -> Row {
    let Opened { snapshot, recorded, id, .. } = opened;
    let mut findings = checked.examined.findings;
    if !checked.is_snapshot {
        findings = vec!["this is not an etcd snapshot at all".to_owned()];
    }
    // A record of a file that was never proven says nothing about what the file should be.
    let recorded = recorded.filter(|m| m.proven_at.is_some());
    if let Some(old) = recorded.as_ref().filter(|m| m.stored_sha256 != checked.stored) {
        findings.push(format!(
            "it is not the file that was recorded on {}: its SHA-256 is {}, that one's was {}",
            rfc3339(old.checked_at),
            checked.stored,
            old.stored_sha256
        ));
    }
    let mut row = Row::of(&snapshot, req.token);
    row.findings = findings.clone();
    row.sha256 = Some(checked.stored.to_string());
    if !checked.is_snapshot && snapshot.name.is_none() {
        row.state = State::Foreign;
        row.findings.clear();
        return row;
    }
    if req.quick && findings.is_empty() {
        // Less than a proof, and not written down as one.
        row.notes.push("the checksum holds; nothing else was looked at".to_owned());
        return row;
    }
    let facts = checked.examined.proof.map(|p| p.facts).unwrap_or_default();
    let (plain_sha256, plain_size) = checked.plain.unwrap_or((checked.stored, 0));
    let fresh = Manifest {
        version: MANIFEST_VERSION,
        name: snapshot.file.clone(),
        folder: String::new(),
        file: id,
        stored_sha256: checked.stored,
        plain_sha256,
        plain_size,
        revision: facts.revision,
        entries: facts.entries,
        token_hash: facts.token_hashes,
        cluster_id: facts.cluster_id,
        node: None,
        base: None,
        etcd_version: None,
        method: None,
        method_reason: None,
        members: facts.members.into_iter().map(|m| m.name).collect(),
        alarms: facts.alarms,
        recency: None,
        findings: findings.clone(),
        saved_at: None,
        checked_at: req.now,
        proven_at: findings.is_empty().then_some(req.now),
        other: Default::default(),
    };
    // What was written down at the save stays, the digest above all: a damaged file must not become the new truth.
    let manifest = match recorded {
        Some(old) => Manifest {
            file: id,
            proven_at: fresh.proven_at.or(old.proven_at),
            findings,
            checked_at: req.now,
            ..old
        },
        None => fresh,
    };
    let partial = snapshot.state == State::Partial;
    if let Err(e) = store.record(&manifest) {
        log::warn!("{e:#}; the verdict is not kept");
    }
    let state = manifest.state();
    let snapshot = Snapshot {
        state: if partial && state == State::Proven { State::Partial } else { state },
        manifest: Some(manifest),
        ..snapshot
    };
    Row { sha256: Some(checked.stored.to_string()), ..Row::of(&snapshot, req.token) }
}

fn starts_as_zip(data: &dyn ReadAt) -> Result<bool> {
    let mut head = [0u8; 4];
    if data.size() < 4 {
        return Ok(false);
    }
    data.read_exact_at(&mut head, 0).context("reading the first bytes")?;
    Ok(&head == b"PK\x03\x04")
}
