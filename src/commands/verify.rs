// SPDX-License-Identifier: Apache-2.0
//! verify: reads every byte of existing snapshots, reports what is wrong, and records the result.

use std::path::Path;

use anyhow::{Context, Result};

use super::authenticity;
use super::check::{Checked, check_snapshot};
use super::verify_result::{Verified, record_verification};
use crate::archive::zip;
use crate::error::{Code, Fault, Kind, kind_of};
use crate::host::{Draft, NoProgress, Progress};
use crate::inspect::{self, Datastore};
use crate::io::ReadAt;
use crate::model::authenticity::Keyring;
use crate::model::name::SnapshotName;
use crate::model::report::{Report, Row};
use crate::model::snapshot::{Digest, FindingRecord, Snapshot, State};
use crate::model::warning::WarningCode;
use crate::store::{Opened, Store};

/// Bytes of one request of a download.
const CHUNK: u64 = 16 << 20;

/// Which snapshots, and how thoroughly.
pub struct Request<'a> {
    /// Names in the location, or paths (anything with a slash). Empty: the whole location.
    pub targets: &'a [String],
    /// Only the checksum.
    pub quick: bool,
    /// With the whole location: only this many snapshots, others at another time.
    pub sample: Option<usize>,
    /// If the snapshots are in a bucket: how many requests a download may have in flight.
    pub parallel: Option<usize>,
    /// Seconds since the epoch.
    pub now: u64,
    /// Hash of the token of this server, if it is known.
    pub token: Option<&'a str>,
    /// The keys of the known tokens.
    pub keys: &'a Keyring,
    /// The location.
    pub store: &'a dyn Store,
    /// The store of another directory.
    pub open_dir: &'a dyn Fn(&Path) -> Box<dyn Store>,
    /// An unnamed file with room for this many bytes, for data that must be unpacked.
    pub scratch: &'a dyn Fn(u64) -> Result<Draft>,
}

/// Verifies one snapshot after another; a corrupt one does not stop the rest.
///
/// # Errors
/// If the location cannot be listed. Corrupt snapshots and those that cannot be read are errors in the report.
pub fn run(req: &Request, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let mut errors = Vec::new();
    if req.targets.is_empty() {
        let listing = req.store.list()?;
        let complete = listing.complete;
        let mut all = listing.sorted();
        if let Some(n) = req.sample {
            sample(&mut all, n, req.now);
        }
        for snapshot in &all {
            match snapshot.state {
                State::Foreign | State::Incomplete => {
                    report.snapshots.push(Row::from_snapshot(snapshot, req.token))
                }
                _ => errors.extend(verify_one(req, req.store, &snapshot.file, progress, report)),
            }
        }
        if !complete {
            errors.push(Fault::new(Code::ListingIncomplete, "not everything could be listed").into());
        }
    }
    for target in req.targets {
        match target.rsplit_once('/') {
            None => errors.extend(verify_one(req, req.store, target, progress, report)),
            Some((dir, file)) => {
                let dir = if dir.is_empty() { "/" } else { dir };
                let store = (req.open_dir)(Path::new(dir));
                errors.extend(verify_one(req, &*store, file, progress, report));
            }
        }
    }
    let named = !req.targets.is_empty();
    let is_bad = |r: &&Row| r.state == State::Corrupt || named && r.state == State::Foreign;
    let (count, all) = (report.snapshots.iter().filter(is_bad).count(), report.snapshots.len());
    if count > 0 {
        let mut bad = report.snapshots.iter().filter(is_bad);
        let (code, word) = match bad.all(|row| authenticity::is_only_finding(&row.findings)) {
            true => (Code::NotAuthentic, "not authentic"),
            false => (Code::SnapshotCorrupt, "corrupt"),
        };
        let what = match (count, all) {
            (1, 1) => format!("the snapshot is {word}; do not restore it"),
            _ => format!("{count} of {all} snapshots are {word}; do not restore them"),
        };
        let hint = "Keep the other snapshots, and save a new one with 'k3s-snapshot save'.";
        report.fail(&Fault::new(code, what).hint(hint).into());
    }
    // Corruption is reported first, whatever happened before.
    errors.iter().for_each(|e| report.fail(e));
    Ok(())
}

/// Leaves `n` snapshots that can be verified, others at another time.
fn sample(all: &mut Vec<Snapshot>, n: usize, now: u64) {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    all.retain(|s| !matches!(s.state, State::Foreign | State::Incomplete));
    all.sort_by_cached_key(|s| BuildHasherDefault::<DefaultHasher>::default().hash_one((now, &s.file)));
    all.truncate(n);
    all.sort_by(Snapshot::cmp_by_age);
}

