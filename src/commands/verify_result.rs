// SPDX-License-Identifier: Apache-2.0
//! What a verify makes of what it read: the verdict, and the manifest that keeps it.
//!
//! A digest that was once proven stays what a snapshot of that name has to have: damage must not become the new truth.

use anyhow::Result;

use super::check::Examined;
use crate::error::{Code, Fault};
use crate::model::report::{Report, Row, rfc3339};
use crate::model::snapshot::{Digest, MANIFEST_VERSION, Manifest, Snapshot, State};
use crate::store::{Opened, Store};

/// What was read of a snapshot.
pub(super) struct Checked {
    /// Findings, and the facts in it.
    pub(super) examined: Examined,
    /// SHA-256 of the bytes as stored.
    pub(super) stored: Digest,
    /// SHA-256 and size of the plain snapshot.
    pub(super) plain: Option<(Digest, u64)>,
    /// Whether it is a snapshot at all.
    pub(super) is_snapshot: bool,
    /// Whether only the checksum was looked at.
    pub(super) quick: bool,
}

/// The row of a snapshot that was read, with the verdict written down.
pub(super) fn conclude(
    store: &dyn Store,
    before: &Opened,
    checked: Checked,
    now: u64,
    token: Option<&str>,
    report: &mut Report,
) -> Result<Row> {
    // Looked at again: a save may have recorded it meanwhile, and a file that changed has no verdict.
    let Opened { snapshot, manifest: recorded, id, .. } = store.open(&before.snapshot.file)?;
    if id != before.id {
        return Err(Fault::new(
            Code::SnapshotChanged,
            format!(
                "'{}' changed while it was read, so nothing can be said of it",
                snapshot.file.escape_debug()
            ),
        )
        .hint("Verify it again when nobody writes to it.")
        .into());
    }
    let mut findings = checked.examined.findings.clone();
    if !checked.is_snapshot {
        findings = vec!["this is not an etcd snapshot at all".to_owned()];
        if snapshot.name.is_none() {
            return Ok(Row { state: State::Foreign, ..Row::from_snapshot(&snapshot, token) });
        }
    }
    let same = recorded.as_ref().filter(|m| m.stored_sha256 == checked.stored);
    if let (true, Some(m)) = (checked.quick && findings.is_empty(), same) {
        // The very bytes of which everything is known: a copy, a renamed folder, a new date.
        let note = match m.findings.is_empty() {
            true => format!("the checksum is that of the file that was proven on {}", rfc3339(m.checked_at)),
            false => "found before; the checksum holds".to_owned(),
        };
        return Ok(keep(store, snapshot, Manifest { file: id, ..m.clone() }, token, report, Some(note)));
    }
    let mut notes = Vec::new();
    let expected = expected(&recorded).filter(|e| *e != checked.stored);
    // A path of any name may be used again and again; a snapshot's name means one snapshot.
    let ours = recorded.as_ref().is_some_and(|m| m.saved_at.is_some()) || snapshot.name.is_some();
    let exchanged = expected.filter(|_| ours);
    match (expected, &recorded) {
        (Some(was), Some(old)) if ours => findings.push(format!(
            "it is not the file that was recorded on {}: its SHA-256 is {}, that one's was {was}",
            rfc3339(old.checked_at),
            checked.stored,
        )),
        (Some(_), Some(old)) => {
            notes.push(format!("another file than the one of {}", rfc3339(old.checked_at)))
        }
        _ => {}
    }
    if checked.quick && findings.is_empty() {
        // Less than a proof, and not written down as one.
        notes.push("the checksum holds; nothing else was looked at".to_owned());
        let row = Row::from_snapshot(&snapshot, token);
        return Ok(Row { sha256: Some(checked.stored.to_string()), notes, ..row });
    }
    let manifest = manifest(
        &snapshot,
        id,
        &checked,
        recorded.filter(|_| ours || expected.is_none()),
        exchanged,
        findings,
        now,
    );
    Ok(keep(store, snapshot, manifest, token, report, notes.pop()))
}

/// What the file has to be, where it was ever proven.
fn expected(recorded: &Option<Manifest>) -> Option<Digest> {
    recorded
        .as_ref()
        .filter(|m| m.verified_at.is_some())
        .map(|m| m.expected_sha256.unwrap_or(m.stored_sha256))
}

fn manifest(
    snapshot: &Snapshot,
    id: crate::model::snapshot::FileId,
    checked: &Checked,
    old: Option<Manifest>,
    exchanged: Option<Digest>,
    findings: Vec<String>,
    now: u64,
) -> Manifest {
    let facts = checked.examined.proof.as_ref().map(|p| p.facts.clone()).unwrap_or_default();
    let (plain_sha256, plain_size) = checked.plain.unwrap_or((checked.stored, 0));
    let same = old.as_ref().is_some_and(|m| m.stored_sha256 == checked.stored);
    let old = old.as_ref();
    Manifest {
        version: MANIFEST_VERSION,
        name: snapshot.file.clone(),
        directory: String::new(),
        file: id,
        stored_sha256: checked.stored,
        expected_sha256: exchanged,
        plain_sha256,
        plain_size,
        revision: facts.revision,
        key_revisions: facts.key_revisions,
        token_hash: facts.token_hashes,
        cluster_id: facts.cluster_id,
        members: facts.members.into_iter().map(|m| m.name).collect(),
        // An alarm may have been known to the server and not yet to its database.
        alarms: old.filter(|_| same).map_or(facts.alarms, |m| m.alarms.clone()),
        // What was known at the save is of those bytes; who made the name is of the name.
        freshness: old.filter(|_| same).and_then(|m| m.freshness.clone()),
        method: old.filter(|_| same).and_then(|m| m.method.clone()),
        method_reason: old.filter(|_| same).and_then(|m| m.method_reason.clone()),
        etcd_version: old.filter(|_| same).and_then(|m| m.etcd_version.clone()),
        node: old.and_then(|m| m.node.clone()),
        base: old.and_then(|m| m.base.clone()),
        saved_at: old.and_then(|m| m.saved_at),
        other: old.map(|m| m.other.clone()).unwrap_or_default(),
        checked_at: now,
        verified_at: if findings.is_empty() { Some(now) } else { old.and_then(|m| m.verified_at) },
        findings,
    }
}

fn keep(
    store: &dyn Store,
    snapshot: Snapshot,
    manifest: Manifest,
    token: Option<&str>,
    report: &mut Report,
    note: Option<String>,
) -> Row {
    if let Err(e) = store.write_manifest(&manifest) {
        report.warn(format!("{e:#}; the verdict is not kept"));
    }
    let partial = snapshot.state == State::Incomplete;
    let state = manifest.state();
    let snapshot = Snapshot {
        state: if partial && state == State::Verified { State::Incomplete } else { state },
        manifest: Some(manifest),
        ..snapshot
    };
    let mut row = Row::from_snapshot(&snapshot, token);
    row.notes.extend(note);
    row
}
