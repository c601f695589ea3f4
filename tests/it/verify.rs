// SPDX-License-Identifier: Apache-2.0
//! verify and list on folders as operators have them: K3s's own snapshots, leftovers, foreign files, damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::require::{self, require};
use crate::support::tool::{Run, Tool};

const BEFORE: &str = "before-server-1-1795339215";
const AFTER: &str = "after-server-1-1795339218";

/// A data-dir without any etcd: a folder, its snapshots, our state.
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

    fn tool(&self, verb: &str) -> Tool {
        let path = |below: &str| self.0.path().join(below);
        let tool = Tool::new(verb).arg("--data-dir").arg(path("k3s"));
        tool.arg("--state-dir").arg(path("state")).arg("--run-dir").arg(path("run"))
    }

    fn verify(&self, args: &[&str]) -> Run {
        self.tool("verify").args(args).run()
    }

    /// State by name, from the list.
    fn states(&self) -> Vec<(String, String)> {
        let rows = self.tool("list").args(&["-o", "json"]).run().expect(0).json();
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
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

#[test]
fn snapshots_of_a_real_k3s_are_unchecked_then_proven() {
    let folder = Folder::real();
    assert_eq!(folder.state(BEFORE), "unchecked");
    let run = folder.verify(&["--all", "--report", "json"]).expect(0);
    let rows = run.json()["snapshots"].clone();
    assert_eq!((&rows[0]["name"], &rows[0]["revision"]), (&BEFORE.into(), &337.into()));
    assert_eq!((&rows[1]["name"], &rows[1]["revision"]), (&AFTER.into(), &348.into()));
    assert_eq!(rows[0]["token"], "current");
    assert_eq!(rows[0]["sha256"], "b7ec05627082eec6fb21d038806de88a2af290de585b3bd08593d98babac6d5d");
    assert!(folder.states().iter().all(|(_, state)| state == "proven"));
    let table = folder.tool("list").run().expect(0).stdout;
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head[..4], ["Name", "Location", "Size", "Created"], "K3s's columns come first");
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    let location = format!("file://{}", folder.file(BEFORE).canonicalize().unwrap().display());
    assert_eq!(row, [BEFORE, &location, "466976", "2026-11-22T09:20:15Z", "-", "337", "proven", "current"]);
    fs::write(folder.0.path().join("k3s/server/token"), "another\n").unwrap();
    assert!(folder.tool("list").run().expect(0).stdout.contains(" other\n"), "the token no longer fits");
}

#[test]
fn a_proof_holds_only_while_the_file_is_the_same() {
    let folder = Folder::real();
    folder.verify(&["--all"]).expect(0);
    // Rewritten with the same bytes: the time says it may be another, verify says it is not.
    let bytes = fs::read(folder.file(BEFORE)).unwrap();
    fs::write(folder.file(BEFORE), &bytes).unwrap();
    assert_eq!(folder.state(BEFORE), "unchecked");
    folder.verify(&[BEFORE]).expect(0);
    assert_eq!(folder.state(BEFORE), "proven");
    // Another whole snapshot under its name is not what was proven, and a second look does not make it so.
    fs::copy(fixture(AFTER), folder.file(BEFORE)).unwrap();
    for _ in 0..2 {
        let run = folder.verify(&[BEFORE]).expect(65);
        assert!(run.stdout.contains("not the file that was recorded"), "{run:?}");
        assert_eq!(folder.state(BEFORE), "bad");
    }
    fs::write(folder.file(BEFORE), &bytes).unwrap();
    folder.verify(&[BEFORE]).expect(0);
    assert_eq!(folder.state(BEFORE), "proven");
}

