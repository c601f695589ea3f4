// SPDX-License-Identifier: Apache-2.0
//! status on real directories, with a real etcd and a real bucket: each fact is found, absent or not visible.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use k3s_snapshot::error::Code;
use serde_json::Value;

use crate::s3::{plain, tool};
use crate::support::bucket::Bucket;
use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::front::Fault;
use crate::support::k3s_root::Layout;
use crate::support::objects::object;
use crate::support::require::{self, require};

fn etcd() -> Etcd {
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    etcd
}

fn codes(run: &Run) -> Vec<String> {
    let reasons = run.json()["status"]["reasons"].as_array().unwrap().clone();
    reasons.iter().map(|r| r["code"].as_str().unwrap().to_owned()).collect()
}

fn unknown(run: &Run) -> Vec<String> {
    let all = run.json()["status"]["unknown"].as_array().unwrap().clone();
    all.iter().map(|u| u["fact"].as_str().unwrap().to_owned()).collect()
}

fn status(run: &Run, at: &str) -> Value {
    run.json()["status"].pointer(at).cloned().unwrap_or(Value::Null)
}

#[test]
fn newest_snapshot_is_compared_with_the_live_etcd_also_if_etcd_stops() {
    require!(require::etcd_programs());
    let mut etcd = etcd();
    let look = |etcd: &Etcd| Tool::new("status").on(&etcd.root).report();
    let run = look(&etcd).fails(Code::StatusReasons);
    assert_eq!(codes(&run), ["no-verified-snapshot"]);
    let saved = Tool::new("save").on(&etcd.root).report().expect(0).row();
    etcd.put("/registry/a", "1");
    etcd.put("/registry/b", "1");
    let run = look(&etcd).expect(0);
    assert_eq!(status(&run, "/local/newest/name"), saved["name"]);
    assert_eq!(status(&run, "/local/newest/revision"), saved["revision"]);
    assert_eq!(status(&run, "/local/newest/behind"), 2);
    assert_eq!(status(&run, "/local/counts/verified"), 1);
    assert_eq!(status(&run, "/local/keeps"), serde_json::json!(["snapshot-retention 5"]));
    assert_eq!(status(&run, "/etcd/quota_bytes"), 2_u64 << 30);
    let members = status(&run, "/etcd/members");
    assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
    assert_eq!(
        members.pointer("/0/name"),
        Some(&serde_json::json!(etcd.root.member_name().trim())),
        "{members}"
    );
    for (field, value) in [("here", true), ("leader", true), ("learner", false)] {
        assert_eq!(members.pointer(&format!("/0/{field}")), Some(&Value::Bool(value)), "{members}");
    }
    assert_eq!(status(&run, "/s3"), Value::Null, "no upload is set up");
    let text = Tool::new("status").on(&etcd.root).run().expect(0);
    assert!(text.stdout.contains(saved["name"].as_str().unwrap()), "{text:#?}");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let old = Tool::new("status").on(&etcd.root).args(&["--max-age", "1s"]).report();
    assert_eq!(codes(&old.fails(Code::StatusReasons)), ["snapshot-too-old"]);
    etcd.stop();
    let run = look(&etcd).expect(0);
    assert!(unknown(&run).contains(&"etcd".to_owned()), "{run:#?}");
    assert_eq!(status(&run, "/local/newest/behind"), Value::Null);
    let file = etcd.root.snapshots().join(saved["name"].as_str().unwrap());
    fs::write(file, "x").unwrap();
    assert_eq!(codes(&look(&etcd).fails(Code::StatusReasons)), ["no-verified-snapshot", "snapshot-corrupt"]);
}

