// SPDX-License-Identifier: Apache-2.0
//! The commands on a server with SQLite: what a save has while K3s writes, and what becomes of the snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use k3s_snapshot::error::{Code, Kind};
use k3s_snapshot::model::warning::WarningCode;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::s3::tool as with_bucket;
use crate::support::bucket::{self, Bucket};
use crate::support::cli::{Tool, text};
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::kine::{Kine, UID};
use crate::support::objects::data_object;
use crate::support::ports::Ports;

/// A server whose K3s has SQLite, and which has never run etcd.
struct Server {
    root: K3sRoot,
    kine: Kine,
}

impl Server {
    fn start() -> Server {
        let root = K3sRoot::new(&Layout { token: "labtoken".into(), ..Layout::default() }, Ports::free());
        let _ = fs::remove_dir_all(root.data_dir().join("server/db/etcd"));
        fs::create_dir_all(root.data_dir().join("server/db")).unwrap();
        let kine = Kine::create(&root.data_dir().join("server/db/state.db"), 4096);
        Server { root, kine }
    }

    fn db(&self) -> PathBuf {
        self.root.data_dir().join("server/db/state.db")
    }

    fn tool(&self, command: &str) -> Tool {
        let config = self.root.path().join("no-config.yaml");
        fs::write(&config, "").unwrap();
        Tool::new(command).on(&self.root).arg("--config").arg(config)
    }

    /// Saves, and returns the row of the report and the file.
    #[track_caller]
    fn save(&self, args: &[&str]) -> (Value, PathBuf) {
        let row = self.tool("save").args(args).report().expect(0).row();
        let path = self.root.snapshots().join(text(&row["name"]));
        (row, path)
    }
}

/// Opens a snapshot as any program with SQLite may, without a copy.
fn open(snapshot: &Path) -> Connection {
    Connection::open_with_flags(snapshot, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn is_intact(connection: &Connection) -> bool {
    let text: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    text == "ok"
}

/// SQLite ends the log where a checksum does not match, and says nothing.
#[test]
fn damage_of_the_log_is_a_warning_and_an_end_that_a_crash_cut_is_none() {
    const FRAME: usize = 24 + 4096;
    let server = Server::start();
    server.kine.put("/registry/a", &[1; 9000]);
    // All is in the database, so the log begins again, in front of older frames.
    server.kine.0.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(())).unwrap();
    let before = server.kine.revision();
    for i in 0..20 {
        server.kine.put(&format!("/registry/configmaps/default/{i}"), &[i; 100]);
    }
    let log = server.db().with_file_name("state.db-wal");
    let (database, written) = (fs::read(server.db()).unwrap(), fs::read(&log).unwrap());
    let end = written.len() / FRAME * FRAME;
    let mut damaged = written.clone();
    damaged[32 + 2 * FRAME + 24 + 2000] ^= 1;
    let save = |server: &Server| {
        let report = server.tool("save").report().expect(0);
        (report.warns(WarningCode::WalCorrupt), report.row()["revision"].as_i64().unwrap())
    };
    assert_eq!(save(&server), (false, server.kine.revision()));
    fs::write(&log, &damaged).unwrap();
    assert_eq!(save(&server), (true, server.kine.revision()), "K3s runs, and has all of it");

    let mut stopped = Server::start();
    stopped.kine = Kine::open(Path::new(":memory:"));
    for (bytes, is_damaged, what) in [
        (&written[..], false, "as it was"),
        (&written[..end - 100], false, "the last frame is cut"),
        (&damaged[..], true, "a frame in the middle"),
    ] {
        for name in ["state.db-wal", "state.db-shm"] {
            let _ = fs::remove_file(stopped.db().with_file_name(name));
        }
        fs::write(stopped.db(), &database).unwrap();
        fs::write(stopped.db().with_file_name("state.db-wal"), bytes).unwrap();
        let (warned, revision) = save(&stopped);
        assert_eq!(warned, is_damaged, "{what}");
        assert!(
            revision >= before && (!is_damaged || revision < server.kine.revision()),
            "{what}: {revision}"
        );
    }
}

#[test]
fn a_save_has_the_facts_of_the_datastore_and_what_is_only_in_its_log() {
    let server = Server::start();
    for i in 0..50 {
        server.kine.put(&format!("/registry/configmaps/default/{i}"), &vec![i; 2000]);
    }
    server.kine.del("/registry/configmaps/default/7");
    let (row, path) = server.save(&["--node-name", "n1"]);
    assert!(text(&row["name"]).starts_with("manual-n1-") && text(&row["name"]).ends_with(".sqlite"));
    assert_eq!(
        (&row["state"], &row["method"], &row["freshness"]["state"], &row["token_matches"]),
        (&"verified".into(), &"backup".into(), &"current".into(), &true.into())
    );
    assert_eq!((&row["revision"], &row["cluster_id"]), (&server.kine.revision().into(), &UID.into()));
    let snapshot = open(&path);
    assert!(is_intact(&snapshot));
    assert_eq!(number(&snapshot, "SELECT max(id) FROM kine"), server.kine.revision());
    let files = fs::read_dir(server.root.snapshots()).unwrap().count();
    assert_eq!(files, 1, "no -wal or -shm next to the snapshot");
}

#[test]
fn status_shows_the_datastore_and_misses_no_etcd() {
    let server = Server::start();
    let (row, _) = server.save(&[]);
    server.kine.put("/registry/a", b"1");
    let run = server.tool("status").report().expect(0);
    let status = run.json()["status"].clone();
    assert_eq!(
        status["unknown"].as_array().unwrap().iter().filter(|u| u["fact"] != "jobs").count(),
        0,
        "{run:#?}"
    );
    assert_eq!((&status["etcd"], &status["k3s_schedule"]), (&Value::Null, &Value::Null));
    assert_eq!(status["sqlite"]["revision"], server.kine.revision());
    assert!(status["sqlite"]["db_bytes"].as_u64() >= Some(4096), "{run:#?}");
    assert_eq!(
        (&status["local"]["newest"]["name"], &status["local"]["newest"]["behind"]),
        (&row["name"], &1.into())
    );
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", server.db().display()));
    }
    fs::write(server.db(), "no database").unwrap();
    let run = server.tool("status").report().expect(0);
    let facts: Vec<String> =
        run.json()["status"]["unknown"].as_array().unwrap().iter().map(|u| text(&u["fact"])).collect();
    assert!(facts.contains(&"sqlite".to_owned()) && !facts.contains(&"etcd".to_owned()), "{run:#?}");
}

