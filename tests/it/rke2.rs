// SPDX-License-Identifier: Apache-2.0
//! RKE2: its directories with a real etcd, detected or named; save, list, verify, prune and delete; its restore is refused
//! with the manual steps. The detection has its table in `src/config/detect.rs`.

use std::fs;
use std::path::Path;

use k3s_snapshot::error::{Code, Kind};

use crate::s3;
use crate::support::bucket::Bucket;
use crate::support::cli::{Run, Tool, text};
use crate::support::etcd::Etcd;
use crate::support::host::Host;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::objects::CLUSTER_UID;
use crate::support::ports::Ports;
use crate::support::require::{self, require};

fn layout() -> Layout {
    Layout { distribution: "rke2".into(), token: "labtoken".into(), ..Layout::default() }
}

fn etcd() -> Etcd {
    let etcd = Etcd::start_with(layout());
    etcd.bootstrap("labtoken");
    etcd.fill(300, 3_000);
    etcd
}

fn write(root: &K3sRoot, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Value and origin of a setting in the output of `--show-config`.
fn setting(run: &Run, option: &str) -> (String, String) {
    let rows = run.json();
    let row = rows.as_array().unwrap().iter().find(|r| r["option"] == option).unwrap();
    (text(&row["value"]), text(&row["origin"]))
}

#[test]
fn server_is_detected_below_a_root_and_every_command_works() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let root = &etcd.root;
    write(root, "etc/rancher/rke2/config.yaml", "etcd-snapshot-retention: 2\n");
    write(
        root,
        "usr/local/lib/systemd/system/rke2-server.service",
        "[Service]\nEnvironmentFile=-/usr/local/lib/systemd/system/%N.env\nExecStart=/usr/local/bin/rke2 server\n",
    );
    write(root, "usr/local/lib/systemd/system/rke2-server.env", "RKE2_NODE_NAME=red\nK3S_NODE_NAME=no\n");
    let tool = |command: &str| Tool::new(command).arg("--root").arg(root.path());
    let shown = tool("list").arg("--show-config").report().expect(0);
    let (distribution, origin) = setting(&shown, "distribution");
    assert!(distribution == "rke2" && origin.contains("/var/lib/rancher/rke2"), "{distribution} {origin}");
    assert_eq!(setting(&shown, "unit").0, "rke2-server.service");
    assert_eq!(setting(&shown, "write-kubeconfig").0, "/etc/rancher/rke2/rke2.yaml");
    let (node, origin) = setting(&shown, "node-name");
    assert!(node == "red" && origin.ends_with("rke2-server.env:1 (RKE2_NODE_NAME)"), "{node} {origin}");
    assert_eq!(setting(&shown, "snapshot-retention").0, "2");

    let save = |name: &str| {
        let tool = tool("save").args(&["--etcd-endpoints", &etcd.endpoint(), "--name", name]);
        tool.report().expect(0).row()
    };
    let row = save("manual");
    let name = text(&row["name"]);
    assert!(name.starts_with("manual-red-"), "{name}");
    for (field, want) in [("state", "verified"), ("cluster_id", CLUSTER_UID), ("node", "red")] {
        assert_eq!(row[field], want);
    }
    assert_eq!(row["token_matches"], true);
    assert_eq!(row["revision"], etcd.revision());
    assert_eq!(root.snapshot_names(), [name.as_str()], "in the directory of RKE2");

    let listed = tool("list").args(&["-o", "json"]).run().expect(0).row();
    for field in ["name", "state", "token_matches"] {
        assert_eq!(listed[field], row[field]);
    }
    let run = tool("verify").arg("--all").report().expect(0);
    assert_eq!(run.states()[&name], "verified");

    // The retention of RKE2's configuration is used, and its scheduled snapshots are not pruned.
    let file = root.snapshots().join(&name);
    for at in 1..=4 {
        fs::copy(&file, root.snapshots().join(format!("manual-red-179533920{at}"))).unwrap();
        fs::copy(&file, root.snapshots().join(format!("etcd-snapshot-red-179533920{at}"))).unwrap();
    }
    tool("verify").arg("--all").run().expect(0);
    tool("prune").run().expect(0);
    let left = root.snapshot_names();
    assert_eq!(left.iter().filter(|n| n.starts_with("etcd-snapshot-")).count(), 4, "{left:?}");
    assert_eq!(left[4..], ["manual-red-1795339204", name.as_str()]);
    tool("delete").args(&["--yes", "manual-red-1795339204"]).run().expect(0);
    assert_eq!(root.snapshot_names().len(), 5);
}

#[test]
fn server_that_is_named_is_found_by_the_configuration_of_etcd() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let save = Tool::new("save").args(&["--distribution", "rke2", "--node-name", "red"]).on(&etcd.root);
    let row = save.report().expect(0).row();
    assert_eq!((&row["state"], &row["freshness"]["state"]), (&"verified".into(), &"current".into()));
    assert_eq!(etcd.root.snapshot_names(), [row["name"].as_str().unwrap()]);
    let file = etcd.root.snapshots().join(row["name"].as_str().unwrap());
    let theirs = etcd.root.path().join("theirs.db");
    etcd.snapshot_save(&theirs);
    assert!(fs::read(file).unwrap() == fs::read(theirs).unwrap(), "not identical to etcdctl's");

    // Errors name RKE2.
    let none = etcd.root.path().join("none");
    let run = |command: &str| {
        Tool::new(command).args(&["--distribution", "rke2", "--data-dir"]).arg(&none).report()
    };
    for run in [run("save").fails(Code::NoEmbeddedEtcd), run("list").fails(Code::DataDirNotFound)] {
        assert!(run.stderr.contains("RKE2") && !run.stderr.contains("K3s"), "{run:#?}");
    }
}

