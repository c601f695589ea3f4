// SPDX-License-Identifier: Apache-2.0
//! The operations of a restore with every call that fails, stops or kills: K3s ends in one of the two good states.

use std::fs;

use k3s_snapshot::commands::restore::Rehearsal;
use k3s_snapshot::error::{Code, code_of};
use k3s_snapshot::host::server_files::load_last_restore;
use k3s_snapshot::host::{Active, Listener};
use k3s_snapshot::model::restore::{Operation, PriorState, RestoreState, Stage, StepId, StepState};
use k3s_snapshot::model::restore_report::{K3sState, Recovered};
use k3s_snapshot::model::warning::WarningCode;
use k3s_snapshot::source::LiveMember;
use k3s_snapshot::store::Store;

use crate::conformance::manifest;
use crate::restore_world::{Before, Fault, LAST_FATAL_MESSAGE, NAME, NOW, Reset, SNAPSHOT, World};

const OPERATIONS: [Operation; 3] = [Operation::Restore, Operation::ClusterReset, Operation::Rejoin];

pub(crate) fn other(name: &str, address: &str) -> LiveMember {
    LiveMember {
        id: 8,
        name: name.to_owned(),
        peer_urls: vec![format!("https://{address}:2380")],
        client_urls: vec![format!("https://{address}:2379")],
        learner: false,
    }
}

pub(crate) fn world(operation: Operation) -> World {
    let mut world = World::new(operation);
    if operation != Operation::Restore {
        world.others = vec![other("server-2-cccccccc", "192.0.2.2")];
    }
    if operation == Operation::Rejoin {
        world.door.given = Some("https://192.0.2.2:6443");
    }
    world
}

pub(crate) fn has_warning(report: &k3s_snapshot::model::report::Report, code: WarningCode) -> bool {
    report.warnings.iter().any(|w| w.code == code)
}

#[test]
fn every_operation_ends_restored_with_the_previous_database_kept() {
    for operation in OPERATIONS {
        let world = world(operation);
        let (result, report) = world.run();
        result.unwrap_or_else(|e| panic!("{operation:?}: {e:#}"));
        world.assert_restored(operation.as_str());
        assert!(world.is_up());
        let restore = report.restore.unwrap();
        assert!(restore.steps.iter().all(|s| s.state == StepState::Done), "{:?}", restore.steps);
        assert_eq!(restore.k3s_state, Some(K3sState::Ready));
        assert!(restore.downtime_ms.is_some() && restore.own_ms.is_some());
        if operation != Operation::Rejoin {
            assert!(restore.safety_snapshot.is_some());
            let (from, to) = (restore.revision_before.unwrap(), restore.revision_after.unwrap());
            assert!(from < 400, "{from} {to}");
            // After a reset, another member may have written more than this one.
            let is_known = operation == Operation::Restore;
            assert!(if is_known { to == 1_000_348 } else { to > 1_000_000_000 }, "{operation:?}: {to}");
        }
        assert!(
            !world.data().join("server/tls-1795400001").exists(),
            "keys that a reset sets aside stay in the scratch"
        );
    }
}

#[test]
fn a_restore_prepares_while_k3s_runs_and_stops_it_only_for_the_exchange() {
    let world = world(Operation::Restore);
    world.run().0.unwrap();
    let log = world.log.borrow();
    let at = |what| log.iter().position(|l| *l == what).unwrap_or_else(|| panic!("{what}: {log:?}"));
    assert!(
        at("reset") < at("rehearse") && at("rehearse") < at("save-live") && at("save-live") < at("stop"),
        "{log:?}"
    );
    assert!(at("watch") < at("stop") && at("stop") < at("start"), "{log:?}");
}

#[test]
fn without_memory_for_a_second_k3s_it_is_stopped_first_and_its_files_stay_untouched_meanwhile() {
    let mut world = world(Operation::Restore);
    world.machine.memory = 300 << 20;
    let (result, report) = world.run();
    result.unwrap();
    world.assert_restored("low memory");
    let log = world.log.borrow();
    let at = |what| log.iter().position(|l| *l == what).unwrap();
    assert!(at("save-live") < at("stop") && at("stop") < at("reset"), "{log:?}");
    assert_eq!(report.restore.unwrap().step_state(StepId::Rehearse), Some(StepState::Skipped));
}

