// SPDX-License-Identifier: Apache-2.0
//! Damage of every kind, done to real and synthetic snapshots: all of it has to be found.
//!
//! First files as they are, where the trailer covers every byte. Then with a trailer made to fit, which leaves it to the
//! walk: a named row for each check, and each bit of the structure. What the walk cannot find is listed in `excuse`.
//! `LONG=1` makes the sweeps complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use k3s_snapshot::inspect::{self, Check, Facts, Finding, Proof, ReadAt};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use crate::bolt_writer::{self, Bucket, Shape, checksum, database, etcd, record, revision, seal, tombstone};

mod anatomy;
use anatomy::{Anatomy, Part, Piece, u16_at, u32_at, u64_at};

const BEFORE: &[u8] = include_bytes!("../fixtures/before-server-1-1795339215");
const AFTER: &[u8] = include_bytes!("../fixtures/after-server-1-1795339218");

fn long() -> bool {
    std::env::var_os("LONG").is_some_and(|v| v == "1")
}

fn walk(db: &[u8]) -> Proof {
    inspect::prove(&db, db.len() as u64).unwrap()
}

/// The whole judgement on a plain file, as the commands make it: size, trailer, walk.
fn judge(file: &[u8]) -> Result<Facts, Vec<Finding>> {
    let db_len = inspect::split(file.len() as u64).map_err(|f| vec![f])?;
    let digests = inspect::hash(&file, db_len, &mut |_| {}).unwrap();
    let trailer = inspect::trailer(&file, db_len).unwrap();
    inspect::matches(&digests.database, &trailer).map_err(|f| vec![f])?;
    let proof = inspect::prove(&file, db_len).unwrap();
    if proof.is_clean() { Ok(proof.facts) } else { Err(proof.findings) }
}

/// A repeatable stream of numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A database with a bit of everything on few pages.
fn zoo() -> Bucket {
    let deep = Bucket::default()
        .nest("d", Bucket::default().nest("e", Bucket::inline().put("leaf", "x")).put("k", "v"));
    let mut wide = Bucket { sequence: 9, ..Bucket::default() };
    for i in 0..40 {
        wide = wide.put(format!("key-{i:04}"), vec![i as u8; 30]);
    }
    wide = wide.put("large", vec![1; 9000]).put("larger", vec![2; 5000]);
    etcd(30, 60).nest("zoo", Bucket::default().nest("deep", deep).nest("wide", wide).put("plain", "value"))
}

fn zoo_shape() -> Shape {
    Shape { per_page: 6, freelist: true, ..Shape::default() }
}

// --- Files as they are

#[test]
fn fixtures_are_proven_and_their_facts_known() {
    let hex = |sum: [u8; 32]| sum.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let digest = |file: &[u8]| {
        let mut heard = 0;
        let digests = inspect::hash(&file, file.len() as u64 - 32, &mut |n| heard += n).unwrap();
        assert_eq!(heard, file.len() as u64);
        hex(digests.file)
    };
    assert_eq!(digest(BEFORE), "b7ec05627082eec6fb21d038806de88a2af290de585b3bd08593d98babac6d5d");
    assert_eq!(digest(AFTER), "ee547096acb9b2e453fbb4ca70a16d2ee27beba8f059c1400f8889bc8bd33089");
    let (before, after) = (judge(BEFORE).unwrap(), judge(AFTER).unwrap());
    for (facts, revision, keys_total, txid) in [(&before, 337, 342, 70), (&after, 348, 354, 80)] {
        assert_eq!((facts.revision, facts.keys_total, facts.txid), (revision, keys_total, txid));
        assert_eq!((facts.page_size, facts.pages), (4096, 114));
        assert_eq!(facts.token_hashes, ["ba1d715a4f9b"]);
        assert_eq!(facts.members.len(), 1);
        let member = &facts.members[0];
        let (name, tail) = member.name.rsplit_once('-').unwrap();
        assert_eq!((name, tail.len()), ("fixture-node", 8));
        assert!(member.id != 0 && member.peer_urls[0].starts_with("https://"));
        assert_eq!(facts.cluster_id.as_ref().map(String::len), Some(36), "a UID");
        assert!(facts.consistent_index.is_some_and(|i| i > 0));
        assert!(facts.alarms.is_empty());
    }
    assert_eq!(before.cluster_id, after.cluster_id);
    assert_eq!(before.members, after.members);
    println!("{before:#?}");
}

#[test]
fn every_shape_that_bbolt_writes_is_proven() {
    let mut files = 0;
    for page_size in [4096, 8192, 16384, 32768, 65536] {
        for (per_page, size) in [(1000, 10), (2, 10), (4, 3000), (3, 9000), (5, 70_000), (1000, 0)] {
            for (i, spare) in [false, true].into_iter().enumerate() {
                let shape = Shape {
                    page_size,
                    per_page,
                    spare,
                    freelist: spare,
                    swapped: i == 1,
                    ..Shape::default()
                };
                let root =
                    etcd(40, size).nest("zoo", Bucket::default().nest("n", zoo()).put("k", vec![3; 200_000]));
                let facts = judge(&seal(database(&shape, &root))).unwrap_or_else(|f| {
                    panic!("page size {page_size}, {per_page} a page, values of {size}, spare {spare}: {f:?}")
                });
                assert_eq!((facts.entries, facts.revision), (42, 43));
                assert_eq!(facts.keys_total, 42 + 4 + 1 + 1 + 1 + 2);
                assert_eq!(facts.token_hashes, ["0123456789ab"]);
                assert_eq!(facts.cluster_id.as_deref(), Some("f00d-1"));
                assert_eq!(facts.members[0].id, 0x91bc_3c39_8fb3_c146);
                assert_eq!(facts.etcd_cluster_version.as_deref(), Some("3.4.0"));
                assert_eq!(facts.consistent_index, Some(4711));
                files += 1;
            }
        }
    }
    assert_eq!(files, 60);
}

