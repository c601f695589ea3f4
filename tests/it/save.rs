// SPDX-License-Identifier: Apache-2.0
//! save against a real etcd: what it leaves behind when all goes well. What it does when not is in `trouble.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::cli::Tool;
use crate::support::etcd::Etcd;
use crate::support::objects::CLUSTER_UID;
use crate::support::require::{self, require};
use crate::support::{ctl, k3s_root::Layout};

fn etcd() -> Etcd {
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    etcd.fill(300, 3_000);
    etcd
}

/// Saves and gives back the one row of the report.
fn save(etcd: &Etcd, args: &[&str]) -> Value {
    let run = Tool::new("save").on(&etcd.root).args(args).args(&["--report", "json"]).run().expect(0);
    run.json()["snapshots"][0].clone()
}

#[test]
fn a_snapshot_is_byte_for_byte_that_of_etcdctl_and_etcdutl_restores_it() {
    require!(require::etcd_programs());
    let etcd = etcd();
    etcd.put("/registry/a", "1");
    etcd.del("/registry/a");
    let theirs = etcd.root.path().join("theirs.db");
    etcd.snapshot_save(&theirs);
    let row = save(&etcd, &[]);
    let ours = etcd.root.snapshots().join(row["name"].as_str().unwrap());
    assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap(), "not identical to etcdctl's");
    assert_eq!(row["revision"], etcd.revision());
    let status = ctl::snapshot_status(&ours).unwrap();
    assert_eq!(status["revision"], row["revision"]);
    ctl::snapshot_restore(&ours, &etcd.root.path().join("restored")).unwrap();

    // The zip gives back the same bytes, to any program that unpacks zips.
    let row = save(&etcd, &["--snapshot-compress", "--name", "packed"]);
    let zip = etcd.root.snapshots().join(row["name"].as_str().unwrap());
    assert!(zip.to_str().unwrap().ends_with(".zip"));
    let script = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; i=z.infolist(); assert len(i)==1; print(i[0].filename); open(sys.argv[2],'wb').write(z.read(i[0]))";
    let plain = etcd.root.path().join("plain");
    let out =
        std::process::Command::new("python3").args(["-c", script]).arg(&zip).arg(&plain).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), zip.file_stem().unwrap().to_str().unwrap());
    assert!(fs::read(&plain).unwrap() == fs::read(&theirs).unwrap(), "the zip holds other bytes");
}

#[test]
fn the_report_and_the_manifest_tell_what_was_read_from_the_snapshot() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let row = save(&etcd, &["--node-name", "server-1"]);
    let name = row["name"].as_str().unwrap();
    assert!(name.starts_with("on-demand-server-1-"), "{name}");
    assert_eq!(row["state"], "proven");
    assert_eq!(row["node"], "server-1");
    assert_eq!(row["token"], "current");
    assert_eq!(row["token_hash"], serde_json::json!(["ba1d715a4f9b"]));
    assert_eq!(row["cluster_id"], CLUSTER_UID);
    assert_eq!(row["recency"]["state"], "current");
    assert_eq!(row["recency"]["asked"], etcd.revision());
    let file = etcd.root.snapshots().join(name);
    assert_eq!(row["location"], format!("file://{}", file.display()));
    let meta = fs::metadata(&file).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(row["size"], meta.len());
    assert_eq!(etcd.root.snapshot_names(), [name], "nothing else lies in K3s's folder");

    let manifests: Vec<_> = walk(&etcd.root.state_dir());
    assert_eq!(manifests.len(), 1, "{manifests:?}");
    assert_eq!(fs::metadata(&manifests[0]).unwrap().permissions().mode() & 0o777, 0o600);
    let manifest: Value = serde_json::from_slice(&fs::read(&manifests[0]).unwrap()).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(&file).output().unwrap();
    let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_owned();
    assert_eq!(manifest["version"], 1);
    assert_eq!(manifest["stored_sha256"], sum.as_str());
    assert_eq!(manifest["plain_sha256"], sum.as_str());
    assert_eq!(manifest["plain_size"], meta.len());
    assert_eq!(manifest["revision"], row["revision"]);
    assert_eq!(manifest["entries"], row["entries"]);
    assert_eq!(manifest["etcd_version"], "3.5.1");
    assert_eq!(manifest["members"], serde_json::json!([etcd.root.member_name()]));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(walk(&path)) } else { all.push(path) }
    }
    all
}

