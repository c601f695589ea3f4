// SPDX-License-Identifier: Apache-2.0
//! Failures of save. After each of them the snapshot directory has complete snapshots or nothing.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use k3s_snapshot::error::Code;
use k3s_snapshot::model::warning::WarningCode;

use crate::support::cli::{Run, Tool};
use crate::support::cluster::Cluster;
use crate::support::disk::Disk;
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::ports::{Ports, free_port};
use crate::support::proxy::{Mode, Proxy};
use crate::support::require::{self, require};

/// The codes of a failed write. How exact the code is depends on the system call.
const DISK: &[Code] = &[Code::NoSpace, Code::Io, Code::Unexpected];

/// The longest time that a save may wait for an answer; one that needs a quorum may wait for its timeout twice.
const LIMIT: Duration = Duration::from_secs(20);

/// The save failed with this code, with a hint, within the limit, and its error names these values.
#[track_caller]
fn failed(run: Run, code: Code, named: &[&str]) {
    let run = run.fails(code).with_hint();
    for value in named {
        assert!(run.stderr.contains(value), "{value:?} is not named: {run:#?}");
    }
    assert!(run.wall < LIMIT, "{run:#?}");
}

#[track_caller]
fn assert_empty(root: &K3sRoot) {
    assert_eq!(root.snapshot_names(), [""; 0]);
}

#[test]
fn each_failed_connection_to_etcd_has_its_own_code() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    let other = K3sRoot::new(&Layout::default(), Ports::free());
    let theirs = |file: &str| other.certs().file(file).display().to_string();
    let save = || Tool::new("save").on(&etcd.root);

    let (cert, key) = (theirs("client.crt"), theirs("client.key"));
    let port = free_port();
    let closed = format!("https://127.0.0.1:{port}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let no_answer = format!("https://{}", silent.local_addr().unwrap());
    let plain = etcd.endpoint().replace("https", "http");
    let rows: [(&[&str], Code, &str); 9] = [
        (&["--etcd-cacert", &theirs("server-ca.crt")], Code::EtcdCertificateUntrusted, "server-ca.crt"),
        (&["--etcd-cert", &cert, "--etcd-key", &key], Code::EtcdClientCertificateRefused, "client.crt"),
        (&["--etcd-key", &key], Code::CertificateUnusable, "--etcd-key"),
        (&["--etcd-key", "/dev/null"], Code::CertificateUnusable, "/dev/null"),
        (&["--etcd-cert", "/nowhere/client.crt"], Code::CertificateUnusable, "/nowhere/client.crt"),
        (&["--etcd-endpoints", &closed], Code::EtcdUnreachable, &closed),
        (&["--etcd-endpoints", &no_answer], Code::EtcdNoAnswer, &no_answer),
        (&["--etcd-endpoints", &plain], Code::EtcdNoTls, "https://"),
        (&["--etcd-endpoints", ""], Code::InvalidArgument, "--etcd-endpoints"),
    ];
    for (args, code, named) in rows {
        let run = save().args(args).report().fails(code);
        assert!(run.stderr.contains(named) && run.wall < LIMIT, "{run:#?}");
    }
    assert_empty(&etcd.root);
}

#[test]
fn closed_port_does_not_matter_if_another_endpoint_answers() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    let urls = format!("https://127.0.0.1:{},{}", free_port(), etcd.endpoint());
    Tool::new("save").on(&etcd.root).args(&["--etcd-endpoints", &urls]).run().expect(0);
}

#[test]
fn machine_without_embedded_etcd_is_recognized() {
    let dir = tempfile::tempdir().unwrap();
    let path = |below: &str| dir.path().join(below);
    let save =
        |data: &str| Tool::new("save").arg("--data-dir").arg(path(data)).arg("--run-dir").arg(path("run"));
    fs::create_dir_all(path("empty")).unwrap();
    fs::create_dir_all(path("agent/agent")).unwrap();
    for data in ["nowhere", "empty", "agent"] {
        let run = save(data).report().fails(Code::NoEmbeddedEtcd).with_hint();
        assert!(run.stderr.contains(path(data).to_str().unwrap()), "{run:#?}");
    }
    fs::write(path("config.yaml"), "datastore-endpoint: postgres://admin:geheim@db/k3s\n").unwrap();
    let run = save("empty").arg("--config").arg(path("config.yaml")).report();
    let run = run.fails(Code::NoEmbeddedEtcd).with_hint();
    assert!(run.stderr.contains("postgres") && !run.stderr.contains("geheim"), "{run:?}");
    assert!(!run.stdout.contains("geheim"), "{run:?}");
}