#[test]
fn a_bad_snapshot_that_is_replaced_by_a_good_one_is_good() {
    let folder = Folder::real();
    flip(&folder.file(BEFORE), 100_000);
    folder.verify(&[BEFORE]).expect(65);
    assert_eq!(folder.state(BEFORE), "bad");
    fs::copy(fixture(BEFORE), folder.file(BEFORE)).unwrap();
    folder.verify(&[BEFORE]).expect(0);
    assert_eq!(folder.state(BEFORE), "proven");
}

#[test]
fn every_cut_and_any_flip_is_refused_by_the_program() {
    let folder = Folder::real();
    let whole = fs::read(fixture(BEFORE)).unwrap();
    let n = whole.len();
    for cut in [0, 1, 31, 32, 33, 511, 512, 544, 4096, 4128, n / 2, n - 4096, n - 32, n - 1] {
        fs::write(folder.file(BEFORE), &whole[..cut]).unwrap();
        let run = folder.verify(&["--all"]).expect(65);
        assert!(run.stdout.contains(&format!("{BEFORE}: bad")), "cut to {cut}: {run:?}");
        assert!(run.stdout.contains(&format!("{AFTER}: proven")), "one bad snapshot does not stop the rest");
    }
    for at in [0, 20, 4096, 100_000, n - 33, n - 32, n - 1] {
        fs::write(folder.file(BEFORE), &whole).unwrap();
        flip(&folder.file(BEFORE), at);
        for quick in [&[BEFORE][..], &[BEFORE, "--quick"][..]] {
            let run = folder.verify(quick).expect(65);
            assert!(run.stdout.contains("SHA-256") || run.stdout.contains("page"), "flip at {at}: {run:?}");
        }
    }
    fs::write(folder.file(BEFORE), [&whole[..], b"x"].concat()).unwrap();
    folder.verify(&[BEFORE]).expect(65);
}

#[test]
fn quick_is_less_than_a_proof() {
    let folder = Folder::real();
    let run = folder.verify(&["--quick", "--all"]).expect(0);
    assert!(run.stdout.contains("the checksum holds; nothing else"), "{run:?}");
    assert_eq!(folder.state(BEFORE), "unchecked");
}

