// SPDX-License-Identifier: Apache-2.0
//! The content of a database, seen in three ways that must agree: a model, its file in any layout, and a real etcd that runs on
//! it. `LONG=1` tries many more databases.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k3s_snapshot::error::{Code, code_of};
use k3s_snapshot::host::FileAt;
use k3s_snapshot::inspect::{self, Comparison, Content, Sample, TRAILER, open_offline, read_content};
use k3s_snapshot::io::ReadAt;
use k3s_snapshot::source::DatastoreProbe;
use k3s_snapshot::source::etcd::EtcdStream;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use sha2::{Digest, Sha256};

use crate::bolt_writer::{Bucket, Shape, database, etcd as synthetic, field, record, revision, tombstone};
use crate::support::cluster::Cluster;
use crate::support::etcd::Etcd;
use crate::support::k3s_root::{K3sRoot, Layout};
use crate::support::ports::{Ports, free_port};
use crate::support::proxy::{Mode, Proxy};
use crate::support::require::{self, require};
use crate::support::{ctl, eventually};

fn content_of_bytes(db: &[u8], max_revision: Option<i64>) -> Content {
    read_content(&db, db.len() as u64, max_revision).unwrap().unwrap()
}

// --- Against a model

/// A change of one of a few keys: a new value, or a deletion.
#[derive(Debug, Clone)]
struct Change {
    key: u8,
    value: Option<Vec<u8>>,
    /// Whether it is in the transaction of the change before it.
    joins: bool,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let value = proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..200));
    let change = (0..40_u8, value, proptest::bool::weighted(0.3));
    proptest::collection::vec(change.prop_map(|(key, value, joins)| Change { key, value, joins }), 1..120)
}

/// A store as etcd keeps it, and the keys that exist after each change.
#[derive(Default)]
struct Model {
    main: i64,
    sub: i64,
    live: BTreeMap<Vec<u8>, (i64, i64, i64, Vec<u8>)>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// By revision: the number of key revisions up to it, and the existing keys.
    after: BTreeMap<i64, (u64, Vec<Sample>)>,
}

impl Model {
    fn of(changes: &[Change]) -> Model {
        let mut model = Model { main: 1, ..Model::default() };
        for change in changes {
            model.change(change);
        }
        model
    }

    fn change(&mut self, change: &Change) {
        let key = format!("/registry/x/{}", change.key).into_bytes();
        (self.main, self.sub) =
            if change.joins && self.main > 1 { (self.main, self.sub + 1) } else { (self.main + 1, 0) };
        match &change.value {
            Some(value) => {
                let (created, version) = self.live.get(&key).map_or((self.main, 1), |l| (l.0, l.2 + 1));
                self.live.insert(key.clone(), (created, self.main, version, value.clone()));
                let record = record(&key, created, self.main, version, value);
                self.records.insert(revision(self.main, self.sub), record);
            }
            None => {
                self.live.remove(&key);
                self.records.insert(tombstone(self.main, self.sub), field(1, &key));
            }
        }
        let mut sample: Vec<Sample> = self
            .live
            .iter()
            .map(|(key, (_, at, _, value))| Sample {
                key: key.clone(),
                mod_revision: *at,
                value: Sha256::digest(value).into(),
            })
            .collect();
        sample.sort_by(|a, b| (a.mod_revision, &a.key).cmp(&(b.mod_revision, &b.key)));
        self.after.insert(self.main, (self.records.len() as u64, sample));
    }

    fn bucket(&self, compacted: i64, scheduled: i64) -> Bucket {
        // bbolt writes an empty bucket inline.
        let mut key = Bucket { inline: self.records.is_empty(), ..Bucket::default() };
        for (at, record) in &self.records {
            key = key.put(at, record);
        }
        let meta = Bucket::default()
            .put("finishedCompactRev", revision(compacted, 0))
            .put("scheduledCompactRev", revision(scheduled, 0));
        synthetic(0, 0).nest("key", key).nest("meta", meta)
    }

