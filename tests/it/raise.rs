// SPDX-License-Identifier: Apache-2.0
//! Raising the revision of a database of an etcd that does not run: files of every layout, interruptions, corrupt files,
//! and a real etcd. `LONG=1` tries many more files.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use etcd_client::{GetOptions, WatchOptions};
use k3s_snapshot::error::{Code, Kind, code_of, kind_of};
use k3s_snapshot::etcd_files::{Commit, PageWrite, Raised, plan_raise, raise_revision};
use k3s_snapshot::host::FileAt;
use k3s_snapshot::inspect::{self, Comparison, Facts, TRAILER, open_offline, read_content};
use k3s_snapshot::io::ReadAt;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use crate::bolt_reader::{self, Dump, dump};
use crate::bolt_writer::{Bucket, Shape, checksum, database, etcd as synthetic, record, revision};
use crate::support::etcd::Etcd;
use crate::support::objects::filler;
use crate::support::require::{self, require};

// --- Files of every layout

/// A database.
#[derive(Debug, Clone)]
struct Case {
    page_size: usize,
    per_page: usize,
    txid: u64,
    swapped: bool,
    hole_every: usize,
    freelist: bool,
    spare: bool,
    /// The sizes of the values in the bucket `key`, in order.
    values: Vec<usize>,
    /// The number of further keys of the bucket `meta`, and whether the bucket is inlined.
    meta_keys: usize,
    meta_inline: bool,
    key_inline: bool,
    sequence: u64,
    /// Bytes in the file after the last page in use.
    behind: usize,
    step: i64,
}

fn cases() -> impl Strategy<Value = Case> {
    let size = prop_oneof![
        20 => 0..300_usize,
        4 => 300..9000_usize,
        1 => Just(200_000),
        1 => Just(3 << 20),
    ];
    let layout = (
        prop_oneof![6 => Just(4096_usize), 1 => Just(8192), 2 => Just(16384), 1 => Just(65536)],
        prop_oneof![2 => 2..9_usize, 2 => 9..300_usize, 1 => Just(1000)],
        2..3000_u64,
        any::<bool>(),
        0..6_usize,
        any::<bool>(),
        any::<bool>(),
    );
    let content = (
        proptest::collection::vec(size, 0..80),
        prop_oneof![3 => 0..8_usize, 1 => 8..500_usize],
        any::<bool>(),
        any::<bool>(),
        any::<u64>(),
        prop_oneof![2 => Just(0_usize), 1 => 1..70_000_usize, 1 => Just(1 << 20)],
        prop_oneof![2 => 1..1000_i64, 3 => Just(1_000_000_000_i64), 1 => Just(i64::MAX - 1_000_000)],
    );
    (layout, content).prop_map(|(l, c)| Case {
        page_size: l.0,
        per_page: l.1,
        txid: l.2,
        swapped: l.3,
        hole_every: l.4,
        freelist: l.5,
        spare: l.6,
        key_inline: c.3 && c.0.iter().sum::<usize>() < 500,
        values: c.0,
        meta_keys: c.1,
        meta_inline: c.2 && c.1 < 8,
        sequence: c.4,
        behind: c.5,
        step: c.6,
    })
}

impl Case {
    fn file(&self) -> Vec<u8> {
        let mut key = Bucket { inline: self.key_inline || self.values.is_empty(), ..Bucket::default() };
        for (i, size) in self.values.iter().enumerate() {
            let main = 2 + 2 * i as i64;
            let value: Vec<u8> = (0..*size).map(|b| (b * 31 + i) as u8).collect();
            key = key.put(revision(main, 0), record(format!("/k/{}", i % 9).as_bytes(), 2, main, 1, &value));
        }
        let mut meta = Bucket { inline: self.meta_inline, ..Bucket::default() }
            .put("consistent_index", 4711_u64.to_be_bytes())
            .put("term", 2_u64.to_be_bytes());
        for i in 0..self.meta_keys {
            meta = meta.put(format!("other-{i:04}"), filler(i as u64, i % 90));
        }
        (key.sequence, meta.sequence) = (self.sequence, self.sequence ^ 1);
        let root = synthetic(0, 0)
            .nest("key", key)
            .nest("meta", meta)
            .nest("zz", Bucket::default().put("a", "b").nest("c", Bucket::default().put("d", "e")));
        let shape = Shape {
            page_size: self.page_size,
            per_page: self.per_page,
            txid: self.txid,
            swapped: self.swapped,
            hole_every: self.hole_every,
            freelist: self.freelist,
            spare: self.spare,
        };
        let mut file = database(&shape, &root);
        file.extend(std::iter::repeat_n(0xEE, self.behind));
        file
    }
}