#[test]
fn whatever_lies_in_the_folder_is_listed_for_what_it_is() {
    let folder = Folder::real();
    let file = |name: &str| folder.file(name);
    fs::write(file("readme.txt"), "hello").unwrap();
    fs::write(file(".hidden"), "x").unwrap();
    fs::write(file("on-demand-vm-1795335110.part"), vec![0; 100]).unwrap();
    fs::write(file("cut-vm-5"), vec![0; 100]).unwrap();
    fs::write(file("empty-vm-5.zip"), "").unwrap();
    fs::write(file("esc\u{1b}[31m\n-vm"), "x").unwrap();
    fs::create_dir(file("sub-vm-5")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", file("dangling-vm-5")).unwrap();
    std::os::unix::fs::symlink(fixture(BEFORE), file("linked-vm-6")).unwrap();
    let states = folder.states();
    let of = |name: &str| states.iter().find(|(n, _)| n == name).unwrap().1.as_str();
    for (name, state) in [
        (BEFORE, "unchecked"),
        ("readme.txt", "foreign"),
        (".hidden", "foreign"),
        ("on-demand-vm-1795335110.part", "partial"),
        ("cut-vm-5", "bad"),
        ("empty-vm-5.zip", "bad"),
        ("esc\u{1b}[31m\n-vm", "foreign"),
        ("sub-vm-5", "foreign"),
        ("dangling-vm-5", "foreign"),
        ("linked-vm-6", "unchecked"),
    ] {
        assert_eq!(of(name), state, "{name:?}");
    }
    assert_eq!(states.len(), 11);
    let table = folder.tool("list").run().expect(0).stdout;
    assert!(!table.contains('\u{1b}') && table.lines().count() == 12, "{table:?}");
    let yaml = folder.tool("list").args(&["-o", "yaml"]).run().expect(0).stdout;
    assert!(yaml.starts_with("- name: "), "{yaml}");
    // Foreign files and leftovers are no reason to call the folder bad.
    for name in ["cut-vm-5", "empty-vm-5.zip"] {
        fs::remove_file(file(name)).unwrap();
    }
    let run = folder.verify(&["--all"]).expect(0);
    assert!(
        run.stdout.contains("readme.txt: not a snapshot") && run.stdout.contains(".part: partial"),
        "{run:?}"
    );
    // Asked for by name they are.
    let run = folder.verify(&["readme.txt"]).expect(65);
    assert!(run.stdout.contains("not a snapshot"), "{run:?}");
    // A snapshot under any name can be verified by its path.
    fs::copy(fixture(BEFORE), folder.0.path().join("backup.db")).unwrap();
    let run = folder.verify(&[folder.0.path().join("backup.db").to_str().unwrap()]).expect(0);
    assert!(run.stdout.contains("proven (revision 337"), "{run:?}");
}

#[test]
fn zips_are_proven_through_and_damage_in_them_is_found() {
    let folder = Folder::new();
    let zip = folder.file(&format!("{BEFORE}.zip"));
    let pack = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1],'w',zipfile.ZIP_DEFLATED); [z.write(sys.argv[2], n) for n in sys.argv[3:]]";
    python(pack, &[&zip, &fixture(BEFORE), Path::new(BEFORE)]);
    let run = folder.verify(&["--all"]).expect(0);
    assert!(run.stdout.contains("proven (revision 337"), "{run:?}");
    assert_eq!(fs::read_dir(folder.snapshots()).unwrap().count(), 1, "nothing is left unpacked");
    // The program of another era made it from a damaged file: the zip is whole, the snapshot is not.
    let damaged = folder.0.path().join("damaged");
    fs::copy(fixture(BEFORE), &damaged).unwrap();
    flip(&damaged, 200_000);
    fs::remove_file(&zip).unwrap();
    fs::remove_dir_all(folder.0.path().join("state")).unwrap();
    python(pack, &[&zip, &damaged, Path::new(BEFORE)]);
    assert!(folder.verify(&["--all"]).expect(65).stdout.contains("SHA-256"));
    // Cut, another entry name, two entries, not a zip at all.
    let whole = fs::read(&zip).unwrap();
    fs::write(&zip, &whole[..whole.len() / 2]).unwrap();
    assert!(folder.verify(&["--all"]).expect(65).stdout.contains("the zip is damaged"));
    fs::remove_file(&zip).unwrap();
    python(pack, &[&zip, &fixture(BEFORE), Path::new("another-name-5")]);
    assert!(folder.verify(&["--all"]).expect(65).stdout.contains("entry is called"));
    fs::remove_file(&zip).unwrap();
    python(pack, &[&zip, &fixture(BEFORE), Path::new(BEFORE), Path::new("b")]);
    assert!(folder.verify(&["--all"]).expect(65).stdout.contains("2 entries"));
    // Two entries of one name: a reader may see one, K3s unpacks both, and the last wins.
    fs::remove_file(&zip).unwrap();
    python(pack, &[&zip, &fixture(BEFORE), Path::new(BEFORE), Path::new(BEFORE)]);
    assert!(folder.verify(&["--all"]).expect(65).stdout.contains("2 entries"));
    fs::copy(fixture(BEFORE), &zip).unwrap();
    assert!(folder.verify(&["--all"]).expect(65).stdout.contains("damaged"));
}

#[test]
fn a_state_folder_that_cannot_be_written_does_not_stop_a_verify() {
    let folder = Folder::real();
    fs::write(folder.0.path().join("state"), "a file in the way").unwrap();
    let run = folder.verify(&["--all"]).expect(0);
    assert!(run.stdout.contains(&format!("{BEFORE}: proven")), "{run:?}");
    assert!(run.stderr.contains("the verdict is not kept"), "{run:?}");
    folder.tool("list").run().expect(0);
}

