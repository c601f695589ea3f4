// SPDX-License-Identifier: Apache-2.0
//! prune and delete in a bucket: what is deleted and what is kept, with how many requests, also in a store that is locked,
//! old, slow or unreachable. Every rule and guard has its row in `src/model/retention`.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use k3s_snapshot::error::{Code, Kind};
use k3s_snapshot::model::name::{SnapshotName, Suffix};
use k3s_snapshot::model::snapshot::Manifest;
use k3s_snapshot::model::warning::WarningCode;
use k3s_snapshot::store::Store;
use k3s_snapshot::store::s3::S3;

use crate::conformance::{bytes, manifest, upload};
use crate::prune::{DAY, Folder, NODE, actions, sorted};
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::cli::{Run, Tool, text};
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::front::{Fault, Seen};
use crate::support::k3s_root::Layout;
use crate::support::memory::Bytes;
use crate::support::moto::{self, Moto};
use crate::support::objects::{CLUSTER_UID, object};
use crate::support::ports::free_port;
use crate::support::require::{self, require};

/// The prefix of the snapshots in the bucket.
const HOME: &str = "backups/k3s/";

/// The cluster of the manifests, in the names of which it is.
const CLUSTER: &str = "6f9c1f0e";

/// The settings of the bucket, without the one to use it.
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

/// A snapshot directory and a bucket.
struct Two {
    folder: Folder,
    bucket: Bucket,
}

impl Two {
    fn new() -> Two {
        Two { folder: Folder::new(), bucket: Bucket::start() }
    }

    /// With the bucket.
    fn tool(&self, command: &str) -> Tool {
        at(&self.bucket, self.folder.tool(command)).arg("--s3")
    }

    fn prune(&self, args: &[&str]) -> Run {
        self.tool("prune").args(args).report()
    }

    fn delete(&self, args: &[&str]) -> Run {
        self.tool("delete").args(args).report()
    }

    /// Puts an object there that is this many days old.
    fn plant(&self, key: &str, bytes: &[u8], days: u64) {
        self.bucket.plant(key, bytes);
        let then = SystemTime::now() - Duration::from_secs(days * DAY + 7200);
        let file = fs::File::options().write(true).open(self.bucket.object(key)).unwrap();
        file.set_modified(then).unwrap();
    }

    /// Puts a snapshot there, this many days older than the newest, with a manifest of this state: the number of key
    /// revisions of a verified one, `corrupt` or `unverified`; empty for none.
    fn put(&self, stem: &str, days: u64, state: &str) -> String {
        let name = format!("{stem}-{}", self.folder.newest - days * DAY);
        self.plant(&format!("{HOME}{name}"), &[0; 544], days);
        if !state.is_empty() {
            self.plant(&format!("{HOME}.metadata/{name}.{state}.{CLUSTER}.json"), b"{}", days);
        }
        name
    }

    /// This many of this node, newest first, verified with 7 key revisions each.
    fn fill(&self, base: &str, count: u64) -> Vec<String> {
        (0..count).map(|days| self.put(&format!("{base}-{NODE}"), days, "7")).collect()
    }

    /// What is below the prefix in the bucket, manifests included; sorted.
    fn all(&self) -> Vec<String> {
        self.bucket.keys().iter().filter_map(|k| k.strip_prefix(HOME)).map(str::to_owned).collect()
    }

    /// The objects without manifests; sorted.
    fn objects(&self) -> Vec<String> {
        self.all().into_iter().filter(|f| !f.starts_with(".metadata/")).collect()
    }

    /// The kinds of the requests: list, bulk, head, delete and others.
    fn requests(&self) -> Vec<&'static str> {
        let word = |method: &str, target: &str| match (method, target) {
            ("GET", t) if t.contains("list-type=2") => "list",
            ("POST", t) if t.ends_with("?delete=") || t.ends_with("?delete") => "bulk",
            ("HEAD", _) => "head",
            ("DELETE", _) => "delete",
            _ => "other",
        };
        self.bucket.front.seen().iter().map(|s| word(&s.method, &s.target)).collect()
    }
}

fn with_manifests(names: &[String]) -> Vec<String> {
    let manifests = names.iter().map(|n| format!(".metadata/{n}.7.{CLUSTER}.json"));
    sorted(manifests.chain(names.iter().cloned()).collect())
}

/// What a report removes, in its order: scheme of the location and name.
fn removed(run: &Run) -> Vec<(String, String)> {
    let scheme = |r: &serde_json::Value| text(&r["location"]).split(':').next().unwrap().to_owned();
    let rows = run.rows().into_iter().filter(|r| r["action"] == "remove");
    rows.map(|r| (scheme(&r), text(&r["name"]))).collect()
}

