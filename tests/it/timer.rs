// SPDX-License-Identifier: Apache-2.0
//! What the commands do for the timers: skip a machine without etcd, warn about the second schedule of K3s.

use std::fs;
use std::path::Path;

use k3s_snapshot::error::Code;
use k3s_snapshot::model::warning::WarningCode;

use crate::support::cli::{Run, Tool, text};
use crate::support::etcd::Etcd;
use crate::support::require::{self, require};

/// A data-dir with these directories and files, and the configuration of K3s.
fn machine(holds: &[&str], config: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for path in holds {
        let path = root.path().join("data").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.extension().is_some() {
            fs::write(path, "x").unwrap()
        } else {
            fs::create_dir_all(path).unwrap()
        }
    }
    fs::write(root.path().join("config.yaml"), config).unwrap();
    root
}

fn run(command: &str, root: &Path, args: &[&str]) -> Run {
    let path = |name: &str| root.join(name).display().to_string();
    let all = if command == "verify" { vec!["--all"] } else { vec![] };
    Tool::new(command)
        .args(&["--data-dir", &path("data"), "--config", &path("config.yaml")])
        .args(&["--state-dir", &path("state"), "--run-dir", &path("run")])
        .args(&all)
        .args(args)
        .report()
}

#[test]
fn timer_skips_a_machine_without_etcd_only_if_that_is_by_design() {
    // Files, configuration of K3s, and whether a save by the timer is skipped.
    let rows: &[(&[&str], &str, bool)] = &[
        (&["agent/"], "", true),
        // A server that is to join others does not use the SQLite that it had before.
        (&["server/db/state.db"], "server: https://10.0.0.1:6443\n", false),
        (&["server/db/"], "datastore-endpoint: postgres://u:geheim@h/d\n", true),
        (&["server/db/"], "disable-etcd: true\n", true),
        (&["server/db/"], "", false),
        (&["unknown/"], "", false),
        (&[], "", false),
    ];
    for (holds, config, skipped) in rows {
        let root = machine(holds, config);
        let by_hand = run("save", root.path(), &[]).fails(Code::NoEmbeddedEtcd);
        let save = run("save", root.path(), &["--skip-without-etcd"]);
        assert!(!format!("{save:?}{by_hand:?}").contains("geheim"), "{save:#?}");
        if !skipped {
            save.fails(Code::NoEmbeddedEtcd);
            continue;
        }
        let reason = text(&save.expect(0).json()["skipped"]);
        for command in ["prune", "verify", "list"] {
            let report = run(command, root.path(), &["--skip-without-etcd"]).expect(0).json();
            assert_eq!(
                (&report["outcome"], &report["skipped"]),
                (&"skipped".into(), &reason.as_str().into())
            );
        }
        let list = Tool::new("list").arg("--data-dir").arg(root.path().join("data"));
        let list = list.arg("--config").arg(root.path().join("config.yaml")).arg("--skip-without-etcd");
        assert_eq!(list.run().expect(0).stdout, "");
    }
}

#[test]
fn save_of_the_timer_warns_about_the_schedule_of_k3s() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.bootstrap("secret");
    let config = etcd.root.path().join("config.yaml");
    let warned = |text: &str, name: &str| {
        fs::write(&config, text).unwrap();
        let save = Tool::new("save").on(&etcd.root).arg("--config").arg(&config);
        save.args(&["--name", name]).report().expect(0).warns(WarningCode::AlsoScheduledByK3s)
    };
    assert!(warned("", "timer"));
    assert!(!warned("etcd-disable-snapshots: true\n", "timer"));
    assert!(!warned("", "by-hand"));
}
