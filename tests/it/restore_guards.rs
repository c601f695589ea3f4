// SPDX-License-Identifier: Apache-2.0
//! What a restore refuses, what it survives, and what it says: one test for each way in which data was lost, K3s stayed
//! blocked, or a report was not true.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use k3s_snapshot::commands::restore::prune_old_databases;
use k3s_snapshot::error::{Code, code_of};
use k3s_snapshot::host::server_files::load_state;
use k3s_snapshot::host::{Active, FileAt, Listener};
use k3s_snapshot::model::action::Action;
use k3s_snapshot::model::command::Command;
use k3s_snapshot::model::report::Report;
use k3s_snapshot::model::restore::{Operation, Stage};
use k3s_snapshot::model::restore_report::{K3sState, Recovered};
use k3s_snapshot::model::snapshot::{Freshness, Manifest};
use k3s_snapshot::model::warning::WarningCode;
use k3s_snapshot::store::Store;
use sha2::{Digest, Sha256};

use crate::conformance;
use crate::restore_steps::{has_warning, other, world};
use crate::restore_world::{Before, Fault, LIVE, NAME, NOW, Reset, SNAPSHOT, World};
use crate::support::disk::Disk;
use crate::support::require::require;

/// The number of the call `what` in a run without a fault.
fn call_number(world: &World, what: &str) -> usize {
    world.run().0.unwrap();
    world.log.borrow().iter().rposition(|call| *call == what).unwrap() + 1
}

/// Replaces every occurrence of some bytes by as many others.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut all = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = all.get(at..).and_then(|rest| rest.windows(from.len()).position(|w| w == from)) {
        all[at + found..at + found + from.len()].copy_from_slice(to);
        at += found + from.len();
    }
    assert_ne!(all, bytes, "nothing was replaced");
    all
}

#[test]
fn a_member_that_only_the_locked_database_names_is_asked_after_the_stop() {
    for runs in [true, false] {
        let mut world = world(Operation::Restore);
        // Its etcd has the database open and answers nothing: a server that lost its quorum.
        world.answers = false;
        let live = replaced(&LIVE[..LIVE.len() - 32], b"https://127.0.0.1:23", b"https://192.0.2.2:23");
        let live = replaced(&live, b"\"name\":\"fixture-node-", b"\"name\":\"another-node-");
        fs::write(world.db().join("etcd/member/snap/db"), live).unwrap();
        world.running = if runs { vec!["https://192.0.2.2:2380".to_owned()] } else { vec![] };
        world.hold_database();
        let before = Before::of(&world);
        let (result, report) = world.run();
        assert!(world.log.borrow().contains(&"stop"), "the database can be read only then");
        if runs {
            assert_eq!(code_of(&result.unwrap_err()), Code::RolledBack);
            before.assert_same(&world, "another member runs");
        } else {
            result.unwrap();
            assert!(world.is_restored());
            assert!(report.restore.unwrap().others.iter().any(|other| other.contains("192.0.2.2")));
        }
        assert!(world.is_up());
    }
}

#[test]
fn a_database_that_is_a_link_is_refused_by_every_operation() {
    for operation in [Operation::Restore, Operation::ClusterReset, Operation::Rejoin] {
        let world = world(operation);
        let elsewhere = world.root.path().join("ssd");
        fs::rename(world.db().join("etcd"), &elsewhere).unwrap();
        symlink(&elsewhere, world.db().join("etcd")).unwrap();
        let before = Before::of(&world);
        let (result, _) = world.run();
        assert_eq!(code_of(&result.unwrap_err()), Code::UnsupportedLayout, "{operation:?}");
        before.assert_same(&world, operation.as_str());
        assert!(world.is_up() && elsewhere.join("member/snap/db").exists());
    }
}

