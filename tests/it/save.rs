// SPDX-License-Identifier: Apache-2.0
//! save against a real etcd: what a successful save leaves. Failures are in `save_failures.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use k3s_snapshot::error::Code;
use k3s_snapshot::model::warning::WarningCode;
use serde_json::Value;

use crate::support::cli::{Run, Tool, text};
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

fn run(etcd: &Etcd, args: &[&str]) -> Run {
    Tool::new("save").on(&etcd.root).args(args).report()
}

/// Saves and returns the row of the report.
#[track_caller]
fn save(etcd: &Etcd, args: &[&str]) -> Value {
    run(etcd, args).expect(0).row()
}

#[test]
fn snapshot_is_byte_identical_to_one_of_etcdctl_and_etcdutl_restores_it() {
    require!(require::etcd_programs());
    let etcd = etcd();
    etcd.put("/registry/a", "1");
    etcd.del("/registry/a");
    let theirs = etcd.root.path().join("theirs.db");
    etcd.snapshot_save(&theirs);
    let row = save(&etcd, &[]);
    let ours = etcd.root.snapshots().join(row["name"].as_str().unwrap());
    let is_same = fs::read(&ours).unwrap() == fs::read(&theirs).unwrap();
    assert!(is_same || !require::snapshots_repeat(), "not identical to etcdctl's");
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
    let is_same = fs::read(&plain).unwrap() == fs::read(&theirs).unwrap();
    assert!(is_same || !require::snapshots_repeat(), "the zip holds other bytes");
    assert_eq!(ctl::snapshot_status(&plain).unwrap()["revision"], row["revision"]);
}

#[test]
fn report_and_manifest_have_the_facts_of_the_snapshot() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let row = save(&etcd, &["--node-name", "server-1"]);
    let name = row["name"].as_str().unwrap();
    assert!(name.starts_with("manual-server-1-"), "{name}");
    assert_eq!(row["state"], "verified");
    assert_eq!(row["node"], "server-1");
    assert_eq!(row["token_matches"], true);
    assert_eq!(row["token_hash"], serde_json::json!(["ba1d715a4f9b"]));
    assert_eq!(row["cluster_id"], CLUSTER_UID);
    assert_eq!(row["freshness"]["state"], "current");
    assert_eq!(row["freshness"]["cluster_revision"], etcd.revision());
    let file = etcd.root.snapshots().join(name);
    assert_eq!(row["location"], format!("file://{}", file.display()));
    let meta = fs::metadata(&file).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(row["size"], meta.len());
    assert_eq!(etcd.root.snapshot_names(), [name], "no other file is in the snapshot directory");

    let manifests: Vec<_> = walk(&etcd.root.state_dir())
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
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
    assert_eq!(manifest["key_revisions"], row["key_revisions"]);
    assert_eq!(manifest["freshness"], row["freshness"]);
    assert!(manifest["verified_at"].is_u64() && manifest["verified_at"] == manifest["checked_at"]);
    assert_eq!(manifest["etcd_version"], require::etcd_version());
    assert_eq!(manifest["members"], serde_json::json!([etcd.root.member_name()]));
}

pub(crate) fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(walk(&path)) } else { all.push(path) }
    }
    all
}

#[test]
fn used_name_gets_the_next_free_second_and_no_file_is_overwritten() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let first = save(&etcd, &[]);
    let taken = first["name"].as_str().unwrap();
    let at: u64 = taken.rsplit('-').next().unwrap().parse().unwrap();
    // A zip of that name counts too: K3s unpacks it to that name.
    let stem = taken.rsplit_once('-').unwrap().0;
    for second in 1..10 {
        fs::write(etcd.root.snapshots().join(format!("{stem}-{}.zip", at + second)), b"theirs").unwrap();
    }
    let second = save(&etcd, &[]);
    assert_eq!(second["name"], format!("{stem}-{}", at + 10));
    assert_eq!(fs::read(etcd.root.snapshots().join(format!("{stem}-{}.zip", at + 1))).unwrap(), b"theirs");
}

#[test]
fn zip_with_the_next_free_second_is_verified() {
    require!(require::etcd_programs());
    let etcd = etcd();
    for _ in 0..2 {
        save(&etcd, &["--snapshot-compress"]);
    }
    let run = Tool::new("verify").on(&etcd.root).arg("--all").report().expect(0);
    assert!(run.states().values().all(|state| state == "verified"), "{run:#?}");
}

#[test]
fn precedence_is_k3s_file_then_environment_then_command_line() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let k3s = etcd.root.path().join("k3s.yaml");
    let run =
        |tool: Tool| text(&tool.on(&etcd.root).arg("--config").arg(&k3s).report().expect(0).row()["name"]);
    fs::write(&k3s, "node-name: from-k3s\nwrite-kubeconfig-mode: \"0644\"\netcd-snapshot-compress: true\n")
        .unwrap();
    let name = run(Tool::new("save"));
    assert!(name.starts_with("manual-from-k3s-") && name.ends_with(".zip"), "{name}");
    let name =
        run(Tool::new("save").env("K3S_SNAPSHOT_NODE_NAME", "from-env").arg("--snapshot-compress=false"));
    assert!(name.starts_with("manual-from-env-") && !name.ends_with(".zip"), "{name}");
    let name =
        run(Tool::new("save").env("K3S_SNAPSHOT_NODE_NAME", "from-env").args(&["--node-name", "from-flag"]));
    assert!(name.starts_with("manual-from-flag-"), "{name}");
}

