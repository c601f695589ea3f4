// SPDX-License-Identifier: Apache-2.0
//! prune and delete in a bucket: what goes and what stays there, with how many requests, and what a store that is
//! locked, old, slow or away makes of it. Every rule and guard has its row in `src/model/retention`.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use k3s_snapshot::host::NoProgress;
use k3s_snapshot::model::name::{SnapshotName, Suffix};
use k3s_snapshot::model::snapshot::Manifest;
use k3s_snapshot::store::Store;
use k3s_snapshot::store::s3::S3;

use crate::conformance::{bytes, manifest};
use crate::prune::{DAY, Folder, NODE, sorted, verdicts};
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::front::{Fault, Seen};
use crate::support::k3s_root::Layout;
use crate::support::memory::Bytes;
use crate::support::moto::{self, Moto};
use crate::support::ports::free_port;
use crate::support::require::{self, require};
use crate::support::tool::{Run, Tool};

/// Where the snapshots lie in the bucket.
const HOME: &str = "backups/k3s/";

/// What our programs need to be told of the bucket, but not that they use it.
fn at(bucket: &Bucket, tool: Tool) -> Tool {
    tool.env("K3S_SNAPSHOT_S3_ENDPOINT", format!("http://127.0.0.1:{}", bucket.front.port()))
        .env("K3S_SNAPSHOT_S3_BUCKET", NAME)
        .env("K3S_SNAPSHOT_S3_FOLDER", "backups/k3s/")
        .env("K3S_SNAPSHOT_S3_TIMEOUT", "2s")
        .env("AWS_ACCESS_KEY_ID", ACCESS)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("HOME", "/nonexistent")
        .env("HTTP_PROXY", "")
        .env("NO_PROXY", "*")
}

/// A folder and a bucket.
struct Two {
    folder: Folder,
    bucket: Bucket,
}

impl Two {
    fn new() -> Two {
        Two { folder: Folder::new(), bucket: Bucket::start() }
    }

    /// With the bucket.
    fn tool(&self, verb: &str) -> Tool {
        at(&self.bucket, self.folder.tool(verb)).arg("--s3")
    }

    fn prune(&self, args: &[&str]) -> Run {
        self.tool("prune").args(args).run()
    }

    fn delete(&self, args: &[&str]) -> Run {
        self.tool("delete").args(args).run()
    }

    /// Puts a file there as it came about so many days ago.
    fn plant(&self, key: &str, bytes: &[u8], days: u64) {
        self.bucket.plant(key, bytes);
        let then = SystemTime::now() - Duration::from_secs(days * DAY + 7200);
        let file = fs::File::options().write(true).open(self.bucket.object(key)).unwrap();
        file.set_modified(then).unwrap();
    }

    /// Puts a snapshot there, so many days older than the newest, and a manifest that says this of it.
    fn put(&self, stem: &str, days: u64, verdict: &str) -> String {
        let name = format!("{stem}-{}", self.folder.newest - days * DAY);
        self.plant(&format!("{HOME}{name}"), &[0; 544], days);
        if !verdict.is_empty() {
            self.plant(&format!("{HOME}.metadata/{name}.{verdict}.json"), b"{}", days);
        }
        name
    }

    /// So many of this node, newest first, proven with 7 entries each.
    fn fill(&self, base: &str, count: u64) -> Vec<String> {
        (0..count).map(|days| self.put(&format!("{base}-{NODE}"), days, "7")).collect()
    }

    /// What lies in the folder of the bucket, companions included; sorted.
    fn all(&self) -> Vec<String> {
        self.bucket.keys().iter().filter_map(|k| k.strip_prefix(HOME)).map(str::to_owned).collect()
    }

    /// The objects without companions; sorted.
    fn objects(&self) -> Vec<String> {
        self.all().into_iter().filter(|f| !f.starts_with(".metadata/")).collect()
    }

    /// What was asked, in words: list, bulk, head, delete and others.
    fn requests(&self) -> Vec<&'static str> {
        let word = |method: &str, target: &str| match (method, target) {
            ("GET", t) if t.contains("list-type=2") => "list",
            ("POST", t) if t.ends_with("?delete=") || t.ends_with("?delete") => "bulk",
            ("HEAD", _) => "head",
            ("DELETE", _) => "delete",
            _ => "another",
        };
        self.bucket.front.seen().iter().map(|s| word(&s.method, &s.target)).collect()
    }
}

fn with_manifests(names: &[String]) -> Vec<String> {
    let manifests = names.iter().map(|n| format!(".metadata/{n}.7.json"));
    sorted(manifests.chain(names.iter().cloned()).collect())
}

