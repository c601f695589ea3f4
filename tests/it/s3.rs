// SPDX-License-Identifier: Apache-2.0
//! The programs and a bucket: what is uploaded and comes back, and the code of each failure.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::conformance::{bytes, manifest, name, upload};
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::front::Fault;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::memory::Bytes;
use crate::support::ports::{Ports, free_port};
use crate::support::process;
use crate::support::require::{self, require};
use k3s_snapshot::error::{Code, code_of};
use k3s_snapshot::model::snapshot::Upload;
use k3s_snapshot::store::Store;

pub(crate) fn root() -> K3sRoot {
    K3sRoot::new(&Layout { token: "labtoken".into(), ..Layout::default() }, Ports::free())
}

/// The options and keys that work.
pub(crate) fn tool(verb: &str, root: &K3sRoot, bucket: &Bucket) -> Tool {
    plain(verb, root)
        .env("K3S_SNAPSHOT_S3_ENDPOINT", format!("http://127.0.0.1:{}", bucket.front.port()))
        .env("K3S_SNAPSHOT_S3_BUCKET", NAME)
        .env("K3S_SNAPSHOT_S3_FOLDER", "backups/k3s/")
        .env("K3S_SNAPSHOT_S3_TIMEOUT", "2s")
        .env("AWS_ACCESS_KEY_ID", ACCESS)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
}

pub(crate) fn plain(verb: &str, root: &K3sRoot) -> Tool {
    let config = root.path().join("no-config.yaml");
    fs::write(&config, "").unwrap();
    Tool::new(verb)
        .on(root)
        .arg("--config")
        .arg(config)
        .env("HOME", "/nonexistent")
        .env("HTTP_PROXY", "")
        .env("NO_PROXY", "*")
}

/// Runs a command that must fail with this exit code and error code. Returns the error of its report.
#[track_caller]
pub(crate) fn fails(tool: Tool, exit: i32, code: &str) -> Value {
    let run = tool.args(&["--report", "json"]).run().expect(exit);
    let shown = format!("{}{}{:?}", run.stdout, run.stderr, run.args);
    for secret in [SECRET, "X-Amz-Signature", "geheim"] {
        assert!(!shown.contains(secret), "{run:#?}");
    }
    assert!(run.stderr.matches("error: ").count() <= 1, "{run:#?}");
    let error = run.json()["error"].clone();
    assert_eq!(error["code"], code, "{run:#?}");
    error
}

/// The checks of check-s3: name, and whether it passed.
pub(crate) fn checks(run: &Run) -> Vec<(String, bool)> {
    let all = run.json()["checks"].as_array().unwrap().clone();
    all.iter().map(|c| (c["name"].as_str().unwrap().to_owned(), c["ok"].as_bool().unwrap())).collect()
}

/// The check that failed.
#[track_caller]
pub(crate) fn failed_check(run: &Run) -> Value {
    let all = run.json()["checks"].as_array().unwrap().clone();
    let failed: Vec<_> = all.into_iter().filter(|c| c["ok"] == false).collect();
    assert_eq!(failed.len(), 1, "{run:#?}");
    failed[0].clone()
}

