// SPDX-License-Identifier: Apache-2.0
//! The restore of a snapshot of SQLite with every call that fails, stops or kills, and what is refused.

use std::fs;

use k3s_snapshot::datastore::Datastore;
use k3s_snapshot::error::{Code, code_of};
use k3s_snapshot::host::Active;
use k3s_snapshot::host::server_files::load_state;
use k3s_snapshot::model::restore::{Operation, Stage, StepId, StepState};
use k3s_snapshot::model::restore_report::{K3sState, Recovered};
use k3s_snapshot::model::warning::WarningCode;
use rusqlite::Connection;

use crate::restore_steps::has_warning;
use crate::restore_world::{self, Before, Fault, NOW, World};
use crate::sqlite_world::{NAME, is_restored, world};

fn number(world: &World, sql: &str) -> i64 {
    let db = Connection::open(world.db().join("state.db")).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_snapshot_of_sqlite_is_restored_with_raised_revisions_and_the_previous_files_are_kept_together() {
    let world = world();
    let live = number(&world, "SELECT max(id) FROM kine");
    let (result, report) = world.run();
    result.unwrap();
    world.assert_restored("sqlite");
    assert!(world.is_up());
    let restore = report.restore.unwrap();
    assert!(restore.steps.iter().all(|s| s.state == StepState::Done), "{:?}", restore.steps);
    assert_eq!((restore.datastore, restore.k3s_state), (Datastore::Sqlite, Some(K3sState::Ready)));
    let to = restore.revision_after.unwrap();
    assert!(to >= live + 1_000_000, "{live} {to}");
    let mark = number(&world, "SELECT prev_revision FROM kine WHERE name = 'compact_rev_key'");
    let first = number(&world, "SELECT min(id) FROM kine WHERE name = 'k3s/apiaddresses'");
    assert_eq!((mark, first), (to, to + 1), "K3s goes on behind the mark");
    assert!(restore.safety_snapshot.is_some() && restore.old_database.unwrap().contains("sqlite-old-"));
    let log = world.log.borrow();
    let at = |what| log.iter().position(|l| *l == what).unwrap_or_else(|| panic!("{what}: {log:?}"));
    assert!(at("rehearse") < at("save-live") && at("save-live") < at("stop") && at("stop") < at("start"));
    assert!(!log.contains(&"reset"), "K3s has no reset for SQLite");
}

#[test]
fn a_new_machine_gets_the_database_the_certificates_and_the_token() {
    let mut world = world();
    world.kine.take();
    world.has_datastore = false;
    world.active.set(Active::Inactive);
    world.target = Some(world.db().join("snapshots").join(NAME).display().to_string());
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(world.db().join(name));
    }
    for name in ["tls", "cred", "token"] {
        file_remove(&world, name);
    }
    let (result, report) = world.run();
    result.unwrap();
    assert!(is_restored(&world));
    world.assert_restored("a new machine");
    assert!(world.data().join("server/cred/passwd").exists());
    let to = report.restore.unwrap().revision_after.unwrap();
    assert!(to >= 1_000_000_000, "the lost revision is not known: {to}");
    assert!(!world.db().join(format!("sqlite-old-{NOW}")).exists(), "nothing was there before");
}

fn file_remove(world: &World, name: &str) {
    k3s_snapshot::host::file_tree::remove(&world.data().join("server").join(name)).unwrap();
}

#[test]
fn a_live_database_that_is_corrupt_is_kept_and_does_not_prevent_the_restore() {
    let mut world = world();
    world.kine.take();
    world.answers = false;
    let db = world.db().join("state.db");
    fs::write(&db, [7; 8192]).unwrap();
    fs::remove_file(world.db().join("state.db-wal")).unwrap();
    let (result, report) = world.run();
    result.unwrap();
    assert!(is_restored(&world));
    let old = world.db().join(format!("sqlite-old-{NOW}/state.db"));
    assert_eq!(fs::read(old).unwrap(), [7; 8192]);
    assert!(report.restore.unwrap().revision_after.unwrap() >= 1_000_000_000);
}

#[test]
fn the_latest_snapshot_of_sqlite_is_downloaded_from_the_bucket() {
    let mut world = world();
    let remote = world.root.path().join("bucket");
    fs::create_dir(&remote).unwrap();
    fs::rename(world.db().join("snapshots").join(NAME), remote.join(NAME)).unwrap();
    world.remote = Some(remote);
    world.target = Some("latest".to_owned());
    let (result, report) = world.run();
    result.unwrap();
    world.assert_restored("from the bucket");
    assert_eq!(report.snapshots[0].name, NAME, "and not the newer one of etcd");
}

