// SPDX-License-Identifier: Apache-2.0
//! save when things go wrong. After every row here the snapshot folder holds whole snapshots or nothing.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use crate::support::cli::{Run, Tool};
use crate::support::cluster::Cluster;
use crate::support::disk::Disk;
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::ports::{Ports, free_port};
use crate::support::proxy::{Mode, Proxy};
use crate::support::require::{self, require};

/// No answer may be waited for longer than this; one that needs a quorum may take its time-out twice.
const SECONDS: Duration = Duration::from_secs(20);

#[track_caller]
fn says(run: &Run, words: &[&str]) {
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is not said: {run:#?}");
    }
    assert!(run.stderr.contains("error: ") && run.stderr.contains("hint: "), "{run:#?}");
    assert!(run.wall < SECONDS, "{run:#?}");
}

#[track_caller]
fn leaves_nothing(root: &K3sRoot) {
    assert_eq!(root.snapshot_names(), [""; 0]);
}

#[test]
fn each_way_not_to_be_let_in_has_its_own_sentence() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    let other = K3sRoot::new(&Layout::default(), Ports::free());
    let theirs = |file: &str| other.certs().file(file).display().to_string();
    let save = || Tool::new("save").on(&etcd.root);

    let run = save().args(&["--etcd-cacert", &theirs("server-ca.crt")]).run().expect(78);
    says(&run, &["did not sign", "server-ca.crt"]);
    let run = save()
        .args(&["--etcd-cert", &theirs("client.crt"), "--etcd-key", &theirs("client.key")])
        .run()
        .expect(78);
    says(&run, &["refused the client certificate", "client.crt"]);
    let run = save().args(&["--etcd-key", &theirs("client.key")]).run().expect(78);
    says(&run, &["cannot be used", "--etcd-key"]);
    let run = save().args(&["--etcd-key", "/dev/null"]).run().expect(78);
    assert!(run.stderr.contains("not a PEM file"), "{run:?}");
    let run = save().args(&["--etcd-cert", "/nowhere/client.crt"]).run().expect(78);
    says(&run, &["/nowhere/client.crt"]);

    let port = free_port();
    let run = save().args(&["--etcd-endpoints", &format!("https://127.0.0.1:{port}")]).run().expect(1);
    says(&run, &["nothing listens", &port.to_string()]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let run = save().args(&["--etcd-endpoints", &url]).run().expect(1);
    says(&run, &["does not answer", &url]);
    let run = save().args(&["--etcd-endpoints", &etcd.endpoint().replace("https", "http")]).run().expect(78);
    says(&run, &["https://"]);
    leaves_nothing(&etcd.root);
}

#[test]
fn a_port_that_fails_is_no_matter_while_another_answers() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    let urls = format!("https://127.0.0.1:{},{}", free_port(), etcd.endpoint());
    Tool::new("save").on(&etcd.root).args(&["--etcd-endpoints", &urls]).run().expect(0);
}

#[test]
fn a_folder_that_is_not_k3s_s_with_etcd_is_named_for_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let save = |data: &str| {
        let data = dir.path().join(data);
        Tool::new("save")
            .arg("--data-dir")
            .arg(data)
            .arg("--run-dir")
            .arg(dir.path().join("run"))
            .run()
            .expect(78)
    };
    says(&save("nowhere"), &["no K3s data-dir", "nowhere", "--data-dir"]);
    fs::create_dir_all(dir.path().join("empty")).unwrap();
    says(&save("empty"), &["not the data-dir of a K3s server"]);
    fs::create_dir_all(dir.path().join("agent/agent")).unwrap();
    says(&save("agent"), &["agent"]);
    fs::create_dir_all(dir.path().join("sqlite/server/db")).unwrap();
    fs::write(dir.path().join("sqlite/server/db/state.db"), b"SQLite format 3\0").unwrap();
    says(&save("sqlite"), &["SQLite", "--cluster-init"]);
    let config = dir.path().join("config.yaml");
    fs::write(&config, "datastore-endpoint: postgres://admin:geheim@db/k3s\n").unwrap();
    let run = Tool::new("save")
        .arg("--data-dir")
        .arg(dir.path().join("empty"))
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .arg("--config")
        .arg(&config)
        .run()
        .expect(78);
    says(&run, &["external datastore (postgres)"]);
    assert!(!run.stderr.contains("geheim"), "{run:?}");
}