#[test]
fn each_failure_has_its_exit_code_and_error_code() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let list = || tool("list", &root, &bucket).arg("--s3");

    fails(list().env("AWS_SECRET_ACCESS_KEY", "wrong"), 78, "s3-secret-key-wrong");
    fails(list().env("AWS_ACCESS_KEY_ID", "UNKNOWN"), 78, "s3-access-key-unknown");
    let error = fails(list().args(&["--s3-region", "eu-west-1"]), 78, "s3-wrong-region");
    assert!(error["message"].as_str().unwrap().contains("'us-east-1'"), "{error}");
    fails(list().args(&["--s3-bucket", "nowhere"]), 78, "s3-bucket-not-found");
    bucket.front.set_clock(3600);
    fails(list(), 78, "s3-clock-skew");
    bucket.front.set_clock(0);
    for (fault, exit, code) in [
        (Fault::Refuse(403, "AccessDenied"), 77, "s3-access-denied"),
        (Fault::Refuse(503, "SlowDown"), 75, "s3-throttled"),
        (Fault::Refuse(400, "InvalidRegionName"), 78, "s3-wrong-region"),
        (Fault::Redirect, 78, "s3-redirected"),
        (Fault::Garbage, 1, "s3-invalid-response"),
        (Fault::Page, 1, "s3-invalid-response"),
    ] {
        bucket.front.always(fault);
        fails(list(), exit, code);
    }
    bucket.front.always(Fault::Stall);
    fails(list().args(&["--s3-timeout", "1s"]), 1, "s3-timeout");
    bucket.front.plan(&[]);
    let closed = free_port();
    let dead = format!("http://user:geheim@127.0.0.1:{closed}");
    let error = fails(list().env("K3S_SNAPSHOT_S3_PROXY", &dead), 1, "s3-unreachable");
    assert!(error["message"].as_str().unwrap().contains(&format!("'127.0.0.1:{closed}'")), "{error}");
    fails(list().args(&["--s3-endpoint", "no.such.host.invalid"]), 1, "s3-name-unresolved");
    let closed = format!("http://127.0.0.1:{}", free_port());
    fails(list().args(&["--s3-endpoint", &closed]), 1, "s3-unreachable");
    let https = format!("https://127.0.0.1:{}", bucket.front.port());
    fails(list().args(&["--s3-endpoint", &https]), 78, "s3-scheme");
    list().run().expect(0);
}

