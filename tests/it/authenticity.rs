// SPDX-License-Identifier: Apache-2.0
//! Snapshots and manifests in a bucket that were changed, exchanged, renamed, replayed, or whose authentication code was removed,
//! by one who can write to the bucket and does not know the server token: what each command says of them.

use std::fs;

use k3s_snapshot::error::{Code, code_of};
use k3s_snapshot::inspect;
use k3s_snapshot::model::authenticity::{Authenticity, Keyring};
use k3s_snapshot::model::name::SnapshotName;
use k3s_snapshot::model::restore::Operation;
use k3s_snapshot::model::secret::Secret;
use k3s_snapshot::model::snapshot::{Digest, Manifest, State};
use k3s_snapshot::model::warning::WarningCode;
use k3s_snapshot::store::Store;
use serde_json::Value;
use sha2::Digest as _;

use crate::conformance;
use crate::restore_world::{LIVE, SNAPSHOT, World};
use crate::s3::{root, tool};
use crate::support::bucket::Bucket;
use crate::support::cli::Run;
use crate::support::etcd::Etcd;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::memory::Bytes;
use crate::support::require::{self, require};

const TOKEN: &str = "labtoken";
const OLD: u64 = 1_795_339_300;
const NEW: u64 = 1_795_339_400;

fn name(at: u64) -> SnapshotName {
    conformance::name("manual-server-1", at)
}

/// The manifest that a save writes with this token.
fn manifest(bytes: &[u8], at: u64, token: &str) -> Manifest {
    let len = inspect::database_len(bytes.len() as u64).unwrap();
    let facts = inspect::verify(&bytes, len).unwrap().facts;
    let mut m = conformance::manifest(bytes);
    m.name = name(at).to_string();
    m.file.size = bytes.len() as u64;
    (m.revision, m.key_revisions) = (facts.revision, facts.key_revisions);
    (m.token_hash, m.cluster_id) = (facts.token_hashes, facts.cluster_id);
    m.saved_at = Some(at);
    authenticate(m, token)
}

fn authenticate(mut m: Manifest, token: &str) -> Manifest {
    m.authentication = Keyring::new([&Secret::new(token)]).authenticate(&[], &m.covered_facts());
    m
}

/// The bytes and the manifest of an object, as an attacker without the token makes them from an authentic one.
struct Forged {
    bytes: Vec<u8>,
    manifest: Manifest,
}

/// A snapshot that is whole, with a certificate in it that differs in one byte.
fn flipped() -> Vec<u8> {
    let mut bytes = SNAPSHOT.to_vec();
    let text = b"-----BEGIN CERTIFICATE-----\nMII";
    let at = bytes.windows(text.len()).rposition(|part| part == text).unwrap() + text.len() + 8;
    bytes[at] ^= 1;
    let len = bytes.len() - 32;
    let sum = sha2::Sha256::digest(&bytes[..len]);
    bytes[len..].copy_from_slice(&sum);
    bytes
}

/// A digest and sizes that fit the bytes, next to the code of another snapshot.
fn with_digest_of(bytes: &[u8], m: Manifest) -> Manifest {
    let sha = Digest(sha2::Sha256::digest(bytes).into());
    let size = bytes.len() as u64;
    let mut m = Manifest { stored_sha256: sha, plain_sha256: sha, plain_size: size, ..m };
    m.file.size = size;
    m
}

/// Every forgery of the newer one of two snapshots, with what a command that knows the token finds.
fn forgeries() -> Vec<(&'static str, Forged, Authenticity)> {
    use Authenticity::{Missing, NotAuthentic, UnknownKey};
    let new = || manifest(SNAPSHOT, NEW, TOKEN);
    let of = |bytes: &[u8], manifest: Manifest| Forged { bytes: bytes.to_vec(), manifest };
    let old = manifest(LIVE, OLD, TOKEN);
    let flipped = flipped();
    let (exchanged, other) = (manifest(LIVE, NEW, "another"), manifest(SNAPSHOT, NEW, "another"));
    vec![
        ("flipped", of(&flipped, with_digest_of(&flipped, new())), NotAuthentic),
        (
            "flipped, digest and all",
            of(
                &flipped,
                Manifest { authentication: new().authentication, ..manifest(&flipped, NEW, "another") },
            ),
            NotAuthentic,
        ),
        ("exchanged", of(LIVE, Manifest { authentication: new().authentication, ..exchanged }), NotAuthentic),
        ("exchanged without a change of the manifest", of(LIVE, new()), NotAuthentic),
        (
            "renamed, and so replayed as the newest",
            of(LIVE, Manifest { name: name(NEW).to_string(), ..old.clone() }),
            NotAuthentic,
        ),
        (
            "renamed with its time",
            of(LIVE, Manifest { name: name(NEW).to_string(), saved_at: Some(NEW), ..old }),
            NotAuthentic,
        ),
        (
            "a manifest of another cluster with the same token",
            of(
                SNAPSHOT,
                authenticate(
                    Manifest { cluster_id: Some("6f9c1f0e-3a52-4d0b-9d1e-5b7c6a8f2e11".into()), ..new() },
                    TOKEN,
                ),
            ),
            NotAuthentic,
        ),
        (
            "the code of another key",
            of(SNAPSHOT, Manifest { authentication: other.authentication, ..new() }),
            UnknownKey,
        ),
        ("without a code", of(SNAPSHOT, Manifest { authentication: None, ..new() }), Missing),
    ]
}

