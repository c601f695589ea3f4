// SPDX-License-Identifier: Apache-2.0
//! Damage of every kind in real and synthetic snapshots: all of it must be found.
//!
//! First in whole files, in which the trailer covers every byte. Then with a matching trailer, so that only the structure check
//! can find it: a named row for each check here, each bit of the structure in `bits`, arbitrary bytes in `hostile`.

use std::collections::BTreeSet;

use k3s_snapshot::inspect::{self, Check, CheckResult, Facts, Finding};

use crate::bolt_writer::{self, Bucket, Shape, database, etcd, record, revision, tombstone, with_trailer};

mod anatomy;
mod bits;
mod hostile;
mod rows;
use anatomy::{Anatomy, Part};
use rows::rows;

const BEFORE: &[u8] = include_bytes!("../fixtures/before-server-1-1795339215");
const AFTER: &[u8] = include_bytes!("../fixtures/after-server-1-1795339218");
/// The records of the bucket `key` in the two fixtures.
const KEYS: (u64, u64) = (336, 347);

fn long() -> bool {
    std::env::var_os("LONG").is_some_and(|v| v == "1")
}

/// The structure check of a database without a trailer.
fn check(db: &[u8]) -> CheckResult {
    inspect::verify(&db, db.len() as u64).unwrap()
}

/// The verification of a plain file, as the commands do it: size, trailer, structure.
fn verify(file: &[u8]) -> Result<Facts, Vec<Finding>> {
    let db_len = inspect::database_len(file.len() as u64).map_err(|f| vec![f])?;
    let digests = inspect::hash(&file, db_len, &mut |_| {}).unwrap();
    let trailer = inspect::trailer(&file, db_len).unwrap();
    inspect::check_trailer(&digests.database, &trailer).map_err(|f| vec![f])?;
    let result = inspect::verify(&file, db_len).unwrap();
    if result.is_clean() { Ok(result.facts) } else { Err(result.findings) }
}

/// A repeatable sequence of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A small database with every kind of structure.
fn sample() -> Bucket {
    let deep = Bucket::default()
        .nest("d", Bucket::default().nest("e", Bucket::inline().put("leaf", "x")).put("k", "v"));
    let mut wide = Bucket { sequence: 9, ..Bucket::default() };
    for i in 0..40 {
        wide = wide.put(format!("key-{i:04}"), vec![i as u8; 30]);
    }
    wide = wide.put("large", vec![1; 9000]).put("larger", vec![2; 5000]);
    etcd(46, 60).nest("other", Bucket::default().nest("deep", deep).nest("wide", wide).put("plain", "value"))
}

fn sample_shape() -> Shape {
    Shape { per_page: 6, freelist: true, ..Shape::default() }
}

// --- Whole files

#[test]
fn the_fixtures_are_verified_and_have_known_facts() {
    let hex = |sum: [u8; 32]| sum.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let digest = |file: &[u8]| {
        let mut hashed = 0;
        let digests = inspect::hash(&file, file.len() as u64 - 32, &mut |n| hashed += n).unwrap();
        assert_eq!(hashed, file.len() as u64);
        hex(digests.file)
    };
    assert_eq!(digest(BEFORE), "b7ec05627082eec6fb21d038806de88a2af290de585b3bd08593d98babac6d5d");
    assert_eq!(digest(AFTER), "ee547096acb9b2e453fbb4ca70a16d2ee27beba8f059c1400f8889bc8bd33089");
    let (before, after) = (verify(BEFORE).unwrap(), verify(AFTER).unwrap());
    for (facts, revision, key_revisions) in [(&before, 337, KEYS.0), (&after, 348, KEYS.1)] {
        assert_eq!((facts.revision, facts.key_revisions), (revision, key_revisions));
        assert_eq!(facts.token_hashes, ["ba1d715a4f9b"]);
        assert_eq!(facts.members.len(), 1);
        let member = &facts.members[0];
        let (name, tail) = member.name.rsplit_once('-').unwrap();
        assert_eq!((name, tail.len()), ("fixture-node", 8));
        assert!(member.id != 0 && member.peer_urls[0].starts_with("https://"));
        assert_eq!(facts.cluster_id.as_ref().map(String::len), Some(36), "a UID");
        assert!(facts.alarms.is_empty());
    }
    assert_eq!(before.cluster_id, after.cluster_id);
    assert_eq!(before.members, after.members);
}