#[test]
fn a_taken_name_gets_the_next_second_and_nothing_is_overwritten() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let first = save(&etcd, &[]);
    let taken = first["name"].as_str().unwrap();
    let at: u64 = taken.rsplit('-').next().unwrap().parse().unwrap();
    // The same name as a zip is taken too: K3s unpacks it to that name.
    let stem = taken.rsplit_once('-').unwrap().0;
    for second in 1..10 {
        fs::write(etcd.root.snapshots().join(format!("{stem}-{}.zip", at + second)), b"theirs").unwrap();
    }
    let second = save(&etcd, &[]);
    assert_eq!(second["name"], format!("{stem}-{}", at + 10));
    assert_eq!(fs::read(etcd.root.snapshots().join(format!("{stem}-{}.zip", at + 1))).unwrap(), b"theirs");
}

#[test]
fn a_zip_that_had_to_take_the_next_second_is_still_proven() {
    require!(require::etcd_programs());
    let etcd = etcd();
    for _ in 0..2 {
        save(&etcd, &["--snapshot-compress"]);
    }
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
}

#[test]
fn k3s_config_and_ours_and_environment_and_flags_are_heard_in_that_order() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let k3s = etcd.root.path().join("k3s.yaml");
    let run = |tool: Tool| {
        let run = tool.on(&etcd.root).arg("--config").arg(&k3s).args(&["--report", "json"]).run().expect(0);
        run.json()["snapshots"][0]["name"].as_str().unwrap().to_owned()
    };
    fs::write(&k3s, "node-name: from-k3s\nwrite-kubeconfig-mode: \"0644\"\netcd-snapshot-compress: true\n")
        .unwrap();
    let name = run(Tool::new("save"));
    assert!(name.starts_with("on-demand-from-k3s-") && name.ends_with(".zip"), "{name}");
    let name =
        run(Tool::new("save").env("K3S_SNAPSHOT_NODE_NAME", "from-env").arg("--snapshot-compress=false"));
    assert!(name.starts_with("on-demand-from-env-") && !name.ends_with(".zip"), "{name}");
    let name =
        run(Tool::new("save").env("K3S_SNAPSHOT_NODE_NAME", "from-env").args(&["--node-name", "from-flag"]));
    assert!(name.starts_with("on-demand-from-flag-"), "{name}");
}

#[test]
fn a_base_that_k3s_would_prune_is_warned_about() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let run = Tool::new("save").on(&etcd.root).args(&["--name", "etcd-snapshot-mine"]).run().expect(0);
    assert!(run.stderr.contains("K3s's own"), "{run:?}");
    let run = Tool::new("save").on(&etcd.root).args(&["--name", "mine"]).run().expect(0);
    assert!(!run.stderr.contains("K3s's own"), "{run:?}");
    assert_eq!(run.stderr.matches("token is not in the snapshot").count(), 1, "{run:?}");
}

#[test]
fn the_default_folder_is_made_0700_and_another_one_is_not() {
    require!(require::etcd_programs());
    let etcd = etcd();
    fs::remove_dir_all(etcd.root.snapshots()).unwrap();
    save(&etcd, &[]);
    assert_eq!(fs::metadata(etcd.root.snapshots()).unwrap().permissions().mode() & 0o777, 0o700);
    let elsewhere = etcd.root.path().join("elsewhere");
    let run = Tool::new("save").on(&etcd.root).arg("--dir").arg(&elsewhere).run().expect(78);
    assert!(run.stderr.contains(elsewhere.to_str().unwrap()) && run.stderr.contains("mounted"), "{run:?}");
    assert!(!elsewhere.exists());
    fs::create_dir(&elsewhere).unwrap();
    Tool::new("save").on(&etcd.root).arg("--dir").arg(&elsewhere).run().expect(0);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
}

