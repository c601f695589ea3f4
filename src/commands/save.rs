// SPDX-License-Identifier: Apache-2.0
//! save: captures a snapshot, verifies it, then gives it its name. No file has a name in the snapshot directory before
//! it is verified.

use std::path::Path;

use anyhow::Result;

use super::capture::{CapturedSnapshot, capture};
use super::kit::{Sealer, ServerFacts, seal};
use super::{extra_metadata, offline, upload};
use crate::error::{Code, Fault};
use crate::host::Progress;
use crate::inspect::{self, CheckResult, Datastore, KeptObjects, Node, ObjectKind, TRAILER};
use crate::io::ReadAt;
use crate::model::authenticity::Keyring;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::report::{Report, Row};
use crate::model::restore::LastRestore;
use crate::model::snapshot::{
    ALARM_CORRUPT, ALARM_NOSPACE, Digest, FileId, Freshness, MANIFEST_VERSION, Manifest, Snapshot, State,
};
use crate::model::warning::WarningCode;
use crate::source::{Captured, SnapshotObjects, Source};
use crate::store::LocalStore;

/// What is to be saved, and how.
pub struct Request<'a> {
    /// Base of the name.
    pub base: &'a str,
    /// Node in the name.
    pub node: &'a str,
    /// The name of this node in Kubernetes, which may differ.
    pub k8s_node: &'a str,
    /// Seconds since the epoch.
    pub now: u64,
    /// The datastore that is saved.
    pub datastore: Datastore,
    /// Whether to store a zip.
    pub compress: bool,
    /// The ConfigMap of the cluster whose data is stored with the snapshot, as K3s does.
    pub extra_metadata: &'a str,
    /// Bases of names that K3s prunes by itself.
    pub bases_of_k3s: &'a [&'a str],
    /// Asks K3s for its version, which the snapshot of a server without an agent does not have.
    pub version_of_server: &'a dyn Fn() -> Option<String>,
    /// The last restore of this server, if there was one.
    pub last_restore: Option<&'a LastRestore>,
    /// Hash of the token of this server, if it is known.
    pub token: Option<&'a str>,
    /// How recovery kits are sealed; `None` if none are wanted.
    pub(crate) kit: Option<&'a Sealer<'a>>,
    /// The keys of the known tokens, to authenticate the snapshot.
    pub keys: &'a Keyring,
    /// Of an offline save, the directory of the write-ahead log of etcd.
    pub wal: Option<&'a Path>,
    /// The bucket that it is uploaded to as well.
    pub bucket: Option<upload::Bucket<'a>>,
}

/// Saves one snapshot, from the first of the sources that gives one.
///
/// # Errors
/// If no snapshot was kept. A snapshot that was kept but is not current, or not uploaded, is an error in the report.
pub fn run(
    req: &Request,
    sources: &[&dyn Source],
    local: &dyn LocalStore,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    warn_if_k3s_prunes(req, report);
    let keep = objects_to_keep(req);
    let suffix = Suffix::new(req.datastore == Datastore::Sqlite, req.compress);
    let name = SnapshotName::new(req.base, req.node, req.now, suffix);
    // The entry of a zip has the name of the snapshot.
    let entry = if req.compress { Some(local.unused_name(&name)?) } else { None };
    let CapturedSnapshot { draft, mut captured, sha256, structure, objects, reason, zip } =
        capture(sources, local, entry.as_ref(), &keep, progress, report)?;
    let (database, db_len) = (draft.reader()?, captured.bytes.saturating_sub(TRAILER));
    let this_node = this_node(req, &objects);
    let k3s_version = k3s_version(req, this_node.as_ref());
    let (node, k3s, etcd) = (this_node.as_ref(), k3s_version.as_deref(), captured.version.as_deref());
    let server = ServerFacts { node, k3s, etcd };
    let kit = req.kit.and_then(|sealer| seal(sealer, &structure.facts, server, req.now, report));
    let objects = SnapshotObjects { kept: &objects, data: &database, db_len };
    if captured.version.is_none() {
        // No server was asked; alarms that were raised before are in the database.
        captured.alarms = structure.facts.alarms.clone();
    }
    let freshness = freshness(&captured, &structure);
    let name = entry.map_or_else(|| local.unused_name(&name), Ok)?;
    let (stored, stored_sha256) = zip.unwrap_or((draft, sha256));
    let missing_entries =
        req.wal.and_then(|wal| offline::missing_entries(wal, structure.facts.consistent_index, report));
    let size = stored.reader()?.size();
    let manifest = Manifest {
        k3s_version,
        missing_entries,
        kit,
        method: Some(captured.method.as_str().to_owned()),
        method_reason: reason,
        plain_sha256: sha256,
        ..manifest(req, &captured, &structure, freshness.clone(), stored_sha256)
    };
    let before = local.list().map(|l| l.snapshots);
    let published = local.publish(stored, &name, size, authenticate(req, &name, size, manifest))?;
    if let Err(e) = published.recorded {
        report.warn(
            WarningCode::ManifestNotWritten,
            format!("{e:#}; '{}' is kept and will be listed as unverified", published.snapshot.file),
        );
    }
    extra_metadata::write(local, &published.snapshot.file, req.extra_metadata, &objects, report);
    warn_if_cluster_changed(req, report, before, &published.snapshot);
    let mut row = Row::from_snapshot(&published.snapshot, req.token);
    row.notes.extend(published.notes);
    add_warnings(report, &captured, &freshness, &row);
    report.snapshots.push(row);
    upload_saved(req, local, &objects, &published.snapshot, progress, report);
    Ok(())
}

