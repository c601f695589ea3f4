// SPDX-License-Identifier: Apache-2.0
//! Tests of the parts that all other tests use: etcd under K3s's certificates, a cluster that can
//! be broken, alarms, the proxy, the full disk. None of our own programs is run here.

use crate::support::cluster::Cluster;
use crate::support::ctl;
use crate::support::disk::Disk;
use crate::support::etcd::Etcd;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::kine::Kine;
use crate::support::objects::{CLUSTER_UID, bootstrap_key};
use crate::support::ports::Ports;
use crate::support::proxy::{Mode, Proxy};
use crate::support::require::{self, require};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

#[test]
fn the_data_directory_has_the_modes_that_k3s_gives() {
    require!(require::program("openssl"));
    let root = K3sRoot::new(&Layout { token: "a password".into(), ..Layout::default() }, Ports::free());
    let mode = |path: &str| {
        let path = root.data_dir().join(path);
        std::fs::metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode()
            & 0o7777
    };
    for (path, wanted) in [
        ("", 0o755),
        ("server", 0o700),
        ("server/token", 0o600),
        ("server/node-token", 0o600),
        ("server/cred", 0o700),
        ("server/tls", 0o700),
        ("server/tls/etcd", 0o755),
        ("server/tls/etcd/client.crt", 0o644),
        ("server/tls/etcd/client.key", 0o600),
        ("server/tls/etcd/server-ca.key", 0o600),
        ("server/db", 0o700),
        ("server/db/etcd", 0o700),
        ("server/db/etcd/config", 0o600),
        ("server/db/etcd/name", 0o600),
        ("server/db/snapshots", 0o700),
    ] {
        assert_eq!(mode(path), wanted, "mode of '{path}'");
    }
    assert_eq!(root.token_password(), "a password");
    assert!(!root.member_name().ends_with('\n'), "the name has no end of line");
    let client = std::fs::read_to_string(root.certs().file("client.crt")).unwrap();
    assert_eq!(client.matches("BEGIN CERTIFICATE").count(), 2, "the leaf and its authority");
    let key = std::fs::read_to_string(root.certs().file("client.key")).unwrap();
    assert!(key.starts_with("-----BEGIN EC PRIVATE KEY-----"), "the form of K3s's keys");
}

#[test]
fn etcd_serves_over_mutual_tls_and_etcdutl_reads_its_snapshot() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    etcd.put("greeting", "hello");
    etcd.put("--odd key", "");
    etcd.bootstrap("secret");
    etcd.fill(1_000, 1_000);
    assert_eq!(etcd.get("greeting").as_deref(), Some("hello"));
    assert!(etcd.get(&bootstrap_key("secret")).is_some_and(|v| v.contains(':')));
    assert!(bootstrap_key("secret") == "/bootstrap/2bb80d537b1d", "{}", bootstrap_key("secret"));
    let namespace = etcd.ctl(&["get", "--print-value-only", "/registry/namespaces/kube-system"]).stdout;
    assert!(namespace.starts_with(b"k8s\0"), "the form of a stored object");
    assert!(String::from_utf8_lossy(&namespace).contains(CLUSTER_UID));
    etcd.del("greeting");
    assert_eq!(etcd.get("greeting"), None);
    // The compaction takes even the tombstone, so the newest revision is in no key until the next write.
    etcd.compact(etcd.revision());
    etcd.put("last", "word");
    assert_eq!(etcd.errors(), "");

    let file = etcd.root.path().join("snapshot.db");
    etcd.snapshot_save(&file);
    let status = ctl::snapshot_status(&file).unwrap();
    assert_eq!(status["revision"], etcd.revision(), "{status}");
    ctl::snapshot_restore(&file, &etcd.root.path().join("restored")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let complaint = ctl::snapshot_restore(&file, &etcd.root.path().join("again")).unwrap_err();
    assert!(complaint.contains("hash"), "{complaint}");

    etcd.stop();
    etcd.restart();
    etcd.kill();
    etcd.restart();
    assert_eq!(etcd.get("--odd key").as_deref(), Some(""), "it is the same etcd on the same ports");
}

