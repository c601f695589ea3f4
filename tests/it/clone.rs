// SPDX-License-Identifier: Apache-2.0
//! The method `clone`: a real etcd on XFS and btrfs, while writers never pause. `LONG=1` saves 500 times instead of 30. What holds
//! for every method is in `save.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use etcd_client::{Client, GetOptions};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::host::Host;
use crate::support::k3s_root::Layout;
use crate::support::ports::free_port;
use crate::support::process;
use crate::support::require::{self, require};
use crate::support::volume::Volume;
use crate::support::writers::{Log, Writers};
use crate::support::{ctl, eventually};

/// An etcd on this file system that waits for its disk, like the etcd of K3s.
fn etcd_on(volume: &Volume) -> Etcd {
    let layout = Layout { token: "labtoken".into(), under: volume.path(), ..Layout::default() };
    let etcd = Etcd::start_with(layout.etcd_arg("unsafe-no-fsync", "false"));
    etcd.bootstrap("labtoken");
    etcd
}

pub(crate) fn save(etcd: &Etcd, args: &[&str]) -> Run {
    Tool::new("save").on(&etcd.root).args(args).args(&["--report", "json"]).run()
}

pub(crate) fn file_of(etcd: &Etcd, row: &Value) -> PathBuf {
    etcd.root.snapshots().join(row["name"].as_str().unwrap())
}

pub(crate) fn row_of(run: &Run) -> Value {
    run.json()["snapshots"][0].clone()
}

/// Every key of an etcd with the revision of its last change and its value, at `revision`; at the newest if that is 0.
async fn everything(client: &mut Client, revision: i64) -> Vec<(Vec<u8>, i64, Vec<u8>)> {
    let mut all = Vec::new();
    // In pages, as the size of an answer is limited.
    let mut from = vec![0];
    loop {
        let options = GetOptions::new().with_from_key().with_limit(100).with_revision(revision);
        let answer = client.get(from.as_slice(), Some(options)).await.unwrap();
        all.extend(answer.kvs().iter().map(|kv| (kv.key().to_vec(), kv.mod_revision(), kv.value().to_vec())));
        match answer.kvs().last() {
            Some(last) if answer.more() => from = [last.key(), &[0]].concat(),
            _ => return all,
        }
    }
}