fn config() -> ProptestConfig {
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if long { 3000 } else { 50 }) }
}

fn write(file: &mut Vec<u8>, write: &PageWrite) {
    let (from, to) = (write.offset as usize, write.offset as usize + write.bytes.len());
    file.resize(file.len().max(to), 0);
    file[from..to].copy_from_slice(&write.bytes);
}

fn applied(file: &[u8], commit: &Commit) -> Vec<u8> {
    let mut file = file.to_vec();
    commit.pages.iter().for_each(|page| write(&mut file, page));
    write(&mut file, &commit.meta);
    file
}

/// The facts of a file. Both the file as it is and its copy by bbolt must be clean.
fn verified(file: &[u8]) -> Facts {
    let (db, len) = open_offline(file).unwrap().unwrap();
    let result = inspect::verify(&db, len).unwrap();
    assert!(result.is_clean(), "{:?}", result.findings);
    let raw = inspect::verify(&file, len).unwrap();
    assert!(raw.is_clean(), "{:?}", raw.findings);
    // etcd counts an empty store as revision 1.
    Facts { revision: result.facts.revision.max(1), ..result.facts }
}

/// The expected content after a raise.
fn wanted(before: &Dump, raised: Raised) -> Dump {
    let mut after = before.clone();
    let name = format!("k3s-snapshot/revision-raised/{}", raised.to);
    let entry = record(name.as_bytes(), raised.to, raised.to, 1, format!("from {}", raised.from).as_bytes());
    after.values.insert(vec![b"key".to_vec(), revision(raised.to, 0)], entry);
    after.values.insert(vec![b"meta".to_vec(), b"scheduledCompactRev".to_vec()], revision(raised.to, 0));
    after
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_raised_database_is_clean_and_has_its_content_and_the_new_record(case in cases()) {
        let file = case.file();
        let (old, before) = (verified(&file), dump(&file));
        let target = old.revision + case.step;
        let plan = plan_raise(&&file[..], target).unwrap();
        prop_assert_eq!(plan.raised, Raised { from: old.revision, to: target });
        let commit = plan.commit.unwrap();
        let raised = applied(&file, &commit);
        let facts = verified(&raised);
        prop_assert_eq!((facts.revision, facts.key_revisions), (target, old.key_revisions + 1));
        prop_assert_eq!(&facts.members, &old.members);
        prop_assert_eq!(dump(&raised), wanted(&before, plan.raised));

        // Only the other meta page and a few pages after the last one in use are written.
        let (a, b) = (bolt_reader::meta(&file).unwrap(), bolt_reader::meta(&raised).unwrap());
        prop_assert_eq!(commit.meta.offset, ((1 - a.slot) * a.page_size) as u64);
        prop_assert_eq!((b.slot, b.page_size, b.freelist), (1 - a.slot, a.page_size, u64::MAX));
        prop_assert!(b.txid > a.txid && b.txid % 2 == b.slot as u64);
        let mut next = a.pages * a.page_size as u64;
        for page in &commit.pages {
            prop_assert_eq!(page.offset, next);
            next += page.bytes.len() as u64;
        }
        prop_assert_eq!(next, b.pages * b.page_size as u64);
        prop_assert!(commit.pages.iter().all(|p| p.bytes.len() <= (64 << 10) + a.page_size), "a large page was copied");
        prop_assert!(commit.pages.len() < 40, "{} pages", commit.pages.len());

        // A restore compares the content up to the old revision.
        let (db, len) = open_offline(&raised[..]).unwrap().unwrap();
        let (was, was_len) = open_offline(&file[..]).unwrap().unwrap();
        let was = read_content(&was, was_len, None).unwrap().unwrap();
        let now = read_content(&db, len, Some(was.revision)).unwrap().unwrap();
        prop_assert_eq!(was.compare(&now), Comparison::Equal);
        prop_assert_eq!((was.digest, was.live_keys, was.state_digest), (now.digest, now.live_keys, now.state_digest));

        // A second raise: nothing to do for the same target, one more record for another one.
        let again = plan_raise(&&raised[..], target).unwrap();
        prop_assert_eq!((again.raised, again.commit), (plan.raised, None));
        let more = plan_raise(&&raised[..], target + 7).unwrap();
        let twice = applied(&raised, &more.commit.unwrap());
        verified(&twice);
        prop_assert_eq!(dump(&twice), wanted(&dump(&raised), Raised { from: target, to: target + 7 }));
    }

    #[test]
    fn an_interrupted_raise_leaves_the_old_database_or_the_new_one(case in cases(), cut in any::<u64>()) {
        let file = case.file();
        let before = dump(&file);
        let target = verified(&file).revision + case.step;
        let plan = plan_raise(&&file[..], target).unwrap();
        let commit = plan.commit.unwrap();
        // Before the first sync, any part of any page can be on the disk.
        let mut pages = file.clone();
        for (i, page) in commit.pages.iter().enumerate() {
            let part = match cut >> (i % 32 * 2) & 3 {
                0 => 0,
                1 => page.bytes.len() / 512 / 2 * 512,
                _ => page.bytes.len(),
            };
            write(&mut pages, &PageWrite { offset: page.offset, bytes: page.bytes[..part].to_vec() });
        }
        prop_assert_eq!(&dump(&pages), &before);
        prop_assert_eq!(plan_raise(&&pages[..], target).unwrap().raised, plan.raised);
        verified(&pages);
        // After the first sync, any part of the meta page can be on the disk.
        let all = Commit { meta: PageWrite { offset: 0, bytes: Vec::new() }, ..commit.clone() };
        let after = wanted(&before, plan.raised);
        for part in 0..=80 {
            let bytes = commit.meta.bytes[..part].to_vec();
            let torn = applied(&file, &Commit { meta: PageWrite { bytes, ..commit.meta.clone() }, ..all.clone() });
            let found = dump(&torn);
            prop_assert!(found == before || found == after, "{part} bytes");
            prop_assert!(part < 80 || found == after);
        }
    }
}