#[test]
fn hint_for_an_etcd_that_is_stopped_names_the_service_of_rke2() {
    let root = K3sRoot::new(&layout(), Ports::free());
    fs::create_dir_all(root.server().join("db/etcd/member/wal")).unwrap();
    let run = Tool::new("save").args(&["--distribution", "rke2"]).on(&root).report();
    let run = run.fails(Code::EtcdUnreachable).with_hint();
    assert!(run.stderr.contains("systemctl status rke2-server"), "{run:#?}");
}

#[test]
fn machine_with_both_distributions_needs_the_option() {
    let root = K3sRoot::new(&layout(), Ports::free());
    write(&root, "usr/local/bin/k3s", "");
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let tool = Tool::new("list").arg("--root").arg(root.path()).args(args);
        env.iter().fold(tool, |tool, (name, value)| tool.env(name, value)).report()
    };
    let refused = run(&[], &[]).fails(Code::DistributionAmbiguous).with_hint();
    for evidence in ["/usr/local/bin/k3s", "/var/lib/rancher/rke2", "--distribution"] {
        assert!(refused.stderr.contains(evidence), "{refused:#?}");
    }
    run(&["--distribution", "rke2"], &[]).expect(0);
    run(&[], &[("K3S_SNAPSHOT_DISTRIBUTION", "rke2")]).expect(0);
    let k3s = run(&["--distribution", "k3s"], &[("K3S_SNAPSHOT_DISTRIBUTION", "rke2")]);
    assert!(k3s.fails(Code::DataDirNotFound).stderr.contains("K3s"));
    run(&["--distribution", "k0s"], &[]).fails_as(Code::InvalidSetting, Kind::Usage);
    run(&[], &[("K3S_SNAPSHOT_DISTRIBUTION", "k0s")]).fails(Code::InvalidSetting);
    write(&root, "etc/k3s-snapshot/config.yaml", "distribution: rke2\n");
    run(&[], &[]).expect(0);
}

#[test]
fn restore_is_refused_with_the_manual_steps() {
    let root = K3sRoot::new(&layout(), Ports::free());
    let before = fs::read_dir(root.path().join("var/lib")).unwrap().count();
    let restore = |args: &[&str]| {
        let tool = Tool::new("restore").args(&["--distribution", "rke2"]).on(&root).args(args);
        tool.report().fails(Code::DistributionUnsupported).with_hint()
    };
    let (dir, data) = (root.snapshots(), root.data_dir());
    for (args, snapshot) in [
        (&["--yes", "manual-red-1795339204"][..], dir.join("manual-red-1795339204")),
        (&["--dry-run", "/mnt/a b.zip"], Path::new("'/mnt/a b.zip'").to_owned()),
        (&["latest"], dir.join("NAME")),
        (&["--prune-old-databases", "1", "--yes"], dir.join("NAME")),
    ] {
        let hint = text(&restore(args).json()["error"]["hint"]);
        let (snapshot, data) = (snapshot.display(), data.display());
        for command in [
            "rke2-killall.sh".to_owned(),
            format!("rke2 server --cluster-reset --etcd-s3=false --cluster-reset-restore-path={snapshot} "),
            format!("mv -T {data}/server/db/etcd {data}/server/db/etcd-before"),
            "systemctl start rke2-server".to_owned(),
        ] {
            assert!(hint.contains(&command), "no {command:?} in {hint}");
        }
    }
    assert_eq!(fs::read_dir(root.path().join("var/lib")).unwrap().count(), before, "nothing was written");
}

#[test]
fn object_in_a_bucket_has_the_metadata_of_rke2() {
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = etcd();
    let tool = s3::tool("save", &etcd.root, &bucket).args(&["--distribution", "rke2", "--s3"]);
    let name = text(&tool.args(&["--node-name", "red"]).report().expect(0).rows()[0]["name"]);
    let seen = bucket.front.seen();
    let put = seen.iter().find(|s| s.method == "PUT" && s.target.ends_with(&name)).unwrap();
    for (field, value) in [("node-name", "red"), ("token-hash", "ba1d715a4f9b"), ("cluster-id", CLUSTER_UID)]
    {
        let header = format!("x-amz-meta-rke2-{field}");
        assert_eq!(put.headers.get(&header).map(String::as_str), Some(value), "{put:?}");
        assert!(!put.headers.contains_key(&format!("x-amz-meta-k3s-{field}")), "{put:?}");
    }
    let list = s3::tool("list", &etcd.root, &bucket).args(&["--distribution", "rke2", "--s3"]);
    let rows = list.report().expect(0).rows();
    assert!(rows.len() == 2 && rows.iter().all(|r| r["state"] == "verified"), "{rows:?}");
}

/// A booted host with the real paths and units of RKE2, and no option.
#[test]
fn host_with_rke2_needs_no_option() {
    let output = require!(Host::new()).run("rke2", &[]).succeeded();
    assert!(output.contains("every command works without an option"), "{output}");
}
