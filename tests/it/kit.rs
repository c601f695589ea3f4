// SPDX-License-Identifier: Apache-2.0
//! Recovery kits: what a save seals, where it is, who opens it, and how long it is kept. The other side is the real `age`.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k3s_snapshot::error::{Code, Kind};
use serde_json::Value;

use crate::s3::tool;
use crate::save::walk;
use crate::support::bucket::Bucket;
use crate::support::cli::{Run, Tool, text};
use crate::support::etcd::Etcd;
use crate::support::k3s_root::Layout;
use crate::support::objects::bootstrap_key;
use crate::support::require::{self, require};

/// The password of the server token; nothing on a disk may have it but the files of K3s.
const TOKEN: &str = "labtoken-geheim";

/// Bootstrap data as K3s encrypts it.
fn bootstrap_data(password: &str) -> String {
    let (salt, nonce) = ("3b8d9420bdc8baf9", [7; 12]);
    let mut key = [0; 32];
    let rounds = NonZeroU32::new(4096).unwrap();
    ring::pbkdf2::derive(
        ring::pbkdf2::PBKDF2_HMAC_SHA1,
        rounds,
        salt.as_bytes(),
        password.as_bytes(),
        &mut key,
    );
    let key = ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, &key).unwrap();
    let mut data = br#"{"ServerCA":"","Other":""}"#.to_vec();
    let nonce_of_key = ring::aead::Nonce::assume_unique_for_key(nonce);
    ring::aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce_of_key, ring::aead::Aad::empty(), &mut data)
        .unwrap();
    format!("{salt}:{}", STANDARD.encode([&nonce[..], &data].concat()))
}

/// A server with a bucket, and a pair of keys outside of it.
struct World {
    etcd: Etcd,
    bucket: Bucket,
    keys: tempfile::TempDir,
    public: String,
}

impl World {
    fn new() -> World {
        let etcd = Etcd::start_with(Layout { token: TOKEN.into(), ..Layout::default() });
        etcd.bootstrap(TOKEN);
        etcd.put(&bootstrap_key(TOKEN), &bootstrap_data(TOKEN));
        let keys = tempfile::tempdir().unwrap();
        let public = init(keys.path(), &keys.path().join("key"));
        World { etcd, bucket: Bucket::start(), keys, public }
    }

    fn key(&self) -> PathBuf {
        self.keys.path().join("key")
    }

    fn tool(&self, command: &str) -> Tool {
        let tool = tool(command, &self.etcd.root, &self.bucket);
        tool.env("K3S_SNAPSHOT_KIT_RECIPIENTS", &self.public)
    }

    #[track_caller]
    fn save(&self) -> String {
        let run = self.tool("save").arg("--s3").report().expect(0);
        let rows = run.rows();
        assert_eq!(rows[0]["kit"], rows[1]["kit"], "here and in the bucket");
        text(&rows[0]["kit"])
    }

    fn verify(&self, key: &Path, args: &[&str]) -> Run {
        self.tool("kit").arg("verify").arg("--identity").arg(key).args(args).report()
    }

    fn local(&self, kit: &str) -> PathBuf {
        self.etcd.root.state_dir().join("kits").join(kit)
    }
}

/// Makes a pair of keys below another root; returns the public one.
#[track_caller]
fn init(root: &Path, key: &Path) -> String {
    let run =
        Tool::new("kit").arg("init").arg("--root").arg(root).arg("--identity").arg(key).report().expect(0);
    text(&run.json()["kit"]["public_key"])
}

fn kits_in(bucket: &Bucket) -> Vec<String> {
    let keys = bucket.keys().into_iter();
    keys.filter_map(|key| Some(key.strip_prefix("backups/k3s/.metadata/kit-")?.to_owned())).collect()
}