#[test]
fn stream_that_stalls_or_breaks_leaves_nothing() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    etcd.fill(2_000, 8_000);
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(2_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let args = ["--etcd-endpoints", &url, "--stall-timeout", "2s", "--report", "json"];
    let save = || Tool::new("save").on(&etcd.root).args(&args);

    let started = save().start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > 3_000_000);
    proxy.set(Mode::Stall);
    failed(started.finish(), Code::EtcdStalled, &["--stall-timeout"]);

    proxy.set(Mode::Rate(2_000_000));
    let before = proxy.from_server();
    let started = save().start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > before + 3_000_000);
    proxy.cut_now();
    failed(started.finish(), Code::EtcdStreamBroken, &[]);

    let before = proxy.from_server();
    let started = save().start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > before + 3_000_000);
    etcd.kill();
    failed(started.finish(), Code::EtcdStreamBroken, &[]);
    assert_empty(&etcd.root);
}

#[test]
fn signals_at_any_moment_leave_no_incomplete_file() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.fill(1_000, 8_000);
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(2_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    for (i, signal) in ["TERM", "KILL", "TERM", "KILL", "INT", "KILL"].iter().enumerate() {
        // A shell that runs the tests in the background lets them ignore SIGINT.
        let save = Tool::new("save").on(&etcd.root).under(&["env", "--default-signal=INT"]);
        let started = save.args(&["--etcd-endpoints", &url]).start();
        std::thread::sleep(Duration::from_millis(150 * i as u64));
        started.process.signal(signal);
        let run = started.finish();
        assert_ne!(run.code, Some(0), "{run:?}");
    }
    assert_empty(&etcd.root);
    // The lock of a killed run ends with it.
    Tool::new("save").on(&etcd.root).run().expect(0);
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
}

/// Kills the save at each of its system calls that changes a file, one after the other.
#[test]
fn save_killed_at_every_system_call_leaves_only_complete_snapshots() {
    require!(require::etcd_programs());
    require!(require::program("strace"));
    let etcd = Etcd::start();
    etcd.fill(50, 1_000);
    for (call, times) in [("fsync", 4), ("linkat", 2), ("renameat", 1), ("openat", 40)] {
        for when in 1..=times {
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let run = Tool::new("save")
                .on(&etcd.root)
                .under(&[
                    "strace",
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("trace={call}"),
                    "-e",
                    &inject,
                ])
                .run();
            // A name without a manifest is possible, a name without its complete content is not.
            let listed = Tool::new("verify").on(&etcd.root).arg("--all").run();
            assert_eq!(listed.code, Some(0), "killed at {call} {when}: {run:#?} {listed:#?}");
            for name in etcd.root.snapshot_names() {
                assert!(
                    !name.starts_with('.') && !name.ends_with(".part"),
                    "killed at {call} {when} left {name}"
                );
            }
        }
    }
    assert!(!etcd.root.snapshot_names().is_empty(), "kills after the publication leave a snapshot");
}

#[test]
fn disk_error_at_any_call_is_reported_and_leaves_no_incomplete_file() {
    require!(require::etcd_programs());
    require!(require::program("strace"));
    let etcd = Etcd::start();
    etcd.fill(500, 3_000);
    for (call, error, when) in
        [("fsync", "EIO", "1+"), ("write", "ENOSPC", "20"), ("linkat", "EIO", "1+"), ("pread64", "EIO", "3+")]
    {
        let inject = format!("inject={call}:error={error}:when={when}");
        let run = Tool::new("save")
            .on(&etcd.root)
            // A copy writes in larger pieces, so that it has no twentieth one here.
            .args(&["--method", "stream"])
            .under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
            .report();
        run.fails_with(DISK);
        assert_empty(&etcd.root);
    }
}

#[test]
fn full_disk_is_reported_before_the_stream_and_during_it() {
    require!(require::etcd_programs());
    require!(require::root());
    let etcd = Etcd::start();
    etcd.fill(1_000, 8_000);
    let point = etcd.root.path().join("small");
    let disk = require!(Disk::mount(&point, 4 << 20));
    // etcd reports its size as of its last commit.
    eventually("etcd has committed", Duration::from_secs(10), || {
        etcd.client(async |c| c.status().await).db_size() > 8_000_000
    });
    let run = Tool::new("save").on(&etcd.root).arg("--dir").arg(disk.path()).report();
    failed(run, Code::NoSpace, &[point.to_str().unwrap()]);
    drop(disk);
    // Enough at the beginning, but filled by another program while the stream flows.
    let disk = require!(Disk::mount(&point, 48 << 20));
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(4_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let started = Tool::new("save")
        .on(&etcd.root)
        .arg("--dir")
        .arg(disk.path())
        .args(&["--etcd-endpoints", &url, "--report", "json"])
        .start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > 1_000_000);
    let _ = fs::write(disk.path().join("theirs"), vec![0; 47 << 20]);
    started.finish().fails_with(DISK);
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["theirs"]);
    disk.remount_read_only();
    Tool::new("save").on(&etcd.root).arg("--dir").arg(disk.path()).report().fails(Code::ReadOnly);
}

#[test]
fn second_save_at_the_same_time_is_busy() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.fill(500, 8_000);
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(1_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let first = Tool::new("save").on(&etcd.root).args(&["--etcd-endpoints", &url]).start();
    eventually("the first save runs", Duration::from_secs(10), || proxy.from_server() > 100_000);
    failed(Tool::new("save").on(&etcd.root).report(), Code::Locked, &[]);
    // A list needs no lock.
    Tool::new("list").on(&etcd.root).run().expect(0);
    first.finish().expect(0);
}