#[test]
fn content_that_fills_its_pages_exactly_and_a_freelist_of_many_pages() {
    // Header, element, key of 1, value: two pages to the byte; both ways of rounding have been used.
    for spare in [false, true] {
        let exact = Bucket::default().put("k", vec![7; 8192 - 33]);
        let shape = Shape { spare, ..Shape::default() };
        let proof = walk(&database(&shape, &etcd(3, 9).nest("x", exact)));
        assert!(proof.is_clean(), "{:?}", proof.findings);
    }
    let mut many = Bucket::default();
    for i in 0..700 {
        many = many.put(format!("{i:04}"), vec![0; 3000]);
    }
    let shape = Shape { hole_every: 1, freelist: true, ..Shape::default() };
    let proof = walk(&database(&shape, &etcd(1500, 900).nest("many", many)));
    assert!(proof.is_clean(), "{:?}", proof.findings);
}

#[test]
fn tokens_revisions_and_alarms_are_told() {
    let key = Bucket::default()
        .put(revision(5, 0), record(b"/bootstrap/aaaaaaaaaaaa", 5, 5, 1, b"x"))
        .put(revision(6, 0), record(b"/bootstrap/bbbbbbbbbbbb", 6, 6, 1, b"x"))
        .put(revision(7, 0), record(b"/bootstrap/NOTHEXATALL!", 7, 7, 1, b"x"))
        .put(tombstone(8, 0), bolt_writer::field(1, b"/bootstrap/aaaaaaaaaaaa"))
        .put(revision(9, 0), b"");
    let meta = Bucket::inline()
        .put("finishedCompactRev", revision(4, 0))
        .put("scheduledCompactRev", revision(12, 0));
    let alarms = Bucket::inline().put(b"\x08\x90\x4e\x10\x01", b"").put(b"\x08\x91\x4e\x10\x02", b"");
    let root = Bucket::default().nest("key", key).nest("meta", meta).nest("alarm", alarms);
    let proof = walk(&database(&Shape::default(), &root));
    assert!(proof.is_clean(), "{:?}", proof.findings);
    assert_eq!(proof.facts.token_hashes, ["bbbbbbbbbbbb"]);
    assert_eq!((proof.facts.revision, proof.facts.compacted, proof.facts.entries), (12, 4, 5));
    assert_eq!(proof.facts.alarms, ["CORRUPT", "NOSPACE"]);
}

#[test]
fn what_is_no_snapshot_is_told_from_a_damaged_one() {
    assert!(inspect::looks_like(&BEFORE) && !inspect::looks_like(&&b"PK\x03\x04 a zip"[..]));
    let mut half = BEFORE.to_vec();
    half[..4096].fill(0);
    assert!(inspect::looks_like(&&half[..]), "the second meta page is enough");
}

#[test]
fn no_flip_and_no_cut_passes_the_trailer() {
    let small = seal(database(&Shape { per_page: 12, ..Shape::default() }, &etcd(20, 40)));
    let large = seal(database(&Shape { page_size: 65536, ..Shape::default() }, &etcd(9, 70_000)));
    let files: [(&str, &[u8], usize); 4] = [
        ("before", BEFORE, 499),
        ("after", AFTER, 503),
        ("small", &small, 1),
        ("64 KiB pages", &large, 4999),
    ];
    let mut dice = Dice(1);
    for (name, file, stride) in files {
        let size = file.len();
        let mut copy = file.to_vec();
        let mut flips = 0;
        for at in (0..size).step_by(if long() { 1 } else { stride }) {
            let bit = 1 << (dice.roll() % 8);
            copy[at] ^= bit;
            let findings = judge(&copy).expect_err("a flipped bit");
            assert_eq!(findings[0].check, Check::Trailer, "{name}: byte {at}");
            copy[at] ^= bit;
            flips += 1;
        }
        for cut in [
            0,
            1,
            31,
            32,
            33,
            511,
            512,
            544,
            4096,
            4128,
            size / 2,
            size / 2 / 512 * 512 + 32,
            size - 32,
            size - 1,
        ] {
            let findings = judge(&file[..cut]).expect_err("a cut");
            assert!(matches!(findings[0].check, Check::Size | Check::Trailer), "{name}: cut to {cut}");
        }
        let longer = [file, &[0]].concat();
        assert_eq!(judge(&longer).unwrap_err()[0].check, Check::Size);
        println!("{name}: {flips} flips and 14 cuts of {size} bytes refused");
    }
}

#[test]
fn cuts_with_a_trailer_made_to_fit_are_found_by_the_walk() {
    for file in [BEFORE, AFTER] {
        let db = &file[..file.len() - 32];
        for cut in [512, 4096, 8192, 12288, db.len() / 2 / 512 * 512, db.len() - 4096, db.len() - 512] {
            let findings = judge(&seal(db[..cut].to_vec())).expect_err("a cut");
            let expected = if cut < 4096 + 80 { Check::Truncated } else { Check::Length };
            assert!(findings.iter().any(|f| f.check == expected), "cut to {cut}: {findings:?}");
        }
    }
}

