// SPDX-License-Identifier: Apache-2.0
//! list: what is stored in the locations, and what is known of it. Opens no snapshot, changes nothing.

use std::time::Duration;

use anyhow::Result;

use super::authenticity::check_listed;
use crate::error::{Code, Fault};
use crate::model::authenticity::Keyring;
use crate::model::report::{Report, Row};
use crate::model::retention::last_saved_cluster;
use crate::model::snapshot::{Freshness, Listing, Snapshot, State};
use crate::model::warning::WarningCode;
use crate::store::Store;

/// A snapshot that is dated further ahead than this does not count as recent, in seconds.
const MAX_CLOCK_SKEW: u64 = 300;

/// Lists all locations, the oldest snapshot first. With `max_age`, fails unless a verified snapshot is that young.
///
/// # Errors
/// If the only location cannot be listed, or [`Code::SnapshotTooOld`].
pub fn run(
    locations: &[&dyn Store],
    (token, keys): (Option<&str>, &Keyring),
    max_age: Option<Duration>,
    now: u64,
    report: &mut Report,
) -> Result<()> {
    let mut listing = Listing { snapshots: vec![], complete: true, manifests_readable: true };
    for location in locations {
        // The content of one location is worth showing if another cannot be reached.
        match location.list() {
            Ok(more) => {
                listing.snapshots.extend(more.snapshots);
                listing.complete &= more.complete;
            }
            Err(e) if locations.len() > 1 => report.fail(&e),
            Err(e) => return Err(e),
        }
    }
    let complete = listing.complete;
    let mut all = listing.sorted();
    let authenticity: Vec<_> = all.iter_mut().map(|s| check_listed(keys, s)).collect();
    // A shared location may hold younger snapshots of another cluster.
    let own = last_saved_cluster(all.iter().filter(|s| s.location.starts_with("file://"))).map(str::to_owned);
    let rows = all.iter().zip(authenticity);
    report.snapshots =
        rows.map(|(s, authenticity)| Row::from_snapshot(s, token).with_authenticity(authenticity)).collect();
    if report
        .snapshots
        .iter()
        .any(|r| r.is_remote() && r.state == State::Verified && r.authenticity.is_none())
    {
        let token = if keys.is_empty() { " and --token-file FILE" } else { "" };
        log::info!(
            "the authenticity of the snapshots in the bucket was not checked; to check it, use --details{token}"
        );
    }
    if !complete {
        report.warn(WarningCode::ListingIncomplete, "not everything could be listed");
    }
    match max_age {
        Some(max_age) => ensure_recent(&all, own.as_deref(), max_age, now),
        None => Ok(()),
    }
}

fn ensure_recent(all: &[Snapshot], own: Option<&str>, max_age: Duration, now: u64) -> Result<()> {
    // A snapshot of a member that was cut off, or of a database at rest, may be weeks old whatever its date says.
    let counts = |s: &&Snapshot| {
        let freshness = s.manifest.as_ref().and_then(|m| m.freshness.as_ref());
        let is_own = own.is_none_or(|own| s.is_of_cluster(own) != Some(false));
        is_own && s.state == State::Verified && matches!(freshness, None | Some(Freshness::Current { .. }))
    };
    let dated = |s: &&Snapshot| s.created_at <= now.saturating_add(MAX_CLOCK_SKEW);
    let newest = all.iter().filter(counts).filter(dated).max_by_key(|s| s.created_at);
    let (what, hint) = match newest {
        Some(s) if now.saturating_sub(s.created_at) <= max_age.as_secs() => return Ok(()),
        Some(s) => (
            format!(
                "the newest verified snapshot, '{}', is {} old",
                s.file.escape_debug(),
                format_age(now.saturating_sub(s.created_at))
            ),
            "Save one with 'k3s-snapshot save', and check why the last save failed.",
        ),
        None => (
            match all.iter().filter(counts).count() {
                0 => "no snapshot is verified and current".to_owned(),
                n => format!("all {n} verified snapshots are dated in the future"),
            },
            "Save one with 'k3s-snapshot save', or verify the existing ones with 'k3s-snapshot verify --all'.",
        ),
    };
    let limit = format_age(max_age.as_secs());
    Err(Fault::new(Code::SnapshotTooOld, format!("{what}; the limit is {limit}")).hint(hint).into())
}

/// A duration for people, in one unit.
fn format_age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}
