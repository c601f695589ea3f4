// SPDX-License-Identifier: Apache-2.0
//! The commands with a bucket: uploads, downloads, and the code of each error.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use k3s_snapshot::error::Code;
use k3s_snapshot::model::snapshot::Upload;
use k3s_snapshot::model::warning::WarningCode;
use serde_json::Value;

use crate::conformance::{bytes, manifest, name, upload};
use crate::documents::checks_of_the_bucket;
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::cli::{Run, Started, Tool, text};
use crate::support::etcd::Etcd;
use crate::support::front::Fault;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::memory::Bytes;
use crate::support::ports::{Ports, free_port};
use crate::support::process;
use crate::support::require::{self, require};
use k3s_snapshot::store::Store;

pub(crate) fn root() -> K3sRoot {
    K3sRoot::new(&Layout { token: "labtoken".into(), ..Layout::default() }, Ports::free())
}

/// With options and keys that work.
pub(crate) fn tool(command: &str, root: &K3sRoot, bucket: &Bucket) -> Tool {
    in_bucket(plain(command, root), bucket)
}

fn in_bucket(tool: Tool, bucket: &Bucket) -> Tool {
    tool.env("K3S_SNAPSHOT_S3_ENDPOINT", format!("http://127.0.0.1:{}", bucket.front.port()))
        .env("K3S_SNAPSHOT_S3_BUCKET", NAME)
        .env("K3S_SNAPSHOT_S3_FOLDER", "/backups/k3s/")
        .env("K3S_SNAPSHOT_S3_TIMEOUT", "2s")
        .env("AWS_ACCESS_KEY_ID", ACCESS)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
}

pub(crate) fn plain(command: &str, root: &K3sRoot) -> Tool {
    let config = root.path().join("no-config.yaml");
    fs::write(&config, "").unwrap();
    Tool::new(command)
        .on(root)
        .arg("--config")
        .arg(config)
        .env("HOME", "/nonexistent")
        .env("HTTP_PROXY", "")
        .env("NO_PROXY", "*")
}

/// The run failed with this code, its error and hint name these values, and no secret is shown.
#[track_caller]
pub(crate) fn failed(run: Run, code: Code, named: &[&str]) {
    let run = run.fails(code).with_hint();
    for value in named {
        assert!(run.stderr.contains(value), "{value:?} is not named: {run:#?}");
    }
    assert_no_secret(&run);
    assert_eq!(run.stderr.lines().filter(|l| l.starts_with("error: ")).count(), 1, "{run:#?}");
}

#[track_caller]
pub(crate) fn assert_no_secret(run: &Run) {
    let shown = format!("{}{}{:?}", run.stdout, run.stderr, run.args);
    for secret in [SECRET, "X-Amz-Signature", "geheim"] {
        assert!(!shown.contains(secret), "{run:#?}");
    }
}