#[test]
fn directory_and_bucket_are_pruned_in_one_run_with_their_own_numbers() {
    let two = Two::new();
    let here: Vec<String> = (0..4).map(|d| two.folder.put("manual", d)).collect();
    let there = two.fill("manual", 6);
    fs::write(two.folder.file("notes.txt"), "mine").unwrap();
    two.bucket.plant(&format!("{HOME}notes.txt"), b"mine");
    let args = ["--snapshot-retention", "2", "--s3-retention", "3"];
    let dry = two.tool("prune").args(&args).arg("--dry-run").report().expect(0);
    let file = |name: &String| ("file".to_owned(), name.clone());
    let s3 = |name: &String| ("s3".to_owned(), name.clone());
    let plan = [file(&here[3]), file(&here[2]), s3(&there[5]), s3(&there[4]), s3(&there[3])];
    assert_eq!(removed(&dry), plan);
    assert_eq!((two.folder.names().len(), two.objects().len()), (5, 7), "a dry run deletes nothing");

    let run = two.prune(&args).expect(0);
    assert_eq!(removed(&run), plan);
    for (name, action, deleted) in actions(&run) {
        assert_eq!(deleted.as_bool(), (action == "remove").then_some(true), "{name}");
    }
    assert_eq!(two.folder.names(), sorted([&here[..2], &["notes.txt".into()]].concat()));
    assert_eq!(two.all(), sorted([with_manifests(&there[..3]), vec!["notes.txt".into()]].concat()));

    // Without a number of its own, that of the directory; a second run removes nothing.
    let run = two.prune(&["--etcd-snapshot-retention", "2"]).expect(0);
    assert_eq!(removed(&run), [s3(&there[2])]);
    assert_eq!(run.row_of(&there[2])["state"], "verified");
    assert_eq!(two.objects(), sorted([&there[..2], &["notes.txt".into()]].concat()));
    assert_eq!(removed(&two.prune(&["--keep-last", "2"]).expect(0)), []);
    // A number for the bucket only, with the name of K3s, and 0.
    two.prune(&["--keep-last", "9", "--etcd-s3-retention", "0"]).expect(0);
    assert_eq!(two.objects().len(), 3);
    two.prune(&["--keep-last", "9", "--etcd-s3-retention", "1"]).expect(0);
    assert_eq!((two.folder.names().len(), two.objects().len()), (3, 2));
}

/// K3s prunes its own snapshots there. Those of this program are pruned by no other program.
#[test]
fn in_a_bucket_that_only_k3s_configures_our_base_names_are_pruned_and_nothing_is_deleted_by_name() {
    let two = Two::new();
    let there = two.fill("manual", 3);
    let of_k3s = two.fill("on-demand", 3);
    let scheduled = two.fill("etcd-snapshot", 3);
    let here: Vec<String> = (0..3).map(|d| two.folder.put("manual", d)).collect();
    fs::write(two.folder.config(), format!("node-name: {NODE}\netcd-s3: true\n")).unwrap();
    let tool = |command: &str| at(&two.bucket, two.folder.tool(command));
    tool("delete").args(&["--yes", &here[2]]).report().expect(0);
    assert!(two.bucket.front.seen().is_empty(), "delete did not use the bucket");
    tool("prune").args(&["--keep-last", "1", "--name", "on-demand"]).report().expect(0);
    assert_eq!(two.objects().len(), 9, "a base name of K3s");
    tool("prune").args(&["--keep-last", "1", "--all"]).report().expect(0);
    let left = sorted([&there[..1], &of_k3s, &scheduled].concat());
    assert_eq!(two.objects(), left);
    assert_eq!(two.folder.names(), here[..1]);
    // Configured for this program, whatever the source, the selection is the same in both locations.
    let own = |args: &[&str]| {
        let prune = tool("prune").args(&["--keep-last", "1", "--name", "on-demand"]).args(args);
        prune.env("K3S_SNAPSHOT_S3", "true").report().expect(0);
    };
    own(&["--s3=false"]);
    assert_eq!(two.objects(), left);
    own(&[]);
    assert_eq!(two.objects(), sorted([&there[..1], &of_k3s[..1], &scheduled].concat()));
}

/// On a laptop: no K3s, no snapshot directory.
#[test]
fn bucket_can_be_pruned_and_listed_without_k3s() {
    let bucket = Bucket::start();
    let two = Two { folder: Folder::new(), bucket };
    let there = two.fill("manual", 3);
    let state = tempfile::tempdir().unwrap();
    let tool = |command: &str| {
        let tool = Tool::new(command).args(&["--data-dir", "/nonexistent", "--s3", "--config"]);
        at(&two.bucket, tool.arg(two.folder.config()).arg("--run-dir").arg(state.path()))
    };
    let dry =
        |args: &[&str]| tool("prune").args(&["--keep-last", "1", "--dry-run"]).args(args).report().expect(0);
    let run = dry(&[]);
    assert!(run.warns(WarningCode::OwnClusterUnknown) && removed(&run).is_empty(), "{run:#?}");
    let dry = dry(&["--all-clusters"]);
    assert_eq!(removed(&dry), [("s3".to_owned(), there[2].clone()), ("s3".to_owned(), there[1].clone())]);
    assert_eq!(tool("list").report().expect(0).rows().len(), 3);
    assert_eq!(two.objects().len(), 3);
}

