// SPDX-License-Identifier: Apache-2.0
//! The meta pages of a bbolt file: reads the newest one, and makes the one of the next transaction.
//!
//! A file has two meta pages, page 0 and page 1. bbolt uses the valid one with the higher transaction number. A commit
//! overwrites the other one.

use anyhow::Context;

use super::bolt_format::{HEADER, corrupt, header, u32_at, u64_at};
use crate::inspect;
use crate::io::ReadAt;

/// The page flag of a meta page.
const META: u16 = 0x04;
/// The offsets in a meta page at which the checksum begins and ends. The checksum covers all bytes after the header.
const SUMMED: usize = 72;
const END: usize = 80;
/// The number of the freelist page if the file has no freelist. etcd writes no freelist since 3.4 (`NoFreelistSync`):
/// when it opens the file, all pages that the tree does not use are free.
const NO_FREELIST: u64 = u64::MAX;

/// The content of the newest meta page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// Bytes of a page of the file.
    pub(super) page_size: u64,
    /// The root page of the root bucket, and the sequence number of the root bucket.
    pub(super) root: u64,
    pub(super) sequence: u64,
    /// The high-water mark: all pages in use have lower numbers.
    pub(super) pages: u64,
    /// The number of the transaction that wrote the meta page.
    pub(super) txid: u64,
    /// Magic number, version, page size and flags, as they are in the file.
    start: [u8; 16],
    /// The number of the meta page: 0 or 1.
    slot: u64,
}

impl Meta {
    /// Reads the newest valid meta page, and the revision of the etcd store.
    ///
    /// # Errors
    ///
    /// `database-corrupt` if no meta page is valid, if the file is shorter than its high-water mark, or if the newest
    /// revision cannot be found. An error of the reader.
    pub(super) fn read(data: &dyn ReadAt) -> anyhow::Result<(Meta, i64)> {
        let image = inspect::canonicalize(data).context("reading the database")?;
        let image = image.map_err(|finding| corrupt(finding.to_string()))?;
        let newest = image.metas.get(..SUMMED).ok_or_else(|| corrupt("no meta page".into()))?;
        let revision = image.revision.ok_or_else(|| corrupt("the newest revision cannot be found".into()))?;
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
            // `canonicalize` returns the record of the newer page, so only that page has the same bytes.
            slot: u64::from(record != first),
        };
        Ok((meta, revision))
    }

    /// The meta page of the next transaction, for a tree with this root and this high-water mark. Returns the number of
    /// the page and its bytes.
    ///
    /// The page is not the one that is in use. bbolt uses the new page only after all of it is written.
    pub(super) fn next(&self, root: u64, pages: u64) -> anyhow::Result<(u64, Vec<u8>)> {
        let slot = 1 - self.slot;
        // bbolt writes transaction n to page n % 2. A restored file may have its newest transaction in the other page.
        // Then one number is skipped: otherwise the next transaction of bbolt overwrites the page written here.
        let step = if (self.txid ^ slot) & 1 == 1 { 1 } else { 2 };
        let txid = self
            .txid
            .checked_add(step)
            .ok_or_else(|| corrupt("the transaction number is the highest possible one".into()))?;
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

/// The checksum of a meta page: 64-bit FNV-1a.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
