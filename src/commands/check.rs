// SPDX-License-Identifier: Apache-2.0
//! The full check of a plain snapshot: checksum and structure at the same time, in two threads over the same bytes.

use anyhow::{Result, anyhow};

use crate::archive::packed_with;
use crate::host::Progress;
use crate::inspect::{self, CheckResult, Digests, Finding};
use crate::io::ReadAt;
use crate::model::snapshot::FindingRecord;

/// What the check of a snapshot's bytes found.
pub(super) struct Checked {
    /// The digests; `None` if nothing could be hashed.
    pub(super) digests: Option<Digests>,
    /// The structure; `None` if only the checksum was asked for, or the size is impossible.
    pub(super) structure: Option<CheckResult>,
    /// What is wrong.
    pub(super) findings: Vec<FindingRecord>,
}

/// Reads everything. With `quick` only the checksum is compared.
///
/// # Errors
/// If the bytes cannot be read. Damage is not an error but a finding.
pub(super) fn check_snapshot(data: &dyn ReadAt, quick: bool, progress: &dyn Progress) -> Result<Checked> {
    let db_len = match inspect::database_len(data.size()) {
        Ok(len) => len,
        Err(finding) => {
            let digests = inspect::hash(data, data.size(), &mut |n| progress.advance(n))?;
            return Ok(Checked { digests: Some(digests), structure: None, findings: vec![record(&finding)] });
        }
    };
    let (digests, structure) = std::thread::scope(|scope| {
        let walk = (!quick).then(|| scope.spawn(|| inspect::verify(data, db_len)));
        let digests = inspect::hash(data, db_len, &mut |n| progress.advance(n));
        let structure =
            walk.map(|w| w.join().map_err(|_| anyhow!("the checking thread failed")).and_then(|r| r));
        (digests, structure.transpose())
    });
    let (digests, structure) = (digests?, structure?);
    let mut findings = Vec::new();
    if let Err(finding) = inspect::check_trailer(&digests.database, &inspect::trailer(data, db_len)?) {
        findings.push(record(&finding));
    }
    if let Some(structure) = &structure {
        findings.extend(records(structure));
    }
    Ok(Checked { digests: Some(digests), structure, findings })
}

/// The finding that a file is not an etcd snapshot at all.
pub(super) fn not_a_snapshot(data: &dyn ReadAt) -> FindingRecord {
    packed(data).unwrap_or_else(|| FindingRecord::new("format", "not an etcd snapshot"))
}

/// The finding that a file is packed, for instance with gzip. It may contain a snapshot.
pub(super) fn packed(data: &dyn ReadAt) -> Option<FindingRecord> {
    let format = packed_with(data).ok()??;
    Some(FindingRecord::new("format", format!("packed with {format}: unpack it first")))
}

fn record(finding: &Finding) -> FindingRecord {
    FindingRecord::new(finding.check.as_str(), finding.to_string())
}

/// The findings of the structure check.
pub(super) fn records(structure: &CheckResult) -> Vec<FindingRecord> {
    let mut all: Vec<FindingRecord> = structure.findings.iter().map(record).collect();
    if structure.more > 0 {
        all.push(FindingRecord::new("more", format!("{} more findings", structure.more)));
    }
    all
}

/// Findings in one line, for an error message.
pub(super) fn summarize(findings: &[FindingRecord]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
