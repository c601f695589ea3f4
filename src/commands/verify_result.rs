// SPDX-License-Identifier: Apache-2.0
//! From what verification read to the state of a snapshot, its row and its manifest.
//!
//! A file that passes every check is verified, even if it is another file than the one that was recorded under its name.
//! A file that fails keeps the digest that it once had: damage must not become the new truth.

use anyhow::Result;

use super::authenticity::{self, Found};
use super::check::{Checked, not_a_snapshot, packed};
use crate::error::{Code, Fault, Kind, kind_of};
use crate::model::authenticity::{Authenticity, Keyring};
use crate::model::report::{Report, Row, rfc3339};
use crate::model::snapshot::{Digest, FileId, FindingRecord, MANIFEST_VERSION, Manifest, Snapshot, State};
use crate::model::warning::WarningCode;
use crate::store::{Opened, Store};

/// What was read of a snapshot.
pub(super) struct Verified {
    /// Findings and facts.
    pub(super) checked: Checked,
    /// SHA-256 of the file as stored.
    pub(super) stored: Digest,
    /// SHA-256 and size of the plain snapshot, if it could be unpacked.
    pub(super) plain: Option<(Digest, u64)>,
    /// Whether it looks like a database of bbolt at all.
    pub(super) is_snapshot: bool,
    /// Whether only the checksum was compared.
    pub(super) quick: bool,
    /// Notes for people.
    pub(super) notes: Vec<String>,
}

impl Verified {
    /// What is compared with the authentication code: of a file of `size` bytes, under this name.
    pub(super) fn found<'a>(&'a self, file: &'a str, size: u64) -> Found<'a> {
        let facts = self.checked.structure.as_ref().map(|structure| &structure.facts);
        Found { file, stored: Some((self.stored, size)), plain: self.plain, facts }
    }
}

/// The row of a snapshot that was read; the result is recorded in its manifest.
///
/// # Errors
/// [`Code::SnapshotChanged`] if the file was replaced while it was read, or if it cannot be opened again.
pub(super) fn record_verification(
    store: &dyn Store,
    before: &Opened,
    found: Verified,
    now: u64,
    (token, keys): (Option<&str>, &Keyring),
    report: &mut Report,
) -> Result<Row> {
    // Opened again: a save may have recorded it since, and a file that changed has no result.
    let Opened { snapshot, manifest: recorded, id, .. } = store.open(&before.snapshot.file)?;
    if id != before.id {
        return Err(Fault::new(
            Code::SnapshotChanged,
            format!("'{}' changed while it was read", snapshot.file.escape_debug()),
        )
        .hint("Verify it again when no program writes to it.")
        .into());
    }
    let mut findings = found.checked.findings.clone();
    if !found.is_snapshot {
        findings = vec![not_a_snapshot(&*before.data)];
        if snapshot.name.is_none() {
            let findings = packed(&*before.data).into_iter().collect();
            return Ok(Row { state: State::Foreign, findings, ..Row::from_snapshot(&snapshot, token) });
        }
    }
    let mut notes = found.notes.clone();
    let size = before.data.size();
    let authenticity = check_authenticity(&found, &snapshot, size, (keys, recorded.as_ref()), &mut findings);
    let same = recorded.as_ref().filter(|m| m.stored_sha256 == found.stored);
    if let (true, Some(m)) = (found.quick && findings.is_empty(), same) {
        // The same bytes as recorded: a copy, a renamed directory, a new date.
        let verified_on = rfc3339(m.checked_at);
        notes.push(if m.findings.is_empty() {
            format!("the checksum is that of the file that was verified on {verified_on}")
        } else {
            "findings of an earlier verification; the checksum has not changed".to_owned()
        });
        let manifest = Manifest { file: id, ..m.clone() };
        let row = store_manifest(store, snapshot, (recorded.as_ref(), manifest), token, report, notes);
        return Ok(row.with_authenticity(authenticity));
    }
    let expected = recorded.as_ref().and_then(Manifest::verified_sha256).filter(|e| *e != found.stored);
    if let (Some(was), Some(old)) = (expected, &recorded) {
        note_another_file(was, old, found.stored, &mut findings, &mut notes);
    }
    if found.quick && findings.is_empty() {
        // Less than a full verification, and not recorded as one.
        notes.push("only the checksum was compared".to_owned());
        let mut row = Row::from_snapshot(&snapshot, token);
        row.sha256 = Some(found.stored.to_string());
        row.notes.extend(notes);
        return Ok(row.with_authenticity(authenticity));
    }
    // What was recorded of another file is not true of this one.
    let old = recorded.as_ref().filter(|_| expected.is_none() || !findings.is_empty());
    let manifest = manifest(&snapshot, id, &found, old, expected, findings, now);
    let row = store_manifest(store, snapshot, (recorded.as_ref(), manifest), token, report, notes);
    Ok(row.with_authenticity(authenticity))
}