#[test]
fn etcd_refuses_a_client_without_its_certificate() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    let certs = etcd.root.certs();
    assert!(etcd.try_client(certs.mutual(), async |c| c.status().await).is_ok());
    let refusal = etcd.try_client(certs.anonymous(), async |c| c.status().await).unwrap_err();
    let stranger = K3sRoot::new(&Layout::default(), Ports::free());
    let distrust = etcd.try_client(stranger.certs().mutual(), async |c| c.status().await).unwrap_err();
    let log = etcd.log();
    assert!(log.contains("client didn't provide a certificate"), "{refusal}; {distrust}\n{log}");
}

#[test]
fn a_member_that_is_cut_off_keeps_its_old_data_and_catches_up_when_let_in() {
    require!(require::etcd_programs());
    let cluster = Cluster::start();
    cluster.member(0).put("key", "old");
    for i in 0..3 {
        assert_eq!(cluster.member(i).get("key").as_deref(), Some("old"), "member {i}");
    }
    let ids: std::collections::HashSet<u64> = (0..3).map(|i| cluster.member(i).member_id()).collect();
    assert_eq!(ids.len(), 3);

    let lagging = cluster.follower();
    cluster.partition(lagging);
    let well = cluster.leader();
    cluster.member(well).put("key", "new");
    assert_eq!(cluster.member(well).get("key").as_deref(), Some("new"));
    // Long enough for ten heartbeats to bring it there, were there a way.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(cluster.member(lagging).get_stale("key").as_deref(), Some("old"));
    assert!(cluster.member(lagging).revision() < cluster.member(well).revision());
    let leader = cluster.member(lagging).client(async |c| c.status().await).leader();
    assert_eq!(leader, 0, "it knows none");
    assert!(cluster.member(lagging).errors().contains("no leader"), "{}", cluster.member(lagging).errors());
    let file = cluster.member(lagging).root.path().join("stale.db");
    cluster.member(lagging).snapshot_save(&file);
    let stale = ctl::snapshot_status(&file).unwrap();
    assert!(stale["revision"].as_i64().unwrap() < cluster.member(well).revision(), "a snapshot of the past");

    cluster.heal(lagging);
    crate::support::eventually("the member catches up", Duration::from_secs(10), || {
        cluster.member(lagging).get_stale("key").as_deref() == Some("new")
    });
}

#[test]
fn a_cluster_lives_without_one_member_and_falls_silent_without_two() {
    require!(require::etcd_programs());
    let mut cluster = Cluster::start();
    cluster.stop(0);
    cluster.member(1).wait_healthy();
    cluster.member(1).put("key", "value");
    cluster.kill(2);
    assert!(!cluster.member(1).healthy(), "one of three is no majority");
    cluster.start_member(0);
    assert_eq!(cluster.member(0).get("key").as_deref(), Some("value"));
}

#[test]
fn a_learner_shows_as_learner() {
    require!(require::etcd_programs());
    let mut cluster = Cluster::start();
    cluster.member(0).put("key", "value");
    let learner = cluster.add_learner();
    assert_eq!(cluster.member(learner).status()["isLearner"], true);
    assert!(cluster.member(0).status()["isLearner"].is_null());
    let revision = cluster.member(0).revision();
    crate::support::eventually("the learner has learnt", Duration::from_secs(20), || {
        cluster.member(learner).revision() == revision
    });
}

#[test]
fn alarms_show_in_the_status() {
    require!(require::etcd_programs());
    let etcd = Etcd::start_with(Layout::default().etcd_arg("quota-backend-bytes", "4000000"));
    etcd.fill_until_refused();
    assert!(etcd.errors().contains("NOSPACE"), "{}", etcd.errors());

    let etcd = Etcd::start();
    etcd.raise_corrupt();
    assert!(etcd.errors().contains("CORRUPT"), "{}", etcd.errors());
}

