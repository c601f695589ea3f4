// SPDX-License-Identifier: Apache-2.0
//! The objects of the cluster that K3s reads for its snapshots: the Secret with the settings of the bucket
//! (`etcd-s3-config-secret`), and the ConfigMap with extra metadata. On a real etcd and a real S3 server.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use k3s_snapshot::error::{Code, Kind};
use k3s_snapshot::model::warning::WarningCode;
use serde_json::Value;

use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::k3s_root::Layout;
use crate::support::objects::{CLUSTER_UID, data_object};
use crate::support::require::{self, require};

const SECRET_KEY: &str = "/registry/secrets/kube-system/s3sec";
const METADATA_KEY: &str = "/registry/configmaps/kube-system/k3s-etcd-snapshot-extra-metadata";

fn etcd() -> Etcd {
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    etcd.fill(100, 1_000);
    etcd
}

fn put(etcd: &Etcd, key: &str, value: Vec<u8>) {
    etcd.client(async |client| client.put(key, value, None).await);
}

/// Writes the Secret for this bucket, with more values.
fn put_secret(etcd: &Etcd, bucket: &Bucket, more: &[(&str, &str)]) {
    let endpoint = format!("127.0.0.1:{}", bucket.front.port());
    let values = [
        ("etcd-s3-endpoint", endpoint.as_str()),
        ("etcd-s3-insecure", "true"),
        ("etcd-s3-bucket", NAME),
        ("etcd-s3-folder", "from//secret/"),
        ("etcd-s3-access-key", ACCESS),
        ("etcd-s3-secret-key", SECRET),
    ];
    let all: Vec<(&str, &[u8])> = values.iter().chain(more).map(|(k, v)| (*k, v.as_bytes())).collect();
    put(etcd, SECRET_KEY, data_object("Secret", "s3sec", &all));
}

/// A run on a server whose K3s has this in its configuration. `--debug`, so that a value that is logged is seen.
fn tool(command: &str, etcd: &Etcd, k3s: &str) -> Tool {
    let config = etcd.root.path().join("k3s.yaml");
    fs::write(&config, k3s).unwrap();
    Tool::new(command)
        .on(&etcd.root)
        .arg("--debug")
        .arg("--config")
        .arg(config)
        .env("HOME", "/nonexistent")
        .env("NO_PROXY", "*")
}

const K3S: &str = "etcd-s3: true\netcd-s3-config-secret: s3sec\nnode-name: server-1\n";

/// Runs it, and makes sure that no value of the Secret is shown or stored.
#[track_caller]
fn run(etcd: &Etcd, tool: Tool) -> Run {
    let run = tool.report();
    let shown = format!("{}{}", run.stdout, run.stderr);
    assert!(!shown.contains(SECRET) && !shown.contains(ACCESS), "{run:#?}");
    let state = etcd.root.state_dir();
    for file in if state.exists() { crate::save::walk(&state) } else { vec![] } {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains(SECRET), "{}", file.display());
    }
    run
}