/// Compares a whole snapshot of so many bytes with the code in its manifest. A file on this machine with another digest is
/// another file of its name, for which the manifest was not made; what is in a bucket under that name is what the manifest says,
/// or was exchanged.
fn check_authenticity(
    found: &Verified,
    snapshot: &Snapshot,
    size: u64,
    (keys, recorded): (&Keyring, Option<&Manifest>),
    findings: &mut Vec<FindingRecord>,
) -> Option<Authenticity> {
    let is_meant =
        authenticity::is_remote(snapshot) || recorded.is_none_or(|m| m.stored_sha256 == found.stored);
    let whole = (is_meant && findings.is_empty()).then(|| found.found(&snapshot.file, size));
    whole.and_then(|whole| whole.check(keys, recorded, findings))
}

/// The file has another digest than the verified one that is recorded under its name: whole, it is another file; with
/// findings, it changed.
fn note_another_file(
    was: Digest,
    old: &Manifest,
    stored: Digest,
    findings: &mut Vec<FindingRecord>,
    notes: &mut Vec<String>,
) {
    let since = rfc3339(old.checked_at);
    if findings.is_empty() {
        notes.push(format!("another file of this name than the one recorded on {since}"));
        return;
    }
    let message = format!("the content changed since {since}: its SHA-256 is {stored} (recorded: {was})");
    findings.push(FindingRecord::new(authenticity::CHANGED, message));
}

fn manifest(
    snapshot: &Snapshot,
    id: FileId,
    found: &Verified,
    old: Option<&Manifest>,
    expected: Option<Digest>,
    findings: Vec<FindingRecord>,
    now: u64,
) -> Manifest {
    let facts = found.checked.structure.as_ref().map(|s| s.facts.clone()).unwrap_or_default();
    let (plain_sha256, plain_size) = found.plain.unwrap_or((found.stored, 0));
    // What was known at the save is true of those bytes only; who made the name is true of the name.
    let same = old.filter(|m| m.stored_sha256 == found.stored);
    Manifest {
        version: MANIFEST_VERSION,
        name: snapshot.file.clone(),
        directory: String::new(),
        file: id,
        stored_sha256: found.stored,
        expected_sha256: expected.filter(|_| !findings.is_empty()),
        plain_sha256,
        plain_size,
        revision: facts.revision,
        key_revisions: facts.key_revisions,
        token_hash: facts.token_hashes,
        // Of a corrupt file it can perhaps not be read any more.
        cluster_id: facts.cluster_id.or_else(|| old.and_then(|m| m.cluster_id.clone())),
        members: facts.members.into_iter().map(|m| m.name).collect(),
        // An alarm may have been known to the server and not yet to its database.
        alarms: same.map_or(facts.alarms, |m| m.alarms.clone()),
        freshness: same.and_then(|m| m.freshness.clone()),
        method: same.and_then(|m| m.method.clone()),
        method_reason: same.and_then(|m| m.method_reason.clone()),
        missing_entries: same.and_then(|m| m.missing_entries),
        etcd_version: same.and_then(|m| m.etcd_version.clone()),
        node: old.and_then(|m| m.node.clone()),
        base: old.and_then(|m| m.base.clone()),
        saved_at: old.and_then(|m| m.saved_at),
        kit: same.and_then(|m| m.kit.clone()),
        upload: old.and_then(|m| m.upload.clone()),
        other: old.map(|m| m.other.clone()).unwrap_or_default(),
        // The authentication code covers these as they were at the save.
        k3s_version: old.and_then(|m| m.k3s_version.clone()),
        etcd_storage_version: old.and_then(|m| m.etcd_storage_version.clone()).or(facts.storage_version),
        authentication: old.and_then(|m| m.authentication.clone()),
        checked_at: now,
        verified_at: if findings.is_empty() { Some(now) } else { old.and_then(|m| m.verified_at) },
        findings,
    }
}

