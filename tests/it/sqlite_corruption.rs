// SPDX-License-Identifier: Apache-2.0
//! Damage of every kind in databases of kine, with a matching checksum, so that only the structure check can find it.
//!
//! A named row for each check, then flipped bytes: what SQLite itself finds, the check must find, and what it does not find
//! must change no revision. Hostile bytes end as findings. `LONG=1` flips every bit.

use std::collections::BTreeSet;
use std::path::Path;

use k3s_snapshot::inspect::{self, Check, CheckResult, Comparison, Datastore};
use rusqlite::{Connection, OpenFlags};

use crate::bolt_writer::with_trailer;
use crate::support::kine::{Kine, UID};

/// The checks that only a database of SQLite can fail.
pub(crate) const CHECKS: [Check; 8] = [
    Check::SqliteHeader,
    Check::SqlitePage,
    Check::SqliteCell,
    Check::SqliteRecord,
    Check::SqliteSchema,
    Check::SqliteIndex,
    Check::KineRow,
    Check::KineHistory,
];
const PAGE: usize = 512;

fn check(db: &[u8]) -> CheckResult {
    inspect::verify(&db, db.len() as u64).unwrap()
}

/// A database of several levels, with overflow pages, free pages, deleted keys and a compaction.
fn fill(kine: &Kine) {
    // The compaction frees the pages of the first value.
    kine.put("/registry/secrets/large", &[b'L'; 3000]);
    kine.put("/registry/secrets/large", &[b'M'; 1200]);
    for round in 0..3_u8 {
        for i in 0..12 {
            kine.put(&format!("/registry/configmaps/default/{i}"), &vec![round + b'a'; 20 + 7 * i]);
        }
    }
    for i in 0..4 {
        kine.del(&format!("/registry/configmaps/default/{i}"));
    }
    kine.compact(20);
    kine.put("/registry/configmaps/default/2", b"again");
    kine.put("/registry/once", b"never changed");
}

/// The database after `change`.
fn database(change: impl FnOnce(&Kine)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let kine = Kine::create(&path, PAGE as u32);
    fill(&kine);
    change(&kine);
    kine.into_bytes(&path)
}

fn u16_at(db: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([db[at], db[at + 1]]))
}

fn u32_at(db: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(db[at..at + 4].try_into().unwrap())
}

/// Where the page begins that is the root of a table or an index.
fn root(db: &[u8], name: &str) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, db).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
    let page: u32 = Connection::open(path).unwrap().query_row(sql, [name], |row| row.get(0)).unwrap();
    (page as usize - 1) * PAGE
}

/// The first leaf below a root.
fn leaf(db: &[u8], name: &str) -> usize {
    let mut at = root(db, name);
    while matches!(db[at], 2 | 5) {
        let cell = at + u16_at(db, at + 12);
        at = (u32_at(db, cell) as usize - 1) * PAGE;
    }
    at
}

fn find(db: &[u8], bytes: &[u8]) -> usize {
    db.windows(bytes.len()).position(|w| w == bytes).unwrap()
}

