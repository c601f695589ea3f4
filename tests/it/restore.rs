// SPDX-License-Identifier: Apache-2.0
//! Restores in booted hosts, around the fake K3s that `fake_k3s.rs` tests. The scenarios are the files in
//! `tests/host/restore/`; each is one test here. `LONG=1` makes a fault at every call, or at one of FAULTS_SHARE, instead of
//! at a sample, on three file systems.

use crate::support::calls;
use crate::support::host::Host;
use crate::support::require::require;

macro_rules! scenarios {
    ($($name:ident $file:literal,)+) => {
        const SCENARIOS: &[&str] = &[$($file),+];
        $(#[test]
        fn $name() {
            let host = require!(Host::new()).seconds(300);
            host.run(concat!("restore/", $file), &[]).succeeded();
        })+
    };
}

scenarios! {
    what_is_restored "01-what-is-restored",
    settings_reach_the_reset_and_what_would_harm_it_does_not "02-settings",
    a_new_machine "03-a-new-machine",
    tokens_and_keys "04-tokens",
    damaged_snapshots_are_refused_while_k3s_runs "05-corrupt",
    harm_is_refused_before_anything_is_touched "06-refused",
    k3s_fails_at_each_point_of_its_reset "07-the-reset-fails",
    k3s_fails_at_each_point_of_its_start "08-the-start-fails",
    k3s_does_not_stop_as_it_should "09-the-stop-fails",
    k3s_was_down_or_broken_before "10-down-or-broken-before",
    the_unit_does_the_whole_walk "11-as-a-unit",
    interrupted_by_a_signal_a_kill_or_in_the_way_back "12-interrupted",
    old_databases_are_cleaned_away_when_asked "13-old-databases",
    a_server_with_sqlite "14-sqlite",
    offline_saves_of_a_killed_a_torn_and_a_stopped_etcd "15-offline",
}

#[test]
fn every_scenario_is_run() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/restore");
    let mut found: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, SCENARIOS);
}

/// The file systems on which a server has its data. A test cannot run without the kernel module and the program of its own.
pub(crate) const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// Whether it is a long run.
fn is_long() -> bool {
    std::env::var_os("LONG").is_some_and(|v| v == "1")
}

/// A fault is made at one of so many calls: of the sample, or in a long run of FAULTS_SHARE, or at all.
pub(crate) fn share(sample: u32) -> String {
    let long = || std::env::var("FAULTS_SHARE").map_or(1, |share| share.parse().unwrap());
    if is_long() { long() } else { sample }.to_string()
}

/// In a long run, a third of the calls on each file system; otherwise a sample on that of the machine.
fn faults(path: &str, fault: &str, sample: u32) {
    let restore_faults = |host: Host, share: u32, first: usize| {
        let arguments = [path, fault, &share.to_string(), &first.to_string()];
        tell(&host.seconds(7200).run("restore-faults", &arguments).succeeded());
    };
    if !is_long() {
        return restore_faults(require!(Host::new()), sample, 1);
    }
    for (i, kind) in FILE_SYSTEMS.iter().enumerate() {
        let share = 3 * share(sample).parse::<u32>().unwrap();
        restore_faults(require!(Host::on_volume(kind)), share, i + 1);
    }
}

/// The figures in the last line of a scenario; `None` if it has not come to its end.
fn figures(output: &str) -> Option<&str> {
    output.lines().find(|line| line.contains(" times at "))
}

/// Past the test runner's capture of output: the figures of a test that passes are worth a line.
pub(crate) fn tell(output: &str) {
    let figures = figures(output).expect("figures");
    use std::io::Write;
    std::io::stderr().write_all(format!("\n{figures}\n").as_bytes()).unwrap();
}

#[test]
fn a_restore_that_succeeds_is_killed() {
    faults("succeeds", "kill", 31);
}

#[test]
fn a_restore_that_is_rolled_back_is_killed() {
    faults("rolls-back", "kill", 37);
}

#[test]
fn a_recovery_is_killed() {
    faults("recovers", "kill", 7);
}

#[test]
fn a_restore_is_asked_to_stop_at_any_call() {
    faults("succeeds", "term", 43);
    faults("sqlite-succeeds", "term", 53);
}

#[test]
fn a_disk_is_full_or_fails_during_a_restore() {
    faults("succeeds", "enospc", 53);
    faults("rolls-back", "eio", 61);
}

#[test]
fn a_restore_of_sqlite_is_killed_at_any_call() {
    faults("sqlite-succeeds", "kill", 23);
    faults("sqlite-rolls-back", "kill", 41);
    faults("sqlite-recovers", "kill", 11);
}

#[test]
fn a_disk_is_full_or_fails_during_a_restore_of_sqlite() {
    faults("sqlite-succeeds", "enospc", 53);
    faults("sqlite-rolls-back", "eio", 61);
}

/// In a long run on each file system, otherwise on this one.
pub(crate) fn power_cuts(kind: &str, scenario: &str, args: &[&str]) {
    let kinds = if is_long() { &FILE_SYSTEMS[..] } else { &[kind] };
    for kind in kinds {
        let library = require!(calls::library());
        let host = require!(Host::on_volume(kind)).bind("-B", library.parent().unwrap(), "/opt/calls");
        cut_power(host.seconds(300), scenario, args);
    }
}

/// Boots the host again and again, until the scenario has cut the power at all its calls.
fn cut_power(mut host: Host, scenario: &str, args: &[&str]) {
    loop {
        let booted = host.run(scenario, args);
        // The end of a host that is powered off can look like a success; the last boot has its figures.
        let ended = booted.code == Some(0) && figures(&booted.output).is_none();
        if booted.code != Some(137) && !ended {
            tell(&booted.succeeded());
            return;
        }
        host.power_cut();
    }
}

#[test]
fn the_power_fails_during_a_restore_that_succeeds() {
    power_cuts("ext4", "restore-power-cuts", &["succeeds", &share(36)]);
}

#[test]
fn the_power_fails_during_a_restore_that_is_rolled_back() {
    power_cuts("xfs", "restore-power-cuts", &["rolls-back", &share(44)]);
}

#[test]
fn the_power_fails_during_a_restore_of_sqlite() {
    power_cuts("xfs", "restore-power-cuts", &["sqlite-succeeds", &share(26)]);
    power_cuts("ext4", "restore-power-cuts", &["sqlite-rolls-back", &share(40)]);
}

#[test]
fn the_power_fails_during_or_after_a_save() {
    power_cuts("xfs", "save-power-cuts", &["sqlite", &share(9)]);
    power_cuts("ext4", "save-power-cuts", &["etcd", &share(13)]);
}

#[test]
fn the_power_fails_during_or_after_a_prune() {
    power_cuts("xfs", "prune-power-cuts", &[&share(11)]);
}

/// Minutes, most of them for filling etcd.
#[test]
fn a_large_snapshot_costs_two_seconds_of_downtime_at_most() {
    if is_long() {
        let host = require!(Host::new()).seconds(900);
        let output = host.run("restore-of-500-mb", &[]).succeeded();
        assert!(output.contains("own downtime at "), "{output}");
    }
}