/// What a report says is to go, in its order: place and name.
fn doomed(run: &Run) -> Vec<(String, String)> {
    let rows = run.json()["snapshots"].as_array().unwrap().clone();
    let doomed = rows.iter().filter(|r| r["verdict"] == "remove");
    doomed
        .map(|r| {
            let place = r["location"].as_str().unwrap().split(':').next().unwrap().to_owned();
            (place, r["name"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn folder_and_bucket_are_pruned_in_one_run_each_by_its_own_number() {
    let two = Two::new();
    let here: Vec<String> = (0..4).map(|d| two.folder.put("on-demand", d)).collect();
    let there = two.fill("on-demand", 6);
    fs::write(two.folder.file("notes.txt"), "mine").unwrap();
    two.bucket.plant(&format!("{HOME}notes.txt"), b"mine");
    let args = ["--snapshot-retention", "2", "--s3-retention", "3", "--report", "json"];
    let dry = two.tool("prune").args(&args).arg("--dry-run").run().expect(0);
    let file = |name: &String| ("file".to_owned(), name.clone());
    let s3 = |name: &String| ("s3".to_owned(), name.clone());
    let plan = [file(&here[3]), file(&here[2]), s3(&there[5]), s3(&there[4]), s3(&there[3])];
    assert_eq!(doomed(&dry), plan);
    assert_eq!((two.folder.names().len(), two.objects().len()), (5, 7), "a dry run deletes nothing");

    let run = two.prune(&args).expect(0);
    assert_eq!(doomed(&run), plan);
    for (name, verdict, deleted) in verdicts(&run) {
        assert_eq!(deleted.as_bool(), (verdict == "remove").then_some(true), "{name}");
    }
    assert_eq!(two.folder.names(), sorted([&here[..2], &["notes.txt".into()]].concat()));
    assert_eq!(two.all(), sorted([with_manifests(&there[..3]), vec!["notes.txt".into()]].concat()));

    // It falls back to what holds for the folder, and a second run finds nothing more.
    let run = two.prune(&["--etcd-snapshot-retention", "2"]).expect(0);
    assert!(run.stdout.contains(&format!("{} s3    proven", there[2])), "{run:#?}");
    assert_eq!(two.objects(), sorted([&there[..2], &["notes.txt".into()]].concat()));
    let run = two.prune(&["--keep-last", "2"]).expect(0);
    assert!(!run.stdout.contains("remove"), "{run:#?}");
    // A number for the bucket only, as K3s calls it, and 0.
    two.prune(&["--keep-last", "9", "--etcd-s3-retention", "0"]).expect(0);
    assert_eq!(two.objects().len(), 3);
    two.prune(&["--keep-last", "9", "--etcd-s3-retention", "1"]).expect(0);
    assert_eq!((two.folder.names().len(), two.objects().len()), (3, 2));
}

#[test]
fn k3s_s_own_switch_lets_nobody_delete_in_the_bucket() {
    let two = Two::new();
    let there = two.fill("on-demand", 3);
    let here: Vec<String> = (0..3).map(|d| two.folder.put("on-demand", d)).collect();
    fs::write(two.folder.config(), format!("node-name: {NODE}\netcd-s3: true\n")).unwrap();
    let tool = |verb: &str| at(&two.bucket, two.folder.tool(verb));
    let run = tool("prune").args(&["--keep-last", "2"]).run().expect(0);
    assert!(run.stderr.contains("left alone") && run.stderr.contains("--s3"), "{run:#?}");
    tool("delete").args(&["--yes", &here[1]]).run().expect(0);
    assert!(two.bucket.front.seen().is_empty(), "nobody asked the bucket");
    assert_eq!(two.objects().len(), 3);
    assert_eq!(two.folder.names(), here[..1]);
    // Our own word does, in whichever way it is said.
    tool("prune").args(&["--keep-last", "2"]).env("K3S_SNAPSHOT_S3", "true").run().expect(0);
    assert_eq!(two.objects(), sorted(there[..2].to_vec()));
    tool("prune").args(&["--keep-last", "1", "--s3=false"]).env("K3S_SNAPSHOT_S3", "true").run().expect(0);
    assert_eq!(two.objects(), sorted(there[..2].to_vec()));
}

#[test]
fn what_our_configuration_says_of_a_base_holds_for_it() {
    let bucket = Bucket::start();
    let two = Two { folder: Folder::new(), bucket };
    let root = two.folder.dir.path();
    let write = |path: &str, text: String| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/rancher/k3s/config.yaml", format!("node-name: {NODE}\netcd-snapshot-retention: 4\n"));
    let port = two.bucket.front.port();
    let settings = format!(
        "s3: true\ns3-endpoint: http://127.0.0.1:{port}\ns3-bucket: {NAME}\ns3-folder: backups/k3s\n\
         retention:\n  timer:\n    keep-daily: 2\n    s3-retention: 3\n  nightly:\n    snapshot-retention: 1\n  \
         etcd-snapshot:\n    snapshot-retention: 2\n"
    );
    write("etc/k3s-snapshot/config.yaml", settings);
    let tool = |verb: &str| {
        let tool = Tool::new(verb).arg("--root").arg(root).args(&["--data-dir", "/k3s"]);
        tool.env("AWS_ACCESS_KEY_ID", ACCESS).env("AWS_SECRET_ACCESS_KEY", SECRET).env("NO_PROXY", "*")
    };
    for base in ["timer", "nightly", "on-demand", "etcd-snapshot"] {
        (0..6).for_each(|days| drop(two.folder.put(base, days)));
        two.fill(base, 6);
    }
    let count = |names: &[String]| -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for name in names {
            let base = name.split(&format!("-{NODE}")).next().unwrap().to_owned();
            *all.entry(base).or_default() += 1;
        }
        all
    };
    let want = |timer, nightly, on_demand, k3s| {
        [("timer", timer), ("nightly", nightly), ("on-demand", on_demand), ("etcd-snapshot", k3s)]
            .map(|(base, n)| (base.to_owned(), n))
            .into()
    };
    tool("prune").run().expect(0);
    // A base that has a policy is pruned by it without being named, K3s's own excepted.
    assert_eq!(count(&two.folder.names()), want(2, 1, 4, 6));
    assert_eq!(count(&two.objects()), want(3, 1, 4, 6));
    tool("prune").args(&["--name", "etcd-snapshot"]).run().expect(0);
    assert_eq!(count(&two.folder.names()), want(2, 1, 4, 2));
    assert_eq!(count(&two.objects()), want(3, 1, 4, 2));
    let run = tool("prune").arg("--show-config").run().expect(0);
    let line = run.stdout.lines().find(|l| l.starts_with("retention.timer.keep-daily ")).unwrap();
    assert!(line.contains(" 2 ") && line.contains("config.yaml:7"), "{line}");
    // A flag is the stronger word.
    tool("prune").args(&["--keep-daily", "1", "--s3-retention", "1"]).run().expect(0);
    assert_eq!(count(&two.folder.names())["timer"], 1);
    // A policy that keeps nothing is an error, also of a base that is not asked about.
    write("etc/k3s-snapshot/config.yaml.d/x.yaml", "retention:\n  other:\n    keep-daily: 0\n".into());
    let run = tool("prune").run().expect(78);
    assert!(run.stderr.contains("'other'"), "{run:#?}");
    write("etc/k3s-snapshot/config.yaml.d/x.yaml", "retention:\n  other:\n    keep-dayly: 3\n".into());
    let run = tool("prune").run().expect(78);
    assert!(run.stderr.contains("keep-dayly") && run.stderr.contains("line 3"), "{run:#?}");
}

#[test]
fn the_guards_hold_in_a_bucket() {
    let two = Two::new();
    let stem = format!("on-demand-{NODE}");
    let reasons = |run: &Run, name: &str| {
        let rows = run.json()["snapshots"].as_array().unwrap().clone();
        let row = rows.iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone();
        (row["state"].as_str().unwrap().to_owned(), row["reasons"].as_array().unwrap().clone())
    };
    // Newest first: three that nobody proved, one whose manifest is older than the object, a bad one, two proven ones.
    let unproven: Vec<String> = (0..3).map(|d| two.put(&stem, d, "")).collect();
    let replaced = two.put(&stem, 3, "7");
    two.plant(&format!("{HOME}.metadata/{replaced}.7.json"), b"{}", 4);
    let bad = two.put(&stem, 4, "bad");
    let proven: Vec<String> = (5..7).map(|d| two.put(&stem, d, "7")).collect();
    let cut = two.put(&stem, 8, "7");
    two.plant(&format!("{HOME}{cut}"), b"too short", 8);
    let run = two.prune(&["--keep-last", "1", "--report", "json"]).expect(0);
    assert_eq!(reasons(&run, &replaced).0, "unchecked");
    assert_eq!(reasons(&run, &proven[0]).1, ["keep-last among the proven", "the newest proven one"]);
    assert_eq!(reasons(&run, &bad).1, ["no newer one is proven"]);
    assert_eq!(reasons(&run, &cut), ("bad".into(), vec!["bad, and a newer one is proven".into()]));
    assert_eq!(two.objects(), sorted(vec![unproven[0].clone(), bad.clone(), proven[0].clone()]));
    assert!(two.all().contains(&format!(".metadata/{bad}.bad.json")));

    // The names of the manifests tell of a fall of the entries: nothing has to be read for it.
    let two = Two::new();
    let all: Vec<String> = (0..5).map(|d| two.put(&stem, d, if d < 2 { "40" } else { "100" })).collect();
    let run = two.prune(&["--keep-last", "1"]).expect(0);
    assert!(run.stderr.contains("fell from 100 to 40"), "{run:#?}");
    assert_eq!(two.objects().len(), 5);
    assert_eq!(two.requests(), ["list"]);
    two.prune(&["--keep-last", "1", "--accept-drop"]).expect(0);
    assert_eq!(two.objects(), all[..1]);

    // A date in the future, and a policy that keeps nothing.
    let two = Two::new();
    two.fill("on-demand", 3);
    let ahead = format!("{stem}-{}", two.folder.newest + 9 * DAY);
    two.bucket.plant(&format!("{HOME}{ahead}"), &[0; 544]);
    let run = two.prune(&["--keep-last", "1"]).expect(0);
    assert!(run.stderr.contains("dated in the future"), "{run:#?}");
    assert_eq!(two.objects().len(), 2);
    two.prune(&["--keep-daily", "0"]).expect(2);
}

#[test]
fn a_listing_that_is_not_whole_deletes_nothing_there_and_stops_nothing_here() {
    let page = |next: &str| {
        Fault::Answer(format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken></ListBucketResult>"
        ))
    };
    let faults = [
        (Fault::Refuse(403, "AccessDenied"), 77, "access is denied"),
        (Fault::Garbage, 1, "makes no sense"),
        (page(""), 1, "makes no sense"),
        (Fault::Redirect, 78, "redirects"),
    ];
    for (fault, code, word) in faults {
        let two = Two::new();
        two.fill("on-demand", 600); // two pages
        let here: Vec<String> = (0..3).map(|d| two.folder.put("on-demand", d)).collect();
        two.bucket.front.plan(&[(1, fault)]);
        let run = two.prune(&["--keep-last", "1"]).expect(code);
        assert!(run.stderr.contains(word) && run.stderr.contains("nothing was deleted"), "{run:#?}");
        assert!(two.requests().iter().all(|r| *r == "list"), "{:?}", two.requests());
        assert_eq!(two.objects().len(), 600);
        assert_eq!(two.folder.names(), here[..1], "the folder is pruned all the same");
        // Who deletes by name deletes nothing at all.
        let name = two.objects()[0].clone();
        fs::copy(two.folder.file(&here[0]), two.folder.file(&name)).unwrap();
        two.bucket.front.plan(&[(1, Fault::Refuse(403, "AccessDenied"))]);
        two.delete(&["--yes", &name]).expect(77);
        assert_eq!((two.objects().len(), two.folder.names().len()), (600, 2));
    }
    // And where the folder cannot be looked at, the bucket is pruned.
    let two = Two::new();
    two.fill("on-demand", 3);
    fs::write(two.folder.dir.path().join("state"), "no folder").unwrap();
    two.folder.put("on-demand", 0);
    let run = two.prune(&["--keep-last", "1"]).expect(1);
    assert!(run.stderr.contains("nobody knows which snapshots are proven"), "{run:#?}");
    assert_eq!(two.objects().len(), 1);
}

#[test]
fn a_thousand_go_by_two_requests_beside_the_list() {
    let two = Two::new();
    let all = two.fill("on-demand", 1005);
    two.bucket.front.plan(&[]);
    two.prune(&["--keep-last", "5"]).expect(0);
    assert_eq!(two.requests(), ["list", "list", "list", "bulk", "bulk"], "2010 keys, three pages");
    assert_eq!(two.all(), with_manifests(&all[..5]));
    two.bucket.front.plan(&[]);
    two.prune(&["--keep-last", "5"]).expect(0);
    assert_eq!(two.requests(), ["list"]);
}

#[test]
fn of_1050_objects_in_a_folder_of_the_bucket_only_those_of_the_group_go() {
    let two = Two::new();
    let all = two.fill("on-demand", 1050);
    let old = two.folder.newest - 2000 * DAY;
    // K3s's own companions go too; what only looks alike does not.
    for name in &all {
        two.plant(&format!("{HOME}.metadata/{name}"), b"{}", 1);
    }
    let name = format!("on-demand-{NODE}-{old}");
    let others = [
        format!("backups/k3s-other/{name}"),
        format!("backups/k3s2/{name}"),
        name.clone(),
        format!("{HOME}sub/{name}"),
        format!("{HOME}on-demand-{NODE}-weekly-{old}"),
        format!("{HOME}on-demand2-{NODE}-{old}"),
        format!("{HOME}on-demand-eu-{NODE}-{old}"),
        format!("{HOME}etcd-snapshot-{NODE}-{old}"),
        format!("{HOME}notes.txt"),
    ];
    others.iter().for_each(|key| two.plant(key, &[0; 544], 1));
    two.bucket.front.plan(&[]);
    let run = two.prune(&["--keep-last", "5", "--report", "json"]).expect(0);
    assert_eq!(doomed(&run).len(), 1045);
    let bulk = two.requests().iter().filter(|r| **r == "bulk").count();
    assert_eq!(bulk, 4, "3135 keys, full requests: {:?}", two.requests());
    let kept = all[..5].iter().flat_map(|n| {
        [n.clone(), format!(".metadata/{n}"), format!(".metadata/{n}.7.json")].map(|f| format!("{HOME}{f}"))
    });
    assert_eq!(two.bucket.keys(), sorted(kept.chain(others).collect()));
}

#[test]
fn three_nodes_share_a_bucket() {
    let two = Two::new();
    let store = two.bucket.store();
    let data = Bytes(bytes(1, 4));
    let newest = two.folder.newest;
    // As K3s puts them: the node stands in the object's metadata. One in two has no manifest of ours.
    let put = |base: &str, node: &str, days: u64| {
        let name = SnapshotName::new(base, node, newest - days * DAY, Suffix::Plain);
        let known = Manifest { node: Some(node.into()), base: None, ..manifest(&data.0) };
        store.upload(&name, &data, &known, &NoProgress).unwrap();
        if days % 2 == 1 {
            let own = format!("{HOME}.metadata/{name}.3.json");
            fs::remove_file(two.bucket.object(&own)).unwrap();
        }
        name.to_string()
    };
    let stems = [
        ("on-demand", "server-1"),
        ("on-demand", "server-2"),
        ("on-demand", "server-3"),
        ("on-demand", "eu-server-1"),
        ("prod", "server-1"),
        ("etcd-snapshot", "server-1"),
        ("etcd-snapshot", "server-2"),
    ];
    for (base, node) in stems {
        (0..6).for_each(|days| drop(put(base, node, days)));
    }
    // Nobody wrote beside these whose they are.
    (0..6).for_each(|days| drop(two.put("untold-server-1", days, "7")));
    let counts = || -> Vec<usize> {
        let stems =
            stems.iter().map(|(base, node)| format!("{base}-{node}")).chain(["untold-server-1".into()]);
        let of =
            |stem: String| two.objects().iter().filter(|n| n.rsplit_once('-').unwrap().0 == stem).count();
        stems.map(of).collect()
    };
    assert_eq!(counts(), [6; 8]);
    let prune = |args: &[&str]| {
        two.bucket.front.plan(&[]);
        let run = two.tool("prune").args(&["--keep-last", "4"]).args(args).run().expect(0);
        (run, two.requests().into_iter().filter(|r| *r == "head").count())
    };
    // The four newest, and the third of those that are proven.
    assert_eq!(prune(&[]).1, 0);
    assert_eq!(counts(), [5, 6, 6, 6, 6, 6, 6, 6], "this node's alone");
    assert_eq!(prune(&["--node", "server-2"]).1, 0);
    assert_eq!(counts(), [5, 5, 6, 6, 6, 6, 6, 6]);
    assert_eq!(prune(&["--all-nodes"]).1, 3, "one look at each stem that may be another node's");
    assert_eq!(counts(), [5, 5, 5, 5, 6, 6, 6, 6]);
    let (run, heads) = prune(&["--all"]);
    assert_eq!(heads, 3);
    assert_eq!(counts(), [5, 5, 5, 5, 5, 6, 6, 6], "what is told to be this node's");
    assert!(run.stdout.contains("nothing tells whose it is"), "{run:#?}");
    prune(&["--name", "etcd-snapshot", "--all-nodes"]);
    assert_eq!(counts(), [5, 5, 5, 5, 5, 5, 5, 6], "K3s's own, as they are named");
    // Where nobody can say whose they are, nothing is deleted.
    let denied: Vec<_> = (1..9).map(|n| (n, Fault::Refuse(403, "AccessDenied"))).collect();
    two.bucket.front.plan(&denied);
    two.prune(&["--keep-last", "1", "--all"]).expect(77);
    assert_eq!(counts(), [5, 5, 5, 5, 5, 5, 5, 6]);
}

#[test]
fn manifests_of_snapshots_that_are_gone_are_swept_once_they_are_old() {
    let two = Two::new();
    let all = two.fill("on-demand", 5);
    for gone in &all[2..] {
        fs::remove_file(two.bucket.object(&format!("{HOME}{gone}"))).unwrap();
    }
    // One was written just now: its snapshot may be on its way. One is K3s's, one is nothing of ours.
    two.bucket.plant(&format!("{HOME}.metadata/{}.7.json", all[4]), b"{}");
    let others = [format!("{HOME}.metadata/{}", all[3]), format!("{HOME}.metadata/notes.json")];
    others.iter().for_each(|key| two.plant(key, b"{}", 9));
    two.prune(&["--dry-run"]).expect(0);
    assert_eq!(two.all().len(), 9);
    two.bucket.front.plan(&[]);
    let run = two.prune(&[]).expect(0);
    assert!(run.stderr.contains("2 manifests of snapshots that are gone"), "{run:#?}");
    assert_eq!(two.requests(), ["list", "bulk"]);
    let kept = [&all[0], &all[1], &all[4]].map(|n| format!("{HOME}.metadata/{n}.7.json"));
    let objects = all[..2].iter().map(|n| format!("{HOME}{n}"));
    assert_eq!(two.bucket.keys(), sorted(kept.into_iter().chain(objects).chain(others).collect()));
}

#[test]
fn locked_objects_are_told_row_by_row_and_the_rest_goes() {
    for single in [false, true] {
        let two = Two::new();
        let all = two.fill("on-demand", 6);
        if single {
            two.bucket.front.know_no_bulk();
        }
        let locked: Vec<String> = [3, 5].map(|i| format!("{HOME}{}", all[i])).to_vec();
        two.bucket.front.lock(&locked, two.bucket.object(""));
        let run = two.prune(&["--keep-last", "2", "--report", "json"]).expect(77);
        assert!(run.stderr.contains("locked") && run.stderr.contains("Object Lock"), "{run:#?}");
        let left = sorted([0, 1, 3, 5].map(|i| all[i].clone()).to_vec());
        assert_eq!(two.all(), with_manifests(&left), "a snapshot that stays keeps its manifest");
        let rows = run.json()["snapshots"].as_array().unwrap().clone();
        for (i, name) in all.iter().enumerate().skip(2) {
            let row = rows.iter().find(|r| r["name"] == name.as_str()).unwrap();
            assert_eq!(row["deleted"].as_bool(), Some(i % 2 == 0), "{row}");
            assert_eq!(row["notes"].to_string().contains("lock"), i % 2 == 1, "{row}");
        }
        let run = two.delete(&["--yes", "--force", &all[3], &all[1]]).expect(77);
        assert!(run.stdout.contains(&format!("/{}: could not be deleted", all[3])), "{run:#?}");
        assert!(run.stdout.contains(&format!("/{}: deleted", all[1])), "{run:#?}");
        two.bucket.front.lock(&[], two.bucket.object(""));
        two.prune(&["--keep-last", "1"]).expect(0);
        assert_eq!(two.all(), with_manifests(&all[..1]), "single: {single}");
    }
}

/// A real lock: the store takes the deletion, hides the object and keeps it.
#[test]
fn in_a_bucket_that_keeps_versions_a_prune_hides_and_says_so() {
    require!(moto::program());
    let moto = Moto::start(&[("x-amz-bucket-object-lock-enabled", "true")]);
    let folder = Folder::new();
    let scratch = tempfile::tempdir().unwrap();
    let store = S3::new(moto.settings(), scratch.path().to_owned()).unwrap();
    let data = Bytes(bytes(1, 4));
    let put = |days: u64| {
        let name = SnapshotName::new("on-demand", NODE, folder.newest - days * DAY, Suffix::Plain);
        store.upload(&name, &data, &manifest(&data.0), &NoProgress).unwrap();
        name.to_string()
    };
    let all: Vec<String> = (0..4).map(put).collect();
    let prune = || {
        let tool = folder.tool("prune").args(&["--s3", "--keep-last", "2"]);
        tool.env("K3S_SNAPSHOT_S3_ENDPOINT", &moto.url)
            .env("K3S_SNAPSHOT_S3_BUCKET", NAME)
            .env("K3S_SNAPSHOT_S3_FOLDER", moto.settings().folder)
            .env("AWS_ACCESS_KEY_ID", ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("NO_PROXY", "*")
            .run()
            .expect(0)
    };
    let run = prune();
    assert!(run.stderr.contains("2 files deleted") && run.stderr.contains("keeps versions"), "{run:#?}");
    let listed = store.list().unwrap().snapshots.into_iter().map(|s| s.file).collect();
    assert_eq!(sorted(listed), sorted(all[..2].to_vec()));
    let (_, _, versions) = moto.ask("GET", "?versions", &[], "");
    assert!(all.iter().all(|name| versions.contains(&format!("/{name}</Key>"))), "all of them stay");
    assert!(!prune().stdout.contains("remove"));
}

#[test]
fn a_store_that_knows_no_deletion_of_many_is_asked_one_by_one() {
    let two = Two::new();
    let all = two.fill("on-demand", 6);
    two.bucket.front.know_no_bulk();
    two.prune(&["--keep-last", "2"]).expect(0);
    assert_eq!(two.all(), with_manifests(&all[..2]));
    assert_eq!(two.requests().iter().filter(|r| **r == "bulk").count(), 1, "it is asked once");
    // A store that is down is not asked for each of them.
    let all = two.fill("timer", 40);
    let faults: Vec<_> = (2..200).map(|n| (n, Fault::Refuse(500, "InternalError"))).collect();
    two.bucket.front.plan(&faults);
    two.tool("prune").args(&["--keep-last", "2"]).deadline(Duration::from_secs(120)).run().expect(1);
    assert!(two.requests().len() < 30, "{:?}", two.requests());
    two.bucket.front.plan(&[]);
    assert!(two.objects().iter().filter(|n| n.starts_with("timer")).count() == 40);
    two.prune(&["--keep-last", "2"]).expect(0);
    assert!(all[..2].iter().all(|n| two.objects().contains(n)) && two.objects().len() == 4);
}

/// Kills a prune at each of its requests: before the store hears of it, and when it has done it but not yet answered.
fn killed_at_every_request(count: u64, single: bool) {
    let kept = 5;
    let mut killed = 0;
    for at in 0.. {
        for fault in [Fault::Hold, Fault::Stall] {
            let two = Two::new();
            let all = two.fill("on-demand", count);
            if single {
                two.bucket.front.know_no_bulk();
            }
            let args = ["--keep-last", "5", "--report", "json"];
            let plan = doomed(&two.tool("prune").args(&args).arg("--dry-run").run().expect(0));
            let plan: Vec<String> = plan.into_iter().map(|(_, name)| name).collect();
            assert_eq!(plan, all[kept..].iter().rev().cloned().collect::<Vec<_>>(), "the oldest first");
            two.bucket.front.plan(&[(at, fault.clone())]);
            let mut run = two.tool("prune").args(&args).env("K3S_SNAPSHOT_S3_TIMEOUT", "25s").start();
            let mut ended = false;
            eventually("the prune ends, or waits for an answer", Duration::from_secs(30), || {
                ended = run.process.ended().is_some();
                ended || two.bucket.front.held() > 0
            });
            if ended {
                // There are not so many requests. This was a whole run.
                run.finish().expect(0);
                assert_eq!(two.all(), with_manifests(&all[..kept]));
                println!("{killed} kills, {count} objects");
                return;
            }
            run.process.kill();
            assert_eq!(run.finish().code, None);
            killed += 1;
            let left = two.objects();
            let what = format!("killed at request {at}, {fault:?}: {} left", left.len());
            assert!(all.iter().filter(|n| !left.contains(n)).all(|gone| plan.contains(gone)), "{what}");
            // What is done is the head of the plan, but for what a request that is under way may have done.
            let gone = plan.iter().take_while(|name| !left.contains(name)).count();
            assert_eq!(left, sorted(all[..all.len() - gone].to_vec()), "{what}");
            two.bucket.front.plan(&[]);
            let rest = doomed(&two.tool("prune").args(&args).arg("--dry-run").run().expect(0));
            assert!(rest.iter().map(|(_, name)| name).eq(&plan[gone..]), "{what}: another plan");
            two.prune(&args).expect(0);
            assert_eq!(two.objects(), sorted(all[..kept].to_vec()), "{what}");
            // The manifests of what was deleted before the kill are swept when they are a day old.
            let manifests = two.all().into_iter().filter(|f| f.starts_with(".metadata/")).count();
            assert_eq!(manifests, kept, "{what}");
        }
    }
}

#[test]
fn a_prune_of_more_than_a_thousand_is_killed_at_every_request_and_ended_by_the_next() {
    killed_at_every_request(1055, false);
}

#[test]
fn a_prune_one_by_one_is_killed_at_every_request_and_ended_by_the_next() {
    killed_at_every_request(9, true);
}

#[test]
fn delete_takes_a_name_wherever_it_lies_or_nothing() {
    let two = Two::new();
    let here: Vec<String> = (0..4).map(|d| two.folder.put("on-demand", d)).collect();
    let there = two.fill("on-demand", 6); // the first four have the names of those in the folder
    assert_eq!(here[..], there[..4]);
    two.folder.prove(&[&here[0], &here[1], &here[2]]);
    fs::remove_file(two.folder.file(&here[3])).unwrap();
    let sizes = || (two.folder.names().len(), two.objects().len());

    // Unknown in both: nothing goes in either.
    let run = two.delete(&["--yes", &here[1], "on-demand-server-1-7"]).expect(4);
    assert!(run.stderr.contains("'on-demand-server-1-7'; nothing was deleted"), "{run:#?}");
    for bad in ["../x-5", "backups/k3s/x-5", "on-demand-*", "a\nb-5"] {
        two.delete(&["--yes", &here[1], bad]).expect(2);
    }
    two.bucket.plant(&format!("{HOME}notes.txt"), b"mine");
    two.delete(&["--yes", &here[1], "notes.txt"]).expect(77);
    fs::remove_file(two.bucket.object(&format!("{HOME}notes.txt"))).unwrap();
    // Nobody said yes.
    two.delete(&[&here[1]]).expect(77);
    let run = two.delete(&["--dry-run", &here[1]]).expect(0);
    let url = "s3://snapshots/backups/k3s";
    assert_eq!(run.stdout, format!("{0}: to be deleted\n{url}/{0}: to be deleted\n", here[1]));
    // The folder's own copy alone, without the switch.
    at(&two.bucket, two.folder.tool("delete")).args(&["--yes", &there[5]]).run().expect(4);
    assert_eq!(sizes(), (3, 6));

    // In both, then in the bucket alone.
    two.bucket.front.plan(&[]);
    let run = two.delete(&["--yes", &here[1], &there[3]]).expect(0);
    assert_eq!(
        run.stdout,
        format!("{0}: deleted\n{url}/{1}: deleted\n{url}/{0}: deleted\n", here[1], there[3])
    );
    assert_eq!(two.requests(), ["list", "bulk", "bulk"], "objects, then their manifests");
    assert_eq!(sizes(), (2, 4));
    two.delete(&["--yes", "--ignore-missing", &there[5], "on-demand-server-1-7"]).expect(0);
    assert_eq!(sizes(), (2, 3));

    // The last good one of either place is refused, and then nothing goes in the other.
    let run = two.delete(&["--yes", &here[0], &here[2]]).expect(77);
    assert!(run.stderr.contains("last good") && run.stderr.contains("file://"), "{run:#?}");
    two.folder.put("on-demand", 9);
    let last = two.folder.name("on-demand", 9);
    two.folder.prove(&[&last]);
    two.delete(&["--yes", &there[0], &there[2]]).expect(0); // the folder has the old one, the bucket there[4]
    assert_eq!(two.objects(), [there[4].clone()]);
    fs::copy(two.folder.file(&last), two.folder.file(&there[4])).unwrap();
    let run = two.delete(&["--yes", &there[4]]).expect(77);
    assert!(run.stderr.contains("last good") && run.stderr.contains("s3://"), "{run:#?}");
    assert_eq!(sizes(), (2, 1));
    two.delete(&["--yes", "--force", &there[4]]).expect(0);
    assert_eq!(sizes(), (1, 0));
    assert_eq!(two.all(), [""; 0], "no manifest stays");
}

#[test]
fn a_bucket_that_is_missing_or_denied_lets_nothing_be_deleted() {
    let two = Two::new();
    let there = two.fill("on-demand", 3);
    (0..3).for_each(|d| drop(two.folder.put("on-demand", d)));
    let cases: [(&str, String, i32, &str); 3] = [
        ("--s3-bucket", "nowhere".into(), 78, "no such bucket"),
        ("--s3-region", "eu-west-1".into(), 78, "--s3-region"),
        ("--s3-endpoint", format!("http://127.0.0.1:{}", free_port()), 1, "cannot be reached"),
    ];
    for (option, value, code, word) in &cases {
        let run = two.delete(&["--yes", &there[2], option, value]).expect(*code);
        assert!(run.stderr.contains(word), "{run:#?}");
        let run = two.prune(&["--keep-last", "3", option, value]).expect(*code);
        assert!(
            run.stderr.contains(word) && run.stderr.contains("nothing was deleted in the bucket"),
            "{run:#?}"
        );
    }
    two.bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    two.delete(&["--yes", &there[2]]).expect(77);
    // The list is allowed, the deletion is not.
    two.bucket.front.plan(&(1..9).map(|n| (n, Fault::Refuse(403, "AccessDenied"))).collect::<Vec<_>>());
    let run = two.prune(&["--keep-last", "1", "--name", "on-demand", "--dir"]);
    run.expect(2);
    let run = two.prune(&["--keep-last", "3", "--s3-retention", "1", "--report", "json"]).expect(77);
    assert!(run.stderr.contains("s3:DeleteObject"), "{run:#?}");
    assert_eq!(verdicts(&run).iter().filter(|v| v.2 == false).count(), 2);
    two.bucket.front.plan(&[]);
    assert_eq!((two.folder.names().len(), two.objects().len()), (3, 3));
}

/// A real etcd, whose node is `server-1`, and a bucket.
struct Server {
    etcd: Etcd,
    bucket: Bucket,
}

impl Server {
    fn start() -> Server {
        let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
        etcd.bootstrap("labtoken");
        etcd.fill(50, 1_000);
        Server { etcd, bucket: Bucket::start() }
    }

    fn tool(&self, verb: &str) -> Tool {
        let config = self.etcd.root.path().join("no-config.yaml");
        fs::write(&config, "node-name: server-1\n").unwrap();
        at(&self.bucket, Tool::new(verb).on(&self.etcd.root)).arg("--config").arg(config).arg("--s3")
    }

    /// Saves, and gives back the name.
    fn save(&self, base: &str) -> String {
        let run = self.tool("save").args(&["--name", base, "--report", "json"]).run().expect(0);
        let rows = run.json()["snapshots"].as_array().unwrap().clone();
        assert_eq!(rows.len(), 2, "{run:#?}");
        rows[0]["name"].as_str().unwrap().to_owned()
    }

    /// Place and name of all that is listed and begins so.
    fn rows(&self, base: &str) -> Vec<(String, String)> {
        let run = self.tool("list").args(&["-o", "json"]).run().expect(0);
        let all: Vec<serde_json::Value> = serde_json::from_value(run.json()).unwrap();
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        let rows = all
            .iter()
            .map(|r| (text(&r["location"]).split(':').next().unwrap().to_owned(), text(&r["name"])));
        rows.filter(|(_, name)| name.starts_with(base)).collect()
    }
}

/// The scenarios of K3s's own tests: its integration test of `etcd-snapshot`, and its test of S3 end to end.
#[test]
fn k3s_s_own_scenarios_of_retention_and_deletion() {
    require!(require::etcd_programs());
    let server = Server::start();
    let delete = |name: &str| server.tool("delete").args(&["--yes", "--force", name]).run();

    // save; ls shows a file URI with on-demand; delete.
    let name = server.save("on-demand");
    let run = server.tool("list").run().expect(0);
    assert!(run.stdout.contains("file:///") && run.stdout.contains("on-demand"), "{run:#?}");
    delete(&name).expect(0);
    assert!(server.rows("on-demand").is_empty());
    // A name of its own; delete it. Again there is none of that name.
    let name = server.save("ALIVEBEEF");
    assert_eq!(server.rows("ALIVEBEEF").len(), 2);
    delete(&name).expect(0);
    assert!(server.rows("ALIVEBEEF").is_empty());
    delete(&name).expect(4);
    // Three saves; ls shows 3; prune to 2.
    let prune_test: Vec<String> = (0..3).map(|_| server.save("PRUNE_TEST")).collect();
    assert_eq!(server.rows("PRUNE_TEST").len(), 6);
    server.tool("prune").args(&["--name", "PRUNE_TEST", "--snapshot-retention", "2"]).run().expect(0);
    let both = |names: &[String]| {
        let places = ["file", "s3"].into_iter();
        let mut rows: Vec<_> =
            places.flat_map(|p| names.iter().map(move |n| (p.to_owned(), n.clone()))).collect();
        rows.sort();
        rows
    };
    let rows = |base: &str| {
        let mut rows = server.rows(base);
        rows.sort();
        rows
    };
    assert_eq!(rows("PRUNE_TEST"), both(&prune_test[1..]));
    // Three saves with names; list all; delete one here and there.
    let special: Vec<String> = (1..4).map(|i| server.save(&format!("special-{i}"))).collect();
    assert_eq!(rows("special"), both(&special));
    delete(&special[1]).expect(0);
    assert_eq!(rows("special"), both(&[special[0].clone(), special[2].clone()]));
    // Save twice beside one that is there, prune to 2: four rows, two here and two there.
    let all: Vec<String> = (0..3).map(|_| server.save("on-demand")).collect();
    server.tool("prune").args(&["--snapshot-retention", "2"]).run().expect(0);
    assert_eq!(rows("on-demand"), both(&all[1..]));
    assert_eq!(rows("special").len(), 4, "what was not named stays");
    assert_eq!(rows("PRUNE_TEST").len(), 4);
    // Nothing of what is gone is left beside.
    let manifests = server.bucket.keys().iter().filter(|k| k.contains("/.metadata/")).count();
    assert_eq!(manifests, 6);
}

#[test]
fn what_was_deleted_from_the_bucket_is_never_sent_again() {
    require!(require::etcd_programs());
    let server = Server::start();
    server.save("before");
    let put = |s: &Seen| s.method == "PUT" && !s.target.contains(".metadata");
    let at = server.bucket.front.seen().iter().position(put).unwrap();
    // Killed when its object was there, and before that was written down.
    server.bucket.front.plan(&[(at, Fault::Stall)]);
    let mut run =
        server.tool("save").args(&["--name", "timer"]).env("K3S_SNAPSHOT_S3_TIMEOUT", "25s").start();
    eventually("the object is sent", Duration::from_secs(30), || server.bucket.front.held() > 0);
    assert!(put(&server.bucket.front.seen()[at]));
    run.process.kill();
    run.finish();
    server.bucket.front.plan(&[]);
    let first = sorted(server.etcd.root.snapshot_names()).pop().unwrap();
    let there = |name: &str| server.bucket.object(&format!("{HOME}{name}")).exists();
    assert!(there(&first));
    let save = || {
        let args = ["--name", "timer", "--report", "json", "--no-backlog"];
        let run = server.tool("save").args(&args).run().expect(0);
        run.json()["snapshots"][0]["name"].as_str().unwrap().to_owned()
    };
    let (second, third) = (save(), save());
    server.tool("prune").args(&["--keep-last", "9", "--s3-retention", "1"]).run().expect(0);
    assert!(!there(&first) && !there(&second) && there(&third));
    assert_eq!(server.etcd.root.snapshot_names().len(), 4, "all stay here");
    let fourth = server.save("timer");
    assert!(!there(&first) && !there(&second) && there(&fourth), "{:?}", server.bucket.keys());
    // What is owed and deleted by name is not sent either.
    server.bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    server.tool("save").args(&["--name", "timer"]).run().expect(3);
    server.bucket.front.plan(&[]);
    let owed = sorted(server.etcd.root.snapshot_names()).pop().unwrap();
    server.tool("delete").args(&["--yes", &owed]).run().expect(0);
    // It sends itself and nothing else; the name may be used again.
    let last = server.save("timer");
    assert!((last == owed || !there(&owed)) && !there(&first));
}