/// Whether a file has this text.
fn has(path: &Path, text: &str) -> bool {
    fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_save_seals_a_kit_that_its_identity_opens_here_and_from_the_bucket() {
    require!(require::etcd_programs());
    let world = World::new();
    fs::write(world.etcd.root.path().join("no-config.yaml"), "").unwrap();
    let kit = world.save();
    assert!(world.local(&kit).is_file());
    assert_eq!(kits_in(&world.bucket).len(), 1);
    assert!(
        world.bucket.object(&format!("backups/k3s/.metadata/{kit}")).is_file(),
        "where K3s does not list it"
    );
    assert_eq!(world.save(), kit, "nothing has changed");

    let status = || world.tool("status").report().json();
    let reasons = |status: &Value| -> Vec<String> {
        status["status"]["reasons"].as_array().unwrap().iter().map(|r| text(&r["code"])).collect()
    };
    assert!(reasons(&status()).contains(&"kit-unverified".to_owned()));
    let run = world.verify(&world.key(), &["--s3"]).expect(0);
    assert_eq!(run.json()["kit"]["recorded"], true);
    assert!(!reasons(&status()).contains(&"kit-unverified".to_owned()));
    let run = world.verify(&world.key(), &[]).expect(0);
    assert_eq!(run.json()["kit"]["name"], kit.as_str());
    assert!(!format!("{}{}", run.stdout, run.stderr).contains(TOKEN));

    // What is shown are names.
    let run = world.tool("kit").args(&["show", "--identity"]).arg(world.key()).report().expect(0);
    let content = &run.json()["kit"]["content"];
    assert_eq!(content["token_hash"].as_str().unwrap().len(), 12);
    assert!(!run.stdout.contains(TOKEN), "{run:#?}");

    // A list of the snapshots in the bucket does not show the kit.
    let names = world.tool("list").arg("--s3").args(&["-o", "json"]).run().expect(0).states();
    assert!(names.keys().all(|name| !name.starts_with("kit-")), "{names:?}");
}

#[test]
fn no_file_of_this_program_and_no_object_has_the_token() {
    require!(require::etcd_programs());
    let world = World::new();
    world.save();
    world.verify(&world.key(), &[]).expect(0);
    let state = walk(&world.etcd.root.state_dir());
    assert!(state.len() >= 4, "{state:?}");
    let objects = world.bucket.keys().into_iter().map(|key| world.bucket.object(&key));
    for file in state.into_iter().chain(objects) {
        assert!(!has(&file, TOKEN), "{}", file.display());
    }
}

#[test]
fn another_identity_and_a_changed_kit_are_refused_each_with_its_code() {
    require!(require::etcd_programs());
    let world = World::new();
    let kit = world.save();
    let other = tempfile::tempdir().unwrap();
    init(other.path(), &other.path().join("key"));
    world.verify(&other.path().join("key"), &[]).fails(Code::KitNotOpened);
    world.verify(&other.path().join("none"), &[]).fails(Code::IdentityUnusable);
    world.tool("kit").arg("verify").report().fails(Code::MissingArgument);
    world
        .verify(&world.key(), &["kit-n-6f9c1f0e-00000000000000000000000000000000.age"])
        .fails(Code::KitNotFound);
    let mut sealed = fs::read(world.local(&kit)).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    fs::write(world.local(&kit), &sealed).unwrap();
    world.verify(&world.key(), &[]).fails(Code::KitInvalid);
    let path = world.local(&kit);
    world.verify(&world.key(), &[path.to_str().unwrap()]).fails(Code::KitInvalid);
    // The copy in the bucket is whole, and the next save seals a new one.
    world.verify(&world.key(), &["--s3"]).expect(0);
    assert_ne!(world.save(), kit);
}

#[test]
fn the_program_age_opens_a_kit_and_makes_one_that_opens_here() {
    require!(require::etcd_programs());
    let age = require!(require::program("age"));
    let world = World::new();
    let kit = world.save();
    let opened =
        Command::new(&age).args(["--decrypt", "--identity"]).arg(world.key()).arg(world.local(&kit)).output();
    let opened = opened.unwrap();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    let content: Value = serde_json::from_slice(&opened.stdout).unwrap();
    assert!(content["tokens"]["server"].as_str().unwrap().ends_with(TOKEN));

    let theirs = world.keys.path().join("theirs.age");
    let mut sealing = Command::new(&age)
        .args(["--encrypt", "--recipient", &world.public, "--output"])
        .arg(&theirs)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut sealing.stdin.take().unwrap(), &opened.stdout).unwrap();
    assert!(sealing.wait().unwrap().success());
    world.verify(&world.key(), &[theirs.to_str().unwrap()]).expect(0);
}

