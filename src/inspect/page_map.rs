// SPDX-License-Identifier: Apache-2.0
//! Which pages are in use: each has at most one owner, and carries its own number.
//!
//! Covers no more pages than the file really has. The content of a page is not checked here.

use super::finding::{Check, Finding, PageError};
use super::page::{Header, Page};
use super::page_set::PageSet;
use crate::io::ReadAt;

/// The pages of a file, and which of them the walk has reached.
pub(super) struct PageMap<'a> {
    pub(super) data: &'a dyn ReadAt,
    pub(super) page_size: u64,
    /// The number of pages; all of them are in `data`.
    pub(super) pages: u64,
    used: PageSet,
}

impl<'a> PageMap<'a> {
    /// A map of `pages` pages. The two meta pages are in use.
    pub(super) fn new(data: &'a dyn ReadAt, page_size: u64, pages: u64) -> PageMap<'a> {
        let mut used = PageSet::new(pages);
        used.insert(0, pages.min(2));
        PageMap { data, page_size, pages, used }
    }

    /// How many pages are in use.
    pub(super) fn used_pages(&self) -> u64 {
        self.used.len()
    }

    /// Whether a page is in use.
    pub(super) fn contains(&self, page: u64) -> bool {
        self.used.contains(page)
    }

    /// Marks a page and its overflow as used, and opens it.
    ///
    /// # Errors
    /// If it is not a page of the tree, has another owner, or cannot be read. Then nothing is marked.
    pub(super) fn mark_used(&mut self, id: u64, page: &mut Page) -> Result<Header, PageError> {
        if id < 2 || id >= self.pages {
            let last = self.pages.saturating_sub(1);
            let text = format!("a reference to page {id}, which is not one of the pages 2 to {last}");
            return Err(Finding::new(Check::PageRange, text).into());
        }
        let base = id * self.page_size;
        let wrong = |check, text: String| Err(Finding::at(check, id, base, text).into());
        if self.contains(id) {
            return wrong(Check::PageTwice, "referenced twice, or part of another page".into());
        }
        let header = page.open(self.data, id, base, self.page_size)?;
        if header.id != id {
            return wrong(Check::PageId, format!("the page has the number {}", header.id));
        }
        let end = id + 1 + u64::from(header.overflow);
        if end > self.pages {
            return wrong(
                Check::PageOverflow,
                format!("{} pages of overflow pass the end of the file", header.overflow),
            );
        }
        // All or nothing: a wrong overflow must not take pages from their owners.
        if let Some(taken) = self.used.next_from(id).filter(|page| *page < end) {
            return wrong(Check::PageTwice, format!("its overflow covers page {taken}, which is in use"));
        }
        self.used.insert(id, end);
        page.extend(self.data, (end - id) * self.page_size)?;
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::{Duration, Instant};

    use super::*;

    /// A sparse file of 2^26 pages of 4 KiB, which claims of each page that it is followed by 2^26 - 5 pages of overflow.
    struct Sparse;

    const PAGES: u64 = 1 << 26;

    impl ReadAt for Sparse {
        fn size(&self) -> u64 {
            PAGES * 4096
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            buf.fill(0);
            let header = [(offset / 4096).to_le_bytes(), ((PAGES - 5) << 32 | 2).to_le_bytes()].concat();
            buf.iter_mut().zip(header).for_each(|(to, from)| *to = from);
            Ok(())
        }
    }

    #[test]
    fn a_refused_overflow_costs_little_however_long_it_is() {
        let mut map = PageMap::new(&Sparse, 4096, PAGES);
        map.used.insert(PAGES - 5, PAGES - 4);
        let mut page = Page::default();
        let started = Instant::now();
        // A scan of the overflow would take more than 10^13 steps.
        for _ in 0..200_000 {
            let Err(PageError::Found(finding)) = map.mark_used(3, &mut page) else { panic!("accepted") };
            assert_eq!(finding.check, Check::PageTwice);
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        assert_eq!(map.used_pages(), 3);
    }

    #[test]
    fn the_meta_pages_are_in_use_and_no_page_beyond_the_last() {
        let nothing: &[u8] = b"";
        let map = PageMap::new(&nothing, 4096, 130);
        assert_eq!(map.used_pages(), 2);
        assert!(map.contains(0) && map.contains(1) && !map.contains(2) && !map.contains(500));
        assert_eq!(PageMap::new(&nothing, 4096, 1).used_pages(), 1);
    }
}