#[test]
fn revisions_of_sqlite_stay_if_that_was_asked_for() {
    let mut world = world();
    world.tweak = |options| options.keep_revisions = true;
    let (result, report) = world.run();
    result.unwrap();
    let restore = report.restore.unwrap();
    assert_eq!(restore.revision_after, None);
    assert_eq!(restore.step_state(StepId::RaiseRevisions), Some(StepState::Skipped));
    assert_eq!(number(&world, "SELECT prev_revision FROM kine WHERE name = 'compact_rev_key'"), 0);
}

#[test]
fn a_live_database_that_passes_the_raised_revision_raises_it_again() {
    let world = world();
    let kine = world.kine.take().unwrap();
    let before = number(&world, "SELECT max(id) FROM kine");
    // Written by K3s between the preparation and its stop: as if there had been millions of changes.
    kine.0.execute("UPDATE sqlite_sequence SET seq = 0", []).unwrap();
    world.kine.replace(Some(kine));
    world.at_stop.set(|world| {
        let db = Connection::open(world.db().join("state.db")).unwrap();
        db.execute("INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value) VALUES (3000000, '/registry/x', 1, 0, 0, 0, 0, x'01')", []).unwrap();
    });
    let (result, report) = world.run();
    result.unwrap();
    let to = report.restore.unwrap().revision_after.unwrap();
    assert!(before < 1000 && to > 3_000_000, "{before} {to}");
    assert!(is_restored(&world));
}

#[test]
fn whatever_call_of_a_restore_of_sqlite_fails_k3s_ends_in_one_of_the_two_good_states() {
    let (mut same, mut restored) = (0, 0);
    for fault in [Fault::Fail, Fault::Stop] {
        for at in 1..100 {
            let world = world();
            world.fault.set(Some((at, fault)));
            let before = Before::of(&world);
            let (result, _) = world.run();
            let what = format!("{fault:?} at {at} {:?}", world.log.borrow().last());
            if world.calls.get() < at {
                result.unwrap();
                break;
            }
            if world.is_restored() {
                world.assert_restored(&what);
                restored += 1;
                assert!(result.is_ok_and(|()| true) || world.is_up(), "{what}");
            } else {
                let e = result.expect_err(&what);
                if code_of(&e) == Code::RollbackFailed {
                    let _ = world.recover();
                }
                before.assert_same(&world, &what);
                same += 1;
            }
            assert!(world.is_up(), "{what}: K3s is down");
        }
    }
    assert!(same > 15 && restored > 2, "{same} {restored}");
}

#[test]
fn whatever_call_of_a_restore_of_sqlite_is_the_last_one_a_recovery_ends_in_one_of_the_two_good_states() {
    let (mut same, mut restored) = (0, 0);
    for at_boot in [false, true] {
        for at in 1..100 {
            let world = world();
            world.fault.set(Some((at, Fault::Kill)));
            let before = Before::of(&world);
            if !world.run_to_kill() {
                break;
            }
            let what = format!("killed at {at} {:?}", world.log.borrow().last());
            world.fault.set(None);
            let (result, _) = match at_boot {
                true => {
                    world.kine.take();
                    world.active.set(Active::Inactive);
                    world.recover_files()
                }
                false => world.recover(),
            };
            if let Err(e) = result {
                assert_eq!(code_of(&e), Code::RolledBack, "{what}: {e:#}");
            }
            if world.is_restored() {
                world.assert_restored(&what);
                restored += 1;
            } else {
                before.assert_same(&world, &what);
                same += 1;
            }
        }
    }
    assert!(same > 15 && restored > 1, "{same} {restored}");
}

/// Every rename of the exchange and of its reversal is the last one before a power cut: simulated by the state of the files.
#[test]
fn an_exchange_that_ends_after_any_rename_is_reversed_with_the_log_of_its_own_database() {
    const FILES: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];
    for reversing in [false, true] {
        for renames in 0..=7 {
            let world = world();
            let before = Before::of(&world);
            // Up to the exchange, then killed by the start of K3s: everything is exchanged, and the start is not blocked.
            world.fault.set(Some((call_number("start"), Fault::Kill)));
            assert!(world.run_to_kill());
            world.fault.set(None);
            let files = world.files();
            let mut state = load_state(&files.state).unwrap().unwrap();
            assert_eq!(state.stage, Stage::Starting);
            let (old, new) =
                (world.db().join(&state.old_name), world.db().join(format!("sqlite-failed-{}", state.id)));
            let db = world.db();
            if reversing {
                // K3s has used the new database before that was reversed.
                crate::sqlite_world::start(&world);
                world.kine.take();
                state.new_database = files.live_database().unwrap();
                state.stage = Stage::RollingBack;
                fs::create_dir(&new).unwrap();
                let away = ["state.db-wal", "state.db-shm", "state.db"].map(|n| (db.join(n), new.join(n)));
                let back = ["state.db-wal", "state.db-shm", "state.db"].map(|n| (old.join(n), db.join(n)));
                for (from, to) in away.iter().chain(&back).filter(|(from, _)| from.exists()).take(renames) {
                    fs::rename(from, to).unwrap();
                }
            } else {
                // Backwards from the exchanged state to any of those before it.
                state.stage = Stage::Swapping;
                let scratch = files.scratch().new_database_path();
                if renames > 0 {
                    fs::rename(db.join("state.db"), &scratch).unwrap();
                }
                let moved: Vec<_> = FILES.iter().rev().filter(|n| old.join(n).exists()).collect();
                for name in moved.into_iter().take(renames.saturating_sub(1)) {
                    fs::rename(old.join(name), db.join(name)).unwrap();
                }
            }
            files.save_state(&state).unwrap();
            files.block_start(state.id).unwrap();
            let what = format!("reversing {reversing}, {renames} renames");
            let (result, report) = world.recover();
            assert_eq!(code_of(&result.expect_err(&what)), Code::RolledBack, "{what}");
            assert_eq!(report.restore.unwrap().recovered, Some(Recovered::RolledBack), "{what}");
            before.assert_same(&world, &what);
            assert!(world.is_up(), "{what}");
        }
    }
}