#[test]
fn each_failure_of_a_bucket_has_its_own_code() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let list = || tool("list", &root, &bucket).arg("--s3");

    failed(list().env("AWS_SECRET_ACCESS_KEY", "wrong").report(), Code::S3SecretKeyWrong, &[]);
    failed(list().env("AWS_ACCESS_KEY_ID", "NOBODY").report(), Code::S3AccessKeyUnknown, &[]);
    let region = list().args(&["--s3-region", "eu-west-1"]).report();
    failed(region, Code::S3WrongRegion, &["'us-east-1'", "'eu-west-1'", "--s3-region"]);
    failed(
        list().args(&["--s3-bucket", "nowhere"]).report(),
        Code::S3BucketNotFound,
        &["nowhere", "--s3-bucket"],
    );
    bucket.front.set_clock(3600);
    failed(list().report(), Code::S3ClockSkew, &["timedatectl"]);
    bucket.front.set_clock(0);
    for (fault, code, named) in [
        (Fault::Refuse(403, "AccessDenied"), Code::S3AccessDenied, "s3:ListBucket"),
        (Fault::Refuse(503, "SlowDown"), Code::S3Throttled, "SlowDown"),
        (Fault::Redirect, Code::S3Redirected, "elsewhere.example"),
        (Fault::Garbage, Code::S3InvalidResponse, "--s3-endpoint"),
        (Fault::Stall, Code::S3Timeout, "--s3-timeout"),
    ] {
        bucket.front.always(fault);
        failed(list().args(&["--s3-timeout", "1s"]).report(), code, &[named]);
    }
    bucket.front.plan(&[]);
    let dead = format!("http://user:geheim@127.0.0.1:{}", free_port());
    failed(list().env("K3S_SNAPSHOT_S3_PROXY", &dead).report(), Code::S3Unreachable, &["--s3-proxy"]);
    let unknown = "no.such.host.invalid";
    failed(list().args(&["--s3-endpoint", unknown]).report(), Code::S3NameUnresolved, &[unknown]);
    let closed = format!("http://127.0.0.1:{}", free_port());
    failed(
        list().args(&["--s3-endpoint", &closed]).report(),
        Code::S3Unreachable,
        &["127.0.0.1", "firewall"],
    );
    let https = format!("https://127.0.0.1:{}", bucket.front.port());
    failed(list().args(&["--s3-endpoint", &https]).report(), Code::S3Scheme, &["--s3-insecure"]);
    list().run().expect(0);
}

#[test]
fn certificate_of_the_store_must_be_trusted() {
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
    failed(list().report(), Code::S3CertificateUntrusted, &["127.0.0.1", "--s3-endpoint-ca"]);
    // The page of openssl is no listing, but the certificate is trusted.
    let trusted = |tool: Tool| failed(tool.report(), Code::S3InvalidResponse, &[]);
    trusted(list().arg("--s3-endpoint-ca").arg(&cert));
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD.encode(fs::read(&cert).unwrap());
    trusted(list().args(&["--s3-endpoint-ca", &pem]));
    trusted(list().arg("--s3-skip-ssl-verify"));
    let http = format!("http://127.0.0.1:{port}");
    let plain = tool("list", &root, &bucket).args(&["--s3", "--s3-endpoint", &http, "--s3-timeout", "1s"]);
    failed(plain.report(), Code::S3Scheme, &["--s3-insecure"]);
}

#[test]
fn credentials_are_taken_from_every_source() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let list = || {
        plain("list", &root)
            .arg(format!("--etcd-s3-endpoint=http://127.0.0.1:{}", bucket.front.port()))
            .args(&["--etcd-s3-bucket", NAME, "--etcd-s3"])
            .env("AWS_EC2_METADATA_DISABLED", "true")
    };
    failed(list().report(), Code::S3CredentialsMissing, &[]);
    let credentials = root.path().join("creds");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("s3-access-key"), format!("{ACCESS}\n")).unwrap();
    fs::write(credentials.join("s3-secret-key"), SECRET).unwrap();
    let with_credentials = || list().env("CREDENTIALS_DIRECTORY", &credentials);
    with_credentials().run().expect(0);
    list()
        .arg("--s3-access-key-file")
        .arg(credentials.join("s3-access-key"))
        .arg("--s3-secret-key-file")
        .arg(credentials.join("s3-secret-key"))
        .run()
        .expect(0);
    // The environment takes precedence.
    let wrong = with_credentials().env("AWS_SECRET_ACCESS_KEY", "wrong");
    failed(wrong.report(), Code::S3SecretKeyWrong, &[]);
    fs::create_dir(root.path().join(".aws")).unwrap();
    let shared =
        format!("[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key={SECRET}\n[other]\n");
    fs::write(root.path().join(".aws/credentials"), shared).unwrap();
    list().env("HOME", root.path()).run().expect(0);
    let run = with_credentials().args(&["--show-config", "--report", "json"]).run().expect(0);
    let rows = run.json();
    let key = rows.as_array().unwrap().iter().find(|r| r["option"] == "s3-secret-key").unwrap();
    assert!(!run.stdout.contains(SECRET) && text(&key["origin"]).contains("credential"), "{run:#?}");
}

