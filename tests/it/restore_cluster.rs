// SPDX-License-Identifier: Apache-2.0
//! Restores that are about more than one server's own files: from a bucket, without a quorum, with three servers. In booted
//! hosts, around the fake K3s that `fake_k3s.rs` tests; the scenarios are the files in `tests/host/cluster/`.

use crate::restore::{power_cuts, share, tell};
use crate::support::host::Host;
use crate::support::moto;
use crate::support::require::require;

const SCENARIOS: &[&str] = &[
    "01-from-the-bucket",
    "02-a-lost-quorum",
    "03-three-servers",
    "04-a-rejoin-is-cut-off",
    "05-rebuild",
    "06-sqlite-from-the-bucket",
];

/// With a real S3 server in the host.
fn with_a_bucket(scenario: &str) {
    let program = require!(moto::program());
    let venv = program.ancestors().nth(2).unwrap();
    let host = require!(Host::new()).seconds(300).bind("-B", venv, "/opt/moto");
    host.run(scenario, &[]).succeeded();
}

#[test]
fn from_the_bucket_by_name_by_time_and_on_a_new_machine() {
    with_a_bucket("cluster/01-from-the-bucket");
}

#[test]
fn sqlite_from_the_bucket_by_name_compressed_and_on_a_new_machine() {
    with_a_bucket("cluster/06-sqlite-from-the-bucket");
}

#[test]
fn a_lost_quorum_is_given_up_and_the_data_kept() {
    let host = require!(Host::new()).seconds(300);
    host.run("cluster/02-a-lost-quorum", &[]).succeeded();
}

#[test]
fn three_servers_one_is_restored_and_the_others_join_again() {
    let host = require!(Host::new()).seconds(300);
    host.run("cluster/03-three-servers", &[]).succeeded();
}

#[test]
fn a_rejoin_is_cut_off_by_a_full_disk_or_a_kill() {
    let host = require!(Host::new()).seconds(3600);
    tell(&host.run("cluster/04-a-rejoin-is-cut-off", &[&share(25)]).succeeded());
}

#[test]
fn a_server_is_rebuilt_on_another_machine_from_the_bucket_and_one_key() {
    let program = require!(moto::program());
    let venv = program.ancestors().nth(2).unwrap();
    let host = require!(Host::new()).seconds(1800).bind("-B", venv, "/opt/moto");
    tell(&host.run("cluster/05-rebuild", &[&share(29)]).succeeded());
}

#[test]
fn the_power_fails_during_a_rebuild_and_the_next_boot_finishes_it() {
    power_cuts("ext4", "rebuild-power-cuts", &[&share(67)]);
}

#[test]
fn every_scenario_is_run() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/cluster");
    let mut found: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, SCENARIOS);
}
