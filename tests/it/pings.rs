// SPDX-License-Identifier: Apache-2.0
//! Pings and reports of jobs: what a server receives for each outcome, and that its failures change no run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use k3s_snapshot::error::Code;
use k3s_snapshot::model::warning::WarningCode;
use serde_json::Value;

use crate::s3::{plain, tool};
use crate::support::bucket::Bucket;
use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::front::Fault;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::ports::free_port;
use crate::support::receiver::{Answer, Receiver};
use crate::support::require::{self, require};
use crate::support::schema;

/// A part of each URL.
const SECRET: &str = "geheim-4711";
const CHECK: &str = "/ping/geheim-4711";

/// With the check of the command at this server.
fn pinging(tool: Tool, command: &str, server: &Receiver) -> Tool {
    tool.env(&format!("K3S_SNAPSHOT_PING_URL_{}", command.to_ascii_uppercase()), server.url(CHECK))
}

/// A server without snapshots, on which a verification succeeds.
fn machine() -> K3sRoot {
    let root = crate::s3::root();
    fs::create_dir_all(root.snapshots()).unwrap();
    root
}

fn verify(root: &K3sRoot) -> Tool {
    plain("verify", root).arg("--all").arg("--debug")
}

/// Panics if the secret is in what the run printed, or in a file below the directory.
#[track_caller]
fn no_secret(run: &Run, dir: &Path) {
    assert!(!format!("{run:?}").contains(SECRET), "{run:#?}");
    let mut grep = Command::new("grep");
    let found = grep.args(["-rl", SECRET]).arg(dir).stdin(Stdio::null()).output().unwrap();
    assert_eq!(found.status.code(), Some(1), "{found:?}");
}

/// The lock of a machine on which a job has run, held by another process.
fn held_lock(root: &K3sRoot) -> fs::File {
    let lock = fs::read_dir(root.run_dir()).unwrap().next().unwrap().unwrap().path();
    let held = fs::File::open(lock).unwrap();
    held.lock().unwrap();
    held
}

#[test]
fn each_outcome_of_each_job_has_its_pings() {
    require!(require::etcd_programs());
    let (bucket, server) = (Bucket::start(), Receiver::start());
    let mut etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    let start = format!("GET {CHECK}/start");
    let ended = |suffix: &str| vec![start.clone(), format!("GET {CHECK}{suffix}")];
    let run = |root: &K3sRoot, command: &str| pinging(tool(command, root, &bucket), command, &server);
    run(&etcd.root, "save").report().expect(0);
    assert_eq!(server.lines(), ended(""), "saved and verified");
    run(&etcd.root, "save").arg("--s3").report().expect(0);
    assert_eq!(server.lines(), ended(""), "uploaded");
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    run(&etcd.root, "save").arg("--s3").report().expect(3);
    assert_eq!(server.lines(), ended("/3"), "not uploaded is no success");
    bucket.front.plan(&[]);
    run(&etcd.root, "prune").report().expect(0);
    assert_eq!(server.lines(), ended(""));
    run(&etcd.root, "prune").arg("--dry-run").report().expect(0);
    run(&etcd.root, "list").report().expect(0);
    assert_eq!(server.lines(), [""; 0], "no jobs");
    run(&etcd.root, "verify").arg("--all").report().expect(0);
    assert_eq!(server.lines(), ended(""));
    let files = fs::read_dir(etcd.root.snapshots()).unwrap();
    let file = files.map(|e| e.unwrap().path()).find(|path| path.is_file()).unwrap();
    fs::write(&file, "x").unwrap();
    run(&etcd.root, "verify").arg("--all").report().expect(65);
    assert_eq!(server.lines(), ended("/65"));
    // The ping of the start does not wait for the lock.
    let lock = held_lock(&etcd.root);
    run(&etcd.root, "save").report().fails(Code::Locked);
    assert_eq!(server.lines(), ended("/75"));
    drop(lock);
    etcd.stop();
    let failed = run(&etcd.root, "save").report();
    assert_eq!(server.lines(), ended(&format!("/{}", failed.code.unwrap())), "{failed:#?}");
}

#[test]
fn a_skipped_run_sends_nothing_and_waits_for_no_lock() {
    let (server, root) = (Receiver::start(), machine());
    plain("prune", &root).report().expect(0);
    let _lock = held_lock(&root);
    fs::remove_dir_all(root.server()).unwrap();
    fs::create_dir_all(root.data_dir().join("agent")).unwrap();
    for command in ["save", "prune", "verify"] {
        let all: &[&str] = if command == "verify" { &["--all"] } else { &[] };
        let run = pinging(plain(command, &root), command, &server)
            .env("K3S_SNAPSHOT_NOTIFY_URL", server.url("/report"))
            .args(all);
        let report = run.arg("--skip-without-etcd").report().expect(0).json();
        assert_eq!(report["outcome"], "skipped");
    }
    assert_eq!(server.lines(), [""; 0]);
}