/// K3s takes them there. The process list shows them, so there is a warning.
#[test]
fn secrets_on_the_command_line_are_taken_with_one_warning() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    for prefix in ["--s3", "--etcd-s3"] {
        let run = plain("list", &root)
            .arg(format!("--etcd-s3-endpoint=http://127.0.0.1:{}", bucket.front.port()))
            .args(&["--etcd-s3-bucket", NAME, "--etcd-s3"])
            .arg(format!("{prefix}-access-key={ACCESS}"))
            .arg(format!("{prefix}-secret-key={SECRET}"))
            .report()
            .expect(0);
        assert_eq!(run.warnings(), [WarningCode::SecretOnCommandLine.as_str()], "{run:#?}");
        assert!(!run.stderr.contains(SECRET) && !run.stdout.contains(SECRET), "{run:#?}");
    }
}

#[test]
fn list_shows_the_directory_and_the_bucket_and_details_on_request() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let data = Bytes(bytes(1, 4));
    upload(&bucket.store(), &name("manual-server-1", 1_795_339_215), &data, &manifest(&data.0)).unwrap();
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
            ("manual-server-1-1795339215", "verified"),
            ("etcd-snapshot-server-2-1795339216", "unverified")
        ]
    );
    assert_eq!(rows[1]["location"], "s3://snapshots/backups/k3s/manual-server-1-1795339215");
    assert_eq!(bucket.front.seen().len(), 2, "one page of objects, one of manifests");
    let run = tool("list", &root, &bucket).args(&["--s3", "--details", "-o", "json"]).run().expect(0);
    assert_eq!(run.json()[1]["revision"], 7);
    assert_eq!(run.json()[1]["node"], "server-1");
    // Without --s3 the bucket is not used.
    bucket.front.plan(&[]);
    tool("list", &root, &bucket).run().expect(0);
    assert!(bucket.front.seen().is_empty());
    // The directory is shown if the bucket cannot be reached.
    let run = tool("list", &root, &bucket).args(&["--s3", "--s3-bucket", "nowhere"]).report();
    assert_eq!(run.row()["name"], "etcd-snapshot-server-1-1795339214");
    failed(run, Code::S3BucketNotFound, &[]);
    // The setting of K3s counts, and its Secret is named.
    let config = root.path().join("k3s.yaml");
    fs::write(&config, "etcd-s3: true\netcd-s3-config-secret: my-secret\n").unwrap();
    let run = Tool::new("list").on(&root).arg("--config").arg(&config).report();
    assert_eq!(run.row()["name"], "etcd-snapshot-server-1-1795339214");
    failed(run, Code::S3ConfigSecret, &["'my-secret'"]);
}

