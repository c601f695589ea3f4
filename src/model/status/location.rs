// SPDX-License-Identifier: Apache-2.0
//! What is known of the snapshots in one location.

use serde::Serialize;

use crate::model::retention::Policy;
use crate::model::snapshot::{Freshness, Snapshot, State, Upload};
use crate::model::time::rfc3339;

/// A snapshot that is dated further ahead than this does not count as recent, in seconds.
const MAX_CLOCK_SKEW: u64 = 300;

/// The snapshots of a location.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LocationStatus {
    /// The newest snapshot that is verified and not known to be behind the cluster.
    pub newest: Option<Newest>,
    /// Number of snapshots by state; `None` if the location was not listed.
    pub counts: Option<Counts>,
    /// The rules of the retention policy, in the words of its options.
    pub keeps: Vec<String>,
}

/// Number of snapshots by state. Foreign files are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Verified snapshots.
    pub verified: u64,
    /// Unverified snapshots.
    pub unverified: u64,
    /// Corrupt snapshots.
    pub corrupt: u64,
    /// Incomplete files.
    pub incomplete: u64,
}

impl Counts {
    /// Counts snapshots.
    pub fn of(all: &[Snapshot]) -> Counts {
        let mut counts = Counts::default();
        for snapshot in all {
            match snapshot.state {
                State::Verified => counts.verified += 1,
                State::Unverified => counts.unverified += 1,
                State::Corrupt => counts.corrupt += 1,
                State::Incomplete => counts.incomplete += 1,
                State::Foreign => {}
            }
        }
        counts
    }

    /// The states with their numbers.
    pub fn rows(&self) -> [(State, u64); 4] {
        [
            (State::Verified, self.verified),
            (State::Unverified, self.unverified),
            (State::Corrupt, self.corrupt),
            (State::Incomplete, self.incomplete),
        ]
    }
}

/// The newest verified snapshot of a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// File name.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// Seconds since the epoch.
    #[serde(skip)]
    pub created_at: u64,
    /// Seconds since then.
    pub age_s: u64,
    /// Bytes as stored.
    pub size: u64,
    /// Its revision, if that is known.
    pub revision: Option<i64>,
    /// Revisions that etcd has made since; `None` if one of the two is not known.
    pub behind: Option<i64>,
}

/// Snapshots that are to be uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PendingUploads {
    /// How many.
    pub count: u64,
    /// When the oldest of them was saved, RFC 3339.
    pub oldest: Option<String>,
    /// The same in seconds since the epoch.
    #[serde(skip)]
    pub oldest_at: Option<u64>,
    /// Why the last attempt failed, if one failed.
    pub reason: Option<String>,
}

impl LocationStatus {
    /// What a listing shows.
    pub fn from_listing(all: &[Snapshot], now: u64) -> LocationStatus {
        LocationStatus { newest: Newest::of(all, now), counts: Some(Counts::of(all)), keeps: vec![] }
    }
}

impl Newest {
    /// The newest snapshot that is verified, is not known to be behind the cluster, and is not dated in the future.
    pub fn of(all: &[Snapshot], now: u64) -> Option<Newest> {
        all.iter().filter(|s| counts(s, now)).max_by_key(|s| s.created_at).map(|s| Newest::from(s, now))
    }

    fn from(s: &Snapshot, now: u64) -> Newest {
        Newest {
            name: s.file.clone(),
            created: rfc3339(s.created_at),
            created_at: s.created_at,
            age_s: now.saturating_sub(s.created_at),
            size: s.size,
            revision: s.manifest.as_ref().map(|m| m.revision),
            behind: None,
        }
    }

    /// Compares with the revision of the live etcd.
    pub fn compare(&mut self, live: i64) {
        self.behind = self.revision.map(|own| live.saturating_sub(own).max(0));
    }
}

/// Whether a snapshot counts as a recent one. A snapshot of a member that was cut off, or of a database at rest, may be
/// weeks old whatever its date is.
fn counts(s: &Snapshot, now: u64) -> bool {
    let freshness = s.manifest.as_ref().and_then(|m| m.freshness.as_ref());
    s.state == State::Verified
        && matches!(freshness, None | Some(Freshness::Current { .. }))
        && s.created_at <= now.saturating_add(MAX_CLOCK_SKEW)
}

