// SPDX-License-Identifier: Apache-2.0
//! The two meta pages of a bbolt file: which is the newest, and whether both are sound.
//!
//! A snapshot as etcd streams it holds both, alike but for the transaction id, so damage to either is damage.
//! The file of a running etcd may hold an older twin that names pages long since reused: only the newest is
//! ever followed.

use std::io;

use super::finding::{Check, Finding, Findings, PageError};
use super::page::{Header, META, u32_at, u64_at};
use crate::io::ReadAt;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// A page header and the meta record behind it.
const LEN: usize = 80;
/// etcd takes the page size of the machine: 4 KiB, on some 16 or 64 KiB.
const PAGE_SIZES: [u32; 5] = [4096, 8192, 16384, 32768, 65536];

/// What the walk needs of a meta page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    /// Where it is: the offset of its page.
    pub(super) at: u64,
    pub(super) page_size: u32,
    pub(super) root: u64,
    pub(super) freelist: u64,
    /// The high-water mark: pages from here on do not exist.
    pub(super) pages: u64,
    pub(super) txid: u64,
}

/// Whether this is meant to be a snapshot at all: one of the meta pages bears bbolt's magic number.
///
/// Tells "not a snapshot" from "a damaged one"; a reader that fails says no.
pub fn has_magic(data: &dyn ReadAt) -> bool {
    std::iter::once(0)
        .chain(PAGE_SIZES)
        .filter_map(|at| read(data, u64::from(at)).ok())
        .any(|record| u32_at(&record, 16) == MAGIC)
}

/// Checks both meta pages; the newest sound one, or none.
pub(super) fn newest(data: &dyn ReadAt, findings: &mut Findings) -> io::Result<Option<Meta>> {
    let first = examine(data, 0, 0);
    let page_size = match &first {
        Ok(meta) => meta.page_size,
        // The twin says its page size where it can be found; else the size most machines have stands in for
        // the report.
        Err(_) => PAGE_SIZES
            .into_iter()
            .find(|size| examine(data, 1, u64::from(*size)).is_ok_and(|meta| meta.page_size == *size))
            .unwrap_or(4096),
    };
    let second = examine(data, 1, page_size.into()).and_then(|meta| {
        if meta.page_size == page_size {
            return Ok(meta);
        }
        let text = format!("a page size of {}, but {page_size} in its twin", meta.page_size);
        Err(Finding::at(Check::MetaPageSize, 1, page_size.into(), text).into())
    });
    let first = settle(data, first, 0, 0, findings)?;
    let second = settle(data, second, 1, page_size.into(), findings)?;
    if let (Some(a), Some(b)) = (first, second) {
        // Each commit overwrites the older of the two; after a restore of an odd transaction the gap is two
        // for once.
        if !(1..=2).contains(&a.txid.abs_diff(b.txid)) {
            let text = format!("transaction {} in one meta page, {} in the other", a.txid, b.txid);
            findings.push(Finding::at(Check::MetaTxid, 1, page_size.into(), text));
        }
    }
    Ok([first, second].into_iter().flatten().max_by_key(|meta| meta.txid))
}

/// Turns the examination of one meta page into findings; its header counts only once the record itself is
/// sound.
fn settle(
    data: &dyn ReadAt,
    meta: Result<Meta, PageError>,
    page: u64,
    at: u64,
    findings: &mut Findings,
) -> io::Result<Option<Meta>> {
    let meta = match meta {
        Ok(meta) => meta,
        Err(halt) => {
            findings.push(halt.damage(page, at)?);
            return Ok(None);
        }
    };
    let header = Header::parse(&read(data, at)?);
    if header != (Header { id: page, flags: META, count: 0, overflow: 0 }) {
        findings.push(Finding::at(Check::MetaHeader, page, at, "not the header of this meta page"));
    }
    Ok(Some(meta))
}

