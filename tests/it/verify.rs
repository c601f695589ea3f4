// SPDX-License-Identifier: Apache-2.0
//! verify and list in directories as operators have them: snapshots of K3s, leftovers, other files, damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::cli::{Run, Tool};
use crate::support::require::{self, require};

const BEFORE: &str = "before-server-1-1795339215";
const AFTER: &str = "after-server-1-1795339218";

/// A data directory without etcd: the snapshot directory, and the state of this program.
struct DataDir(tempfile::TempDir);

impl DataDir {
    fn new() -> DataDir {
        let dir = DataDir(tempfile::tempdir().unwrap());
        fs::create_dir_all(dir.snapshots()).unwrap();
        fs::write(dir.0.path().join("k3s/server/token"), "K10aa::server:labtoken\n").unwrap();
        dir
    }

    /// With both snapshots of a real K3s.
    fn with_fixtures() -> DataDir {
        let dir = DataDir::new();
        for name in [BEFORE, AFTER] {
            fs::copy(fixture(name), dir.file(name)).unwrap();
        }
        dir
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
        self.tool("verify").args(args).args(&["--report", "json"]).run()
    }

    /// State by name, from a list.
    fn states(&self) -> Vec<(String, String)> {
        let rows = self.tool("list").args(&["-o", "json"]).run().expect(0).json();
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        rows.as_array().unwrap().iter().map(|r| (text(&r["name"]), text(&r["state"]))).collect()
    }

    #[track_caller]
    fn state(&self, name: &str) -> String {
        self.states().into_iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} is not listed")).1
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

/// The row of a snapshot in a report.
#[track_caller]
fn row(run: &Run, name: &str) -> Value {
    let rows = run.json()["snapshots"].clone();
    let found = rows.as_array().unwrap().iter().find(|r| r["name"] == name);
    found.unwrap_or_else(|| panic!("no row of {name}: {run:?}")).clone()
}

/// The words of the checks that a snapshot failed.
#[track_caller]
fn findings(run: &Run, name: &str) -> Vec<String> {
    let found = row(run, name)["findings"].clone();
    found.as_array().unwrap().iter().map(|f| f["check"].as_str().unwrap().to_owned()).collect()
}

/// The code of the error of a run.
#[track_caller]
fn error(run: &Run) -> String {
    run.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {run:?}")).to_owned()
}

#[test]
fn snapshots_of_a_real_k3s_are_unverified_then_verified() {
    let dir = DataDir::with_fixtures();
    assert_eq!(dir.state(BEFORE), "unverified");
    let run = dir.verify(&["--all"]).expect(0);
    let rows = run.json()["snapshots"].clone();
    assert_eq!((&rows[0]["name"], &rows[0]["revision"]), (&BEFORE.into(), &337.into()));
    assert_eq!((&rows[1]["name"], &rows[1]["revision"]), (&AFTER.into(), &348.into()));
    assert_eq!(rows[0]["token_matches"], true);
    assert_eq!(rows[0]["sha256"], "b7ec05627082eec6fb21d038806de88a2af290de585b3bd08593d98babac6d5d");
    assert!(dir.states().iter().all(|(_, state)| state == "verified"));
    let table = dir.tool("list").run().expect(0).stdout;
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head[..4], ["Name", "Location", "Size", "Created"], "the columns of K3s come first");
    let line: Vec<&str> = table.lines().find(|l| l.starts_with(BEFORE)).unwrap().split_whitespace().collect();
    let location = format!("file://{}", dir.file(BEFORE).canonicalize().unwrap().display());
    assert_eq!(line[..4], [BEFORE, &location, "466976", "2026-11-22T09:20:15Z"]);
    fs::write(dir.0.path().join("k3s/server/token"), "another\n").unwrap();
    let rows = dir.tool("list").args(&["-o", "json"]).run().expect(0).json();
    assert_eq!(rows[0]["token_matches"], false, "the token does not fit any more");
}