fn put(bucket: &Bucket, at: u64, bytes: &[u8], manifest: &Manifest) {
    let uploaded =
        if manifest.stored_sha256.0[..] == sha2::Sha256::digest(bytes)[..] { bytes } else { SNAPSHOT };
    conformance::upload(&bucket.store(), &name(at), &Bytes(uploaded.to_vec()), manifest).unwrap();
    if uploaded != bytes {
        bucket.plant(&format!("backups/k3s/{}", name(at)), bytes);
    }
}

/// A bucket with an older snapshot, which is authentic, and this newer one.
fn bucket_with(newer: &Forged) -> Bucket {
    let bucket = Bucket::start();
    put(&bucket, OLD, LIVE, &manifest(LIVE, OLD, TOKEN));
    put(&bucket, NEW, &newer.bytes, &newer.manifest);
    bucket
}

fn word(authenticity: Authenticity) -> Value {
    serde_json::to_value(authenticity).unwrap()
}

fn verify(root: &K3sRoot, bucket: &Bucket, at: u64) -> Run {
    tool("verify", root, bucket).args(&["--s3", "--report", "json", &name(at).to_string()]).run()
}

#[test]
fn a_snapshot_that_was_changed_in_the_bucket_with_its_manifest_is_not_authentic_to_list_fetch_and_verify() {
    for (what, forged, found) in forgeries() {
        let (root, bucket) = (root(), bucket_with(&forged));
        let is_forged = found == Authenticity::NotAuthentic;
        let list = tool("list", &root, &bucket).args(&["--s3", "--details", "-o", "json"]).run().expect(0);
        assert_eq!(list.row_of(&name(OLD).to_string())["state"], "verified", "{what}");
        assert_eq!(list.row_of(&name(OLD).to_string())["authenticity"], "authentic", "{what}");
        let row = list.row_of(&name(NEW).to_string());
        // What the manifest says of itself is all that a list sees.
        assert_eq!(row["state"] == "verified", row["authenticity"] == "authentic", "{what}");

        let dir = tempfile::tempdir().unwrap();
        let (new, to) = (name(NEW).to_string(), dir.path().to_str().unwrap());
        let fetch = tool("fetch", &root, &bucket).args(&["--report", "json", &new, to]).run();
        match is_forged {
            true => drop(fetch.fails(Code::NotAuthentic).with_hint()),
            false => assert_eq!(fetch.expect(0).row()["authenticity"], word(found), "{what}"),
        }
        assert_eq!(dir.path().join(&new).exists(), !is_forged, "{what}");

        let run = verify(&root, &bucket, NEW);
        let run = if is_forged { run.fails(Code::NotAuthentic) } else { run.expect(0) };
        assert_eq!(run.row()["authenticity"], word(found), "{what}: {run:#?}");
        let state = if is_forged { State::Corrupt } else { State::Verified };
        assert_eq!(run.row()["state"], state.as_str(), "{what}: {run:#?}");
        assert_eq!(run.findings().contains(&"authenticity".to_owned()), is_forged, "{what}");
        // The finding is recorded: every list shows it.
        let list = tool("list", &root, &bucket).args(&["--s3", "-o", "json"]).run().expect(0);
        assert_eq!(list.row_of(&new)["state"], state.as_str(), "{what}");
        assert_eq!(list.row_of(&new)["authenticity"], Value::Null, "{what}: the manifest was not read");
    }
}