#[test]
fn policy_of_a_base_name_applies_to_its_snapshots() {
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
    let tool = |command: &str| {
        let tool = Tool::new(command).arg("--root").arg(root).args(&["--data-dir", "/k3s"]);
        let tool = if command == "prune" { tool.arg("--all-clusters") } else { tool };
        tool.env("AWS_ACCESS_KEY_ID", ACCESS).env("AWS_SECRET_ACCESS_KEY", SECRET).env("NO_PROXY", "*")
    };
    for base in ["timer", "nightly", "manual", "etcd-snapshot"] {
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
        [("timer", timer), ("nightly", nightly), ("manual", on_demand), ("etcd-snapshot", k3s)]
            .map(|(base, n)| (base.to_owned(), n))
            .into()
    };
    tool("prune").run().expect(0);
    // A base name with a policy is pruned without being named, except the one of K3s.
    assert_eq!(count(&two.folder.names()), want(2, 1, 4, 6));
    assert_eq!(count(&two.objects()), want(3, 1, 4, 6));
    tool("prune").args(&["--name", "etcd-snapshot"]).run().expect(0);
    assert_eq!(count(&two.folder.names()), want(2, 1, 4, 2));
    assert_eq!(count(&two.objects()), want(3, 1, 4, 2));
    let shown = tool("prune").arg("--show-config").report().expect(0).json();
    let rows = shown.as_array().unwrap();
    let row = rows.iter().find(|r| r["option"] == "retention.timer.keep-daily").unwrap();
    assert!(row["value"] == "2" && text(&row["origin"]).ends_with("config.yaml:7"), "{row}");
    // The command line takes precedence.
    tool("prune").args(&["--keep-daily", "1", "--s3-retention", "1"]).run().expect(0);
    assert_eq!(count(&two.folder.names())["timer"], 1);
    // A policy that keeps nothing is an error, also of a base name that is not pruned now.
    write("etc/k3s-snapshot/config.yaml.d/x.yaml", "retention:\n  other:\n    keep-daily: 0\n".into());
    let run = tool("prune").report().fails(Code::RetentionKeepsNothing);
    assert!(run.stderr.contains("'other'"), "{run:#?}");
    write("etc/k3s-snapshot/config.yaml.d/x.yaml", "retention:\n  other:\n    keep-dayly: 3\n".into());
    let run = tool("prune").report().fails(Code::ConfigInvalid);
    assert!(run.stderr.contains("keep-dayly") && run.stderr.contains("x.yaml"), "{run:#?}");
}

#[test]
fn guards_apply_in_a_bucket() {
    let two = Two::new();
    let stem = format!("manual-{NODE}");
    let reasons = |run: &Run, name: &str| -> (String, usize) {
        let row = run.row_of(name);
        (text(&row["state"]), row["reasons"].as_array().unwrap().len())
    };
    // Newest first: three unverified ones, one whose manifest is older than the object, a corrupt one, two verified ones.
    let unverified: Vec<String> = (0..3).map(|d| two.put(&stem, d, "")).collect();
    let replaced = two.put(&stem, 3, "7");
    two.plant(&format!("{HOME}.metadata/{replaced}.7.{CLUSTER}.json"), b"{}", 4);
    let corrupt = two.put(&stem, 4, "corrupt");
    let verified: Vec<String> = (5..7).map(|d| two.put(&stem, d, "7")).collect();
    let cut = two.put(&stem, 8, "7");
    two.plant(&format!("{HOME}{cut}"), b"too short", 8);
    let run = two.prune(&["--keep-last", "1"]).expect(0);
    assert_eq!(reasons(&run, &replaced).0, "unverified");
    assert_eq!(reasons(&run, &verified[0]).1, 2, "the rule, and the newest verified one");
    assert_eq!(reasons(&run, &corrupt), ("corrupt".into(), 1));
    assert_eq!(reasons(&run, &cut), ("corrupt".into(), 1));
    assert_eq!(two.objects(), sorted(vec![unverified[0].clone(), corrupt.clone(), verified[0].clone()]));
    assert!(two.all().contains(&format!(".metadata/{corrupt}.corrupt.{CLUSTER}.json")));

    // The names of the manifests have the number of key revisions: nothing is read to see that it dropped.
    let two = Two::new();
    let all: Vec<String> = (0..5).map(|d| two.put(&stem, d, if d < 2 { "40" } else { "100" })).collect();
    let run = two.prune(&["--keep-last", "1"]).expect(0);
    assert!(run.warns(WarningCode::KeyRevisionsDropped), "{run:#?}");
    assert_eq!(two.objects().len(), 5);
    assert_eq!(two.requests(), ["list", "list", "list"], "objects, manifests and kits");
    two.prune(&["--keep-last", "1", "--accept-drop"]).expect(0);
    assert_eq!(two.objects(), all[..1]);

    // A date in the future, and a policy that keeps nothing.
    let two = Two::new();
    two.fill("manual", 3);
    let ahead = format!("{stem}-{}", two.folder.newest + 9 * DAY);
    for (key, content) in [
        (format!("{HOME}{ahead}"), &[0; 544][..]),
        (format!("{HOME}.metadata/{ahead}.7.{CLUSTER}.json"), b"{}"),
    ] {
        two.bucket.plant(&key, content);
        let file = fs::File::options().write(true).open(two.bucket.object(&key)).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(9 * DAY)).unwrap();
    }
    let run = two.prune(&["--keep-last", "1"]).expect(0);
    assert!(run.warns(WarningCode::FutureDate), "{run:#?}");
    assert_eq!(two.objects().len(), 2);
    two.prune(&["--keep-daily", "0"]).fails_as(Code::RetentionKeepsNothing, Kind::Usage);
}