#[test]
fn save_keeps_the_local_snapshot_and_the_next_save_makes_pending_uploads() {
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
    // Scheme of the location, and name.
    let locations = |run: &Run| -> Vec<(String, String)> {
        let scheme = |r: &Value| text(&r["location"]).split(':').next().unwrap().to_owned();
        run.rows().iter().map(|r| (scheme(r), text(&r["name"]))).collect()
    };

    let run = save("one").run().expect(0);
    let rows = locations(&run);
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

    // The bucket refuses: kept, exit code 3, and pending.
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    for base in ["two", "three"] {
        let run = save(base).run();
        assert_eq!(locations(&run).len(), 1);
        failed(run, Code::UploadFailed, &["s3:PutObject"]);
    }
    failed(save("four").args(&["--s3-region", "!"]).run(), Code::UploadFailed, &["s3-region"]);
    bucket.front.plan(&[]);
    // One of the three is deleted in the directory: it is not uploaded.
    let gone = etcd.root.snapshot_names().into_iter().find(|n| n.starts_with("three")).unwrap();
    fs::remove_file(etcd.root.snapshots().join(&gone)).unwrap();
    let run = save("five").arg("--no-backlog").run().expect(0);
    assert_eq!(locations(&run).len(), 2);
    let run = save("six").run().expect(0);
    let sent: Vec<String> = locations(&run)
        .into_iter()
        .filter(|p| p.0 == "s3")
        .map(|p| p.1.split('-').next().unwrap().to_owned())
        .collect();
    assert!(sent == ["six", "two", "four"] || sent == ["six", "four", "two"], "{sent:?}");
    // What was deleted in the bucket is not uploaded again.
    fs::remove_file(&there).unwrap();
    let run = save("seven").run().expect(0);
    assert_eq!(locations(&run).len(), 2);
    assert!(!there.exists());

    // A zip, and a verification of everything in the bucket.
    let run = save("zip").arg("--snapshot-compress").run().expect(0);
    let zip = locations(&run)[1].1.clone();
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

    // Fetched and verified, never over an existing file.
    let to = etcd.root.path().join("fetched");
    fs::create_dir(&to).unwrap();
    let fetch = |name: &str| tool("fetch", &etcd.root, &bucket).arg(name).arg(&to);
    for name in [&zip, &locations(&save("eight").run().expect(0))[1].1] {
        assert_eq!(fetch(name).report().expect(0).row()["state"], "verified");
        assert!(fs::read(to.join(name)).unwrap() == fs::read(etcd.root.snapshots().join(name)).unwrap());
    }
    failed(fetch(&zip).report(), Code::FileExists, &[&zip]);
    fetch("manual-nobody-5").report().fails(Code::SnapshotNotFound);
    fetch("../outside-5").report().fails_with(&[Code::SnapshotNotFound, Code::InvalidName]);
    // On a machine without K3s.
    let laptop = tempfile::tempdir().unwrap();
    let missing = |command: &str| {
        in_bucket(Tool::new(command), &bucket)
            .args(&["--data-dir", "/nonexistent", "--s3", "--config"])
            .arg("/dev/null")
    };
    missing("fetch").arg(&zip).arg(laptop.path()).report().expect(0);
    let rows = missing("list").report().expect(0).rows();
    assert!(!rows.is_empty() && rows.iter().all(|r| text(&r["location"]).starts_with("s3:")));

    // A corrupt one is found, and not fetched; the list shows it without opening it.
    let six = etcd.root.snapshot_names().into_iter().find(|n| n.starts_with("six")).unwrap();
    let object = bucket.object(&format!("backups/k3s/{six}"));
    let mut damaged = fs::read(&object).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&object, damaged).unwrap();
    failed(fetch(&six).report(), Code::SnapshotCorrupt, &[&six]);
    assert!(!to.join(&six).exists());
    let verify = tool("verify", &etcd.root, &bucket).args(&["--s3", "--quick", &six]);
    verify.report().fails(Code::SnapshotCorrupt);
    let rows = tool("list", &etcd.root, &bucket).arg("--s3").report().expect(0).rows();
    let row = rows.iter().find(|r| r["name"] == six.as_str() && text(&r["location"]).starts_with("s3:"));
    assert_eq!(row.unwrap()["state"], "corrupt");
}

/// A local file that is not what was verified any more does not stop the uploads of the others.
#[test]
fn pending_upload_that_fails_does_not_stop_the_others() {
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = Etcd::start();
    etcd.bootstrap("secret");
    let save = |base: &str| tool("save", &etcd.root, &bucket).args(&["--s3", "--name", base]).report();
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    for base in ["one", "two"] {
        save(base).fails(Code::UploadFailed);
    }
    bucket.front.plan(&[]);
    let local = |base: &str| {
        let names = etcd.root.snapshot_names();
        etcd.root.snapshots().join(names.iter().find(|n| n.starts_with(base)).unwrap())
    };
    // Damage that the file system does not show: the times stay the same.
    let file = local("one");
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&file, damaged).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    let run = save("three");
    let uploaded = |base: &str| bucket.keys().iter().any(|k| k.starts_with(&format!("backups/k3s/{base}")));
    assert!(uploaded("two") && uploaded("three") && !uploaded("one"), "{:?} {run:#?}", bucket.keys());
}