#[test]
fn a_result_is_valid_only_while_the_file_is_unchanged() {
    let dir = DataDir::with_fixtures();
    dir.verify(&["--all"]).expect(0);
    // Written again with the same bytes: the times differ, so it must be verified again.
    let bytes = fs::read(dir.file(BEFORE)).unwrap();
    fs::write(dir.file(BEFORE), &bytes).unwrap();
    assert_eq!(dir.state(BEFORE), "unverified");
    dir.verify(&[BEFORE]).expect(0);
    assert_eq!(dir.state(BEFORE), "verified");
    // Another whole snapshot of this name is verified, and has a note that it is another file.
    fs::copy(fixture(AFTER), dir.file(BEFORE)).unwrap();
    let run = dir.verify(&[BEFORE]).expect(0);
    let replaced = row(&run, BEFORE);
    assert_eq!((&replaced["state"], &replaced["revision"]), (&"verified".into(), &348.into()), "{run:?}");
    assert_eq!(replaced["notes"].as_array().unwrap().len(), 1, "{run:?}");
    // Damage is found, and the recorded digest stays the one of the verified file.
    flip(&dir.file(BEFORE), 100_000);
    for _ in 0..2 {
        let run = dir.verify(&[BEFORE]).expect(65);
        assert!(findings(&run, BEFORE).contains(&"changed".to_owned()), "{run:?}");
        assert_eq!(dir.state(BEFORE), "corrupt");
    }
}

#[test]
fn a_corrupt_snapshot_that_is_replaced_by_a_whole_one_is_verified() {
    let dir = DataDir::with_fixtures();
    flip(&dir.file(BEFORE), 100_000);
    dir.verify(&[BEFORE]).expect(65);
    assert_eq!(dir.state(BEFORE), "corrupt");
    fs::copy(fixture(BEFORE), dir.file(BEFORE)).unwrap();
    dir.verify(&[BEFORE]).expect(0);
    assert_eq!(dir.state(BEFORE), "verified");
}

#[test]
fn cuts_and_flips_are_corrupt_and_do_not_stop_the_verification_of_others() {
    let dir = DataDir::with_fixtures();
    let whole = fs::read(fixture(BEFORE)).unwrap();
    let n = whole.len();
    for cut in [0, 1, 31, 32, 33, 511, 512, 544, 4096, 4128, n / 2, n - 4096, n - 32, n - 1] {
        fs::write(dir.file(BEFORE), &whole[..cut]).unwrap();
        let run = dir.verify(&["--all"]).expect(65);
        assert_eq!(row(&run, BEFORE)["state"], "corrupt", "cut to {cut}: {run:?}");
        assert_eq!(row(&run, AFTER)["state"], "verified");
        assert_eq!(error(&run), "snapshot-corrupt");
    }
    for at in [0, 20, 4096, 100_000, n - 33, n - 32, n - 1] {
        fs::write(dir.file(BEFORE), &whole).unwrap();
        flip(&dir.file(BEFORE), at);
        for args in [&[BEFORE][..], &[BEFORE, "--quick"][..]] {
            let run = dir.verify(args).expect(65);
            assert!(findings(&run, BEFORE).contains(&"trailer".to_owned()), "flip at {at}: {run:?}");
        }
    }
    fs::write(dir.file(BEFORE), [&whole[..], b"x"].concat()).unwrap();
    dir.verify(&[BEFORE]).expect(65);
}

#[test]
fn quick_does_not_make_a_snapshot_verified() {
    let dir = DataDir::with_fixtures();
    let run = dir.verify(&["--quick", "--all"]).expect(0);
    assert_eq!(row(&run, BEFORE)["state"], "unverified", "{run:?}");
    assert_eq!(dir.state(BEFORE), "unverified");
}