#[test]
fn incomplete_listing_of_the_bucket_deletes_nothing_there_and_the_directory_is_pruned() {
    let page = |next: &str| {
        Fault::Answer(format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken></ListBucketResult>"
        ))
    };
    let faults = [
        (Fault::Refuse(403, "AccessDenied"), Code::S3AccessDenied),
        (Fault::Garbage, Code::S3InvalidResponse),
        (page(""), Code::S3InvalidResponse),
        (Fault::Redirect, Code::S3Redirected),
    ];
    for (fault, code) in faults {
        let two = Two::new();
        two.fill("manual", 1100); // two pages
        let here: Vec<String> = (0..3).map(|d| two.folder.put("manual", d)).collect();
        two.bucket.front.plan(&[(1, fault)]);
        two.prune(&["--keep-last", "1"]).fails(code);
        assert!(two.requests().iter().all(|r| *r == "list"), "{:?}", two.requests());
        assert_eq!(two.objects().len(), 1100);
        assert_eq!(two.folder.names(), here[..1], "the directory is pruned anyway");
        // delete deletes nothing in either location.
        let name = two.objects()[0].clone();
        fs::copy(two.folder.file(&here[0]), two.folder.file(&name)).unwrap();
        two.bucket.front.plan(&[(1, Fault::Refuse(403, "AccessDenied"))]);
        two.delete(&["--yes", &name]).fails(Code::S3AccessDenied);
        assert_eq!((two.objects().len(), two.folder.names().len()), (1100, 2));
    }
    // Without the manifests it is not known what is verified.
    let two = Two::new();
    two.fill("manual", 3);
    two.bucket.front.plan(&[(1, Fault::Refuse(403, "AccessDenied"))]);
    two.prune(&["--keep-last", "1"]).fails(Code::ListingIncomplete);
    assert_eq!(two.objects().len(), 3);
    // If the directory cannot be listed, the bucket is pruned.
    let two = Two::new();
    two.fill("manual", 3);
    fs::write(two.folder.dir.path().join("state"), "a file").unwrap();
    two.folder.put("manual", 0);
    two.prune(&["--keep-last", "1"]).fails(Code::ListingIncomplete);
    assert_eq!(two.objects().len(), 1);
}

#[test]
fn thousand_objects_are_deleted_with_two_requests() {
    let two = Two::new();
    let all = two.fill("manual", 1005);
    two.bucket.front.plan(&[]);
    two.prune(&["--keep-last", "5"]).expect(0);
    assert_eq!(
        two.requests(),
        ["list", "list", "list", "list", "bulk", "bulk", "list"],
        "two pages of objects and of manifests, and one of kits"
    );
    assert_eq!(two.all(), with_manifests(&all[..5]));
    two.bucket.front.plan(&[]);
    two.prune(&["--keep-last", "5"]).expect(0);
    assert_eq!(two.requests(), ["list", "list", "list"]);
}

#[test]
fn only_objects_of_the_group_below_the_prefix_are_deleted() {
    let two = Two::new();
    let all = two.fill("manual", 1050);
    let old = two.folder.newest - 2000 * DAY;
    // The metadata objects of K3s are deleted too; names that are only similar are not.
    for name in &all {
        two.plant(&format!("{HOME}.metadata/{name}"), b"{}", 1);
    }
    let name = format!("manual-{NODE}-{old}");
    let others = [
        format!("backups/k3s-other/{name}"),
        format!("backups/k3s2/{name}"),
        name.clone(),
        format!("{HOME}sub/{name}"),
        format!("{HOME}manual-{NODE}-weekly-{old}"),
        format!("{HOME}manual2-{NODE}-{old}"),
        format!("{HOME}manual-eu-{NODE}-{old}"),
        format!("{HOME}etcd-snapshot-{NODE}-{old}"),
        format!("{HOME}notes.txt"),
    ];
    others.iter().for_each(|key| two.plant(key, &[0; 544], 1));
    two.bucket.front.plan(&[]);
    let run = two.prune(&["--keep-last", "5"]).expect(0);
    assert_eq!(removed(&run).len(), 1045);
    let bulk = two.requests().iter().filter(|r| **r == "bulk").count();
    assert_eq!(bulk, 4, "3135 keys, full requests: {:?}", two.requests());
    let kept = all[..5].iter().flat_map(|n| {
        [n.clone(), format!(".metadata/{n}"), format!(".metadata/{n}.7.{CLUSTER}.json")]
            .map(|f| format!("{HOME}{f}"))
    });
    assert_eq!(two.bucket.keys(), sorted(kept.chain(others).collect()));
}

#[test]
fn nodes_that_share_a_bucket_prune_their_own_snapshots() {
    let two = Two::new();
    let store = two.bucket.store();
    let data = Bytes(bytes(1, 4));
    let newest = two.folder.newest;
    // As K3s puts them: the metadata of the object has the node.
    let put = |base: &str, node: &str, days: u64| {
        let name = SnapshotName::new(base, node, newest - days * DAY, Suffix::Plain);
        let known = Manifest { node: Some(node.into()), base: None, ..manifest(&data.0) };
        upload(&store, &name, &data, &known).unwrap();
        name.to_string()
    };
    let stems = [
        ("manual", "server-1"),
        ("manual", "server-2"),
        ("manual", "server-3"),
        ("manual", "eu-server-1"),
        ("prod", "server-1"),
        ("etcd-snapshot", "server-1"),
        ("etcd-snapshot", "server-2"),
    ];
    for (base, node) in stems {
        (0..6).for_each(|days| drop(put(base, node, days)));
    }
    // These have no metadata that names a node.
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
        let run = two.prune(&[&["--keep-last", "4"], args].concat()).expect(0);
        (run, two.requests().into_iter().filter(|r| *r == "head").count())
    };
    assert_eq!(prune(&[]).1, 0);
    assert_eq!(counts(), [4, 6, 6, 6, 6, 6, 6, 6], "only those of this node");
    assert_eq!(prune(&["--node", "server-2"]).1, 0);
    assert_eq!(counts(), [4, 4, 6, 6, 6, 6, 6, 6]);
    assert_eq!(prune(&["--all-nodes"]).1, 3, "one request for each stem that may be of another node");
    assert_eq!(counts(), [4, 4, 4, 4, 6, 6, 6, 6]);
    let (run, heads) = prune(&["--all"]);
    assert_eq!(heads, 3);
    assert_eq!(counts(), [4, 4, 4, 4, 4, 6, 6, 6], "what the metadata assigns to this node");
    let row = run.rows().into_iter().find(|r| text(&r["name"]).starts_with("untold-")).unwrap();
    assert!(row["action"].is_null() && row["reasons"].as_array().unwrap().len() == 1, "{row}");
    prune(&["--name", "etcd-snapshot", "--all-nodes"]);
    assert_eq!(counts(), [4, 4, 4, 4, 4, 4, 4, 6], "those of K3s, because they are named");
    // If the nodes cannot be read, nothing is deleted.
    let denied: Vec<_> = (2..9).map(|n| (n, Fault::Refuse(403, "AccessDenied"))).collect();
    two.bucket.front.plan(&denied);
    two.prune(&["--keep-last", "1", "--all"]).fails(Code::S3AccessDenied);
    assert_eq!(counts(), [4, 4, 4, 4, 4, 4, 4, 6]);
}