#[test]
fn max_age_asks_for_a_young_proven_snapshot() {
    let folder = Folder::new();
    let run = folder.tool("list").args(&["--max-age", "25h"]).run().expect(1);
    assert!(
        run.stderr.contains("no snapshot that is proven and current") && run.stderr.contains("hint: "),
        "{run:?}"
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let young = format!("a-vm-{}", now - 3_000);
    fs::copy(fixture(BEFORE), folder.file(&young)).unwrap();
    folder.tool("list").args(&["--max-age", "25h"]).run().expect(1);
    folder.verify(&["--all"]).expect(0);
    folder.tool("list").args(&["--max-age", "51m"]).run().expect(0);
    let run = folder.tool("list").args(&["--max-age", "49m"]).run().expect(1);
    assert!(run.stderr.contains(&young) && run.stderr.contains("50 min"), "{run:?}");
    // One that is dated in the future is no proof of freshness.
    fs::rename(folder.file(&young), folder.file(&format!("a-vm-{}", now + 90_000))).unwrap();
    folder.verify(&["--all"]).expect(0);
    let run = folder.tool("list").args(&["--max-age", "25h"]).run().expect(1);
    assert!(run.stderr.contains("dated in the future"), "{run:?}");
    folder.tool("list").args(&["--max-age", "soon"]).run().expect(2);
}

#[test]
fn ten_thousand_are_listed_quickly_and_none_is_opened() {
    let folder = Folder::real();
    folder.verify(&[BEFORE]).expect(0);
    for i in 0..10_000 {
        fs::write(folder.file(&format!("many-vm-{i}")), vec![0; 544]).unwrap();
    }
    let started = Instant::now();
    let run = folder.tool("list").run().expect(0);
    // Wide of the mark on purpose: a machine may be busy. The figure itself is the benchmark's.
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(run.stdout.lines().count(), 10_003);
    require!(require::program("strace"));
    let trace = folder.0.path().join("trace");
    let strace = ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o", trace.to_str().unwrap()];
    folder.tool("list").under(&strace).run().expect(0);
    let opened = fs::read_to_string(&trace).unwrap();
    assert!(opened.contains("snapshots"), "the trace saw the folder");
    assert!(
        !opened.contains("many-vm-") && !opened.contains(&format!("snapshots/{BEFORE}")),
        "a snapshot was opened"
    );
}

#[test]
fn missing_ones_are_told_and_the_others_are_still_verified() {
    let folder = Folder::real();
    flip(&folder.file(AFTER), 100_000);
    folder.verify(&["nothere-vm-5", AFTER]).expect(65);
    let run = folder.verify(&["nothere-vm-5", BEFORE]).expect(4);
    assert!(
        run.stderr.contains("nothere-vm-5") && run.stdout.contains(&format!("{BEFORE}: proven")),
        "{run:?}"
    );
    let run = folder.tool("verify").run().expect(2);
    assert!(run.stderr.contains("--all"), "{run:?}");
}

#[test]
fn where_there_is_no_k3s_nothing_is_well() {
    let nowhere = ["--data-dir", "/nonexistent"];
    let run = Tool::new("list").args(&nowhere).run().expect(78);
    assert!(run.stderr.contains("/nonexistent") && run.stdout.is_empty(), "{run:?}");
    Tool::new("verify").args(&nowhere).arg("--all").run().expect(78);
    // A server that has not saved yet is another matter.
    let folder = Folder::new();
    fs::remove_dir(folder.snapshots()).unwrap();
    folder.tool("list").run().expect(0);
    folder.verify(&["--all"]).expect(0);
}

#[test]
fn an_empty_value_is_a_mistake_and_not_the_default() {
    let folder = Folder::real();
    for (verb, flag) in
        [("list", "--max-age"), ("list", "--dir"), ("save", "--etcd-endpoints"), ("save", "--name")]
    {
        let run = folder.tool(verb).args(&[flag, ""]).run().expect(2);
        assert!(run.stderr.contains(&format!("{flag} is empty")), "{run:?}");
    }
    let run = folder.tool("list").args(&["--token-file", "/nonexistent"]).run().expect(78);
    assert!(run.stderr.contains("/nonexistent"), "{run:?}");
}

#[test]
fn a_path_that_is_used_again_is_another_file_and_not_a_bad_one() {
    let folder = Folder::new();
    let path = folder.0.path().join("etcd.db");
    for (name, revision) in [(BEFORE, "337"), (AFTER, "348"), (BEFORE, "337")] {
        fs::copy(fixture(name), &path).unwrap();
        let run = folder.verify(&[path.to_str().unwrap()]).expect(0);
        assert!(run.stdout.contains(&format!("proven (revision {revision}")), "{run:?}");
    }
}

#[test]
fn what_is_known_of_the_very_same_bytes_is_kept_by_a_quick_look() {
    let folder = Folder::real();
    folder.verify(&[BEFORE]).expect(0);
    // Any change of the inode makes it unchecked; the checksum is enough to know it again.
    fs::hard_link(folder.file(BEFORE), folder.0.path().join("link")).unwrap();
    assert_eq!(folder.state(BEFORE), "unchecked");
    let run = folder.verify(&["--quick", BEFORE]).expect(0);
    assert!(run.stdout.contains("proven on"), "{run:?}");
    assert_eq!(folder.state(BEFORE), "proven");
}

#[test]
fn a_file_that_changes_while_it_is_read_gets_no_verdict_and_a_pipe_no_wait() {
    let folder = Folder::real();
    let pipe = folder.0.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = folder.verify(&[pipe.to_str().unwrap()]).expect(65);
    assert!(run.stderr.contains("is not a file"), "{run:?}");
    require!(require::program("strace"));
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
    let started = folder.tool("verify").arg(BEFORE).under(&slow).start();
    std::thread::sleep(Duration::from_millis(300));
    fs::copy(fixture(AFTER), folder.file(BEFORE)).unwrap();
    let run = started.finish();
    assert!(run.code != Some(0), "{run:?}");
    assert!(!run.stdout.contains("proven"), "{run:?}");
}

#[test]
fn a_link_below_a_root_leads_to_a_file_of_that_machine() {
    let folder = Folder::real();
    let root = tempfile::tempdir().unwrap();
    let rancher = root.path().join("var/lib/rancher");
    fs::create_dir_all(&rancher).unwrap();
    std::os::unix::fs::symlink(folder.0.path().join("k3s"), rancher.join("k3s")).unwrap();
    let run = Tool::new("list").arg("--root").arg(root.path()).run().expect(78);
    assert!(!run.stdout.contains(BEFORE), "the snapshots are those of this machine: {run:?}");
    let there = root.path().join(folder.0.path().strip_prefix("/").unwrap()).join("k3s/server/db/snapshots");
    fs::create_dir_all(&there).unwrap();
    fs::copy(fixture(AFTER), there.join(AFTER)).unwrap();
    let run = Tool::new("list").arg("--root").arg(root.path()).run().expect(0);
    assert!(run.stdout.contains(AFTER) && !run.stdout.contains(BEFORE), "{run:?}");
    fs::remove_file(rancher.join("k3s")).unwrap();
    fs::create_dir_all(rancher.join("k3s/server/db/snapshots")).unwrap();
    fs::copy(fixture(BEFORE), rancher.join("k3s/server/db/snapshots").join(BEFORE)).unwrap();
    let run = Tool::new("verify").arg("--root").arg(root.path()).arg("--all").run().expect(0);
    assert!(run.stdout.contains("verified"), "{run:?}");
    assert!(
        root.path().join("var/lib/k3s-snapshot/manifests").is_dir(),
        "the manifests are the machine's own"
    );
}