#[test]
fn systemd_is_told_how_far_it_is_and_a_full_stdout_is_a_failure() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let path = etcd.root.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    Tool::new("save").on(&etcd.root).env("NOTIFY_SOCKET", &path).run().expect(0);
    let mut told = String::new();
    let mut buf = [0; 4096];
    while let Ok(n) = socket.recv(&mut buf) {
        told.push_str(&String::from_utf8_lossy(&buf[..n]));
    }
    for step in ["STATUS=asking etcd", "STATUS=receiving the snapshot", "STATUS=proving the snapshot"] {
        assert!(told.contains(step), "{told}");
    }
    let full = ["sh", "-c", r#"exec "$@" >/dev/full"#, "sh"];
    let run = Tool::new("list").on(&etcd.root).under(&full).run().expect(1);
    assert!(run.stderr.contains("printing the result"), "{run:?}");
    let gone = ["sh", "-c", r#""$@" | true"#, "sh"];
    let run = Tool::new("list").on(&etcd.root).under(&gone).run().expect(0);
    assert_eq!(run.stderr, "");
}

/// NFS and others know no files without a name.
#[test]
fn without_unnamed_files_a_save_is_as_good_and_leaves_no_other_name() {
    require!(require::etcd_programs());
    require!(require::program("strace"));
    let etcd = etcd();
    for args in [&[][..], &["--snapshot-compress"][..]] {
        // Of the calls that open the folder, the second is the unnamed file; then the folder is looked through.
        let folder = etcd.root.snapshots();
        let strace =
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=openat", "-P", folder.to_str().unwrap()];
        let inject = ["-e", "inject=openat:error=EOPNOTSUPP:when=2+3"];
        let old = folder.join(".k3s-snapshot-1-0000000000000000.part");
        fs::write(&old, "left by a killed run").unwrap();
        let aged = std::process::Command::new("touch").args(["-d", "2 days ago"]).arg(&old).status().unwrap();
        assert!(aged.success());
        let before = etcd.root.snapshot_names().len() - 1;
        let tool = Tool::new("save").on(&etcd.root).args(args).args(&["--method", "stream"]);
        let run = tool.under(&[&strace[..], &inject[..]].concat()).run().expect(0);
        assert!(
            run.stderr.contains("which a killed run had left"),
            "the way without unnamed files was taken: {run:?}"
        );
        assert_eq!(etcd.root.snapshot_names().len(), before + 1);
        Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
    }
}

#[test]
fn another_token_another_cluster_and_a_fallen_revision_are_warned_about() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let token = etcd.root.server().join("token");
    fs::write(&token, "another\n").unwrap();
    let run = Tool::new("save").on(&etcd.root).run().expect(0);
    assert!(
        run.stderr.contains("token does not open the snapshot") && run.stderr.contains("ba1d715a4f9b"),
        "{run:?}"
    );
    assert!(!run.stderr.contains("another cluster"), "{run:?}");
    // K3s started anew, empty, on the same folders.
    let anew = Etcd::start();
    let run = Tool::new("save")
        .on(&etcd.root)
        .args(&["--etcd-endpoints", &anew.endpoint()])
        .args(&["--etcd-cacert", anew.root.certs().ca().to_str().unwrap()])
        .args(&["--etcd-cert", anew.root.certs().file("client.crt").to_str().unwrap()])
        .args(&["--etcd-key", anew.root.certs().file("client.key").to_str().unwrap()])
        .run()
        .expect(0);
    assert!(run.stderr.contains("another cluster than that of"), "{run:?}");
}

#[test]
fn a_relative_folder_in_k3s_s_file_is_where_k3s_works() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let config = etcd.root.path().join("k3s.yaml");
    fs::write(&config, "etcd-snapshot-dir: snaps\n").unwrap();
    fs::create_dir(etcd.root.server().join("snaps")).unwrap();
    Tool::new("save").on(&etcd.root).arg("--config").arg(&config).run().expect(0);
    assert_eq!(fs::read_dir(etcd.root.server().join("snaps")).unwrap().count(), 1);
}