#[test]
fn etcd_gone_or_silent_in_mid_stream_leaves_nothing() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    etcd.fill(2_000, 8_000);
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(2_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let save = || Tool::new("save").on(&etcd.root).args(&["--etcd-endpoints", &url, "--stall-timeout", "2s"]);

    let started = save().start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > 3_000_000);
    proxy.set(Mode::Stall);
    let run = started.finish().expect(1);
    says(&run, &["sent nothing for 2 s", "--stall-timeout"]);

    proxy.set(Mode::Rate(2_000_000));
    let before = proxy.from_server();
    let started = save().start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > before + 3_000_000);
    proxy.cut_now();
    says(&started.finish().expect(1), &["broke off", "nothing was kept"]);

    let before = proxy.from_server();
    let started = save().start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > before + 3_000_000);
    etcd.kill();
    says(&started.finish().expect(1), &["broke off"]);
    leaves_nothing(&etcd.root);
}

#[test]
fn sigterm_and_sigkill_at_any_moment_leave_nothing_half() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.fill(1_000, 8_000);
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(2_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    for (i, signal) in ["TERM", "KILL", "TERM", "KILL", "INT", "KILL"].iter().enumerate() {
        // Who runs the tests in the background of a shell passes on that SIGINT is to be ignored.
        let save = Tool::new("save").on(&etcd.root).under(&["env", "--default-signal=INT"]);
        let started = save.args(&["--etcd-endpoints", &url]).start();
        std::thread::sleep(Duration::from_millis(150 * i as u64));
        started.process.signal(signal);
        let run = started.finish();
        assert_ne!(run.code, Some(0), "{run:?}");
    }
    leaves_nothing(&etcd.root);
    // The lock of a killed run is gone with it.
    Tool::new("save").on(&etcd.root).run().expect(0);
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
}

/// Kills the save at each of its system calls that changes a file, one after the other.
#[test]
fn killed_at_every_step_of_publishing_it_leaves_whole_snapshots_only() {
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
            // A name without a manifest is possible, a name without its whole content is not.
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
    assert!(!etcd.root.snapshot_names().is_empty(), "the kills after the name was given leave a snapshot");
}

#[test]
fn an_error_of_the_disk_at_any_call_is_told_and_leaves_nothing_half() {
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
            .under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
            .run();
        assert!(run.code.is_some_and(|c| c != 0), "{call}: {run:#?}");
        assert!(run.stderr.contains("error: "), "{call}: {run:#?}");
        leaves_nothing(&etcd.root);
    }
}

#[test]
fn a_full_disk_is_told_before_the_stream_and_during_it() {
    require!(require::etcd_programs());
    require!(require::root());
    let etcd = Etcd::start();
    etcd.fill(1_000, 8_000);
    let point = etcd.root.path().join("small");
    let disk = require!(Disk::mount(&point, 4 << 20));
    // etcd tells its size as of its last commit.
    eventually("etcd has committed", Duration::from_secs(10), || {
        etcd.client(async |c| c.status().await).db_size() > 8_000_000
    });
    let run = Tool::new("save").on(&etcd.root).arg("--dir").arg(disk.path()).run().expect(1);
    says(&run, &["no room in", "are free"]);
    drop(disk);
    // Enough for the first look, filled by somebody else while the stream flows.
    let disk = require!(Disk::mount(&point, 48 << 20));
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(4_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let started = Tool::new("save")
        .on(&etcd.root)
        .arg("--dir")
        .arg(disk.path())
        .args(&["--etcd-endpoints", &url])
        .start();
    eventually("the stream flows", Duration::from_secs(10), || proxy.from_server() > 1_000_000);
    let _ = fs::write(disk.path().join("theirs"), vec![0; 47 << 20]);
    let run = started.finish().expect(1);
    says(&run, &["No space left"]);
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["theirs"]);
    disk.remount_read_only();
    let run = Tool::new("save").on(&etcd.root).arg("--dir").arg(disk.path()).run();
    assert!(run.code == Some(1) && run.stderr.contains("Read-only"), "{run:?}");
}

#[test]
fn of_two_saves_at_once_the_second_is_told_busy() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.fill(500, 8_000);
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Rate(1_000_000));
    let url = format!("https://127.0.0.1:{}", proxy.port());
    let first = Tool::new("save").on(&etcd.root).args(&["--etcd-endpoints", &url]).start();
    eventually("the first is at work", Duration::from_secs(10), || proxy.from_server() > 100_000);
    let second = Tool::new("save").on(&etcd.root).run().expect(75);
    says(&second, &["another run is at work"]);
    // Looking does not wait for the lock.
    Tool::new("list").on(&etcd.root).run().expect(0);
    first.finish().expect(0);
}

