// SPDX-License-Identifier: Apache-2.0
//! save: stream or clone, prove, then name. Nothing has a name in the snapshot folder before it is proven.

use anyhow::{Context, Result, anyhow};

use super::capture::{Taken, take};
use super::upload;
use crate::archive::zip;
use crate::error::{Code, Fault};
use crate::host::{Draft, Progress};
use crate::inspect::{self, CheckResult};
use crate::io::ReadAt;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::report::{Report, Row};
use crate::model::snapshot::{
    ALARM_CORRUPT, Digest, FileId, Freshness, MANIFEST_VERSION, Manifest, Snapshot, State,
};
use crate::source::{Captured, Source};
use crate::store::LocalStore;

/// What is to be saved, and how.
pub struct Request<'a> {
    /// Base of the name.
    pub base: &'a str,
    /// Node in the name.
    pub node: &'a str,
    /// Seconds since the epoch.
    pub now: u64,
    /// Whether to store a zip.
    pub compress: bool,
    /// The base of K3s's scheduled snapshots.
    pub scheduled_base: &'a str,
    /// Hash of this server's token, where it is known.
    pub token: Option<&'a str>,
    /// The bucket that it goes to as well.
    pub bucket: Option<upload::Bucket<'a>>,
}

/// Saves one snapshot, from the first of the sources that gives one.
pub fn run(
    req: &Request,
    sources: &[&dyn Source],
    home: &dyn LocalStore,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    if req.base.starts_with(req.scheduled_base) {
        report.warn(format!(
            "the name '{}' begins with '{}', which is K3s's own: its retention will count and delete this snapshot",
            req.base, req.scheduled_base
        ));
    }
    let Taken { draft, mut captured, sha256, proof, method, reason } =
        take(sources, home, req.compress, progress, report)?;
    if captured.version.is_none() {
        // Nobody was there to ask; alarms that were raised before are in the database.
        captured.alarms = proof.facts.alarms.clone();
    }
    let recency = recency(&captured, &proof);
    let suffix = if req.compress { Suffix::Zip } else { Suffix::Plain };
    let name = home.unused_name(&SnapshotName::new(req.base, req.node, req.now, suffix))?;
    let (stored, stored_sha256) = if req.compress {
        compress(home, &draft, &name, (captured.bytes, sha256), progress)?
    } else {
        (draft, sha256)
    };
    let manifest = Manifest {
        method: Some(method.as_str().to_owned()),
        method_reason: reason,
        plain_sha256: sha256,
        ..manifest(req, &captured, &proof, recency.clone(), stored_sha256)
    };
    let size = stored.reader()?.size();
    let before = home.list().map(|l| l.snapshots).unwrap_or_default();
    let kept = home.publish(stored, &name, size, manifest)?;
    if let Err(e) = kept.recorded {
        report.warn(format!("{e:#}; '{}' is kept, and will be listed as unchecked", kept.snapshot.file));
    }
    another_cluster(report, &before, &kept.snapshot);
    let row = Row::from_snapshot(&kept.snapshot, req.token);
    tell(report, &captured, &recency, &row);
    report.snapshots.push(row);
    if let Some(bucket) = &req.bucket {
        let stem = format!("{}-{}", req.base, req.node);
        let request = upload::Send { home, bucket, stem, now: req.now, token: req.token };
        upload::send(&request, &kept.snapshot, progress, report);
    }
    Ok(())
}

fn recency(captured: &Captured, proof: &CheckResult) -> Freshness {
    // A store that nothing was ever written to is at revision 1, which no key shows.
    let revision = proof.facts.revision.max(1);
    match &captured.asked {
        Err(why) => Freshness::Unknown { reason: why.clone() },
        Ok(asked) if revision >= *asked => Freshness::Current { cluster_revision: *asked },
        Ok(asked) => Freshness::Behind { cluster_revision: *asked },
    }
}