// --- A row for each check

fn put(db: &mut [u8], at: usize, bytes: &[u8]) {
    db[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Changes a field of a meta page and makes its checksum fit.
fn meta(db: &mut [u8], page: usize, field: usize, bytes: &[u8]) {
    let at = page * u32_at(db, 24) as usize + 16;
    put(db, at + field, bytes);
    let sum = checksum(&db[at..at + 56]);
    put(db, at + 56, &sum.to_le_bytes());
}

fn both_metas(db: &mut [u8], field: usize, bytes: &[u8]) {
    let size = u32_at(db, 24) as usize;
    for at in [16, size + 16] {
        put(db, at + field, bytes);
        let sum = checksum(&db[at..at + 56]);
        put(db, at + 56, &sum.to_le_bytes());
    }
}

type Damage = Box<dyn Fn(&mut Vec<u8>, &Anatomy<'_>)>;

fn rows() -> Vec<(&'static str, Check, Damage)> {
    let mut rows: Vec<(&'static str, Check, Damage)> = Vec::new();
    let mut row = |name, check, damage: Damage| rows.push((name, check, damage));
    let in_key = |p: &Piece| p.path == ["key"];
    let in_meta = |p: &Piece| p.path == ["meta"];

    for page in [0, 1] {
        row("meta page: id", Check::MetaHeader, Box::new(move |db, a| db[page * a.page_size] ^= 2));
        row("meta page: flags", Check::MetaHeader, Box::new(move |db, a| db[page * a.page_size + 8] = 2));
        row("meta: magic", Check::MetaMagic, Box::new(move |db, _| meta(db, page, 0, &[1])));
        row("meta: version", Check::MetaVersion, Box::new(move |db, _| meta(db, page, 4, &[3])));
        row("meta: checksum", Check::MetaChecksum, Box::new(move |db, a| db[page * a.page_size + 72] ^= 1));
        row("meta: txid", Check::MetaTxid, Box::new(move |db, _| meta(db, page, 48, &[200])));
    }
    row(
        "meta: page size no power of two",
        Check::MetaPageSize,
        Box::new(|db, _| {
            put(db, 24, &5000_u32.to_le_bytes());
        }),
    );
    row(
        "meta: another page size in the twin",
        Check::MetaPageSize,
        Box::new(|db, a| {
            let at = a.page_size;
            put(db, at + 24, &8192_u32.to_le_bytes());
            let sum = checksum(&db[at + 16..at + 72]);
            put(db, at + 72, &sum.to_le_bytes());
        }),
    );
    row("meta: root outside", Check::PageRange, Box::new(|db, _| both_metas(db, 16, &[0xFF, 0xFF, 1])));
    row("meta: root is a meta page", Check::PageRange, Box::new(|db, _| both_metas(db, 16, &[1])));
    row(
        "meta: root is a leaf of values",
        Check::ElementFlags,
        Box::new(move |db, a| {
            let leaf = a.find(Part::PageId, |p| in_key(p) && p.leaf).page;
            both_metas(db, 16, &leaf.to_le_bytes());
        }),
    );
    row("meta: high-water mark low", Check::Length, Box::new(|db, _| both_metas(db, 40, &[9, 0])));
    row("meta: high-water mark high", Check::Length, Box::new(|db, _| both_metas(db, 40, &[0xFF; 8])));
    row("meta: both lost", Check::MetaMagic, Box::new(|db, a| db[..2 * a.page_size].fill(0)));
    row("a page missing at the end", Check::Length, Box::new(|db, a| db.truncate(db.len() - a.page_size)));
    row("a page too much at the end", Check::Length, Box::new(|db, a| db.extend(vec![0; a.page_size])));
    row("cut inside the meta pages", Check::Truncated, Box::new(|db, _| db.truncate(512)));

    row("page: id", Check::PageId, Box::new(move |db, a| db[a.find(Part::PageId, in_key).at] ^= 4));
    for flags in [0, 3, 4, 0x10, 0x80] {
        row(
            "page: flags",
            Check::PageFlags,
            Box::new(move |db, a| db[a.find(Part::PageFlags, in_key).at] = flags),
        );
    }
    row(
        "branch: a leaf's flag",
        Check::ElementPosition,
        Box::new(move |db, a| {
            db[a.find(Part::PageFlags, |p| in_key(p) && !p.leaf).at] = 2;
        }),
    );
    row(
        "branch: no elements",
        Check::PageCount,
        Box::new(move |db, a| {
            put(db, a.find(Part::PageCount, |p| in_key(p) && !p.leaf).at, &[0, 0]);
        }),
    );
    row(
        "leaf below a branch: no elements",
        Check::PageCount,
        Box::new(move |db, a| {
            put(db, a.find(Part::PageCount, |p| in_key(p) && p.leaf).at, &[0, 0]);
        }),
    );
    row(
        "page: more elements than fit",
        Check::PageCount,
        Box::new(move |db, a| {
            put(db, a.find(Part::PageCount, in_key).at, &[0xFF, 0xFF]);
        }),
    );
    row(
        "page: one element less",
        Check::ElementPosition,
        Box::new(move |db, a| {
            db[a.find(Part::PageCount, in_key).at] -= 1;
        }),
    );
    row(
        "page: overflow past the end",
        Check::PageOverflow,
        Box::new(move |db, a| {
            put(db, a.find(Part::PageOverflow, in_key).at, &[0, 0, 1, 0]);
        }),
    );
    row(
        "page: overflow over pages in use",
        Check::PageTwice,
        Box::new(move |db, a| {
            // The branch is entered first and the page behind it is its last neighbour: here its own freelist.
            let branch = a.find(Part::PageOverflow, |p| p.path.is_empty() && !p.leaf);
            let pages = db.len() / a.page_size;
            put(db, branch.at, &((pages as u64 - branch.page - 1) as u32).to_le_bytes());
        }),
    );
    row(
        "page: less overflow than content",
        Check::ElementSize,
        Box::new(|db, a| {
            let large =
                a.pieces.iter().find(|p| p.part == Part::PageOverflow && u32_at(db, p.at) > 1).unwrap();
            db[large.at] -= 1;
        }),
    );
    row(
        "page: more overflow than content",
        Check::PageOverflow,
        Box::new(|db, a| {
            // A page with a free one behind it: taking that would hurt nobody yet.
            let free: BTreeSet<u64> =
                a.pieces.iter().filter(|p| p.part == Part::FreelistId).map(|p| u64_at(db, p.at)).collect();
            let page = a
                .pieces
                .iter()
                .find(|p| p.part == Part::PageOverflow && p.leaf && free.contains(&(p.page + 1)));
            db[page.unwrap().at] += 1;
        }),
    );

    row(
        "branch: pos",
        Check::ElementPosition,
        Box::new(move |db, a| db[a.find(Part::BranchPos, in_key).at] ^= 1),
    );
    row(
        "branch: ksize",
        Check::ElementPosition,
        Box::new(move |db, a| {
            db[a.find(Part::BranchKeySize, |p| in_key(p) && !p.last).at] ^= 1;
        }),
    );
    row(
        "branch: empty key",
        Check::ElementSize,
        Box::new(move |db, a| {
            put(db, a.find(Part::BranchKeySize, in_key).at, &[0; 4]);
        }),
    );
    row(
        "branch: key past the page",
        Check::ElementSize,
        Box::new(move |db, a| {
            put(db, a.find(Part::BranchKeySize, |p| in_key(p) && p.last).at, &[0, 0x20, 0, 0]);
        }),
    );
    row(
        "branch: child outside",
        Check::PageRange,
        Box::new(move |db, a| {
            db[a.find(Part::BranchChild, in_key).at + 5] = 1;
        }),
    );
    row(
        "branch: child is a meta page",
        Check::PageRange,
        Box::new(move |db, a| {
            put(db, a.find(Part::BranchChild, in_key).at, &[0, 0]);
        }),
    );
    row(
        "branch: child is its own page",
        Check::PageTwice,
        Box::new(move |db, a| {
            let child = a.find(Part::BranchChild, in_key);
            put(db, child.at, &child.page.to_le_bytes());
        }),
    );
    row(
        "branch: two children the same",
        Check::PageTwice,
        Box::new(move |db, a| {
            let child = a.find(Part::BranchChild, |p| in_key(p) && p.index == 0);
            let next = child.at + 16;
            db.copy_within(child.at..child.at + 8, next);
        }),
    );
    row(
        "branch: children exchanged",
        Check::KeyBounds,
        Box::new(move |db, a| {
            let at = a.find(Part::BranchChild, |p| in_key(p) && p.index == 0).at;
            (0..8).for_each(|i| db.swap(at + i, at + 16 + i));
        }),
    );
    row(
        "branch: key greater than its child's first",
        Check::KeyBounds,
        Box::new(move |db, a| {
            db[a.find(Part::BranchKey, |p| in_key(p) && p.last).at + 16] += 1;
        }),
    );
    row(
        "branch: key not greater than the last of the page before",
        Check::KeyBounds,
        Box::new(move |db, a| {
            // A page that ends in two keys: the branch above is made to name the second of them as the next page's first.
            let key =
                a.pieces.iter().find(|p| p.part == Part::BranchKey && in_key(p) && p.index == 1).unwrap();
            let first = a
                .pieces
                .iter()
                .filter(|p| p.part == Part::BranchKey && p.page == key.page)
                .min_by_key(|p| p.index);
            let from = first.unwrap().at;
            db.copy_within(from..from + 17, key.at);
            db[key.at + 16] += 1;
        }),
    );
    row(
        "branch: keys out of order",
        Check::KeyOrder,
        Box::new(move |db, a| {
            db[a.find(Part::BranchKey, |p| in_key(p) && p.index == 1).at..][..8].fill(0);
        }),
    );

    row(
        "leaf: flags",
        Check::ElementFlags,
        Box::new(move |db, a| db[a.find(Part::LeafFlags, in_key).at] = 2),
    );
    row(
        "leaf: a value among the top-level buckets",
        Check::ElementFlags,
        Box::new(|db, a| {
            db[a.find(Part::LeafFlags, |p| p.path.is_empty()).at] = 0;
        }),
    );
    row(
        "leaf: a value called a bucket",
        Check::BucketHeader,
        Box::new(move |db, a| {
            db[a.find(Part::LeafFlags, in_key).at] = 1;
        }),
    );
    row(
        "leaf: a bucket where etcd has values",
        Check::EtcdBuckets,
        Box::new(move |db, a| {
            db[a.find(Part::LeafFlags, in_key).at] = 1;
        }),
    );
    row(
        "leaf: pos",
        Check::ElementPosition,
        Box::new(move |db, a| db[a.find(Part::LeafPos, in_key).at] ^= 1),
    );
    row(
        "leaf: pos far outside",
        Check::ElementPosition,
        Box::new(move |db, a| {
            put(db, a.find(Part::LeafPos, in_key).at, &[0xFF; 4]);
        }),
    );
    row(
        "leaf: ksize",
        Check::ElementPosition,
        Box::new(move |db, a| {
            db[a.find(Part::LeafKeySize, |p| in_key(p) && !p.last).at] ^= 2;
        }),
    );
    row(
        "leaf: empty key",
        Check::ElementSize,
        Box::new(move |db, a| {
            put(db, a.find(Part::LeafKeySize, in_key).at, &[0; 4]);
        }),
    );
    row(
        "leaf: key longer than bbolt takes",
        Check::ElementSize,
        Box::new(move |db, a| {
            put(db, a.find(Part::LeafKeySize, in_key).at, &32769_u32.to_le_bytes());
        }),
    );
    row(
        "leaf: vsize",
        Check::ElementPosition,
        Box::new(move |db, a| {
            db[a.find(Part::LeafValueSize, |p| in_key(p) && !p.last).at] ^= 1;
        }),
    );
    row(
        "leaf: value past the page",
        Check::ElementSize,
        Box::new(move |db, a| {
            put(db, a.find(Part::LeafValueSize, in_key).at, &[0xFF; 4]);
        }),
    );
    row(
        "leaf: keys out of order",
        Check::KeyOrder,
        Box::new(move |db, a| {
            let key = a.find(Part::LeafKey, |p| p.path == ["zoo", "wide"] && p.index == 1);
            db[key.at] = b'a';
        }),
    );
    row(
        "leaf: the same key twice",
        Check::KeyOrder,
        Box::new(move |db, a| {
            let of = |i| a.find(Part::LeafKey, |p| p.path == ["zoo", "wide"] && p.index == i).at;
            let (first, second) = (of(0), of(1));
            db.copy_within(first..first + 8, second);
        }),
    );
    row(
        "leaf: first key less than the branch says",
        Check::KeyBounds,
        Box::new(move |db, a| {
            let key = a
                .pieces
                .iter()
                .filter(|p| p.part == Part::LeafKey && p.path == ["zoo", "wide"] && p.index == 0);
            db[key.last().unwrap().at] = b'a';
        }),
    );
    row(
        "leaf: last key greater than the branch says",
        Check::KeyBounds,
        Box::new(move |db, a| {
            db[a.find(Part::LeafKey, |p| p.path == ["zoo", "wide"] && p.last).at] = b'z';
        }),
    );

    row(
        "bucket: root outside",
        Check::PageRange,
        Box::new(|db, a| {
            db[a.find(Part::BucketRoot, |p| p.path.is_empty() && u64_at(db, p.at) != 0).at + 4] = 1;
        }),
    );
    row(
        "bucket: root is another's",
        Check::PageTwice,
        Box::new(|db, a| {
            let roots: Vec<_> = a
                .pieces
                .iter()
                .filter(|p| p.part == Part::BucketRoot && p.path.is_empty() && u64_at(db, p.at) != 0)
                .collect();
            let (from, to) = (roots[0].at, roots[1].at);
            db.copy_within(from..from + 8, to);
        }),
    );
    row(
        "bucket: a root and an inlined page",
        Check::BucketHeader,
        Box::new(|db, a| {
            db[a.find(Part::BucketRoot, |p| p.path.is_empty() && u64_at(db, p.at) == 0).at] = 5;
        }),
    );
    row(
        "bucket: neither root nor inlined page",
        Check::BucketHeader,
        Box::new(|db, a| {
            let root = a.find(Part::BucketRoot, |p| p.path.is_empty() && u64_at(db, p.at) != 0).at;
            put(db, root, &[0; 8]);
        }),
    );
    for (name, byte) in [("id", 0), ("flags", 8), ("overflow", 12)] {
        row(
            name,
            Check::InlineBucket,
            Box::new(move |db, a| {
                db[a.find(Part::PageId, |p| p.inline && p.path == ["meta"]).at + byte] ^= 1;
            }),
        );
    }
    row(
        "inlined page: more elements than fit",
        Check::InlineBucket,
        Box::new(move |db, a| {
            put(db, a.find(Part::PageCount, in_meta).at, &[0xFF, 0]);
        }),
    );
    row(
        "inlined page: pos",
        Check::ElementPosition,
        Box::new(move |db, a| {
            db[a.find(Part::LeafPos, in_meta).at] ^= 1;
        }),
    );
    row(
        "inlined page: last value shorter",
        Check::InlineBucket,
        Box::new(move |db, a| {
            db[a.find(Part::LeafValueSize, |p| in_meta(p) && p.last).at] -= 1;
        }),
    );
    row(
        "inlined page: last value past the bucket",
        Check::ElementSize,
        Box::new(move |db, a| {
            db[a.find(Part::LeafValueSize, |p| in_meta(p) && p.last).at] += 1;
        }),
    );
    row(
        "inlined page: a bucket in it",
        Check::InlineBucket,
        Box::new(move |db, a| {
            db[a.find(Part::LeafFlags, |p| p.inline && p.path == ["zoo", "deep", "d", "e"]).at] = 1;
        }),
    );

    row("freelist: page outside", Check::PageRange, Box::new(|db, _| both_metas(db, 32, &[0, 0, 0, 1])));
    row(
        "freelist: page of the tree",
        Check::PageFlags,
        Box::new(move |db, a| {
            both_metas(db, 32, &a.find(Part::PageId, in_key).page.to_le_bytes());
        }),
    );
    let list = |p: &Piece| p.path.is_empty() && !p.leaf;
    let freelist = move |db: &[u8], a: &Anatomy<'_>| {
        a.find(Part::PageFlags, |p| list(p) && u16_at(db, p.at) == 0x10).at - 8
    };
    row(
        "freelist: flags",
        Check::PageFlags,
        Box::new(move |db, a| {
            let at = freelist(db, a);
            db[at + 8] = 2;
        }),
    );
    row(
        "freelist: more than fit",
        Check::Freelist,
        Box::new(move |db, a| {
            let at = freelist(db, a);
            put(db, at + 10, &[0xFE, 0xFF]);
        }),
    );
    row(
        "freelist: the large count, and a lie",
        Check::Freelist,
        Box::new(move |db, a| {
            let at = freelist(db, a);
            put(db, at + 10, &[0xFF, 0xFF]);
            put(db, at + 16, &[0xFF; 8]);
        }),
    );
    row(
        "freelist: one less",
        Check::Freelist,
        Box::new(move |db, a| {
            let at = freelist(db, a);
            db[at + 10] -= 1;
        }),
    );
    row(
        "freelist: one in use",
        Check::Freelist,
        Box::new(move |db, a| {
            let page = a.find(Part::PageId, in_key).page;
            put(db, a.find(Part::FreelistId, |_| true).at, &page.to_le_bytes());
        }),
    );
    row(
        "freelist: a meta page",
        Check::Freelist,
        Box::new(|db, a| {
            put(db, a.find(Part::FreelistId, |_| true).at, &[1, 0]);
        }),
    );
    row(
        "freelist: the same twice",
        Check::Freelist,
        Box::new(|db, a| {
            let at = a.find(Part::FreelistId, |_| true).at;
            db.copy_within(at..at + 8, at + 8);
        }),
    );
    row(
        "freelist: outside",
        Check::Freelist,
        Box::new(|db, a| {
            let last = a.pieces.iter().rfind(|p| p.part == Part::FreelistId).unwrap();
            db[last.at + 3] = 1;
        }),
    );

    row(
        "etcd: no bucket 'key'",
        Check::EtcdBuckets,
        Box::new(|db, a| {
            let at = a
                .pieces
                .iter()
                .find(|p| p.part == Part::LeafKey && p.path.is_empty() && db[p.at..].starts_with(b"key"));
            db[at.unwrap().at + 2] = b'z';
        }),
    );
    row(
        "etcd: a key that is not a revision",
        Check::EtcdRevision,
        Box::new(move |db, a| {
            db[a.find(Part::LeafKey, in_key).at + 8] = b'-';
        }),
    );
    row(
        "etcd: a negative revision",
        Check::EtcdRevision,
        Box::new(move |db, a| {
            db[a.find(Part::LeafKey, |p| in_key(p) && p.last).at + 9] |= 0x80;
        }),
    );
    row(
        "etcd: a mark that is not one",
        Check::EtcdRevision,
        Box::new(move |db, a| {
            let key = a.pieces.iter().find(|p| p.part == Part::LeafKey && in_key(p) && p.len == 18).unwrap();
            db[key.at + 17] = b'x';
        }),
    );
    row(
        "etcd: the record of another revision",
        Check::EtcdValue,
        Box::new(move |db, a| {
            let keys: Vec<_> = a.pieces.iter().filter(|p| p.part == Part::LeafKey && in_key(p)).collect();
            let last = keys.last().unwrap();
            db[last.at + 6] += 1;
        }),
    );
    row(
        "etcd: a record with a broken frame",
        Check::EtcdValue,
        Box::new(move |db, a| {
            db[a.find(Part::Value, in_key).at + 1] ^= 1;
        }),
    );
    row(
        "etcd: a compaction that is not a revision",
        Check::EtcdMeta,
        Box::new(move |db, a| {
            db[a.find(Part::Value, |p| in_meta(p) && p.len == 17).at + 8] = 0;
        }),
    );
    row(
        "etcd: a member that is not JSON",
        Check::EtcdMember,
        Box::new(move |db, a| {
            db[a.find(Part::Value, |p| p.path == ["members"]).at] = b'[';
        }),
    );
    row(
        "etcd: a member under another's id",
        Check::EtcdMember,
        Box::new(move |db, a| {
            db[a.find(Part::LeafKey, |p| p.path == ["members"]).at] = b'a';
        }),
    );
    rows
}

#[test]
fn each_damage_is_found_by_the_check_for_it() {
    let db = database(&zoo_shape(), &zoo());
    let clean = walk(&db);
    assert!(clean.is_clean(), "{:?}", clean.findings);
    let anatomy = Anatomy::of(&db);
    // Those without a row here have a test of their own.
    let mut covered = BTreeSet::from([Check::Size, Check::Trailer, Check::Depth]);
    let mut wrong = Vec::new();
    for (name, check, damage) in rows() {
        let mut damaged = db.clone();
        damage(&mut damaged, &anatomy);
        assert_ne!(damaged, db, "{name} does nothing");
        let proof = walk(&damaged);
        covered.insert(check);
        if !proof.findings.iter().any(|f| f.check == check) {
            wrong.push(format!("{name}: {} expected, found {:?}", check.label(), proof.findings));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let bare: Vec<_> = Check::ALL.iter().filter(|c| !covered.contains(c)).collect();
    assert!(bare.is_empty(), "checks without a row: {bare:?}");
}

#[test]
fn buckets_nested_without_end_are_refused_and_deep_ones_are_not() {
    let deep = |levels: usize| {
        let mut bucket = Bucket::default().put("k", "v");
        for _ in 0..levels {
            bucket = Bucket::default().nest("b", bucket);
        }
        walk(&database(&Shape::default(), &etcd(3, 3).nest("deep", bucket)))
    };
    assert!(deep(50).is_clean());
    let proof = deep(100);
    assert_eq!(proof.findings.iter().map(|f| f.check).collect::<Vec<_>>(), [Check::Depth]);
}

#[test]
fn a_badly_damaged_file_is_told_in_a_hundred_findings() {
    let mut db = database(&Shape { per_page: 2, hole_every: 0, ..Shape::default() }, &etcd(600, 10));
    let heads: Vec<_> = Anatomy::of(&db)
        .pieces
        .iter()
        .filter(|p| p.part == Part::PageFlags && p.leaf && !p.inline && p.path == ["key"])
        .map(|p| p.at)
        .collect();
    heads.iter().for_each(|at| db[*at] = 8);
    let proof = walk(&db);
    assert_eq!(proof.findings.len(), 100);
    assert_eq!(proof.more, heads.len() as u64 - 100);
}

#[test]
fn no_finding_tells_what_is_in_a_value() {
    let mut db = database(&zoo_shape(), &zoo());
    let values: Vec<_> = Anatomy::of(&db)
        .pieces
        .iter()
        .filter(|p| p.part == Part::Value)
        .map(|p| p.at..p.at + p.len)
        .collect();
    for value in values {
        let len = value.len();
        if len >= 8 {
            let text = b"SECRET!!".iter().cycle().take(len).copied().collect::<Vec<_>>();
            db[value].copy_from_slice(&text);
        }
    }
    let proof = walk(&db);
    assert!(!proof.is_clean());
    assert!(!serde_json::to_string(&proof).unwrap().contains("SECRET"));
}

// --- Every bit of the structure

/// Why the walk may miss a flip of this bit: the list of what only the trailer covers.
fn excuse(piece: &Piece, byte: usize, tombstone: bool) -> Option<&'static str> {
    let bucket = piece.path.first().map(String::as_str);
    // The walk knows the form of all records there.
    let known = matches!(bucket, Some("key" | "meta" | "members"));
    match piece.part {
        Part::Value => Some("a value"),
        Part::BucketSequence => Some("a bucket's sequence: any number is good"),
        Part::BranchKey => Some("a branch key that still parts the pages below"),
        Part::BranchKeySize if piece.last => {
            Some("the length of a page's last branch key, which still parts the pages")
        }
        Part::LeafKey if bucket.is_none() => Some("the name of a bucket which etcd can do without"),
        Part::LeafKey if bucket == Some("key") => match byte {
            9..=16 => Some("the sub-revision of a key which keeps its place"),
            0..=7 if tombstone => Some("the revision of a deletion which keeps its place"),
            _ => None,
        },
        Part::LeafKey => Some("a key outside the bucket 'key' which keeps its place"),
        Part::LeafKeySize | Part::LeafValueSize if piece.last && !piece.inline && !known => {
            Some("the length of a page's last key or value, of a form the walk does not know")
        }
        _ => None,
    }
}

/// Flips bits of the structure, a trailer made to fit assumed; counts by part what was found and by excuse what was not.
fn sweep(name: &str, db: &[u8], stride: usize) -> (BTreeMap<Part, u64>, BTreeMap<&'static str, u64>) {
    assert!(walk(db).is_clean(), "{name}");
    let anatomy = Anatomy::of(db);
    let (mut found, mut missed) = (BTreeMap::new(), BTreeMap::new());
    let mut copy = db.to_vec();
    let mut bits = 0;
    for piece in anatomy.pieces.iter().filter(|p| p.part != Part::Value) {
        for byte in 0..piece.len {
            for bit in 0..8 {
                bits += 1;
                if bits % stride != 0 {
                    continue;
                }
                copy[piece.at + byte] ^= 1 << bit;
                if walk(&copy).is_clean() {
                    let Some(why) = excuse(piece, byte, piece.len == 18) else {
                        panic!("{name}: not found: bit {bit} of byte {byte} of {piece:?}");
                    };
                    *missed.entry(why).or_default() += 1;
                } else {
                    *found.entry(piece.part).or_default() += 1;
                }
                copy[piece.at + byte] ^= 1 << bit;
            }
        }
    }
    println!("{name}: found {found:?}");
    println!("{name}: not found {missed:#?}");
    (found, missed)
}

#[test]
fn every_flipped_bit_of_the_structure_is_found_but_for_the_listed() {
    let db = database(&zoo_shape(), &zoo());
    let (found, missed) = sweep("zoo", &db, 1);
    let all = [
        Part::MetaHeader,
        Part::MetaRecord,
        Part::PageId,
        Part::PageFlags,
        Part::PageCount,
        Part::PageOverflow,
        Part::BranchPos,
        Part::BranchKeySize,
        Part::BranchChild,
        Part::BranchKey,
        Part::LeafFlags,
        Part::LeafPos,
        Part::LeafKeySize,
        Part::LeafValueSize,
        Part::LeafKey,
        Part::BucketRoot,
        Part::FreelistId,
    ];
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), all);
    // What has no excuse at all was found to the last bit, or the sweep had panicked.
    assert_eq!(missed.len(), 7, "the excuses in use: {missed:?}");
    let (found, missed) = (found.values().sum::<u64>(), missed.values().sum::<u64>());
    println!("{found} found, {missed} not");
    assert!(missed * 4 < found);
}

#[test]
fn the_structure_of_the_fixtures_is_covered_too() {
    let stride = if long() { 1 } else { 37 };
    for (name, file) in [("before", BEFORE), ("after", AFTER)] {
        sweep(name, &file[..file.len() - 32], stride);
    }
}

// --- Anything at all

/// Counts what the proof reads.
struct Meter<'a> {
    data: &'a [u8],
    read: AtomicU64,
    largest: AtomicU64,
}

impl ReadAt for Meter<'_> {
    fn size(&self) -> u64 {
        self.data.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.largest.fetch_max(buf.len() as u64, Ordering::Relaxed);
        self.data.read_exact_at(buf, offset)
    }
}