#[test]
fn every_file_in_the_directory_is_listed_with_its_state() {
    let dir = DataDir::with_fixtures();
    let file = |name: &str| dir.file(name);
    fs::write(file("readme.txt"), "hello").unwrap();
    fs::write(file(".hidden"), "x").unwrap();
    fs::write(file("on-demand-vm-1795335110.part"), vec![0; 100]).unwrap();
    fs::write(file("cut-vm-5"), vec![0; 100]).unwrap();
    fs::write(file("empty-vm-5.zip"), "").unwrap();
    fs::write(file("esc\u{1b}[31m\n-vm"), "x").unwrap();
    fs::create_dir(file("sub-vm-5")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", file("dangling-vm-5")).unwrap();
    std::os::unix::fs::symlink(fixture(BEFORE), file("linked-vm-6")).unwrap();
    let states = dir.states();
    let of = |name: &str| states.iter().find(|(n, _)| n == name).unwrap().1.as_str();
    for (name, state) in [
        (BEFORE, "unverified"),
        ("readme.txt", "foreign"),
        (".hidden", "foreign"),
        ("on-demand-vm-1795335110.part", "incomplete"),
        ("cut-vm-5", "corrupt"),
        ("empty-vm-5.zip", "corrupt"),
        ("esc\u{1b}[31m\n-vm", "foreign"),
        ("sub-vm-5", "foreign"),
        ("dangling-vm-5", "foreign"),
        ("linked-vm-6", "unverified"),
    ] {
        assert_eq!(of(name), state, "{name:?}");
    }
    assert_eq!(states.len(), 11);
    let table = dir.tool("list").run().expect(0).stdout;
    assert!(!table.contains('\u{1b}') && table.contains("esc\\u{1b}"), "{table:?}");
    let yaml = dir.tool("list").args(&["-o", "yaml"]).run().expect(0).stdout;
    assert!(yaml.starts_with("- name: "), "{yaml}");
    // Other files and leftovers are no error if the whole directory is verified.
    for name in ["cut-vm-5", "empty-vm-5.zip"] {
        fs::remove_file(file(name)).unwrap();
    }
    let run = dir.verify(&["--all"]).expect(0);
    assert_eq!(row(&run, "readme.txt")["state"], "foreign");
    assert_eq!(row(&run, "on-demand-vm-1795335110.part")["state"], "incomplete");
    // They are if they are named.
    let run = dir.verify(&["readme.txt"]).expect(65);
    assert_eq!(row(&run, "readme.txt")["state"], "foreign");
    // A snapshot with any name can be verified by its path.
    fs::copy(fixture(BEFORE), dir.0.path().join("backup.db")).unwrap();
    let run = dir.verify(&[dir.0.path().join("backup.db").to_str().unwrap()]).expect(0);
    assert_eq!(
        (&row(&run, "backup.db")["state"], &row(&run, "backup.db")["revision"]),
        (&"verified".into(), &337.into())
    );
}

/// Operators pack what they store elsewhere, and then pass the packed file.
#[test]
fn a_packed_file_is_named_as_such() {
    let dir = DataDir::new();
    for (program, suffix) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        require!(require::program(program));
        let plain = dir.0.path().join(BEFORE);
        fs::copy(fixture(BEFORE), &plain).unwrap();
        assert!(Command::new(program).args(["-q", "-k", "-f"]).arg(&plain).status().unwrap().success());
        let packed = dir.0.path().join(format!("{BEFORE}.{suffix}"));
        let name = packed.file_name().unwrap().to_str().unwrap();
        let run = dir.verify(&[packed.to_str().unwrap()]).expect(65);
        let message = row(&run, name)["findings"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(program), "{message}");
        // Under the name of a snapshot too.
        fs::copy(&packed, dir.file(BEFORE)).unwrap();
        let run = dir.verify(&[BEFORE]).expect(65);
        assert_eq!(findings(&run, BEFORE)[0], "format", "{run:?}");
        assert_eq!(row(&run, BEFORE)["findings"][0]["message"], message.as_str());
    }
}

const PACK: &str = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1],'w',zipfile.ZIP_DEFLATED); \
                    [z.write(sys.argv[2], n) for n in sys.argv[3:]]";

