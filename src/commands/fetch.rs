// SPDX-License-Identifier: Apache-2.0
//! fetch: brings a snapshot from the bucket into a folder. It gets its name there only when it is proven.

use std::path::Path;

use anyhow::{Context, Result};

use super::verify::{fetch, proof_of};
use crate::error::{Code, Fault};
use crate::host::{Draft, NoProgress, Progress, Published};
use crate::io::ReadAt;
use crate::model::report::{Report, Row};
use crate::model::snapshot::{Snapshot, State};
use crate::store::Store;

/// What to fetch, and where to.
pub struct Request<'a> {
    /// The snapshot's name.
    pub file: &'a str,
    /// The folder.
    pub to: &'a Path,
    /// How many stretches at once.
    pub ways: usize,
    /// Hash of this server's token, where it is known.
    pub token: Option<&'a str>,
}

/// Fetches one.
pub fn run(req: &Request, from: &dyn Store, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let opened = from.open(req.file)?;
    let name = opened.snapshot.name.clone();
    if name.is_none() {
        let what = format!("'{}' is not the name of a snapshot", req.file.escape_debug());
        return Err(Fault::new(Code::InvalidName, what).into());
    }
    let target = req.to.join(req.file);
    if target.symlink_metadata().is_ok() {
        return Err(Fault::new(Code::FileExists, format!("'{}' is there already", target.display()))
            .hint("Name another folder, or move it away.")
            .into());
    }
    let doing = || format!("fetching '{}'", opened.snapshot.location.escape_debug());
    let draft = Draft::new(req.to)?;
    let scratch = |_| Draft::new(req.to);
    let checked = fetch(&*opened.data, req.file, (req.ways, true), &draft, progress, |data| {
        proof_of(data, req.file, name.as_ref(), false, &scratch, &NoProgress)
    })
    .with_context(doing)?;
    let mut findings = checked.examined.findings;
    if !checked.is_snapshot {
        findings = vec!["this is not an etcd snapshot at all".to_owned()];
    }
    let recorded = opened.manifest.filter(|m| m.verified_at.is_some());
    if let Some(old) = recorded.as_ref().filter(|m| m.stored_sha256 != checked.stored) {
        findings.push(format!(
            "its SHA-256 is {}, that of the snapshot that was sent was {}",
            checked.stored, old.stored_sha256
        ));
    }
    if !findings.is_empty() {
        return Err(Fault::new(
            Code::SnapshotCorrupt,
            format!("'{}' is damaged: {}", req.file.escape_debug(), findings.join("; ")),
        )
        .hint("Nothing was kept. Fetch an older one; k3s-snapshot-list --s3 shows what is there.")
        .into());
    }
    let size = draft.reader()?.size();
    match draft.publish(req.file, size)? {
        Published::Done(_) => {}
        Published::Taken(_) => {
            return Err(
                Fault::new(Code::FileExists, format!("'{}' is there already", target.display())).into()
            );
        }
    }
    let here = Snapshot {
        location: format!("file://{}", target.display()),
        state: State::Verified,
        manifest: recorded,
        ..opened.snapshot
    };
    report
        .snapshots
        .push(Row { sha256: Some(checked.stored.to_string()), ..Row::from_snapshot(&here, req.token) });
    Ok(())
}