#[test]
fn every_file_layout_of_bbolt_is_verified() {
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
                let root = etcd(40, size)
                    .nest("other", Bucket::default().nest("n", sample()).put("k", vec![3; 200_000]));
                let facts = verify(&with_trailer(database(&shape, &root))).unwrap_or_else(|f| {
                    panic!("page size {page_size}, {per_page} a page, values of {size}, spare {spare}: {f:?}")
                });
                assert_eq!((facts.key_revisions, facts.revision), (42, 43));
                assert_eq!(facts.token_hashes, ["0123456789ab"]);
                assert_eq!(facts.cluster_id.as_deref(), Some("f00d-1"));
                assert_eq!(facts.members[0].id, 0x91bc_3c39_8fb3_c146);
                files += 1;
            }
        }
    }
    assert_eq!(files, 60);
}

#[test]
fn content_that_fills_its_pages_exactly_and_long_freelists_are_verified() {
    // Header, element, key of 1, value: exactly two pages. Versions of bbolt differ in how they round that.
    for spare in [false, true] {
        let exact = Bucket::default().put("k", vec![7; 8192 - 33]);
        let shape = Shape { spare, ..Shape::default() };
        let result = check(&database(&shape, &etcd(3, 9).nest("x", exact)));
        assert!(result.is_clean(), "{:?}", result.findings);
    }
    let mut many = Bucket::default();
    for i in 0..700 {
        many = many.put(format!("{i:04}"), vec![0; 3000]);
    }
    let shape = Shape { hole_every: 1, freelist: true, ..Shape::default() };
    let result = check(&database(&shape, &etcd(1500, 900).nest("many", many)));
    assert!(result.is_clean(), "{:?}", result.findings);
}

#[test]
fn facts_have_existing_tokens_the_newest_revision_and_alarms() {
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
    let result = check(&database(&Shape::default(), &root));
    assert!(result.is_clean(), "{:?}", result.findings);
    assert_eq!(result.facts.token_hashes, ["bbbbbbbbbbbb"]);
    assert_eq!((result.facts.revision, result.facts.compacted, result.facts.key_revisions), (12, 4, 5));
    assert_eq!(result.facts.alarms, ["CORRUPT", "NOSPACE"]);
}

#[test]
fn the_magic_number_distinguishes_other_files_from_corrupt_snapshots() {
    assert!(
        inspect::datastore_of(&BEFORE).is_some()
            && inspect::datastore_of(&&b"PK\x03\x04 a zip"[..]).is_none()
    );
    let mut half = BEFORE.to_vec();
    half[..4096].fill(0);
    assert!(inspect::datastore_of(&&half[..]).is_some(), "the second meta page is enough");
}

#[test]
fn flipped_bits_and_cuts_are_found_by_size_and_trailer() {
    let small = with_trailer(database(&Shape { per_page: 12, ..Shape::default() }, &etcd(20, 40)));
    let large = with_trailer(database(&Shape { page_size: 65536, ..Shape::default() }, &etcd(9, 70_000)));
    let files: [(&str, &[u8], usize); 4] = [
        ("before", BEFORE, 499),
        ("after", AFTER, 503),
        ("small", &small, 1),
        ("64 KiB pages", &large, 4999),
    ];
    let mut random = Random(1);
    for (name, file, stride) in files {
        let size = file.len();
        let mut copy = file.to_vec();
        let mut flips = 0;
        for at in (0..size).step_by(if long() && size < 1_000_000 { 1 } else { stride }) {
            let bit = 1 << (random.next() % 8);
            copy[at] ^= bit;
            let findings = verify(&copy).expect_err("a flipped bit");
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
            let findings = verify(&file[..cut]).expect_err("a cut");
            assert!(matches!(findings[0].check, Check::Size | Check::Trailer), "{name}: cut to {cut}");
        }
        let longer = [file, &[0]].concat();
        assert_eq!(verify(&longer).unwrap_err()[0].check, Check::Size);
        println!("{name}: {flips} flips and 14 cuts of {size} bytes found");
    }
}