fn locations(run: &Run) -> Vec<String> {
    let rows = run.json()["snapshots"].as_array().unwrap().clone();
    rows.iter().map(|row| row["location"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_command_uses_the_bucket_of_the_secret() {
    require!(require::etcd_programs());
    let (etcd, bucket) = (etcd(), Bucket::start());
    put_secret(&etcd, &bucket, &[("etcd-s3-retention", "1")]);
    let go = |command: &str, args: &[&str]| run(&etcd, tool(command, &etcd, K3S).args(args));
    let saved = go("save", &["--name", "timer"]).expect(0);
    let name = saved.json()["snapshots"][0]["name"].as_str().unwrap().to_owned();
    let at = format!("s3://{NAME}/from/secret/{name}");
    assert_eq!(locations(&saved)[1], at);
    assert!(go("list", &[]).expect(0).stdout.contains(&at));
    go("check-s3", &[]).expect(0);
    let to = etcd.root.path().join("fetched");
    fs::create_dir(&to).unwrap();
    go("fetch", &[&name, to.to_str().unwrap()]).expect(0);
    assert!(fs::read(to.join(&name)).unwrap() == fs::read(etcd.root.snapshots().join(&name)).unwrap());
    go("verify", &["--s3", &name]).expect(0);

    // The number of snapshots in the bucket is that of the Secret; prune keeps to our own base names there.
    let newer = go("save", &["--name", "timer"]).expect(0).json()["snapshots"][0]["name"].clone();
    go("save", &["--name", "etcd-snapshot"]).expect(0);
    go("save", &["--name", "etcd-snapshot"]).expect(0);
    go("prune", &["--accept-drop"]).expect(0);
    let listed: Vec<String> =
        locations(&go("list", &[])).into_iter().filter(|location| location.starts_with("s3:")).collect();
    let timers: Vec<&String> = listed.iter().filter(|location| location.contains("/timer-")).collect();
    assert_eq!((timers.len(), listed.len()), (1, 3), "{listed:?}");
    assert!(timers[0].ends_with(newer.as_str().unwrap()));

    // Our own settings override single values.
    let own = go("check-s3", &["--s3-folder", "other"]).expect(0);
    assert!(own.json()["checks"].as_array().is_some_and(|checks| !checks.is_empty()));
    let elsewhere = go("save", &["--name", "manual", "--s3-folder", "other"]).expect(0);
    assert!(locations(&elsewhere)[1].starts_with(&format!("s3://{NAME}/other/manual-")), "{elsewhere:#?}");
}

#[test]
fn a_secret_that_cannot_be_used_is_a_named_error_and_the_snapshot_is_kept() {
    require!(require::etcd_programs());
    let (mut etcd, bucket) = (etcd(), Bucket::start());
    let fails = |etcd: &Etcd, code: Code, k3s: &str| {
        let run_of = |command: &str| run(etcd, tool(command, etcd, k3s));
        let error = run_of("check-s3").fails(code).json()["error"].clone();
        assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("s3: false")), "{error}");
        let saved = run_of("save").fails_as(Code::UploadFailed, Kind::Degraded);
        assert!(saved.json()["error"]["message"].as_str().unwrap().contains("s3sec"), "{saved:#?}");
        assert_eq!(saved.json()["snapshots"][0]["state"], "verified");
        // The snapshot directory is listed anyway.
        let listed = run_of("list").fails(code);
        assert!(!listed.json()["snapshots"].as_array().unwrap().is_empty());
    };
    fails(&etcd, Code::S3ConfigSecretMissing, K3S);
    put(&etcd, SECRET_KEY, b"k8s:enc:aescbc:v1:aescbckey:\x01\x02\x03".to_vec());
    fails(&etcd, Code::S3ConfigSecretEncrypted, K3S);
    put(&etcd, SECRET_KEY, data_object("Secret", "another", &[("etcd-s3-bucket", b"b")]));
    fails(&etcd, Code::S3ConfigSecret, K3S);
    put_secret(&etcd, &bucket, &[]);
    fails(&etcd, Code::S3BucketMissing, &format!("{K3S}etcd-s3-region: eu-1\n"));
    // Once it exists, the next save uploads what is pending.
    assert_eq!(locations(&run(&etcd, tool("save", &etcd, K3S)).expect(0)).len(), 6);

    // Without etcd: a fetch for a restore names the way out, and that way works.
    let name = etcd.root.snapshot_names().pop().unwrap();
    etcd.stop();
    let to = etcd.root.path().join("fetched");
    fs::create_dir(&to).unwrap();
    let fetch = || tool("fetch", &etcd, K3S).arg(&name).arg(&to);
    let error = run(&etcd, fetch()).fails(Code::S3ConfigSecret).json()["error"].clone();
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("s3-bucket")), "{error}");
    let port = bucket.front.port();
    let own = fetch()
        .env("K3S_SNAPSHOT_S3_BUCKET", NAME)
        .env("K3S_SNAPSHOT_S3_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .env("K3S_SNAPSHOT_S3_FOLDER", "from/secret")
        .env("AWS_ACCESS_KEY_ID", ACCESS)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    run(&etcd, own).expect(0);
}

