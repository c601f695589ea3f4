// SPDX-License-Identifier: Apache-2.0
//! A state file that an interrupted restore has left never harms a server that has been used since: every stage, age and
//! layout of the databases, with each command that reads it.

use std::fs;
use std::path::Path;

use k3s_snapshot::commands::restore::prune_old_databases;
use k3s_snapshot::error::{Code, code_of};
use k3s_snapshot::host::Active;
use k3s_snapshot::host::server_files::load_state;
use k3s_snapshot::model::command::Command;
use k3s_snapshot::model::report::Report;
use k3s_snapshot::model::restore::{Database, Operation, RestoreState, Stage};

use crate::restore_steps::{other, world};
use crate::restore_world::{Before, NOW, World};

/// Which database the server has used since the restore was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Used {
    /// The previous one.
    Previous,
    /// The new one; the previous one is kept.
    New,
    /// The new one of a machine that had none.
    NewMachine,
}

/// A case of the table.
#[derive(Debug, Clone, Copy)]
struct Case {
    operation: Operation,
    stage: Stage,
    used: Used,
    /// In seconds.
    age: u64,
    /// Whether the machine has booted since: disks have other device numbers then.
    rebooted: bool,
    blocked: bool,
    running: bool,
}

const OLD: &str = "etcd-old-77";

/// A server with the data of days, and the state file of a restore before that.
fn left_over(case: Case) -> World {
    let mut world = world(case.operation);
    world.others = vec![other("server-2-cccccccc", "192.0.2.2"), other("server-3-dddddddd", "192.0.2.3")];
    let (files, db) = (world.files(), world.db());
    let etcd = files.live_database().unwrap().unwrap();
    let (live, new) = match case.used {
        Used::Previous => (Some(etcd), None),
        Used::NewMachine => (None, Some(etcd)),
        Used::New => {
            fs::create_dir_all(db.join(OLD).join("member/snap")).unwrap();
            fs::write(db.join(OLD).join("member/snap/db"), b"from before the restore").unwrap();
            let mut other = world.files();
            other.data_dir = world.root.path().join("other");
            fs::create_dir_all(other.data_dir.join("server/db")).unwrap();
            fs::rename(db.join(OLD), other.data_dir.join("server/db/etcd")).unwrap();
            let old = other.live_database().unwrap();
            fs::rename(other.data_dir.join("server/db/etcd"), db.join(OLD)).unwrap();
            (old, Some(etcd))
        }
    };
    // K3s has written to its database since.
    let seen = |database: Option<Database>, is_used: bool| {
        database.map(|mut database| {
            if case.rebooted {
                database.directory.dev += 1;
            }
            if let Some(file) = database.file.as_mut().filter(|_| is_used) {
                file.mtime_ns -= 1 + i64::try_from(case.age).unwrap();
            }
            database
        })
    };
    let work = world.data().join("server/.k3s-snapshot-restore/backup");
    fs::create_dir_all(&work).unwrap();
    fs::write(work.join("0"), b"certificate from before the restore").unwrap();
    let text = serde_json::json!({
        "version": 1, "id": NOW - case.age - 1, "operation": case.operation, "stage": case.stage, "unit": "k3s.service",
        "data_dir": world.data(), "kubeconfig": files.kubeconfig, "previous_state": "running", "was_ready": true,
        "snapshot": {"name": "x", "location": "", "sha256": "00".repeat(32), "size": 1, "revision": 1, "created_at": 1},
        "databases": files.databases().unwrap(),
        "live_database": seen(live, case.used == Used::Previous), "old_name": OLD,
        "new_database": seen(new, case.used != Used::Previous),
        "backups": [
            {"path": world.data().join("server/tls/server-ca.crt"), "copy": work.join("0")},
            {"path": world.data().join("server/token"), "copy": null},
        ],
        "backed_up_directories": [world.data().join("server/tls"), world.data().join("server/cred")], "created": [],
    });
    let state: RestoreState = serde_json::from_value(text).unwrap();
    files.save_state(&state).unwrap();
    if case.blocked {
        files.block_start(state.id).unwrap();
    }
    if case.running {
        world.hold_database();
    } else {
        world.active.set(Active::Inactive);
    }
    world
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for operation in [Operation::Restore, Operation::ClusterReset, Operation::Rejoin] {
        for stage in Stage::ALL {
            for used in [Used::Previous, Used::New, Used::NewMachine] {
                for (age, rebooted) in [(0, false), (3_600, true), (30 * 86_400, true)] {
                    for (blocked, running) in [(false, false), (false, true), (true, true)] {
                        all.push(Case { operation, stage, used, age, rebooted, blocked, running });
                    }
                }
            }
        }
    }
    all
}