#[test]
fn a_rehearsal_that_was_asked_for_is_refused_without_memory() {
    let mut world = world(Operation::Restore);
    world.machine.memory = 300 << 20;
    world.tweak = |options| options.rehearsal = Rehearsal::Always;
    let before = Before::of(&world);
    let (result, _) = world.run();
    assert!(result.is_err());
    before.assert_same(&world, "no memory");
    assert!(world.is_up());
}

#[test]
fn revisions_stay_if_that_was_asked_for() {
    let mut world = world(Operation::Restore);
    world.tweak = |options| options.keep_revisions = true;
    let (result, report) = world.run();
    result.unwrap();
    let restore = report.restore.unwrap();
    assert_eq!((restore.revision_before, restore.revision_after), (None, None));
    assert_eq!(restore.step_state(StepId::RaiseRevisions), Some(StepState::Skipped));
}

#[test]
fn whatever_call_fails_or_asks_to_stop_k3s_ends_in_one_of_the_two_good_states() {
    let (mut same, mut restored) = (0, 0);
    for operation in OPERATIONS {
        for fault in [Fault::Fail, Fault::Stop] {
            for memory in [8u64 << 30, 1 << 20] {
                for at in 1..100 {
                    let mut world = world(operation);
                    world.machine.memory = memory;
                    world.fault.set(Some((at, fault)));
                    let before = Before::of(&world);
                    let (result, report) = world.run();
                    let what = format!("{operation:?} {fault:?} at {at} {:?}", world.log.borrow().last());
                    if world.calls.get() < at {
                        assert!(result.is_ok(), "{what}: {:#}", result.unwrap_err());
                        break;
                    }
                    if world.is_restored() {
                        world.assert_restored(&what);
                        restored += 1;
                        if let Err(e) = result {
                            assert_eq!(code_of(&e), Code::NotReady, "{what}: {e:#}");
                        }
                    } else {
                        let e = result.expect_err(&what);
                        if code_of(&e) == Code::RollbackFailed {
                            // The rollback needs calls that fail too; a later recovery finishes it.
                            let _ = world.recover();
                        }
                        before.assert_same(&world, &what);
                        same += 1;
                        let restore = report.restore.as_ref();
                        let touched =
                            restore.is_some_and(|r| r.steps.iter().any(|s| s.state == StepState::RolledBack));
                        if touched && world.log.borrow().contains(&"stop") {
                            let code = code_of(&e);
                            assert!(matches!(code, Code::RolledBack | Code::RollbackFailed), "{what}: {e:#}");
                        }
                    }
                    assert!(world.is_up(), "{what}: K3s is down");
                }
            }
        }
    }
    println!("as before {same}, restored {restored}");
    assert!(same > 80 && restored > 10, "{same} {restored}");
}

