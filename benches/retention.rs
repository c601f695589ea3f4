// SPDX-License-Identifier: Apache-2.0
//! How long the judgement of a prune takes: 100,000 snapshots, all rules at once. Prints median and spread; judges
//! nothing. `make bench` runs it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench reports by printing")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use k3s_snapshot::model::name::{SnapshotName, Suffix};
use k3s_snapshot::model::retention::{Policies, Policy, PruneInput, Selection, judge};
use k3s_snapshot::model::snapshot::{Manifest, Snapshot, State};
use serde_json::json;

const COUNT: u64 = 100_000;
const RUNS: usize = 21;
const NOW: u64 = 1_795_348_800;

fn manifest(entries: u64) -> Manifest {
    let sha = "00".repeat(32);
    serde_json::from_value(json!({
        "version": 1, "name": "n", "folder": "f", "stored_sha256": sha, "plain_sha256": sha, "plain_size": 1,
        "file": {"dev": 1, "ino": 1, "size": 1, "mtime_ns": 1, "ctime_ns": 1}, "node": "server-1", "base": "timer",
        "members": ["server-1-0a1b2c3d", "server-2-0a1b2c3d", "server-3-0a1b2c3d"],
        "revision": 1, "entries": entries, "checked_at": 1, "proven_at": 1, "recency": null,
    }))
    .unwrap()
}

/// One each ten minutes: of the timer, in part unproven, bad and zipped; some of other names.
fn snapshots(in_bucket: bool) -> Vec<Snapshot> {
    let one = |i: u64| {
        let base = if i.is_multiple_of(10) { "on-demand" } else { "timer" };
        let suffix = if i.is_multiple_of(7) { Suffix::Zip } else { Suffix::Plain };
        let name = SnapshotName::new(base, "server-1", NOW - i * 600, suffix);
        let state = match i % 20 {
            3 | 4 => State::Unverified,
            5 => State::Corrupt,
            _ => State::Verified,
        };
        let file = name.to_string();
        let place = if in_bucket { "s3://bucket/folder" } else { "file:///snapshots" };
        Snapshot {
            location: format!("{place}/{file}"),
            size: 544,
            created_at: name.at,
            name: Some(name),
            state,
            manifest: (!in_bucket && state == State::Verified).then(|| manifest(1000 + i % 50)),
            key_revisions: (in_bucket && state == State::Verified).then_some(1000 + i % 50),
            file,
        }
    };
    // In no order, as a folder gives them.
    (0..COUNT).map(|i| one(i * 7919 % COUNT)).collect()
}

fn main() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let policy = Policy {
        last: Some(5),
        hourly: 48,
        daily: 30,
        weekly: 12,
        monthly: 24,
        yearly: 5,
        within: Some(86_400),
        zone,
    };
    let policies = Policies { all: policy, of_base: BTreeMap::new() };
    let selection = Selection {
        bases: ["on-demand", "timer"].map(str::to_owned).to_vec(),
        node: "server-1".into(),
        scheduled: vec!["etcd-snapshot".into()],
        ..Selection::default()
    };
    for (what, all) in [("folder", snapshots(false)), ("bucket", snapshots(true))] {
        let ask = PruneInput { selection: &selection, policies: &policies, now: NOW, accept_drop: false };
        let mut times: Vec<Duration> = Vec::new();
        let mut kept = 0;
        for _ in 0..RUNS {
            let began = Instant::now();
            let judgement = judge(&all, &[], &ask);
            times.push(began.elapsed());
            kept = judgement.verdicts.iter().filter(|v| v.decision.as_str() == Some("keep")).count();
        }
        times.sort();
        let ms = |i: usize| times.get(i).map_or(0.0, |t| t.as_secs_f64() * 1000.0);
        println!(
            "judging {COUNT} snapshots of a {what}, all rules, {kept} kept: {:.1} ms (median of {RUNS}; {:.1}-{:.1})",
            ms(RUNS / 2),
            ms(0),
            ms(RUNS - 1)
        );
    }
}
