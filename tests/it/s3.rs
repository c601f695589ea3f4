// SPDX-License-Identifier: Apache-2.0
//! Our programs and a bucket: what goes there and comes back, and each trouble in one sentence with its exit code.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::conformance::{bytes, manifest, name};
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::etcd::Etcd;
use crate::support::front::Fault;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::memory::Bytes;
use crate::support::ports::{Ports, free_port};
use crate::support::process;
use crate::support::require::{self, require};
use crate::support::tool::{Run, Tool};
use k3s_snapshot::host::NoProgress;
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

#[track_caller]
pub(crate) fn says(run: &Run, words: &[&str]) {
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?} in {run:#?}");
    }
    let shown = format!("{}{}{:?}", run.stdout, run.stderr, run.args);
    for secret in [SECRET, "X-Amz-Signature", "geheim"] {
        assert!(!shown.contains(secret), "{run:#?}");
    }
    assert_eq!(run.stderr.matches("error: ").count(), 1, "one sentence: {run:#?}");
}

#[test]
fn each_trouble_is_a_sentence_an_exit_code_and_a_hint() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let list = || tool("list", &root, &bucket).arg("--s3");

    says(
        &list().env("AWS_SECRET_ACCESS_KEY", "wrong").run().expect(78),
        &["signature is wrong", "hint: The secret key"],
    );
    says(
        &list().env("AWS_ACCESS_KEY_ID", "NOBODY").run().expect(78),
        &["does not accept the access key", "hint: Check the access key"],
    );
    says(
        &list().args(&["--s3-region", "eu-west-1"]).run().expect(78),
        &["in the region 'us-east-1', not in 'eu-west-1'", "--s3-region"],
    );
    says(&list().args(&["--s3-bucket", "nowhere"]).run().expect(78), &["no such bucket", "--s3-bucket"]);
    bucket.front.set_clock(3600);
    says(&list().run().expect(78), &["this machine's clock is", "behind the store's", "timedatectl"]);
    bucket.front.set_clock(0);
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    says(&list().run().expect(77), &["access is denied", "s3:ListBucket"]);
    bucket.front.always(Fault::Refuse(503, "SlowDown"));
    says(&list().run().expect(75), &["SlowDown", "later"]);
    bucket.front.always(Fault::Redirect);
    says(&list().run().expect(78), &["redirects to 'elsewhere.example'", "not followed"]);
    bucket.front.always(Fault::Garbage);
    says(&list().run().expect(1), &["makes no sense"]);
    bucket.front.always(Fault::Stall);
    says(&list().args(&["--s3-timeout", "1s"]).run().expect(1), &["was silent for 1 s", "--s3-timeout"]);
    bucket.front.plan(&[]);
    let dead = format!("http://user:geheim@127.0.0.1:{}", free_port());
    says(&list().env("K3S_SNAPSHOT_S3_PROXY", &dead).run().expect(1), &["cannot be reached", "--s3-proxy"]);
    says(
        &list().args(&["--s3-endpoint", "no.such.host.invalid"]).run().expect(1),
        &["name", "cannot be resolved"],
    );
    let closed = format!("http://127.0.0.1:{}", free_port());
    says(&list().args(&["--s3-endpoint", &closed]).run().expect(1), &["cannot be reached", "firewall"]);
    let https = format!("https://127.0.0.1:{}", bucket.front.port());
    says(
        &list().args(&["--s3-endpoint", &https]).run().expect(78),
        &["does not speak HTTPS", "--s3-insecure"],
    );
    list().run().expect(0);
}

#[test]
fn tls_is_held_to_an_authority() {
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
    says(&list().run().expect(78), &["certificate of '127.0.0.1", "not accepted", "--s3-endpoint-ca"]);
    // The page that openssl shows is no listing: TLS was fine.
    says(&list().arg("--s3-endpoint-ca").arg(&cert).run().expect(1), &["makes no sense"]);
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD.encode(fs::read(&cert).unwrap());
    says(&list().args(&["--s3-endpoint-ca", &pem]).run().expect(1), &["makes no sense"]);
    says(&list().arg("--s3-skip-ssl-verify").run().expect(1), &["makes no sense"]);
    says(
        &tool("list", &root, &bucket)
            .args(&["--s3", "--s3-endpoint", &format!("http://127.0.0.1:{port}"), "--s3-timeout", "1s"])
            .run()
            .expect(78),
        &["does not speak plain HTTP", "--s3-insecure"],
    );
}