    fn database(&self, shape: &Shape) -> Vec<u8> {
        database(shape, &self.bucket(0, 0))
    }

    /// What a compaction of etcd keeps: of each key the newest record up to the revision, unless that is a deletion, and all
    /// later records.
    fn compact(&mut self, to: i64) {
        let (mut newest, mut gone) = (BTreeMap::new(), Vec::new());
        for (at, record) in &self.records {
            if i64::from_be_bytes(at[..8].try_into().unwrap()) > to {
                break;
            }
            let key = record[2..2 + usize::from(record[1])].to_vec();
            gone.extend(newest.insert(key, at.clone()));
        }
        gone.extend(newest.into_values().filter(|at| at.len() == 18));
        gone.iter().for_each(|at| drop(self.records.remove(at)));
    }
}

fn cases() -> ProptestConfig {
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    // No file of failures in the tree: a failure becomes a test with a name.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if long { 5000 } else { 60 }) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn content_at_every_revision_equals_the_model_in_any_layout(
        changes in changes(), per_page in 2..30_usize, large in any::<bool>(), pick in any::<usize>(),
    ) {
        let model = Model::of(&changes);
        let plain = model.database(&Shape::default());
        let page_size = if large { 16384 } else { 4096 };
        let other = model.database(&Shape { page_size, per_page, hole_every: 2, swapped: true, ..Shape::default() });
        for (at, (key_revisions, live)) in &model.after {
            let found = content_of_bytes(&plain, Some(*at));
            prop_assert_eq!((found.key_revisions, found.live_keys), (*key_revisions, live.len() as u64));
            prop_assert_eq!(found.revision, *at);
            prop_assert_eq!(&found.sample, live);
        }
        let all = content_of_bytes(&plain, None);
        let same = content_of_bytes(&other, None);
        prop_assert_eq!((all.digest, all.state_digest, &all.sample), (same.digest, same.state_digest, &same.sample));
        prop_assert_eq!(all.compare(&same), Comparison::Equal);

        // The same store after more writes.
        let max = *model.after.keys().nth(pick % model.after.len()).unwrap();
        let first: Vec<Change> = changes[..model.after[&max].0 as usize].to_vec();
        let early = content_of_bytes(&Model::of(&first).database(&Shape::default()), None);
        let late = content_of_bytes(&other, Some(max));
        prop_assert_eq!(
            (early.digest, early.state_digest, early.live_keys),
            (late.digest, late.state_digest, late.live_keys)
        );
        prop_assert_eq!(early.compare(&late), Comparison::Equal);
    }

    #[test]
    fn any_record_that_differs_is_found(changes in changes(), pick in any::<usize>(), byte in any::<usize>()) {
        let model = Model::of(&changes);
        let whole = content_of_bytes(&model.database(&Shape::default()), None);
        let at = model.records.keys().nth(pick % model.records.len()).unwrap().clone();

        let mut less = Model::of(&changes);
        less.records.remove(&at);
        if let Ok(less) = content_of(&less.bucket(0, 0)) {
            prop_assert!(less.digest != whole.digest && less.compare(&whole) != Comparison::Equal);
        }
        let mut other = Model::of(&changes);
        let record = other.records.get_mut(&at).unwrap();
        let byte = byte % record.len();
        record[byte] ^= 1;
        // Some such changes make the record malformed.
        if let Ok(other) = content_of(&other.bucket(0, 0)) {
            prop_assert!(other.digest != whole.digest);
            prop_assert!(matches!(whole.compare(&other), Comparison::Differs(_)));
        }
    }

    #[test]
    fn compaction_removes_history_and_keeps_existing_keys(changes in changes(), to in any::<usize>(), max in any::<usize>()) {
        let model = Model::of(&changes);
        let revisions: Vec<i64> = model.after.keys().copied().collect();
        let (to, max) = (revisions[to % revisions.len()], revisions[max % revisions.len()]);
        let snapshot = content_of_bytes(&model.database(&Shape::default()), Some(max));
        let mut compacted = Model::of(&changes);
        compacted.compact(to);
        let db = database(&Shape::default(), &compacted.bucket(to, to));
        let restored = content_of_bytes(&db, Some(max));
        prop_assert_eq!(restored.compacted, to);
        let unchanged = restored.digest == snapshot.digest;
        let wanted = if to <= max || unchanged { Comparison::Equal } else { Comparison::Compacted };
        prop_assert_eq!(snapshot.compare(&restored), wanted);
        // The snapshot was saved during the compaction, which etcd continued after the restore.
        let during = content_of(&model.bucket(0, to)).unwrap();
        prop_assert_eq!(during.compacted, to);
        let after = content_of(&compacted.bucket(to, to)).unwrap();
        prop_assert_eq!(during.compare(&after), Comparison::Equal);
    }
}