#[test]
fn a_target_not_above_the_current_revision_is_refused() {
    let file = database(&Shape::default(), &synthetic(30, 40));
    let revision = verified(&file).revision;
    for target in [revision, revision - 1, 0, -5, i64::MIN] {
        let e = plan_raise(&&file[..], target).unwrap_err();
        assert_eq!((code_of(&e), kind_of(&e)), (Code::Unexpected, Kind::Refused), "{target}");
    }
    // The compacted revision counts too, if it is higher than the revisions of all records.
    let meta = Bucket::inline().put("scheduledCompactRev", self::revision(900, 0));
    let file = database(&Shape::default(), &synthetic(30, 40).nest("meta", meta));
    assert!(plan_raise(&&file[..], 900).is_err());
    assert_eq!(plan_raise(&&file[..], 901).unwrap().raised, Raised { from: 900, to: 901 });
}

#[test]
fn a_file_that_is_not_an_etcd_database_is_refused() {
    let shape = Shape::default();
    let key = || Bucket::default().put(revision(2, 0), record(b"k", 2, 2, 1, b"v"));
    let nested = Bucket::default().nest("scheduledCompactRev", Bucket::inline().put("a", "b"));
    let rows = [
        ("no bucket key", Bucket::default().nest("meta", Bucket::inline())),
        ("no bucket meta", Bucket::default().nest("key", key())),
        ("a value for a bucket", Bucket::default().nest("key", key()).put("meta", "x")),
        ("a bucket for a value", Bucket::default().nest("key", key()).nest("meta", nested)),
    ];
    for (name, root) in rows {
        let e = plan_raise(&&database(&shape, &root)[..], 100).unwrap_err();
        assert_eq!(code_of(&e), Code::DatabaseCorrupt, "{name}: {e:#}");
    }
    for rubbish in [&b""[..], &[0; 100], &[0; 70_000]] {
        assert!(plan_raise(&rubbish, 100).is_err());
    }
}