/// Adds a row to the report, or returns why there is none.
fn verify_one(
    req: &Request,
    store: &dyn Store,
    file: &str,
    progress: &dyn Progress,
    report: &mut Report,
) -> Option<anyhow::Error> {
    let result = store.open(file).and_then(|opened| {
        read(req, &opened, progress)
            .and_then(|found| {
                record_verification(store, &opened, found, req.now, (req.token, req.keys), report)
            })
            .with_context(|| format!("verifying '{}'", file.escape_debug()))
    });
    match result {
        Ok(row) => report.snapshots.push(row),
        // Pruned since it was listed. That the location itself still exists is checked here.
        Err(e) if req.targets.is_empty() && kind_of(&e) == Kind::NotFound && req.store.list().is_ok() => {
            let message = format!("'{}' was deleted while the command ran", file.escape_debug());
            report.warn(WarningCode::SnapshotGone, message);
        }
        Err(e) => return Some(e),
    }
    None
}

fn read(req: &Request, opened: &Opened, progress: &dyn Progress) -> Result<Verified> {
    let (file, name) = (&opened.snapshot.file, opened.snapshot.name.as_ref());
    let scratch = req.scratch;
    let zipped = name.is_some_and(|n| n.suffix.is_zip());
    match req.parallel {
        // The structure check reads at random offsets: it needs the whole download. A checksum is read as it arrives.
        Some(parallel) if zipped || !req.quick => {
            let near = scratch(opened.data.size())?;
            download_while(&*opened.data, file, (parallel, false), &near, progress, |data| {
                verify_stream(data, file, name, req.quick, &scratch, &NoProgress)
            })
        }
        _ => verify_stream(&*opened.data, file, name, req.quick, &scratch, progress),
    }
}

/// Copies everything into the draft with several requests in flight, while `check` reads what has arrived: both together
/// take as long as the longer one. `keep` is true if the copy is to stay.
///
/// # Errors
/// If there is no room, if the copy fails, or the error of `check`.
pub(super) fn download_while<T>(
    data: &dyn ReadAt,
    file: &str,
    (parallel, keep): (usize, bool),
    to: &Draft,
    progress: &dyn Progress,
    check: impl FnOnce(&dyn ReadAt) -> Result<T>,
) -> Result<T> {
    to.ensure_free_space(data.size())?;
    progress.step(&format!("downloading {}", file.escape_debug()), Some(data.size()));
    to.fill_while(data, (parallel, CHUNK, keep), progress, check)
}

/// Reads every byte of a snapshot, plain or zipped, and returns what was found.
///
/// # Errors
/// If the bytes cannot be read, or there is no room to unpack. Damage is not an error but a finding.
pub(super) fn verify_stream(
    data: &dyn ReadAt,
    file: &str,
    name: Option<&SnapshotName>,
    quick: bool,
    scratch: &dyn Fn(u64) -> Result<Draft>,
    progress: &dyn Progress,
) -> Result<Verified> {
    progress.step(&format!("verifying {}", file.escape_debug()), Some(data.size()));
    let zipped = match name {
        Some(name) => name.suffix.is_zip(),
        None => zip::is_zip(data)?,
    };
    if !zipped {
        let mut checked = check_snapshot(data, quick, progress)?;
        checked.findings.extend(other_datastore(name, data));
        let plain = checked.digests.map(|d| Digest(d.file));
        return Ok(Verified {
            stored: plain.context("hashing the snapshot")?,
            plain: plain.map(|p| (p, data.size())),
            is_snapshot: inspect::datastore_of(data).is_some(),
            checked,
            quick,
            notes: vec![],
        });
    }
    let stored = Digest(inspect::hash(data, data.size(), &mut |n| progress.advance(n))?.file);
    let draft = scratch(zip::claimed_size(data).unwrap_or(0))?;
    let unpacked = zip::unpack(data, &|size| draft.ensure_free_space(size), &mut &draft)?;
    let mut notes = Vec::new();
    let (checked, plain, is_snapshot) = match unpacked {
        zip::Unpacked::Damaged(why) => {
            let findings = vec![FindingRecord::new("zip", why)];
            (Checked { digests: None, structure: None, findings }, None, name.is_some())
        }
        zip::Unpacked::Whole(entry) => {
            let reader = draft.reader()?;
            let mut checked = check_snapshot(&reader, quick, progress)?;
            checked.findings.extend(other_datastore(name, &reader));
            let expected = name.map(|n| n.plain().to_string());
            if let Some(expected) = expected.filter(|e| *e != entry) {
                // A renamed zip: its content is whole, and that is what is restored.
                notes.push(format!("the zip entry is named '{}', not '{expected}'", entry.escape_debug()));
            }
            let plain = checked.digests.map(|d| (Digest(d.file), reader.size()));
            (checked, plain, inspect::datastore_of(&reader).is_some())
        }
    };
    Ok(Verified { checked, stored, plain, is_snapshot, quick, notes })
}

/// The finding that a snapshot is of another datastore than its name tells.
fn other_datastore(name: Option<&SnapshotName>, data: &dyn ReadAt) -> Option<FindingRecord> {
    let is_sqlite = inspect::datastore_of(data)? == Datastore::Sqlite;
    let message = match name?.suffix.is_sqlite() == is_sqlite {
        true => return None,
        false if is_sqlite => "a database of SQLite, but the name is that of a snapshot of etcd",
        false => "a database of etcd, but the name is that of a snapshot of SQLite",
    };
    Some(FindingRecord::new("format", message))
}
