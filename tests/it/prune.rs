// SPDX-License-Identifier: Apache-2.0
//! prune and delete in snapshot directories. Every rule and guard has its row in `src/model/retention`; these tests check
//! the effect on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k3s_snapshot::error::{Code, Kind};
use k3s_snapshot::model::warning::WarningCode;

use crate::support::cli::{Run, Tool, text};
use crate::support::host::Host;
use crate::support::require::{self, require};

pub(crate) const NODE: &str = "server-1";
pub(crate) const DAY: u64 = 86_400;

/// A snapshot directory, and our state.
pub(crate) struct Folder {
    pub(crate) dir: tempfile::TempDir,
    /// Some hours ago.
    pub(crate) newest: u64,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let folder = Folder { dir: tempfile::tempdir().unwrap(), newest: now - 3 * 3600 };
        fs::create_dir_all(folder.snapshots()).unwrap();
        fs::write(folder.config(), format!("node-name: {NODE}\n")).unwrap();
        folder
    }

    /// The configuration of K3s: nothing is read of the machine that runs the tests.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("k3s.yaml")
    }

    fn snapshots(&self) -> PathBuf {
        self.dir.path().join("k3s/server/db/snapshots")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.snapshots().join(name)
    }

    /// The name of a snapshot that is this many days older than the newest.
    pub(crate) fn name(&self, base: &str, days: u64) -> String {
        format!("{base}-{NODE}-{}", self.newest - days * DAY)
    }

    /// Puts a snapshot of a real K3s there under such a name.
    pub(crate) fn put(&self, base: &str, days: u64) -> String {
        let name = self.name(base, days);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/before-server-1-1795339215");
        fs::copy(fixture, self.file(&name)).unwrap();
        name
    }

    pub(crate) fn tool(&self, command: &str) -> Tool {
        let path = |below: &str| self.dir.path().join(below);
        let tool = Tool::new(command).arg("--data-dir").arg(path("k3s")).arg("--config").arg(self.config());
        // No etcd runs and nothing was saved here: the cluster of this server is not known.
        let tool = if command == "prune" { tool.arg("--all-clusters") } else { tool };
        tool.arg("--state-dir").arg(path("state")).arg("--run-dir").arg(path("run"))
    }

    fn prune(&self, args: &[&str]) -> Run {
        self.tool("prune").args(args).report()
    }

    fn delete(&self, args: &[&str]) -> Run {
        self.tool("delete").args(args).report()
    }

    pub(crate) fn verify(&self, names: &[&str]) {
        self.tool("verify").args(names).run().expect(0);
    }

    /// Sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names_in(&self.snapshots())
    }

    /// The names that have a manifest, sorted.
    fn manifests(&self) -> Vec<String> {
        let all = self.dir.path().join("state/manifests");
        let folder = fs::read_dir(all).unwrap().next().unwrap().unwrap().path();
        names_in(&folder).iter().filter_map(|n| n.strip_suffix(".json")).map(str::to_owned).collect()
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn age(file: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * DAY);
    fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
}

/// Name, action (`-` if there is none) and whether it was deleted, of each row of a report.
pub(crate) fn actions(run: &Run) -> Vec<(String, String, serde_json::Value)> {
    let row = |r: serde_json::Value| {
        (text(&r["name"]), r["action"].as_str().unwrap_or("-").to_owned(), r["deleted"].clone())
    };
    run.rows().into_iter().map(row).collect()
}

/// The names that are removed, in the order of the report.
fn removed(run: &Run) -> Vec<String> {
    actions(run).into_iter().filter(|(_, action, _)| action == "remove").map(|(name, ..)| name).collect()
}