#[test]
fn a_check_that_does_not_answer_well_is_a_warning_without_the_url() {
    let (server, other, root) = (Receiver::start(), Receiver::start(), machine());
    let metrics = tempfile::tempdir().unwrap();
    let run = |url: String| {
        let run = verify(&root)
            .env("K3S_SNAPSHOT_METRICS_DIR", metrics.path())
            .env("K3S_SNAPSHOT_PING_URL_VERIFY", &url)
            .report()
            .expect(0);
        no_secret(&run, metrics.path());
        no_secret(&run, root.path());
        run.warnings().iter().filter(|w| *w == WarningCode::PingFailed.as_str()).count()
    };
    for answer in [
        Answer::Status(500),
        Answer::Status(404),
        Answer::Status(199),
        Answer::Redirect(other.url(&format!("/moved/{SECRET}"))),
        Answer::Hang,
    ] {
        server.answers(std::slice::from_ref(&answer));
        assert_eq!(run(server.url(CHECK)), 2, "{answer:?}: start and success");
    }
    assert_eq!(other.lines(), [""; 0], "a redirect is not followed");
    for url in [
        format!("http://127.0.0.1:{}{CHECK}", free_port()),
        server.url(CHECK).replace("http:", "https:"),
        format!("http://none.invalid{CHECK}"),
    ] {
        assert_eq!(run(url.clone()), 2, "{url}");
    }
    assert_eq!(run(format!("ftp://hc.example{CHECK}")), 1, "no URL to ping");
    // An error that passes is no warning.
    server.take();
    server.answers(&[Answer::Status(503), Answer::Status(200)]);
    assert_eq!(run(server.url(CHECK)), 0);
    let start = format!("GET {CHECK}/start");
    assert!(server.lines().starts_with(&[start.clone(), start]));
}

#[test]
fn the_url_is_read_from_a_file_or_a_credential_and_is_never_shown() {
    let (server, root) = (Receiver::start(), machine());
    let seen = || server.lines() == [format!("GET {CHECK}/start"), format!("GET {CHECK}")];
    let file = root.path().join("url");
    fs::write(&file, format!("{}\n", server.url(CHECK))).unwrap();
    verify(&root).env("K3S_SNAPSHOT_PING_URL_VERIFY_FILE", &file).report().expect(0);
    assert!(seen());
    let credentials = root.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("ping-url-verify"), server.url(CHECK)).unwrap();
    let with_credential = || verify(&root).env("CREDENTIALS_DIRECTORY", &credentials);
    with_credential().report().expect(0);
    assert!(seen());
    let shown = with_credential().arg("--show-config").run().expect(0);
    assert!(!shown.stdout.contains(SECRET) && shown.stdout.contains("(hidden)"), "{shown:#?}");
    assert_eq!(server.lines(), [""; 0]);
    let gone = verify(&root).env("K3S_SNAPSHOT_PING_URL_VERIFY_FILE", "/nonexistent").report().expect(0);
    assert!(gone.warns(WarningCode::PingFailed), "{gone:#?}");
}

#[test]
fn the_report_of_each_job_is_posted() {
    let (server, root) = (Receiver::start(), machine());
    let run = || verify(&root).env("K3S_SNAPSHOT_NOTIFY_URL", server.url(CHECK));
    let posted = || -> Value {
        let mut all = server.take();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].line, format!("POST {CHECK}"));
        let report = serde_json::from_str(&all.remove(0).body).unwrap();
        schema::validate(&report);
        report
    };
    run().report().expect(0);
    assert_eq!((posted()["outcome"].as_str(), posted_nothing(&server)), (Some("done"), true));
    fs::write(root.snapshots().join("manual-server-1-1795339218"), "x").unwrap();
    let failed = run().report().expect(65).json();
    let report = posted();
    for field in ["outcome", "exit_code", "error", "warnings", "snapshots"] {
        assert_eq!(report[field], failed[field], "{field}");
    }
    server.answers(&[Answer::Status(500)]);
    let warned = run().report().expect(65);
    assert!(warned.warns(WarningCode::ReportNotSent), "{warned:#?}");
    no_secret(&warned, root.path());
}

fn posted_nothing(server: &Receiver) -> bool {
    server.take().is_empty()
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let (proxy, root) = (Receiver::start(), machine());
    proxy.answers(&[Answer::Tunnel, Answer::Status(200), Answer::Tunnel, Answer::Status(200)]);
    let run = verify(&root)
        .env("HTTP_PROXY", proxy.url(""))
        .env("NO_PROXY", "")
        .env("K3S_SNAPSHOT_PING_URL_VERIFY", format!("http://hc.example{CHECK}"))
        .report()
        .expect(0);
    assert!(!run.warns(WarningCode::PingFailed), "{run:#?}");
    let connect = "CONNECT hc.example:80".to_owned();
    let want = [connect.clone(), format!("GET {CHECK}/start"), connect, format!("GET {CHECK}")];
    assert_eq!(proxy.lines(), want);
}