#[test]
fn a_key_of_ssh_opens_what_was_sealed_for_it_and_for_others() {
    require!(require::etcd_programs());
    let keygen = require!(require::program("ssh-keygen"));
    let mut world = World::new();
    for kind in ["ed25519", "rsa"] {
        let key = world.keys.path().join(kind);
        let made = Command::new(&keygen).args(["-q", "-N", "", "-t", kind, "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        world.public = format!("{},{}", world.public, public.trim());
        world.save();
        for key in [&key, &world.key()] {
            world.verify(key, &[]).expect(0);
        }
    }
}

#[test]
fn a_recipient_that_cannot_be_used_is_refused_before_the_save() {
    require!(require::etcd_programs());
    let world = World::new();
    let private = fs::read_to_string(world.key()).unwrap();
    let private = private.lines().last().unwrap();
    for bad in ["age1nothing", "ssh-ed25519 AAAA", private] {
        let run = world.tool("save").args(&["--kit-recipients", bad]).report();
        let run = run.fails_as(Code::InvalidSetting, Kind::Usage);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains(private), "{run:#?}");
    }
    assert!(world.etcd.root.snapshot_names().is_empty());
}

#[test]
fn a_kit_that_cannot_be_sealed_never_loses_the_snapshot() {
    require!(require::etcd_programs());
    let world = World::new();
    let kits = world.etcd.root.state_dir().join("kits");
    fs::create_dir_all(world.etcd.root.state_dir()).unwrap();
    fs::write(&kits, "no directory").unwrap();
    let run = world.tool("save").report().fails(Code::KitNotSealed);
    let row = run.row();
    assert_eq!((&row["state"], &row["kit"]), (&Value::from("verified"), &Value::Null));
    fs::remove_file(&kits).unwrap();
    // The bucket has lost it: the next save uploads it again.
    let kit = world.save();
    fs::remove_file(world.bucket.object(&format!("backups/k3s/.metadata/{kit}"))).unwrap();
    assert_eq!(world.save(), kit);
    assert_eq!(kits_in(&world.bucket).len(), 1);
}

#[test]
fn prune_keeps_the_kit_of_each_snapshot_and_deletes_the_others() {
    require!(require::etcd_programs());
    let mut world = World::new();
    let mut kits = vec![world.save()];
    let first = world.public.clone();
    for _ in 0..2 {
        let other = tempfile::tempdir().unwrap();
        world.public = format!("{first},{}", init(other.path(), &other.path().join("key")));
        kits.push(world.save());
    }
    // A young kit is kept in any case.
    let age = |path: &Path, days: u64| {
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    for (kit, days) in kits.iter().zip([9, 6, 3]) {
        age(&world.local(kit), days);
        age(&world.bucket.object(&format!("backups/k3s/.metadata/{kit}")), days);
    }
    let prune = |keep: &str| {
        let tool = world.tool("prune").args(&["--s3", "--snapshot-retention", keep, "--s3-retention", keep]);
        tool.args(&["--name", "manual"]).report().expect(0);
    };
    let left = || -> Vec<bool> { kits.iter().map(|kit| world.local(kit).exists()).collect() };
    prune("3");
    assert_eq!(left(), [true, true, true]);
    assert_eq!(kits_in(&world.bucket).len(), 3);
    // A manifest that cannot be read: it is not known what is needed.
    let manifests = walk(&world.etcd.root.state_dir().join("manifests"));
    let elsewhere = manifests[0].parent().unwrap().with_file_name("another-directory");
    fs::create_dir(&elsewhere).unwrap();
    let odd = elsewhere.join("odd.json");
    fs::write(&odd, "{").unwrap();
    prune("1");
    assert_eq!(left(), [true, true, true]);
    assert_eq!(kits_in(&world.bucket).len(), 1, "each location by itself");
    fs::remove_file(&odd).unwrap();
    prune("1");
    assert_eq!(left(), [false, false, true]);
    world.verify(&world.key(), &[]).expect(0);
}

#[test]
fn init_prints_the_private_key_once_and_never_in_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let root = || Tool::new("kit").arg("init").arg("--root").arg(dir.path());
    root().report().fails(Code::InvalidArgument);
    let run = root().run().expect(0);
    assert_eq!(run.stdout.matches("AGE-SECRET-KEY-1").count(), 1, "{}", run.stdout);
    let drop_in = dir.path().join("etc/k3s-snapshot/config.yaml.d/kit-recipients.yaml");
    let written = fs::read_to_string(&drop_in).unwrap();
    assert!(written.contains("age1") && !written.contains("SECRET"));
    root().arg("--identity").arg(dir.path().join("key")).report().fails(Code::FileExists);
    assert!(!dir.path().join("key").exists());
    let shown = Tool::new("list").arg("--show-config").arg("--root").arg(dir.path()).run().expect(0);
    assert!(shown.stdout.contains("age1"), "the next save uses it");
}