fn content_of(bucket: &Bucket) -> Result<Content, Vec<inspect::Finding>> {
    let db = database(&Shape::default(), bucket);
    read_content(&&db[..], db.len() as u64, None).unwrap()
}

#[test]
fn every_byte_of_huge_values_is_hashed() {
    let value = |flip: usize| {
        let mut value: Vec<u8> = (0..1_400_000_u32).map(|i| (i % 251) as u8).collect();
        value[flip] ^= 1;
        value
    };
    let with = |flip: usize| {
        let record = record(b"/bootstrap/0123456789ab", 2, 2, 1, &value(flip));
        content_of(&synthetic(3, 10).nest("key", Bucket::default().put(revision(2, 0), record))).unwrap()
    };
    let first = with(0);
    assert_eq!(first.sample[0].value, <[u8; 32]>::from(Sha256::digest(value(0))));
    assert_eq!(first.bootstrap[0].value, value(0));
    for flip in [1, 65_535, 65_536, 700_000, 1_399_999] {
        assert_ne!(with(flip).digest, first.digest, "{flip}");
    }
}

#[test]
fn nodes_and_bootstrap_data_are_those_of_the_requested_revision() {
    let node = |version: &str| format!(r#"{{"status":{{"nodeInfo":{{"kubeletVersion":"{version}"}}}}}}"#);
    let (a, b, bootstrap) = (b"/registry/minions/a", b"/registry/minions/b", b"/bootstrap/0123456789ab");
    let key = Bucket::default()
        .put(revision(2, 0), record(a, 2, 2, 1, node("v1.29.1+k3s1").as_bytes()))
        .put(revision(3, 0), record(bootstrap, 3, 3, 1, b"salt:one"))
        .put(revision(4, 0), record(b, 4, 4, 1, b"k8s:enc:aescbc:v1:x"))
        .put(revision(4, 1), record(b"/bootstrap/0123456789ab/x", 4, 4, 1, b""))
        .put(revision(4, 2), record(b"/bootstrap/0123456789AB", 4, 4, 1, b""))
        .put(revision(5, 0), record(a, 2, 5, 2, node("v1.30.4+k3s1").as_bytes()))
        .put(revision(5, 1), record(bootstrap, 3, 5, 2, b"salt:two"))
        .put(revision(6, 0), record(b"/bootstrap/ffffffffffff", 6, 6, 1, b"salt:new"))
        .put(tombstone(7, 0), field(1, b))
        .put(tombstone(7, 1), field(1, bootstrap));
    let db = database(&Shape::default(), &synthetic(0, 0).nest("key", key));
    let at = |max_revision: Option<i64>| {
        let found = content_of_bytes(&db, max_revision);
        let nodes = found.nodes.iter().map(|n| format!("{}={}", n.name, n.version.as_deref().unwrap_or("?")));
        let bootstrap =
            found.bootstrap.iter().map(|b| format!("{}={}", b.hash, String::from_utf8_lossy(&b.value)));
        nodes.chain(bootstrap).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(at(Some(2)), "a=v1.29.1+k3s1");
    assert_eq!(at(Some(4)), "a=v1.29.1+k3s1 b=? 0123456789ab=salt:one");
    assert_eq!(at(Some(6)), "a=v1.30.4+k3s1 b=? 0123456789ab=salt:two ffffffffffff=salt:new");
    assert_eq!(at(None), "a=v1.30.4+k3s1 ffffffffffff=salt:new");
}

// --- Against a real etcd

fn content_of_snapshot(file: &Path) -> Content {
    let data = FileAt::new(File::open(file).unwrap()).unwrap();
    read_content(&data, data.size() - TRAILER, None).unwrap().unwrap()
}

/// The database of a stopped etcd, read in place.
fn content_of_stopped(root: &K3sRoot, max_revision: Option<i64>) -> Content {
    let file = root.server().join("db/etcd/member/snap/db");
    let data = FileAt::new(File::open(file).unwrap()).unwrap();
    let (data, db_len) = open_offline(data).unwrap().unwrap();
    assert!(inspect::verify(&data, db_len).unwrap().is_clean());
    read_content(&data, db_len, max_revision).unwrap().unwrap()
}

fn source(etcd: &Etcd) -> EtcdStream {
    let certs = etcd.root.certs();
    EtcdStream {
        unit: "k3s.service".to_owned(),
        endpoints: vec![etcd.endpoint()],
        cacert: certs.ca(),
        cert: certs.file("client.crt"),
        key: certs.file("client.key"),
        rate_limit: None,
        stall: Duration::from_secs(5),
    }
}

/// A store with history: keys that were written twice, and some that were deleted.
fn fill(etcd: &Etcd) {
    etcd.bootstrap("labtoken");
    etcd.fill(600, 2000);
    etcd.fill(300, 500);
    etcd.client(async |c| {
        for i in 0..50 {
            c.delete(format!("/registry/pods/ns-{:02}/pod-{i:07}", i % 20), None).await?;
        }
        Ok(())
    });
}

#[test]
fn a_snapshot_its_restored_database_and_the_etcd_on_it_have_equal_content() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    fill(&etcd);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot");
    etcd.snapshot_save(&file);
    let snapshot = content_of_snapshot(&file);
    let (revision, live) = (snapshot.revision, snapshot.live_keys);
    assert_eq!((live, snapshot.sample.len(), snapshot.bootstrap.len()), (552, 200, 1));

    // The etcd that it was saved from, before and after more writes.
    let probe = source(&etcd);
    assert_eq!(probe.holds(revision, live, &snapshot.sample).unwrap(), Comparison::Equal);
    etcd.fill(700, 100);
    assert_eq!(probe.holds(revision, live, &snapshot.sample).unwrap(), Comparison::Equal);
    etcd.stop();
    let later = content_of_stopped(&etcd.root, Some(revision));
    assert_eq!((later.digest, later.key_revisions), (snapshot.digest, snapshot.key_revisions));
    assert_eq!(snapshot.compare(&later), Comparison::Equal);
    let whole = content_of_stopped(&etcd.root, None);
    assert!(matches!(snapshot.compare(&whole), Comparison::Differs(_)));
    assert_eq!(whole.facts.members.len(), 1);
    assert_eq!(whole.facts.members[0].name, etcd.root.member_name());

    // After a reset: a new cluster of one member on the restored database, which then writes more.
    let mut reset = Etcd::prepare(&Layout::default().etcd_arg("force-new-cluster", "true"), Ports::free());
    ctl::snapshot_restore(&file, &dir.path().join("data")).unwrap();
    std::fs::rename(dir.path().join("data/member"), reset.root.server().join("db/etcd/member")).unwrap();
    let untouched = content_of_stopped(&reset.root, Some(revision));
    assert_eq!(snapshot.compare(&untouched), Comparison::Equal);
    reset.restart();
    let probe = source(&reset);
    assert_eq!(probe.holds(revision, live, &snapshot.sample).unwrap(), Comparison::Equal);
    let status = probe.look().unwrap();
    assert_eq!((status.revision, status.members.len(), status.has_leader()), (revision, 1, true));
    assert_ne!(status.member_id, whole.facts.members[0].id);
    reset.fill(10, 100);
    // As K3s does at the end of a reset: the file is rewritten.
    assert!(reset.ctl(&["defrag"]).status.success());
    reset.stop();
    assert_eq!(snapshot.compare(&content_of_stopped(&reset.root, Some(revision))), Comparison::Equal);

    // Another database than that of the snapshot.
    reset.restart();
    let differs = |compared: Comparison| assert!(matches!(compared, Comparison::Differs(_)), "{compared:?}");
    differs(probe.holds(revision, live + 1, &snapshot.sample).unwrap());
    differs(probe.holds(revision + 1_000_000, live, &snapshot.sample).unwrap());
    let changed = |change: &dyn Fn(&mut Sample)| {
        let mut sample = snapshot.sample.clone();
        change(&mut sample[150]);
        probe.holds(revision, live, &sample).unwrap()
    };
    differs(changed(&|s| s.value[31] ^= 1));
    differs(changed(&|s| s.mod_revision -= 1));
    differs(changed(&|s| s.key.push(b'x')));

    // A compaction removes history and keeps existing keys, until the revision itself is compacted.
    reset.compact(revision);
    assert_eq!(probe.holds(revision, live, &snapshot.sample).unwrap(), Comparison::Equal);
    reset.stop();
    let compacted = content_of_stopped(&reset.root, Some(revision));
    assert!(compacted.key_revisions < snapshot.key_revisions && compacted.compacted == revision);
    assert_eq!(snapshot.compare(&compacted), Comparison::Equal);
    reset.restart();
    reset.compact(revision + 1);
    assert_eq!(probe.holds(revision, live, &snapshot.sample).unwrap(), Comparison::Compacted);
    reset.stop();
    assert_eq!(snapshot.compare(&content_of_stopped(&reset.root, Some(revision))), Comparison::Compacted);
}

#[test]
fn the_status_of_a_cluster_is_read_from_one_member_at_any_state_of_the_others() {
    require!(require::etcd_programs());
    let mut cluster = Cluster::start();
    let probe = source(cluster.member(0));
    let status = probe.look().unwrap();
    assert_eq!((status.members.len(), status.has_leader(), status.alarms.len()), (3, true, 0));
    assert_eq!(status.member_id, cluster.member(0).member_id());
    assert!(status.version.starts_with("3.") && status.db_size > 0);
    assert!(status.members.iter().all(|m| !m.learner && m.name.starts_with("server-")));
    let learner = cluster.add_learner();
    let name = cluster.member(learner).root.member_name();
    let found = probe.look().unwrap().members.into_iter().find(|m| m.name == name).unwrap();
    assert!(found.learner && found.client_urls == [cluster.member(learner).endpoint()]);
    // A learner has a status too.
    let status = source(cluster.member(learner)).look().unwrap();
    assert!(status.learner && status.member_id == found.id && status.members.is_empty());

    // Reachable: members at both of their ports, and any other etcd. Not reachable: stopped members, silent and closed ports.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = |port: u16| format!("https://127.0.0.1:{port}");
    let cutting = Proxy::to(cluster.member(0).root.ports.client, Mode::Cut);
    let foreign = Etcd::start();
    let dead = cluster.member(2).endpoint();
    cluster.kill(2);
    let wanted = [
        (cluster.member(1).endpoint(), true),
        (url(cluster.member(1).root.ports.peer), true),
        (format!("http://127.0.0.1:{}", cluster.member(1).root.ports.client), true),
        (foreign.endpoint(), true),
        (dead, false),
        (url(free_port()), false),
        (url(silent.local_addr().unwrap().port()), false),
        (url(cutting.port()), false),
        ("https://name.invalid:2379".to_owned(), false),
        ("no url".to_owned(), false),
    ];
    let urls: Vec<String> = wanted.iter().map(|(url, _)| url.clone()).collect();
    let before = Instant::now();
    assert_eq!(probe.answers(&urls), wanted);
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    // Without certificates a listening port counts as reachable.
    let bare = EtcdStream { cert: "/nowhere".into(), ..probe.clone() };
    assert!(bare.answers(&urls[..1])[0].1);

    // Without a quorum the member answers, but its content cannot be compared.
    cluster.kill(1);
    let status = probe.look().unwrap();
    assert_eq!(status.members.len(), 4);
    let e = probe.holds(status.revision, 0, &[]).unwrap_err();
    assert_eq!(code_of(&e), Code::EtcdNoQuorum);
    cluster.kill(0);
    let before = Instant::now();
    let e = probe.look().unwrap_err();
    assert_eq!(code_of(&e), Code::EtcdUnreachable);
    assert!(before.elapsed() < Duration::from_secs(2));
}

/// Gives etcd a server certificate that is valid between these times, as `YYYYMMDDHHMMSSZ`.
fn set_validity(etcd: &Etcd, start: &str, end: &str) {
    let tls = etcd.root.certs().file("");
    let script = r#"
        set -e
        cd "$1"
        d=$(mktemp -d)
        mkdir "$d/new"
        : > "$d/index"
        echo 1000 > "$d/serial"
        cat > "$d/cnf" <<END
[ca]
default_ca = own
[own]
new_certs_dir = $d/new
database = $d/index
serial = $d/serial
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = subject
[subject]
END
        openssl req -new -config "$d/cnf" -key server-client.key -subj /CN=etcd-server \
            -addext "subjectAltName = DNS:localhost, IP:127.0.0.1" -addext "extendedKeyUsage = serverAuth, clientAuth" \
            -out "$d/csr"
        openssl ca -batch -notext -config "$d/cnf" -cert server-ca.crt -keyfile server-ca.key \
            -startdate "$2" -enddate "$3" -in "$d/csr" -out server-client.crt
        cat server-ca.crt >> server-client.crt
        rm -r "$d"
    "#;
    let out = Command::new("sh").args(["-c", script, "sh"]).arg(tls).args([start, end]).output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn a_certificate_of_etcd_that_is_not_valid_now_has_its_own_code() {
    require!(require::etcd_programs());
    for (start, end) in [("20200101000000Z", "20210101000000Z"), ("20900101000000Z", "20910101000000Z")] {
        let mut etcd = Etcd::prepare(&Layout::default(), Ports::free());
        set_validity(&etcd, start, end);
        assert!(etcd.launch(&etcd.root.etcd_config()));
        let mut e = source(&etcd).look().unwrap_err();
        // The client port is open a moment after that of the peers.
        eventually("etcd answers", Duration::from_secs(20), || {
            e = source(&etcd).look().unwrap_err();
            code_of(&e) != Code::EtcdUnreachable
        });
        assert_eq!(code_of(&e), Code::EtcdCertificateExpired, "{e:#}");
    }
}

/// A server that is stopped during a request.
#[test]
fn a_connection_that_is_closed_during_a_request_is_reported_without_the_text_of_a_library() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Forward);
    let probe =
        EtcdStream { endpoints: vec![format!("https://127.0.0.1:{}", proxy.port())], ..source(&etcd) };
    probe.look().unwrap();
    let whole = proxy.from_server();
    let mut broken = 0;
    // Cut at many points of the answers: during the handshake, before an answer, within one.
    for bytes in (0..whole).step_by(usize::try_from(whole / 40 + 1).unwrap()) {
        proxy.set(Mode::CutAfter(bytes));
        if let Err(e) = probe.look() {
            let text = format!("{e:#}");
            assert!(
                !["http", "://docs", "Error", "{", "hyper", "h2", "grpc"]
                    .iter()
                    .any(|t| text.replace(&probe.endpoints[0], "").contains(t)),
                "{text}"
            );
            assert!(matches!(code_of(&e), Code::EtcdConnectionBroken | Code::EtcdNoAnswer), "{text}");
            broken += u32::from(code_of(&e) == Code::EtcdConnectionBroken);
        }
    }
    assert!(broken > 5, "{broken}");
}
