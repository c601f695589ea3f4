// SPDX-License-Identifier: Apache-2.0
//! fetch: downloads a snapshot from the bucket into a directory. It gets its name there only after it is verified.

use std::path::Path;

use anyhow::{Context, Result};

use super::authenticity;
use super::check::{not_a_snapshot, summarize};
use super::verify::{download_while, verify_stream};
use crate::error::{Code, Fault};
use crate::host::{Draft, NoProgress, Progress, Published};
use crate::io::ReadAt;
use crate::model::authenticity::{Authenticity, Keyring};
use crate::model::report::{Report, Row};
use crate::model::snapshot::{FindingRecord, Snapshot, State};
use crate::store::Store;

/// What to fetch, and where to.
pub struct Request<'a> {
    /// Name of the snapshot in the bucket.
    pub file: &'a str,
    /// The directory.
    pub to: &'a Path,
    /// How many requests may be in flight.
    pub parallel: usize,
    /// Hash of the token of this server, if it is known.
    pub token: Option<&'a str>,
    /// The keys of the known tokens.
    pub keys: &'a Keyring,
}

/// Fetches one snapshot.
///
/// # Errors
/// If the snapshot does not exist, the target exists, the download fails, or the snapshot is corrupt: nothing is kept.
pub fn run(req: &Request, from: &dyn Store, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let opened = from.open(req.file)?;
    let name = opened.snapshot.name.clone();
    if name.is_none() {
        let what = format!("'{}' is not the name of a snapshot", req.file.escape_debug());
        return Err(Fault::new(Code::InvalidName, what).into());
    }
    let target = req.to.join(req.file);
    let exists = || {
        Fault::new(Code::FileExists, format!("'{}' already exists", target.display()))
            .hint("Choose another directory, or remove the file.")
    };
    if target.symlink_metadata().is_ok() {
        return Err(exists().into());
    }
    let draft = Draft::new(req.to)?;
    let scratch = |_| Draft::new(req.to);
    let found = download_while(&*opened.data, req.file, (req.parallel, true), &draft, progress, |data| {
        verify_stream(data, req.file, name.as_ref(), false, &scratch, &NoProgress)
    })
    .with_context(|| format!("fetching '{}'", opened.snapshot.location.escape_debug()))?;
    let mut findings = found.checked.findings.clone();
    if !found.is_snapshot {
        findings = vec![not_a_snapshot(&*opened.data)];
    }
    let whole = findings.is_empty().then(|| found.found(req.file, opened.data.size()));
    let authenticity = whole.and_then(|whole| whole.authenticity(req.keys, opened.manifest.as_ref()));
    if let Some(error) = authenticity::error(authenticity, req.file) {
        return Err(error
            .hint("Nothing was kept. Fetch another one; 'k3s-snapshot list --s3' shows the names.")
            .into());
    }
    let recorded = opened.manifest.filter(|m| m.verified_at.is_some());
    if let Some(old) = recorded.as_ref().filter(|m| m.stored_sha256 != found.stored) {
        findings.push(FindingRecord::new(
            authenticity::CHANGED,
            format!("its SHA-256 is {} (uploaded: {})", found.stored, old.stored_sha256),
        ));
    }
    if !findings.is_empty() {
        let what = format!("'{}' is corrupt: {}", req.file.escape_debug(), summarize(&findings));
        return Err(Fault::new(Code::SnapshotCorrupt, what)
            .hint("Nothing was kept. Fetch an older one; 'k3s-snapshot list --s3' shows the names.")
            .into());
    }
    let size = draft.reader()?.size();
    match draft.publish(req.file, size)? {
        Published::Done(_) => {}
        Published::Taken(_) => return Err(exists().into()),
    }
    let local = Snapshot {
        location: format!("file://{}", target.display()),
        state: State::Verified,
        manifest: recorded,
        ..opened.snapshot
    };
    let row = Row { sha256: Some(found.stored.to_string()), ..Row::from_snapshot(&local, req.token) };
    report.snapshots.push(Row { notes: notes(authenticity), authenticity, ..row });
    Ok(())
}

fn notes(authenticity: Option<Authenticity>) -> Vec<String> {
    authenticity.and_then(Authenticity::problem).map(str::to_owned).into_iter().collect()
}