#[test]
fn certificates_behind_links_are_restored_and_no_copy_of_them_is_left() {
    for kill in [false, true] {
        let mut world = world(Operation::Restore);
        let (pki, server) = (world.root.path().join("pki"), world.data().join("server"));
        fs::create_dir_all(&pki).unwrap();
        fs::rename(server.join("tls"), pki.join("tls")).unwrap();
        symlink(pki.join("tls"), server.join("tls")).unwrap();
        fs::rename(server.join("cred/passwd"), pki.join("passwd")).unwrap();
        symlink(pki.join("passwd"), server.join("cred/passwd")).unwrap();
        if kill {
            // Before the state file names the copies.
            let at = call_number(&self::world(Operation::Restore), "stop");
            world.fault.set(Some((at, Fault::Kill)));
            assert!(world.run_to_kill());
            world.fault.set(None);
            world.files().back_up().unwrap();
            world.recover().0.unwrap();
        } else {
            world.restarts.set(3);
            world.at_start = |world| {
                // K3s writes through links.
                if world.is_restored() {
                    fs::write(world.data().join("server/tls/server-ca.crt"), "written by K3s").unwrap();
                }
            };
            assert_eq!(code_of(&world.run().0.unwrap_err()), Code::RolledBack);
        }
        assert_eq!(fs::read(pki.join("tls/server-ca.crt")).unwrap(), b"ca before", "{kill}");
        assert_eq!(fs::read(pki.join("passwd")).unwrap(), b"passwd before", "{kill}");
        for dir in [&pki, &pki.join("tls")] {
            let hidden = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            assert_eq!(hidden.filter(|name| name.starts_with('.')).count(), 0, "{kill} {}", dir.display());
        }
        world.assert_clean("links");
    }
}

#[test]
fn a_disk_that_k3s_fills_when_it_starts_does_not_keep_the_rollback_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let disk = require!(Disk::mount(&dir.path().join("disk"), 400 << 20));
    let root = tempfile::tempdir_in(disk.path()).unwrap();
    let mut world = World::new_in(Operation::Restore, root);
    world.restarts.set(3);
    world.at_start = |world| {
        if world.is_restored() {
            // Nothing that is removed later gives space back: as with a clone.
            let _ = fs::remove_file(world.db().join(".k3s-snapshot-restore/snapshot"));
            let _ = fs::remove_file(world.db().join(".k3s-snapshot-restore/server/snapshot"));
            fill(&world.root.path().join("filler"));
        }
    };
    let before = Before::of(&world);
    let (result, _) = world.run();
    let e = result.unwrap_err();
    assert_eq!(code_of(&e), Code::RolledBack, "{e:#}");
    assert!(fs::metadata(world.root.path().join("filler")).unwrap().len() > 100 << 20);
    fs::remove_file(world.root.path().join("filler")).unwrap();
    before.assert_same(&world, "a full disk");
    assert!(world.is_up());
}

fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

#[test]
fn a_disk_that_is_not_mounted_at_boot_keeps_the_start_blocked() {
    let build = |is_new_machine: bool| {
        let mut world = world(Operation::Restore);
        world.target = Some(world.root.path().join(NAME).display().to_string());
        fs::write(world.root.path().join(NAME), SNAPSHOT).unwrap();
        if is_new_machine {
            world.active.set(Active::Inactive);
            fs::remove_dir_all(world.data()).unwrap();
            fs::create_dir_all(world.data()).unwrap();
        }
        world
    };
    for is_new_machine in [false, true] {
        let number = call_number(&build(is_new_machine), "reset-failed");
        let world = build(is_new_machine);
        world.fault.set(Some((number, Fault::Kill)));
        assert!(world.run_to_kill());
        world.fault.set(None);
        // No call is between the exchange and the next stage: the state is set back to the end of the exchange.
        let mut state = load_state(&world.files().state).unwrap().unwrap();
        assert_eq!(state.stage, Stage::Starting);
        state.stage = Stage::Swapping;
        world.files().save_state(&state).unwrap();
        world.files().block_again(state.id).unwrap();
        let (mounted, data) = (world.root.path().join("mounted"), world.data());
        fs::rename(&data, &mounted).unwrap();
        // The empty directory of a mount point.
        fs::create_dir_all(&data).unwrap();
        for result in [world.recover_files().0, world.recover().0] {
            assert_eq!(code_of(&result.unwrap_err()), Code::RollbackFailed, "{is_new_machine}");
            assert!(world.files().is_start_blocked().unwrap(), "{is_new_machine}");
        }
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&mounted, &data).unwrap();
        assert_eq!(code_of(&world.recover_files().0.unwrap_err()), Code::RolledBack);
        assert_eq!(world.db().join("etcd").exists(), !is_new_machine);
        assert!(!world.is_restored());
        world.assert_clean("mounted");
    }
}