#[test]
fn copies_are_those_of_the_bucket_and_without_it_those_recorded_here() {
    require!(require::etcd_programs());
    let (bucket, etcd) = (Bucket::start(), etcd());
    let saved = tool("save", &etcd.root, &bucket).arg("--s3").report().expect(0);
    let look = || tool("status", &etcd.root, &bucket);
    let run = look().arg("--s3").report().expect(0);
    assert_eq!(status(&run, "/s3/newest/name"), saved.rows()[0]["name"]);
    assert_eq!(status(&run, "/s3/newest/revision"), saved.rows()[0]["revision"]);
    assert_eq!(status(&run, "/s3/counts/verified"), 1);
    assert_eq!(status(&run, "/pending_uploads/count"), 0);
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    let denied = look().arg("--s3").report().fails(Code::StatusReasons);
    assert_eq!(
        (codes(&denied), unknown(&denied).contains(&"s3".to_owned())),
        (vec!["not-visible".into()], true)
    );
    assert_eq!(status(&denied, "/s3/newest/name"), saved.rows()[0]["name"]);
    let recorded = look().report().expect(0);
    assert_eq!(status(&recorded, "/s3/counts"), Value::Null, "without --s3 the bucket is not listed");
    assert_eq!(status(&recorded, "/s3/newest/name"), saved.rows()[0]["name"]);
    // An upload that fails is a reason to act until it is made.
    tool("save", &etcd.root, &bucket).args(&["--s3", "--name", "second"]).report().expect(3);
    bucket.front.plan(&[]);
    let run = look().arg("--s3").report().fails(Code::StatusReasons);
    assert_eq!(
        (codes(&run), status(&run, "/pending_uploads/count")),
        (vec!["upload-pending".into()], 1.into())
    );
}

/// Another cluster shares the directory and the bucket, or had this server before, with the same names.
#[test]
fn snapshots_of_another_cluster_are_no_copies_of_this_one() {
    require!(require::etcd_programs());
    let (bucket, etcd) = (Bucket::start(), etcd());
    tool("save", &etcd.root, &bucket).arg("--s3").report().expect(0);
    let namespace = object("Namespace", "", "kube-system", "7d1e4f2a-0b3c-4d5e-8f90-a1b2c3d4e5f6", "");
    etcd.client(async |client| client.put("/registry/namespaces/kube-system", namespace, None).await);
    let look = || tool("status", &etcd.root, &bucket).arg("--s3").report();
    let run = look().fails(Code::StatusReasons);
    assert_eq!(codes(&run), ["no-verified-snapshot", "no-verified-copy"]);
    assert_eq!((status(&run, "/local/newest"), status(&run, "/s3/newest")), (Value::Null, Value::Null));
    tool("save", &etcd.root, &bucket).args(&["--s3", "--name", "own"]).report().expect(0);
    let run = look().expect(0);
    assert_eq!(
        (status(&run, "/local/counts/verified"), status(&run, "/s3/counts/verified")),
        (1.into(), 1.into())
    );
}

/// A user who may not look gets what is visible, and never a good state.
#[test]
fn what_a_user_may_not_see_is_not_visible_and_not_absent() {
    require!(require::etcd_programs());
    require!(require::program("setpriv"));
    let etcd = etcd();
    Tool::new("save").on(&etcd.root).report().expect(0);
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for path in etcd.root.data_dir().ancestors().take_while(|path| path.starts_with(etcd.root.path())) {
        mode(path, 0o755);
    }
    mode(&etcd.root.server(), 0o700);
    let as_user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let run = Tool::new("status").on(&etcd.root).under(&as_user).report().fails(Code::StatusReasons);
    let facts = unknown(&run);
    for fact in ["snapshots", "etcd"] {
        assert!(facts.contains(&fact.to_owned()), "{fact}: {run:#?}");
    }
    assert!(codes(&run).contains(&"not-visible".to_owned()), "{run:#?}");
    assert_eq!(status(&run, "/local"), Value::Null);
    // Settings that may not be read leave what needs no settings.
    let config = etcd.root.path().join("config.yaml");
    fs::write(&config, "").unwrap();
    mode(&config, 0o600);
    let look = |command: &str| {
        Tool::new(command).on(&etcd.root).arg("--config").arg(&config).under(&as_user).report()
    };
    let run = look("status").fails(Code::StatusReasons);
    assert!(unknown(&run).contains(&"settings".to_owned()), "{run:#?}");
    look("list").fails(Code::PermissionDenied);
}

#[test]
fn an_agent_is_skipped_only_on_request() {
    let etcd = crate::s3::root();
    fs::remove_dir_all(etcd.server()).unwrap();
    fs::create_dir_all(etcd.data_dir().join("agent")).unwrap();
    plain("status", &etcd).report().fails(Code::DataDirNotFound);
    let run = plain("status", &etcd).arg("--skip-without-etcd").report().expect(0);
    assert_eq!(run.json()["outcome"], "skipped");
}