#[test]
fn a_save_reads_the_secret_and_the_certificates_from_its_snapshot() {
    require!(require::etcd_programs());
    let (etcd, bucket) = (etcd(), Bucket::start());
    put_secret(&etcd, &bucket, &[("etcd-s3-endpoint-ca-name", "ca")]);
    // K3s only logs that the ConfigMap does not exist.
    run(&etcd, tool("save", &etcd, K3S)).expect(0);
    let ca = "/registry/configmaps/kube-system/ca";
    put(&etcd, ca, data_object("ConfigMap", "ca", &[("a.pem", b"no certificate")]));
    run(&etcd, tool("check-s3", &etcd, K3S)).fails(Code::InvalidSetting);
    run(&etcd, tool("save", &etcd, K3S)).fails_as(Code::UploadFailed, Kind::Degraded);
    let pem = fs::read(etcd.root.certs().ca()).unwrap();
    put(&etcd, ca, data_object("ConfigMap", "ca", &[("a.pem", &pem)]));
    run(&etcd, tool("save", &etcd, K3S)).expect(0);
    // Deleted in the cluster: no older revision of it counts.
    etcd.del(SECRET_KEY);
    run(&etcd, tool("check-s3", &etcd, K3S)).fails(Code::S3ConfigSecretMissing);
    run(&etcd, tool("save", &etcd, K3S)).fails_as(Code::UploadFailed, Kind::Degraded);
}

#[test]
fn extra_metadata_is_stored_as_k3s_stores_it_and_goes_with_its_snapshot() {
    require!(require::etcd_programs());
    let (etcd, bucket) = (etcd(), Bucket::start());
    let dir = etcd.root.server().join("db/.metadata");
    put_secret(&etcd, &bucket, &[]);
    let save = |args: &[&str]| run(&etcd, tool("save", &etcd, K3S).args(args)).expect(0);
    let name_of = |run: &Run| run.json()["snapshots"][0]["name"].as_str().unwrap().to_owned();
    // Without the ConfigMap, or without data, there is no file.
    save(&[]);
    put(&etcd, METADATA_KEY, data_object("ConfigMap", "k3s-etcd-snapshot-extra-metadata", &[]));
    save(&[]);
    assert!(!dir.exists());

    let data: [(&str, &[u8]); 2] = [("z", b"1"), ("a", b"<b>")];
    put(&etcd, METADATA_KEY, data_object("ConfigMap", "k3s-etcd-snapshot-extra-metadata", &data));
    for args in [&[][..], &["--snapshot-compress"]] {
        let name = name_of(&save(args));
        let file = dir.join(&name);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"a\":\"\\u003cb\\u003e\",\"z\":\"1\"}");
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&dir), mode(&file)), (0o700, 0o700));
        let object = bucket.object(&format!("from/secret/.metadata/{name}"));
        assert!(fs::read(object).unwrap() == fs::read(&file).unwrap());
        let seen = bucket.front.seen();
        let put =
            seen.iter().rev().find(|seen| seen.target.ends_with(&format!("/.metadata/{name}"))).unwrap();
        let header = |name: &str| put.headers.get(name).map(String::as_str);
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("x-amz-meta-k3s-cluster-id"), Some(CLUSTER_UID));
        assert_eq!(header("x-amz-meta-k3s-node-name"), Some("server-1"));
        assert_eq!(header("x-amz-meta-k3s-token-hash"), Some("ba1d715a4f9b"));
        // It is deleted with its snapshot, in both places.
        run(&etcd, tool("delete", &etcd, K3S).args(&["--s3", "--yes", "--force", &name])).expect(0);
        assert!(
            !file.exists() && !bucket.keys().iter().any(|key| key.contains(&name)),
            "{:?}",
            bucket.keys()
        );
    }

    // What cannot be stored is a warning, as in K3s.
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "").unwrap();
    let warned = save(&["--s3=false"]);
    assert!(warned.warns(WarningCode::ExtraMetadataNotWritten), "{warned:#?}");
    let row: &Value = &warned.json()["snapshots"][0];
    assert_eq!(row["state"], "verified");
}

#[test]
fn extra_metadata_is_next_to_the_configured_directory_and_not_to_the_target_of_a_link() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let data: [(&str, &[u8]); 1] = [("a", b"1")];
    put(&etcd, METADATA_KEY, data_object("ConfigMap", "k3s-etcd-snapshot-extra-metadata", &data));
    let (link, target) = (etcd.root.path().join("conf/snaps"), etcd.root.path().join("disk/real"));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    fs::create_dir_all(&target).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let on = |command: &str| tool(command, &etcd, "node-name: server-1\n").arg("--dir").arg(&link);
    let name = run(&etcd, on("save")).expect(0).row()["name"].as_str().unwrap().to_owned();
    let file = link.with_file_name(".metadata").join(&name);
    assert!(file.is_file() && !target.with_file_name(".metadata").exists());
    run(&etcd, on("delete").args(&["--yes", "--force", &name])).expect(0);
    assert!(!file.exists());
}