#[test]
fn the_unit_that_recovers_at_boot_waits_for_the_disk_only_while_there_is_a_restore() {
    let world = world(Operation::Restore);
    world.files().block_start(1).unwrap();
    let units = world.root.path().join("units");
    let text =
        fs::read_to_string(units.join("k3s-snapshot-recover.service.d/60-k3s-snapshot-mounts.conf")).unwrap();
    let db = world.db();
    assert!(text.contains(&format!("RequiresMountsFor=\"{}\"", db.display())), "{text}");
    world.files().remove_drop_ins().unwrap();
    assert_eq!(fs::read_dir(units).unwrap().count(), 0);
}

#[test]
fn a_server_that_has_not_joined_yet_keeps_the_url_of_the_other_server() {
    let number = call_number(&world(Operation::Rejoin), "ready");
    let mut world = world(Operation::Rejoin);
    world.fault.set(Some((number, Fault::Kill)));
    assert!(world.run_to_kill());
    world.fault.set(None);
    let drop_in = world.root.path().join("units/k3s.service.d/60-k3s-snapshot-rejoin.conf");
    let others = std::mem::take(&mut world.others);
    world.never_ready.set(true);
    for _ in 0..2 {
        world.recover_files().0.unwrap();
        assert!(drop_in.exists() && load_state(&world.files().state).unwrap().is_some());
        let (result, report) = world.recover();
        assert_eq!(code_of(&result.unwrap_err()), Code::NotReady);
        assert_eq!(report.restore.unwrap().recovered, Some(Recovered::Kept));
        assert!(drop_in.exists(), "without the URL, K3s starts an empty cluster");
    }
    world.others = others;
    world.never_ready.set(false);
    world.recover().0.unwrap();
    world.assert_restored("joined");
}

#[test]
fn a_password_is_not_sent_to_a_server_that_is_not_verified() {
    for authority in ["another", "the authority"] {
        let mut world = world(Operation::Rejoin);
        // Two addresses that are compared with each other first. The fake server checks the order.
        world.door.configured = Some("https://192.0.2.2:6443");
        world.door.given = Some("https://192.0.2.3:6443");
        world.door.authority = authority;
        let (result, _) = world.run();
        match authority {
            "another" => assert_eq!(code_of(&result.unwrap_err()), Code::JoinServerMismatch),
            _ => result.unwrap(),
        }
    }
}

#[test]
fn a_rollback_that_fails_says_what_is_blocked_and_a_later_recovery_keeps_its_word() {
    // K3s does not stay up, and then cannot be stopped.
    let number = {
        let world = world(Operation::Restore);
        world.restarts.set(3);
        world.run().0.unwrap_err();
        world.log.borrow().iter().rposition(|call| *call == "stop").unwrap() + 1
    };
    let world = world(Operation::Restore);
    world.restarts.set(3);
    world.fault.set(Some((number, Fault::Fail)));
    let (result, _) = world.run();
    assert_eq!(code_of(&result.unwrap_err()), Code::RollbackFailed);
    assert!(world.files().is_start_blocked().unwrap());
    let state = load_state(&world.files().state).unwrap().unwrap();
    assert_eq!(state.stage, Stage::Starting, "what is in the file decides what a later process does");
    world.fault.set(None);
    world.restarts.set(0);
    let (result, report) = world.recover();
    result.unwrap();
    assert_eq!(report.restore.unwrap().recovered, Some(Recovered::Kept));
    world.assert_restored("forward");
}

