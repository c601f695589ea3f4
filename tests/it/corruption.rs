// SPDX-License-Identifier: Apache-2.0
//! Damage of every kind, done to real and synthetic snapshots: all of it has to be found.
//!
//! First files as they are, where the trailer covers every byte. Then with a trailer made to fit, which
//! leaves it to the walk: a named row for each check, and each bit of the structure. What the walk cannot
//! find is listed in `excuse`. `LONG=1` makes the sweeps complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use k3s_snapshot::inspect::{self, Check, CheckResult, Facts, Finding};
use k3s_snapshot::io::ReadAt;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use crate::bolt_writer::{self, Bucket, Shape, database, etcd, record, revision, seal, tombstone};

mod anatomy;
mod rows;
use anatomy::{Anatomy, Part, Piece, u32_at, u64_at};
use rows::{both_metas, rows};

const BEFORE: &[u8] = include_bytes!("../fixtures/before-server-1-1795339215");
const AFTER: &[u8] = include_bytes!("../fixtures/after-server-1-1795339218");

fn long() -> bool {
    std::env::var_os("LONG").is_some_and(|v| v == "1")
}

fn walk(db: &[u8]) -> CheckResult {
    inspect::verify(&db, db.len() as u64).unwrap()
}

/// The whole judgement on a plain file, as the commands make it: size, trailer, walk.
fn judge(file: &[u8]) -> Result<Facts, Vec<Finding>> {
    let db_len = inspect::database_len(file.len() as u64).map_err(|f| vec![f])?;
    let digests = inspect::hash(&file, db_len, &mut |_| {}).unwrap();
    let trailer = inspect::trailer(&file, db_len).unwrap();
    inspect::check_trailer(&digests.database, &trailer).map_err(|f| vec![f])?;
    let proof = inspect::verify(&file, db_len).unwrap();
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
    etcd(46, 60).nest("zoo", Bucket::default().nest("deep", deep).nest("wide", wide).put("plain", "value"))
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
                assert_eq!((facts.key_revisions, facts.revision), (42, 43));
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
    assert_eq!((proof.facts.revision, proof.facts.compacted, proof.facts.key_revisions), (12, 4, 5));
    assert_eq!(proof.facts.alarms, ["CORRUPT", "NOSPACE"]);
}