#[test]
fn a_certificate_must_be_trusted_or_named() {
    require!(require::program("openssl"));
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let (key, cert) = (root.path().join("tls.key"), root.path().join("tls.crt"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=store",
        ])
        .args([
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let port = free_port();
    let mut server = process::tied("openssl");
    server
        .args(["s_server", "-quiet", "-www", "-accept", &port.to_string(), "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&cert);
    server.stdout(Stdio::null()).stderr(Stdio::null());
    let _server = process::spawn(server);
    crate::support::eventually("openssl listens", Duration::from_secs(10), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let https = format!("https://127.0.0.1:{port}");
    let list = || tool("list", &root, &bucket).args(&["--s3", "--s3-endpoint", &https]);
    fails(list(), 78, "s3-certificate-untrusted");
    // The page that openssl shows is no listing: TLS succeeded.
    fails(list().arg("--s3-endpoint-ca").arg(&cert), 1, "s3-invalid-response");
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD.encode(fs::read(&cert).unwrap());
    fails(list().args(&["--s3-endpoint-ca", &pem]), 1, "s3-invalid-response");
    fails(list().arg("--s3-skip-ssl-verify"), 1, "s3-invalid-response");
    let plain_http = format!("http://127.0.0.1:{port}");
    let list =
        tool("list", &root, &bucket).args(&["--s3", "--s3-endpoint", &plain_http, "--s3-timeout", "1s"]);
    fails(list, 78, "s3-scheme");
}

#[test]
fn keys_are_taken_from_every_place_and_from_the_command_line_with_a_warning() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let bare = |verb: &str| {
        plain(verb, &root)
            .arg(format!("--etcd-s3-endpoint=http://127.0.0.1:{}", bucket.front.port()))
            .args(&["--etcd-s3-bucket", NAME, "--etcd-s3"])
            .env("AWS_EC2_METADATA_DISABLED", "true")
    };
    for prefix in ["--s3", "--etcd-s3"] {
        let keys = [format!("{prefix}-access-key={ACCESS}"), format!("{prefix}-secret-key={SECRET}")];
        let run = bare("list").args(&keys).args(&["--report", "json"]).run().expect(0);
        let warnings = run.json()["warnings"].as_array().unwrap().clone();
        let codes: Vec<_> = warnings.iter().map(|w| &w["code"]).collect();
        assert_eq!(codes, ["secret-on-command-line"], "{run:#?}");
        assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET), "{run:#?}");
    }
    fails(bare("list"), 78, "s3-credentials-missing");
    let creds = root.path().join("creds");
    fs::create_dir(&creds).unwrap();
    fs::write(creds.join("s3-access-key"), format!("{ACCESS}\n")).unwrap();
    fs::write(creds.join("s3-secret-key"), SECRET).unwrap();
    bare("list").env("CREDENTIALS_DIRECTORY", &creds).run().expect(0);
    bare("list")
        .arg("--s3-access-key-file")
        .arg(creds.join("s3-access-key"))
        .arg("--s3-secret-key-file")
        .arg(creds.join("s3-secret-key"))
        .run()
        .expect(0);
    // The environment takes precedence.
    bare("list").env("CREDENTIALS_DIRECTORY", &creds).env("AWS_SECRET_ACCESS_KEY", "wrong").run().expect(78);
    fs::create_dir(root.path().join(".aws")).unwrap();
    let shared =
        format!("[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key={SECRET}\n[other]\n");
    fs::write(root.path().join(".aws/credentials"), shared).unwrap();
    bare("list").env("HOME", root.path()).run().expect(0);
    let run = bare("list").env("CREDENTIALS_DIRECTORY", &creds).arg("--show-config").run().expect(0);
    assert!(!run.stdout.contains(SECRET) && run.stdout.contains("credential "), "{run:#?}");
}

#[test]
fn list_shows_directory_and_bucket_and_details_on_demand() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let data = Bytes(bytes(1, 4));
    upload(&bucket.store(), &name("on-demand-server-1", 1_795_339_215), &data, &manifest(&data.0)).unwrap();
    bucket.plant("backups/k3s/etcd-snapshot-server-2-1795339216", &data.0);
    bucket.plant("backups/k3s-other/etcd-snapshot-server-2-1795339217", &data.0);
    bucket.plant("backups/k3s/.metadata/etcd-snapshot-server-2-1795339216", b"{}");
    fs::write(root.snapshots().join("etcd-snapshot-server-1-1795339214"), &data.0).unwrap();
    bucket.front.plan(&[]);
    let run = tool("list", &root, &bucket).args(&["--s3", "-o", "json"]).run().expect(0);
    let rows: Vec<Value> = serde_json::from_value(run.json()).unwrap();
    let shown: Vec<(&str, &str)> =
        rows.iter().map(|r| (r["name"].as_str().unwrap(), r["state"].as_str().unwrap())).collect();
    assert_eq!(
        shown,
        [
            ("etcd-snapshot-server-1-1795339214", "unverified"),
            ("on-demand-server-1-1795339215", "verified"),
            ("etcd-snapshot-server-2-1795339216", "unverified")
        ]
    );
    assert_eq!(rows[1]["location"], "s3://snapshots/backups/k3s/on-demand-server-1-1795339215");
    assert_eq!(bucket.front.seen().len(), 2, "a page of the prefix, a page of its metadata, nothing else");
    let run = tool("list", &root, &bucket).args(&["--s3", "--details", "-o", "json"]).run().expect(0);
    assert_eq!(run.json()[1]["revision"], 7);
    assert_eq!(run.json()[1]["node"], "server-1");
    // Without --s3 no request is made.
    bucket.front.plan(&[]);
    tool("list", &root, &bucket).run().expect(0);
    assert!(bucket.front.seen().is_empty());
    // The directory is shown if the bucket cannot be reached.
    let run = tool("list", &root, &bucket).args(&["--s3", "--s3-bucket", "nowhere"]).run().expect(78);
    assert!(run.stdout.contains("etcd-snapshot-server-1-1795339214"), "{run:#?}");
    // The option of K3s counts, and its Secret is named.
    let config = root.path().join("k3s.yaml");
    fs::write(&config, "etcd-s3: true\netcd-s3-config-secret: my-secret\n").unwrap();
    let error = fails(Tool::new("list").on(&root).arg("--config").arg(&config), 78, "s3-config-secret");
    assert!(error["message"].as_str().unwrap().contains("'my-secret'"), "{error}");
}

#[test]
fn a_save_is_kept_locally_first_and_the_next_one_uploads_what_is_pending() {
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    etcd.fill(300, 3_000);
    let save = |base: &str| {
        tool("save", &etcd.root, &bucket).args(&[
            "--s3",
            "--node-name",
            "server-1",
            "--name",
            base,
            "--report",
            "json",
        ])
    };
    let places = |run: &Run| -> Vec<(String, String)> {
        let rows = run.json()["snapshots"].as_array().unwrap().clone();
        rows.iter()
            .map(|r| {
                (
                    r["location"].as_str().unwrap().split(':').next().unwrap().to_owned(),
                    r["name"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    };

    let run = save("one").run().expect(0);
    let rows = places(&run);
    assert_eq!(rows.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), ["file", "s3"]);
    let one = rows[0].1.clone();
    let there = bucket.object(&format!("backups/k3s/{one}"));
    assert!(fs::read(&there).unwrap() == fs::read(etcd.root.snapshots().join(&one)).unwrap());
    assert!(run.json()["snapshots"].as_array().unwrap().iter().all(|r| r["state"] == "verified"), "{run:#?}");
    let put =
        bucket.front.seen().into_iter().find(|s| s.method == "PUT" && s.target.ends_with(&one)).unwrap();
    for (header, value) in [
        ("content-type", "application/octet-stream"),
        ("x-amz-meta-k3s-node-name", "server-1"),
        ("x-amz-meta-k3s-token-hash", "ba1d715a4f9b"),
        ("x-amz-meta-k3s-cluster-id", crate::support::objects::CLUSTER_UID),
    ] {
        assert_eq!(put.headers.get(header).map(String::as_str), Some(value), "{put:?}");
    }

    // The bucket refuses: kept, exit 3, and pending.
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    for base in ["two", "three"] {
        let run = save(base).run().expect(3);
        assert_eq!(run.json()["error"]["code"], "upload-failed", "{run:#?}");
        assert_eq!(places(&run).len(), 1);
    }
    let wrong = save("four").args(&["--s3-region", "!"]).run().expect(3);
    assert_eq!(wrong.json()["error"]["code"], "upload-failed", "{wrong:#?}");
    bucket.front.plan(&[]);
    // One of the three is deleted here: it is not uploaded.
    let gone = etcd.root.snapshot_names().into_iter().find(|n| n.starts_with("three")).unwrap();
    fs::remove_file(etcd.root.snapshots().join(&gone)).unwrap();
    let run = save("five").arg("--no-backlog").run().expect(0);
    assert_eq!(places(&run).len(), 2);
    let run = save("six").run().expect(0);
    let sent: Vec<String> = places(&run)
        .into_iter()
        .filter(|p| p.0 == "s3")
        .map(|p| p.1.split('-').next().unwrap().to_owned())
        .collect();
    assert!(sent == ["six", "two", "four"] || sent == ["six", "four", "two"], "{sent:?}");
    // What was deleted in the bucket is not uploaded again either.
    fs::remove_file(&there).unwrap();
    let run = save("seven").run().expect(0);
    assert_eq!(places(&run).len(), 2);
    assert!(!there.exists());

    // A zip, and a verification of everything in the bucket.
    let run = save("zip").arg("--snapshot-compress").run().expect(0);
    let zip = places(&run)[1].1.clone();
    let put =
        bucket.front.seen().into_iter().rfind(|s| s.method == "PUT" && s.target.ends_with(&zip)).unwrap();
    assert_eq!(put.headers.get("content-type").map(String::as_str), Some("application/zip"));
    tool("verify", &etcd.root, &bucket).args(&["--s3", "--all"]).run().expect(0);
    tool("verify", &etcd.root, &bucket).args(&["--s3", "--all", "--quick"]).run().expect(0);
    let run = tool("verify", &etcd.root, &bucket)
        .args(&["--s3", "--all", "--sample", "2", "--report", "json"])
        .run()
        .expect(0);
    assert_eq!(run.json()["snapshots"].as_array().unwrap().len(), 2);

    // Fetched and verified, never over another file.
    let to = etcd.root.path().join("fetched");
    fs::create_dir(&to).unwrap();
    let fetch = |name: &str| tool("fetch", &etcd.root, &bucket).arg(name).arg(&to);
    for name in [&zip, &places(&save("eight").run().expect(0))[1].1] {
        fetch(name).run().expect(0);
        assert!(fs::read(to.join(name)).unwrap() == fs::read(etcd.root.snapshots().join(name)).unwrap());
    }
    fails(fetch(&zip), 77, "file-exists");
    fails(fetch("on-demand-unknown-5"), 4, "snapshot-not-found");
    fetch("../outside-5").run().expect(4);

    // A corrupt one is found, shown in the list without being opened, and not fetched.
    let six = etcd.root.snapshot_names().into_iter().find(|n| n.starts_with("six")).unwrap();
    let object = bucket.object(&format!("backups/k3s/{six}"));
    let mut damaged = fs::read(&object).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&object, damaged).unwrap();
    fetch(&six).run().expect(65);
    assert!(!to.join(&six).exists());
    tool("verify", &etcd.root, &bucket).args(&["--s3", "--quick", &six]).run().expect(65);
    let run = tool("list", &etcd.root, &bucket).args(&["--s3", "-o", "json"]).run().expect(0);
    let row = run
        .json()
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["name"] == six.as_str() && r["location"].as_str().unwrap().starts_with("s3"))
        .unwrap()
        .clone();
    assert_eq!(row["state"], "corrupt", "{row}");
}

#[test]
fn check_s3_reports_each_check_in_order() {
    let (bucket, root) = (Bucket::start(), root());
    let check = || tool("check-s3", &root, &bucket).args(&["--report", "json"]);
    let run = check().run().expect(0);
    let names: Vec<String> = checks(&run).into_iter().filter(|(_, ok)| *ok).map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "name",
            "connection",
            "clock",
            "signature",
            "bucket",
            "list",
            "put",
            "get",
            "checksum",
            "multipart",
            "delete"
        ],
        "{run:#?}"
    );
    assert!(bucket.keys().iter().all(|k| !k.contains("probe")), "{:?}", bucket.keys());
    let failed = |tool: Tool| failed_check(&tool.run().expect(1))["name"].clone();
    assert_eq!(failed(check().env("AWS_SECRET_ACCESS_KEY", "wrong")), "signature");
    assert_eq!(failed(check().args(&["--s3-bucket", "nowhere"])), "bucket");
    assert_eq!(failed(check().args(&["--s3-endpoint", "no.such.host.invalid"])), "name");
    // The requests: ping, list, put.
    bucket.front.plan(&[(2, Fault::Refuse(403, "AccessDenied"))]);
    let run = check().run().expect(1);
    let put = failed_check(&run);
    assert_eq!(put["name"], "put");
    assert!(put["hint"].as_str().unwrap().contains("s3:PutObject"), "{put}");
}

