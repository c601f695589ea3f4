// SPDX-License-Identifier: Apache-2.0
//! The pages of a database, and which of them are used. A page is used once: that bounds the time of every walk.

use std::io;

use super::header::Header;
use crate::inspect::finding::{Check, Finding, PageError};
use crate::inspect::page_set::PageSet;
use crate::inspect::read_ahead::ReadAhead;
use crate::io::ReadAt;

/// The page that contains this byte is never used: SQLite locks it.
const LOCK_BYTE: u64 = 0x4000_0000;

/// The pages of a database. Their numbers begin at 1.
pub(super) struct Pages<'a> {
    data: &'a ReadAhead<'a>,
    page_size: u64,
    /// Bytes of a page that are in use.
    pub(super) usable: usize,
    /// The number of the last page.
    last: u64,
    used: PageSet,
    /// The distance of the pages that map pages to their parents, if there are any.
    map_step: Option<u64>,
}

impl<'a> Pages<'a> {
    /// The pages that the header names, as far as the file has them.
    pub(super) fn new(data: &'a ReadAhead<'a>, header: &Header, db_len: u64) -> Pages<'a> {
        let page_size = u64::from(header.page_size);
        let last = u64::from(header.pages).min(db_len.min(data.size()) / page_size);
        let mut pages = Pages {
            data,
            page_size,
            usable: header.usable as usize,
            last,
            used: PageSet::new(last + 1),
            // One such page is for the pages that follow it, with five bytes for each.
            map_step: header.has_pointer_map.then(|| u64::from(header.usable) / 5 + 1),
        };
        // There is no page 0.
        pages.used.insert(0, 1);
        let lock = LOCK_BYTE / page_size + 1;
        pages.used.insert(lock, lock + 1);
        pages
    }

    /// Whether the page maps others to their parents. It is computed: a hostile file would have millions of them.
    fn is_map(&self, page: u64) -> bool {
        let Some(step) = self.map_step.filter(|_| page >= 2) else { return false };
        let at = (page - 2) / step * step + 2;
        page == if at == LOCK_BYTE / self.page_size + 1 { at + 1 } else { at }
    }

    fn is_used(&self, page: u64) -> bool {
        self.used.contains(page) || self.is_map(page)
    }

    /// The byte offset of a page in the file.
    pub(super) fn offset(&self, page: u64) -> u64 {
        page.saturating_sub(1).saturating_mul(self.page_size)
    }

    /// Claims a page for the structure that refers to it.
    ///
    /// # Errors
    /// A finding if it does not exist, or is used already.
    pub(super) fn claim(&mut self, page: u32, from: u64) -> Result<u64, Finding> {
        let page = u64::from(page);
        if page == 0 || page > self.last {
            let text = format!("refers to page {page}, which does not exist");
            return Err(Finding::at(Check::PageRange, from, self.offset(from), text));
        }
        if self.is_used(page) {
            let text = format!("refers to page {page}, which is used already");
            return Err(Finding::at(Check::PageTwice, from, self.offset(from), text));
        }
        self.used.insert(page, page + 1);
        Ok(page)
    }

    /// Reads the part of a page that is in use.
    ///
    /// # Errors
    /// If its bytes cannot be read.
    pub(super) fn read(&self, page: u64, into: &mut Vec<u8>) -> io::Result<()> {
        into.resize(self.usable, 0);
        self.data.read_exact_at(into, self.offset(page))
    }

    /// The first page that nothing refers to.
    pub(super) fn first_unused(&self) -> Option<u64> {
        (1..=self.last).find(|page| !self.is_used(*page))
    }

    /// A finding on a page.
    pub(super) fn finding(&self, check: Check, page: u64, text: impl Into<String>) -> PageError {
        PageError::Found(Finding::at(check, page, self.offset(page), text))
    }
}
