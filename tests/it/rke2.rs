// SPDX-License-Identifier: Apache-2.0
//! RKE2: its folders with a real etcd on them, recognised or named, saved, listed, verified, pruned, deleted; its restore
//! refused with the steps by hand. How a machine is recognised has its table in `src/config/distribution.rs`.

use std::fs;
use std::path::Path;

use crate::s3;
use crate::support::bucket::Bucket;
use crate::support::etcd::Etcd;
use crate::support::host::Host;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::objects::CLUSTER_UID;
use crate::support::ports::Ports;
use crate::support::require::{self, require};
use crate::support::tool::{Run, Tool};

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

/// What `--show-config` says of an option: its value and where that is from.
fn explained(run: &Run, option: &str) -> (String, String) {
    let rows = run.json();
    let row = rows.as_array().unwrap().iter().find(|r| r["option"] == option).unwrap();
    (row["value"].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned())
}

fn only_row(run: &Run) -> serde_json::Value {
    let rows = run.json();
    let rows = if rows.is_array() { rows } else { rows["snapshots"].clone() };
    let [row] = rows.as_array().unwrap().as_slice() else { panic!("{run:#?}") };
    row.clone()
}

#[test]
fn a_server_is_recognised_below_a_root_and_goes_through_all_verbs() {
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
    let tool = |verb: &str| Tool::new(verb).arg("--root").arg(root.path());
    let explain = tool("list").args(&["--show-config", "--report", "json"]).run().expect(0);
    assert_eq!(
        explained(&explain, "distribution"),
        ("rke2".to_owned(), "from /var/lib/rancher/rke2".to_owned())
    );
    assert_eq!(explained(&explain, "unit").0, "rke2-server.service");
    assert_eq!(explained(&explain, "write-kubeconfig").0, "/etc/rancher/rke2/rke2.yaml");
    let (node, origin) = explained(&explain, "node-name");
    assert!(node == "red" && origin.ends_with("rke2-server.env:1 (RKE2_NODE_NAME)"), "{node} {origin}");
    assert_eq!(explained(&explain, "snapshot-retention").0, "2");

    let save = |name: &str| {
        let tool = tool("save").args(&["--etcd-endpoints", &etcd.endpoint(), "--name", name]);
        only_row(&tool.args(&["--report", "json"]).run().expect(0))
    };
    let row = save("on-demand");
    let name = row["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("on-demand-red-"), "{name}");
    for (field, want) in
        [("state", "proven"), ("token", "current"), ("cluster_id", CLUSTER_UID), ("node", "red")]
    {
        assert_eq!(row[field], want);
    }
    assert_eq!(row["revision"], etcd.revision());
    assert_eq!(root.snapshot_names(), [name.as_str()], "it lies in RKE2's folder");

    let listed = only_row(&tool("list").args(&["-o", "json"]).run().expect(0));
    assert_eq!(
        (&listed["name"], &listed["state"], &listed["token"]),
        (&row["name"], &row["state"], &row["token"])
    );
    let run = tool("verify").arg("--all").run().expect(0);
    assert!(run.stdout.contains(&format!("{name}: proven")), "{run:#?}");

    // What RKE2's configuration says of retention counts, and its scheduled ones are left to it.
    let file = root.snapshots().join(&name);
    for at in 1..=4 {
        fs::copy(&file, root.snapshots().join(format!("on-demand-red-179533920{at}"))).unwrap();
        fs::copy(&file, root.snapshots().join(format!("etcd-snapshot-red-179533920{at}"))).unwrap();
    }
    tool("verify").arg("--all").run().expect(0);
    tool("prune").run().expect(0);
    let left = root.snapshot_names();
    assert_eq!(left.iter().filter(|n| n.starts_with("etcd-snapshot-")).count(), 4, "{left:?}");
    assert_eq!(left[4..], ["on-demand-red-1795339204", name.as_str()]);
    tool("delete").args(&["--yes", "on-demand-red-1795339204"]).run().expect(0);
    assert_eq!(root.snapshot_names().len(), 5);
}

#[test]
fn a_server_that_is_named_is_found_by_etcd_s_own_configuration() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let run = |verb: &str, args: &[&str]| {
        Tool::new(verb).args(&["--distribution", "rke2"]).on(&etcd.root).args(args).run()
    };
    let row = only_row(&run("save", &["--report", "json", "--node-name", "red"]).expect(0));
    assert_eq!((&row["state"], &row["recency"]["state"]), (&"proven".into(), &"current".into()));
    assert_eq!(etcd.root.snapshot_names(), [row["name"].as_str().unwrap()]);
    let file = etcd.root.snapshots().join(row["name"].as_str().unwrap());
    let theirs = etcd.root.path().join("theirs.db");
    etcd.snapshot_save(&theirs);
    assert!(fs::read(file).unwrap() == fs::read(theirs).unwrap(), "not identical to etcdctl's");

    // Words about RKE2 name RKE2.
    let none = etcd.root.path().join("none");
    let nowhere =
        Tool::new("save").args(&["--distribution", "rke2", "--data-dir"]).arg(&none).run().expect(78);
    assert!(nowhere.stderr.contains("no RKE2 data-dir at"), "{nowhere:#?}");
    let nowhere = Tool::new("list").args(&["--distribution", "rke2", "-d"]).arg(&none).run().expect(78);
    assert!(nowhere.stderr.contains("is not the data-dir of a RKE2 server"), "{nowhere:#?}");
}