/// What the manifests of local snapshots record of uploads: those that are pending, and the newest one that was made.
pub fn of_uploads(local: &[Snapshot], now: u64) -> (PendingUploads, Option<Newest>) {
    let upload = |s: &Snapshot| s.manifest.as_ref().and_then(|m| m.upload.clone());
    let mut pending = PendingUploads::default();
    for snapshot in local.iter().filter(|s| s.state != State::Corrupt) {
        if let Some(Upload::Pending { reason, .. }) = upload(snapshot) {
            pending.count += 1;
            pending.oldest_at =
                Some(pending.oldest_at.map_or(snapshot.created_at, |at| at.min(snapshot.created_at)));
            pending.reason = reason.or(pending.reason);
        }
    }
    pending.oldest = pending.oldest_at.map(rfc3339);
    // Without a location it was deleted from the bucket.
    let made: Vec<Snapshot> = local
        .iter()
        .filter(|s| matches!(upload(s), Some(Upload::Uploaded { location: Some(_), .. })))
        .cloned()
        .collect();
    (pending, Newest::of(&made, now))
}

/// The rules of a policy in the words of its options.
pub fn policy_rules(policy: &Policy) -> Vec<String> {
    let mut all: Vec<String> = policy
        .last
        .map(|n| if n == 0 { "all snapshots".to_owned() } else { format!("snapshot-retention {n}") })
        .into_iter()
        .collect();
    for (name, n) in [
        ("keep-hourly", policy.hourly),
        ("keep-daily", policy.daily),
        ("keep-weekly", policy.weekly),
        ("keep-monthly", policy.monthly),
        ("keep-yearly", policy.yearly),
    ] {
        if n > 0 {
            all.push(format!("{name} {n}"));
        }
    }
    all.extend(policy.within.map(|seconds| format!("keep-within {} h", seconds / 3600)));
    all
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::manifest::tests::manifest;
    use crate::model::snapshot::Manifest;

    pub(crate) fn snapshot(file: &str, created_at: u64, change: impl Fn(&mut Manifest)) -> Snapshot {
        let mut m = manifest();
        change(&mut m);
        Snapshot {
            file: file.into(),
            name: None,
            location: format!("file:///s/{file}"),
            size: 544,
            created_at,
            state: m.state(),
            manifest: Some(m),
            key_revisions: None,
            cluster_id: None,
        }
    }

    #[test]
    fn the_newest_is_verified_current_and_not_of_the_future() {
        let behind = |m: &mut Manifest| m.freshness = Some(Freshness::Behind { cluster_revision: 9 });
        let corrupt = |m: &mut Manifest| {
            m.findings.push(crate::model::snapshot::FindingRecord::new("trailer", "x"));
        };
        let all = [
            snapshot("old", 100, |_| {}),
            snapshot("good", 200, |_| {}),
            snapshot("behind", 300, behind),
            snapshot("corrupt", 400, corrupt),
            snapshot("future", 5000, |_| {}),
        ];
        let mut newest = Newest::of(&all, 1000).unwrap();
        assert_eq!((newest.name.as_str(), newest.age_s, newest.revision), ("good", 800, Some(7)));
        newest.compare(10);
        assert_eq!(newest.behind, Some(3));
        assert_eq!(Counts::of(&all), Counts { verified: 4, corrupt: 1, ..Counts::default() });
        assert_eq!(Newest::of(&all[2..4], 1000), None);
    }

    #[test]
    fn a_pending_upload_is_counted_and_a_deleted_copy_is_no_copy() {
        let uploaded = |location: Option<&str>| {
            let location = location.map(str::to_owned);
            move |m: &mut Manifest| {
                m.upload = Some(Upload::Uploaded { location: location.clone(), at: Some(1) })
            }
        };
        let all = [
            snapshot("sent", 100, uploaded(Some("s3://b/sent"))),
            snapshot("deleted", 200, uploaded(None)),
            snapshot("waits", 300, |m| m.upload = Some(Upload::Pending { reason: None, at: None })),
            snapshot("failed", 400, |m| {
                m.upload = Some(Upload::Pending { reason: Some("denied".into()), at: Some(9) })
            }),
        ];
        let (pending, newest) = of_uploads(&all, 1000);
        assert_eq!((pending.count, pending.oldest_at), (2, Some(300)));
        assert_eq!(pending.reason.as_deref(), Some("denied"));
        assert_eq!(newest.unwrap().name, "sent");
    }

    #[test]
    fn rules_have_the_names_of_their_options() {
        let policy = Policy { last: Some(5), daily: 7, within: Some(7200), ..Policy::none(TimeZone::UTC) };
        assert_eq!(policy_rules(&policy), ["snapshot-retention 5", "keep-daily 7", "keep-within 2 h"]);
    }
}