#[test]
fn snapshot_is_current_after_deletion_and_compaction() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.put("/registry/a", "1");
    etcd.del("/registry/a");
    etcd.compact(etcd.revision());
    let row = Tool::new("save").on(&etcd.root).report().expect(0).row();
    assert_eq!(row["revision"], etcd.revision());
    assert_eq!(row["freshness"]["state"], "current");
}

#[test]
fn nospace_alarm_causes_a_warning() {
    require!(require::etcd_programs());
    let etcd = Etcd::start_with(Layout::default().etcd_arg("quota-backend-bytes", "2000000"));
    etcd.fill_until_refused();
    let run = Tool::new("save").on(&etcd.root).report().expect(0);
    assert!(run.warns(WarningCode::AlarmRaised), "{run:?}");
    let row = run.row();
    assert_eq!((&row["state"], &row["alarms"]), (&"verified".into(), &serde_json::json!(["NOSPACE"])));
    assert_eq!(row["notes"].as_array().map(Vec::len), Some(1), "{run:?}");
}

#[test]
fn snapshot_with_the_corrupt_alarm_is_never_verified() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.put("/registry/a", "1");
    etcd.raise_corrupt();
    let run = Tool::new("save").on(&etcd.root).report().fails(Code::CorruptAlarm).with_hint();
    let row = run.row();
    assert_eq!((&row["state"], &row["alarms"]), (&"unverified".into(), &serde_json::json!(["CORRUPT"])));
    assert_eq!(etcd.root.snapshot_names().len(), 1);
    // Not by a verify that finds no error, nor in the list.
    let run = Tool::new("verify").on(&etcd.root).arg("--all").report().expect(0);
    assert_eq!(run.row()["state"], "unverified");
    let run =
        Tool::new("list").on(&etcd.root).args(&["--max-age", "1h"]).report().fails(Code::SnapshotTooOld);
    assert_eq!(run.row()["state"], "unverified");
    // Not if the manifest is lost either: the alarm is in the snapshot itself.
    fs::remove_dir_all(etcd.root.state_dir()).unwrap();
    let run = Tool::new("verify").on(&etcd.root).arg("--all").report().expect(0);
    assert_eq!(run.row()["state"], "unverified");
}

#[test]
fn learner_cannot_give_a_snapshot() {
    require!(require::etcd_programs());
    let mut cluster = Cluster::start();
    cluster.member(0).bootstrap("secret");
    let learner = cluster.add_learner();
    let root = &cluster.member(learner).root;
    failed(Tool::new("save").on(root).report(), Code::EtcdLearner, &[]);
    assert_empty(root);
}

#[test]
fn member_that_is_behind_or_without_a_quorum_gives_a_degraded_snapshot() {
    require!(require::etcd_programs());
    let mut cluster = Cluster::start();
    cluster.member(0).bootstrap("secret");
    cluster.member(0).fill(50, 1_000);

    // A member that is cut off: the others have new revisions, and answer.
    let cut = cluster.follower();
    let (a, b) = ((cut + 1) % 3, (cut + 2) % 3);
    cluster.partition(cut);
    cluster.member(a).fill(60, 1_000);
    let root = &cluster.member(cut).root;
    let run = Tool::new("save").on(root).report();
    let row = run.row();
    assert_eq!(row["state"], "verified");
    assert_ne!(row["freshness"]["state"], "current", "it has no leader");
    assert!(row["revision"].as_i64() < Some(cluster.member(a).revision()));
    failed(run, Code::SnapshotNotCurrent, &[]);
    // It is a complete snapshot, but it does not count as a recent one.
    Tool::new("verify").on(root).arg("--all").report().expect(0);
    let list = || Tool::new("list").on(root).args(&["--max-age", "1h"]).report();
    list().fails(Code::SnapshotTooOld).with_hint();

    // No quorum anywhere: what this member has is saved, and nothing can be compared.
    cluster.kill(a);
    cluster.kill(b);
    let root = &cluster.member(cut).root;
    let run = Tool::new("save").on(root).args(&["--name", "alone"]).report();
    let row = run.row();
    assert_eq!((&row["state"], &row["freshness"]["state"]), (&"verified".into(), &"unknown".into()));
    failed(run, Code::SnapshotNotCurrent, &[]);
    Tool::new("list").on(root).args(&["--max-age", "1h"]).report().fails(Code::SnapshotTooOld);
}

/// etcd gives no snapshot of a learner, and its file may lack what the cluster has acknowledged.
#[test]
fn a_learner_gives_no_snapshot_whatever_the_method() {
    require!(require::etcd_programs());
    let mut cluster = Cluster::start();
    let learner = cluster.add_learner();
    let member = cluster.member(learner);
    for method in ["auto", "copy", "stream"] {
        let run = Tool::new("save").on(&member.root).args(&["--method", method]).report();
        failed(run, Code::EtcdLearner, &[]);
        assert_empty(&member.root);
    }
}
