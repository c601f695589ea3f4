// SPDX-License-Identifier: Apache-2.0
//! Buckets with versions and with Object Lock, and TLS with a private certificate authority.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k3s_snapshot::error::{Code, Kind, code_of, kind_of};
use k3s_snapshot::model::s3_config::S3Config;
use k3s_snapshot::model::snapshot::State;
use k3s_snapshot::store::Store;
use k3s_snapshot::store::s3::S3;

use crate::conformance::{bytes, manifest, name, upload};
use crate::s3::{checks, fails, plain, root};
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::cli::Tool;
use crate::support::front::Fault;
use crate::support::k3s_root::K3sRoot;
use crate::support::memory::Bytes;
use crate::support::moto::{self, Moto};
use crate::support::require::{self, require};

fn store(moto: &Moto) -> S3 {
    S3::new(moto.settings()).unwrap()
}

fn tool(verb: &str, root: &K3sRoot, url: &str) -> Tool {
    plain(verb, root)
        .env("K3S_SNAPSHOT_S3", "true")
        .env("K3S_SNAPSHOT_S3_ENDPOINT", url)
        .env("K3S_SNAPSHOT_S3_BUCKET", NAME)
        .env("K3S_SNAPSHOT_S3_FOLDER", "backups/k3s")
        .env("AWS_ACCESS_KEY_ID", ACCESS)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", "a/session+token==")
}

/// The objects in the bucket, with old versions: key, version, whether it is a delete marker.
fn versions(moto: &Moto) -> Vec<(String, String, bool)> {
    let (_, _, text) = moto.ask("GET", "?versions", &[], "");
    let between = |text: &str, tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
        rest.split_once("</").unwrap().0.to_owned()
    };
    let of = |tag: &str| -> Vec<(String, String, bool)> {
        let open = format!("<{tag}>");
        let parts = text.split(open.as_str()).skip(1);
        parts.map(|p| (between(p, "Key"), between(p, "VersionId"), tag == "DeleteMarker")).collect()
    };
    of("Version").into_iter().chain(of("DeleteMarker")).collect()
}

/// K3s keeps the slash at the beginning of `etcd-s3-folder` in the keys of its objects.
#[test]
fn a_slash_at_the_beginning_of_the_folder_is_a_part_of_the_key() {
    require!(moto::program());
    let moto = Moto::start(&[]);
    for (folder, key) in [("/lead", "//lead/"), ("/", "//")] {
        let config = S3Config { folder: folder.to_owned(), ..moto.settings() };
        let store = S3::new(config).unwrap();
        let of_k3s = format!("{key}etcd-snapshot-n-5");
        assert_eq!(moto.ask("PUT", &of_k3s, &[], &"x".repeat(64)).0, 200);
        // In one piece and in parts.
        for (at, blocks) in [(6, 4), (7, 25_000)] {
            let data = Bytes(bytes(at, blocks));
            upload(&store, &name("manual-n", at), &data, &manifest(&data.0)).unwrap();
            assert_eq!(moto.ask("HEAD", &format!("{key}manual-n-{at}"), &[], "").0, 200);
        }
        let listed: Vec<String> = store.list().unwrap().snapshots.iter().map(|s| s.file.clone()).collect();
        for file in ["etcd-snapshot-n-5", "manual-n-6", "manual-n-7"] {
            assert!(listed.iter().any(|f| f == file), "{folder}: {listed:?}");
            assert!(store.open(file).is_ok(), "{folder}: {file}");
        }
        let deleted = store.delete(&["etcd-snapshot-n-5", "manual-n-6", "manual-n-7"]);
        assert!(deleted.iter().all(|(_, result)| result.is_ok()), "{folder}");
        assert_eq!(moto.ask("HEAD", &of_k3s, &[], "").0, 404, "{folder}");
    }
}

