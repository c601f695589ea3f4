// SPDX-License-Identifier: Apache-2.0
//! What the programs do for the timers: leave a machine alone that has no etcd, say that K3s saves too, wait their turn.

use std::fs;
use std::path::Path;

use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::require::{self, require};

/// A data-dir with these folders and files, and K3s's configuration.
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

fn run(verb: &str, root: &Path, args: &[&str]) -> Run {
    let path = |name: &str| root.join(name).display().to_string();
    let all = if verb == "verify" { vec!["--all"] } else { vec![] };
    Tool::new(verb)
        .args(&["--data-dir", &path("data"), "--config", &path("config.yaml")])
        .args(&["--state-dir", &path("state"), "--run-dir", &path("run")])
        .args(&all)
        .args(args)
        .run()
}

#[test]
fn a_machine_without_etcd_is_left_alone_where_that_is_as_it_should_be() {
    // What lies there, what K3s is told, and how the save of a timer ends.
    let rows: &[(&[&str], &str, i32, &str)] = &[
        (&["agent/"], "", 0, "agent"),
        (&["server/db/state.db"], "", 0, "SQLite"),
        (&["server/db/state.db"], "cluster-init: true\n", 78, "SQLite"),
        (&["server/db/"], "datastore-endpoint: postgres://u:geheim@h/d\n", 0, "postgres"),
        (&["server/db/"], "disable-etcd: true\n", 0, "etcd database not found"),
        (&["server/db/"], "", 78, "etcd database not found"),
        (&["unknown/"], "", 78, "is not the data-dir"),
        (&[], "", 78, "there is no K3s data-dir"),
    ];
    for (holds, config, code, word) in rows {
        let root = machine(holds, config);
        let save = run("save", root.path(), &["--skip-without-etcd"]).expect(*code);
        assert!(save.stderr.contains(word) && !save.stderr.contains("geheim"), "{save:#?}");
        // Asked by hand, it is a failure.
        run("save", root.path(), &[]).expect(78);
        if *code == 0 {
            for verb in ["prune", "verify", "list"] {
                let run = run(verb, root.path(), &["--skip-without-etcd", "--report", "json"]).expect(0);
                let report = run.json();
                assert_eq!(report["outcome"], "skipped", "{report}");
                assert!(report["skipped"].as_str().unwrap().contains(word), "{report}");
            }
            assert_eq!(run("list", root.path(), &["--skip-without-etcd"]).expect(0).stdout, "");
        }
    }
}

#[test]
fn the_timer_says_that_k3s_saves_too_until_k3s_is_told_not_to() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.bootstrap("secret");
    let config = etcd.root.path().join("config.yaml");
    let warned = |text: &str, name: &str| {
        fs::write(&config, text).unwrap();
        let save = Tool::new("save").on(&etcd.root).arg("--config").arg(&config);
        let run = save.args(&["--name", name, "--report", "json"]).run().expect(0);
        run.json()["warnings"].to_string().contains("etcd-disable-snapshots: true")
    };
    assert!(warned("", "timer"));
    assert!(!warned("etcd-disable-snapshots: true\n", "timer"));
    assert!(!warned("", "by-hand"));
}