#[test]
fn check_s3_does_not_call_keys_accepted_if_no_store_said_so() {
    let (bucket, root) = (Bucket::start(), root());
    let check = || tool("check-s3", &root, &bucket).args(&["--report", "json"]);
    for fault in [Fault::Page, Fault::Refuse(403, ""), Fault::Refuse(400, "InvalidRegionName")] {
        bucket.front.always(fault.clone());
        let run = check().run().expect(1);
        assert!(!checks(&run).contains(&("signature".to_owned(), true)), "{fault:?}: {run:#?}");
    }
    // A refusal with a code is one of the store, after it has accepted the keys.
    bucket.front.deny(&[("GET", "list-type")]);
    bucket.front.plan(&[]);
    let run = check().run().expect(1);
    assert!(checks(&run).contains(&("signature".to_owned(), true)), "{run:#?}");
    assert_eq!(failed_check(&run)["name"], "list");
}

#[test]
fn a_file_that_rots_before_its_pending_upload_is_corrupt_everywhere_and_stops_no_other() {
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    etcd.fill(2_500, 3_000);
    let save = |base: &str| {
        let args =
            ["--s3", "--node-name", "server-1", "--name", base, "--report", "json", "--s3-part-size", "5MiB"];
        tool("save", &etcd.root, &bucket).args(&args)
    };
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    save("one").run().expect(3);
    save("two").run().expect(3);
    bucket.front.plan(&[]);
    let one = etcd.root.snapshot_names().into_iter().find(|n| n.starts_with("one")).unwrap();
    let path = etcd.root.snapshots().join(&one);
    let size = fs::metadata(&path).unwrap().len();
    assert!(size > 5 << 20, "in parts: {size} bytes");
    // Rot changes bytes and no time. The ctime cannot be kept, so the manifest gets the new identity.
    let (modified, mut bytes) = (fs::metadata(&path).unwrap().modified().unwrap(), fs::read(&path).unwrap());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let local = k3s_snapshot::store::local::Local::new(&etcd.root.snapshots(), &etcd.root.state_dir(), true);
    let id = local.open(&one).unwrap().id;
    assert!(local.amend(&one, &mut |m| m.file = id).unwrap());
    let run = save("three").run().expect(3);
    let rows: Vec<Value> = run.json()["snapshots"].as_array().unwrap().clone();
    let uploaded: Vec<&str> = rows
        .iter()
        .filter(|r| r["location"].as_str().unwrap().starts_with("s3"))
        .map(|r| r["name"].as_str().unwrap().split('-').next().unwrap())
        .collect();
    assert_eq!(uploaded, ["three", "two"], "{run:#?}");
    assert!(bucket.keys().iter().all(|k| !k.contains("one-server-1")), "{:?}", bucket.keys());
    assert!(bucket.front.uploads().is_empty());
    let manifest = local.open(&one).unwrap().manifest.unwrap();
    assert!(!manifest.findings.is_empty(), "{manifest:?}");
    save("four").run().expect(0);
}