#[test]
fn whatever_call_is_the_last_one_a_recovery_ends_in_one_of_the_two_good_states() {
    let (mut same, mut restored) = (0, 0);
    for operation in OPERATIONS {
        for (memory, at_boot) in [(8u64 << 30, false), (1 << 20, false), (8 << 30, true), (1 << 20, true)] {
            for at in 1..100 {
                let mut world = world(operation);
                world.machine.memory = memory;
                world.fault.set(Some((at, Fault::Kill)));
                let before = Before::of(&world);
                if !world.run_to_kill() {
                    break;
                }
                let what = format!("{operation:?} killed at {at} {:?}", world.log.borrow().last());
                world.fault.set(None);
                let blocked = world.files().is_start_blocked().unwrap();
                assert!(blocked || world.is_up() || world.log.borrow().contains(&"reset-failed"), "{what}");
                let (result, _) = if at_boot {
                    world.active.set(Active::Inactive);
                    let files = world.recover_files();
                    assert!(!world.files().is_start_blocked().unwrap(), "{what}");
                    // A server that has not joined yet needs its URL: the unit for that follows.
                    let is_left = world.files().load_state().unwrap().is_some();
                    assert!(!is_left || operation == Operation::Rejoin, "{what}");
                    if is_left { world.recover() } else { files }
                } else {
                    world.recover()
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
                assert!(at_boot || world.is_up(), "{what}: K3s is down");
                // A second recovery finds nothing.
                let (again, report) = world.recover();
                again.unwrap();
                assert!(report.restore.is_none(), "{what}");
            }
        }
    }
    println!("as before {same}, restored {restored}");
    assert!(same > 60 && restored > 10, "{same} {restored}");
}

/// K3s runs after the next recovery, on one of the two databases, and nothing of the restore is left.
#[track_caller]
fn assert_recovered(world: &World, before: &Before, what: &str) {
    world.fault.set(None);
    if let Err(e) = world.recover().0 {
        assert_eq!(code_of(&e), Code::RolledBack, "{what}: {e:#}");
    }
    if world.is_restored() {
        world.assert_restored(what)
    } else {
        before.assert_same(world, what)
    }
    assert!(world.is_up(), "{what}: K3s is down");
}

#[test]
fn a_systemd_that_falls_silent_for_the_rest_of_a_restore_leaves_k3s_to_the_next_recovery() {
    let mut left = 0;
    for operation in OPERATIONS {
        for memory in [8u64 << 30, 1 << 20] {
            for at in 1..100 {
                let mut world = world(operation);
                world.machine.memory = memory;
                world.fault.set(Some((at, Fault::Silence)));
                let before = Before::of(&world);
                let (result, _) = world.run();
                if world.calls.get() < at {
                    break;
                }
                let what =
                    format!("{operation:?} silent from {at} {:?}: {result:?}", world.log.borrow().last());
                if !world.is_up() {
                    assert!(
                        world.files().load_state().unwrap().is_some(),
                        "{what}: K3s is down and no state is left"
                    );
                    left += 1;
                }
                assert_recovered(&world, &before, &what);
            }
        }
    }
    assert!(left > 5, "{left}");
}

#[test]
fn a_recovery_that_is_killed_or_does_not_reach_systemd_is_finished_by_the_next_one() {
    let mut cut = 0;
    for operation in OPERATIONS {
        for fault in [Fault::Kill, Fault::Silence] {
            for memory in [8u64 << 30, 1 << 20] {
                for first in 1..100 {
                    let mut ended = false;
                    for second in 1..100 {
                        let mut world = world(operation);
                        world.machine.memory = memory;
                        let before = Before::of(&world);
                        world.fault.set(Some((first, Fault::Kill)));
                        ended = !world.run_to_kill();
                        let at = world.calls.get() + second;
                        world.fault.set(Some((at, fault)));
                        if ended || !world.is_killed(|| drop(world.recover())) && world.calls.get() < at {
                            break;
                        }
                        let what = format!("{operation:?} killed at {first}, recovery {fault:?} at {second}");
                        assert_recovered(&world, &before, &what);
                        cut += 1;
                    }
                    if ended {
                        break;
                    }
                }
            }
        }
    }
    assert!(cut > 100, "{cut}");
}

#[test]
fn a_reset_that_did_not_do_its_work_changes_nothing_whatever_its_exit_code() {
    for reset in [Reset::Fails, Reset::Nothing, Reset::Other, Reset::Unmarked] {
        for memory in [8 << 30, 1 << 20] {
            let mut world = world(Operation::Restore);
            world.reset = reset;
            world.machine.memory = memory;
            let before = Before::of(&world);
            let (result, _) = world.run();
            let e = result.expect_err("a failed reset");
            before.assert_same(&world, &format!("{reset:?}"));
            assert!(world.is_up(), "{reset:?}");
            assert_eq!(code_of(&e) == Code::RolledBack, memory == 1 << 20, "{reset:?}: {e:#}");
        }
    }
}

#[test]
fn a_healthy_server_with_any_left_over_state_is_untouched_and_the_state_is_cleared() {
    for stage in Stage::ALL {
        for blocked in [false, true] {
            for age in [0, 86_400] {
                for command in ["recover-files", "recover", "restore"] {
                    let donor = world(Operation::Restore);
                    donor.fault.set(Some((usize::MAX, Fault::Kill)));
                    let before = Before::of(&donor);
                    left_over(&donor, stage, blocked, age);
                    let what = format!("{stage:?} {blocked} {age} {command}");
                    match command {
                        "recover-files" => {
                            donor.recover_files().0.unwrap_or_else(|e| panic!("{what}: {e:#}"))
                        }
                        "recover" => donor.recover().0.unwrap_or_else(|e| panic!("{what}: {e:#}")),
                        _ => {
                            let (result, report) = donor.run();
                            result.unwrap_or_else(|e| panic!("{what}: {e:#}"));
                            assert!(has_warning(&report, WarningCode::RestoreInterrupted), "{what}");
                            donor.assert_restored(&what);
                            continue;
                        }
                    }
                    before.assert_same(&donor, &what);
                    assert!(!donor.log.borrow().iter().any(|l| ["stop", "start"].contains(l)), "{what}");
                }
            }
        }
    }
}

/// The state of a restore that was interrupted some time ago. K3s has run since: its database is another file by now.
fn left_over(world: &World, stage: Stage, blocked: bool, age: u64) {
    let files = world.files();
    let mut live = files.live_database().unwrap().unwrap();
    let file = live.file.as_mut().unwrap();
    file.mtime_ns -= 1 + i64::try_from(age).unwrap();
    let text = serde_json::json!({
        "version": 1, "id": NOW - age - 1, "operation": "restore", "stage": stage.as_str(), "unit": "k3s.service",
        "data_dir": world.data(), "kubeconfig": files.kubeconfig, "previous_state": "running",
        "snapshot": {"name": "x", "location": "", "sha256": "00".repeat(32), "size": 1, "revision": 1, "created_at": 1},
        "live_database": live, "old_name": "etcd-old-77", "new_database": null,
        "backups": [{"path": world.data().join("server/token"), "copy": null}],
        "backed_up_directories": [world.data().join("server/tls")], "created": [],
    });
    let state: RestoreState = serde_json::from_value(text).unwrap();
    files.save_state(&state).unwrap();
    if blocked {
        files.block_start(state.id).unwrap();
    }
}

#[test]
fn a_restore_clears_what_an_interrupted_one_has_left_of_a_k3s_that_was_stopped_before_both() {
    let world = world(Operation::Restore);
    world.held.take();
    world.active.set(Active::Inactive);
    left_over(&world, Stage::Preparing, true, 0);
    let files = world.files();
    let state = files.load_state().unwrap().unwrap();
    files.save_state(&RestoreState { previous_state: PriorState::Stopped, ..state }).unwrap();
    let (result, report) = world.run();
    result.unwrap();
    assert!(has_warning(&report, WarningCode::RestoreInterrupted));
    world.assert_restored("stopped before");
}

#[test]
fn a_missing_data_directory_keeps_the_start_blocked() {
    let world = world(Operation::Restore);
    left_over(&world, Stage::Swapping, true, 0);
    let elsewhere = world.root.path().join("unmounted");
    fs::rename(world.data(), &elsewhere).unwrap();
    let (result, _) = world.recover_files();
    assert_eq!(code_of(&result.unwrap_err()), Code::RollbackFailed);
    assert!(world.files().is_start_blocked().unwrap());
    fs::rename(elsewhere, world.data()).unwrap();
    world.recover_files().0.unwrap();
    world.assert_clean("mounted again");
}

/// A process that is killed while it writes its first state leaves a draft of it.
#[test]
fn a_recovery_without_a_state_removes_the_draft_of_one() {
    let world = world(Operation::Restore);
    let state = world.files().state;
    fs::create_dir_all(&state).unwrap();
    let [draft, other] = [".state.json.4711", "k3s-reset.log"].map(|name| state.join(name));
    for file in [&draft, &other] {
        fs::write(file, "{").unwrap();
    }
    world.recover().0.unwrap();
    assert!(!draft.exists() && other.exists());
}

#[test]
fn a_block_without_a_state_file_is_reported_and_stays() {
    let world = world(Operation::Restore);
    world.files().block_start(1).unwrap();
    for result in [world.recover_files().0, world.recover().0, world.run().0] {
        assert_eq!(code_of(&result.unwrap_err()), Code::RestoreStateMissing);
    }
    assert!(world.files().is_start_blocked().unwrap());
}

#[test]
fn a_state_file_that_cannot_be_understood_changes_nothing() {
    for text in ["", "{", "{\"version\": 2}", "[]"] {
        let world = world(Operation::Restore);
        fs::create_dir_all(&world.files().state).unwrap();
        fs::write(world.files().state_path(), text).unwrap();
        for result in [world.recover_files().0, world.recover().0, world.run().0] {
            assert_eq!(code_of(&result.unwrap_err()), Code::RestoreStateUnreadable, "{text}");
        }
        assert!(world.is_up());
    }
}

#[test]
fn a_recovery_forward_reports_what_is_to_be_done_on_the_other_machines() {
    let mut world = world(Operation::Restore);
    world.others = vec![other("server-2-cccccccc", "192.0.2.2")];
    let calls = {
        world.run().0.unwrap();
        world.log.borrow().iter().position(|l| *l == "holds").unwrap() + 1
    };
    let mut world = self::world(Operation::Restore);
    world.others = vec![other("server-2-cccccccc", "192.0.2.2")];
    world.fault.set(Some((calls, Fault::Kill)));
    assert!(world.run_to_kill());
    world.fault.set(None);
    let (result, report) = world.recover();
    result.unwrap();
    let restore = report.restore.unwrap();
    assert_eq!(restore.recovered, Some(Recovered::Kept));
    assert!(restore.runbook.iter().any(|task| task.machine == "server-2"));
    assert!(restore.steps.is_empty(), "how far each step came is not known");
    world.assert_restored("forward");
    let last = load_last_restore(&world.files().state).unwrap();
    assert!(last.at == NOW && last.missing.iter().any(|server| server.name == "server-2"), "{last:?}");
}

#[test]
fn a_restore_leaves_which_servers_have_to_rejoin() {
    let mut world = world(Operation::Restore);
    world.others = vec![other("server-2-cccccccc", "192.0.2.2")];
    world.run().0.unwrap();
    let last = load_last_restore(&world.files().state).unwrap();
    assert!(last.at == NOW && last.revision > 1_000_000);
    let missing: Vec<_> = last.missing.iter().map(|s| (s.name.as_str(), s.addresses.join(" "))).collect();
    assert_eq!(missing, [("server-2", "192.0.2.2".to_owned())]);
}

#[test]
fn another_member_that_answers_refuses_the_restore_unless_it_is_assumed_stopped() {
    for assumed in [false, true] {
        let mut world = world(Operation::Restore);
        world.others = vec![other("server-2-cccccccc", "192.0.2.2")];
        world.running = vec!["https://192.0.2.2:2379".to_owned()];
        let before = Before::of(&world);
        if assumed {
            world.tweak = |options| options.assume_others_stopped = true;
            let (result, report) = world.run();
            result.unwrap();
            assert!(has_warning(&report, WarningCode::OtherServersRunning));
        } else {
            let (result, report) = world.run();
            assert_eq!(code_of(&result.unwrap_err()), Code::OtherServersRunning);
            before.assert_same(&world, "another member runs");
            assert!(!report.restore.unwrap().runbook.is_empty());
        }
    }
}

#[test]
fn a_dry_run_shows_the_plan_with_every_refusal_and_leaves_nothing() {
    let mut world = world(Operation::Restore);
    world.others = vec![other("server-2-cccccccc", "192.0.2.2")];
    world.running = vec!["https://192.0.2.2:2379".to_owned()];
    let control_group = "/system.slice/other.service".to_owned();
    world.machine.listeners =
        vec![Listener { port: 6443, pid: Some(9), program: "other".into(), control_group }].into();
    world.cluster_id = Some("another".to_owned());
    world.tweak = |options| options.dry_run = true;
    let before = Before::of(&world);
    let (result, report) = world.run();
    assert!(result.is_err());
    let restore = report.restore.unwrap();
    assert_eq!(restore.refusals.len(), 3, "{:?}", restore.refusals);
    assert!(restore.is_plan() && !restore.runbook.is_empty());
    before.assert_same(&world, "dry run");
    assert!(!world.log.borrow().contains(&"reset"));

    let mut world = self::world(Operation::Restore);
    world.tweak = |options| options.dry_run = true;
    let before = Before::of(&world);
    let (result, report) = world.run();
    result.unwrap();
    assert!(report.restore.unwrap().is_plan());
    before.assert_same(&world, "dry run");
}

#[test]
fn a_snapshot_of_another_cluster_is_refused_by_the_live_cluster_itself() {
    let mut world = world(Operation::Restore);
    world.cluster_id = Some("another".to_owned());
    let before = Before::of(&world);
    let (result, _) = world.run();
    assert_eq!(code_of(&result.unwrap_err()), Code::OtherCluster);
    before.assert_same(&world, "another cluster");
    world.tweak = |options| options.force = true;
    let (result, report) = world.run();
    result.unwrap();
    world.assert_restored("forced");
    let to = report.restore.unwrap().revision_after.unwrap();
    assert!(to > 1_000_000_000, "the live cluster does not know the revision of that of the snapshot: {to}");
}

#[test]
fn k3s_that_does_not_run_before_is_restored_and_its_database_saved_at_rest() {
    for active in [Active::Inactive, Active::Failed] {
        let world = world(Operation::Restore);
        world.active.set(active);
        let (result, report) = world.run();
        result.unwrap();
        world.assert_restored("down before");
        assert!(world.log.borrow().contains(&"save-offline"));
        assert!(report.restore.unwrap().safety_snapshot.is_some());
    }
}

#[test]
fn a_server_without_any_database_is_restored_and_a_failure_leaves_it_without() {
    for reset in [Reset::Good, Reset::Fails] {
        let mut world = world(Operation::Restore);
        world.reset = reset;
        world.active.set(Active::Inactive);
        world.target = Some(world.root.path().join(NAME).display().to_string());
        fs::copy(world.db().join("snapshots").join(NAME), world.root.path().join(NAME)).unwrap();
        fs::remove_dir_all(world.data()).unwrap();
        let (result, report) = world.run();
        if reset == Reset::Good {
            result.unwrap();
            assert!(world.is_restored() && world.is_up());
            assert_eq!(report.restore.unwrap().old_database, None);
            world.assert_clean("new machine");
        } else {
            result.unwrap_err();
            assert!(!world.data().exists(), "what was created is removed");
        }
    }
}

#[test]
fn a_crash_loop_after_the_exchange_is_rolled_back_with_the_reason_of_k3s() {
    let world = world(Operation::Restore);
    let before = Before::of(&world);
    world.restarts.set(3);
    let (result, report) = world.run();
    let e = result.unwrap_err();
    assert_eq!(code_of(&e), Code::RolledBack);
    assert!(format!("{e:#}").contains(LAST_FATAL_MESSAGE));
    before.assert_same(&world, "crash loop");
    assert!(report.restore.unwrap().failed_database.is_some(), "the discarded database is kept");
}

#[test]
fn a_rejoin_is_refused_where_it_would_start_an_empty_cluster() {
    let refused = |change: fn(&mut World), code: Code| {
        let mut world = world(Operation::Rejoin);
        change(&mut world);
        let before = Before::of(&world);
        let (result, _) = world.run();
        let e = result.expect_err(code.as_str());
        assert_eq!(code_of(&e), code, "{e:#}");
        before.assert_same(&world, code.as_str());
        assert!(world.is_up());
    };
    refused(|w| w.door.given = None, Code::JoinServerNotConfigured);
    refused(|w| w.machine.addresses.push("192.0.2.2".into()), Code::JoinServerIsSelf);
    refused(|w| w.door.given = Some("https://127.0.0.1:6443"), Code::JoinServerIsSelf);
    refused(|w| w.door.authority = "another", Code::JoinServerMismatch);
    refused(|w| w.door.refuses_token = true, Code::TokenRejected);
    refused(|w| w.door.members = vec!["fixture-node-12345678".into()], Code::AlreadyAMember);
}

#[test]
fn a_rejoin_that_starts_a_cluster_of_its_own_is_rolled_back() {
    let mut world = world(Operation::Rejoin);
    world.others.clear();
    let before = Before::of(&world);
    let (result, _) = world.run();
    assert_eq!(code_of(&result.unwrap_err()), Code::RolledBack);
    before.assert_same(&world, "a cluster of its own");
}

#[test]
fn the_url_is_given_to_k3s_for_one_start_only_if_its_configuration_has_none() {
    for configured in [None, Some("https://192.0.2.2:6443")] {
        let mut world = world(Operation::Rejoin);
        world.door.configured = configured;
        let (result, report) = world.run();
        result.unwrap();
        world.assert_restored("rejoined");
        assert_eq!(report.restore.unwrap().server.as_deref(), Some("https://192.0.2.2:6443"));
    }
}

#[test]
fn a_reset_of_a_cluster_that_works_alone_is_refused() {
    let mut world = world(Operation::ClusterReset);
    world.others.clear();
    let (result, _) = world.run();
    assert_eq!(code_of(&result.unwrap_err()), Code::NothingToReset);
    fs::remove_dir_all(world.db().join("etcd")).unwrap();
    let (result, _) = world.run();
    assert_eq!(code_of(&result.unwrap_err()), Code::DatabaseNotFound);
}

const OTHER: &str = "0f9c2b6e-5c0d-4a87-9a55-6f3b7c1d2e4f";

/// Twelve snapshots of two clusters with the same names, in the snapshot directory or in the bucket: those of the other cluster
/// are newer. A dry run for `latest`: the selected file, or the code of the error, and whether it warns of others.
fn latest(live: Option<&str>, in_bucket: bool, saved_here: bool, both: bool) -> (Result<String, Code>, bool) {
    let mut world = world(Operation::Restore);
    let own = world.cluster_id.clone().unwrap();
    world.target = Some("latest".to_owned());
    world.tweak = |options| options.dry_run = true;
    world.cluster_id = live.map(|live| if live == "own" { own.clone() } else { live.to_owned() });
    fs::remove_file(world.db().join("snapshots").join(NAME)).unwrap();
    let dir = match in_bucket {
        true => world.root.path().join("bucket"),
        false => world.db().join("snapshots"),
    };
    fs::create_dir_all(&dir).unwrap();
    let store = world.store(&dir);
    for n in 0..12 {
        let (cluster, at) =
            if n < 6 { (own.as_str(), 1_795_339_300 + n) } else { (OTHER, 1_795_339_400 + n) };
        if cluster == OTHER && !both {
            continue;
        }
        let name = format!("timer-server-1-{at}");
        fs::write(dir.join(&name), SNAPSHOT).unwrap();
        let id = store.open(&name).unwrap().id;
        let mut manifest = manifest(SNAPSHOT);
        (manifest.name, manifest.file, manifest.cluster_id) = (name.clone(), id, Some(cluster.to_owned()));
        let is_ours = saved_here && cluster == own;
        manifest.base = is_ours.then(|| "timer".to_owned());
        manifest.saved_at = is_ours.then_some(at);
        store.record(&name, &mut |_| Some(manifest.clone())).unwrap();
    }
    world.remote = in_bucket.then_some(dir);
    if live.is_none() {
        // A new machine: no database, no etcd.
        fs::remove_dir_all(world.db().join("etcd")).unwrap();
        world.active.set(Active::Inactive);
        world.answers = false;
    }
    let (result, report) = world.run();
    let name = report.snapshots.first().map(|row| row.name.clone()).unwrap_or_default();
    let result = result.map(|()| name).map_err(|e| code_of(&e));
    (result, has_warning(&report, WarningCode::OtherClusterSkipped))
}

#[test]
fn latest_is_never_a_snapshot_of_another_cluster_with_the_same_names() {
    let own = "timer-server-1-1795339305".to_owned();
    for in_bucket in [false, true] {
        assert_eq!(latest(Some("own"), in_bucket, false, true), (Ok(own.clone()), true), "{in_bucket}");
        assert_eq!(latest(Some("own"), in_bucket, false, false), (Ok(own.clone()), false), "{in_bucket}");
        // On a new machine nothing tells which of the two clusters is meant.
        let unknown = latest(None, in_bucket, false, true);
        assert_eq!(unknown, (Err(Code::SnapshotAmbiguous), false), "{in_bucket}");
        assert_eq!(latest(None, in_bucket, false, false).0, Ok(own.clone()), "{in_bucket}");
        // K3s was installed again: its cluster has no snapshot, and the others are of two clusters.
        let third = latest(Some("77777777-5c0d"), in_bucket, false, true);
        assert_eq!(third.0, Err(Code::SnapshotAmbiguous), "{in_bucket}");
    }
    // The database is lost: the last save on this machine tells the cluster.
    assert_eq!(latest(None, false, true, true), (Ok(own), true));
}
