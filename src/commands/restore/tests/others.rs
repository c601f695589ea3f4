// SPDX-License-Identifier: Apache-2.0
//! The ways without a snapshot: a reset that keeps the data, and joining another server again.
#![cfg(test)]

use super::*;
use crate::error::hint_of;
use crate::model::command::Command;
use crate::model::warning::WarningCode;

impl JoinServer for World {
    fn url(&self) -> &str {
        "https://10.0.0.1:6443"
    }

    fn authority(&self) -> Result<String> {
        self.call("authority")?;
        anyhow::ensure!(self.closed != Some("away"), "nobody answers");
        Ok(if self.closed == Some("other") { "another" } else { "the authority" }.to_owned())
    }

    fn lets_in(&self, token: &Secret) -> Result<bool> {
        assert_eq!(token.expose(), "labtoken");
        Ok(self.closed != Some("token"))
    }

    fn members(&self, token: &Secret) -> Result<Vec<String>> {
        assert_eq!(token.expose(), "labtoken");
        anyhow::ensure!(self.closed != Some("silent"), "it answers 404");
        let own = if self.closed == Some("joined") { "server-1-0a1b2c3d" } else { "server-2-0a1b2c3d" };
        Ok(vec!["server-9-deadbeef".to_owned(), String::new(), own.to_owned()])
    }
}

fn world(deed: Operation, answers: bool) -> World {
    World { deed, answers, door: deed == Operation::Rejoin, ..World::new() }
}

#[test]
fn a_reset_keeps_the_data_and_the_database_that_was() {
    for (answers, log) in [
        (true, "version save reload stop reset reload reset-failed start holds ready"),
        (false, "version reload stop save-at-rest reset reload reset-failed start holds ready"),
    ] {
        let world = world(Operation::ClusterReset, answers);
        fs::write(world.db().join("reset-flag"), b"").unwrap();
        let live = file_tree::inode_id(&world.db().join("etcd")).unwrap().unwrap();
        world.run(false).unwrap();
        assert!(world.serves() && world.restored());
        free(&world, "reset");
        let old = world.db().join("etcd-old-1800000000");
        assert!(file_tree::inode_id(&old).unwrap().unwrap().is(live), "the database that was is kept");
        assert_eq!(fs::read(old.join("member/wal/0.wal")).unwrap(), b"wal", "and not rewritten");
        assert_eq!(world.log.borrow().join(" "), log);
    }
}

#[test]
fn a_healthy_server_alone_has_nothing_to_reset() {
    let world = World { alone: true, ..world(Operation::ClusterReset, true) };
    let before = Before::of(&world);
    let e = world.run(false).unwrap_err();
    assert_eq!(kind_of(&e), Kind::Refused, "{e:#}");
    before.holds(&world, "refused");
}

#[test]
fn joining_moves_the_database_and_nothing_else() {
    let world = world(Operation::Rejoin, true);
    world.run(false).unwrap();
    assert!(world.serves());
    free(&world, "rejoined");
    assert!(world.db().join("etcd-old-1800000000/member/snap/db").exists());
    assert!(world.db().join("snapshots").join(NAME).exists() && world.db().join("etcd-old-5").exists());
    let log = world.log.borrow().join(" ");
    assert_eq!(log, "authority reload stop reload reset-failed start ready");
}

#[test]
fn nothing_is_touched_where_it_could_not_join() {
    for (closed, word) in [
        (None, "names no server"),
        (Some("away"), "nobody answers"),
        (Some("other"), "another certificate authority"),
        (Some("token"), "does not accept"),
        (Some("joined"), "has a member of this server already"),
    ] {
        let world = World { closed, door: closed.is_some(), ..world(Operation::Rejoin, true) };
        let before = Before::of(&world);
        let e = world.run(false).unwrap_err();
        assert!(format!("{e:#}").contains(word), "{e:#}");
        if closed != Some("away") {
            assert_eq!(kind_of(&e), Kind::Refused, "{e:#}");
            assert!(hint_of(&e).is_some());
        }
        before.holds(&world, word);
        assert!(!world.log.borrow().contains(&"stop"), "{word}");
    }
}