/// Changes any byte, and any number of a meta page together with the checksum. No page in use is written to.
#[test]
fn a_corrupt_database_gives_an_error_and_no_panic() {
    let shape = Shape { per_page: 6, freelist: true, ..Shape::default() };
    let file = database(&shape, &synthetic(120, 60));
    let (mut refused, mut planned) = (0, 0);
    let mut attempt = |file: &[u8], what: &str| match plan_raise(&file, 1_000_000) {
        Ok(plan) => {
            planned += 1;
            let meta = bolt_reader::meta(file).unwrap();
            let end = meta.pages * meta.page_size as u64;
            let commit = plan.commit.unwrap();
            assert!(commit.pages.iter().all(|page| page.offset >= end), "{what}");
            assert!(commit.pages.iter().map(|page| page.bytes.len()).sum::<usize>() < 4 << 20, "{what}");
        }
        Err(_) => refused += 1,
    };
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    for at in (0..file.len()).step_by(if long { 1 } else { 7 }) {
        for change in [0x01, 0x80, 0xFF] {
            let mut damaged = file.clone();
            damaged[at] ^= change;
            attempt(&damaged, &format!("byte {at} ^ {change}"));
        }
    }
    for at in (16..72).step_by(4) {
        for number in [0, 1, 2, 3, 7, 40, 0xFFFF, 0x7FFF_FFFF, u32::MAX] {
            let mut damaged = file.clone();
            damaged[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
            let sum = checksum(&damaged[16..72]);
            damaged[72..80].copy_from_slice(&sum.to_le_bytes());
            attempt(&damaged, &format!("meta {at} = {number}"));
        }
    }
    for len in (0..file.len()).step_by(1023) {
        attempt(&file[..len], &format!("{len} bytes"));
    }
    assert!(refused > 300 && planned > 300, "{refused} {planned}");
}

/// A page that is its own child, and a page with overlapping elements, take little time and memory.
#[test]
fn a_hostile_tree_is_refused() {
    let shape = Shape { per_page: 4, hole_every: 0, ..Shape::default() };
    let file = database(&shape, &synthetic(60, 60));
    let branches: Vec<usize> =
        (2..file.len() / 4096).map(|p| p * 4096).filter(|at| file[at + 8] == 1).collect();
    assert!(branches.len() > 3);
    for at in branches {
        let mut circle = file.clone();
        let count = usize::from(circle[at + 10]);
        for i in 0..count {
            circle[at + 24 + 16 * i..at + 32 + 16 * i].copy_from_slice(&(at as u64 / 4096).to_le_bytes());
        }
        // The page may be outside of the path of the change.
        if let Err(e) = plan_raise(&&circle[..], 1_000_000) {
            assert_eq!(code_of(&e), Code::DatabaseCorrupt, "{e:#}");
        }
    }
    // 65,535 elements in the root bucket.
    let mut huge = database(&Shape { hole_every: 0, ..Shape::default() }, &synthetic(60, 60));
    let root = bolt_reader::meta(&huge).unwrap().root as usize * 4096;
    let len = huge.len() - root;
    huge[root + 10..root + 12].copy_from_slice(&u16::MAX.to_le_bytes());
    huge[root + 12..root + 16].copy_from_slice(&((len / 4096 - 1) as u32).to_le_bytes());
    assert!(plan_raise(&&huge[..], 1_000_000).is_err());
}

#[test]
fn a_database_that_is_open_is_refused_and_a_second_call_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    std::fs::write(&path, database(&Shape::default(), &synthetic(60, 60))).unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let other = open();
    other.try_lock().unwrap();
    let e = raise_revision(&open(), 5000).unwrap_err();
    assert_eq!(code_of(&e), Code::DatabaseInUse);
    drop(other);
    let raised = raise_revision(&open(), 5000).unwrap();
    let written = std::fs::read(&path).unwrap();
    assert_eq!(verified(&written).revision, 5000);
    let file = open();
    assert_eq!(raise_revision(&file, 5000).unwrap(), raised);
    assert_eq!(std::fs::read(&path).unwrap(), written);
    assert!(raise_revision(&file, 4999).is_err());
    // The lock is released although the file is open.
    open().try_lock().unwrap();
}

// --- A real etcd

fn db_path(etcd: &Etcd) -> PathBuf {
    etcd.root.server().join("db/etcd/member/snap/db")
}

/// Raises the revision of a stopped etcd.
fn raise(etcd: &Etcd, target: i64) -> Raised {
    let file = OpenOptions::new().read(true).write(true).open(db_path(etcd)).unwrap();
    raise_revision(&file, target).unwrap()
}

/// A key: name, value, create revision, mod revision, version.
type Row = (Vec<u8>, Vec<u8>, i64, i64, i64);

fn rows(etcd: &Etcd) -> Vec<Row> {
    let found = etcd.client(async |c| c.get("", Some(GetOptions::new().with_all_keys())).await);
    let row = |kv: &etcd_client::KeyValue| {
        (kv.key().to_vec(), kv.value().to_vec(), kv.create_revision(), kv.mod_revision(), kv.version())
    };
    found.kvs().iter().map(row).collect()
}

/// The compacted revision with which etcd cancels a watch from this revision; 0 if etcd does not cancel the watch.
fn watch_from(etcd: &Etcd, revision: i64) -> i64 {
    etcd.client(async |c| {
        let options = WatchOptions::new().with_all_keys().with_start_revision(revision);
        let mut stream = c.watch("", Some(options)).await?;
        let limit = std::time::Duration::from_millis(500);
        while let Ok(Ok(Some(answer))) = tokio::time::timeout(limit, stream.message()).await {
            if answer.canceled() {
                return Ok(answer.compact_revision());
            }
        }
        Ok(0)
    })
}

