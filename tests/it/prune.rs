// SPDX-License-Identifier: Apache-2.0
//! prune and delete on real folders. Every rule and guard has its row in `src/model/retention`; here is what it does
//! on a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::require;
use crate::support::tool::{Run, Tool};

pub(crate) const NODE: &str = "server-1";
pub(crate) const DAY: u64 = 86_400;

/// A snapshot folder, and our state.
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

    /// K3s's configuration: nothing is read of the machine that the tests run on.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("k3s.yaml")
    }

    fn snapshots(&self) -> PathBuf {
        self.dir.path().join("k3s/server/db/snapshots")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.snapshots().join(name)
    }

    /// The name of a snapshot that is so many days older than the newest.
    pub(crate) fn name(&self, base: &str, days: u64) -> String {
        format!("{base}-{NODE}-{}", self.newest - days * DAY)
    }

    /// Puts a snapshot of a real K3s there under a name.
    pub(crate) fn put(&self, base: &str, days: u64) -> String {
        let name = self.name(base, days);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/before-server-1-1795339215");
        fs::copy(fixture, self.file(&name)).unwrap();
        name
    }

    pub(crate) fn tool(&self, verb: &str) -> Tool {
        let path = |below: &str| self.dir.path().join(below);
        let tool = Tool::new(verb).arg("--data-dir").arg(path("k3s")).arg("--config").arg(self.config());
        tool.arg("--state-dir").arg(path("state")).arg("--run-dir").arg(path("run"))
    }

    fn prune(&self, args: &[&str]) -> Run {
        self.tool("prune").args(args).run()
    }

    fn delete(&self, args: &[&str]) -> Run {
        self.tool("delete").args(args).run()
    }

    pub(crate) fn prove(&self, names: &[&str]) {
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
        names_in(&folder).into_iter().map(|n| n.strip_suffix(".json").unwrap().to_owned()).collect()
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

/// Verdicts by name, of a report.
pub(crate) fn verdicts(run: &Run) -> Vec<(String, String, serde_json::Value)> {
    let rows = run.json()["snapshots"].clone();
    let text = |v: &serde_json::Value| v.as_str().unwrap_or("-").to_owned();
    rows.as_array()
        .unwrap()
        .iter()
        .map(|r| (text(&r["name"]), text(&r["verdict"]), r["deleted"].clone()))
        .collect()
}

#[test]
fn the_dry_run_says_what_the_run_does_and_a_second_run_does_nothing() {
    let folder = Folder::new();
    let all: Vec<String> = (0..7).map(|d| folder.put("on-demand", d)).collect();
    let k3s: Vec<String> = (0..7).map(|d| folder.put("etcd-snapshot", d)).collect();
    let other = folder.put("on-demand-eu", 9);
    fs::write(folder.file("notes.txt"), "mine").unwrap();
    folder.prove(&[all[5].as_str(), all[6].as_str()]);

    let dry = folder.prune(&["--dry-run", "--report", "json", "--snapshot-retention", "3"]).expect(0);
    assert_eq!(folder.names().len(), 16);
    let removed = |run: &Run| -> Vec<String> {
        verdicts(run).into_iter().filter(|(_, v, _)| v == "remove").map(|(n, ..)| n).collect()
    };
    // Two proven ones are fewer than three, so both stay beside the three newest; the oldest first.
    assert_eq!(removed(&dry), [all[4].clone(), all[3].clone()]);
    for name in k3s.iter().chain([&other]) {
        assert!(verdicts(&dry).iter().any(|(n, v, _)| n == name && v == "-"), "{name}");
    }

    let run = folder.prune(&["--report", "json", "--keep-last", "3"]).expect(0);
    assert_eq!(removed(&run), removed(&dry));
    for (name, verdict, deleted) in verdicts(&run) {
        assert_eq!(deleted.as_bool(), (verdict == "remove").then_some(true), "{name}");
    }
    let left: Vec<String> = [&all[..3], &all[5..], &k3s, &[other, "notes.txt".into()]].concat();
    assert_eq!(folder.names(), sorted(left.clone()));

    let again = folder.prune(&["--keep-last", "3"]).expect(0);
    assert!(!again.stdout.contains("remove"), "{again:?}");
    assert!(again.stdout.contains("not matched: K3s's own"), "{again:?}");
    assert_eq!(folder.names(), sorted(left));

    // K3s's own go when they are named; by K3s's word, from K3s's configuration.
    fs::write(folder.config(), format!("node-name: {NODE}\netcd-snapshot-retention: 2\n")).unwrap();
    folder.prune(&["--name", "etcd-snapshot"]).expect(0);
    let left: Vec<String> = folder.names().into_iter().filter(|n| n.starts_with("etcd-snapshot")).collect();
    assert_eq!(left, sorted(k3s[..2].to_vec()));
}

#[test]
fn manifests_and_companions_go_with_their_snapshots_and_orphans_are_swept() {
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

    // An empty folder may be one that is not mounted: what is known of it stays.
    let aside = folder.snapshots().with_file_name("aside");
    fs::rename(folder.snapshots(), &aside).unwrap();
    folder.prune(&[]).expect(0);
    fs::create_dir(folder.snapshots()).unwrap();
    folder.prune(&[]).expect(0);
    assert_eq!(folder.manifests(), left);
}

#[test]
fn what_cannot_be_looked_at_stops_everything() {
    let folder = Folder::new();
    let all: Vec<String> = (0..3).map(|d| folder.put("on-demand", d)).collect();
    // Manifests that cannot be read: nobody knows what is proven.
    fs::write(folder.dir.path().join("state"), "no folder").unwrap();
    let run = folder.prune(&["--keep-last", "1"]).expect(1);
    assert!(run.stderr.contains("proven"), "{run:?}");
    let run = folder.delete(&["--yes", &all[2]]).expect(1);
    assert!(run.stderr.contains("nothing was deleted"), "{run:?}");
    assert_eq!(folder.names().len(), 3);
    fs::remove_file(folder.dir.path().join("state")).unwrap();
    folder.prune(&["--keep-last", "1"]).expect(0);
    assert_eq!(folder.names(), all[..1]);
}

#[test]
fn an_empty_policy_is_an_error_of_its_origin() {
    let folder = Folder::new();
    folder.put("on-demand", 0);
    folder.put("on-demand", 1);
    let run = folder.prune(&["--keep-daily", "0", "--report", "json"]).expect(2);
    assert_eq!(run.json()["error"]["code"], "retention-keeps-nothing");
    folder.tool("prune").env("K3S_SNAPSHOT_KEEP_WEEKLY", "0").run().expect(78);
    folder.prune(&["--timezone", "Mars/Olympus"]).expect(2);
    folder.prune(&["--name", "a/b"]).expect(2);
    folder.tool("list").env("K3S_SNAPSHOT_KEEP_WEEKLY", "0").run().expect(0);
    assert_eq!(folder.names().len(), 2);
    let explained = folder.prune(&["--show-config", "--keep-daily", "7"]).expect(0).stdout;
    let line = |key: &str| explained.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    assert!(line("keep-daily").contains("7"), "{explained}");
    assert!(line("snapshot-retention").contains("not set"), "{explained}");
}

#[test]
fn old_leftovers_that_nobody_has_open_go() {
    let folder = Folder::new();
    let newest = folder.put("on-demand", 0);
    folder.prove(&[&newest]);
    let names = ["old", "open", "young"].map(|n| format!("on-demand-{NODE}-{}.part", n.len()));
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
    let run = folder.prune(&["--report", "json"]).expect(0);
    let gone: Vec<String> =
        verdicts(&run).into_iter().filter(|(_, v, _)| v == "remove").map(|v| v.0).collect();
    assert_eq!(sorted(gone), [dots[0].clone(), names[0].clone()]);
    let left = [newest, names[1].clone(), names[2].clone(), dots[1].clone()];
    assert_eq!(folder.names(), sorted(left.to_vec()));
    drop(open);
    folder.prune(&[]).expect(0);
    assert_eq!(folder.names().len(), 3, "nobody has it open any more");
}

#[test]
fn delete_takes_exact_names_and_all_or_nothing() {
    let folder = Folder::new();
    let all: Vec<String> = (0..4).map(|d| folder.put("on-demand", d)).collect();
    fs::write(folder.file("notes.txt"), "mine").unwrap();
    folder.prove(&[&all[0], &all[1]]);
    for bad in ["../k3s.yaml", "a/b-5", "..", "on-demand-*", "on-demand-?", "a\nb-5"] {
        folder.delete(&["--yes", &all[3], bad]).expect(2);
    }
    folder.delete(&[]).expect(2);
    let run = folder.delete(&["--yes", &all[3], "on-demand-server-1-7"]).expect(4);
    assert!(
        run.stderr.contains("on-demand-server-1-7") && run.stderr.contains("nothing was deleted"),
        "{run:?}"
    );
    folder.delete(&["--yes", "notes.txt"]).expect(77);
    let run = folder.delete(&[&all[3]]).expect(77);
    assert!(run.stderr.contains("--yes"), "{run:?}");
    let run = folder.delete(&["--dry-run", &all[3]]).expect(0);
    assert_eq!(run.stdout, format!("{}: to be deleted\n", all[3]));
    assert_eq!(folder.names().len(), 5, "nothing so far");

    let run = folder.delete(&["--yes", "--ignore-missing", &all[3], "on-demand-server-1-7"]).expect(0);
    assert_eq!(run.stdout, format!("{}: deleted\n", all[3]));
    let run = folder.delete(&["--yes", "--report", "json", &all[0]]).expect(0);
    assert_eq!(verdicts(&run), [(all[0].clone(), "remove".into(), true.into())]);
    assert_eq!(folder.manifests(), all[1..2]);
    // An unchecked one is left, but that is no proven one.
    let run = folder.delete(&["--yes", &all[1]]).expect(77);
    assert!(run.stderr.contains("--force") && run.stderr.contains("last good"), "{run:?}");
    folder.delete(&["--yes", "--force", &all[1]]).expect(0);
    folder.delete(&["--yes", &all[2]]).expect(77);
    assert_eq!(folder.names(), sorted(vec![all[2].clone(), "notes.txt".into()]));
}

#[test]
fn delete_asks_at_a_terminal() {
    let folder = Folder::new();
    let all: Vec<String> = (0..3).map(|d| folder.put("on-demand", d)).collect();
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
    assert_eq!(folder.names().len(), 3);
    answer("y").expect(0);
    assert_eq!(folder.names().len(), 2);
}

#[test]
fn both_take_the_lock() {
    let folder = Folder::new();
    let name = folder.put("on-demand", 0);
    let run = folder.dir.path().join("run");
    folder.prune(&[]).expect(0);
    let lock = fs::read_dir(&run).unwrap().next().unwrap().unwrap().path();
    let held = fs::File::open(lock).unwrap();
    held.lock().unwrap();
    folder.prune(&[]).expect(75);
    folder.delete(&["--yes", "--force", &name]).expect(75);
    drop(held);
    folder.delete(&["--yes", "--force", &name]).expect(0);
}

#[test]
fn a_file_that_cannot_be_deleted_is_told_and_the_rest_goes() {
    let folder = Folder::new();
    let all: Vec<String> = (0..4).map(|d| folder.put("on-demand", d)).collect();
    let file = folder.file(&all[2]);
    let attr = |flag: &str| std::process::Command::new("chattr").arg(flag).arg(&file).output();
    if !attr("+i").is_ok_and(|o| o.status.success()) {
        return require::skipped("no file can be made immutable here");
    }
    let run = folder.prune(&["--keep-last", "1", "--report", "json"]);
    attr("-i").unwrap();
    let run = run.expect(77);
    assert!(run.stderr.contains(&all[2]), "{run:?}");
    let left: Vec<bool> = verdicts(&run).iter().filter_map(|(_, _, d)| d.as_bool()).collect();
    assert_eq!(left, [true, false, true], "oldest first");
    assert_eq!(folder.names(), sorted(vec![all[0].clone(), all[2].clone()]));
    folder.prune(&["--keep-last", "1"]).expect(0);
    assert_eq!(folder.names(), all[..1]);
}

#[test]
fn a_run_that_is_killed_is_ended_by_the_next_and_takes_nothing_more() {
    let folder = Folder::new();
    // Of a size that a snapshot can have; nobody looks into them.
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
    println!("killed {killed} times amid the deed");
}
