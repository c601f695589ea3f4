// SPDX-License-Identifier: Apache-2.0
//! Who owns which page: each has one owner at most, and carries its own number.
//!
//! One bit a page, for no more pages than the file really has. What a page holds is not looked at here.

use super::finding::{Check, Finding, PageError};
use super::page::{Header, Page};
use crate::io::ReadAt;

/// The pages of a file and whether they are in use, as far as has been walked.
pub(super) struct PageMap<'a> {
    pub(super) data: &'a dyn ReadAt,
    pub(super) page_size: u64,
    /// All of them lie in `data`.
    pub(super) pages: u64,
    seen: Vec<u64>,
}

impl<'a> PageMap<'a> {
    /// A ledger of `pages` pages, in which the two meta pages are taken.
    pub(super) fn new(data: &'a dyn ReadAt, page_size: u64, pages: u64) -> PageMap<'a> {
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(0);
        let mut ledger = PageMap { data, page_size, pages, seen: vec![0; words] };
        ledger.mark(0);
        ledger.mark(1);
        ledger
    }

    /// How many pages are in use.
    pub(super) fn used(&self) -> u64 {
        self.seen.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether a page is in use.
    pub(super) fn is_used(&self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok().and_then(|i| self.seen.get(i));
        word.is_some_and(|word| (word >> (page % 64)) & 1 == 1)
    }

    fn mark(&mut self, page: u64) {
        if let Some(word) = usize::try_from(page / 64).ok().and_then(|i| self.seen.get_mut(i)) {
            *word |= 1 << (page % 64);
        }
    }

    /// Takes possession of a page and its overflow, and opens it.
    pub(super) fn mark_used(&mut self, id: u64, page: &mut Page) -> Result<Header, PageError> {
        if id < 2 || id >= self.pages {
            let last = self.pages.saturating_sub(1);
            let text = format!("a reference to page {id}, which is none of the pages 2 to {last}");
            return Err(Finding::new(Check::PageRange, text).into());
        }
        let base = id * self.page_size;
        let wrong = |check, text: String| Err(Finding::at(check, id, base, text).into());
        if self.is_used(id) {
            return wrong(Check::PageTwice, "referenced twice, or part of another page".into());
        }
        let header = page.open(self.data, id, base, self.page_size)?;
        if header.id != id {
            return wrong(Check::PageId, format!("the page says that it is page {}", header.id));
        }
        let end = id + 1 + u64::from(header.overflow);
        if end > self.pages {
            return wrong(Check::PageOverflow, format!("{} pages of overflow pass the end", header.overflow));
        }
        // All or nothing: a wrong overflow must not take pages away from their owners as well.
        if let Some(taken) = (id..end).find(|page| self.is_used(*page)) {
            return wrong(Check::PageTwice, format!("its overflow covers page {taken}, which is in use"));
        }
        (id..end).for_each(|page| self.mark(page));
        page.extend(self.data, (end - id) * self.page_size)?;
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_marked_singly_and_none_beyond_the_last() {
        let nothing: &[u8] = b"";
        let mut ledger = PageMap::new(&nothing, 4096, 130);
        assert_eq!(ledger.used(), 2);
        for page in [2, 63, 64, 129] {
            assert!(!ledger.is_used(page));
            ledger.mark(page);
            assert!(ledger.is_used(page));
        }
        ledger.mark(500);
        assert!(!ledger.is_used(500) && !ledger.is_used(u64::MAX));
        assert_eq!(ledger.used(), 6);
    }
}