#[test]
fn old_manifests_of_deleted_snapshots_are_deleted() {
    let two = Two::new();
    let all = two.fill("manual", 5);
    for gone in &all[2..] {
        fs::remove_file(two.bucket.object(&format!("{HOME}{gone}"))).unwrap();
    }
    // One was written just now: its snapshot may be uploading. One is of K3s, one is not of this program.
    two.bucket.plant(&format!("{HOME}.metadata/{}.7.{CLUSTER}.json", all[4]), b"{}");
    let others = [format!("{HOME}.metadata/{}", all[3]), format!("{HOME}.metadata/notes.json")];
    others.iter().for_each(|key| two.plant(key, b"{}", 9));
    two.prune(&["--dry-run"]).expect(0);
    assert_eq!(two.all().len(), 9);
    two.bucket.front.plan(&[]);
    two.prune(&[]).expect(0);
    assert_eq!(two.requests(), ["list", "list", "bulk", "list"], "the last one for kits");
    let kept = [&all[0], &all[1], &all[4]].map(|n| format!("{HOME}.metadata/{n}.7.{CLUSTER}.json"));
    let objects = all[..2].iter().map(|n| format!("{HOME}{n}"));
    assert_eq!(two.bucket.keys(), sorted(kept.into_iter().chain(objects).chain(others).collect()));
}

#[test]
fn locked_objects_are_reported_and_the_others_are_deleted() {
    for single in [false, true] {
        let two = Two::new();
        let all = two.fill("manual", 6);
        if single {
            two.bucket.front.know_no_bulk();
        }
        let locked: Vec<String> = [3, 5].map(|i| format!("{HOME}{}", all[i])).to_vec();
        two.bucket.front.lock(&locked, two.bucket.object(""));
        let run = two.prune(&["--keep-last", "2"]).fails(Code::S3ObjectLocked).with_hint();
        let left = sorted([0, 1, 3, 5].map(|i| all[i].clone()).to_vec());
        assert_eq!(two.all(), with_manifests(&left), "a snapshot that stays keeps its manifest");
        for (i, name) in all.iter().enumerate().skip(2) {
            let row = run.row_of(name);
            assert_eq!(row["deleted"].as_bool(), Some(i % 2 == 0), "{row}");
            assert_eq!(row["notes"].as_array().unwrap().len(), i % 2, "{row}");
        }
        let run = two.delete(&["--yes", "--force", &all[3], &all[1]]).fails(Code::S3ObjectLocked);
        assert_eq!(run.row_of(&all[3])["deleted"], false);
        assert_eq!(run.row_of(&all[1])["deleted"], true);
        two.bucket.front.lock(&[], two.bucket.object(""));
        two.prune(&["--keep-last", "1"]).expect(0);
        assert_eq!(two.all(), with_manifests(&all[..1]), "single: {single}");
    }
}

/// A real lock: the store takes the deletion, hides the object and keeps it.
#[test]
fn prune_in_a_bucket_that_keeps_versions_hides_the_objects() {
    require!(moto::program());
    let moto = Moto::start(&[("x-amz-bucket-object-lock-enabled", "true")]);
    let folder = Folder::new();
    let store = S3::new(moto.settings()).unwrap();
    let data = Bytes(bytes(1, 4));
    let put = |days: u64| {
        let name = SnapshotName::new("manual", NODE, folder.newest - days * DAY, Suffix::Plain);
        upload(&store, &name, &data, &manifest(&data.0)).unwrap();
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
            .report()
            .expect(0)
    };
    assert_eq!(removed(&prune()).len(), 2);
    let listed = store.list().unwrap().snapshots.into_iter().map(|s| s.file).collect();
    assert_eq!(sorted(listed), sorted(all[..2].to_vec()));
    let (_, _, versions) = moto.ask("GET", "?versions", &[], "");
    assert!(all.iter().all(|name| versions.contains(&format!("/{name}</Key>"))), "all of them stay");
    assert_eq!(removed(&prune()), []);
}