/// Uploads the new snapshot, if a bucket is used.
fn upload_saved(
    req: &Request,
    local: &dyn LocalStore,
    objects: &SnapshotObjects,
    saved: &Snapshot,
    progress: &dyn Progress,
    report: &mut Report,
) {
    if let Some(bucket) = &req.bucket {
        let stem = format!("{}-{}", req.base, req.node);
        let request = upload::UploadRequest {
            local,
            bucket,
            kits: req.kit.map(|sealer| sealer.store),
            objects,
            stem,
            now: req.now,
            token: req.token,
        };
        upload::upload_with_backlog(&request, saved, progress, report);
    }
}

/// The manifest with the code over what it says, if a server token is known.
fn authenticate(req: &Request, name: &SnapshotName, size: u64, manifest: Manifest) -> Manifest {
    let mut manifest = Manifest { name: name.to_string(), saved_at: Some(name.at), ..manifest };
    manifest.file.size = size;
    manifest.authentication = req.keys.authenticate(&manifest.token_hash, &manifest.covered_facts());
    if manifest.authentication.is_none() {
        log::debug!("no server token is known: the snapshot gets no authentication code");
    }
    manifest
}

/// K3s prunes by the beginning of a name.
fn warn_if_k3s_prunes(req: &Request, report: &mut Report) {
    if let Some(base) = req.bases_of_k3s.iter().find(|base| req.base.starts_with(**base)) {
        report.warn(
            WarningCode::NameOfK3s,
            format!(
                "the name '{}' begins with '{base}': K3s's own retention counts and deletes such snapshots",
                req.base
            ),
        );
    }
}

/// The objects of the cluster that are needed after the capture.
fn objects_to_keep(req: &Request) -> Vec<Vec<u8>> {
    let secret = req.bucket.as_ref().and_then(|bucket| bucket.secret);
    let secret = secret.map(|name| ObjectKind::Secret.key(name));
    let always = [ObjectKind::ConfigMap.key(req.extra_metadata), inspect::node_key(req.k8s_node)];
    always.into_iter().chain(secret).collect()
}

/// This node, as the cluster knows it; `None` on a server without an agent.
fn this_node(req: &Request, objects: &KeptObjects) -> Option<Node> {
    let object = objects.get(&inspect::node_key(req.k8s_node)).flatten()?;
    Some(inspect::read_node(req.k8s_node.to_owned(), object))
}

/// The version of K3s on this server: of its node, else K3s is asked.
fn k3s_version(req: &Request, node: Option<&Node>) -> Option<String> {
    node.and_then(|node| node.version.clone()).or_else(|| (req.version_of_server)())
}

fn freshness(captured: &Captured, structure: &CheckResult) -> Freshness {
    // A store that was never written to is at revision 1, which no key shows.
    let revision = structure.facts.revision.max(1);
    match &captured.asked {
        Err(reason) => Freshness::Unknown { reason: reason.clone() },
        Ok(_) if !captured.has_leader => {
            Freshness::Unknown { reason: format!("the etcd member at {} has no leader", captured.endpoint) }
        }
        Ok(cluster) if revision >= *cluster => Freshness::Current { cluster_revision: *cluster },
        Ok(cluster) => Freshness::Behind { cluster_revision: *cluster },
    }
}

fn manifest(
    req: &Request,
    captured: &Captured,
    structure: &CheckResult,
    freshness: Freshness,
    stored: Digest,
) -> Manifest {
    let facts = &structure.facts;
    Manifest {
        version: MANIFEST_VERSION,
        // Directory and file are known only once it is published; the store fills them in.
        name: String::new(),
        directory: String::new(),
        file: FileId { dev: 0, ino: 0, size: 0, mtime_ns: 0, ctime_ns: 0 },
        stored_sha256: stored,
        expected_sha256: None,
        plain_sha256: stored,
        plain_size: captured.bytes,
        revision: facts.revision,
        key_revisions: facts.key_revisions,
        token_hash: facts.token_hashes.clone(),
        cluster_id: facts.cluster_id.clone(),
        node: Some(req.node.to_owned()),
        base: Some(req.base.to_owned()),
        etcd_version: captured.version.clone(),
        method: None,
        method_reason: None,
        missing_entries: None,
        k3s_version: None,
        etcd_storage_version: facts.storage_version.clone(),
        authentication: None,
        members: facts.members.iter().map(|m| m.name.clone()).collect(),
        alarms: captured.alarms.clone(),
        freshness: Some(freshness),
        findings: vec![],
        saved_at: None,
        checked_at: req.now,
        verified_at: Some(req.now),
        upload: None,
        kit: None,
        other: Default::default(),
    }
}

