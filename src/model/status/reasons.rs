// SPDX-License-Identifier: Apache-2.0
//! The reasons for an administrator to act, from the facts alone. What is unknown and matters is a reason, too.

use super::facts::Status;
use super::location::LocationStatus;
use super::reason::{Reason, ReasonCode};

/// Facts without which the snapshots cannot be called good.
const ESSENTIAL: [&str; 5] = ["settings", "snapshots", "manifests", "s3", "restore"];
/// A pending upload without a failed attempt is normal for this long after its save, in seconds.
const UPLOAD_TIME: u64 = 4 * 3600;
/// etcd's database is nearly full from this part of its limit on.
const QUOTA_PERCENT: u64 = 80;

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Seconds since the epoch.
    pub now: u64,
    /// The greatest age of the newest verified snapshot, in seconds.
    pub max_age: u64,
    /// Whether snapshots are to be uploaded.
    pub uploads: bool,
}

/// The reasons to act, the most urgent first.
pub fn reasons(status: &Status, limits: Limits) -> Vec<Reason> {
    let mut all = Vec::new();
    let mut add = |code, message: String| all.push(Reason { code, message });
    if let Some(stage) = &status.interrupted_restore {
        add(ReasonCode::RestoreInterrupted, format!("a restore was interrupted at the stage '{stage}'"));
    }
    if let (Some(local), false) = (&status.local, status.is_unknown("manifests")) {
        let codes = (ReasonCode::NoVerifiedSnapshot, ReasonCode::SnapshotTooOld);
        all.extend(too_old(local, "the snapshot directory", codes, limits));
    }
    if let (Some(s3), true) = (&status.s3, limits.uploads) {
        let codes = (ReasonCode::NoVerifiedCopy, ReasonCode::CopyTooOld);
        all.extend(too_old(s3, "the bucket", codes, limits));
    }
    all.extend(uploads(status, limits));
    all.extend(corrupt(status));
    for job in status.jobs.iter().filter(|job| job.has_failed()) {
        let how = match job.exit_code {
            Some(code) => format!("exit code {code}"),
            None => job.result.clone().unwrap_or_default(),
        };
        all.push(Reason {
            code: ReasonCode::JobFailed,
            message: format!("the last run of {} failed: {how}", job.unit),
        });
    }
    all.extend(etcd(status));
    all.extend(space(status));
    all.extend(kit(status));
    let unknown = status.unknown.iter().filter(|u| ESSENTIAL.contains(&u.fact));
    all.extend(unknown.map(|u| Reason { code: ReasonCode::NotVisible, message: u.reason.clone() }));
    all
}

fn too_old(
    location: &LocationStatus,
    name: &str,
    (none, old): (ReasonCode, ReasonCode),
    limits: Limits,
) -> Option<Reason> {
    match &location.newest {
        None => {
            Some(Reason { code: none, message: format!("no snapshot in {name} is verified and current") })
        }
        Some(newest) if newest.age_s > limits.max_age => {
            let message = format!(
                "the newest verified snapshot in {name}, '{}', is {} s old; the limit is {} s",
                newest.name.escape_debug(),
                newest.age_s,
                limits.max_age
            );
            Some(Reason { code: old, message })
        }
        Some(_) => None,
    }
}

/// A save that runs has a pending upload until it ends: this alone is no reason.
fn uploads(status: &Status, limits: Limits) -> Option<Reason> {
    let pending = status.pending_uploads.as_ref().filter(|p| p.count > 0 && limits.uploads)?;
    let age = limits.now.saturating_sub(pending.oldest_at?);
    let why = pending.reason.as_ref().map(|reason| format!(": {reason}"));
    (why.is_some() || age > UPLOAD_TIME).then(|| Reason {
        code: ReasonCode::UploadPending,
        message: format!("{} uploads are pending{}", pending.count, why.unwrap_or_default()),
    })
}

fn corrupt(status: &Status) -> Option<Reason> {
    let corrupt = |location: &Option<LocationStatus>| {
        location.as_ref().and_then(|l| l.counts).map_or(0, |counts| counts.corrupt)
    };
    let count = corrupt(&status.local) + corrupt(&status.s3);
    (count > 0).then(|| Reason {
        code: ReasonCode::SnapshotCorrupt,
        message: format!("{count} snapshots are corrupt; do not restore them"),
    })
}

fn kit(status: &Status) -> Option<Reason> {
    let kit = status.kit.as_ref()?;
    if kit.name.is_none() {
        let message = "no recovery kit was sealed yet; the next save does it".to_owned();
        return Some(Reason { code: ReasonCode::KitMissing, message });
    }
    kit.verified_at.is_none().then(|| Reason {
        code: ReasonCode::KitUnverified,
        message: "it was not verified that the recovery kit can be opened: run 'k3s-snapshot kit verify --identity FILE'"
            .to_owned(),
    })
}

fn etcd(status: &Status) -> Vec<Reason> {
    let mut all = Vec::new();
    let Some(etcd) = &status.etcd else { return all };
    let mut add = |code, message: String| all.push(Reason { code, message });
    if etcd.db_bytes >= etcd.quota_bytes / 100 * QUOTA_PERCENT {
        add(
            ReasonCode::DatabaseNearlyFull,
            format!("the database of etcd has {} of {} bytes", etcd.db_bytes, etcd.quota_bytes),
        );
    }
    if !etcd.alarms.is_empty() {
        add(ReasonCode::AlarmRaised, format!("etcd raises the alarm {}", etcd.alarms.join(" and ")));
    }
    if !etcd.has_leader {
        add(ReasonCode::NoLeader, "the etcd member has no leader".to_owned());
    }
    all
}