#[test]
fn base_name_that_k3s_prunes_causes_a_warning() {
    require!(require::etcd_programs());
    let etcd = etcd();
    for (name, warned) in [("etcd-snapshot-mine", true), ("on-demand", true), ("mine", false)] {
        let run = run(&etcd, &["--name", name]).expect(0);
        assert_eq!(run.warnings() == [WarningCode::NameOfK3s.as_str()], warned, "{name}: {run:#?}");
    }
}

#[test]
fn quiet_save_prints_nothing_on_success() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let run = Tool::new("save").on(&etcd.root).arg("--quiet").run().expect(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let run = Tool::new("save").on(&etcd.root).run().expect(0);
    assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
}

#[test]
fn link_of_a_command_is_that_command() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let row = Tool::link("save").on(&etcd.root).report().expect(0).row();
    let run = Tool::link("list").on(&etcd.root).report().expect(0);
    assert_eq!((run.json()["command"].as_str(), &run.row()["name"]), (Some("list"), &row["name"]));
    let name = text(&row["name"]);
    assert_eq!(Tool::link("verify").on(&etcd.root).arg(&name).report().expect(0).json()["command"], "verify");
    assert_eq!(Tool::link("prune").on(&etcd.root).report().expect(0).json()["command"], "prune");
    Tool::link("delete").on(&etcd.root).args(&["--yes", "--force", &name]).report().expect(0);
    assert_eq!(etcd.root.snapshot_names(), [""; 0]);
    let restore =
        Tool::link("restore").on(&etcd.root).args(&["--show-config", "--report", "json"]).run().expect(0);
    assert!(restore.json().is_array(), "the settings of the restore");
}

#[test]
fn program_without_a_command_prints_the_help_and_exits_with_2() {
    let run = Tool::program("k3s-snapshot").run().expect(2);
    for command in ["save", "list", "verify", "prune", "delete", "restore", "fetch", "check-s3", "status"] {
        assert!(run.stderr.lines().any(|l| l.trim_start().starts_with(&format!("{command} "))), "{run:#?}");
    }
    Tool::program("k3s-snapshot").arg("explode").run().expect(2);
    Tool::program("k3s-snapshot").arg("--help").run().expect(0);
}

#[test]
fn default_directory_is_created_with_mode_0700_and_another_one_is_not() {
    require!(require::etcd_programs());
    let etcd = etcd();
    fs::remove_dir_all(etcd.root.snapshots()).unwrap();
    save(&etcd, &[]);
    assert_eq!(fs::metadata(etcd.root.snapshots()).unwrap().permissions().mode() & 0o777, 0o700);
    let elsewhere = etcd.root.path().join("elsewhere");
    let elsewhere_text = elsewhere.to_str().unwrap();
    let run = run(&etcd, &["--dir", elsewhere_text]).fails(Code::DirectoryUnavailable).with_hint();
    assert!(run.stderr.contains(elsewhere_text), "{run:#?}");
    assert!(!elsewhere.exists());
    fs::create_dir(&elsewhere).unwrap();
    save(&etcd, &["--dir", elsewhere_text]);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
}

#[test]
fn progress_is_reported_to_systemd() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let path = etcd.root.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    Tool::new("save").on(&etcd.root).env("NOTIFY_SOCKET", &path).run().expect(0);
    let mut steps: Vec<String> = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(n) = socket.recv(&mut buf) {
        let message = String::from_utf8_lossy(&buf[..n]).into_owned();
        steps.extend(message.lines().filter_map(|l| l.strip_prefix("STATUS=")).map(str::to_owned));
    }
    steps.dedup();
    assert!(steps.len() >= 3 && steps.iter().all(|step| !step.is_empty()), "{steps:?}");
}

