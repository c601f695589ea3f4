// SPDX-License-Identifier: Apache-2.0
//! The header of a SQLite database: the first 100 bytes.

use crate::inspect::finding::{Check, Finding};
use crate::io::ReadAt;

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of the header.
pub(super) const HEADER: usize = 100;
/// The least bytes of a page that SQLite uses.
const MIN_USABLE: u32 = 480;
/// The text encoding UTF-8.
const UTF8: u32 = 1;

/// Whether the bytes begin like a SQLite database.
pub(in crate::inspect) fn has_magic(data: &dyn ReadAt) -> bool {
    let mut head = [0; MAGIC.len()];
    data.read_exact_at(&mut head, 0).is_ok() && head == *MAGIC
}

/// What the header of a database contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of a page: a power of two from 512 to 65536.
    pub(super) page_size: u32,
    /// Bytes of a page that are in use.
    pub(super) usable: u32,
    /// Pages of the database.
    pub(super) pages: u32,
    /// The first page of the list of free pages; 0 if there is none.
    pub(super) freelist: u32,
    /// How many pages are free.
    pub(super) free_pages: u32,
    /// Whether there are pages that map each page to its parent.
    pub(super) has_pointer_map: bool,
}

/// The big-endian integer at `at`; 0 if it is not inside `bytes`, which no caller asks for.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_be_bytes(*b))
}

/// The big-endian integer at `at`; 0 if it is not inside `bytes`, which no caller asks for.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_be_bytes(*b))
}

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// A finding if SQLite would not write it.
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Result<Header, Finding> {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let wrong =
            |what: &str| Err(Finding::at(Check::SqliteHeader, 1, 0, format!("the header has {what}")));
        if bytes.first_chunk() != Some(MAGIC) {
            return wrong("another magic number");
        }
        let page_size = match u16_at(bytes, 16) {
            1 => 65536,
            size => u32::from(size),
        };
        if !page_size.is_power_of_two() || page_size < 512 {
            return wrong("an impossible page size");
        }
        // 1: a journal that is rolled back, 2: a write-ahead log.
        if !matches!((byte(18), byte(19)), (1, 1) | (2, 2)) {
            return wrong("an unknown version of the file format");
        }
        let usable = page_size - u32::from(byte(20));
        if usable < MIN_USABLE {
            return wrong("too many reserved bytes in a page");
        }
        if bytes.get(21..24) != Some(&[64, 32, 32]) {
            return wrong("other fractions of a payload than 64, 32, 32");
        }
        if u32_at(bytes, 24) != u32_at(bytes, 92) {
            return wrong("a number of pages that is not of the last change");
        }
        if !(1..=4).contains(&u32_at(bytes, 44)) {
            return wrong("an unknown format of the schema");
        }
        if u32_at(bytes, 64) != 0 && u32_at(bytes, 52) == 0 {
            return wrong("an incremental vacuum, but no pages that it needs");
        }
        if u32_at(bytes, 56) != UTF8 {
            return wrong("another text encoding than UTF-8, which kine uses");
        }
        if bytes.get(72..92).is_none_or(|reserved| reserved.iter().any(|b| *b != 0)) {
            return wrong("bytes in the part that is reserved");
        }
        Ok(Header {
            page_size,
            usable,
            pages: u32_at(bytes, 28),
            freelist: u32_at(bytes, 32),
            free_pages: u32_at(bytes, 36),
            has_pointer_map: u32_at(bytes, 52) != 0,
        })
    }
}