#[test]
fn a_bucket_with_object_lock_takes_snapshots_and_keeps_them() {
    require!(moto::program());
    let moto = Moto::start(&[("x-amz-bucket-object-lock-enabled", "true")]);
    let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    assert_eq!(moto.ask("PUT", "?object-lock", &[], rule).0, 200);
    let store = store(&moto);
    // In one piece and in parts.
    for (at, blocks) in [(5, 4), (6, 25_000)] {
        let data = Bytes(bytes(at, blocks));
        let put = upload(&store, &name("on-demand-n", at), &data, &manifest(&data.0)).unwrap();
        assert_eq!(put.state, State::Verified);
        let (_, headers, _) = moto.ask("HEAD", &format!("/backups/k3s/on-demand-n-{at}"), &[], "");
        // moto does not lock an object in parts by default. `front.rs` checks that each part has a checksum.
        let mode = headers.get("x-amz-object-lock-mode").map(|m| m.to_str().unwrap());
        assert_eq!(mode, (at == 5).then_some("COMPLIANCE"), "{headers:?}");
        let other = Bytes(bytes(at + 10, blocks));
        let again = upload(&store, &name("on-demand-n", at), &other, &manifest(&other.0)).err().unwrap();
        assert_eq!(kind_of(&again), Kind::Refused, "{again:#}");
    }
    // A manifest is written over an older one: the old version stays, the new one counts.
    let opened = store.open("on-demand-n-5").unwrap();
    let mut again = opened.manifest.unwrap();
    again.checked_at += 1;
    store.record("on-demand-n-5", &mut |_| Some(again.clone())).unwrap();
    // A deletion hides them; the versions stay.
    for (_, result) in store.delete(&["on-demand-n-5", "on-demand-n-6"]) {
        assert!(result.unwrap());
    }
    assert!(store.list().unwrap().snapshots.is_empty());
    assert_eq!(kind_of(&store.open("on-demand-n-5").err().unwrap()), Kind::NotFound);
    let all = versions(&moto);
    for file in ["on-demand-n-5", "on-demand-n-6"] {
        let key = format!("backups/k3s/{file}");
        assert!(all.iter().any(|(k, _, marker)| *k == key && *marker), "{all:?}");
        let (_, version, _) = all.iter().find(|(k, _, marker)| *k == key && !marker).unwrap();
        let what = format!("/{key}?versionId={version}");
        assert_eq!(moto.ask("HEAD", &what, &[], "").0, 200);
        if file == "on-demand-n-5" {
            assert_eq!(moto.ask("DELETE", &what, &[], "").0, 403, "the lock is real");
        }
    }
}

/// Some stores refuse the deletion itself, with one of these codes.
#[test]
fn a_locked_snapshot_is_reported_and_the_others_are_deleted() {
    let bucket = Bucket::start();
    let store = bucket.store();
    let data = Bytes(bytes(1, 4));
    for at in [5, 6] {
        upload(&store, &name("a", at), &data, &manifest(&data.0)).unwrap();
    }
    store.list().unwrap();
    let answer = "<DeleteResult><Deleted><Key>backups/k3s/a-6</Key></Deleted><Error><Key>backups/k3s/a-5</Key><Code>AccessDenied</Code><Message>Object is WORM protected and cannot be overwritten</Message></Error></DeleteResult>";
    bucket.front.plan(&[(0, Fault::Answer(answer.into()))]);
    let mut results = store.delete(&["a-5", "a-6"]);
    results.sort_by(|a, b| a.0.cmp(&b.0));
    let locked = results[0].1.as_ref().unwrap_err();
    assert_eq!(code_of(locked), Code::S3ObjectLocked);
    assert!(results[1].1.is_ok());
    // What stays keeps its manifest.
    let keys = bucket.keys();
    let there = |file: &str| keys.contains(&format!("backups/k3s/.metadata/{file}.3.6f9c1f0e.json"));
    assert!(there("a-5") && !there("a-6"), "{keys:?}");
    bucket.front.plan(&[(0, Fault::Refuse(403, "ObjectLocked"))]);
    let results = store.delete(&["a-5"]);
    assert_eq!(code_of(results[0].1.as_ref().unwrap_err()), Code::S3ObjectLocked, "{results:?}");
}

#[test]
fn of_several_versions_the_newest_counts() {
    require!(moto::program());
    let moto = Moto::start(&[]);
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert_eq!(moto.ask("PUT", "?versioning", &[], on).0, 200);
    let store = store(&moto);
    let (old, new) = (bytes(1, 4), bytes(2, 6));
    for text in [&old, &new] {
        let text = std::str::from_utf8(text).unwrap();
        assert_eq!(moto.ask("PUT", "/backups/k3s/etcd-snapshot-n-5", &[], text).0, 200);
    }
    let listed = store.list().unwrap().snapshots;
    assert_eq!(listed.iter().map(|s| s.size).collect::<Vec<_>>(), [new.len() as u64]);
    let opened = store.open("etcd-snapshot-n-5").unwrap();
    let mut all = vec![0; new.len()];
    opened.data.read_exact_at(&mut all, 0).unwrap();
    assert!(all == new);
    assert!(store.delete(&["etcd-snapshot-n-5"])[0].1.as_ref().is_ok_and(|there| *there));
    assert!(store.list().unwrap().snapshots.is_empty(), "a marker hides all versions");
    let of_it = versions(&moto).into_iter().filter(|(key, ..)| key.ends_with("n-5"));
    assert_eq!(of_it.map(|(.., marker)| marker).collect::<Vec<_>>(), [false, false, true]);
    // The check says that a deletion frees no space.
    let root = root();
    let run = tool("check-s3", &root, &moto.url).args(&["--report", "json"]).run().expect(0);
    let delete = run.json()["checks"].as_array().unwrap().last().unwrap().clone();
    assert!(
        delete["name"] == "delete" && delete["detail"].as_str().unwrap().contains("versions"),
        "{delete}"
    );
}