#[test]
fn an_etcd_that_is_down_is_looked_for_in_rke2_s_unit() {
    let root = K3sRoot::new(&layout(), Ports::free());
    fs::create_dir_all(root.server().join("db/etcd/member/wal")).unwrap();
    let run = Tool::new("save").args(&["--distribution", "rke2"]).on(&root).run().expect(1);
    assert!(run.stderr.contains("systemctl status rke2-server'"), "{run:#?}");
}

#[test]
fn a_machine_with_both_needs_the_option() {
    let root = K3sRoot::new(&layout(), Ports::free());
    write(&root, "usr/local/bin/k3s", "");
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let tool = Tool::new("list").arg("--root").arg(root.path()).args(args);
        env.iter().fold(tool, |tool, (name, value)| tool.env(name, value)).run()
    };
    let asked = run(&[], &[]).expect(78);
    for word in ["K3s ('/usr/local/bin/k3s')", "RKE2 ('/var/lib/rancher/rke2')", "--distribution rke2"] {
        assert!(asked.stderr.contains(word), "{asked:#?}");
    }
    run(&["--distribution", "rke2"], &[]).expect(0);
    run(&[], &[("K3S_SNAPSHOT_DISTRIBUTION", "rke2")]).expect(0);
    let args = ["--distribution", "k3s", "--report", "json"];
    let k3s = run(&args, &[("K3S_SNAPSHOT_DISTRIBUTION", "rke2")]).expect(78);
    assert_eq!(k3s.json()["error"]["code"], "data-dir-not-found");
    run(&["--distribution", "k0s"], &[]).expect(2);
    run(&[], &[("K3S_SNAPSHOT_DISTRIBUTION", "k0s")]).expect(78);
    write(&root, "etc/k3s-snapshot/config.yaml", "distribution: rke2\n");
    run(&[], &[]).expect(0);
}

#[test]
fn a_restore_is_refused_with_the_steps_by_hand() {
    let root = K3sRoot::new(&layout(), Ports::free());
    let before = fs::read_dir(root.path().join("var/lib")).unwrap().count();
    let run = |args: &[&str]| {
        Tool::new("restore").args(&["--distribution", "rke2"]).on(&root).args(args).run().expect(77)
    };
    let (dir, data) = (root.snapshots(), root.data_dir());
    for (args, snapshot) in [
        (&["--yes", "on-demand-red-1795339204"][..], dir.join("on-demand-red-1795339204")),
        (&["--dry-run", "/mnt/a b.zip"], Path::new("'/mnt/a b.zip'").to_owned()),
        (&["latest"], dir.join("NAME")),
        (&["--clean-old", "1", "--yes"], dir.join("NAME")),
    ] {
        let run = run(args);
        assert!(run.stderr.starts_with("error: RKE2 is not restored by this program"), "{run:#?}");
        for step in [
            "systemctl stop rke2-server, then rke2-killall.sh".to_owned(),
            format!("k3s-snapshot-verify {}\n", snapshot.display()),
            format!(
                "rke2 server --cluster-reset --etcd-s3=false --cluster-reset-restore-path={} ",
                snapshot.display()
            ),
            format!("mv -T {0}/server/db/etcd {0}/server/db/etcd-before", data.display()),
            "systemctl start rke2-server".to_owned(),
        ] {
            assert!(run.stderr.contains(&step), "no {step:?} in {run:#?}");
        }
        assert_eq!(run.stderr.matches("\nhint: ").count(), 6, "a line for each step: {run:#?}");
    }
    assert_eq!(fs::read_dir(root.path().join("var/lib")).unwrap().count(), before, "something was made");
}

#[test]
fn an_object_in_a_bucket_bears_the_metadata_that_rke2_looks_for() {
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = etcd();
    let tool = s3::tool("save", &etcd.root, &bucket).args(&["--distribution", "rke2", "--s3"]);
    let run = tool.args(&["--node-name", "red", "--report", "json"]).run().expect(0);
    let name = run.json()["snapshots"][0]["name"].as_str().unwrap().to_owned();
    let seen = bucket.front.seen();
    let put = seen.iter().find(|s| s.method == "PUT" && s.target.ends_with(&name)).unwrap();
    for (field, value) in [("node-name", "red"), ("token-hash", "ba1d715a4f9b"), ("cluster-id", CLUSTER_UID)]
    {
        let header = format!("x-amz-meta-rke2-{field}");
        assert_eq!(put.headers.get(&header).map(String::as_str), Some(value), "{put:?}");
        assert!(!put.headers.contains_key(&format!("x-amz-meta-k3s-{field}")), "{put:?}");
    }
    let listed =
        s3::tool("list", &etcd.root, &bucket).args(&["--distribution", "rke2", "--s3", "-o", "json"]);
    let listed = listed.run().expect(0).json();
    assert!(listed.as_array().unwrap().iter().all(|r| r["state"] == "proven"), "{listed}");
}

/// A booted host with RKE2's real paths and units and no option at all.
#[test]
fn a_host_that_runs_rke2_needs_no_option() {
    let said = require!(Host::new()).run("rke2", &[]).succeeded();
    assert!(said.contains("all verbs went by themselves"), "{said}");
}