#[test]
fn what_a_delete_and_a_compaction_removed_does_not_make_a_snapshot_look_old() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.put("/registry/a", "1");
    etcd.del("/registry/a");
    etcd.compact(etcd.revision());
    let run = Tool::new("save").on(&etcd.root).args(&["--report", "json"]).run().expect(0);
    let row = &run.json()["snapshots"][0];
    assert_eq!(row["revision"], etcd.revision());
    assert_eq!(row["recency"]["state"], "current");
}

#[test]
fn alarms_are_told_and_corrupt_is_never_proven() {
    require!(require::etcd_programs());
    let etcd = Etcd::start_with(Layout::default().etcd_arg("quota-backend-bytes", "2000000"));
    etcd.fill_until_refused();
    let run = Tool::new("save").on(&etcd.root).args(&["--report", "json"]).run().expect(0);
    assert!(run.stderr.contains("NOSPACE"), "{run:?}");
    let report = run.json();
    assert_eq!(report["snapshots"][0]["state"], "proven");
    assert_eq!(report["snapshots"][0]["alarms"], serde_json::json!(["NOSPACE"]));
    assert!(report["warnings"].to_string().contains("NOSPACE"));

    let etcd = Etcd::start();
    etcd.put("/registry/a", "1");
    etcd.raise_corrupt();
    let run = Tool::new("save").on(&etcd.root).args(&["--report", "json"]).run().expect(65);
    says(&run, &["CORRUPT", "kept"]);
    assert_eq!(run.json()["snapshots"][0]["state"], "unchecked");
    assert_eq!(etcd.root.snapshot_names().len(), 1);
    // Neither by the list, nor by a verify that finds every byte in order.
    let run = Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
    assert!(run.stdout.contains("unchecked") && run.stdout.contains("CORRUPT"), "{run:?}");
    let run = Tool::new("list").on(&etcd.root).args(&["--max-age", "1h"]).run().expect(1);
    assert!(run.stdout.contains("unchecked"), "{run:?}");
    // Nor where the manifest is lost: the snapshot itself says it.
    fs::remove_dir_all(etcd.root.state_dir()).unwrap();
    let run = Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
    assert!(run.stdout.contains("unchecked"), "{run:?}");
}

#[test]
fn a_cluster_in_pieces() {
    require!(require::etcd_programs());
    let mut cluster = Cluster::start();
    cluster.member(0).bootstrap("secret");
    cluster.member(0).fill(50, 1_000);

    // A learner cannot give a snapshot.
    let learner = cluster.add_learner();
    let root = &cluster.member(learner).root;
    let run = Tool::new("save").on(root).run().expect(77);
    says(&run, &["learner", "promoted"]);
    leaves_nothing(root);
    cluster.kill(learner);

    // A member that is cut off: the others have moved on, and can be asked.
    let cut = cluster.follower();
    let (a, b) = ((cut + 1) % 3, (cut + 2) % 3);
    cluster.partition(cut);
    cluster.member(a).fill(60, 1_000);
    let root = &cluster.member(cut).root;
    let run = Tool::new("save").on(root).args(&["--report", "json"]).run().expect(3);
    says(&run, &["not current"]);
    let row = run.json()["snapshots"][0].clone();
    assert_eq!(row["recency"]["state"], "behind");
    assert_eq!(row["recency"]["asked"], cluster.member(a).revision());
    assert!(row["revision"].as_i64() < row["recency"]["asked"].as_i64());
    // It is a whole snapshot, but not one that makes a backup fresh.
    Tool::new("verify").on(root).arg("--all").run().expect(0);
    let run = Tool::new("list").on(root).args(&["--max-age", "1h"]).run().expect(1);
    assert!(run.stderr.contains("no snapshot that is proven and current"), "{run:?}");

    // No quorum anywhere: what is there is saved, and nobody can tell whether it is all.
    cluster.kill(a);
    cluster.kill(b);
    let root = &cluster.member(cut).root;
    let run = Tool::new("save").on(root).args(&["--name", "alone", "--report", "json"]).run().expect(0);
    assert!(run.stderr.contains("nobody could tell") && run.stderr.contains("leader"), "{run:?}");
    assert!(run.wall < SECONDS, "{run:?}");
    assert_eq!(run.json()["snapshots"][0]["recency"]["state"], "unproven");
    // It may be weeks old, so it makes no backup fresh either.
    Tool::new("list").on(root).args(&["--max-age", "1h"]).run().expect(1);
}