#[test]
fn the_proxy_forwards_slows_stalls_and_cuts() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = listener.local_addr().unwrap().port();
    // Each connection: one byte in, 100,000 bytes out.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_ok() {
                    let _ = stream.write_all(&[byte[0]; 100_000]);
                }
            });
        }
    });
    let proxy = Proxy::to(server, Mode::Forward);
    let received = || {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let (start, mut all) = (Instant::now(), Vec::new());
        let _ = stream.write_all(b"x");
        let end = stream.read_to_end(&mut all);
        let silent = end.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        (all.len(), silent, start.elapsed())
    };
    assert_eq!(received().0, 100_000);
    proxy.set(Mode::Rate(200_000));
    let (bytes, _, time) = received();
    assert!(bytes == 100_000 && time >= Duration::from_millis(450), "{bytes} bytes in {time:?}");
    proxy.set(Mode::Stall);
    let (bytes, silent, _) = received();
    assert!(bytes == 0 && silent, "{bytes} bytes");
    proxy.set(Mode::StallAfter(50_000));
    let (bytes, silent, _) = received();
    assert!(bytes <= 50_000 && silent, "{bytes} bytes");
    proxy.set(Mode::CutAfter(50_000));
    let (bytes, silent, _) = received();
    assert!(bytes <= 50_000 && !silent, "{bytes} bytes");
    proxy.set(Mode::Cut);
    let (bytes, silent, time) = received();
    assert!(bytes == 0 && !silent && time < Duration::from_millis(500), "{bytes} bytes in {time:?}");
    assert_eq!(proxy.connections(), 6);
}

#[test]
fn etcd_is_reached_through_the_proxy() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.fill(100, 10_000);
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Forward);
    etcd.root.point_clients_at(proxy.port());
    let config = std::fs::read_to_string(etcd.root.etcd_config()).unwrap();
    let url = format!("listen-client-urls: https://127.0.0.1:{}\n", proxy.port());
    assert!(config.contains(&url), "{config}");
    let certs = etcd.root.certs();
    let client = |mode| {
        proxy.set(mode);
        let options =
            etcd_client::ConnectOptions::new().with_tls(certs.mutual()).with_timeout(Duration::from_secs(2));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = format!("https://127.0.0.1:{}", proxy.port());
            let mut client = etcd_client::Client::connect([url], Some(options)).await?;
            let mut stream = client.snapshot().await?;
            let mut bytes = 0;
            while let Some(part) = stream.message().await? {
                bytes += part.blob().len();
            }
            Ok::<usize, etcd_client::Error>(bytes)
        })
    };
    assert!(client(Mode::Forward).unwrap() > 1_000_000);
    assert!(client(Mode::CutAfter(200_000)).is_err(), "cut in the middle of a snapshot");
}

#[test]
fn a_small_disk_gets_full_and_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let disk = require!(Disk::mount(&dir.path().join("small"), 1 << 20));
    let path = disk.path().to_owned();
    let error = std::fs::write(path.join("file"), vec![0; 2 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    std::fs::remove_file(path.join("file")).unwrap();
    disk.remount_read_only();
    let error = std::fs::write(path.join("file"), "").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    drop(disk);
    std::fs::write(path.join("file"), "on the disk below").unwrap();
}

#[test]
fn database_of_kine_has_its_history_and_loses_what_a_compaction_removes() {
    let dir = tempfile::tempdir().unwrap();
    let kine = Kine::create(&dir.path().join("state.db"), 4096);
    let (first, second) = (kine.put("/registry/a", b"1"), kine.put("/registry/a", b"2"));
    let deleted = kine.del("/registry/a");
    let previous = |id: i64| {
        let sql = "SELECT prev_revision FROM kine WHERE id = ?";
        kine.0.query_row(sql, [id], |row| row.get::<_, i64>(0)).ok()
    };
    assert_eq!([first, second, deleted].map(previous), [Some(0), Some(first), Some(second)]);
    kine.compact(second);
    assert_eq!([first, second, deleted].map(previous), [None, Some(first), Some(second)]);
    assert_eq!(kine.revision(), deleted);
}
