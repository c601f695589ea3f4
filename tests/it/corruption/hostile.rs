// SPDX-License-Identifier: Apache-2.0
//! Arbitrary bytes, arbitrary pages and mutated files: nothing panics, loops, or reads more than a few times the file.
//! `LONG=1` tries many more.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use k3s_snapshot::inspect::{self, Check, CheckResult};
use k3s_snapshot::io::ReadAt;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::anatomy::{Anatomy, Part};
use super::rows::both_metas;
use super::{BEFORE, long, sample, sample_shape, verify};
use crate::bolt_writer::{Bucket, Shape, database, etcd};

/// Counts what is read.
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

/// Whatever the bytes are: verification returns, reads each range a few times at most, and reads one window at a time. The same
/// holds for the content, which exists if there are no findings.
fn verify_bounded(data: &[u8]) -> CheckResult {
    let metered = |read: &dyn Fn(&Meter<'_>)| {
        let meter = Meter { data, read: AtomicU64::new(0), largest: AtomicU64::new(0) };
        read(&meter);
        let (total, largest) = (meter.read.into_inner(), meter.largest.into_inner());
        assert!(largest <= 64 * 1024, "{largest} bytes at once");
        assert!(total <= 8 * data.len() as u64 + 4096, "{total} bytes read of {}", data.len());
    };
    let len = data.len() as u64;
    let result = std::cell::OnceCell::new();
    metered(&|meter| drop(result.set(inspect::verify(meter, len).unwrap())));
    let result = result.into_inner().unwrap();
    metered(&|meter| match inspect::read_content(meter, len, None).unwrap() {
        Ok(content) => assert!(result.is_clean() && content.facts == result.facts),
        Err(findings) => assert_eq!(findings, result.findings),
    });
    if let Ok((data, len)) = inspect::open_offline(&data).unwrap() {
        assert_eq!(
            inspect::read_content(&data, len, None).unwrap().is_ok(),
            inspect::verify(&data, len).unwrap().is_clean()
        );
    }
    result
}

#[test]
fn a_read_error_is_an_error_and_a_file_that_shrinks_is_a_finding() {
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
    assert_eq!(error.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::TimedOut));
    let result = inspect::verify(&Broken(io::ErrorKind::UnexpectedEof), db_len).unwrap();
    assert!(!result.is_clean() && result.findings.iter().all(|f| f.check == Check::Truncated));
}

#[test]
fn huge_pages_with_many_elements_are_read_in_chunks() {
    let mut many = Bucket::default();
    for i in 0..60_000 {
        many = many.put(format!("{i:08}"), "12345678");
    }
    // One leaf that is much larger than a window; bbolt writes no such leaf.
    let shape = Shape { per_page: 1_000_000, page_size: 65536, ..Shape::default() };
    let mut root = etcd(3, 3);
    root = root.nest("many", many);
    let db = database(&shape, &root);
    assert!(verify_bounded(&db).is_clean());
}

/// Pages after two valid meta pages, so that the walk reaches them.
fn with_metas(pages: &[u8], root: u64, freelist: u64) -> Vec<u8> {
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
    // Small numbers make headers and elements that pass the first checks.
    let byte = prop_oneof![6 => Just(0_u8), 3 => 0..32_u8, 1 => any::<u8>()];
    proptest::collection::vec(proptest::collection::vec(byte, 256), 1..12).prop_map(|pages| {
        let mut out = Vec::new();
        for (i, mut page) in pages.into_iter().enumerate() {
            page.resize(4096, 0);
            // The right number, or the page would be refused at once.
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
    fn arbitrary_bytes_are_corrupt(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        assert!(!verify_bounded(&bytes).is_clean());
        assert!(verify(&bytes).is_err());
        inspect::datastore_of(&&bytes[..]);
    }

    #[test]
    fn arbitrary_pages_after_valid_meta_pages_are_corrupt(
        pages in pages(), root in 0..14_u64, freelist in prop_oneof![Just(u64::MAX), 0..14_u64],
    ) {
        assert!(!verify_bounded(&with_metas(&pages, root, freelist)).is_clean());
    }

    #[test]
    fn mutated_files_are_verified_within_bounds(edits in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<bool>()), 1..40)) {
        let mut db = database(&sample_shape(), &sample());
        let positions: Vec<usize> =
            Anatomy::of(&db).pieces.iter().filter(|p| p.part != Part::Value).flat_map(|p| p.at..p.at + p.len).collect();
        for (position, byte, anywhere) in edits {
            let at = if anywhere { position % db.len() } else { positions[position % positions.len()] };
            db[at] = byte;
        }
        // The walk must reach the pages after the meta pages.
        db[24..28].copy_from_slice(&4096_u32.to_le_bytes());
        both_metas(&mut db, 8, &4096_u32.to_le_bytes());
        both_metas(&mut db, 0, &[0xED, 0xDA, 0x0C, 0xED, 2, 0, 0, 0]);
        verify_bounded(&db);
    }
}
