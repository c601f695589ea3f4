// SPDX-License-Identifier: Apache-2.0
//! The meta page of a bbolt file: what the newest one says, and the one that the next transaction writes.
//!
//! A file has two of them, in page 0 and page 1. The newer one counts, and a commit overwrites the other one.

use anyhow::Context;

use super::bolt_format::{HEADER, corrupt, header, u32_at, u64_at};
use crate::inspect;
use crate::io::ReadAt;

/// The page flag of a meta page.
const META: u16 = 0x04;
/// Where the record ends that the checksum is computed of, and where the checksum ends.
const SUMMED: usize = 72;
const END: usize = 80;
/// The freelist page of a file that has no freelist. etcd writes this at each commit since 3.4 (`NoFreelistSync`) and
/// finds the free pages when it opens the file: those that the tree does not use.
const NO_FREELIST: u64 = u64::MAX;

/// What the newest meta page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// Bytes of a page.
    pub(super) page_size: u64,
    /// The root page of the bucket of buckets, and the sequence number of that bucket.
    pub(super) root: u64,
    pub(super) sequence: u64,
    /// The high-water mark: no page from this number on is in use.
    pub(super) pages: u64,
    /// The transaction that wrote it.
    pub(super) txid: u64,
    /// Magic number, version, page size and flags, as they are in the file.
    start: [u8; 16],
    /// The page that it is in: 0 or 1.
    slot: u64,
}

impl Meta {
    /// Reads the newest valid meta page, and the revision of etcd that the database is at.
    ///
    /// # Errors
    ///
    /// `database-corrupt` if no meta page is valid, if the file is shorter than its high-water mark, or if no path
    /// leads to the newest revision; an error of the reader.
    pub(super) fn read(data: &dyn ReadAt) -> anyhow::Result<(Meta, i64)> {
        let image = inspect::canonicalize(data).context("reading the database")?;
        let image = image.map_err(|finding| corrupt(finding.to_string()))?;
        let newest = image.metas.get(..SUMMED).ok_or_else(|| corrupt("no meta page".into()))?;
        let revision = image.revision.ok_or_else(|| corrupt("no path to the newest revision".into()))?;
        let mut first = [0; SUMMED];
        data.read_exact_at(&mut first, 0).context("reading the database")?;
        let (_, record) = newest.split_at(HEADER);
        let (_, first) = first.split_at(HEADER);
        let meta = Meta {
            page_size: u32_at(record, 8).into(),
            root: u64_at(record, 16),
            sequence: u64_at(record, 24),
            pages: u64_at(record, 40),
            txid: u64_at(record, 48),
            start: record.first_chunk().copied().unwrap_or_default(),
            // Both pages are never of the same transaction: `canonicalize` has taken the newer one.
            slot: u64::from(record != first),
        };
        Ok((meta, revision))
    }

    /// The meta page of the next transaction, for a tree with this root and this high-water mark; and the page number.
    ///
    /// It goes to the page that the newest one is not in: until it is completely written, the newest one counts.
    pub(super) fn next(&self, root: u64, pages: u64) -> anyhow::Result<(u64, Vec<u8>)> {
        let slot = 1 - self.slot;
        // bbolt writes transaction n to page n % 2. After a restore the newest may be in the other one; then a number
        // is left out, so that the transaction after this one does not overwrite this one.
        let step = if (self.txid ^ slot) & 1 == 1 { 1 } else { 2 };
        let txid =
            self.txid.checked_add(step).ok_or_else(|| corrupt("the last transaction number".into()))?;
        let mut page = header(slot, META, 0, 0).to_vec();
        page.extend_from_slice(&self.start);
        for number in [root, self.sequence, NO_FREELIST, pages, txid] {
            page.extend_from_slice(&number.to_le_bytes());
        }
        let sum = fnv1a(page.get(HEADER..).unwrap_or_default());
        page.extend_from_slice(&sum.to_le_bytes());
        debug_assert_eq!(page.len(), END);
        page.resize(usize::try_from(self.page_size).unwrap_or(END), 0);
        Ok((slot, page))
    }
}

/// bbolt's checksum: FNV-1a of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