#[test]
fn every_save_under_a_writer_is_one_state() {
    let server = Server::start();
    let stop = AtomicBool::new(false);
    let (db, size) = (server.db(), 4_000);
    for i in 0..200 {
        server.kine.put(&format!("/registry/pods/default/{i}"), &vec![1; size]);
    }
    server.kine.put("/registry/sum", b"0");
    std::thread::scope(|scope| {
        // Each transaction inserts a row and the sum over all such rows.
        scope.spawn(|| {
            let (kine, mut sum, began) = (Kine::open(&db), 0, Instant::now());
            for n in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                kine.0.execute_batch("BEGIN IMMEDIATE").unwrap();
                sum += kine.put(&format!("/registry/w/{}", n % 300), &vec![2; size]);
                kine.put("/registry/sum", sum.to_string().as_bytes());
                kine.0.execute_batch("COMMIT").unwrap();
                let due = Duration::from_millis(4) * n;
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        });
        let mut revisions = Vec::new();
        for i in 0..12 {
            let (row, path) = server.save(&["--name", &format!("busy{i}")]);
            assert_eq!(row["freshness"]["state"], "current");
            let snapshot = open(&path);
            let sum = "SELECT cast(cast(value AS TEXT) AS INTEGER) FROM kine WHERE name = '/registry/sum' ORDER BY id DESC";
            let of_rows = "SELECT ifnull(sum(id), 0) FROM kine WHERE name LIKE '/registry/w/%'";
            assert_eq!(number(&snapshot, sum), number(&snapshot, of_rows), "save {i}");
            assert!(is_intact(&snapshot));
            revisions.push(row["revision"].as_i64().unwrap());
            fs::remove_file(path).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(revisions.first() < revisions.last(), "the writer wrote during the saves: {revisions:?}");
    });
}

#[test]
fn a_stopped_k3s_whose_log_was_never_merged_is_saved_whole() {
    let server = Server::start();
    server.kine.put("/registry/a", b"1");
    // What is left if K3s is killed.
    let left = server.root.path().join("left");
    fs::create_dir(&left).unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("state.db{suffix}");
        fs::copy(server.db().with_file_name(&name), left.join(&name)).unwrap();
    }
    let revision = server.kine.revision();
    let Server { root, kine } = server;
    drop(kine);
    let db = root.data_dir().join("server/db");
    for suffix in ["", "-wal"] {
        let name = format!("state.db{suffix}");
        fs::copy(left.join(&name), db.join(&name)).unwrap();
    }
    let before = fs::read(db.join("state.db")).unwrap();
    let row = Tool::new("save").on(&root).report().expect(0).row();
    assert_eq!((&row["revision"], &row["state"]), (&revision.into(), &"verified".into()));
    assert!(fs::read(db.join("state.db")).unwrap() == before, "the database is not written to");
}