#[test]
fn check_s3_reports_each_check_in_order() {
    let (bucket, root) = (Bucket::start(), root());
    let check = || tool("check-s3", &root, &bucket);
    // Name and result of each check.
    let checks = |run: &Run| -> Vec<(String, bool)> {
        let checks = run.json()["checks"].as_array().unwrap().clone();
        checks.iter().map(|c| (text(&c["name"]), c["ok"].as_bool().unwrap())).collect()
    };
    let run = check().report().expect(0);
    let names: Vec<String> = checks(&run).into_iter().map(|(name, _)| name).collect();
    let order =
        ["name", "connection", "clock", "signature", "bucket", "list", "put", "get", "checksum", "multipart"];
    assert_eq!(names, order.into_iter().chain(["delete"]).collect::<Vec<_>>(), "{run:#?}");
    assert!(checks(&run).iter().all(|(_, ok)| *ok), "{run:#?}");
    let described = checks_of_the_bucket();
    assert!(names.iter().all(|name| described.contains(name)), "k3s-snapshot-check-s3(8) has {described:?}");
    assert_eq!(check().run().expect(0).stdout.lines().count(), names.len());
    assert!(bucket.keys().iter().all(|k| !k.contains("probe")), "{:?}", bucket.keys());
    // The last check fails, with a hint.
    let fails = |tool: Tool, name: &str| {
        let run = tool.report().fails(Code::S3CheckFailed);
        let last = run.json()["checks"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((text(&last["name"]).as_str(), &last["ok"]), (name, &false.into()), "{run:#?}");
        assert!(last["hint"].is_string(), "{run:#?}");
        assert_eq!(checks(&run).iter().filter(|(_, ok)| !ok).count(), 1, "{run:#?}");
    };
    fails(check().env("AWS_SECRET_ACCESS_KEY", "wrong"), "signature");
    fails(check().args(&["--s3-bucket", "nowhere"]), "bucket");
    fails(check().args(&["--s3-endpoint", "no.such.host.invalid"]), "name");
    // The requests: ping, list, put.
    bucket.front.plan(&[(2, Fault::Refuse(403, "AccessDenied"))]);
    fails(check(), "put");
}

/// The highest resident memory of a program while it runs, in KiB.
fn peak(mut started: Started) -> (u64, Run) {
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
fn large_snapshots_are_uploaded_and_downloaded_in_48_mib() {
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
    // A pending upload of an earlier save.
    let local = k3s_snapshot::store::local::Local::new(&etcd.root.snapshots(), &etcd.root.state_dir(), true);
    let opened = local.open("big-server-1-1795339215").unwrap();
    let mut pending = manifest(b"");
    pending.stored_sha256.0 =
        k3s_snapshot::inspect::hash(&*opened.data, opened.data.size(), &mut |_| ()).unwrap().file;
    (pending.name, pending.file, pending.plain_size) =
        ("big-server-1-1795339215".into(), opened.id, opened.data.size());
    pending.upload = Some(Upload::Pending { reason: None, at: None });
    local.write_manifest(&pending).unwrap();
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
    let run = tool("fetch", &etcd.root, &bucket).args(&["--s3-timeout", "5m", "--report", "json"]);
    let run = run.arg("big-server-1-1795339215").arg(&to);
    let (down, run) = peak(run.deadline(Duration::from_secs(600)).start());
    // It is no database, which is found after the download.
    let run = run.fails(Code::SnapshotCorrupt);
    println!("down: {} KiB at most, {:?}", down, run.wall);
    assert!(up < 48 * 1024 && down < 48 * 1024, "{up} and {down} KiB");
}