/// Whatever the bytes are: the proof returns, reads each stretch a few times at most, and holds one window at a time.
fn bounded(data: &[u8]) -> Proof {
    let meter = Meter { data, read: AtomicU64::new(0), largest: AtomicU64::new(0) };
    let proof = inspect::prove(&meter, data.len() as u64).unwrap();
    let (read, largest) = (meter.read.into_inner(), meter.largest.into_inner());
    assert!(largest <= 64 * 1024, "{largest} bytes at once");
    assert!(read <= 8 * data.len() as u64 + 4096, "{read} bytes read of {}", data.len());
    proof
}

#[test]
fn a_reader_that_fails_is_an_error_and_a_file_that_shrinks_is_damage() {
    struct Broken(io::ErrorKind);
    impl ReadAt for Broken {
        fn size(&self) -> u64 {
            BEFORE.len() as u64
        }
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            if offset > 300_000 { Err(self.0.into()) } else { BEFORE.read_exact_at(buf, offset) }
        }
    }
    let db_len = BEFORE.len() as u64 - 32;
    let error = inspect::prove(&Broken(io::ErrorKind::TimedOut), db_len).unwrap_err();
    assert!(format!("{error:#}").starts_with("reading the database: "), "{error:#}");
    let proof = inspect::prove(&Broken(io::ErrorKind::UnexpectedEof), db_len).unwrap();
    assert!(proof.findings.iter().all(|f| f.check == Check::Truncated) && !proof.is_clean());
}