#[test]
fn the_next_restore_reverses_an_exchange_that_left_no_database_in_its_place() {
    let world = world();
    let before = Before::of(&world);
    world.fault.set(Some((call_number("start"), Fault::Kill)));
    assert!(world.run_to_kill());
    world.fault.set(None);
    let files = world.files();
    let mut state = load_state(&files.state).unwrap().unwrap();
    state.stage = Stage::Swapping;
    fs::rename(world.db().join("state.db"), files.scratch().new_database_path()).unwrap();
    files.save_state(&state).unwrap();
    files.block_start(state.id).unwrap();
    // What the disk shows now: no datastore.
    world.shown.set(Some(Datastore::Etcd));
    assert_eq!(code_of(&world.run().0.unwrap_err()), Code::RestoreInterrupted);
    world.shown.set(None);
    before.assert_same(&world, "reversed");
}

/// The number of the call of a restore without a fault.
fn call_number(what: &str) -> usize {
    let world = world();
    world.run().0.unwrap();
    let log = world.log.borrow();
    log.iter().position(|l| *l == what).unwrap() + 1
}

#[test]
fn snapshots_of_the_other_datastore_are_refused_before_anything_is_touched() {
    let code = |world: &World| {
        let before = Before::of(world);
        let (result, report) = world.run();
        before.assert_same(world, "refused");
        assert!(report.restore.is_none_or(|restore| restore.is_plan()));
        code_of(&result.unwrap_err())
    };
    // By its name, and by its content.
    for renamed in [false, true] {
        let mut world = world();
        let target = if renamed { "renamed-server-1-1795339215.sqlite" } else { restore_world::NAME };
        if renamed {
            fs::write(world.db().join("snapshots").join(target), restore_world::SNAPSHOT).unwrap();
        }
        world.target = Some(target.to_owned());
        assert_eq!(code(&world), Code::OtherDatastore, "{target}");
    }
    let mut etcd = World::new(Operation::Restore);
    let snapshots = world();
    fs::copy(snapshots.db().join("snapshots").join(NAME), etcd.db().join("snapshots").join(NAME)).unwrap();
    etcd.owns_etcd = true;
    etcd.target = Some(NAME.to_owned());
    assert_eq!(code(&etcd), Code::OtherDatastore);
    // K3s would move the database to etcd at its start.
    let mut moving = world();
    moving.starts_etcd = true;
    assert_eq!(code(&moving), Code::OtherDatastore);
}

#[test]
fn old_databases_of_sqlite_are_pruned_by_their_kind() {
    let world = world();
    for name in ["sqlite-old-5", "sqlite-old-7", "sqlite-failed-6", "sqlite-old-x"] {
        fs::create_dir(world.db().join(name)).unwrap();
    }
    let kinds: Vec<&str> =
        world.files().old_databases().unwrap().into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "sqlite-old-").count(), 2);
    assert_eq!(kinds.iter().filter(|kind| **kind == "sqlite-failed-").count(), 1);
}

#[test]
fn a_database_of_sqlite_that_is_a_link_is_refused() {
    let world = world();
    world.kine.take();
    let db = world.db().join("state.db");
    fs::rename(&db, world.root.path().join("elsewhere.db")).unwrap();
    std::os::unix::fs::symlink(world.root.path().join("elsewhere.db"), &db).unwrap();
    assert_eq!(code_of(&world.run().0.unwrap_err()), Code::UnsupportedLayout);
    assert!(db.is_symlink());
}

#[test]
fn a_safety_snapshot_that_fails_is_a_warning() {
    let world = world();
    let at = call_number("save-live");
    world.fault.set(Some((at, Fault::Fail)));
    let (result, report) = world.run();
    result.unwrap();
    world.assert_restored("without a safety snapshot");
    assert!(!has_warning(&report, WarningCode::SafetySnapshotSkipped), "saved at rest in its place");
    assert!(world.log.borrow().contains(&"save-offline"));
}