#[test]
fn store_without_deletion_of_many_objects_is_asked_for_each() {
    let two = Two::new();
    let all = two.fill("manual", 6);
    two.bucket.front.know_no_bulk();
    two.prune(&["--keep-last", "2"]).expect(0);
    assert_eq!(two.all(), with_manifests(&all[..2]));
    assert_eq!(two.requests().iter().filter(|r| **r == "bulk").count(), 1, "it is asked once");
    // A store that fails is not asked for each of them.
    let all = two.fill("timer", 40);
    let faults: Vec<_> = (2..200).map(|n| (n, Fault::Refuse(500, "InternalError"))).collect();
    two.bucket.front.plan(&faults);
    two.tool("prune")
        .args(&["--keep-last", "2"])
        .deadline(Duration::from_secs(120))
        .report()
        .fails(Code::S3ServerError);
    assert!(two.requests().len() < 30, "{:?}", two.requests());
    two.bucket.front.plan(&[]);
    assert!(two.objects().iter().filter(|n| n.starts_with("timer")).count() == 40);
    two.prune(&["--keep-last", "2"]).expect(0);
    assert!(all[..2].iter().all(|n| two.objects().contains(n)) && two.objects().len() == 4);
}

/// Kills a prune at each of its requests: before the store receives it, and after the store executed it and before it
/// answered.
fn killed_at_every_request(count: u64, single: bool) {
    let kept = 5;
    let mut killed = 0;
    for at in 0.. {
        for fault in [Fault::Hold, Fault::Stall] {
            let two = Two::new();
            let all = two.fill("manual", count);
            if single {
                two.bucket.front.know_no_bulk();
            }
            let args = ["--keep-last", "5"];
            let plan = removed(&two.tool("prune").args(&args).arg("--dry-run").report().expect(0));
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
                // There are fewer requests. This was a complete run.
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
            // The deleted ones are the first ones of the plan.
            let gone = plan.iter().take_while(|name| !left.contains(name)).count();
            assert_eq!(left, sorted(all[..all.len() - gone].to_vec()), "{what}");
            two.bucket.front.plan(&[]);
            let rest = removed(&two.tool("prune").args(&args).arg("--dry-run").report().expect(0));
            assert!(rest.iter().map(|(_, name)| name).eq(&plan[gone..]), "{what}: another plan");
            two.prune(&args).expect(0);
            assert_eq!(two.objects(), sorted(all[..kept].to_vec()), "{what}");
            // The manifests of what was deleted before the kill are deleted when they are a day old.
            let manifests = two.all().into_iter().filter(|f| f.starts_with(".metadata/")).count();
            assert_eq!(manifests, kept, "{what}");
        }
    }
}

#[test]
fn prune_of_a_thousand_objects_killed_at_any_request_is_finished_by_the_next() {
    killed_at_every_request(1055, false);
}

#[test]
fn prune_of_single_objects_killed_at_any_request_is_finished_by_the_next() {
    killed_at_every_request(9, true);
}

#[test]
fn delete_deletes_a_name_in_both_locations_or_nothing() {
    let two = Two::new();
    let here: Vec<String> = (0..4).map(|d| two.folder.put("manual", d)).collect();
    let there = two.fill("manual", 6); // the first four have the names of those in the directory
    assert_eq!(here[..], there[..4]);
    two.folder.verify(&[&here[0], &here[1], &here[2]]);
    fs::remove_file(two.folder.file(&here[3])).unwrap();
    let sizes = || (two.folder.names().len(), two.objects().len());
    // Location and whether it was deleted.
    let results = |run: &Run| -> Vec<(String, Option<bool>)> {
        run.rows().iter().map(|r| (text(&r["location"]), r["deleted"].as_bool())).collect()
    };
    let (file, s3) = (
        |name: &str| format!("file://{}", two.folder.file(name).canonicalize().unwrap().display()),
        |name: &str| format!("s3://snapshots/backups/k3s/{name}"),
    );

    // Unknown in both: nothing is deleted in either.
    let unknown = "manual-server-1-7";
    let run = two.delete(&["--yes", &here[1], unknown]).fails(Code::SnapshotNotFound);
    assert!(run.stderr.contains(unknown), "{run:#?}");
    for invalid in ["../x-5", "backups/k3s/x-5", "manual-*", "a\nb-5"] {
        two.delete(&["--yes", &here[1], invalid]).fails(Code::InvalidName);
    }
    two.bucket.plant(&format!("{HOME}notes.txt"), b"mine");
    two.delete(&["--yes", &here[1], "notes.txt"]).fails(Code::NotASnapshot);
    fs::remove_file(two.bucket.object(&format!("{HOME}notes.txt"))).unwrap();
    two.delete(&[&here[1]]).fails(Code::NotATerminal);
    let run = two.delete(&["--dry-run", &here[1]]).expect(0);
    let local = file(&here[1]);
    assert_eq!(results(&run), [(local.clone(), None), (s3(&here[1]), None)]);
    // Without --s3 only the directory is searched.
    at(&two.bucket, two.folder.tool("delete"))
        .args(&["--yes", &there[5]])
        .report()
        .fails(Code::SnapshotNotFound);
    assert_eq!(sizes(), (3, 6));

    // In both, then in the bucket alone.
    two.bucket.front.plan(&[]);
    let run = two.delete(&["--yes", &here[1], &there[3]]).expect(0);
    let deleted = [(local, Some(true)), (s3(&there[3]), Some(true)), (s3(&here[1]), Some(true))];
    assert_eq!(results(&run), deleted);
    assert_eq!(two.requests(), ["list", "list", "bulk", "bulk"], "objects, then their manifests");
    assert_eq!(sizes(), (2, 4));
    two.delete(&["--yes", "--ignore-missing", &there[5], unknown]).expect(0);
    assert_eq!(sizes(), (2, 3));

    // The last good one of either location is refused, and then nothing is deleted in the other.
    let run = two.delete(&["--yes", &here[0], &here[2]]).fails(Code::LastGoodSnapshot);
    assert!(run.stderr.contains("file://"), "{run:#?}");
    two.folder.put("manual", 9);
    let last = two.folder.name("manual", 9);
    two.folder.verify(&[&last]);
    two.delete(&["--yes", &there[0], &there[2]]).expect(0); // the directory has the old one, the bucket there[4]
    assert_eq!(two.objects(), [there[4].clone()]);
    fs::copy(two.folder.file(&last), two.folder.file(&there[4])).unwrap();
    let run = two.delete(&["--yes", &there[4]]).fails(Code::LastGoodSnapshot);
    assert!(run.stderr.contains("s3://"), "{run:#?}");
    assert_eq!(sizes(), (2, 1));
    two.delete(&["--yes", "--force", &there[4]]).expect(0);
    assert_eq!(sizes(), (1, 0));
    assert_eq!(two.all(), [""; 0], "no manifest is left");
}