/// The two meta pages that bbolt's own copy of this database has: both say what `meta` says, the second as the transaction
/// before. An older twin may name pages that are in use for something else by now; so nobody can fall back to it.
pub(super) fn meta_pages(data: &dyn ReadAt, meta: &Meta) -> io::Result<Vec<u8>> {
    let record = read(data, meta.at)?;
    let (_, body) = record.split_at(16);
    let (body, _) = body.split_at(48);
    let mut pages = Vec::new();
    for id in [0_u64, 1] {
        let end = pages.len() + meta.page_size as usize;
        pages.extend_from_slice(&id.to_le_bytes());
        // No elements, no overflow.
        pages.extend_from_slice(&u64::from(META).to_le_bytes());
        let start = pages.len();
        pages.extend_from_slice(body);
        pages.extend_from_slice(&meta.txid.wrapping_sub(id).to_le_bytes());
        let sum = fnv1a(pages.iter().skip(start));
        pages.extend_from_slice(&sum.to_le_bytes());
        pages.resize(end, 0);
    }
    Ok(pages)
}

fn read(data: &dyn ReadAt, at: u64) -> io::Result<[u8; LEN]> {
    let mut record = [0; LEN];
    data.read_exact_at(&mut record, at)?;
    Ok(record)
}

fn examine(data: &dyn ReadAt, page: u64, at: u64) -> Result<Meta, PageError> {
    let record = read(data, at)?;
    let (magic, version, page_size) = (u32_at(&record, 16), u32_at(&record, 20), u32_at(&record, 24));
    let wrong = |check, text: String| Err(Finding::at(check, page, at, text).into());
    if magic != MAGIC {
        return wrong(Check::MetaMagic, format!("a magic number of {magic:#010x}, not {MAGIC:#010x}"));
    }
    if version != VERSION {
        return wrong(Check::MetaVersion, format!("format version {version}, not {VERSION}"));
    }
    if !PAGE_SIZES.contains(&page_size) {
        return wrong(Check::MetaPageSize, format!("a page size of {page_size} bytes"));
    }
    let (summed, _) = record.split_at(72);
    let sum = fnv1a(summed.iter().skip(16));
    if sum != u64_at(&record, 72) {
        return wrong(Check::MetaChecksum, "the checksum does not fit".into());
    }
    Ok(Meta {
        at,
        page_size,
        root: u64_at(&record, 32),
        freelist: u64_at(&record, 48),
        pages: u64_at(&record, 56),
        txid: u64_at(&record, 64),
    })
}

fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_fnv_1a_of_64_bits() {
        assert_eq!(fnv1a(b"".iter()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar".iter()), 0x8594_4171_f739_67e8);
    }

    /// Both meta pages of a snapshot that etcd streamed are what it wrote; from either alone the same two are made.
    #[test]
    fn twins_are_those_of_bbolt_s_own_copy() {
        let whole = include_bytes!("../../tests/fixtures/before-server-1-1795339215");
        let streamed = &whole[..8192];
        let meta = newest(&streamed, &mut Findings::default()).unwrap().unwrap();
        assert_eq!(meta.at, 0);
        assert_eq!(meta_pages(&streamed, &meta).unwrap(), streamed);
        // As in a live file: the newest in the second place, a stale one in the first.
        let mut live = streamed.to_vec();
        live.copy_within(0..4096, 4096);
        live[4096] = 1;
        live[64] = live[64].wrapping_sub(1);
        let sum = fnv1a(live[16..72].iter());
        live[72..80].copy_from_slice(&sum.to_le_bytes());
        live[100] = 7;
        let mut findings = Findings::default();
        let newest = newest(&&live[..], &mut findings).unwrap().unwrap();
        assert!(findings.is_empty() && newest.at == 4096 && newest.txid == meta.txid);
        assert_eq!(meta_pages(&&live[..], &newest).unwrap(), streamed);
    }

    #[test]
    fn the_magic_is_looked_for_in_both_meta_pages_of_every_page_size() {
        for at in [0, 4096, 8192, 16384, 32768, 65536] {
            let mut data = vec![0_u8; 70_000];
            assert!(!has_magic(&&data[..]));
            data[at + 16..at + 20].copy_from_slice(&MAGIC.to_le_bytes());
            assert!(has_magic(&&data[..]), "at {at}");
        }
        assert!(!has_magic(&&b"PK\x03\x04"[..]));
    }
}