/// The databases, certificates and the token are as they were, and K3s was not stopped.
#[track_caller]
fn assert_untouched(world: &World, before: &Before, old: Option<u64>, what: &str) {
    assert_eq!(inode(&world.db().join(OLD)), old, "{what}");
    before.assert_same(world, what);
    assert!(!world.log.borrow().contains(&"stop"), "{what}");
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|m| m.ino())
}

#[test]
fn boot_and_recovery_leave_a_used_server_as_it_is_and_clear_the_state() {
    for case in cases() {
        for command in ["recover-files", "recover"] {
            let world = left_over(case);
            let (before, old) = (Before::of(&world), inode(&world.db().join(OLD)));
            let what = format!("{case:?} {command}");
            let (result, _) = if command == "recover" { world.recover() } else { world.recover_files() };
            result.unwrap_or_else(|e| panic!("{what}: {e:#}"));
            if load_state(&world.files().state).unwrap().is_some() {
                assert!(case.operation == Operation::Rejoin && command == "recover-files", "{what}");
                // The unit that follows waits until this server has joined.
                world.recover().0.unwrap_or_else(|e| panic!("{what}: {e:#}"));
            }
            assert_untouched(&world, &before, old, &what);
        }
    }
}

#[test]
fn the_next_operation_leaves_a_used_server_as_it_is_unless_it_is_what_was_asked_for() {
    for case in cases().into_iter().filter(|case| case.age != 3_600) {
        let mut world = left_over(case);
        world.tweak = |options| options.dry_run = true;
        let (before, old) = (Before::of(&world), inode(&world.db().join(OLD)));
        let what = format!("{case:?}");
        // The operation itself can be refused.
        let (result, _) = world.run();
        if let Err(e) = result {
            let refused = [Code::NothingToReset, Code::OtherServersRunning, Code::AlreadyAMember];
            assert!(refused.contains(&code_of(&e)), "{what}: {e:#}");
        }
        assert_untouched(&world, &before, old, &what);
    }
}

#[test]
fn old_databases_are_not_deleted_as_long_as_a_restore_may_need_them() {
    for case in cases().into_iter().filter(|case| case.age == 0) {
        let world = left_over(case);
        let old = inode(&world.db().join(OLD));
        let mut report = Report::new(Command::Restore, NOW);
        let result = prune_old_databases(&world.files(), 0, false, &|_| Ok(true), &mut report);
        assert_eq!(code_of(&result.unwrap_err()), Code::RestoreInterrupted);
        assert_eq!(inode(&world.db().join(OLD)), old);
        assert!(load_state(&world.files().state).unwrap().is_some());
    }
}

#[test]
fn a_database_that_was_used_behind_the_block_is_never_renamed() {
    for stage in [Stage::Swapping, Stage::RollingBack] {
        let case = Case {
            operation: Operation::Restore,
            stage,
            used: Used::New,
            age: 60,
            rebooted: true,
            blocked: true,
            running: false,
        };
        let world = left_over(case);
        let etcd = inode(&world.db().join("etcd"));
        for result in [world.recover_files().0, world.recover().0, world.run().0] {
            assert_eq!(code_of(&result.unwrap_err()), Code::RollbackFailed, "{case:?}");
            assert_eq!(inode(&world.db().join("etcd")), etcd, "{case:?}");
            assert!(world.files().is_start_blocked().unwrap(), "an administrator must look first");
        }
    }
}