fn succeeds(etcd: &Etcd, args: &[&str]) -> String {
    let output = etcd.ctl(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fills the store with history, a large value, and deletions at the end.
fn fill(etcd: &Etcd) {
    etcd.bootstrap("labtoken");
    etcd.fill(700, 900);
    etcd.fill(250, 3000);
    etcd.client(async |c| {
        c.put("/large", filler(3, 1_400_000), None).await?;
        for i in 0..40 {
            c.delete(format!("/registry/pods/ns-{:02}/pod-{i:07}", i % 20), None).await?;
        }
        Ok(())
    });
}

#[test]
fn etcd_continues_at_the_raised_revision_and_cancels_older_watches() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    fill(&etcd);
    let (before, old) = (rows(&etcd), etcd.revision());
    assert_eq!(watch_from(&etcd, old - 10), 0);
    etcd.stop();
    let untouched = std::fs::read(db_path(&etcd)).unwrap();
    let target = 1_000_000_000 + old;
    assert_eq!(raise(&etcd, target), Raised { from: old, to: target });
    let raised = std::fs::read(db_path(&etcd)).unwrap();
    verified(&raised);
    assert_eq!(dump(&raised), wanted(&dump(&untouched), Raised { from: old, to: target }));

    etcd.restart();
    assert_eq!(etcd.revision(), target);
    let all = rows(&etcd);
    let (ours, rest): (Vec<Row>, Vec<Row>) =
        all.into_iter().partition(|row| row.0.starts_with(b"k3s-snapshot/"));
    assert_eq!(rest, before);
    let name = format!("k3s-snapshot/revision-raised/{target}");
    assert_eq!(ours, [(name.into_bytes(), format!("from {old}").into_bytes(), target, target, 1)]);
    for revision in [2, old - 10, old, old + 1, target - 1] {
        assert_eq!(watch_from(&etcd, revision), target, "a watch from {revision}");
    }
    assert_eq!(watch_from(&etcd, target + 1), 0);

    // Writes, hash, defragmentation, snapshot and compaction work.
    etcd.put("/after", "one");
    assert_eq!(etcd.revision(), target + 1);
    succeeds(&etcd, &["endpoint", "hashkv"]);
    succeeds(&etcd, &["defrag"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot");
    etcd.snapshot_save(&file);
    let data = FileAt::new(File::open(&file).unwrap()).unwrap();
    let checked = inspect::verify(&data, data.size() - TRAILER).unwrap();
    assert!(checked.is_clean(), "{:?}", checked.findings);
    assert_eq!((checked.facts.revision, checked.facts.compacted), (target + 1, target));
    etcd.compact(target + 1);
    etcd.stop();
    verified(&std::fs::read(db_path(&etcd)).unwrap());

    // After a second restore, the record of the first one is a key like any other.
    let again = target + 1_000_000;
    assert_eq!(raise(&etcd, again), Raised { from: target + 1, to: again });
    etcd.restart();
    assert_eq!((etcd.revision(), rows(&etcd).len()), (again, before.len() + 3));
    assert_eq!(watch_from(&etcd, target + 1), again);
    etcd.put("/after", "two");
    etcd.stop();
    etcd.restart();
    assert_eq!((etcd.revision(), etcd.get("/after").as_deref()), (again + 1, Some("two")));
    assert!(!etcd.log().contains("panic"), "{}", etcd.log());
}

/// bbolt uses the pages that a raise has freed, and no page is lost.
#[test]
fn the_file_stays_clean_when_etcd_writes_after_a_raise() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    for round in 1..=4_i64 {
        etcd.fill(300, 700);
        etcd.compact(etcd.revision() - 1);
        let (before, old) = (rows(&etcd), etcd.revision());
        etcd.stop();
        raise(&etcd, old + 1000 * round);
        etcd.restart();
        let after: Vec<Row> = rows(&etcd).into_iter().filter(|row| row.3 != old + 1000 * round).collect();
        assert_eq!(after, before);
        etcd.fill(300, 1500);
        etcd.stop();
        verified(&std::fs::read(db_path(&etcd)).unwrap());
        etcd.restart();
    }
}

#[test]
fn an_empty_database_is_raised() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    etcd.stop();
    assert_eq!(raise(&etcd, 1_000_000), Raised { from: 1, to: 1_000_000 });
    etcd.restart();
    assert_eq!((etcd.revision(), rows(&etcd).len()), (1_000_000, 1));
    etcd.put("a", "b");
    assert_eq!(etcd.revision(), 1_000_001);
}