#[test]
fn dry_run_shows_what_the_run_deletes_and_a_second_run_deletes_nothing() {
    let folder = Folder::new();
    let all: Vec<String> = (0..7).map(|d| folder.put("manual", d)).collect();
    let k3s: Vec<String> = (0..7).map(|d| folder.put("etcd-snapshot", d)).collect();
    let other = folder.put("manual-eu", 9);
    fs::write(folder.file("notes.txt"), "mine").unwrap();
    folder.verify(&[all[5].as_str(), all[6].as_str()]);

    let dry = folder.prune(&["--dry-run", "--snapshot-retention", "3"]).expect(0);
    assert_eq!(folder.names().len(), 16);
    // Two verified ones are fewer than three, so both stay in addition to the three newest; the oldest first.
    assert_eq!(removed(&dry), [all[4].clone(), all[3].clone()]);
    assert!(actions(&dry).iter().all(|(.., deleted)| deleted.is_null()));
    for name in k3s.iter().chain([&other]) {
        assert!(dry.row_of(name)["action"].is_null(), "{name}");
        assert_eq!(dry.row_of(name)["reasons"].as_array().unwrap().len(), 1, "{name}");
    }

    let run = folder.prune(&["--keep-last", "3"]).expect(0);
    assert_eq!(removed(&run), removed(&dry));
    for (name, action, deleted) in actions(&run) {
        assert_eq!(deleted.as_bool(), (action == "remove").then_some(true), "{name}");
    }
    let left: Vec<String> = [&all[..3], &all[5..], &k3s, &[other, "notes.txt".into()]].concat();
    assert_eq!(folder.names(), sorted(left.clone()));

    let again = folder.prune(&["--keep-last", "3"]).expect(0);
    assert_eq!(removed(&again), [""; 0]);
    assert_eq!(folder.names(), sorted(left));

    // The scheduled snapshots of K3s are pruned if they are named; with the number in the configuration of K3s.
    fs::write(folder.config(), format!("node-name: {NODE}\netcd-snapshot-retention: 2\n")).unwrap();
    folder.prune(&["--name", "etcd-snapshot"]).expect(0);
    let left: Vec<String> = folder.names().into_iter().filter(|n| n.starts_with("etcd-snapshot")).collect();
    assert_eq!(left, sorted(k3s[..2].to_vec()));
}

#[test]
fn nothing_is_pruned_if_the_cluster_of_this_server_is_not_known() {
    let folder = Folder::new();
    let all: Vec<String> = (0..7).map(|d| folder.put("manual", d)).collect();
    folder.verify(&[all[0].as_str(), all[1].as_str(), all[2].as_str()]);
    let path = |below: &str| folder.dir.path().join(below);
    let tool = Tool::new("prune").arg("--data-dir").arg(path("k3s")).arg("--config").arg(folder.config());
    let tool = tool.arg("--state-dir").arg(path("state")).arg("--run-dir").arg(path("run"));
    let run = tool.args(&["--keep-last", "1"]).report().expect(0);
    assert!(run.warns(WarningCode::OwnClusterUnknown), "{run:#?}");
    assert_eq!((removed(&run), folder.names().len()), (vec![], 7));
    let run = folder.prune(&["--keep-last", "1"]).expect(0);
    assert_eq!((removed(&run).len(), folder.names().len()), (5, 2), "each cluster by itself");
}

/// In a booted host: what is deleted does not depend on whether systemd and the unit files can be read.
#[test]
fn prune_deletes_nothing_more_while_systemd_does_not_answer() {
    let output = require!(Host::new()).run("prune-without-answers", &[]).succeeded();
    assert_eq!(output.trim(), "12-rows", "the script reached its end");
}

#[test]
fn own_base_names_are_pruned_without_being_named() {
    let folder = Folder::new();
    for base in ["manual", "timer", "pre-restore", "on-demand", "mine"] {
        (0..3).for_each(|days| drop(folder.put(base, days)));
    }
    folder.prune(&["--keep-last", "1"]).expect(0);
    let left = |base: &str| folder.names().iter().filter(|n| n.starts_with(base)).count();
    let counts = ["manual", "timer", "pre-restore", "on-demand", "mine"].map(left);
    assert_eq!(counts, [1, 1, 1, 3, 3], "K3s prunes on-demand itself");
}