/// Restores a snapshot with etcdutl, starts an etcd on it, and reads every key.
fn restored(file: &Path) -> Vec<(Vec<u8>, i64, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    ctl::snapshot_restore(file, &data).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (client, peer) = (free_port(), free_port());
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = process::tied(require::etcd_programs().unwrap().join("etcd"));
    command.arg("--data-dir").arg(&data).arg("--unsafe-no-fsync");
    command.args(["--heartbeat-interval", "20", "--election-timeout", "200"]);
    for (option, port) in
        [("--listen-client-urls", client), ("--advertise-client-urls", client), ("--listen-peer-urls", peer)]
    {
        command.args([option, &url(port)]);
    }
    let log = fs::File::create(dir.path().join("log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let _etcd = process::spawn(command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut all = Vec::new();
    eventually("the restored etcd answers", Duration::from_secs(30), || {
        runtime.block_on(async {
            let Ok(mut client) = Client::connect([url(client)], None).await else { return false };
            // Without a leader it does not read.
            if !matches!(tokio::time::timeout(Duration::from_secs(5), client.get("x", None)).await, Ok(Ok(_)))
            {
                return false;
            }
            all = everything(&mut client, 0).await;
            true
        })
    });
    all
}

/// The restored snapshot has what etcd has at the revision of the snapshot: every key, its revision, its value.
fn assert_equals_live(etcd: &Etcd, row: &Value) {
    let (revision, file) = (row["revision"].as_i64().unwrap(), file_of(etcd, row));
    let status = ctl::snapshot_status(&file).unwrap();
    assert_eq!(status["revision"], revision, "{}", file.display());
    let tls = etcd.root.certs().mutual();
    let live = etcd.try_client(tls, async |c| Ok(everything(c, revision).await)).unwrap();
    assert!(live.len() > 50);
    assert!(restored(&file) == live, "{} is not the store of revision {revision}", file.display());
}

/// Every write that was acknowledged up to the revision of the snapshot is in it, unless a later write replaced it.
pub(crate) fn assert_has_acknowledged_writes(file: &Path, revision: i64, log: &Log) {
    let all: BTreeMap<Vec<u8>, (i64, [u8; 32])> = restored(file)
        .into_iter()
        .map(|(key, at, value)| (key, (at, Sha256::digest(&value).into())))
        .collect();
    for (key, writes) in log {
        let Some((at, value)) = writes.iter().rev().find(|(at, _)| *at <= revision) else { continue };
        let (found_at, found) = all.get(key.as_bytes()).unwrap_or_else(|| panic!("{key} is missing"));
        assert!(found_at >= at, "{key} is of revision {found_at}, {at} was acknowledged");
        assert!(found_at > at || found == value, "{key} has another value");
    }
}

/// A verified, current clone with everything that was acknowledged before it started.
pub(crate) fn check(run: Run, acknowledged: i64) -> Value {
    let run = run.expect(0);
    let row = row_of(&run);
    assert_eq!(row["state"], "verified", "{run:?}");
    assert_eq!(row["freshness"]["state"], "current", "{run:?}");
    assert!(row["revision"].as_i64().unwrap() >= acknowledged, "{acknowledged} was acknowledged: {run:?}");
    row
}

/// A verified snapshot of a stopped etcd. Its freshness is not known.
#[track_caller]
fn assert_offline(run: &Run) {
    let row = row_of(run);
    assert_eq!(
        (&row["state"], &row["freshness"]["state"]),
        (&"verified".into(), &"unknown".into()),
        "{run:?}"
    );
}

fn many_clones_during_writes(kind: &str) {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount(kind));
    let etcd = etcd_on(&volume);
    let rounds = if std::env::var_os("LONG").is_some_and(|v| v == "1") { 500 } else { 30 };
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as usize;
    let writers = Writers::start(&etcd, 4);
    eventually("all write", Duration::from_secs(20), || writers.acknowledged() > 50);
    let (mut first, mut last, mut picked) = (None, 0, 0);
    for i in 0..rounds {
        let before = writers.acknowledged();
        let row = check(save(&etcd, &[]), before);
        assert_eq!((&row["method"], &row["method_reason"]), (&"clone".into(), &Value::Null), "save {i}");
        // Ten of them, evenly spread, with a random start.
        if (i + seed).is_multiple_of(rounds / 10) {
            picked += 1;
            assert_equals_live(&etcd, &row);
            Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
        }
        fs::remove_file(file_of(&etcd, &row)).unwrap();
        first.get_or_insert(before);
        last = before;
        // etcd keeps every value until it is compacted.
        if i % 20 == 19 {
            etcd.compact(writers.acknowledged());
        }
    }
    drop(writers.stop());
    assert_eq!(picked, 10);
    assert!(last > first.unwrap() + 10, "the writers wrote all the time");
}

#[test]
fn xfs_clones_during_writes_are_verified_current_and_restorable() {
    many_clones_during_writes("xfs");
}

#[test]
fn btrfs_clones_during_writes_are_verified_current_and_restorable() {
    many_clones_during_writes("btrfs");
}

fn clones_during_changes(kind: &str) {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount(kind));
    let mut etcd = etcd_on(&volume);
    let writers = Writers::start(&etcd, 4);
    eventually("all write", Duration::from_secs(20), || writers.acknowledged() > 500);
    let mut last = None;
    for change in ["defrag", "compact", "grow"] {
        let end = AtomicBool::new(false);
        let clones = std::thread::scope(|scope| {
            let background = scope.spawn(|| {
                let mut n = 0;
                while !end.load(SeqCst) {
                    match change {
                        "defrag" => assert!(etcd.ctl(&["defrag"]).status.success()),
                        "compact" => etcd.compact(writers.acknowledged() - 200),
                        _ => etcd.fill(300, 10_000),
                    }
                    n += 1;
                    std::thread::sleep(Duration::from_millis(50));
                }
                n
            });
            let mut clones = 0;
            for _ in 0..8 {
                let before = writers.acknowledged();
                let row = check(save(&etcd, &[]), before);
                clones += u32::from(row["method"] == "clone");
                last = Some(row);
            }
            end.store(true, SeqCst);
            assert!(background.join().unwrap() > 0, "no {change} was done in the meantime");
            clones
        });
        assert!(clones > 0, "not one of 8 was cloned during {change}");
    }
    let (row, log) = (last.unwrap(), writers.stop());
    assert_has_acknowledged_writes(&file_of(&etcd, &row), row["revision"].as_i64().unwrap(), &log);
    // etcd is killed during a save, each time at another moment: the save succeeds or leaves nothing. Here etcd is asked for the
    // acknowledged revision: etcd 3.5.1 may lose an acknowledged write when it is killed (seen in 2 of 231 kills without a save).
    let writers = Writers::start(&etcd, 4);
    for round in 0..6_u64 {
        let written = writers.acknowledged();
        eventually("they write", Duration::from_secs(20), || writers.acknowledged() > written);
        let (names, before) = (etcd.root.snapshot_names(), etcd.revision());
        let started = Tool::new("save").on(&etcd.root).args(&["--report", "json"]).start();
        std::thread::sleep(Duration::from_millis(round * 12));
        etcd.kill();
        let run = started.finish();
        if run.code == Some(0) {
            check(run, before);
        } else {
            assert_eq!(run.code, Some(1), "{run:?}");
            assert_eq!(etcd.root.snapshot_names(), names, "files are left: {run:?}");
        }
        // The database file of the killed etcd can be saved.
        let run = save(&etcd, &["--method", "clone", "--name", "offline"]);
        assert_offline(&run);
        etcd.restart();
    }
    let before = etcd.revision();
    let row = check(save(&etcd, &[]), before);
    drop(writers.stop());
    assert_equals_live(&etcd, &row);
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
}

#[test]
fn xfs_clones_during_defragmentation_compaction_growth_and_sigkill() {
    clones_during_changes("xfs");
}