#[test]
fn secrets_are_taken_from_everywhere_and_warned_about_on_the_command_line() {
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
        let run = bare("list").args(&[&keys[0], &keys[1], "--report", "json"]).run().expect(0);
        let warnings = &run.json()["warnings"];
        assert_eq!(
            (warnings.as_array().map(Vec::len), &warnings[0]["code"]),
            (Some(1), &"secret-on-command-line".into())
        );
        assert!(!run.stderr.contains(SECRET), "{run:#?}");
    }
    let run = bare("list").arg("--report").arg("json").run().expect(78);
    assert_eq!(run.json()["error"]["code"], "s3-credentials-missing");
    let folder = root.path().join("creds");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("s3-access-key"), format!("{ACCESS}\n")).unwrap();
    fs::write(folder.join("s3-secret-key"), SECRET).unwrap();
    bare("list").env("CREDENTIALS_DIRECTORY", &folder).run().expect(0);
    bare("list")
        .arg("--s3-access-key-file")
        .arg(folder.join("s3-access-key"))
        .arg("--s3-secret-key-file")
        .arg(folder.join("s3-secret-key"))
        .run()
        .expect(0);
    // The environment overrides credentials of systemd.
    bare("list").env("CREDENTIALS_DIRECTORY", &folder).env("AWS_SECRET_ACCESS_KEY", "wrong").run().expect(78);
    fs::create_dir(root.path().join(".aws")).unwrap();
    let shared =
        format!("[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key={SECRET}\n[other]\n");
    fs::write(root.path().join(".aws/credentials"), shared).unwrap();
    bare("list").env("HOME", root.path()).run().expect(0);
    let run = bare("list").env("CREDENTIALS_DIRECTORY", &folder).arg("--show-config").run().expect(0);
    assert!(!run.stdout.contains(SECRET) && run.stdout.contains("credential "), "{run:#?}");
}

#[test]
fn list_shows_folder_and_bucket_and_details_on_demand() {
    let (bucket, root) = (Bucket::start(), root());
    fs::create_dir_all(root.snapshots()).unwrap();
    let data = Bytes(bytes(1, 4));
    bucket
        .store()
        .upload(&name("on-demand-server-1", 1_795_339_215), &data, &manifest(&data.0), &NoProgress)
        .unwrap();
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
            ("etcd-snapshot-server-1-1795339214", "unchecked"),
            ("on-demand-server-1-1795339215", "proven"),
            ("etcd-snapshot-server-2-1795339216", "unchecked")
        ]
    );
    assert_eq!(rows[1]["location"], "s3://snapshots/backups/k3s/on-demand-server-1-1795339215");
    assert_eq!(bucket.front.seen().len(), 1, "one page, nothing else");
    let run = tool("list", &root, &bucket).args(&["--s3", "--details", "-o", "json"]).run().expect(0);
    assert_eq!(run.json()[1]["revision"], 7);
    assert_eq!(run.json()[1]["node"], "server-1");
    // Without --s3 nobody is asked.
    bucket.front.plan(&[]);
    tool("list", &root, &bucket).run().expect(0);
    assert!(bucket.front.seen().is_empty());
    // The folder is shown where the bucket is out of reach.
    let run = tool("list", &root, &bucket).args(&["--s3", "--s3-bucket", "nowhere"]).run().expect(78);
    assert!(run.stdout.contains("etcd-snapshot-server-1-1795339214"), "{run:#?}");
    // K3s's own switch counts, and its Secret is named.
    let config = root.path().join("k3s.yaml");
    fs::write(&config, "etcd-s3: true\netcd-s3-config-secret: my-secret\n").unwrap();
    let run = Tool::new("list").on(&root).arg("--config").arg(&config).run().expect(78);
    assert!(run.stderr.contains("'my-secret'") && run.stdout.contains("1795339214"), "{run:#?}");
}