#[test]
fn full_standard_output_is_a_failure_and_a_closed_pipe_is_not() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("server/db/snapshots")).unwrap();
    let list = || Tool::new("list").arg("--data-dir").arg(root.path());
    let full = ["sh", "-c", r#"exec "$@" >/dev/full"#, "sh"];
    let run = list().under(&full).run().expect(1);
    assert!(run.stderr.starts_with("error: "), "{run:?}");
    let gone = ["sh", "-c", r#""$@" | true"#, "sh"];
    let run = list().under(&gone).run().expect(0);
    assert_eq!(run.stderr, "");
}

/// NFS and others do not support unnamed files (`O_TMPFILE`).
#[test]
fn save_without_unnamed_files_leaves_only_the_snapshot() {
    require!(require::etcd_programs());
    require!(require::program("strace"));
    let etcd = etcd();
    for args in [&[][..], &["--snapshot-compress"][..]] {
        // Of the calls that open the directory, the second is the unnamed file; then the directory is listed.
        let directory = etcd.root.snapshots();
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=openat",
            "-P",
            directory.to_str().unwrap(),
        ];
        let inject = ["-e", "inject=openat:error=EOPNOTSUPP:when=2+3"];
        let old = directory.join(".k3s-snapshot-1-0000000000000000.part");
        fs::write(&old, "left by a killed run").unwrap();
        let aged = std::process::Command::new("touch").args(["-d", "2 days ago"]).arg(&old).status().unwrap();
        assert!(aged.success());
        let before = etcd.root.snapshot_names().len() - 1;
        let tool = Tool::new("save").on(&etcd.root).args(args).args(&["--method", "stream"]);
        tool.under(&[&strace[..], &inject[..]].concat()).run().expect(0);
        // Named temporary files of killed runs are removed only if a save itself needs such a name.
        assert!(!old.exists(), "the save did not use a named temporary file");
        assert_eq!(etcd.root.snapshot_names().len(), before + 1);
        Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
    }
}

#[test]
fn other_token_and_other_cluster_cause_warnings() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let token = etcd.root.server().join("token");
    fs::write(&token, "another\n").unwrap();
    let run = run(&etcd, &[]).expect(0);
    assert_eq!(run.warnings(), [WarningCode::TokenMismatch.as_str()], "{run:#?}");
    assert_eq!(run.row()["token_matches"], false);
    assert!(run.stderr.contains("ba1d715a4f9b"), "the warning has the hash of the token: {run:#?}");
    // K3s was started on an empty database, in the same directories.
    let new = Etcd::start();
    let run = Tool::new("save")
        .on(&etcd.root)
        .args(&["--etcd-endpoints", &new.endpoint()])
        .args(&["--etcd-cacert", new.root.certs().ca().to_str().unwrap()])
        .args(&["--etcd-cert", new.root.certs().file("client.crt").to_str().unwrap()])
        .args(&["--etcd-key", new.root.certs().file("client.key").to_str().unwrap()])
        .report()
        .expect(0);
    assert!(run.warns(WarningCode::ClusterChanged), "{run:#?}");
}

/// The manifests; their directory also has a lock file.
fn manifests(etcd: &Etcd) -> Vec<std::path::PathBuf> {
    let all = walk(&etcd.root.state_dir()).into_iter();
    all.filter(|path| path.extension().is_some_and(|e| e == "json")).collect()
}

#[test]
fn revision_that_went_back_causes_a_warning() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.fill(10, 100);
    save(&etcd, &[]);
    // As if that snapshot had been saved before a restore.
    let manifest = manifests(&etcd).pop().unwrap();
    let mut recorded: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    recorded["revision"] = (recorded["revision"].as_i64().unwrap() + 1000).into();
    fs::write(&manifest, recorded.to_string()).unwrap();
    let run = run(&etcd, &[]).expect(0);
    assert!(run.warns(WarningCode::RevisionWentBack), "{run:#?}");
    assert!(!run.warns(WarningCode::ClusterChanged), "{run:#?}");
}

#[test]
fn relative_directory_in_the_file_of_k3s_is_below_the_data_dir() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let config = etcd.root.path().join("k3s.yaml");
    fs::write(&config, "etcd-snapshot-dir: snaps\n").unwrap();
    fs::create_dir(etcd.root.server().join("snaps")).unwrap();
    Tool::new("save").on(&etcd.root).arg("--config").arg(&config).run().expect(0);
    assert_eq!(fs::read_dir(etcd.root.server().join("snaps")).unwrap().count(), 1);
}

/// Bytes that a save has read, from `/proc`: the shell has counted its child when it has ended.
fn bytes_read(save: Tool) -> (u64, Value) {
    let counted = ["sh", "-c", r#""$@"; code=$?; cat "/proc/$$/io" >&2; exit $code"#, "sh"];
    let run = save.under(&counted).report().expect(0);
    let line = run.stderr.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    (line.parse().unwrap(), run.row())
}

/// A zip is made in the pass that hashes the snapshot: all that is read in addition is the zip itself, when it is verified.
#[test]
fn zip_reads_the_database_no_more_often_than_a_plain_save() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    etcd.fill(1500, 8_000);
    for method in ["copy", "stream"] {
        let save = || Tool::new("save").on(&etcd.root).args(&["--method", method]);
        let (plain, row) = bytes_read(save());
        let (zipped, zip) = bytes_read(save().arg("--snapshot-compress"));
        assert_eq!((&row["method"], &zip["method"]), (&method.into(), &method.into()));
        let (size, zip_size) = (row["size"].as_u64().unwrap(), zip["size"].as_u64().unwrap());
        assert!(size > 8 << 20, "{size}");
        // The zip is hashed, and unpacked.
        let allowed = plain + 2 * zip_size + (1 << 20);
        assert!(zipped < allowed, "{method}: {plain} bytes without a zip, {zipped} with one of {zip_size}");
        println!("{method}: database {size}, zip {zip_size}, read {plain} plain, {zipped} zipped");
    }
}
