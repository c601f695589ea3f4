// SPDX-License-Identifier: Apache-2.0
//! verify and list on snapshot directories: snapshots of K3s, leftovers, foreign files, corruption.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use k3s_snapshot::error::{Code, Kind};
use k3s_snapshot::model::warning::WarningCode;

use crate::support::cli::{Run, Tool};
use crate::support::require::{self, require};

const BEFORE: &str = "before-server-1-1795339215";
const AFTER: &str = "after-server-1-1795339218";

/// A data directory without etcd: the snapshot directory, its snapshots, our state.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.snapshots()).unwrap();
        fs::write(folder.0.path().join("k3s/server/token"), "K10aa::server:labtoken\n").unwrap();
        folder
    }

    /// With both snapshots of a real K3s in it.
    fn real() -> Folder {
        let folder = Folder::new();
        for name in [BEFORE, AFTER] {
            fs::copy(fixture(name), folder.file(name)).unwrap();
        }
        folder
    }

    fn snapshots(&self) -> PathBuf {
        self.0.path().join("k3s/server/db/snapshots")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.snapshots().join(name)
    }

    fn tool(&self, command: &str) -> Tool {
        let path = |below: &str| self.0.path().join(below);
        let tool = Tool::new(command).arg("--data-dir").arg(path("k3s"));
        tool.arg("--state-dir").arg(path("state")).arg("--run-dir").arg(path("run"))
    }

    fn verify(&self, args: &[&str]) -> Run {
        self.tool("verify").args(args).report()
    }

    fn list(&self, args: &[&str]) -> Run {
        self.tool("list").args(args).report()
    }

    #[track_caller]
    fn state(&self, name: &str) -> String {
        let states = self.list(&[]).expect(0).states();
        states.get(name).unwrap_or_else(|| panic!("{name} is not listed")).clone()
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

fn python(script: &str, args: &[&Path]) {
    let out = Command::new("python3").args(["-c", script]).args(args).output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn snapshots_of_a_real_k3s_are_unverified_then_verified() {
    let folder = Folder::real();
    assert_eq!(folder.state(BEFORE), "unverified");
    let rows = folder.verify(&["--all"]).expect(0).rows();
    assert_eq!((&rows[0]["name"], &rows[0]["revision"]), (&BEFORE.into(), &337.into()));
    assert_eq!((&rows[1]["name"], &rows[1]["revision"]), (&AFTER.into(), &348.into()));
    assert_eq!(rows[0]["token_matches"], true);
    assert_eq!(rows[0]["sha256"], "b7ec05627082eec6fb21d038806de88a2af290de585b3bd08593d98babac6d5d");
    assert!(rows[0]["checked_at"].is_string());
    assert!(folder.list(&[]).expect(0).states().values().all(|state| state == "verified"));
}

#[test]
fn table_of_list_has_the_columns_of_k3s_first_and_compares_the_token() {
    let folder = Folder::real();
    folder.verify(&["--all"]).expect(0);
    let table = folder.tool("list").run().expect(0).stdout;
    let words = |n: usize| -> Vec<&str> { table.lines().nth(n).unwrap().split_whitespace().collect() };
    assert_eq!(words(0), ["Name", "Location", "Size", "Created", "Node", "Revision", "State", "Token"]);
    let location = format!("file://{}", folder.file(BEFORE).canonicalize().unwrap().display());
    let row = [BEFORE, &location, "466976", "2026-11-22T09:20:15Z", "-", "337", "verified", "matches"];
    assert_eq!(words(1), row);
    fs::write(folder.0.path().join("k3s/server/token"), "another\n").unwrap();
    let table = folder.tool("list").run().expect(0).stdout;
    assert_eq!(table.lines().nth(1).unwrap().split_whitespace().last(), Some("other"));
    assert_eq!(folder.list(&[]).rows()[0]["token_matches"], false);
    fs::remove_file(folder.0.path().join("k3s/server/token")).unwrap();
    let table = folder.tool("list").run().expect(0).stdout;
    assert_eq!(table.lines().nth(1).unwrap().split_whitespace().last(), Some("-"));
    assert!(folder.list(&[]).rows()[0]["token_matches"].is_null());
}

#[test]
fn snapshot_is_verified_only_while_the_file_is_the_same() {
    let folder = Folder::real();
    folder.verify(&["--all"]).expect(0);
    // Rewritten with the same bytes: it may be another file, and verify finds that it is not.
    let bytes = fs::read(folder.file(BEFORE)).unwrap();
    fs::write(folder.file(BEFORE), &bytes).unwrap();
    assert_eq!(folder.state(BEFORE), "unverified");
    folder.verify(&[BEFORE]).expect(0);
    assert_eq!(folder.state(BEFORE), "verified");
}

#[test]
fn other_complete_snapshot_under_a_known_name_is_verified_with_a_note() {
    let folder = Folder::real();
    folder.verify(&["--all"]).expect(0);
    fs::copy(fixture(AFTER), folder.file(BEFORE)).unwrap();
    let row = folder.verify(&[BEFORE]).expect(0).row();
    assert_eq!((&row["state"], &row["revision"]), (&"verified".into(), &348.into()));
    assert_eq!(row["notes"].as_array().unwrap().len(), 1, "{row}");
    assert_eq!(folder.state(BEFORE), "verified");
    let row = folder.verify(&[BEFORE]).expect(0).row();
    assert_eq!(row["notes"], serde_json::json!([]), "it is the known file now");
}

#[test]
fn corrupt_snapshot_that_was_verified_before_keeps_the_expected_digest() {
    let folder = Folder::real();
    folder.verify(&[BEFORE]).expect(0);
    flip(&folder.file(BEFORE), 100_000);
    for _ in 0..2 {
        let run = folder.verify(&[BEFORE]).fails(Code::SnapshotCorrupt);
        assert!(run.findings().contains(&"changed".to_owned()), "{run:#?}");
        assert_eq!(folder.state(BEFORE), "corrupt");
    }
}

#[test]
fn corrupt_snapshot_that_is_replaced_by_a_good_one_is_verified() {
    let folder = Folder::real();
    flip(&folder.file(BEFORE), 100_000);
    folder.verify(&[BEFORE]).fails(Code::SnapshotCorrupt);
    assert_eq!(folder.state(BEFORE), "corrupt");
    fs::copy(fixture(BEFORE), folder.file(BEFORE)).unwrap();
    folder.verify(&[BEFORE]).expect(0);
    assert_eq!(folder.state(BEFORE), "verified");
}

#[test]
fn every_truncation_and_every_changed_byte_is_found() {
    let folder = Folder::real();
    let whole = fs::read(fixture(BEFORE)).unwrap();
    let n = whole.len();
    for cut in [0, 1, 31, 32, 33, 511, 512, 544, 4096, 4128, n / 2, n - 4096, n - 32, n - 1] {
        fs::write(folder.file(BEFORE), &whole[..cut]).unwrap();
        let states = folder.verify(&["--all"]).fails(Code::SnapshotCorrupt).states();
        assert_eq!(states[BEFORE], "corrupt", "cut to {cut}");
        assert_eq!(states[AFTER], "verified", "a corrupt snapshot does not stop the others");
    }
    for at in [0, 20, 4096, 100_000, n - 33, n - 32, n - 1] {
        fs::write(folder.file(BEFORE), &whole).unwrap();
        flip(&folder.file(BEFORE), at);
        for args in [&[BEFORE][..], &[BEFORE, "--quick"][..]] {
            let run = folder.verify(args).fails(Code::SnapshotCorrupt);
            // Without its magic number it is no database at all.
            let found =
                ["trailer", "format"].iter().any(|check| run.findings().contains(&(*check).to_owned()));
            assert!(found, "changed at {at}: {run:?}");
        }
    }
    fs::write(folder.file(BEFORE), [&whole[..], b"x"].concat()).unwrap();
    folder.verify(&[BEFORE]).fails(Code::SnapshotCorrupt);
}

#[test]
fn quick_verification_does_not_make_a_snapshot_verified() {
    let folder = Folder::real();
    let run = folder.verify(&["--quick", "--all"]).expect(0);
    assert!(run.states().values().all(|state| state == "unverified"), "{run:?}");
    assert!(run.rows().iter().all(|r| r["sha256"].is_string() && r["notes"].as_array().unwrap().len() == 1));
    assert_eq!(folder.state(BEFORE), "unverified");
}

#[test]
fn every_kind_of_file_is_listed_with_its_state() {
    let folder = Folder::real();
    let file = |name: &str| folder.file(name);
    fs::write(file("readme.txt"), "hello").unwrap();
    fs::write(file(".hidden"), "x").unwrap();
    fs::write(file("manual-vm-1795335110.part"), vec![0; 100]).unwrap();
    fs::write(file("cut-vm-5"), vec![0; 100]).unwrap();
    fs::write(file("empty-vm-5.zip"), "").unwrap();
    fs::write(file("esc\u{1b}[31m\n-vm"), "x").unwrap();
    fs::create_dir(file("sub-vm-5")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", file("dangling-vm-5")).unwrap();
    std::os::unix::fs::symlink(fixture(BEFORE), file("linked-vm-6")).unwrap();
    let states = folder.list(&[]).expect(0).states();
    for (name, state) in [
        (BEFORE, "unverified"),
        ("readme.txt", "foreign"),
        (".hidden", "foreign"),
        ("manual-vm-1795335110.part", "incomplete"),
        ("cut-vm-5", "corrupt"),
        ("empty-vm-5.zip", "corrupt"),
        ("esc\u{1b}[31m\n-vm", "foreign"),
        ("sub-vm-5", "foreign"),
        ("dangling-vm-5", "foreign"),
        ("linked-vm-6", "unverified"),
    ] {
        assert_eq!(states[name], state, "{name:?}");
    }
    assert_eq!(states.len(), 11);
    let table = folder.tool("list").run().expect(0).stdout;
    assert!(!table.contains('\u{1b}') && table.lines().count() == 12, "{table:?}");
    let rows = folder.tool("list").args(&["-o", "json"]).run().expect(0).rows();
    assert_eq!(rows, folder.list(&[]).rows(), "the rows alone");
    let yaml = folder.tool("list").args(&["-o", "yaml"]).run().expect(0).stdout;
    assert!(yaml.starts_with("- name: "), "{yaml}");
    // Foreign and incomplete files do not make the directory corrupt.
    for name in ["cut-vm-5", "empty-vm-5.zip"] {
        fs::remove_file(file(name)).unwrap();
    }
    let states = folder.verify(&["--all"]).expect(0).states();
    assert_eq!(states["readme.txt"], "foreign");
    assert_eq!(states["manual-vm-1795335110.part"], "incomplete");
    // A foreign file that is named does.
    let run = folder.verify(&["readme.txt"]).fails(Code::SnapshotCorrupt);
    assert_eq!(run.row()["state"], "foreign");
}

#[test]
fn file_of_any_name_is_verified_by_its_path_without_k3s() {
    let folder = Folder::new();
    fs::copy(fixture(BEFORE), folder.0.path().join("backup.db")).unwrap();
    let path = folder.0.path().join("backup.db");
    let run = folder.verify(&[path.to_str().unwrap()]).expect(0);
    assert_eq!((&run.row()["state"], &run.row()["revision"]), (&"verified".into(), &337.into()));
    let run = Tool::new("verify").args(&["--data-dir", "/nonexistent", "--state-dir"]);
    run.arg(folder.0.path().join("other")).arg(&path).report().expect(0);
}

const PACK: &str = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1],'w',zipfile.ZIP_DEFLATED); [z.write(sys.argv[2], n) for n in sys.argv[3:]]";

#[test]
fn snapshot_in_a_zip_is_verified() {
    let folder = Folder::new();
    let zip = folder.file(&format!("{BEFORE}.zip"));
    python(PACK, &[&zip, &fixture(BEFORE), Path::new(BEFORE)]);
    let row = folder.verify(&["--all"]).expect(0).row();
    assert_eq!((&row["state"], &row["revision"]), (&"verified".into(), &337.into()));
    assert_eq!(row["notes"], serde_json::json!([]));
    assert_eq!(fs::read_dir(folder.snapshots()).unwrap().count(), 1, "no unpacked file is left");
}

#[test]
fn renamed_zip_is_verified_with_a_note() {
    let folder = Folder::new();
    let zip = folder.file(&format!("{BEFORE}.zip"));
    python(PACK, &[&zip, &fixture(BEFORE), Path::new("another-name-5")]);
    let row = folder.verify(&["--all"]).expect(0).row();
    assert_eq!(row["state"], "verified");
    assert_eq!(row["notes"].as_array().unwrap().len(), 1, "{row}");
    assert!(row["notes"][0].as_str().unwrap().contains("another-name-5"), "{row}");
}

#[test]
fn corruption_in_a_zip_is_found() {
    let folder = Folder::new();
    let zip = folder.file(&format!("{BEFORE}.zip"));
    let damaged = folder.0.path().join("damaged");
    fs::copy(fixture(BEFORE), &damaged).unwrap();
    flip(&damaged, 200_000);
    let found = || {
        let run = folder.verify(&["--all"]).fails(Code::SnapshotCorrupt);
        fs::remove_file(&zip).unwrap();
        run.findings()
    };
    // The zip is complete, the snapshot in it is not.
    python(PACK, &[&zip, &damaged, Path::new(BEFORE)]);
    let whole = fs::read(&zip).unwrap();
    assert!(found().contains(&"trailer".to_owned()));
    fs::write(&zip, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(found(), ["zip"], "truncated");
    python(PACK, &[&zip, &fixture(BEFORE), Path::new(BEFORE), Path::new("b")]);
    assert_eq!(found(), ["zip"], "two entries");
    // Two entries of one name: a reader may see one, K3s unpacks both, and the last wins.
    python(PACK, &[&zip, &fixture(BEFORE), Path::new(BEFORE), Path::new(BEFORE)]);
    assert_eq!(found(), ["zip"], "two entries of one name");
    fs::copy(fixture(BEFORE), &zip).unwrap();
    assert_eq!(found(), ["zip"], "not a zip");
}

#[test]
fn state_directory_that_cannot_be_written_does_not_stop_a_verification() {
    let folder = Folder::real();
    fs::write(folder.0.path().join("state"), "a file where a directory is expected").unwrap();
    let run = folder.verify(&["--all"]).expect(0);
    assert_eq!(run.states()[BEFORE], "verified");
    assert!(run.warns(WarningCode::ManifestNotWritten), "{run:?}");
    folder.list(&[]).expect(0);
}

#[test]
fn max_age_needs_a_young_verified_snapshot() {
    let folder = Folder::new();
    let list = |age: &str| folder.list(&["--max-age", age]);
    list("25h").fails(Code::SnapshotTooOld).with_hint();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let young = format!("a-vm-{}", now - 3_000);
    fs::copy(fixture(BEFORE), folder.file(&young)).unwrap();
    list("25h").fails(Code::SnapshotTooOld);
    folder.verify(&["--all"]).expect(0);
    list("51m").expect(0);
    let run = list("49m").fails(Code::SnapshotTooOld).with_hint();
    assert!(run.stderr.contains(&young), "{run:?}");
    // A snapshot that is dated in the future does not count.
    fs::rename(folder.file(&young), folder.file(&format!("a-vm-{}", now + 90_000))).unwrap();
    folder.verify(&["--all"]).expect(0);
    list("25h").fails(Code::SnapshotTooOld);
    list("soon").fails_as(Code::InvalidSetting, Kind::Usage);
}

#[test]
fn list_of_ten_thousand_snapshots_is_quick_and_opens_none() {
    let folder = Folder::real();
    folder.verify(&[BEFORE]).expect(0);
    for i in 0..10_000 {
        fs::write(folder.file(&format!("many-vm-{i}")), vec![0; 544]).unwrap();
    }
    let started = Instant::now();
    let run = folder.tool("list").run().expect(0);
    // A generous limit, because the machine may be busy. The benchmark measures the time.
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(run.stdout.lines().count(), 10_003);
    require!(require::program("strace"));
    let trace = folder.0.path().join("trace");
    let strace = ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o", trace.to_str().unwrap()];
    folder.tool("list").under(&strace).run().expect(0);
    let opened = fs::read_to_string(&trace).unwrap();
    assert!(opened.contains("snapshots"), "the trace has the directory");
    assert!(
        !opened.contains("many-vm-") && !opened.contains(&format!("snapshots/{BEFORE}")),
        "a snapshot was opened"
    );
}

#[test]
fn missing_snapshot_is_reported_and_the_others_are_verified() {
    let folder = Folder::real();
    flip(&folder.file(AFTER), 100_000);
    folder.verify(&["nothere-vm-5", AFTER]).fails(Code::SnapshotCorrupt);
    let run = folder.verify(&["nothere-vm-5", BEFORE]).fails(Code::SnapshotNotFound);
    assert!(run.stderr.contains("nothere-vm-5"), "{run:?}");
    assert_eq!(run.row()["state"], "verified");
    folder.verify(&[]).fails(Code::MissingArgument).with_hint();
}

#[test]
fn machine_without_k3s_is_an_error_and_a_server_without_snapshots_is_not() {
    let nowhere = |command: &str| Tool::new(command).args(&["--data-dir", "/nonexistent"]);
    let run = nowhere("list").report().fails(Code::DataDirNotFound).with_hint();
    assert!(run.stderr.contains("/nonexistent"), "{run:?}");
    assert_eq!(nowhere("list").run().expect(78).stdout, "");
    nowhere("verify").arg("--all").report().fails(Code::DataDirNotFound);
    nowhere("prune").report().fails(Code::DataDirNotFound);
    // A directory that is named is enough.
    let folder = Folder::real();
    let run = nowhere("list").arg("--dir").arg(folder.snapshots()).report().expect(0);
    assert_eq!(run.rows().len(), 2);
    let folder = Folder::new();
    fs::remove_dir(folder.snapshots()).unwrap();
    folder.list(&[]).expect(0);
    folder.verify(&["--all"]).expect(0);
}

#[test]
fn empty_value_is_a_usage_error_and_not_the_default() {
    let folder = Folder::real();
    for (command, option) in
        [("list", "--max-age"), ("list", "--dir"), ("save", "--etcd-endpoints"), ("save", "--name")]
    {
        let run = folder.tool(command).args(&[option, ""]).report().fails(Code::InvalidArgument).with_hint();
        assert!(run.stderr.contains(option), "{run:?}");
    }
    let run = folder.list(&["--token-file", "/nonexistent"]).fails(Code::TokenFileUnreadable);
    assert!(run.stderr.contains("/nonexistent"), "{run:?}");
}

#[test]
fn path_that_is_used_again_is_another_file_and_not_a_corrupt_one() {
    let folder = Folder::new();
    let path = folder.0.path().join("etcd.db");
    for (name, revision) in [(BEFORE, 337), (AFTER, 348), (BEFORE, 337)] {
        fs::copy(fixture(name), &path).unwrap();
        let row = folder.verify(&[path.to_str().unwrap()]).expect(0).row();
        assert_eq!((&row["state"], &row["revision"]), (&"verified".into(), &revision.into()));
    }
}

#[test]
fn quick_verification_of_the_same_bytes_keeps_the_known_state() {
    let folder = Folder::real();
    folder.verify(&[BEFORE]).expect(0);
    // Any change of the inode makes it unverified; the checksum is enough to recognize it.
    fs::hard_link(folder.file(BEFORE), folder.0.path().join("link")).unwrap();
    assert_eq!(folder.state(BEFORE), "unverified");
    let row = folder.verify(&["--quick", BEFORE]).expect(0).row();
    assert_eq!((&row["state"], row["notes"].as_array().unwrap().len()), (&"verified".into(), 1));
    assert_eq!(folder.state(BEFORE), "verified");
}

#[test]
fn pipe_is_refused_at_once() {
    let folder = Folder::real();
    let pipe = folder.0.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = folder.verify(&[pipe.to_str().unwrap()]).fails(Code::NotASnapshot);
    assert!(run.wall < Duration::from_secs(5), "{run:?}");
}

#[test]
fn file_that_changes_while_it_is_read_gets_no_state() {
    require!(require::program("strace"));
    let folder = Folder::real();
    let slow = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=pread64",
        "-e",
        "inject=pread64:delay_enter=20000",
    ];
    let started = folder.tool("verify").args(&[BEFORE, "--report", "json"]).under(&slow).start();
    std::thread::sleep(Duration::from_millis(300));
    fs::copy(fixture(AFTER), folder.file(BEFORE)).unwrap();
    let run = started.finish();
    assert!(run.code != Some(0), "{run:?}");
    assert!(run.states().values().all(|state| state != "verified"), "{run:?}");
}

#[test]
fn link_that_leads_out_of_the_root_is_refused() {
    let folder = Folder::real();
    let root = tempfile::tempdir().unwrap();
    let rancher = root.path().join("var/lib/rancher");
    fs::create_dir_all(&rancher).unwrap();
    std::os::unix::fs::symlink(folder.0.path().join("k3s"), rancher.join("k3s")).unwrap();
    Tool::new("list").arg("--root").arg(root.path()).report().fails(Code::LeavesRoot);
    fs::remove_file(rancher.join("k3s")).unwrap();
    fs::create_dir_all(rancher.join("k3s/server/db/snapshots")).unwrap();
    fs::copy(fixture(BEFORE), rancher.join("k3s/server/db/snapshots").join(BEFORE)).unwrap();
    let run = Tool::new("verify").arg("--root").arg(root.path()).arg("--all").report().expect(0);
    assert_eq!(run.row()["state"], "verified");
    let manifests = root.path().join("var/lib/k3s-snapshot/manifests");
    assert!(manifests.is_dir(), "the manifests are below the root");
}