#[test]
fn save_keeps_here_first_and_the_next_one_sends_what_is_owed() {
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
    assert!(run.json()["snapshots"].as_array().unwrap().iter().all(|r| r["state"] == "proven"), "{run:#?}");
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

    // The bucket is away: kept, exit 3, and owed.
    bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    for base in ["two", "three"] {
        let run = save(base).run().expect(3);
        says(&run, &["was kept here, but not sent", "access is denied", "The next save sends it too"]);
        assert_eq!(places(&run).len(), 1);
    }
    let wrong = save("four").args(&["--s3-region", "!"]).run().expect(3);
    says(&wrong, &["was kept here", "'s3-region'"]);
    bucket.front.plan(&[]);
    // One of the three is deleted here: it is not sent again.
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
    // What was deleted in the bucket is not sent again either.
    fs::remove_file(&there).unwrap();
    let run = save("seven").run().expect(0);
    assert_eq!(places(&run).len(), 2);
    assert!(!there.exists());

    // A zip, and a verification of all that is there.
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

    // Fetched, proven, never over another.
    let to = etcd.root.path().join("fetched");
    fs::create_dir(&to).unwrap();
    let fetch = |name: &str| tool("list", &etcd.root, &bucket).args(&["--fetch", name]).arg(&to);
    for name in [&zip, &places(&save("eight").run().expect(0))[1].1] {
        fetch(name).run().expect(0);
        assert!(fs::read(to.join(name)).unwrap() == fs::read(etcd.root.snapshots().join(name)).unwrap());
    }
    let run = fetch(&zip).run().expect(77);
    says(&run, &["is there already"]);
    fetch("on-demand-nobody-5").run().expect(4);
    fetch("../outside-5").run().expect(4);

    // A damaged one is found, told in the list without being opened, and not fetched.
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
    assert_eq!(row["state"], "bad", "{row}");
}

#[test]
fn a_probe_says_in_order_what_works() {
    let (bucket, root) = (Bucket::start(), root());
    let check = || tool("list", &root, &bucket).arg("--check-s3");
    let run = check().run().expect(0);
    let words: Vec<&str> = run.stdout.lines().map(|l| l.split(':').next().unwrap()).collect();
    assert_eq!(
        words,
        [
            "ok     name",
            "ok     connection",
            "ok     clock",
            "ok     signature",
            "ok     bucket",
            "ok     list",
            "ok     put",
            "ok     get",
            "ok     checksum",
            "ok     multipart",
            "ok     delete"
        ],
        "{run:#?}"
    );
    assert!(bucket.keys().iter().all(|k| !k.contains("probe")), "{:?}", bucket.keys());
    let run = check().env("AWS_SECRET_ACCESS_KEY", "wrong").run().expect(1);
    assert!(
        run.stdout.contains("FAILED signature") && run.stdout.contains("hint: The secret key"),
        "{run:#?}"
    );
    let run = check().args(&["--s3-bucket", "nowhere"]).run().expect(1);
    assert!(run.stdout.contains("FAILED bucket: there is no such bucket"), "{run:#?}");
    let run = check().args(&["--s3-endpoint", "no.such.host.invalid"]).run().expect(1);
    assert!(run.stdout.starts_with("FAILED name"), "{run:#?}");
    assert_eq!(run.stdout.matches("FAILED").count(), 1, "{run:#?}");
    // The requests: touch, list, put.
    bucket.front.plan(&[(2, Fault::Refuse(403, "AccessDenied"))]);
    let run = check().run().expect(1);
    assert!(
        run.stdout.contains("FAILED put: access is denied") && run.stdout.contains("s3:PutObject"),
        "{run:#?}"
    );
}

/// The highest resident memory of a program while it runs, in KiB.
fn peak(mut started: crate::support::tool::Started) -> (u64, Run) {
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
fn what_is_large_goes_up_and_down_in_48_mib() {
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
    // A debt of an earlier save.
    let local = k3s_snapshot::store::local::Local::new(&etcd.root.snapshots(), &etcd.root.state_dir(), true);
    let opened = local.open("big-server-1-1795339215").unwrap();
    let mut owed = manifest(b"");
    owed.stored_sha256.0 =
        k3s_snapshot::inspect::hash(&*opened.data, opened.data.size(), &mut |_| ()).unwrap().file;
    (owed.name, owed.file, owed.plain_size) =
        ("big-server-1-1795339215".into(), opened.id, opened.data.size());
    owed.other.insert("s3".into(), serde_json::json!({"state": "owed"}));
    local.write_manifest(&owed).unwrap();
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
    let run = tool("list", &etcd.root, &bucket)
        .args(&["--s3-timeout", "5m", "--fetch", "big-server-1-1795339215"])
        .arg(&to);
    let (down, run) = peak(run.deadline(Duration::from_secs(600)).start());
    // It is no database, which is found when all of it is here.
    let run = run.expect(65);
    println!("down: {} KiB at most, {:?}", down, run.wall);
    assert!(up < 48 * 1024 && down < 48 * 1024, "{up} and {down} KiB");
}