#[test]
fn a_compacted_history_is_verified_and_a_missing_revision_is_not() {
    let server = Server::start();
    for round in 0..4 {
        for i in 0..20 {
            server.kine.put(&format!("/registry/{i}"), &[round; 100]);
        }
    }
    for i in 0..5 {
        server.kine.del(&format!("/registry/{i}"));
    }
    server.kine.compact(server.kine.revision() - 10);
    for i in 3..8 {
        server.kine.put(&format!("/registry/{i}"), b"again");
    }
    let (row, _) = server.save(&[]);
    assert_eq!(row["state"], "verified");
    let newest = "SELECT prev_revision FROM kine WHERE name = '/registry/7' ORDER BY id DESC LIMIT 1";
    let lost = number(&server.kine.0, newest);
    server.kine.0.execute("DELETE FROM kine WHERE id = ?", [lost]).unwrap();
    let files = || fs::read_dir(server.root.snapshots()).unwrap().count();
    server.tool("save").report().fails(Code::DatabaseCorrupt).with_hint();
    assert_eq!(files(), 1, "nothing was kept");
}

#[test]
fn snapshots_of_sqlite_are_listed_verified_pruned_and_deleted_like_others() {
    let server = Server::start();
    server.kine.put("/registry/a", &[7; 20_000]);
    let (zip, zip_path) = server.save(&["--snapshot-compress"]);
    assert!(text(&zip["name"]).ends_with(".sqlite.zip"));
    let names: Vec<String> = (0..3).map(|_| text(&server.save(&[]).0["name"])).collect();
    let verified = server.tool("verify").arg("--all").report().expect(0);
    assert!(verified.states().values().all(|state| state == "verified"), "{verified:#?}");
    assert_eq!(server.tool("list").report().expect(0).rows().len(), 4);

    // A changed value is in no structure; the checksum finds it.
    let mut bytes = fs::read(server.root.snapshots().join(&names[0])).unwrap();
    let at = bytes.windows(64).position(|w| w == [7; 64]).unwrap();
    bytes[at + 9] = 8;
    fs::write(server.root.snapshots().join(&names[0]), bytes).unwrap();
    let run = server.tool("verify").arg(&names[0]).report().fails(Code::SnapshotCorrupt);
    assert!(run.findings().contains(&"trailer".to_owned()), "{run:#?}");

    server.tool("delete").args(&["--yes", &names[1]]).report().expect(0);
    server.tool("prune").args(&["--snapshot-retention", "1"]).report().expect(0);
    let left = server.tool("list").report().expect(0).states();
    assert!(left.contains_key(&names[2]) && !zip_path.exists(), "{left:?}");
}