#[test]
fn what_is_no_snapshot_is_told_from_a_damaged_one() {
    assert!(inspect::has_magic(&BEFORE) && !inspect::has_magic(&&b"PK\x03\x04 a zip"[..]));
    let mut half = BEFORE.to_vec();
    half[..4096].fill(0);
    assert!(inspect::has_magic(&&half[..]), "the second meta page is enough");
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
        for at in (0..size).step_by(if long() && size < 1_000_000 { 1 } else { stride }) {
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

#[test]
fn each_damage_is_found_by_the_check_for_it() {
    let db = database(&zoo_shape(), &zoo());
    let clean = walk(&db);
    assert!(clean.is_clean(), "{:?}", clean.findings);
    let anatomy = Anatomy::of(&db);
    // Those without a row here have a test of their own.
    let mut covered = BTreeSet::from([Check::Size, Check::Trailer, Check::Depth]);
    let mut wrong = Vec::new();
    for (name, check, damage) in rows().0 {
        let mut damaged = db.clone();
        damage(&mut damaged, &anatomy);
        assert_ne!(damaged, db, "{name} does nothing");
        let proof = walk(&damaged);
        covered.insert(check);
        if !proof.findings.iter().any(|f| f.check == check) {
            wrong.push(format!("{name}: {} expected, found {:?}", check.as_str(), proof.findings));
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
fn excuse(piece: &Piece, byte: usize, flip: Flip) -> Option<&'static str> {
    let tombstone = piece.len == 18;
    let bucket = piece.path.first().map(String::as_str);
    // The walk knows the form of all records there.
    let known = matches!(bucket, Some("key" | "meta" | "members"));
    match piece.part {
        Part::Value => Some("a value"),
        Part::BucketSequence => Some("a bucket's sequence: any number is good"),
        Part::BucketRoot | Part::BranchChild if flip.stale => {
            Some("a reference to a free page which holds an older state of the right one")
        }
        Part::LeafFlags if bucket.is_some() && !known => {
            Some("a bucket inlined in a bucket which etcd does not have, called a value")
        }
        Part::BucketRoot if flip.own => {
            Some("a bucket's root which leads into the bucket's own tree: the rest of it is lost")
        }
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
        Part::LeafValueSize if flip.cut => Some(
            "the length of a page's last record, which cuts it just before its value: there are such records",
        ),
        _ => None,
    }
}

/// What a flipped bit made of a field, where the field alone does not tell.
struct Flip {
    /// The reference leads to a page not in use.
    stale: bool,
    /// The root of a bucket leads into the bucket's own tree.
    own: bool,
    /// The page's last record ends where the field with its value began.
    cut: bool,
}

impl Flip {
    fn of(anatomy: &Anatomy<'_>, before: &[u8], after: &[u8], piece: &Piece) -> Flip {
        let stale = || {
            let target = u64_at(after, piece.at);
            !anatomy.pieces.iter().any(|p| p.page == target)
        };
        let root = |db| owner(anatomy, u64_at(db, piece.at));
        let cut = || {
            let value =
                anatomy.find(Part::Value, |p| p.page == piece.page && p.index == piece.index && !p.inline);
            let len = u32_at(after, piece.at) as usize;
            len < value.len && before[value.at + len] == 5 << 3 | 2
        };
        Flip {
            stale: matches!(piece.part, Part::BucketRoot | Part::BranchChild) && stale(),
            own: piece.part == Part::BucketRoot && root(before) == root(after),
            cut: piece.part == Part::LeafValueSize && piece.last && piece.path == ["key"] && cut(),
        }
    }
}

/// The bucket whose tree a page belongs to.
fn owner<'a>(anatomy: &'a Anatomy<'_>, page: u64) -> Option<&'a [String]> {
    let mut on_it = anatomy.pieces.iter().filter(|p| p.part == Part::PageId && p.page == page && !p.inline);
    on_it.next().map(|p| &p.path[..])
}

/// Flips bits of the structure, a trailer made to fit assumed; counts by part what was found and by excuse
/// what was not.
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
                    let flip = Flip::of(&anatomy, db, &copy, piece);
                    let Some(why) = excuse(piece, byte, flip) else {
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
    assert_eq!(missed.len(), 9, "the excuses in use: {missed:?}");
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

/// Whatever the bytes are: the proof returns, reads each stretch a few times at most, and holds one window at
/// a time. So does the content, which there is if nothing was found, of the file as it is or in its place.
fn bounded(data: &[u8]) -> CheckResult {
    let metered = |deed: &dyn Fn(&Meter<'_>)| {
        let meter = Meter { data, read: AtomicU64::new(0), largest: AtomicU64::new(0) };
        deed(&meter);
        let (read, largest) = (meter.read.into_inner(), meter.largest.into_inner());
        assert!(largest <= 64 * 1024, "{largest} bytes at once");
        assert!(read <= 8 * data.len() as u64 + 4096, "{read} bytes read of {}", data.len());
    };
    let len = data.len() as u64;
    let proof = std::cell::OnceCell::new();
    metered(&|meter| drop(proof.set(inspect::verify(meter, len).unwrap())));
    let proof = proof.into_inner().unwrap();
    metered(&|meter| match inspect::content(meter, len, None).unwrap() {
        Ok(content) => assert!(proof.is_clean() && content.facts == proof.facts),
        Err(findings) => assert_eq!(findings, proof.findings),
    });
    if let Ok((data, len)) = inspect::open_offline(&data).unwrap() {
        assert_eq!(
            inspect::content(&data, len, None).unwrap().is_ok(),
            inspect::verify(&data, len).unwrap().is_clean()
        );
    }
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
    let error = inspect::verify(&Broken(io::ErrorKind::TimedOut), db_len).unwrap_err();
    assert!(format!("{error:#}").starts_with("reading the database: "), "{error:#}");
    let proof = inspect::verify(&Broken(io::ErrorKind::UnexpectedEof), db_len).unwrap();
    assert!(!proof.is_clean() && proof.findings.iter().all(|f| f.check == Check::Truncated));
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
            page[12] %= 3;
            page[13..16].fill(0);
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
        inspect::has_magic(&&bytes[..]);
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
        // The walk shall get past the meta pages, whatever they say now.
        db[24..28].copy_from_slice(&4096_u32.to_le_bytes());
        both_metas(&mut db, 8, &4096_u32.to_le_bytes());
        both_metas(&mut db, 0, &[0xED, 0xDA, 0x0C, 0xED, 2, 0, 0, 0]);
        bounded(&db);
    }
}