fn space(status: &Status) -> Option<Reason> {
    let of_etcd = status.etcd.as_ref().map(|etcd| etcd.db_bytes);
    let db_bytes = of_etcd.or(status.sqlite.as_ref().map(|sqlite| sqlite.db_bytes))?;
    let free = status.free_bytes.filter(|free| *free < db_bytes)?;
    let message = format!("{free} bytes are free for snapshots; the next one needs up to {db_bytes}");
    Some(Reason { code: ReasonCode::SpaceLow, message })
}

#[cfg(test)]
mod tests {
    use super::super::location::tests::snapshot;
    use super::super::{EtcdStatus, Job, LocationStatus, PendingUploads, SqliteStatus, Unknown};
    use super::*;

    const LIMITS: Limits = Limits { now: 100_000, max_age: 1000, uploads: true };

    fn healthy() -> Status {
        let all = [snapshot("s", 99_900, |_| {})];
        let location = || Some(LocationStatus::from_listing(&all, LIMITS.now));
        Status {
            local: location(),
            s3: location(),
            pending_uploads: Some(PendingUploads::default()),
            etcd: Some(EtcdStatus {
                revision: 7,
                db_bytes: 10,
                quota_bytes: 1000,
                has_leader: true,
                alarms: vec![],
                members: vec![],
            }),
            free_bytes: Some(100),
            jobs: vec![Job { result: Some("success".into()), ..Job::default() }, Job::default()],
            ..Status::default()
        }
    }

    fn codes(change: impl Fn(&mut Status)) -> Vec<ReasonCode> {
        let mut status = healthy();
        change(&mut status);
        reasons(&status, LIMITS).into_iter().map(|r| r.code).collect()
    }

    #[test]
    fn each_reason_has_a_row() {
        let newest_at = |age: u64| {
            Some(LocationStatus::from_listing(&[snapshot("s", LIMITS.now - age, |_| {})], LIMITS.now))
        };
        let pending = |at: u64, reason: Option<&str>| {
            Some(PendingUploads {
                count: 1,
                oldest_at: Some(at),
                reason: reason.map(str::to_owned),
                ..PendingUploads::default()
            })
        };
        let unknown = |fact| vec![Unknown { fact, reason: "permission denied".into() }];
        assert_eq!(codes(|_| {}), []);
        assert_eq!(
            codes(|s| s.interrupted_restore = Some("swapping".into())),
            [ReasonCode::RestoreInterrupted]
        );
        assert_eq!(codes(|s| s.local = Some(LocationStatus::default())), [ReasonCode::NoVerifiedSnapshot]);
        assert_eq!(codes(|s| s.local = newest_at(1001)), [ReasonCode::SnapshotTooOld]);
        assert_eq!(codes(|s| s.local = newest_at(1000)), []);
        assert_eq!(codes(|s| s.s3 = Some(LocationStatus::default())), [ReasonCode::NoVerifiedCopy]);
        assert_eq!(codes(|s| s.s3 = newest_at(1001)), [ReasonCode::CopyTooOld]);
        assert_eq!(codes(|s| s.pending_uploads = pending(99_999, None)), []);
        assert_eq!(
            codes(|s| s.pending_uploads = pending(99_999, Some("denied"))),
            [ReasonCode::UploadPending]
        );
        assert_eq!(codes(|s| s.pending_uploads = pending(1, None)), [ReasonCode::UploadPending]);
        assert_eq!(
            codes(|s| s.local.as_mut().unwrap().counts.as_mut().unwrap().corrupt = 1),
            [ReasonCode::SnapshotCorrupt]
        );
        assert_eq!(codes(|s| s.jobs[1].result = Some("exit-code".into())), [ReasonCode::JobFailed]);
        let etcd = |change: fn(&mut EtcdStatus)| codes(|s| change(s.etcd.as_mut().unwrap()));
        assert_eq!(etcd(|e| (e.db_bytes, e.quota_bytes) = (80, 100)), [ReasonCode::DatabaseNearlyFull]);
        assert_eq!(etcd(|e| e.alarms = vec!["NOSPACE".into()]), [ReasonCode::AlarmRaised]);
        assert_eq!(etcd(|e| e.has_leader = false), [ReasonCode::NoLeader]);
        assert_eq!(codes(|s| s.free_bytes = Some(9)), [ReasonCode::SpaceLow]);
        let of_sqlite = |s: &mut Status| {
            s.etcd = None;
            s.sqlite = Some(SqliteStatus { revision: 7, db_bytes: 10 });
        };
        assert_eq!(codes(of_sqlite), [], "a server without etcd");
        let full = |s: &mut Status| {
            of_sqlite(s);
            s.free_bytes = Some(9);
        };
        assert_eq!(codes(full), [ReasonCode::SpaceLow]);
        for fact in ESSENTIAL {
            assert_eq!(codes(|s| s.unknown = unknown(fact)), [ReasonCode::NotVisible], "{fact}");
        }
        assert_eq!(codes(|s| s.unknown = unknown("jobs")), [], "not seeing the jobs alone is no reason");
    }

    #[test]
    fn a_server_without_uploads_has_no_reason_about_copies() {
        let mut status = healthy();
        status.s3 = Some(LocationStatus::default());
        assert_eq!(reasons(&status, Limits { uploads: false, ..LIMITS }), []);
    }
}