/// An authority, and a certificate for ::1 that it signed: the two certificates and the key.
fn certificates(folder: &Path, who: &str) -> (PathBuf, PathBuf, PathBuf) {
    let file = |end: &str| folder.join(format!("{who}-{end}"));
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let path = |end: &str| file(end).to_str().unwrap().to_owned();
    let (ca, ca_key, cert, key) = (path("ca.crt"), path("ca.key"), path("tls.crt"), path("tls.key"));
    let subject = format!("/CN={who}");
    openssl(&[&["req", "-x509"], &ec[..], &["-subj", &subject, "-keyout", &ca_key, "-out", &ca]].concat());
    let signed = ["-CA", &ca, "-CAkey", &ca_key, "-subj", "/CN=store", "-keyout", &key, "-out", &cert];
    let names = ["-addext", "subjectAltName=IP:::1", "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(&[&["req", "-x509"], &ec[..], &signed[..], &names[..]].concat());
    (file("ca.crt"), file("tls.crt"), file("tls.key"))
}

/// As one command of openssl makes it: self-signed, and an authority. Many small stores have such a certificate.
#[test]
fn a_self_signed_certificate_is_trusted_if_it_is_configured() {
    require!(moto::program());
    require!(require::program("openssl"));
    let root = root();
    fs::create_dir_all(root.snapshots()).unwrap();
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let make = |name: &str| {
        let (cert, key) = (path(&format!("{name}.crt")), path(&format!("{name}.key")));
        let line = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=store", "-addext"];
        let files = ["subjectAltName=IP:::1", "-keyout", &key, "-out", &cert];
        let done = Command::new("openssl").args(line).args(files).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        (PathBuf::from(cert), PathBuf::from(key))
    };
    let (cert, key) = make("store");
    let (other, _) = make("other");
    let moto = Moto::start_tls(&cert, &key);
    let list = |ca: &Path| tool("list", &root, &moto.url).arg("--s3-endpoint-ca").arg(ca);
    list(&cert).run().expect(0);
    fails(list(&other), 78, "s3-certificate-untrusted");
    let elsewhere = moto.url.replace("[::1]", "127.0.0.1");
    fails(list(&cert).args(&["--s3-endpoint", &elsewhere]), 78, "s3-certificate-name");
    fails(tool("list", &root, &moto.url), 78, "s3-certificate-untrusted");
}

#[test]
fn a_private_authority_is_trusted_and_no_other() {
    require!(moto::program());
    require!(require::program("openssl"));
    let root = root();
    fs::create_dir_all(root.snapshots()).unwrap();
    let (ca, cert, key) = certificates(root.path(), "ours");
    let (other, ..) = certificates(root.path(), "theirs");
    let moto = Moto::start_tls(&cert, &key);
    let list = || tool("list", &root, &moto.url);
    fails(list(), 78, "s3-certificate-untrusted");
    fails(list().arg("--s3-endpoint-ca").arg(&other), 78, "s3-certificate-untrusted");
    list().arg("--s3-endpoint-ca").arg(&ca).run().expect(0);
    // Several, as K3s takes them; and as base64, also with line breaks of YAML.
    list().arg("--s3-endpoint-ca").arg(format!("{} {}", other.display(), ca.display())).run().expect(0);
    list().arg("--s3-endpoint-ca").arg(&other).arg("--s3-endpoint-ca").arg(&ca).run().expect(0);
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD.encode(fs::read(&ca).unwrap());
    list().args(&["--s3-endpoint-ca", &pem]).run().expect(0);
    let lines: Vec<&str> = pem.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    list().args(&["--s3-endpoint-ca", &lines.join(" ")]).run().expect(0);
    // Without verification, the authorities do not matter.
    list().arg("--s3-endpoint-ca").arg(&other).arg("--s3-skip-ssl-verify").run().expect(0);
    // The certificate is for the other address.
    let name = moto.url.replace("[::1]", "127.0.0.1");
    fails(list().arg("--s3-endpoint-ca").arg(&ca).args(&["--s3-endpoint", &name]), 78, "s3-certificate-name");
    list().arg("--s3-endpoint-ca").arg(root.path().join("no-such.crt")).run().expect(78);
    // All of it works over TLS, at an IPv6 address, with a session token.
    let run = tool("check-s3", &root, &moto.url).arg("--s3-endpoint-ca").arg(&ca);
    let run = run.args(&["--report", "json"]).run().expect(0);
    let all = checks(&run);
    assert!(all.contains(&("multipart".into(), true)) && all.iter().all(|(_, ok)| *ok), "{run:#?}");
}