#[test]
fn a_snapshot_that_was_changed_in_the_bucket_with_its_manifest_is_not_restored() {
    let own = manifest(SNAPSHOT, NEW, TOKEN).cluster_id;
    for (what, forged, found) in forgeries() {
        let bucket = bucket_with(&forged);
        for (target, dry_run) in
            [(name(NEW).to_string(), true), ("latest".to_owned(), true), (name(NEW).to_string(), false)]
        {
            let mut world = World::new(Operation::Restore);
            world.bucket = Some(bucket.settings());
            world.tweak = if dry_run { |o| o.dry_run = true } else { |_| {} };
            world.target = Some(target.clone());
            let (result, report) = world.run();
            let warns = report.warnings.iter().any(|w| w.code == WarningCode::AuthenticityUnverified);
            let what = format!("{what}, {target}, dry run {dry_run}: {result:?}");
            if forged.manifest.cluster_id != own && target == "latest" {
                // It says that it is of another cluster, so the older one is the newest of this cluster.
                assert!(result.is_ok(), "{what}");
                assert_eq!(report.snapshots[0].name, name(OLD).to_string(), "{what}");
                continue;
            }
            match (found, target.as_str()) {
                (Authenticity::NotAuthentic, _) => {
                    assert_eq!(result.as_ref().err().map(code_of), Some(Code::NotAuthentic), "{what}")
                }
                (_, "latest") => {
                    assert_eq!(code_of(&result.unwrap_err()), Code::AuthenticityUnverified, "{what}")
                }
                _ => {
                    assert!(result.is_ok() && warns, "{what}");
                    assert_eq!(report.snapshots[0].authenticity, Some(found), "{what}");
                    assert_eq!(world.is_restored(), !dry_run, "{what}");
                    continue;
                }
            }
            assert!(!world.is_restored(), "{what}");
        }
    }
}

#[test]
fn what_this_cluster_saved_is_authentic_everywhere_and_latest_takes_it() {
    let authentic = Forged { bytes: SNAPSHOT.to_vec(), manifest: manifest(SNAPSHOT, NEW, TOKEN) };
    let bucket = bucket_with(&authentic);
    for target in ["latest".to_owned(), name(OLD).to_string()] {
        let mut world = World::new(Operation::Restore);
        world.bucket = Some(bucket.settings());
        world.target = Some(target);
        world.tweak = |o| o.dry_run = true;
        let (result, report) = world.run();
        result.unwrap();
        assert_eq!(report.snapshots[0].authenticity, Some(Authenticity::Authentic));
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }
    let root = root();
    for form in [TOKEN.to_owned(), format!("K10{}::server:{TOKEN}", "ab".repeat(32))] {
        let file = root.path().join("token");
        fs::write(&file, form).unwrap();
        let run = tool("verify", &root, &bucket)
            .args(&["--s3", "--all", "--report", "json", "--token-file", file.to_str().unwrap()])
            .run()
            .expect(0);
        assert!(run.rows().iter().all(|row| row["authenticity"] == "authentic"), "{run:#?}");
    }
}

#[test]
fn without_codes_in_the_bucket_latest_takes_the_newest_as_before_with_a_warning() {
    let bucket = Bucket::start();
    let plain = |at: u64| Manifest { authentication: None, ..manifest(SNAPSHOT, at, TOKEN) };
    put(&bucket, OLD, SNAPSHOT, &plain(OLD));
    // As K3s leaves it: without a manifest.
    bucket.plant(&format!("backups/k3s/{}", name(NEW)), SNAPSHOT);
    let run = |tweak: fn(&mut k3s_snapshot::commands::restore::Options)| {
        let mut world = World::new(Operation::Restore);
        world.bucket = Some(bucket.settings());
        (world.target, world.tweak) = (Some("latest".into()), tweak);
        let (result, report) = world.run();
        (result.map(|()| report.snapshots[0].name.clone()), report)
    };
    let (taken, report) = run(|o| o.dry_run = true);
    assert_eq!(taken.unwrap(), name(NEW).to_string());
    assert_eq!(report.snapshots[0].authenticity, Some(Authenticity::Missing));
    assert!(report.warnings.iter().any(|w| w.code == WarningCode::AuthenticityUnverified));
    // As soon as an older one is authentic, the newest must be named or forced.
    bucket.store().delete(&[&name(OLD).to_string()]);
    put(&bucket, OLD, SNAPSHOT, &manifest(SNAPSHOT, OLD, TOKEN));
    let (taken, _) = run(|o| o.dry_run = true);
    assert_eq!(code_of(&taken.unwrap_err()), Code::AuthenticityUnverified);
    let (taken, _) = run(|o| (o.dry_run, o.force) = (true, true));
    assert_eq!(taken.unwrap(), name(NEW).to_string());
}