#[test]
fn table_of_prune_has_location_and_action() {
    let folder = Folder::new();
    let all: Vec<String> = (0..2).map(|d| folder.put("manual", d)).collect();
    let table =
        |args: &[&str]| folder.tool("prune").args(&["--keep-last", "1"]).args(args).run().expect(0).stdout;
    let row = |table: &str, name: &str| -> Vec<String> {
        let row = table.lines().find(|l| l.starts_with(name)).unwrap();
        row.split_whitespace().skip(1).take(3).map(str::to_owned).collect()
    };
    let dry = table(&["--dry-run"]);
    let head: Vec<&str> = dry.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["Name", "Location", "State", "Action", "Reasons"]);
    assert_eq!(row(&dry, &all[0]), ["local", "unverified", "keep"]);
    assert_eq!(row(&dry, &all[1]), ["local", "unverified", "remove"]);
    assert_eq!(row(&table(&[]), &all[1]), ["local", "unverified", "removed"]);
}

#[test]
fn manifests_and_files_of_k3s_are_deleted_with_their_snapshots() {
    let folder = Folder::new();
    let all: Vec<String> = (0..4).map(|d| folder.put("timer", d)).collect();
    folder.tool("verify").arg("--all").run().expect(0);
    let companions = folder.snapshots().parent().unwrap().join(".metadata");
    fs::create_dir(&companions).unwrap();
    for name in [&all[0], &all[2], &all[3]] {
        fs::write(companions.join(name), "{}").unwrap();
    }
    fs::remove_file(folder.file(&all[1])).unwrap();
    assert_eq!(folder.manifests().len(), 4);
    folder.prune(&["--keep-last", "2", "--dry-run"]).expect(0);
    assert_eq!(folder.manifests().len(), 4, "a dry run writes nothing");
    folder.prune(&["--keep-last", "2"]).expect(0);
    let left = sorted(vec![all[0].clone(), all[2].clone()]);
    assert_eq!(folder.names(), left);
    assert_eq!(folder.manifests(), left);
    assert_eq!(names_in(&companions), left);

    // An empty directory may be one that is not mounted: its manifests stay.
    let aside = folder.snapshots().with_file_name("aside");
    fs::rename(folder.snapshots(), &aside).unwrap();
    folder.prune(&[]).expect(0);
    fs::create_dir(folder.snapshots()).unwrap();
    folder.prune(&[]).expect(0);
    assert_eq!(folder.manifests(), left);
}

#[test]
fn directory_that_cannot_be_listed_completely_is_not_pruned() {
    let folder = Folder::new();
    let all: Vec<String> = (0..3).map(|d| folder.put("manual", d)).collect();
    // Manifests that cannot be read: it is not known what is verified.
    fs::write(folder.dir.path().join("state"), "a file").unwrap();
    folder.prune(&["--keep-last", "1"]).fails(Code::ListingIncomplete).with_hint();
    folder.delete(&["--yes", &all[2]]).fails(Code::ListingIncomplete).with_hint();
    assert_eq!(folder.names().len(), 3);
    fs::remove_file(folder.dir.path().join("state")).unwrap();
    folder.prune(&["--keep-last", "1"]).expect(0);
    assert_eq!(folder.names(), all[..1]);
}

#[test]
fn policy_that_keeps_nothing_is_an_error_of_its_origin() {
    let folder = Folder::new();
    folder.put("manual", 0);
    folder.put("manual", 1);
    folder.prune(&["--keep-daily", "0"]).fails_as(Code::RetentionKeepsNothing, Kind::Usage);
    let from_environment = |command: &str| folder.tool(command).env("K3S_SNAPSHOT_KEEP_WEEKLY", "0").report();
    from_environment("prune").fails(Code::RetentionKeepsNothing);
    from_environment("list").expect(0);
    folder.prune(&["--timezone", "Mars/Olympus"]).fails_as(Code::InvalidSetting, Kind::Usage);
    folder.prune(&["--name", "a/b"]).fails(Code::InvalidArgument);
    assert_eq!(folder.names().len(), 2);
}

