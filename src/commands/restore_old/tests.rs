// SPDX-License-Identifier: Apache-2.0
//! A restore of a snapshot in the machine of `world`.
#![cfg(test)]

mod far;
mod others;
mod world;

use std::fs;
use std::path::Path;

use super::*;
use crate::error::kind_of;
use crate::host::{Active, NoProgress, file_tree};
use crate::model::restore::{Operation, Stage};
use world::{Before, NAME, SNAPSHOT, World, free};

#[test]
fn a_restore_ends_with_the_snapshot_s_data_and_leaves_nothing_of_its_own() {
    let world = World::new();
    world.run(false).unwrap();
    assert!(world.serves() && world.restored());
    free(&world, "restored");
    assert!(world.db().join("etcd-old-1800000000").exists());
    let log = world.log.borrow().join(" ");
    assert_eq!(log, "version save reload stop reset reload reset-failed start holds ready");
}

#[test]
fn whatever_call_fails_k3s_is_as_before_or_restored() {
    let calls = {
        let world = World::new();
        world.run(false).unwrap();
        world.calls.get()
    };
    for n in 1..=calls {
        let world = World::new();
        world.fails_at.set(n);
        let before = Before::of(&world);
        let done = world.run(false);
        let what = format!("call {n}, {:?}", world.log.borrow().get(n - 1));
        match done.as_ref().map_err(kind_of) {
            // A reading that is not ready is asked again; everything before the safety snapshot touches nothing.
            Ok(()) => assert!(world.restored(), "{what}"),
            Err(Kind::Failed | Kind::RolledBack) => before.holds(&world, &what),
            Err(kind) => panic!("{what}: {kind:?}: {done:?}"),
        }
        assert!(world.serves(), "{what}: K3s is down");
        free(&world, &what);
    }
}

#[test]
fn whenever_somebody_asks_to_stop_k3s_is_as_before_or_restored() {
    let (mut undone, mut not_ready) = (0, 0);
    for n in 0..20 {
        let world = World::new();
        world.asked_at.set(n);
        let before = Before::of(&world);
        let what = format!("asked after call {n}");
        match world.run(false).map_err(|e| kind_of(&e)) {
            Ok(()) => assert!(world.restored(), "{what}"),
            Err(Kind::NotReady) => {
                not_ready += 1;
                assert!(world.restored(), "{what}");
            }
            Err(Kind::Failed | Kind::RolledBack) => {
                undone += 1;
                before.holds(&world, &what);
            }
            Err(kind) => panic!("{what}: {kind:?}"),
        }
        assert!(world.serves(), "{what}");
        free(&world, &what);
    }
    assert!(undone > 3 && not_ready > 0, "the points were not met: {undone}, {not_ready}");
}

#[test]
fn a_port_is_somebody_else_s_when_every_look_says_so() {
    let world = World::new();
    world.strangers.set(3);
    world.run(false).unwrap();
    assert!(world.restored() && world.strangers.get() == 0);
    let world = World::new();
    world.strangers.set(u32::MAX);
    let before = Before::of(&world);
    let e = world.run(false).unwrap_err();
    assert_eq!((kind_of(&e), world.serves()), (Kind::Refused, true));
    assert!(e.to_string().contains("port 6443 is in use by an unknown process"), "{e:#}");
    before.holds(&world, "a stranger");
}

#[test]
fn an_exit_code_of_0_alone_is_no_success() {
    let world = World::new();
    world.half_done.set(true);
    let before = Before::of(&world);
    let e = world.run(false).unwrap_err();
    assert_eq!(kind_of(&e), Kind::RolledBack);
    assert!(e.to_string().contains("no new log") && e.to_string().contains("its last words"), "{e:#}");
    before.holds(&world, "half done");
    assert!(world.db().join("etcd-failed-1795400000/member/snap/db").exists(), "the evidence is kept");
}

/// As a kill would leave it: the record of each stage, with the files as that stage may have made them.
#[test]
fn a_record_of_any_stage_is_ended_by_whoever_comes_next() {
    for stage in [Stage::Closing, Stage::Stopping, Stage::Keeping, Stage::Resetting, Stage::Undoing] {
        for reset in [false, true] {
            if reset && stage < Stage::Resetting {
                continue;
            }
            let world = World::new();
            let before = Before::of(&world);
            let site = world.site();
            let pinned = site.pin(&world.db().join("snapshots").join(NAME), NAME).unwrap();
            let kept = match stage >= Stage::Resetting {
                true => site.keep(site.to_keep()).unwrap(),
                false => vec![],
            };
            let record = crate::model::restore::RestoreState {
                version: 1,
                id: 1,
                operation: Operation::Restore,
                stage,
                unit: "k3s.service".into(),
                data_dir: world.data(),
                snapshot: crate::model::restore::SnapshotRef {
                    name: NAME.into(),
                    location: String::new(),
                    sha256: crate::model::snapshot::Digest([0; 32]),
                    size: 0,
                    revision: 337,
                    created_at: 0,
                },
                pinned: pinned.clone(),
                previous_state: crate::model::restore::PriorState::Running,
                before: crate::model::restore::EtcdBefore { member: Some(7), revision: Some(348) },
                live_database: site.live().unwrap(),
                backups: kept,
                reset: None,
                rollback_reason: None,
            };
            site.write(&record).unwrap();
            site.close().unwrap();
            world.active.set(Active::Inactive);
            if reset {
                K3s::reset(&world, Some(&pinned), &mut |_| Ok(()), &NoProgress).unwrap();
            }
            let what = format!("{stage:?}, reset: {reset}");
            // The next restore ends the old one and does nothing else.
            let e = world.run(false).unwrap_err();
            assert_eq!(kind_of(&e), Kind::Busy, "{what}: {e:#}");
            before.holds(&world, &what);
            assert!(world.serves(), "{what}");
        }
    }
    // Nothing to conclude is a success.
    World::new().run(true).unwrap();
}
