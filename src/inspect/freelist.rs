// SPDX-License-Identifier: Apache-2.0
//! The list of free pages, if the file has one. etcd writes none since 3.4 and finds free pages by a walk.
//!
//! A wrong list loses nothing yet, but the next write would overwrite pages in use.

use std::io;

use super::finding::{Check, Finding, Findings, PageError};
use super::page::{FREELIST, HEADER, Page, u64_at};
use super::page_map::PageMap;

/// The page number of the list in the meta page if there is no list.
const NONE: u64 = u64::MAX;
/// The count in the header if the real one does not fit into its field. The real count is then the first number of the list.
const MANY: u16 = 0xFFFF;

/// A list whose pages are marked as used, and whose content is not yet compared with the tree.
#[derive(Debug)]
pub(super) struct Freelist(Option<List>);

#[derive(Debug)]
struct List {
    page: Page,
    first: u64,
    count: u64,
}

impl Freelist {
    /// Marks the pages of the list as used. To be called before the walk, so that the tree cannot claim them.
    ///
    /// # Errors
    /// If the bytes cannot be read. Damage is a finding.
    pub(super) fn claim(
        page_map: &mut PageMap<'_>,
        id: u64,
        findings: &mut Findings,
    ) -> io::Result<Freelist> {
        if id == NONE {
            return Ok(Freelist(None));
        }
        match open_list(page_map, id) {
            Ok(list) => Ok(Freelist(Some(list))),
            Err(error) => {
                findings.push(error.into_finding(id, id.saturating_mul(page_map.page_size))?);
                Ok(Freelist(None))
            }
        }
    }

    /// Compares the list with the tree. To be called after the walk.
    ///
    /// # Errors
    /// If the bytes cannot be read. Damage is a finding.
    pub(super) fn verify(self, page_map: &PageMap<'_>, findings: &mut Findings) -> io::Result<()> {
        let Some(mut list) = self.0 else { return Ok(()) };
        if let Err(error) = compare_with_tree(page_map, &mut list, findings.is_empty()) {
            findings.push(error.into_finding(list.page.id, list.page.base)?);
        }
        Ok(())
    }
}

fn open_list(page_map: &mut PageMap<'_>, id: u64) -> Result<List, PageError> {
    let mut page = Page::default();
    let header = page_map.mark_used(id, &mut page)?;
    if header.flags != FREELIST {
        let text = format!("flags {:#06x} on the page of the freelist", header.flags);
        return Err(Finding::at(Check::PageFlags, id, page.base, text).into());
    }
    let (first, count) = if header.count == MANY {
        (HEADER + 8, u64_at(page.bytes(page_map.data, HEADER, 8)?, 0))
    } else {
        (HEADER, header.count.into())
    };
    if count > (page.len - first) / 8 {
        let text = format!("the list claims {count} free pages, which do not fit into it");
        return Err(Finding::at(Check::Freelist, id, page.base, text).into());
    }
    Ok(List { page, first, count })
}

fn compare_with_tree(page_map: &PageMap<'_>, list: &mut List, is_complete: bool) -> Result<(), PageError> {
    let mut last = 1;
    for i in 0..list.count {
        let at = list.first + i * 8;
        let free = u64_at(list.page.bytes(page_map.data, at, 8)?, 0);
        let wrong =
            |text: String| Err(Finding::at(Check::Freelist, list.page.id, list.page.base + at, text).into());
        if free <= last || free >= page_map.pages {
            return wrong(format!(
                "free page {free} after free page {last}, in a file of {} pages",
                page_map.pages
            ));
        }
        if page_map.contains(free) {
            return wrong(format!("page {free} is listed as free and is in use"));
        }
        last = free;
    }
    // Pages below a corrupt page are not reached; then the sum is meaningless.
    let lost = page_map.pages.saturating_sub(page_map.used_pages() + list.count);
    if lost > 0 && is_complete {
        let text = format!("{lost} pages are neither free nor in use");
        return Err(Finding::at(Check::Freelist, list.page.id, list.page.base, text).into());
    }
    Ok(())
}