#[test]
fn setting_that_another_one_replaces_is_shown_as_not_set() {
    let folder = Folder::new();
    let shown = folder.prune(&["--show-config", "--keep-daily", "7"]).expect(0).json();
    let value = |option: &str| {
        let rows = shown.as_array().unwrap();
        text(&rows.iter().find(|r| r["option"] == option).unwrap()["value"])
    };
    assert_eq!(value("keep-daily"), "7");
    assert_eq!((value("snapshot-retention"), value("keep-weekly")), ("-".into(), "-".into()));
}

#[test]
fn old_leftovers_are_deleted_unless_a_process_has_them_open() {
    let folder = Folder::new();
    let newest = folder.put("manual", 0);
    folder.verify(&[&newest]);
    let names = ["old", "open", "young"].map(|n| format!("manual-{NODE}-{}.part", n.len()));
    let dots = [".k3s-snapshot-99999999.part", ".k3s-snapshot-notes"].map(str::to_owned);
    for name in names.iter().chain(&dots) {
        fs::write(folder.file(name), "x").unwrap();
    }
    let open = fs::File::open(folder.file(&names[1])).unwrap();
    folder.prune(&[]).expect(0);
    assert_eq!(folder.names().len(), 6, "all of them are young");
    for name in names[..2].iter().chain(&dots) {
        age(&folder.file(name), 3);
    }
    let gone = removed(&folder.prune(&[]).expect(0));
    assert_eq!(sorted(gone), [dots[0].clone(), names[0].clone()]);
    let left = [newest, names[1].clone(), names[2].clone(), dots[1].clone()];
    assert_eq!(folder.names(), sorted(left.to_vec()));
    drop(open);
    folder.prune(&[]).expect(0);
    assert_eq!(folder.names().len(), 3, "no process has it open any more");
}

#[test]
fn delete_needs_exact_names_and_deletes_all_or_nothing() {
    let folder = Folder::new();
    let all: Vec<String> = (0..4).map(|d| folder.put("manual", d)).collect();
    fs::write(folder.file("notes.txt"), "mine").unwrap();
    folder.verify(&[&all[0], &all[1]]);
    for invalid in ["../k3s.yaml", "a/b-5", "..", "manual-*", "manual-?", "a\nb-5"] {
        folder.delete(&["--yes", &all[3], invalid]).fails(Code::InvalidName);
    }
    folder.tool("delete").run().expect(2);
    let unknown = "manual-server-1-7";
    let run = folder.delete(&["--yes", &all[3], unknown]).fails(Code::SnapshotNotFound);
    assert!(run.stderr.contains(unknown), "{run:?}");
    folder.delete(&["--yes", "notes.txt"]).fails(Code::NotASnapshot);
    folder.delete(&[&all[3]]).fails(Code::NotATerminal).with_hint();
    let run = folder.delete(&["--dry-run", &all[3]]).expect(0);
    assert_eq!(actions(&run), [(all[3].clone(), "remove".into(), serde_json::Value::Null)]);
    assert_eq!(folder.names().len(), 5, "nothing was deleted so far");

    let run = folder.delete(&["--yes", "--ignore-missing", &all[3], unknown]).expect(0);
    assert_eq!(actions(&run), [(all[3].clone(), "remove".into(), true.into())]);
    let run = folder.delete(&["--yes", &all[0]]).expect(0);
    assert_eq!(actions(&run), [(all[0].clone(), "remove".into(), true.into())]);
    assert_eq!(folder.manifests(), all[1..2]);
}

#[test]
fn last_good_snapshot_is_deleted_only_with_force() {
    let folder = Folder::new();
    let all: Vec<String> = (0..2).map(|d| folder.put("manual", d)).collect();
    folder.verify(&[&all[0]]);
    // An unverified one is left, but it is not a verified one.
    folder.delete(&["--yes", &all[0]]).fails(Code::LastGoodSnapshot).with_hint();
    folder.delete(&["--yes", "--force", &all[0]]).expect(0);
    folder.delete(&["--yes", &all[1]]).fails(Code::LastGoodSnapshot);
    assert_eq!(folder.names(), all[1..]);
}

