// SPDX-License-Identifier: Apache-2.0
//! The two meta pages of a bbolt file: which one is the newest, and whether both are valid.
//!
//! A snapshot that etcd streams has two meta pages that differ in the transaction id only, so damage to either is damage. In
//! the file of a running etcd the older one may refer to pages that were reused since: only the newest is followed.

use std::io;

use super::finding::{Check, Finding, Findings, PageError};
use super::page::{Header, META, u32_at, u64_at};
use crate::io::ReadAt;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes of a page header and the meta record after it.
const LEN: usize = 80;
/// etcd uses the page size of the machine: 4 KiB, on some machines 16 or 64 KiB.
const PAGE_SIZES: [u32; 5] = [4096, 8192, 16384, 32768, 65536];

/// The fields of a meta page that the walk needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    /// The offset of its page.
    pub(super) at: u64,
    pub(super) page_size: u32,
    pub(super) root: u64,
    pub(super) freelist: u64,
    /// The high-water mark: pages from here on do not exist.
    pub(super) pages: u64,
    pub(super) txid: u64,
}

/// Whether the bytes are those of a snapshot, whole or corrupt: one of the meta pages has the magic number of bbolt.
///
/// Distinguishes "not a snapshot" from "a corrupt snapshot". False if the bytes cannot be read.
pub(super) fn has_magic(data: &dyn ReadAt) -> bool {
    std::iter::once(0)
        .chain(PAGE_SIZES)
        .filter_map(|at| read(data, u64::from(at)).ok())
        .any(|record| u32_at(&record, 16) == MAGIC)
}

/// Checks both meta pages, and returns the newest valid one.
///
/// # Errors
/// If the bytes cannot be read. Damage is a finding.
pub(super) fn newest(data: &dyn ReadAt, findings: &mut Findings) -> io::Result<Option<Meta>> {
    let first = parse(data, 0, 0);
    let page_size = match &first {
        Ok(meta) => meta.page_size,
        // The second page has the page size too, if it can be found. Otherwise the report assumes the usual size.
        Err(_) => PAGE_SIZES
            .into_iter()
            .find(|size| parse(data, 1, u64::from(*size)).is_ok_and(|meta| meta.page_size == *size))
            .unwrap_or(4096),
    };
    let second = parse(data, 1, page_size.into()).and_then(|meta| {
        if meta.page_size == page_size {
            return Ok(meta);
        }
        let text = format!("a page size of {}, but {page_size} in the other meta page", meta.page_size);
        Err(Finding::at(Check::MetaPageSize, 1, page_size.into(), text).into())
    });
    let first = validate(data, first, 0, 0, findings)?;
    let second = validate(data, second, 1, page_size.into(), findings)?;
    if let (Some(a), Some(b)) = (first, second) {
        // Each commit overwrites the older of the two. After a restore of an odd transaction the difference is 2 once.
        if !(1..=2).contains(&a.txid.abs_diff(b.txid)) {
            let text = format!("transaction {} in one meta page, {} in the other", a.txid, b.txid);
            findings.push(Finding::at(Check::MetaTxid, 1, page_size.into(), text));
        }
    }
    Ok([first, second].into_iter().flatten().max_by_key(|meta| meta.txid))
}

/// Turns the errors of one meta page into findings. Its header is checked only if the record itself is valid.
fn validate(
    data: &dyn ReadAt,
    meta: Result<Meta, PageError>,
    page: u64,
    at: u64,
    findings: &mut Findings,
) -> io::Result<Option<Meta>> {
    let meta = match meta {
        Ok(meta) => meta,
        Err(error) => {
            findings.push(error.into_finding(page, at)?);
            return Ok(None);
        }
    };
    let header = Header::parse(&read(data, at)?);
    if header != (Header { id: page, flags: META, count: 0, overflow: 0 }) {
        findings.push(Finding::at(Check::MetaHeader, page, at, "not the header of a meta page"));
    }
    Ok(Some(meta))
}

/// The two meta pages that bbolt's own copy of this database has: both have the fields of `meta`, and the second has the
/// transaction id before it. The older page of the file is not used: it may refer to pages that were reused since.
///
/// # Errors
/// If the bytes cannot be read.
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

fn parse(data: &dyn ReadAt, page: u64, at: u64) -> Result<Meta, PageError> {
    let record = read(data, at)?;
    let (magic, version, page_size) = (u32_at(&record, 16), u32_at(&record, 20), u32_at(&record, 24));
    let invalid = |check, text: String| Err(Finding::at(check, page, at, text).into());
    if magic != MAGIC {
        return invalid(Check::MetaMagic, format!("the magic number is {magic:#010x}, not {MAGIC:#010x}"));
    }
    if version != VERSION {
        return invalid(Check::MetaVersion, format!("the format version is {version}, not {VERSION}"));
    }
    if !PAGE_SIZES.contains(&page_size) {
        return invalid(Check::MetaPageSize, format!("a page size of {page_size} bytes"));
    }
    let (hashed, _) = record.split_at(72);
    let sum = fnv1a(hashed.iter().skip(16));
    if sum != u64_at(&record, 72) {
        return invalid(Check::MetaChecksum, "the checksum is wrong".into());
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

/// FNV-1a of 64 bits, the checksum of a meta page.
pub(crate) fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
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

    /// A snapshot that etcd streamed has the pages that are computed from it; so has a file whose newest page is the second.
    #[test]
    fn meta_pages_equal_those_of_bbolt_s_own_copy() {
        let whole = include_bytes!("../../tests/fixtures/before-server-1-1795339215");
        let streamed = &whole[..8192];
        let meta = newest(&streamed, &mut Findings::default()).unwrap().unwrap();
        assert_eq!(meta.at, 0);
        assert_eq!(meta_pages(&streamed, &meta).unwrap(), streamed);
        // As in a live file: the newest is the second, and the first is stale.
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
    fn the_magic_number_is_found_in_both_meta_pages_of_every_page_size() {
        for at in [0, 4096, 8192, 16384, 32768, 65536] {
            let mut data = vec![0_u8; 70_000];
            assert!(!has_magic(&&data[..]));
            data[at + 16..at + 20].copy_from_slice(&MAGIC.to_le_bytes());
            assert!(has_magic(&&data[..]), "at {at}");
        }
        assert!(!has_magic(&&b"PK\x03\x04"[..]));
    }
}
