// SPDX-License-Identifier: Apache-2.0
//! How long the plan of a prune takes: 100,000 snapshots, all rules at once. Prints median and spread, and has no limit of its
//! own. `make bench` runs it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench reports by printing")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use k3s_snapshot::model::name::{SnapshotName, Suffix};
use k3s_snapshot::model::retention::{ClusterScope, Policies, Policy, PruneInput, Selection, apply_policy};
use k3s_snapshot::model::snapshot::{Manifest, Snapshot, State};
use serde_json::json;

const COUNT: u64 = 100_000;
const RUNS: usize = 21;
const NOW: u64 = 1_795_348_800;

const CLUSTER: &str = "0f9c2b6e-5c0d-4a87-9a55-6f3b7c1d2e4f";

fn manifest(revision: i64, key_revisions: u64) -> Manifest {
    let sha = "00".repeat(32);
    serde_json::from_value(json!({
        "version": 1, "name": "n", "directory": "d", "stored_sha256": sha, "plain_sha256": sha, "plain_size": 1,
        "file": {"dev": 1, "ino": 1, "size": 1, "mtime_ns": 1, "ctime_ns": 1}, "node": "server-1", "base": "timer",
        "members": ["server-1-0a1b2c3d", "server-2-0a1b2c3d", "server-3-0a1b2c3d"], "cluster_id": CLUSTER,
        "revision": revision, "key_revisions": key_revisions, "checked_at": 1, "verified_at": 1, "freshness": null,
    }))
    .unwrap()
}

/// One every ten minutes: most of them made by the timer; some unverified, corrupt or zipped.
fn snapshots(location: &str, in_bucket: bool) -> Vec<Snapshot> {
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
        Snapshot {
            location: format!("{location}/{file}"),
            size: 544,
            created_at: name.at,
            name: Some(name),
            state,
            manifest: (!in_bucket && state == State::Verified)
                .then(|| manifest((COUNT - i).cast_signed(), 1000 + i % 50)),
            key_revisions: (in_bucket && state == State::Verified).then_some(1000 + i % 50),
            cluster_id: (in_bucket && state == State::Verified).then(|| CLUSTER[..8].to_owned()),
            file,
        }
    };
    // In no order, as a directory gives them.
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
    for (location, in_bucket, clusters) in [
        ("file:///snapshots", false, ClusterScope::All),
        ("file:///snapshots", false, ClusterScope::Own(CLUSTER)),
        ("s3://bucket/prefix", true, ClusterScope::All),
        ("s3://bucket/prefix", true, ClusterScope::Own(CLUSTER)),
    ] {
        let all = snapshots(location, in_bucket);
        let input =
            PruneInput { selection: &selection, policies: &policies, clusters, now: NOW, accept_drop: false };
        let mut times: Vec<Duration> = Vec::new();
        let mut kept = 0;
        for _ in 0..RUNS {
            let started = Instant::now();
            let plan = apply_policy(&all, &[], &input);
            times.push(started.elapsed());
            kept = plan.actions.iter().filter(|a| a.decision.as_str() == Some("keep")).count();
        }
        times.sort();
        let ms = |i: usize| times.get(i).map_or(0.0, |t| t.as_secs_f64() * 1000.0);
        let cluster = if clusters == ClusterScope::All { "all" } else { "own" };
        println!(
            "plan for {COUNT} snapshots in {location}, own cluster {cluster}, all rules, {kept} kept: {:.1} ms (median of {RUNS}; \
             {:.1}-{:.1})",
            ms(RUNS / 2),
            ms(0),
            ms(RUNS - 1)
        );
    }
}