#[test]
fn delete_asks_for_confirmation_at_a_terminal() {
    let folder = Folder::new();
    let all: Vec<String> = (0..3).map(|d| folder.put("manual", d)).collect();
    let script = "import os,pty,sys
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[2], sys.argv[2:])
out = b''
while b'[y/N]' not in out: out += os.read(fd, 999)
os.write(fd, sys.argv[1].encode() + b'\\n')
try:
    while os.read(fd, 999): pass
except OSError: pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let answer = |word: &str| {
        let tool = folder.tool("delete").arg(&all[2]);
        tool.under(&["python3", "-c", script, word]).run()
    };
    answer("").expect(77);
    answer("no").expect(77);
    folder.delete(&[&all[2]]).fails(Code::NotATerminal);
    assert_eq!(folder.names().len(), 3);
    answer("y").expect(0);
    assert_eq!(folder.names().len(), 2);
}

#[test]
fn prune_and_delete_need_the_lock() {
    let folder = Folder::new();
    let name = folder.put("manual", 0);
    let run = folder.dir.path().join("run");
    folder.prune(&[]).expect(0);
    let lock = fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
    let held = fs::File::open(lock).unwrap();
    held.lock().unwrap();
    folder.prune(&[]).fails(Code::Locked);
    folder.delete(&["--yes", "--force", &name]).fails(Code::Locked);
    folder.prune(&["--dry-run"]).expect(0);
    drop(held);
    folder.delete(&["--yes", "--force", &name]).expect(0);
}

#[test]
fn file_that_cannot_be_deleted_is_reported_and_the_others_are_deleted() {
    let folder = Folder::new();
    let all: Vec<String> = (0..4).map(|d| folder.put("manual", d)).collect();
    let file = folder.file(&all[2]);
    let attr = |flag: &str| std::process::Command::new("chattr").arg(flag).arg(&file).output();
    if !attr("+i").is_ok_and(|o| o.status.success()) {
        return require::skipped("no file can be made immutable here");
    }
    let run = folder.prune(&["--keep-last", "1"]);
    attr("-i").unwrap();
    let run = run.fails(Code::PermissionDenied);
    assert!(run.stderr.contains(&all[2]), "{run:?}");
    let left: Vec<bool> = actions(&run).iter().filter_map(|(_, _, d)| d.as_bool()).collect();
    assert_eq!(left, [true, false, true], "oldest first");
    assert_eq!(folder.names(), sorted(vec![all[0].clone(), all[2].clone()]));
    folder.prune(&["--keep-last", "1"]).expect(0);
    assert_eq!(folder.names(), all[..1]);
}

#[test]
fn prune_that_is_killed_is_finished_by_the_next_one() {
    let folder = Folder::new();
    // Of a size that a snapshot can have; prune does not read them.
    let all: Vec<String> = (0..3000).map(|d| folder.name("timer", d)).collect();
    all.iter().for_each(|name| fs::write(folder.file(name), [0; 544]).unwrap());
    let kept = sorted(all[..9].to_vec());
    let mut killed = 0;
    for ms in (1..).map(|i| i * 3) {
        let mut run = folder.tool("prune").args(&["--keep-last", "9"]).start();
        std::thread::sleep(Duration::from_millis(ms));
        run.process.kill();
        let code = run.finish().code;
        let left = folder.names();
        assert!(kept.iter().all(|k| left.contains(k)));
        // The oldest go first.
        assert_eq!(left, sorted(all[..left.len()].to_vec()));
        killed += usize::from(code.is_none() && left.len() < 3000);
        if code == Some(0) || left.len() == 9 {
            break;
        }
    }
    folder.prune(&["--keep-last", "9"]).expect(0);
    assert_eq!(folder.names(), kept);
    println!("killed {killed} times");
}