#[test]
fn huge_pages_of_many_elements_are_read_in_pieces() {
    let mut many = Bucket::default();
    for i in 0..60_000 {
        many = many.put(format!("{i:08}"), "12345678");
    }
    // One leaf far larger than any window, as only a hostile hand would make it.
    let shape = Shape { per_page: 1_000_000, page_size: 65536, ..Shape::default() };
    let mut root = etcd(3, 3);
    root = root.nest("many", many);
    let db = database(&shape, &root);
    assert!(bounded(&db).is_clean());
}

/// Bytes with two sound meta pages in front, so that the walk gets to what follows.
fn behind_metas(pages: &[u8], root: u64, freelist: u64) -> Vec<u8> {
    let mut db = database(&Shape::default(), &Bucket::default());
    db.truncate(8192);
    db.extend_from_slice(pages);
    let count = (db.len() / 4096) as u64;
    both_metas(&mut db, 16, &root.to_le_bytes());
    both_metas(&mut db, 32, &freelist.to_le_bytes());
    both_metas(&mut db, 40, &count.to_le_bytes());
    db
}

fn pages() -> impl Strategy<Value = Vec<u8>> {
    // Small numbers make headers and elements that get past the first checks.
    let byte = prop_oneof![6 => Just(0_u8), 3 => 0..32_u8, 1 => any::<u8>()];
    proptest::collection::vec(proptest::collection::vec(byte, 256), 1..12).prop_map(|pages| {
        let mut out = Vec::new();
        for (i, mut page) in pages.into_iter().enumerate() {
            page.resize(4096, 0);
            // The right number, or no page would be looked into.
            page[..8].copy_from_slice(&(i as u64 + 2).to_le_bytes());
            page[8] = [1, 2, 2, 16][usize::from(page[8]) % 4];
            page[9] = 0;
            page[11] = 0;
            page[12..16].copy_from_slice(&[page[12] % 3, 0, 0, 0]);
            out.extend(page);
        }
        out
    })
}

fn cases() -> ProptestConfig {
    // No file of failures in the tree: a failure becomes a test with a name.
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if long() { 20_000 } else { 400 })
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        assert!(!bounded(&bytes).is_clean());
        assert!(judge(&bytes).is_err());
        inspect::looks_like(&&bytes[..]);
    }

    #[test]
    fn arbitrary_pages_behind_sound_metas_are_refused(
        pages in pages(), root in 0..14_u64, freelist in prop_oneof![Just(u64::MAX), 0..14_u64],
    ) {
        assert!(!bounded(&behind_metas(&pages, root, freelist)).is_clean());
    }

    #[test]
    fn mutated_files_are_survived(edits in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<bool>()), 1..40)) {
        let mut db = database(&zoo_shape(), &zoo());
        let places: Vec<usize> =
            Anatomy::of(&db).pieces.iter().filter(|p| p.part != Part::Value).flat_map(|p| p.at..p.at + p.len).collect();
        for (place, byte, anywhere) in edits {
            let at = if anywhere { place % db.len() } else { places[place % places.len()] };
            db[at] = byte;
        }
        both_metas(&mut db, 0, &0xED0C_DAED_u32.to_le_bytes());
        bounded(&db);
    }
}