#[test]
fn btrfs_clones_during_defragmentation_compaction_growth_and_sigkill() {
    clones_during_changes("btrfs");
}

#[test]
fn a_clone_is_byte_for_byte_equal_to_a_stream() {
    require!(require::etcd_programs());
    for kind in ["xfs", "btrfs"] {
        let volume = require!(Volume::mount(kind));
        let etcd = etcd_on(&volume);
        etcd.fill(500, 4_000);
        etcd.del("/registry/pods/ns-01/pod-0000001");
        etcd.compact(etcd.revision() - 2);
        // Until etcd has committed and finished the compaction, each save would be of another revision.
        std::thread::sleep(Duration::from_millis(500));
        let size = |file: &Path| fs::metadata(file).unwrap().len();
        let clone = row_of(&save(&etcd, &["--method", "clone"]).expect(0));
        let stream = row_of(&save(&etcd, &["--method", "stream"]).expect(0));
        assert_eq!((&clone["method"], &stream["method"]), (&"clone".into(), &"stream".into()));
        assert!(clone["sha256"] == stream["sha256"] || !require::snapshots_repeat(), "on {kind}");
        assert_eq!(clone["revision"], stream["revision"], "on {kind}");
        let live = etcd.root.server().join("db/etcd/member/snap/db");
        let file = file_of(&etcd, &clone);
        assert!(size(&live) + 32 >= size(&file));
        // A clone can be compressed, and an alarm is reported as for a stream.
        let zip =
            row_of(&save(&etcd, &["--method", "clone", "--snapshot-compress", "--name", "z"]).expect(0));
        assert_eq!(zip["method"], "clone");
        etcd.raise_corrupt();
        let run = save(&etcd, &["--method", "clone"]).expect(65);
        assert_eq!(row_of(&run)["state"], "unverified", "{run:?}");
        Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
    }
}

#[test]
fn without_reflinks_auto_streams_with_a_reason_and_clone_is_refused() {
    require!(require::etcd_programs());
    let ext4 = require!(Volume::mount("ext4"));
    let xfs = require!(Volume::mount("xfs"));
    let (on_ext4, on_xfs) = (etcd_on(&ext4), etcd_on(&xfs));
    let elsewhere = ext4.path().join("snapshots");
    fs::create_dir(&elsewhere).unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    let endpoint = on_xfs.endpoint();
    for (etcd, args, word) in [
        (&on_ext4, vec![], "EOPNOTSUPP"),
        (&on_xfs, vec!["--dir", elsewhere], "EXDEV"),
        (&on_xfs, vec!["--etcd-endpoints", &endpoint], "etcd-endpoints"),
    ] {
        let streamed = row_of(&save(etcd, &args).expect(0));
        assert_eq!((&streamed["method"], &streamed["state"]), (&"stream".into(), &"verified".into()));
        let why = streamed["method_reason"].as_str().unwrap();
        assert!(why.contains(word), "{why}");
        let names = etcd.root.snapshot_names();
        let run = save(etcd, &[&args[..], &["--method", "clone"]].concat()).expect(77);
        let error = &run.json()["error"];
        assert_eq!(error["code"], "clone-unsupported", "{error}");
        assert!(error["hint"].as_str().unwrap().contains("--method"), "{error}");
        assert_eq!(etcd.root.snapshot_names(), names);
    }
    save(&on_xfs, &["--method", "rsync"]).expect(2);
}

#[test]
fn an_offline_save_has_an_unknown_freshness_and_a_corrupt_database_is_refused() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("xfs"));
    let mut etcd = etcd_on(&volume);
    etcd.fill(200, 4_000);
    std::thread::sleep(Duration::from_millis(300));
    etcd.kill();
    let run = save(&etcd, &[]).expect(1);
    assert!(run.json()["snapshots"].as_array().unwrap().is_empty());
    assert_offline(&save(&etcd, &["--method", "clone"]));
    let db = etcd.root.server().join("db/etcd/member/snap/db");
    let mut bytes = fs::read(&db).unwrap();
    // All pages but the meta pages: the root page of the newest transaction is among them.
    bytes[8192..].iter_mut().step_by(4096).for_each(|b| *b ^= 0x55);
    fs::write(&db, bytes).unwrap();
    let names = etcd.root.snapshot_names();
    let run = save(&etcd, &["--method", "clone"]).expect(65);
    assert_eq!(run.json()["error"]["code"], "database-corrupt", "{run:?}");
    let warnings = run.json()["warnings"].clone();
    assert!(warnings.as_array().unwrap().iter().any(|w| w["code"] == "capture-retried"), "{run:?}");
    assert_eq!(etcd.root.snapshot_names(), names, "nothing was kept");
}

/// The unit as it is shipped, in a booted host with systemd, on XFS.
#[test]
fn the_shipped_unit_clones_through_one_mount() {
    let volume = require!(Volume::mount("xfs"));
    let host = require!(Host::new()).bind("-b", &volume.path(), "/var/lib/rancher");
    let output = host.run("clone-in-the-sandbox", &[]).succeeded();
    assert!(output.contains("one mount id: "), "{output}");
}
