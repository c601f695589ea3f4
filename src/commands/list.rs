// SPDX-License-Identifier: Apache-2.0
//! list: what lies there and what is known of it. Opens no snapshot.

use std::time::Duration;

use anyhow::Result;

use crate::error::{Code, Fault};
use crate::model::report::{Report, Row};
use crate::model::snapshot::{Freshness, Listing, Snapshot, State};
use crate::store::Store;

/// A snapshot may be this much younger than now before its date is not believed, in seconds.
const SKEW: u64 = 300;

/// Lists, oldest first. With `max_age`, fails unless a proven snapshot is that young.
pub fn run(
    places: &[&dyn Store],
    token: Option<&str>,
    max_age: Option<Duration>,
    now: u64,
    report: &mut Report,
) -> Result<()> {
    let mut listing = Listing { snapshots: vec![], complete: true, manifests_readable: true };
    for place in places {
        // What one place has is worth showing where another cannot be reached.
        match place.list() {
            Ok(more) => {
                listing.snapshots.extend(more.snapshots);
                listing.complete &= more.complete;
                listing.manifests_readable &= more.manifests_readable;
            }
            Err(e) if places.len() > 1 => report.fail(&e),
            Err(e) => return Err(e),
        }
    }
    listing.snapshots.sort_by(|a, b| (a.created_at, &a.file).cmp(&(b.created_at, &b.file)));
    report.snapshots = listing.snapshots.iter().map(|s| Row::from_snapshot(s, token)).collect();
    if !listing.complete {
        report.warn("not everything could be looked at; the list is incomplete");
    }
    match max_age {
        Some(max_age) => fresh(&listing.snapshots, max_age, now),
        None => Ok(()),
    }
}

fn fresh(all: &[Snapshot], max_age: Duration, now: u64) -> Result<()> {
    // What a member that was cut off gave, or a database that was saved cold, may be weeks old whatever its date says.
    let counts = |s: &&Snapshot| {
        let recency = s.manifest.as_ref().and_then(|m| m.freshness.as_ref());
        s.state == State::Verified && matches!(recency, None | Some(Freshness::Current { .. }))
    };
    let newest =
        all.iter().filter(counts).filter(|s| s.created_at <= now + SKEW).max_by_key(|s| s.created_at);
    let (what, hint) = match newest {
        Some(s) if now.saturating_sub(s.created_at) <= max_age.as_secs() => return Ok(()),
        Some(s) => (
            format!(
                "the newest proven snapshot, '{}', is {} old",
                s.file.escape_debug(),
                words(now - s.created_at)
            ),
            "Save one with k3s-snapshot-save, and look into why the last one failed.",
        ),
        None => (
            match all.iter().filter(counts).count() {
                0 => "there is no snapshot that is proven and current".to_owned(),
                n => format!("the {n} proven snapshots are dated in the future"),
            },
            "k3s-snapshot-save makes one; k3s-snapshot-verify --all proves those that are there.",
        ),
    };
    Err(Fault::new(Code::SnapshotTooOld, format!("{what}; at most {} is allowed", words(max_age.as_secs())))
        .hint(hint)
        .into())
}

fn words(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}
