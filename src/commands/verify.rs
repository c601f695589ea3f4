// SPDX-License-Identifier: Apache-2.0
//! verify: reads every byte of snapshots that exist, says what it found, and writes that down.

use std::path::Path;

use anyhow::{Context, Result};

use super::check::{Examined, examine};
use super::verify_result::{Checked, conclude};
use crate::archive::zip;
use crate::error::{Code, Fault, Kind};
use crate::host::{Draft, NoProgress, Progress};
use crate::inspect;
use crate::io::ReadAt;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::report::{Report, Row};
use crate::model::snapshot::{Digest, Snapshot, State};
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
                State::Foreign | State::Incomplete => {
                    report.snapshots.push(Row::from_snapshot(snapshot, req.token))
                }
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
    let bad = |r: &&Row| r.state == State::Corrupt || named && r.state == State::Foreign;
    let count = report.snapshots.iter().filter(bad).count();
    if count > 0 {
        let all = report.snapshots.len();
        report.fail(
            &Fault::new(Code::SnapshotCorrupt, format!("{count} of {all} must not be restored from"))
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
    all.retain(|s| !matches!(s.state, State::Foreign | State::Incomplete));
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
        check(req, store, &opened, progress)
            .and_then(|checked| conclude(store, &opened, checked, req.now, req.token, report))
            .with_context(|| format!("verifying '{}'", file.escape_debug()))
    });
    match done {
        Ok(row) => report.snapshots.push(row),
        // Pruned since the list was made. That the folder itself is still there, the next list tells.
        Err(e)
            if req.targets.is_empty()
                && crate::error::kind_of(&e) == Kind::NotFound
                && req.home.list().is_ok() =>
        {
            report.warn(format!("'{}' is gone since the list was made", file.escape_debug()));
        }
        Err(e) => return Some(e),
    }
    None
}

fn check(req: &Request, store: &dyn Store, opened: &Opened, progress: &dyn Progress) -> Result<Checked> {
    let (file, name) = (&opened.snapshot.file, opened.snapshot.name.as_ref());
    // Not beside the snapshot where it can be elsewhere: that is the disk of etcd.
    let scratch = |size: u64| {
        let fits = |draft: Draft| draft.ensure_free_space(size).map(|()| draft);
        (req.scratch)().and_then(fits).or_else(|_| store.draft().and_then(fits))
    };
    let zipped = name.is_some_and(|n| n.suffix == Suffix::Zip);
    match req.far {
        // The walk reads here and there: what is far away is fetched for it. A checksum alone is read as it comes.
        Some(ways) if zipped || !req.quick => {
            let near = scratch(opened.data.size())?;
            fetch(&*opened.data, file, (ways, false), &near, progress, |data| {
                proof_of(data, file, name, req.quick, &scratch, &NoProgress)
            })
        }
        _ => proof_of(&*opened.data, file, name, req.quick, &scratch, progress),
    }
}

/// Copies all of it into the draft, so many stretches at once, while it is proven: both take as long as the longer one.
/// `keep` is for what is to stay.
pub(super) fn fetch<T>(
    data: &dyn ReadAt,
    file: &str,
    (ways, keep): (usize, bool),
    to: &Draft,
    progress: &dyn Progress,
    proof: impl FnOnce(&dyn ReadAt) -> Result<T>,
) -> Result<T> {
    to.ensure_free_space(data.size())?;
    progress.step(&format!("fetching {}", file.escape_debug()), Some(data.size()));
    to.fill_while(data, (ways, STRETCH, keep), progress, proof)
}

/// Reads every byte, and says what it found.
pub(super) fn proof_of(
    data: &dyn ReadAt,
    file: &str,
    name: Option<&SnapshotName>,
    quick: bool,
    scratch: &dyn Fn(u64) -> Result<Draft>,
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
            is_snapshot: inspect::has_magic(data),
            examined,
            quick,
        });
    }
    let stored = Digest(inspect::hash(data, data.size(), &mut |n| progress.advance(n))?.file);
    let draft = scratch(zip::claimed_size(data).unwrap_or(0))?;
    let unpacked = zip::unpack(data, &|size| draft.ensure_free_space(size), &mut &draft)?;
    let (examined, plain, is_snapshot) = match unpacked {
        zip::Unpacked::Damaged(why) => {
            (Examined { digests: None, proof: None, findings: vec![why] }, None, name.is_some())
        }
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
            (examined, plain, inspect::has_magic(&reader))
        }
    };
    Ok(Checked { examined, stored, plain, is_snapshot, quick })
}

fn starts_as_zip(data: &dyn ReadAt) -> Result<bool> {
    let mut head = [0u8; 4];
    if data.size() < 4 {
        return Ok(false);
    }
    data.read_exact_at(&mut head, 0).context("reading the first bytes")?;
    Ok(&head == b"PK\x03\x04")
}