#[test]
fn bucket_that_is_missing_or_denied_is_not_changed() {
    let two = Two::new();
    let there = two.fill("manual", 3);
    (0..3).for_each(|d| drop(two.folder.put("manual", d)));
    let cases: [(&str, String, Code); 3] = [
        ("--s3-bucket", "nowhere".into(), Code::S3BucketNotFound),
        ("--s3-region", "eu-west-1".into(), Code::S3WrongRegion),
        ("--s3-endpoint", format!("http://127.0.0.1:{}", free_port()), Code::S3Unreachable),
    ];
    for (option, value, code) in &cases {
        two.delete(&["--yes", &there[2], option, value]).fails(*code);
        two.prune(&["--keep-last", "3", option, value]).fails(*code);
    }
    two.bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    two.delete(&["--yes", &there[2]]).fails(Code::S3AccessDenied);
    // The list is allowed, the deletion is not.
    two.bucket.front.plan(&(2..9).map(|n| (n, Fault::Refuse(403, "AccessDenied"))).collect::<Vec<_>>());
    let run = two.prune(&["--keep-last", "3", "--s3-retention", "1"]).fails(Code::S3AccessDenied);
    assert!(run.stderr.contains("s3:DeleteObject"), "the hint names the permission: {run:#?}");
    assert_eq!(actions(&run).iter().filter(|(.., deleted)| *deleted == false).count(), 2);
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

    fn tool(&self, command: &str) -> Tool {
        let config = self.etcd.root.path().join("no-config.yaml");
        fs::write(&config, "node-name: server-1\n").unwrap();
        at(&self.bucket, Tool::new(command).on(&self.etcd.root)).arg("--config").arg(config).arg("--s3")
    }

    /// Saves, and returns the name.
    fn save(&self, base: &str) -> String {
        let run = self.tool("save").args(&["--name", base]).report().expect(0);
        let rows = run.rows();
        assert_eq!(rows.len(), 2, "{run:#?}");
        text(&rows[0]["name"])
    }

    /// Scheme of the location and name of each listed snapshot whose name begins with this.
    fn rows(&self, base: &str) -> Vec<(String, String)> {
        let rows = self.tool("list").report().expect(0).rows();
        let scheme = |r: &serde_json::Value| text(&r["location"]).split(':').next().unwrap().to_owned();
        let rows = rows.iter().map(|r| (scheme(r), text(&r["name"])));
        rows.filter(|(_, name)| name.starts_with(base)).collect()
    }
}

/// The scenarios of the tests of K3s: its integration test of `etcd-snapshot`, and its end-to-end test of S3.
#[test]
fn scenarios_of_the_tests_of_k3s_have_the_same_results() {
    require!(require::etcd_programs());
    let server = Server::start();
    let delete = |name: &str| server.tool("delete").args(&["--yes", "--force", name]).report();

    // save; ls shows a file URI with on-demand, the base name of K3s; delete.
    let name = server.save("on-demand");
    assert!(server.rows("on-demand").contains(&("file".to_owned(), name.clone())));
    delete(&name).expect(0);
    assert!(server.rows("on-demand").is_empty());
    // Another name; delete it. The second time there is none of that name.
    let name = server.save("ALIVEBEEF");
    assert_eq!(server.rows("ALIVEBEEF").len(), 2);
    delete(&name).expect(0);
    assert!(server.rows("ALIVEBEEF").is_empty());
    delete(&name).fails(Code::SnapshotNotFound);
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
    // Three saves with names; list all; delete one in both locations.
    let special: Vec<String> = (1..4).map(|i| server.save(&format!("special-{i}"))).collect();
    assert_eq!(rows("special"), both(&special));
    delete(&special[1]).expect(0);
    assert_eq!(rows("special"), both(&[special[0].clone(), special[2].clone()]));
    // Three saves, prune to 2: four rows, two in each location.
    let all: Vec<String> = (0..3).map(|_| server.save("manual")).collect();
    server.tool("prune").args(&["--snapshot-retention", "2"]).run().expect(0);
    assert_eq!(rows("manual"), both(&all[1..]));
    assert_eq!(rows("special").len(), 4, "what was not named is kept");
    assert_eq!(rows("PRUNE_TEST").len(), 4);
    // No manifest of a deleted snapshot is left.
    let manifests = server.bucket.keys().iter().filter(|k| k.contains("/.metadata/")).count();
    assert_eq!(manifests, 6);
}

