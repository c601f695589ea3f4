// SPDX-License-Identifier: Apache-2.0
//! A machine of files alone whose K3s has SQLite: a real database in WAL mode, which K3s has open as long as it runs, and which
//! has a write-ahead log after a stop, as a real one has.

use std::fs;
use std::path::Path;

use anyhow::Result;
use k3s_snapshot::datastore::Datastore;
use k3s_snapshot::host::file_tree;
use k3s_snapshot::inspect;
use k3s_snapshot::model::restore::{Identity, Operation};
use k3s_snapshot::source::MemberStatus;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use crate::restore_world::{NOW, SNAPSHOT, World};
use crate::support::kine::{Kine, UID};

pub(crate) const NAME: &str = "manual-server-1-1795339215.sqlite";
/// Where the bootstrap data of the token `labtoken` is.
const BOOTSTRAP: &str = "/bootstrap/ba1d715a4f9b";
/// A key that was changed, and one that was created, after the snapshot.
const CHANGED: &str = "/registry/configmaps/default/changed";
const LATER: &str = "/registry/configmaps/default/later";

/// A world with a snapshot, and a live database that has changed since.
pub(crate) fn world() -> World {
    let mut world = World::new(Operation::Restore);
    world.datastore = Datastore::Sqlite;
    world.target = Some(NAME.to_owned());
    world.cluster_id = Some(UID.to_owned());
    fs::remove_dir_all(world.db().join("etcd")).unwrap();
    fs::remove_dir_all(world.db().join("etcd-old-5")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("state.db");
    let kine = Kine::create(&db, 4096);
    let sealed = inspect::read_content(&SNAPSHOT, SNAPSHOT.len() as u64 - inspect::TRAILER, None);
    kine.put(BOOTSTRAP, &sealed.unwrap().unwrap().bootstrap[0].value);
    for n in 0..40 {
        kine.put(&format!("/registry/configmaps/default/{n}"), &vec![n; 3000]);
    }
    kine.put(CHANGED, b"one");
    let mut bytes = kine.into_bytes(&db);
    let sum = Sha256::digest(&bytes);
    bytes.extend(sum);
    fs::write(world.db().join("snapshots").join(NAME), bytes).unwrap();
    let kine = Kine::open(&db);
    kine.0.pragma_update(None, "journal_mode", "wal").unwrap();
    kine.put(CHANGED, b"two");
    kine.put(LATER, b"yes");
    for name in ["state.db", "state.db-wal"] {
        fs::copy(dir.path().join(name), world.db().join(name)).unwrap();
    }
    assert!(fs::metadata(world.db().join("state.db-wal")).unwrap().len() > 0);
    world.kine.replace(Some(connect(&world)));
    world
}

/// As K3s has its database open: what it has written is in the log after it has ended.
fn connect(world: &World) -> Kine {
    let kine = Kine::open(&world.db().join("state.db"));
    kine.0.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    kine.0.pragma_update(None, "journal_mode", "wal").unwrap();
    kine.put("k3s/apiaddresses", b"127.0.0.1:6443");
    kine
}

/// K3s starts.
pub(crate) fn start(world: &World) {
    world.kine.replace(Some(connect(world)));
}

fn read(path: &Path) -> Option<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
}

fn has_later(path: &Path) -> Option<bool> {
    let sql = "SELECT count(*) FROM kine WHERE name = ?";
    read(path)?.query_row(sql, [LATER], |row| row.get::<_, i64>(0)).ok().map(|n| n == 1)
}

/// Whether the database is that of the snapshot.
pub(crate) fn is_restored(world: &World) -> bool {
    has_later(&world.db().join("state.db")) == Some(false)
}

fn is_intact(path: &Path) -> bool {
    let check = |db: Connection| db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    read(path).is_some_and(|db| check(db).is_ok_and(|text| text == "ok"))
}

/// The previous database is complete with what is only in its log, and the new one has no log of it.
#[track_caller]
pub(crate) fn assert_previous_is_kept(world: &World, what: &str) {
    if world.has_datastore {
        let old = world.db().join(format!("sqlite-old-{NOW}")).join("state.db");
        assert_eq!(has_later(&old), Some(true), "{what}: the previous database");
        assert!(is_intact(&old), "{what}: the previous database");
    }
    assert!(is_intact(&world.db().join("state.db")), "{what}: the new database");
    let ca = fs::read_to_string(world.data().join("server/tls/server-ca.crt")).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE"), "{what}: the certificates of the snapshot: {ca}");
}

/// The previous database is live, with what was only in its log.
#[track_caller]
pub(crate) fn assert_same(world: &World, before: Option<Identity>, what: &str) {
    let path = world.db().join("state.db");
    let now = file_tree::inode_id(&path).unwrap();
    assert_eq!(now.map(|n| n.ino), before.map(|b| b.ino), "{what}: another database");
    if world.has_datastore {
        assert_eq!(has_later(&path), Some(true), "{what}: the database lacks what was in its log");
        assert!(is_intact(&path), "{what}");
    }
    for name in fs::read_dir(world.db()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()) {
        assert!(!name.starts_with("sqlite-old-"), "{what}: {name} is left");
    }
}

/// What is asked of a database, whether K3s runs or not.
pub(crate) fn look(world: &World) -> Result<MemberStatus> {
    anyhow::ensure!(world.answers || world.is_restored(), "it cannot be read");
    let path = world.db().join("state.db");
    let newest = |db: Connection| db.query_row("SELECT max(id) FROM kine", [], |row| row.get(0)).ok();
    let revision = read(&path).and_then(newest);
    let revision = revision.ok_or_else(|| anyhow::anyhow!("there is no database"))?;
    Ok(MemberStatus {
        revision,
        member_id: 0,
        learner: false,
        members: vec![],
        db_size: 0,
        leader_id: 1,
        alarms: vec![],
        version: String::new(),
    })
}