fn is_sqlite(snapshot: &Snapshot) -> bool {
    snapshot.name.as_ref().is_some_and(|name| name.suffix.is_sqlite())
}

/// A server that was restored, or that started empty after a failed restore, looks healthy; its snapshots show it.
fn warn_if_cluster_changed(
    req: &Request,
    report: &mut Report,
    before: Result<Vec<Snapshot>>,
    new: &Snapshot,
) {
    let before = match before {
        Ok(before) => before,
        Err(e) => {
            let message = format!("{e:#}; the new snapshot is not compared with the snapshots before it");
            return report.warn(WarningCode::ListingIncomplete, message);
        }
    };
    let newest = before
        .iter()
        .filter(|s| s.state == State::Verified && s.manifest.as_ref().is_some_and(|m| m.base.is_some()))
        .max_by_key(|s| s.created_at);
    let (Some(old), Some(m)) = (newest, &new.manifest) else { return };
    let Some(o) = &old.manifest else { return };
    if o.cluster_id.is_some() && o.cluster_id != m.cluster_id {
        report.warn(
            WarningCode::ClusterChanged,
            format!("this is another cluster than that of '{}': the id of kube-system differs", old.file),
        );
    } else if is_sqlite(old) == is_sqlite(new)
        && m.revision < o.revision
        && !req.last_restore.is_some_and(|r| r.explains(old.created_at, m.revision))
    {
        report.warn(
            WarningCode::RevisionWentBack,
            format!(
                "the revision went back from {} ('{}') to {}: the datastore was restored or started on an empty database",
                o.revision, old.file, m.revision
            ),
        );
    }
}

/// What an operator must know of a snapshot that was kept. Not every snapshot that is kept is a success.
fn add_warnings(report: &mut Report, captured: &Captured, freshness: &Freshness, row: &Row) {
    if let Some(damage) = &captured.log_damage {
        report.warn(WarningCode::WalCorrupt, damage);
    }
    for alarm in &captured.alarms {
        let message = match alarm.as_str() {
            ALARM_NOSPACE => "etcd raises the NOSPACE alarm: the cluster takes no writes until it is compacted, defragmented and disarmed".to_owned(),
            other => format!("etcd raises the {other} alarm"),
        };
        report.warn(WarningCode::AlarmRaised, message);
    }
    if row.token_matches == Some(false) {
        report.warn(
            WarningCode::TokenMismatch,
            format!(
                "the token of this server does not open the snapshot, which needs the token with the hash {}",
                row.token_hash.join(" or ")
            ),
        );
    }
    if row.token_hash.is_empty() {
        report.warn(
            WarningCode::BootstrapDataMissing,
            "the snapshot holds no bootstrap data: a restore needs the tls directory of this server, or this is not the datastore of K3s",
        );
    }
    if captured.alarms.iter().any(|a| a == ALARM_CORRUPT) {
        let what = format!(
            "'{}' was kept but is not verified: etcd raises the CORRUPT alarm, so its members differ",
            row.name
        );
        let hint = "Find the member that differs with 'etcdctl endpoint hashkv --cluster'. Do not rely on this snapshot.";
        report.fail(&Fault::new(Code::CorruptAlarm, what).hint(hint).into());
        return;
    }
    let not_current = |what: String| Fault::new(Code::SnapshotNotCurrent, what);
    match freshness {
        Freshness::Current { .. } => {}
        Freshness::Unknown { reason } => report.fail(
            &not_current(format!("'{}' was kept, but it is not known whether it is current: {reason}", row.name))
                .hint(match captured.version {
                    Some(_) => "Check that etcd has a quorum. Until then, save on a server that reaches the other servers.",
                    None => "Start K3s, and save again with 'k3s-snapshot save'.",
                })
                .into(),
        ),
        Freshness::Behind { cluster_revision } => report.fail(
            &not_current(format!(
                "'{}' was kept, but it is not current: this member is at revision {}, the cluster at {cluster_revision} or later",
                row.name,
                row.revision.unwrap_or_default()
            ))
            .hint("Save on another server: this member is behind, or cannot reach the others.")
            .into(),
        ),
    }
}