fn put(db: &mut [u8], at: usize, bytes: &[u8]) {
    db[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Exchanges the first two cells of the first leaf.
fn exchange(db: &mut [u8], name: &str) {
    let at = leaf(db, name) + 8;
    let (first, second) = (u16_at(db, at) as u16, u16_at(db, at + 2) as u16);
    put(db, at, &second.to_be_bytes());
    put(db, at + 2, &first.to_be_bytes());
}

type Damage = fn(&mut Vec<u8>);

/// Damage of bytes: its name, the check that must find it, and the change.
const ROWS: &[(&str, Check, Damage)] = &[
    ("version of the format", Check::SqliteHeader, |db| db[18] = 3),
    ("fractions", Check::SqliteHeader, |db| db[21] = 65),
    ("page size", Check::SqliteHeader, |db| db[16] = 3),
    ("encoding", Check::SqliteHeader, |db| db[59] = 2),
    ("reserved part", Check::SqliteHeader, |db| db[80] = 1),
    ("incremental vacuum without its pages", Check::SqliteHeader, |db| db[67] = 1),
    ("number of pages of another change", Check::SqliteHeader, |db| db[95] ^= 1),
    ("the header alone", Check::Truncated, |db| db.truncate(90)),
    ("a page more", Check::Length, |db| db.extend_from_slice(&[0; PAGE])),
    ("a page less", Check::Length, |db| db.truncate(db.len() - PAGE)),
    ("a page that is neither used nor free", Check::Freelist, |db| {
        db.extend_from_slice(&[0; PAGE]);
        let pages = u32_at(db, 28) + 1;
        put(db, 28, &pages.to_be_bytes());
    }),
    ("number of free pages", Check::Freelist, |db| db[39] ^= 1),
    ("list of free pages refers to itself", Check::PageTwice, |db| {
        let page = u32_at(db, 32);
        put(db, (page as usize - 1) * PAGE, &page.to_be_bytes());
    }),
    ("two pages of the list of free pages refer to each other", Check::PageTwice, |db| {
        let trunk = u32_at(db, 32);
        let at = (trunk as usize - 1) * PAGE;
        assert!(u32_at(db, at + 4) > 0, "the list has one page that names others");
        let leaf = u32_at(db, at + 8);
        put(db, at, &leaf.to_be_bytes());
        put(db, (leaf as usize - 1) * PAGE, &[trunk.to_be_bytes(), [0; 4]].concat());
    }),
    ("a page of the table is in the list of free pages", Check::PageTwice, |db| {
        let at = (u32_at(db, 32) as usize - 1) * PAGE;
        let page = (root(db, "kine") / PAGE) as u32 + 1;
        put(db, at + 8, &page.to_be_bytes());
    }),
    ("a child that is its parent", Check::PageTwice, |db| {
        let at = root(db, "kine");
        let page = (at / PAGE) as u32 + 1;
        put(db, at + 8, &page.to_be_bytes());
    }),
    ("an overflow page that refers to itself", Check::PageTwice, |db| {
        let page = find(db, &[b'M'; 508]) / PAGE;
        put(db, page * PAGE, &(page as u32 + 1).to_be_bytes());
    }),
    ("an overflow page outside", Check::PageRange, |db| {
        let page = find(db, &[b'M'; 508]) / PAGE;
        put(db, page * PAGE, &[0xff; 4]);
    }),
    ("the longest integer as the length of the header of a record", Check::SqliteRecord, |db| {
        let at = leaf_row(db, b"/registry/once") - 10;
        put(db, at, &[0xff; 9]);
    }),
    ("the longest integer as the type of a column", Check::SqliteRecord, |db| {
        let at = leaf_row(db, b"/registry/once") - 9;
        put(db, at, &[0xff; 9]);
    }),
    ("more free pages than fit", Check::Freelist, |db| {
        let at = (u32_at(db, 32) as usize - 1) * PAGE;
        put(db, at + 4, &[0xff; 4]);
    }),
    ("a child outside", Check::PageRange, |db| {
        let at = root(db, "kine");
        put(db, at + 8, &[0, 0xff, 0xff, 0xff]);
    }),
    ("a child twice", Check::PageTwice, |db| {
        let at = root(db, "kine");
        let first = db[at + u16_at(db, at + 12)..][..4].to_vec();
        put(db, at + 8, &first);
    }),
    ("a leaf of an index in the table", Check::SqlitePage, |db| {
        let at = leaf(db, "kine");
        db[at] = 10;
    }),
    ("an unknown page", Check::SqlitePage, |db| {
        let at = leaf(db, "kine");
        db[at] = 1;
    }),
    ("number of cells", Check::SqlitePage, |db| {
        let at = leaf(db, "kine");
        put(db, at + 3, &[0xff, 0xff]);
    }),
    ("free bytes", Check::SqlitePage, |db| {
        let at = leaf(db, "kine");
        db[at + 7] ^= 2;
    }),
    ("a free block that loops", Check::SqlitePage, |db| {
        let at = leaf(db, "kine");
        put(db, at + 1, &[1, 0]);
        put(db, at + 256, &[1, 0, 0, 8]);
    }),
    ("length of a cell", Check::SqlitePage, |db| {
        let at = leaf(db, "kine");
        let cell = at + u16_at(db, at + 8);
        put(db, cell, &[0xff; 9]);
    }),
    ("order of rows", Check::KeyOrder, |db| exchange(db, "kine")),
    ("order of entries", Check::SqliteIndex, |db| exchange(db, "kine_name_id_index")),
    ("key of a branch", Check::KeyBounds, |db| {
        let at = root(db, "kine");
        // The last row on the left is not below the key any more.
        let keys = (0..u16_at(db, at + 3)).map(|i| at + u16_at(db, at + 12 + 2 * i) + 4);
        let key = keys.into_iter().find(|key| (2..=127).contains(&db[*key])).unwrap();
        db[key] -= 1;
    }),
    ("a record's own header", Check::SqliteRecord, |db| {
        // Ten bytes are before the name: the length of the header, and the types of nine columns.
        let at = leaf_row(db, b"/registry/once") - 10;
        assert_eq!(db[at], 10);
        db[at] = 9;
    }),
    ("an overflow chain that goes on", Check::SqliteCell, |db| {
        // The last page of a value of 1200 bytes begins with no successor.
        let page = (find(db, &[b'M'; 508]) / PAGE) * PAGE;
        let mut last = page;
        while u32_at(db, last) != 0 {
            last = (u32_at(db, last) as usize - 1) * PAGE;
        }
        put(db, last, &[0, 0, 0, 1]);
    }),
    ("another key in the table than in its indexes", Check::SqliteIndex, |db| {
        let at = leaf_row(db, b"/registry/once");
        db[at + 13] = b'f';
    }),
];

/// The position of a key in the table, not in an index.
fn leaf_row(db: &[u8], key: &[u8]) -> usize {
    let at = db.windows(key.len()).enumerate().filter(|(_, w)| *w == key).map(|(at, _)| at);
    at.into_iter().find(|at| db[at / PAGE * PAGE] == 13).unwrap()
}

/// Damage by SQL: its check, and the statements.
const SQL: &[(Check, &str)] = &[
    (Check::SqliteSchema, "CREATE TRIGGER t AFTER INSERT ON kine BEGIN DELETE FROM kine; END"),
    (Check::SqliteSchema, "CREATE VIEW v AS SELECT 1"),
    (Check::SqliteSchema, "CREATE TABLE other (x PRIMARY KEY) WITHOUT ROWID"),
    (Check::SqliteSchema, "DROP INDEX kine_name_prev_revision_uindex"),
    (Check::SqliteSchema, "ALTER TABLE kine ADD COLUMN x"),
    (Check::SqliteSchema, "DROP TABLE kine"),
    (Check::KineRow, "UPDATE kine SET deleted = 5 WHERE name = '/registry/once'"),
    (Check::KineRow, "UPDATE kine SET name = x'2f61' WHERE name = '/registry/once'"),
    (Check::KineRow, "UPDATE kine SET prev_revision = -1 WHERE name = '/registry/once'"),
    (Check::KineRow, "UPDATE kine SET id = -id WHERE name = '/registry/once'"),
    (
        Check::KineHistory,
        "DELETE FROM kine WHERE id = (SELECT max(prev_revision) FROM kine WHERE created = 0)",
    ),
    (Check::KineHistory, "UPDATE kine SET prev_revision = id + 1 WHERE name = '/registry/once'"),
    (
        Check::KineHistory,
        "UPDATE kine SET created = 1 WHERE name = '/registry/configmaps/default/11' AND created = 0",
    ),
    (Check::KineHistory, "UPDATE kine SET created = 0 WHERE name = '/registry/once'"),
    (Check::KineHistory, "UPDATE kine SET prev_revision = 0 WHERE name = 'compact_rev_key'"),
    (Check::KineHistory, "UPDATE kine SET create_revision = id - 1 WHERE name = '/registry/once'"),
    (Check::KineHistory, "UPDATE kine SET create_revision = id WHERE created = 0 AND deleted = 0"),
    (Check::KineHistory, "UPDATE kine SET create_revision = 0 WHERE created = 0 AND deleted = 0"),
    (Check::KineHistory, "UPDATE kine SET deleted = 1 WHERE name = '/registry/once'"),
];

#[test]
fn each_damage_of_kine_is_found_by_its_check() {
    let db = database(|_| ());
    let clean = check(&db);
    assert!(clean.is_clean(), "{:?}", clean.findings);
    let mut covered = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut row = |name: &str, expected: Check, damaged: &[u8]| {
        assert!(damaged != db, "{name} changes nothing");
        let found = check(damaged).findings;
        covered.insert(expected);
        if !found.iter().any(|f| f.check == expected) {
            wrong.push(format!("{name}: {} expected, found {found:?}", expected.as_str()));
        }
    };
    for (name, expected, damage) in ROWS {
        let mut damaged = db.clone();
        damage(&mut damaged);
        row(name, *expected, &damaged);
    }
    for (expected, sql) in SQL {
        row(sql, *expected, &database(|kine| kine.0.execute_batch(sql).unwrap()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<_> = CHECKS.iter().filter(|c| !covered.contains(c)).collect();
    assert!(missing.is_empty(), "checks without a row: {missing:?}");
}

#[test]
fn a_deletion_without_a_revision_of_creation_is_no_damage() {
    let db = database(|kine| {
        let deletions = kine.0.execute("UPDATE kine SET create_revision = 0 WHERE deleted = 1", []).unwrap();
        assert!(deletions > 0, "there is no deletion");
    });
    let result = check(&db);
    assert!(result.is_clean(), "{:?}", result.findings);
}

#[test]
fn tables_of_other_programs_are_no_damage_but_their_pages_are_verified() {
    let add = |kine: &Kine| {
        kine.0
            .execute_batch(
                "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); CREATE TABLE _litestream_lock (id INTEGER); \
                 CREATE TABLE key_value (name TEXT UNIQUE, value BLOB); CREATE INDEX of_value ON key_value (value); \
                 INSERT INTO key_value VALUES ('name', 'QQQQQQQQQQQQ');",
            )
            .unwrap();
    };
    let db = database(add);
    let (clean, without) = (check(&db), check(&database(|_| ())));
    assert!(clean.is_clean(), "{:?}", clean.findings);
    assert_eq!(clean.facts.key_revisions, without.facts.key_revisions);
    let mut damaged = db.clone();
    let at = find(&db, b"QQQQQQQQQQQQ") / PAGE * PAGE;
    put(&mut damaged, at + 3, &[0xff, 0xff]);
    assert!(!check(&damaged).is_clean());
}

#[test]
fn facts_of_kine_are_those_of_its_rows() {
    let db = database(|_| ());
    let facts = check(&db).facts;
    assert_eq!(inspect::datastore_of(&&db[..]), Some(Datastore::Sqlite));
    assert_eq!((facts.compacted, facts.cluster_id.as_deref()), (20, Some(UID)));
    assert_eq!(facts.token_hashes, ["ba1d715a4f9b"]);
    assert!(facts.members.is_empty() && facts.alarms.is_empty());
    let file = with_trailer(db);
    let db_len = inspect::database_len(file.len() as u64).unwrap();
    assert!(inspect::verify(&&file[..], db_len).unwrap().is_clean(), "with its checksum");
}

/// Mutations of them reach every part of the walk.
#[test]
fn the_inputs_of_the_fuzz_target_are_whole_databases() {
    for name in ["sqlite", "sqlite-auto-vacuum"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/snapshot").join(name);
        let result = check(&std::fs::read(path).unwrap());
        assert!(result.is_clean() && result.facts.compacted > 0, "{name}: {:?}", result.findings);
    }
}

#[test]
fn every_page_size_is_verified() {
    for page_size in [512, 1024, 4096, 16384, 65536] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let kine = Kine::create(&path, page_size);
        fill(&kine);
        for i in 0..400 {
            kine.put(&format!("/registry/{i}"), &vec![1; (i * 397) % 70_000]);
        }
        let revision = kine.revision();
        let result = check(&kine.into_bytes(&path));
        assert!(result.is_clean() && result.facts.revision == revision, "{page_size}: {:?}", result.findings);
    }
}

#[test]
fn contents_of_two_databases_can_be_compared_and_a_compaction_changes_none() {
    let content = |db: &[u8], max| inspect::read_content(&db, db.len() as u64, max).unwrap().unwrap();
    let db = database(|_| ());
    let before = content(&db, None);
    assert_eq!(before.facts, check(&db).facts);
    assert_eq!(before.bootstrap[0].value, b"salt:encrypted");
    assert_eq!(before.sample.len() as u64, before.live_keys);
    let later = database(|kine| {
        kine.put("/registry/later", b"1");
        kine.del("/registry/once");
    });
    assert_eq!(before.compare(&content(&later, Some(before.revision))), Comparison::Equal);
    assert!(matches!(before.compare(&content(&later, None)), Comparison::Differs(_)));
    let compacted = content(&database(|kine| kine.compact(kine.revision() - 2)), None);
    assert!(compacted.key_revisions < before.key_revisions);
    assert_eq!(before.compare(&compacted), Comparison::Equal);
    let changed = database(|kine| {
        kine.0.execute("UPDATE kine SET value = x'00' WHERE name = '/registry/once'", []).unwrap();
    });
    assert!(matches!(before.compare(&content(&changed, None)), Comparison::Differs(_)));
    assert!(inspect::read_content(&&db[..PAGE], PAGE as u64, None).unwrap().is_err());
}

/// Revision, key, whether it was created and deleted, and the revision before. `created` of kine's own row for compactions is left
/// out: nothing in kine depends on it, and versions of kine differ in what they write.
type Row = (i64, String, i64, i64, i64);

/// What matters of the rows, as SQLite reads them from the file; an error if SQLite finds damage.
fn rows_of(path: &Path) -> Result<Vec<Row>, String> {
    let text = |e: rusqlite::Error| e.to_string();
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(text)?;
    connection.pragma_update(None, "cell_size_check", 1).map_err(text)?;
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(text)?;
    if found != "ok" {
        return Err(found);
    }
    let sql = "SELECT id, name, created OR name = 'compact_rev_key', deleted, prev_revision FROM kine NOT INDEXED ORDER BY id";
    let mut statement = connection.prepare(sql).map_err(text)?;
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)));
    rows.map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

#[test]
fn what_sqlite_finds_in_flipped_bytes_is_found_and_the_rest_changes_no_revision() {
    let db = database(|_| ());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flipped.db");
    std::fs::write(&path, &db).unwrap();
    let whole = rows_of(&path).unwrap();
    let (mut found, mut harmless, mut missed) = (0, 0, Vec::new());
    let bits = db.len() * 8;
    // Of the sample, one bit of every seventh byte.
    let step = if std::env::var_os("LONG").is_some_and(|v| v == "1") { 1 } else { 57 };
    for bit in (0..bits).step_by(step) {
        let (at, mut flipped) = (bit / 8, db.clone());
        flipped[at] ^= 1 << (bit % 8);
        if !check(&flipped).is_clean() {
            found += 1;
            continue;
        }
        std::fs::write(&path, &flipped).unwrap();
        match rows_of(&path) {
            Ok(rows) if rows == whole => harmless += 1,
            Ok(rows) => {
                let other = rows.iter().zip(&whole).find(|(row, whole)| row != whole);
                missed.push(format!("byte {at}: {other:?}"));
            }
            Err(e) => missed.push(format!("byte {at}: {e}")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(found > 500 && harmless > 500, "{found} {harmless}");
}

#[test]
fn every_flipped_byte_of_a_snapshot_is_found_by_its_checksum() {
    let file = with_trailer(database(|_| ()));
    let db_len = inspect::database_len(file.len() as u64).unwrap();
    for at in 0..file.len() {
        let mut flipped = file.clone();
        flipped[at] ^= 0x20;
        let digests = inspect::hash(&&flipped[..], db_len, &mut |_| {}).unwrap();
        let trailer = inspect::trailer(&&flipped[..], db_len).unwrap();
        assert!(inspect::check_trailer(&digests.database, &trailer).is_err(), "byte {at}");
    }
}

#[test]
fn a_database_that_ends_anywhere_is_found_even_if_its_header_fits() {
    let db = database(|_| ());
    for len in (0..db.len()).step_by(61).chain((PAGE..db.len()).step_by(PAGE)) {
        assert!(!check(&db[..len]).is_clean(), "{len} bytes");
    }
    for pages in 1..db.len() / PAGE {
        let mut cut = db[..pages * PAGE].to_vec();
        put(&mut cut, 28, &(pages as u32).to_be_bytes());
        assert!(!check(&cut).is_clean(), "{pages} pages");
    }
}

/// Bytes that are as long as a file can be, of which few are not zero.
struct Sparse(Vec<u8>);

impl k3s_snapshot::io::ReadAt for Sparse {
    fn size(&self) -> u64 {
        u64::from(u32::MAX - 1) * PAGE as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        let have = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let len = have.len().min(buf.len());
        buf[..len].copy_from_slice(&have[..len]);
        buf[len..].fill(0);
        Ok(())
    }
}

/// Two terabytes: the time of the check depends on the pages that are used, not on those that are claimed.
#[test]
fn a_sparse_file_of_the_greatest_size_ends_as_a_finding() {
    for has_pointer_map in [false, true] {
        let mut db = database(|_| ());
        put(&mut db, 28, &(u32::MAX - 1).to_be_bytes());
        db[55] = u8::from(has_pointer_map);
        let data = Sparse(db);
        let result = inspect::verify(&data, k3s_snapshot::io::ReadAt::size(&data)).unwrap();
        assert!(!result.is_clean());
    }
}

/// `auto_vacuum` adds pages that map each page to its parent. kine does not set it, an operator may.
#[test]
fn a_database_with_auto_vacuum_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA page_size = 512; PRAGMA auto_vacuum = FULL; VACUUM")
        .unwrap();
    let kine = Kine::create(&path, PAGE as u32);
    fill(&kine);
    for i in 0..100 {
        kine.put(&format!("/registry/{i}"), &[1; 2000]);
    }
    let db = kine.into_bytes(&path);
    assert!(u32_at(&db, 52) != 0 && db.len() > 3 * 103 * PAGE, "several such pages");
    let result = check(&db);
    assert!(result.is_clean(), "{:?}", result.findings);
    // Such a page as a child.
    let mut damaged = db.clone();
    let at = root(&db, "kine");
    put(&mut damaged, at + 8, &2_u32.to_be_bytes());
    assert!(check(&damaged).findings.iter().any(|f| f.check == Check::PageTwice));
}

#[test]
fn hostile_bytes_end_as_findings() {
    let db = database(|_| ());
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize
    };
    // Whole pages are exchanged or overwritten: every reference is plausible, and most are wrong.
    let pages = db.len() / PAGE;
    let mut clean = 0;
    for round in 0..3000 {
        let mut hostile = db.clone();
        for _ in 0..=round % 4 {
            let (to, from) = (random() % pages * PAGE, random() % pages * PAGE);
            match round % 3 {
                0 => hostile.copy_within(from..from + PAGE, to),
                1 => (0..8).for_each(|_| hostile[to + random() % PAGE] = random() as u8),
                _ => hostile.truncate(random() % db.len() / PAGE * PAGE + PAGE),
            }
            hostile.resize(db.len(), 0xff);
        }
        clean += u32::from(check(&hostile).is_clean());
    }
    assert!(clean < 1500, "{clean} of 3000 passed");
    // As long as the file may claim to be.
    let mut claims = db.clone();
    put(&mut claims, 28, &[0xff; 4]);
    assert!(!check(&claims).is_clean());
    assert!(
        !check(&db[..16]).is_clean()
            && !check(&[b"SQLite format 3\0".as_slice(), &[0; 4096]].concat()).is_clean()
    );
}