#[test]
fn the_snapshots_of_a_lost_cluster_are_not_pruned_by_the_cluster_that_is_in_sqlite_now() {
    let server = Server::start();
    for _ in 0..3 {
        server.save(&[]);
    }
    // K3s was installed again, with the same names.
    server.kine.put("/registry/namespaces/kube-system", br#"{"metadata":{"uid":"another"}}"#);
    server.tool("prune").args(&["--snapshot-retention", "1"]).report().expect(0);
    assert_eq!(server.tool("list").report().expect(0).rows().len(), 3);
}

#[test]
fn a_name_that_tells_of_another_datastore_is_a_finding() {
    let server = Server::start();
    let (_, path) = server.save(&[]);
    let etcd = server.root.snapshots().join("manual-n-1795339215.sqlite");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/before-server-1-1795339215"), &etcd)
        .unwrap();
    let sqlite = server.root.snapshots().join("manual-n-1795339216");
    fs::copy(path, &sqlite).unwrap();
    for file in [etcd, sqlite] {
        let run = server.tool("verify").arg(&file).report().fails(Code::SnapshotCorrupt);
        assert_eq!(run.findings(), ["format"], "{file:?}");
    }
}

#[test]
fn a_snapshot_goes_to_the_bucket_and_comes_back() {
    let (server, bucket) = (Server::start(), Bucket::start());
    server.kine.put("/registry/a", &[7; 20_000]);
    let saved = with_bucket("save", &server.root, &bucket).arg("--s3").report().expect(0);
    let name = text(&saved.rows()[0]["name"]);
    assert!(bucket.keys().iter().any(|key| key.ends_with(&name)), "{:?}", bucket.keys());
    with_bucket("verify", &server.root, &bucket).args(&["--s3", &name]).report().expect(0);
    let local = server.root.snapshots().join(&name);
    let bytes = fs::read(&local).unwrap();
    fs::remove_file(&local).unwrap();
    with_bucket("fetch", &server.root, &bucket).arg(&name).arg(server.root.snapshots()).report().expect(0);
    assert!(fs::read(&local).unwrap() == bytes, "the same bytes come back");
}

/// The settings of the bucket in a Secret of the cluster (`etcd-s3-config-secret`), which kine stores.
#[test]
fn the_settings_of_the_bucket_are_read_from_the_secret_in_sqlite_also_while_k3s_does_not_run() {
    const KEY: &str = "/registry/secrets/kube-system/s3sec";
    let (server, bucket) = (Server::start(), Bucket::start());
    let endpoint = format!("127.0.0.1:{}", bucket.front.port());
    let values: [(&str, &[u8]); 6] = [
        ("etcd-s3-endpoint", endpoint.as_bytes()),
        ("etcd-s3-insecure", b"true"),
        ("etcd-s3-bucket", bucket::NAME.as_bytes()),
        ("etcd-s3-folder", b"of-sqlite"),
        ("etcd-s3-access-key", bucket::ACCESS.as_bytes()),
        ("etcd-s3-secret-key", bucket::SECRET.as_bytes()),
    ];
    let Server { root, kine } = server;
    let config = root.path().join("k3s.yaml");
    fs::write(&config, "etcd-s3: true\netcd-s3-config-secret: s3sec\n").unwrap();
    let run = |command: &str, args: &[&str]| {
        let tool = Tool::new(command).on(&root).arg("--debug").arg("--config").arg(&config);
        let run = tool.env("HOME", "/nonexistent").env("NO_PROXY", "*").args(args).report();
        assert!(!format!("{}{}", run.stdout, run.stderr).contains(bucket::SECRET), "{run:#?}");
        run
    };
    run("list", &[]).fails(Code::S3ConfigSecretMissing).with_hint();
    run("save", &[]).fails_as(Code::UploadFailed, Kind::Degraded);
    kine.put(KEY, b"k8s:enc:aescbc:v1:aescbckey:\x01\x02\x03");
    run("list", &[]).fails(Code::S3ConfigSecretEncrypted).with_hint();
    kine.put(KEY, &data_object("Secret", "s3sec", &values));
    let name = text(&run("save", &[]).expect(0).rows()[0]["name"]);
    assert!(bucket.keys().contains(&format!("of-sqlite/{name}")), "{:?}", bucket.keys());
    for command in ["check-s3", "list", "prune"] {
        run(command, &[]).expect(0);
    }
    // K3s has ended. What it wrote last is in the log of the database.
    drop(kine);
    let local = root.snapshots().join(&name);
    let bytes = fs::read(&local).unwrap();
    fs::remove_file(&local).unwrap();
    run("fetch", &[&name, root.snapshots().to_str().unwrap()]).expect(0);
    assert!(fs::read(&local).unwrap() == bytes);
    // A new machine has no Secret. The settings of k3s-snapshot are the way.
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(root.data_dir().join(format!("server/db/state.db{end}")));
    }
    fs::remove_file(&local).unwrap();
    let to = root.snapshots().display().to_string();
    run("fetch", &[&name, &to]).fails(Code::S3ConfigSecret).with_hint();
    let own = [
        "--s3-bucket",
        bucket::NAME,
        "--s3-endpoint",
        &endpoint,
        "--s3-insecure",
        "--s3-folder",
        "of-sqlite",
    ];
    let tool = Tool::new("fetch").on(&root).arg("--config").arg(&config).args(&own).args(&[&name, &to]);
    let tool = tool.env("AWS_ACCESS_KEY_ID", bucket::ACCESS).env("AWS_SECRET_ACCESS_KEY", bucket::SECRET);
    tool.env("HOME", "/nonexistent").env("NO_PROXY", "*").report().expect(0);
    assert!(fs::read(&local).unwrap() == bytes);
}

#[test]
fn k3s_may_be_started_on_a_copy_of_a_snapshot_with_its_checksum() {
    let server = Server::start();
    for i in 0..300 {
        server.kine.put(&format!("/registry/{i}"), &[3; 3000]);
    }
    let (row, path) = server.save(&[]);
    let copy = server.root.path().join("state.db");
    fs::copy(path, &copy).unwrap();
    let kine = Kine::open(&copy);
    assert!(is_intact(&kine.0));
    kine.0.pragma_update(None, "journal_mode", "wal").unwrap();
    for i in 0..400 {
        kine.put(&format!("/registry/{i}"), &[4; 5000]);
    }
    kine.0.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(is_intact(&kine.0));
    assert_eq!(kine.revision(), row["revision"].as_i64().unwrap() + 400);
}

#[test]
fn a_database_that_sqlite_cannot_read_is_corrupt() {
    let server = Server::start();
    let Server { root, kine } = server;
    drop(kine);
    let db = root.data_dir().join("server/db/state.db");
    for damage in [b"no database".repeat(1000), vec![]] {
        fs::write(&db, damage).unwrap();
        let run = Tool::new("save").on(&root).report();
        run.fails(Code::DatabaseCorrupt).with_hint();
    }
    assert_eq!(fs::read_dir(root.snapshots()).map_or(0, Iterator::count), 0);
}