#[test]
fn after_a_rotation_the_older_token_serves_if_it_is_given() {
    let (root, bucket) = (root(), Bucket::start());
    put(&bucket, OLD, SNAPSHOT, &manifest(SNAPSHOT, OLD, "before the rotation"));
    assert_eq!(verify(&root, &bucket, OLD).expect(0).row()["authenticity"], "unknown-key");
    let older = root.path().join("older-token");
    fs::write(&older, "before the rotation\n").unwrap();
    let run = tool("verify", &root, &bucket)
        .args(&["--s3", "--report", "json", "--token-file", older.to_str().unwrap(), &name(OLD).to_string()])
        .run()
        .expect(0);
    assert_eq!(run.row()["authenticity"], "authentic");
    let mut world = World::new(Operation::Restore);
    (world.bucket, world.target) = (Some(bucket.settings()), Some(name(OLD).to_string()));
    world.tweak = |o| o.dry_run = true;
    let (result, report) = world.run();
    result.unwrap();
    assert_eq!(report.snapshots[0].authenticity, Some(Authenticity::UnknownKey));
    world.older_tokens = vec![Secret::new("before the rotation")];
    let (result, report) = world.run();
    result.unwrap();
    assert_eq!(report.snapshots[0].authenticity, Some(Authenticity::Authentic));
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

#[test]
fn without_a_token_a_bucket_is_listed_as_before_and_nothing_is_called_authentic() {
    let root = root();
    fs::remove_file(root.server().join("token")).unwrap();
    let bucket = bucket_with(&Forged {
        bytes: LIVE.to_vec(),
        manifest: with_digest_of(LIVE, manifest(SNAPSHOT, NEW, TOKEN)),
    });
    for details in [&[][..], &["--details"]] {
        let list = tool("list", &root, &bucket).args(&["--s3", "-o", "json"]).args(details).run().expect(0);
        for row in list.rows() {
            assert_eq!(
                (&row["state"], &row["authenticity"]),
                (&"verified".into(), &Value::Null),
                "{list:#?}"
            );
        }
    }
}

#[test]
fn a_save_authenticates_its_snapshot_here_and_in_the_bucket_and_a_file_here_may_be_another_one() {
    require!(require::etcd_programs());
    let bucket = Bucket::start();
    let etcd = Etcd::start_with(Layout { token: TOKEN.into(), ..Layout::default() });
    etcd.bootstrap(TOKEN);
    for compress in [false, true] {
        let mut save =
            tool("save", &etcd.root, &bucket).args(&["--s3", "--report", "json", "--node-name", "n"]);
        save = save.args(&["--name", if compress { "packed" } else { "plain" }]);
        let run = if compress { save.arg("--snapshot-compress") } else { save }.run().expect(0);
        let file = run.rows()[0]["name"].as_str().unwrap().to_owned();
        for place in [&[][..], &["--s3"]] {
            for quick in [&[][..], &["--quick"]] {
                let verify = tool("verify", &etcd.root, &bucket).args(&["--report", "json", &file]);
                let run = verify.args(place).args(quick).run().expect(0);
                assert_eq!(run.row()["authenticity"], "authentic", "{place:?} {quick:?}");
            }
        }
        let list =
            tool("list", &etcd.root, &bucket).args(&["--s3", "--details", "-o", "json"]).run().expect(0);
        assert!(list.rows().iter().all(|row| row["authenticity"] == "authentic"), "{list:#?}");
    }
    let names = etcd.root.snapshot_names();
    let plain = names.iter().find(|n| n.starts_with("plain")).unwrap();
    let path = etcd.root.snapshots().join(plain);
    fs::write(&path, SNAPSHOT).unwrap();
    let run = tool("verify", &etcd.root, &bucket).args(&["--report", "json", plain]).run().expect(0);
    assert_eq!((&run.row()["state"], &run.row()["authenticity"]), (&"verified".into(), &Value::Null));
}

#[test]
fn a_save_without_a_readable_token_succeeds_without_a_code() {
    require!(require::etcd_programs());
    let etcd = Etcd::start_with(Layout { token: TOKEN.into(), ..Layout::default() });
    etcd.bootstrap(TOKEN);
    fs::remove_file(etcd.root.server().join("token")).unwrap();
    let save = crate::s3::plain("save", &etcd.root).args(&["--report", "json", "--quiet"]).run().expect(0);
    assert_eq!(save.stderr, "");
    let run = crate::s3::plain("verify", &etcd.root).args(&["--report", "json", "--all"]).run().expect(0);
    assert_eq!((&run.row()["state"], &run.row()["authenticity"]), (&"verified".into(), &Value::Null));
}