#[test]
fn cuts_with_a_matching_trailer_are_found_by_the_structure_check() {
    for file in [BEFORE, AFTER] {
        let db = &file[..file.len() - 32];
        for cut in [512, 4096, 8192, 12288, db.len() / 2 / 512 * 512, db.len() - 4096, db.len() - 512] {
            let findings = verify(&with_trailer(db[..cut].to_vec())).expect_err("a cut");
            let expected = if cut < 4096 + 80 { Check::Truncated } else { Check::Length };
            assert!(findings.iter().any(|f| f.check == expected), "cut to {cut}: {findings:?}");
        }
    }
}

// --- A row for each check

#[test]
fn each_kind_of_damage_is_found_by_its_check() {
    let db = database(&sample_shape(), &sample());
    let clean = check(&db);
    assert!(clean.is_clean(), "{:?}", clean.findings);
    let anatomy = Anatomy::of(&db);
    // These have a test of their own.
    let mut covered = BTreeSet::from([Check::Size, Check::Trailer, Check::Depth]);
    let mut wrong = Vec::new();
    for (name, expected, damage) in rows().0 {
        let mut damaged = db.clone();
        damage(&mut damaged, &anatomy);
        assert_ne!(damaged, db, "{name} changes nothing");
        let found = check(&damaged).findings;
        covered.insert(expected);
        if !found.iter().any(|f| f.check == expected) {
            wrong.push(format!("{name}: {} expected, found {found:?}", expected.as_str()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The others have rows in `sqlite_corruption`.
    covered.extend(crate::sqlite_corruption::CHECKS);
    let missing: Vec<_> = Check::ALL.iter().filter(|c| !covered.contains(c)).collect();
    assert!(missing.is_empty(), "checks without a row: {missing:?}");
}

#[test]
fn nested_buckets_are_verified_up_to_the_maximum_depth() {
    let deep = |levels: usize| {
        let mut bucket = Bucket::default().put("k", "v");
        for _ in 0..levels {
            bucket = Bucket::default().nest("b", bucket);
        }
        check(&database(&Shape::default(), &etcd(3, 3).nest("deep", bucket)))
    };
    assert!(deep(50).is_clean());
    let result = deep(100);
    assert_eq!(result.findings.iter().map(|f| f.check).collect::<Vec<_>>(), [Check::Depth]);
}

#[test]
fn at_most_a_hundred_findings_are_listed_and_the_rest_counted() {
    let mut db = database(&Shape { per_page: 2, hole_every: 0, ..Shape::default() }, &etcd(600, 10));
    let heads: Vec<_> = Anatomy::of(&db)
        .pieces
        .iter()
        .filter(|p| p.part == Part::PageFlags && p.leaf && !p.inline && p.path == ["key"])
        .map(|p| p.at)
        .collect();
    heads.iter().for_each(|at| db[*at] = 8);
    let result = check(&db);
    assert_eq!(result.findings.len(), 100);
    assert_eq!(result.more, heads.len() as u64 - 100);
}

#[test]
fn findings_contain_no_content_of_values() {
    let mut db = database(&sample_shape(), &sample());
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
    let result = check(&db);
    assert!(!result.is_clean());
    assert!(!serde_json::to_string(&result).unwrap().contains("SECRET"));
}