/// Adds to a result what another run has recorded of the same file since `before` was read: how an upload ended, and findings.
fn merge(mut result: Manifest, before: Option<&Manifest>, now: Option<&Manifest>) -> Manifest {
    let Some(now) = now.filter(|now| Some(*now) != before) else { return result };
    if before.is_none_or(|before| before.upload != now.upload) {
        result.upload.clone_from(&now.upload);
    }
    let known = before.map(|m| m.findings.as_slice()).unwrap_or_default();
    for finding in now.findings.iter().filter(|f| now.file == result.file && !known.contains(f)) {
        if !result.findings.contains(finding) {
            result.findings.push(finding.clone());
        }
    }
    result
}

/// Writes down the manifest that follows from the one `before`.
fn store_manifest(
    store: &dyn Store,
    snapshot: Snapshot,
    (before, manifest): (Option<&Manifest>, Manifest),
    token: Option<&str>,
    report: &mut Report,
    notes: Vec<String>,
) -> Row {
    let recorded = store.record(&snapshot.file, &mut |now| Some(merge(manifest.clone(), before, now)));
    let manifest = match recorded {
        Ok(recorded) => recorded.unwrap_or(manifest),
        Err(e) => {
            // Who verifies a file of their own on a laptop may have no right to write there; nothing is wrong then.
            match kind_of(&e) {
                Kind::Refused => log::info!("the result is not recorded: {e:#}"),
                _ => {
                    report.warn(WarningCode::ManifestNotWritten, format!("{e:#}; the result is not recorded"))
                }
            }
            manifest
        }
    };
    let incomplete = snapshot.state == State::Incomplete;
    let state = manifest.state();
    let snapshot = Snapshot {
        state: if incomplete && state == State::Verified { State::Incomplete } else { state },
        manifest: Some(manifest),
        ..snapshot
    };
    let mut row = Row::from_snapshot(&snapshot, token);
    row.notes.extend(notes);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::tests::manifest as recorded;
    use crate::model::snapshot::Upload;

    #[test]
    fn a_result_keeps_what_another_run_has_recorded_since() {
        let before = recorded();
        let result = Manifest { checked_at: 99, ..recorded() };
        assert_eq!(merge(result.clone(), Some(&before), Some(&before)), result);
        assert_eq!(merge(result.clone(), None, None), result);
        let mut now = recorded();
        now.upload = Some(Upload::Uploaded { location: None, at: Some(7) });
        now.findings.push(FindingRecord::new("changed", "x"));
        let merged = merge(result.clone(), Some(&before), Some(&now));
        assert_eq!((merged.checked_at, &merged.upload, &merged.findings), (99, &now.upload, &now.findings));
        assert_eq!(merged.state(), State::Corrupt);
        // A finding about another file is none about this one, and an old finding that a new run has not confirmed is gone.
        let other = Manifest { file: FileId { ino: 99, ..now.file }, ..now.clone() };
        assert_eq!(merge(result.clone(), Some(&before), Some(&other)).state(), State::Verified);
        assert_eq!(merge(result, Some(&now), Some(&now)).state(), State::Verified);
    }
}