#[test]
fn a_server_that_does_not_tell_its_members_is_joined_with_a_warning() {
    let world = World { closed: Some("silent"), ..world(Operation::Rejoin, true) };
    let mut report = Report::new(Command::Restore, 0);
    world.run_into(false, &mut report).unwrap();
    assert!(report.warnings.iter().any(|w| w.code == WarningCode::MembersUnknown), "{:?}", report.warnings);
}

#[test]
fn one_that_starts_a_cluster_of_its_own_is_rolled_back() {
    let world = World { alone: true, ..world(Operation::Rejoin, true) };
    let before = Before::of(&world);
    let e = world.run(false).unwrap_err();
    assert_eq!(kind_of(&e), Kind::RolledBack, "{e:#}");
    assert!(e.to_string().contains("a cluster of its own"), "{e:#}");
    before.holds(&world, "alone");
}

#[test]
fn whatever_call_fails_it_is_done_or_as_before() {
    for (deed, answers) in
        [(Operation::ClusterReset, true), (Operation::ClusterReset, false), (Operation::Rejoin, true)]
    {
        let calls = {
            let world = world(deed, answers);
            world.run(false).unwrap();
            world.calls.get()
        };
        for n in 1..=calls {
            let world = world(deed, answers);
            world.fails_at.set(n);
            let before = Before::of(&world);
            let done = world.run(false);
            let what = format!("{deed:?}, call {n}, {:?}", world.log.borrow().get(n - 1));
            match done.as_ref().map_err(kind_of) {
                Ok(()) => assert!(world.db().join("etcd-old-1800000000").exists(), "{what}"),
                Err(Kind::Failed | Kind::RolledBack) => before.holds(&world, &what),
                Err(kind) => panic!("{what}: {kind:?}: {done:?}"),
            }
            assert!(world.serves(), "{what}: K3s is down");
            free(&world, &what);
        }
    }
}

/// As a kill would leave it, at each stage.
#[test]
fn a_kill_at_any_stage_is_ended_by_whoever_comes_next() {
    for deed in [Operation::ClusterReset, Operation::Rejoin] {
        for stage in [Stage::Closing, Stage::Stopping, Stage::Keeping, Stage::Resetting, Stage::Starting] {
            let world = world(deed, true);
            let before = Before::of(&world);
            let site = world.site();
            let kept = site.keep(site.to_keep()).unwrap();
            let text = serde_json::json!({
                "version": 1, "id": 1, "operation": deed, "stage": stage, "unit": "k3s.service", "data_dir": world.data(),
                "snapshot": {"name": "", "location": "", "sha256": "00".repeat(32), "size": 0, "revision": 0, "created_at": 0},
                "pinned": "", "previous_state": "running", "before": {"member": 7, "revision": 348},
                "live_database": site.live().unwrap(), "backups": kept, "reset": null,
            });
            site.write(&serde_json::from_value(text).unwrap()).unwrap();
            site.close().unwrap();
            world.active.set(Active::Inactive);
            if stage >= Stage::Resetting {
                site.set_aside(1_800_000_000, deed == Operation::ClusterReset).unwrap();
            }
            if stage == Stage::Starting && deed == Operation::ClusterReset {
                K3s::reset(&world, None, &mut |_| Ok(()), &NoProgress).unwrap();
            }
            let what = format!("{deed:?} {stage:?}");
            let e = world.run(false).unwrap_err();
            assert_eq!(kind_of(&e), Kind::Busy, "{what}: {e:#}");
            match stage {
                Stage::Starting => assert!(world.db().join("etcd-old-1800000000").exists(), "{what}: {e:#}"),
                _ => before.holds(&world, &what),
            }
            assert!(world.serves(), "{what}");
            free(&world, &what);
        }
    }
}