#[test]
fn other_bytes_than_the_verified_ones_are_never_uploaded_in_any_way_to_upload() {
    let bucket = Bucket::start();
    for (n, blocks) in [(1, 4), (2, 20_000)] {
        let store = bucket.store_with(|s| s.part_size = 5 << 20);
        let good = bytes(n, blocks);
        let manifest = manifest(&good);
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            let e = upload(&store, &name("timer-server-1", n), &Bytes(flipped), &manifest).err().unwrap();
            assert_eq!(code_of(&e), Code::SnapshotCorrupt, "{blocks} blocks, at {at}: {e:#}");
            assert!(bucket.keys().is_empty() && bucket.front.uploads().is_empty(), "{:?}", bucket.keys());
        }
        upload(&store, &name("timer-server-1", n), &Bytes(good), &manifest).unwrap();
        store
            .delete(&[&name("timer-server-1", n).to_string()])
            .into_iter()
            .for_each(|(_, r)| assert!(r.unwrap()));
    }
}

/// The file system shows a new ctime, as after every write: the manifest is then of another version of the file.
#[test]
fn a_small_file_that_was_changed_before_its_pending_upload_is_corrupt_and_one_with_another_mode_is_uploaded()
{
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    let save = |base: &str| {
        let args = ["--s3", "--node-name", "server-1", "--name", base, "--report", "json"];
        tool("save", &etcd.root, &bucket).args(&args)
    };
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    for base in ["changed", "moded", "plain"] {
        save(base).run().expect(3);
    }
    bucket.front.plan(&[]);
    let path = |base: &str| {
        let name = etcd.root.snapshot_names().into_iter().find(|n| n.starts_with(base)).unwrap();
        (etcd.root.snapshots().join(&name), name)
    };
    let (changed, name) = path("changed");
    let mut bytes = fs::read(&changed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&changed, &bytes).unwrap();
    fs::set_permissions(path("moded").0, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let run = save("last").run().expect(3);
    let keys = bucket.keys();
    for base in ["moded", "plain", "last"] {
        assert!(keys.iter().any(|k| k.ends_with(&path(base).1)), "{base}: {keys:?} {run:#?}");
    }
    assert!(keys.iter().all(|k| !k.contains("changed-server-1")), "{keys:?}");
    let listed = tool("list", &etcd.root, &bucket).report().expect(0);
    assert_eq!(listed.states()[&name], "corrupt", "{listed:#?}");
    assert_eq!(listed.states()[&path("moded").1], "verified");
    save("after").run().expect(0);
}

/// The highest resident memory of a program while it runs, in KiB.
fn peak(mut started: crate::support::cli::Started) -> (u64, Run) {
    let mut high = 0;
    let pid = started.process.pid();
    while started.process.ended().is_none() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let now =
            status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        high = high.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    (high, started.finish())
}

/// 64 MiB, or with `LONG=1` a whole GiB, which takes 3 GiB of disk and a while.
#[test]
fn a_large_snapshot_needs_48_mib_of_memory_up_and_down() {
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.put("a", "b");
    let file = etcd.root.snapshots().join("big-server-1-1795339215");
    let block = bytes(3, 2048);
    let mut all = std::io::BufWriter::new(fs::File::create(&file).unwrap());
    for _ in 0..if std::env::var_os("LONG").is_some() { 1024 } else { 64 } {
        std::io::Write::write_all(&mut all, &block[..1 << 20]).unwrap();
    }
    std::io::Write::write_all(&mut all, &block[..32]).unwrap();
    drop(all);
    // The pending upload of an earlier save.
    let local = k3s_snapshot::store::local::Local::new(&etcd.root.snapshots(), &etcd.root.state_dir(), true);
    let opened = local.open("big-server-1-1795339215").unwrap();
    let mut pending = manifest(b"");
    pending.stored_sha256.0 =
        k3s_snapshot::inspect::hash(&*opened.data, opened.data.size(), &mut |_| ()).unwrap().file;
    (pending.name, pending.file, pending.plain_size) =
        ("big-server-1-1795339215".into(), opened.id, opened.data.size());
    pending.upload = Some(Upload::Pending { reason: None, at: None });
    local.record(&pending.name, &mut |_| Some(pending.clone())).unwrap();
    let run = tool("save", &etcd.root, &bucket)
        .args(&["--s3", "--report", "json", "--s3-timeout", "5m"])
        .deadline(Duration::from_secs(600));
    let (up, run) = peak(run.start());
    let run = run.expect(0);
    assert_eq!(run.json()["snapshots"].as_array().unwrap().len(), 3, "{run:#?}");
    println!(
        "up: {} KiB at most, {:?} with a save of {} bytes",
        up,
        run.wall,
        run.json()["snapshots"][0]["size"]
    );
    let to = etcd.root.path().join("to");
    fs::create_dir(&to).unwrap();
    let run =
        tool("fetch", &etcd.root, &bucket).args(&["--s3-timeout", "5m", "big-server-1-1795339215"]).arg(&to);
    let (down, run) = peak(run.deadline(Duration::from_secs(600)).start());
    // It is no database, which is found after the download.
    let run = run.expect(65);
    println!("down: {} KiB at most, {:?}", down, run.wall);
    assert!(up < 48 * 1024 && down < 48 * 1024, "{up} and {down} KiB");
}

#[test]
fn every_check_of_check_s3_is_described() {
    let (bucket, root) = (Bucket::start(), root());
    let run = tool("check-s3", &root, &bucket).report().expect(0);
    let described = crate::documents::checks_of_the_bucket();
    for (name, _) in checks(&run) {
        assert!(described.contains(&name), "k3s-snapshot-check-s3(8) has {described:?}, not {name}");
    }
}

/// On a laptop: no K3s, no snapshot directory, no configuration.
#[test]
fn fetch_list_and_check_s3_work_without_k3s() {
    let (bucket, laptop) = (Bucket::start(), tempfile::tempdir().unwrap());
    let name = "before-server-1-1795339215";
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let content = fs::read(fixture).unwrap();
    bucket.plant(&format!("backups/k3s/{name}"), &content);
    let command = |command: &str| {
        Tool::new(command)
            .args(&["--data-dir", "/nonexistent", "--s3-folder", "backups/k3s/", "--s3-bucket", NAME])
            .args(&["--s3-endpoint", &format!("http://127.0.0.1:{}", bucket.front.port())])
            .env("AWS_ACCESS_KEY_ID", ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("NO_PROXY", "*")
    };
    assert_eq!(command("list").arg("--s3").report().expect(0).row()["name"], name);
    command("check-s3").report().expect(0);
    let row = command("fetch").arg(name).arg(laptop.path()).report().expect(0).row();
    assert_eq!(row["state"], "verified");
    assert!(fs::read(laptop.path().join(name)).unwrap() == content);
}