#[test]
fn zips_are_unpacked_and_verified_and_damage_in_them_is_found() {
    let dir = DataDir::new();
    let name = format!("{BEFORE}.zip");
    let zip = dir.file(&name);
    python(PACK, &[&zip, &fixture(BEFORE), Path::new(BEFORE)]);
    let run = dir.verify(&["--all"]).expect(0);
    assert_eq!(
        (&row(&run, &name)["state"], &row(&run, &name)["revision"]),
        (&"verified".into(), &337.into())
    );
    assert_eq!(fs::read_dir(dir.snapshots()).unwrap().count(), 1, "nothing is left unpacked");
    // A zip of a corrupt file: the zip is valid, the snapshot is not.
    let copy = dir.0.path().join("corrupt");
    fs::copy(fixture(BEFORE), &copy).unwrap();
    flip(&copy, 200_000);
    fs::remove_file(&zip).unwrap();
    fs::remove_dir_all(dir.0.path().join("state")).unwrap();
    python(PACK, &[&zip, &copy, Path::new(BEFORE)]);
    assert!(findings(&dir.verify(&["--all"]).expect(65), &name).contains(&"trailer".to_owned()));
    // Cut, two entries, not a zip at all.
    let whole = fs::read(&zip).unwrap();
    fs::write(&zip, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(findings(&dir.verify(&["--all"]).expect(65), &name), ["zip"]);
    fs::remove_file(&zip).unwrap();
    python(PACK, &[&zip, &fixture(BEFORE), Path::new(BEFORE), Path::new("b")]);
    assert_eq!(findings(&dir.verify(&["--all"]).expect(65), &name), ["zip"]);
    // Two entries of the same name: a reader may see one, K3s unpacks both, and the last one wins.
    fs::remove_file(&zip).unwrap();
    python(PACK, &[&zip, &fixture(BEFORE), Path::new(BEFORE), Path::new(BEFORE)]);
    assert_eq!(findings(&dir.verify(&["--all"]).expect(65), &name), ["zip"]);
    fs::copy(fixture(BEFORE), &zip).unwrap();
    assert_eq!(findings(&dir.verify(&["--all"]).expect(65), &name), ["zip"]);
}

/// The content decides; restore unpacks whatever the entry is called.
#[test]
fn a_renamed_zip_is_verified_with_a_note_about_the_name_of_its_entry() {
    let dir = DataDir::new();
    let zip = dir.file(&format!("{BEFORE}.zip"));
    python(PACK, &[&zip, &fixture(BEFORE), Path::new(BEFORE)]);
    for (copy, notes) in [("backup-2026-11-27.zip", 1), ("backup.zip", 0)] {
        let path = dir.0.path().join(copy);
        fs::copy(&zip, &path).unwrap();
        let run = dir.verify(&[path.to_str().unwrap()]).expect(0);
        let row = row(&run, copy);
        assert_eq!((&row["state"], &row["revision"]), (&"verified".into(), &337.into()), "{run:?}");
        assert_eq!(row["notes"].as_array().unwrap().len(), notes, "{run:?}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_does_not_stop_verify() {
    let dir = DataDir::with_fixtures();
    // Nothing can be created below /proc.
    std::os::unix::fs::symlink("/proc/none/state", dir.0.path().join("state")).unwrap();
    let run = dir.verify(&["--all"]).expect(0);
    assert_eq!(row(&run, BEFORE)["state"], "verified");
    let warnings = run.json()["warnings"].clone();
    let codes: Vec<&str> = warnings.as_array().unwrap().iter().filter_map(|w| w["code"].as_str()).collect();
    assert_eq!(codes, ["manifest-not-written", "manifest-not-written"], "{run:?}");
    dir.tool("list").run().expect(0);
}

#[test]
fn max_age_needs_a_recent_verified_snapshot() {
    let dir = DataDir::new();
    let list = |age: &str| dir.tool("list").args(&["--max-age", age]).run();
    assert!(list("25h").expect(1).stderr.contains("hint: "));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let recent = format!("a-vm-{}", now - 3_000);
    fs::copy(fixture(BEFORE), dir.file(&recent)).unwrap();
    list("25h").expect(1);
    dir.verify(&["--all"]).expect(0);
    list("51m").expect(0);
    assert!(list("49m").expect(1).stderr.contains(&recent));
    list("soon").expect(2);
}

#[test]
fn ten_thousand_snapshots_are_listed_quickly_and_none_is_opened() {
    let dir = DataDir::with_fixtures();
    dir.verify(&[BEFORE]).expect(0);
    for i in 0..10_000 {
        fs::write(dir.file(&format!("many-vm-{i}")), vec![0; 544]).unwrap();
    }
    let started = Instant::now();
    let run = dir.tool("list").run().expect(0);
    // A generous limit: the machine may be busy. The benchmark measures the time.
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(run.stdout.lines().count() >= 10_003);
    require!(require::program("strace"));
    let trace = dir.0.path().join("trace");
    let strace = ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o", trace.to_str().unwrap()];
    dir.tool("list").under(&strace).run().expect(0);
    let opened = fs::read_to_string(&trace).unwrap();
    assert!(opened.contains("snapshots"), "the trace has the directory");
    assert!(
        !opened.contains("many-vm-") && !opened.contains(&format!("snapshots/{BEFORE}")),
        "a snapshot was opened"
    );
}

#[test]
fn missing_snapshots_are_an_error_and_the_others_are_verified() {
    let dir = DataDir::with_fixtures();
    flip(&dir.file(AFTER), 100_000);
    dir.verify(&["nothere-vm-5", AFTER]).expect(65);
    let run = dir.verify(&["nothere-vm-5", BEFORE]).expect(4);
    assert_eq!(
        (error(&run).as_str(), &row(&run, BEFORE)["state"]),
        ("snapshot-not-found", &"verified".into())
    );
    assert!(dir.tool("verify").run().expect(2).stderr.contains("--all"));
}

#[test]
fn without_k3s_list_and_verify_are_configuration_errors() {
    let nowhere = ["--data-dir", "/nonexistent"];
    let run = Tool::new("list").args(&nowhere).run().expect(78);
    assert!(run.stderr.contains("/nonexistent") && run.stdout.is_empty(), "{run:?}");
    Tool::new("verify").args(&nowhere).arg("--all").run().expect(78);
    // A server that has not saved yet is no error.
    let dir = DataDir::new();
    fs::remove_dir(dir.snapshots()).unwrap();
    dir.tool("list").run().expect(0);
    dir.verify(&["--all"]).expect(0);
}

#[test]
fn an_empty_value_of_an_option_is_an_error() {
    let dir = DataDir::with_fixtures();
    for (command, option) in
        [("list", "--max-age"), ("list", "--dir"), ("save", "--etcd-endpoints"), ("save", "--name")]
    {
        let run = dir.tool(command).args(&[option, ""]).run().expect(2);
        assert!(run.stderr.contains(option), "{run:?}");
    }
    let run = dir.tool("list").args(&["--token-file", "/nonexistent"]).run().expect(78);
    assert!(run.stderr.contains("/nonexistent"), "{run:?}");
}

#[test]
fn a_path_that_is_used_again_is_another_file() {
    let dir = DataDir::new();
    let path = dir.0.path().join("etcd.db");
    for (name, revision) in [(BEFORE, 337), (AFTER, 348), (BEFORE, 337)] {
        fs::copy(fixture(name), &path).unwrap();
        let run = dir.verify(&[path.to_str().unwrap()]).expect(0);
        assert_eq!(row(&run, "etcd.db")["revision"], revision, "{run:?}");
    }
}

#[test]
fn quick_keeps_the_result_of_a_file_whose_bytes_are_unchanged() {
    let dir = DataDir::with_fixtures();
    dir.verify(&[BEFORE]).expect(0);
    // Any change of the inode makes it unverified; the checksum is enough to recognize the bytes.
    fs::hard_link(dir.file(BEFORE), dir.0.path().join("link")).unwrap();
    assert_eq!(dir.state(BEFORE), "unverified");
    let run = dir.verify(&["--quick", BEFORE]).expect(0);
    assert_eq!(row(&run, BEFORE)["state"], "verified", "{run:?}");
    assert_eq!(dir.state(BEFORE), "verified");
}

#[test]
fn a_file_that_changes_during_verification_has_no_result_and_a_pipe_does_not_block() {
    let dir = DataDir::with_fixtures();
    let pipe = dir.0.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(error(&dir.verify(&[pipe.to_str().unwrap()]).expect(77)), "not-a-snapshot");
    require!(require::program("strace"));
    let slow = [
        "strace",
        "-f",
        // Other calls are as fast as without strace: the file changes after it was opened.
        "--seccomp-bpf",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=pread64",
        "-e",
        "inject=pread64:delay_enter=20000",
    ];
    let started = dir.tool("verify").args(&[BEFORE, "--report", "json"]).under(&slow).start();
    std::thread::sleep(Duration::from_millis(300));
    fs::copy(fixture(AFTER), dir.file(BEFORE)).unwrap();
    let run = started.finish();
    assert!(run.code != Some(0), "{run:?}");
    let rows = run.json()["snapshots"].clone();
    assert!(rows.as_array().unwrap().iter().all(|r| r["state"] != "verified"), "{run:?}");
}

#[test]
fn a_link_below_a_root_leads_to_a_file_of_that_machine() {
    let dir = DataDir::with_fixtures();
    let root = tempfile::tempdir().unwrap();
    let rancher = root.path().join("var/lib/rancher");
    fs::create_dir_all(&rancher).unwrap();
    std::os::unix::fs::symlink(dir.0.path().join("k3s"), rancher.join("k3s")).unwrap();
    let run = Tool::new("list").arg("--root").arg(root.path()).run().expect(78);
    assert!(!run.stdout.contains(BEFORE), "the snapshots are those of this machine: {run:?}");
    let there = root.path().join(dir.0.path().strip_prefix("/").unwrap()).join("k3s/server/db/snapshots");
    fs::create_dir_all(&there).unwrap();
    fs::copy(fixture(AFTER), there.join(AFTER)).unwrap();
    let run = Tool::new("list").arg("--root").arg(root.path()).run().expect(0);
    assert!(run.stdout.contains(AFTER) && !run.stdout.contains(BEFORE), "{run:?}");
    fs::remove_file(rancher.join("k3s")).unwrap();
    fs::create_dir_all(rancher.join("k3s/server/db/snapshots")).unwrap();
    fs::copy(fixture(BEFORE), rancher.join("k3s/server/db/snapshots").join(BEFORE)).unwrap();
    let verify = Tool::new("verify").arg("--root").arg(root.path()).args(&["--all", "--report", "json"]);
    assert_eq!(row(&verify.run().expect(0), BEFORE)["state"], "verified");
    assert!(
        root.path().join("var/lib/k3s-snapshot/manifests").is_dir(),
        "the manifests are those of the machine below the root"
    );
}