/// Packs the draft into a second one, and reads that back: what is published is what was read.
fn compress(
    home: &dyn LocalStore,
    plain: &Draft,
    name: &SnapshotName,
    plain_is: (u64, Digest),
    progress: &dyn Progress,
) -> Result<(Draft, Digest)> {
    progress.step("compressing", Some(plain_is.0));
    let zipped = home.draft()?;
    // A clone has taken no room yet.
    zipped.ensure_free_space(plain_is.0.saturating_add(plain_is.0 / 1000))?;
    zip::pack(&plain.reader()?, &name.plain().to_string(), name.at, zipped.file(), progress)
        .with_context(|| format!("compressing into '{}'", zipped.folder().display()))?;
    let packed = zipped.reader()?;
    let stored = inspect::hash(&packed, packed.size(), &mut |_| {})?;
    let mut back = crate::source::trailer_hasher::TrailerHasher::default();
    let unpacked = zip::unpack(&packed, &|_| Ok(()), &mut back)?;
    let same = matches!(&unpacked, zip::Unpacked::Whole(_)) && back.finish().ok() == Some(plain_is);
    if !same {
        return Err(anyhow!("the zip does not give back the snapshot that went into it; nothing was kept"));
    }
    Ok((zipped, Digest(stored.file)))
}

fn manifest(
    req: &Request,
    captured: &Captured,
    proof: &CheckResult,
    recency: Freshness,
    stored: Digest,
) -> Manifest {
    let facts = &proof.facts;
    Manifest {
        version: MANIFEST_VERSION,
        // Name, folder, file and time are known only once it is published; the store fills them in.
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
        members: facts.members.iter().map(|m| m.name.clone()).collect(),
        alarms: captured.alarms.clone(),
        freshness: Some(recency),
        findings: vec![],
        saved_at: None,
        checked_at: req.now,
        verified_at: Some(req.now),
        other: Default::default(),
    }
}

/// A server that was restored, or started empty after a failed restore, looks healthy; its snapshots tell.
fn another_cluster(report: &mut Report, before: &[Snapshot], now: &Snapshot) {
    let newest = before
        .iter()
        .filter(|s| s.state == State::Verified && s.manifest.as_ref().is_some_and(|m| m.base.is_some()))
        .max_by_key(|s| s.created_at);
    let (Some(old), Some(m)) = (newest, &now.manifest) else { return };
    let Some(o) = &old.manifest else { return };
    if o.cluster_id.is_some() && o.cluster_id != m.cluster_id {
        report.warn(format!(
            "this is another cluster than that of '{}': the id of kube-system differs",
            old.file
        ));
    } else if m.revision < o.revision {
        report.warn(format!(
            "etcd is at revision {}, but was at {} when '{}' was saved: was it restored, or started anew?",
            m.revision, o.revision, old.file
        ));
    }
}

/// What an operator should know of a snapshot that was kept. Not all of it is a success.
fn tell(report: &mut Report, captured: &Captured, recency: &Freshness, row: &Row) {
    for alarm in &captured.alarms {
        report.warn(match alarm.as_str() {
            "NOSPACE" => "etcd's NOSPACE alarm is on: the cluster takes no writes until it is compacted, defragmented and disarmed".to_owned(),
            other => format!("etcd's {other} alarm is on"),
        });
    }
    if !captured.has_leader {
        report.warn(format!("the etcd member at {} knows no leader", captured.endpoint));
    }
    if row.token == Some("other") {
        report.warn(format!(
            "this server's token does not open the snapshot, which needs the one with the hash {}",
            row.token_hash.join(" or ")
        ));
    }
    if row.token_hash.is_empty() {
        report.warn("the snapshot holds no bootstrap data: a restore needs this server's own tls folder, or is not of K3s");
    }
    log::info!(
        "the server token is not in the snapshot: without it, it cannot be restored on another machine. Keep it elsewhere"
    );
    if captured.alarms.iter().any(|a| a == ALARM_CORRUPT) {
        report.fail(
            &Fault::new(
                Code::CorruptAlarm,
                format!("'{}' was kept but cannot be called proven: etcd says by its CORRUPT alarm that members differ", row.name),
            )
            .hint("Find the member that differs with 'etcdctl endpoint hashkv --cluster'; do not rely on this snapshot.")
            .into(),
        );
        return;
    }
    match recency {
        Freshness::Current { .. } => {}
        Freshness::Unknown { reason: why } => {
            report.warn(format!("nobody could tell whether '{}' is up to date: {why}", row.name));
        }
        Freshness::Behind { cluster_revision: asked } => report.fail(
            &Fault::new(
                Code::SnapshotNotCurrent,
                format!(
                    "'{}' was kept but is not current: this member is at revision {}, the cluster at {asked} or later",
                    row.name,
                    row.revision.unwrap_or_default()
                ),
            )
            .hint("This member lags or is cut off from the others. Save on another server.")
            .into(),
        ),
    }
}