#[test]
fn snapshot_deleted_from_the_bucket_is_not_uploaded_again() {
    require!(require::etcd_programs());
    let server = Server::start();
    server.save("before");
    let put = |s: &Seen| s.method == "PUT" && s.target.contains(".metadata");
    let at = server.bucket.front.seen().iter().position(put).unwrap();
    // Killed after the upload, before it was recorded.
    server.bucket.front.plan(&[(at, Fault::Stall)]);
    let mut run =
        server.tool("save").args(&["--name", "timer"]).env("K3S_SNAPSHOT_S3_TIMEOUT", "25s").start();
    eventually("the object is uploaded", Duration::from_secs(30), || server.bucket.front.held() > 0);
    assert!(put(&server.bucket.front.seen()[at]));
    run.process.kill();
    run.finish();
    server.bucket.front.plan(&[]);
    let first = sorted(server.etcd.root.snapshot_names()).pop().unwrap();
    let there = |name: &str| server.bucket.object(&format!("{HOME}{name}")).exists();
    assert!(there(&first));
    let save = || {
        let run = server.tool("save").args(&["--name", "timer", "--no-backlog"]).report().expect(0);
        text(&run.rows()[0]["name"])
    };
    let (second, third) = (save(), save());
    server.tool("prune").args(&["--keep-last", "9", "--s3-retention", "1"]).run().expect(0);
    assert!(!there(&first) && !there(&second) && there(&third));
    assert_eq!(server.etcd.root.snapshot_names().len(), 4, "all are kept in the directory");
    let fourth = server.save("timer");
    assert!(!there(&first) && !there(&second) && there(&fourth), "{:?}", server.bucket.keys());
    // A pending upload of a snapshot that is deleted is not made either.
    server.bucket.front.always(Fault::Refuse(403, "AccessDenied"));
    server.tool("save").args(&["--name", "timer"]).report().fails(Code::UploadFailed);
    server.bucket.front.plan(&[]);
    let pending = sorted(server.etcd.root.snapshot_names()).pop().unwrap();
    server.tool("delete").args(&["--yes", &pending]).run().expect(0);
    // The new one is uploaded, and no other; its name may be the same.
    let last = server.save("timer");
    assert!((last == pending || !there(&pending)) && !there(&first));
}

/// The id of the cluster that is installed in place of the first one.
const NEW_CLUSTER: &str = "0f9c2b6e-5c0d-4a87-9a55-6f3b7c1d2e4f";

impl Server {
    /// From now on etcd holds another cluster: the server is lost, and K3s was installed again with the same name and the same
    /// configuration.
    fn becomes(&self, cluster: &str) {
        let namespace = object("Namespace", "", "kube-system", cluster, "");
        self.etcd
            .client(async |client| client.put("/registry/namespaces/kube-system", namespace, None).await);
    }

    /// What a prune to this many removes: scheme of the location and name.
    fn pruned(&self, keep: &str) -> Vec<(String, String)> {
        removed(&self.tool("prune").args(&["--name", "timer", "--keep-last", keep]).report().expect(0))
    }
}

#[test]
fn twelve_snapshots_of_two_clusters_with_the_same_names_are_pruned_by_their_own_cluster_alone() {
    require!(require::etcd_programs());
    let mut server = Server::start();
    let mut of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // The lost cluster has six snapshots; then the new one saves, and prunes after each save.
    for _ in 0..6 {
        of.entry(CLUSTER_UID).or_default().push(server.save("timer"));
    }
    server.becomes(NEW_CLUSTER);
    let is_kept = |server: &Server, names: &[String]| {
        let rows = server.rows("timer");
        for scheme in ["file", "s3"] {
            for name in names {
                assert!(rows.contains(&(scheme.to_owned(), name.clone())), "{scheme} {name}: {rows:?}");
            }
        }
    };
    for n in 0..6 {
        of.entry(NEW_CLUSTER).or_default().push(server.save("timer"));
        if n < 3 {
            assert!(server.pruned("6").is_empty(), "{n}");
        }
    }
    let (lost, new) = (of[CLUSTER_UID].clone(), of[NEW_CLUSTER].clone());
    is_kept(&server, &[lost.clone(), new.clone()].concat());
    // K3s writes the cluster into the metadata of its objects: without our manifests it is still known.
    for key in server.bucket.keys().iter().filter(|k| k.contains(".metadata/") && k.contains(&lost[0])) {
        fs::remove_file(server.bucket.object(key)).unwrap();
    }
    let removed = server.pruned("1");
    assert_eq!(removed.len(), 10, "five of the new cluster in each location: {removed:?}");
    assert!(removed.iter().all(|(_, name)| new.contains(name)), "{removed:?}");
    is_kept(&server, &lost);
    is_kept(&server, &new[5..]);
    // Without etcd the last save tells the cluster.
    server.etcd.stop();
    assert!(server.pruned("1").is_empty());
    is_kept(&server, &lost);
    server.etcd.restart();
    // The lost cluster is back: it prunes its own snapshots.
    server.becomes(CLUSTER_UID);
    let removed = server.pruned("1");
    assert_eq!(removed.len(), 10, "{removed:?}");
    assert!(removed.iter().all(|(_, name)| lost.contains(name)), "{removed:?}");
    is_kept(&server, &[lost[5].clone(), new[5].clone()]);
}