#[test]
fn k3s_that_does_not_serve_after_a_rollback_is_not_called_ready() {
    let mut world = world(Operation::Restore);
    world.restarts.set(3);
    world.at_start = |world| world.never_ready.set(true);
    let before = Before::of(&world);
    let (result, report) = world.run();
    assert_eq!(code_of(&result.unwrap_err()), Code::RolledBack);
    assert_ne!(report.restore.unwrap().k3s_state, Some(K3sState::Ready));
    before.assert_same(&world, "not ready");
}

#[test]
fn a_foreign_process_on_a_port_of_k3s_does_not_keep_files_from_being_renamed_back() {
    let mut world = world(Operation::Restore);
    world.restarts.set(3);
    world.at_start = |world| {
        let control_group = "/system.slice/other.service".to_owned();
        let other = Listener { port: 6443, pid: Some(9), program: "other".into(), control_group };
        world.machine.listeners.lock().unwrap().push(other);
    };
    let before = Before::of(&world);
    assert_eq!(code_of(&world.run().0.unwrap_err()), Code::RolledBack);
    before.assert_same(&world, "a foreign listener");
}

#[test]
fn an_empty_cluster_of_this_server_s_own_authority_is_no_other_cluster() {
    let mut world = world(Operation::Restore);
    world.cluster_id = Some("made of nothing since".to_owned());
    let text = String::from_utf8_lossy(SNAPSHOT);
    let (begin, end) = ("-----BEGIN CERT", "-----END CERTIFICATE-----\n");
    // That of kube-root-ca.crt, which is the authority of the server.
    let pems = text.match_indices(begin).filter_map(|(at, _)| {
        let pem = text.get(at..)?;
        pem.get(..pem.find(end)? + end.len())
    });
    let hashes: Vec<String> = pems.map(|pem| hex(&Sha256::digest(pem))).collect();
    let mut accepted = 0;
    for hash in &hashes {
        world.ca_hash = Some(hash.clone());
        world.tweak = |options| options.dry_run = true;
        match world.run().0 {
            Ok(()) => accepted += 1,
            Err(e) => assert_eq!(code_of(&e), Code::OtherCluster, "{e:#}"),
        }
    }
    assert!(accepted > 0, "{}", hashes.len());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_token_that_comes_back_is_reported() {
    let world = world(Operation::Restore);
    fs::write(world.data().join("server/token"), "rotated\n").unwrap();
    let (result, report) = world.run();
    result.unwrap();
    assert!(has_warning(&report, WarningCode::TokenChanged));
    let (result, report) = self::world(Operation::Restore).run();
    result.unwrap();
    assert!(!has_warning(&report, WarningCode::TokenChanged));
}

#[test]
fn the_downtime_is_that_of_a_k3s_that_ran() {
    for (active, is_reported) in [(Active::Active, true), (Active::Inactive, false), (Active::Failed, false)]
    {
        for reset in [Reset::Good, Reset::Fails] {
            let mut world = world(Operation::ClusterReset);
            world.active.set(active);
            world.reset = reset;
            let (_, report) = world.run();
            assert_eq!(report.restore.unwrap().downtime_ms.is_some(), is_reported, "{active:?} {reset:?}");
        }
    }
}

#[test]
fn the_latest_snapshot_is_dated_neither_in_the_future_nor_by_digits_that_are_no_time() {
    let mut world = world(Operation::Restore);
    world.target = Some("latest".to_owned());
    let dir = world.db().join("snapshots");
    for name in [
        format!("manual-server-1-{}", NOW + 1_000),
        format!("manual-server-1-{}", (NOW + 1_000) * 1_000),
        "snapshot-20261127030000".to_owned(),
        "backup-20261127".to_owned(),
        format!("pre-restore-server-1-{}", NOW - 5),
    ] {
        fs::write(dir.join(&name), SNAPSHOT).unwrap();
        let file = fs::File::options().write(true).open(dir.join(&name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(NOW - 100_000)).unwrap();
    }
    let (result, report) = world.run();
    result.unwrap();
    assert_eq!(report.snapshots[0].name, NAME);
    assert_eq!(report.restore.unwrap().age_s, Some(NOW - 1_795_339_215));
}

#[test]
fn a_snapshot_that_was_not_current_when_it_was_saved_is_reported() {
    for (freshness, is_reported) in [
        (None, false),
        (Some(Freshness::Current { cluster_revision: 7 }), false),
        (Some(Freshness::Behind { cluster_revision: 9 }), true),
        (Some(Freshness::Unknown { reason: "no quorum".into() }), true),
    ] {
        let mut world = world(Operation::Restore);
        world.tweak = |options| options.dry_run = true;
        let dir = world.db().join("snapshots");
        let file = FileAt::new(fs::File::open(dir.join(NAME)).unwrap()).unwrap().id().unwrap();
        let manifest = Manifest { name: NAME.to_owned(), file, freshness, ..conformance::manifest(SNAPSHOT) };
        world.store(&dir).record(&manifest.name, &mut |_| Some(manifest.clone())).unwrap();
        let (result, report) = world.run();
        result.unwrap();
        assert_eq!(has_warning(&report, WarningCode::SnapshotNotCurrent), is_reported, "{manifest:?}");
    }
}

#[test]
fn certificates_that_resets_of_k3s_set_aside_are_pruned_with_the_databases() {
    let world = world(Operation::Restore);
    let server = world.data().join("server");
    for name in ["tls-100", "tls-200", "tls-old", "db/etcd-failed-3"] {
        fs::create_dir_all(server.join(name)).unwrap();
    }
    let mut report = Report::new(Command::Restore, NOW);
    prune_old_databases(&world.files(), 1, false, &|_| Ok(true), &mut report).unwrap();
    let removed = report.old_databases.iter().filter(|o| o.action == Action::Remove);
    let removed: Vec<_> = removed.map(|o| o.path.clone()).collect();
    assert_eq!(removed, [server.join("tls-100").display().to_string()]);
    let left = |name: &str| server.join(name).exists();
    assert!(!left("tls-100") && left("tls-200") && left("tls-old") && left("db/etcd-old-5"));
}

#[test]
fn the_files_of_a_restore_are_readable_by_root_only() {
    let world = world(Operation::Restore);
    let number = call_number(&self::world(Operation::Restore), "start");
    world.fault.set(Some((number, Fault::Kill)));
    assert!(world.run_to_kill());
    for dir in [
        world.files().state.clone(),
        world.db().join(".k3s-snapshot-restore"),
        world.data().join("server/.k3s-snapshot-restore"),
    ] {
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", dir.display());
    }
}

#[test]
fn the_live_cluster_is_asked_and_not_the_snapshots_that_it_has_left() {
    // The newest snapshot is of another cluster: that of the state before a restore.
    let world = world(Operation::Restore);
    let foreign = world.db().join("snapshots").join(format!("pre-restore-server-1-{}", NOW - 5));
    fs::write(foreign, b"of another cluster").unwrap();
    world.run().0.unwrap();
    world.assert_restored("its own snapshot");
    assert!(world.log.borrow().contains(&"cluster-id"));
}

#[test]
fn a_member_that_cannot_be_saved_live_is_saved_at_rest() {
    let number = call_number(&world(Operation::Restore), "save-live");
    let mut world = world(Operation::Restore);
    world.others = vec![other("server-2-cccccccc", "192.0.2.2")];
    world.fault.set(Some((number, Fault::Fail)));
    let (result, report) = world.run();
    result.unwrap();
    assert!(world.log.borrow().contains(&"save-offline"));
    assert!(report.restore.unwrap().safety_snapshot.is_some());
}
