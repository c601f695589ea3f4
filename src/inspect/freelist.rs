// SPDX-License-Identifier: Apache-2.0
//! The list of free pages, where one is kept. etcd keeps none since 3.4: it finds free pages by walking.
//!
//! A wrong list loses nothing yet, but the next write would overwrite pages in use.

use std::io;

use super::finding::{Check, Finding, Findings, PageError};
use super::page::{FREELIST, HEADER, Page, u64_at};
use super::page_map::PageMap;

/// The meta page names this page where no list is kept.
const NONE: u64 = u64::MAX;
/// A count that does not fit its field is this, and the real one comes first in the list.
const MANY: u16 = 0xFFFF;

/// A freelist whose page is claimed and whose ids are still to be held against the tree.
#[derive(Debug)]
pub(super) struct Freelist(Option<List>);

#[derive(Debug)]
struct List {
    page: Page,
    first: u64,
    count: u64,
}

impl Freelist {
    /// Claims the pages of the list, before the walk, so that the tree cannot have them.
    pub(super) fn claim(ledger: &mut PageMap<'_>, id: u64, findings: &mut Findings) -> io::Result<Freelist> {
        if id == NONE {
            return Ok(Freelist(None));
        }
        match claim(ledger, id) {
            Ok(list) => Ok(Freelist(Some(list))),
            Err(halt) => {
                let finding = halt.damage(id, id.saturating_mul(ledger.page_size))?;
                findings.push(finding);
                Ok(Freelist(None))
            }
        }
    }

    /// Holds the list against the tree, after the ledger.
    pub(super) fn verify(self, ledger: &PageMap<'_>, findings: &mut Findings) -> io::Result<()> {
        let Some(mut list) = self.0 else { return Ok(()) };
        if let Err(halt) = verify(ledger, &mut list, findings.is_empty()) {
            let finding = halt.damage(list.page.id, list.page.base)?;
            findings.push(finding);
        }
        Ok(())
    }
}

fn claim(ledger: &mut PageMap<'_>, id: u64) -> Result<List, PageError> {
    let mut page = Page::default();
    let header = ledger.mark_used(id, &mut page)?;
    if header.flags != FREELIST {
        let text = format!("flags of {:#06x} on what has to be the freelist", header.flags);
        return Err(Finding::at(Check::PageFlags, id, page.base, text).into());
    }
    let (first, count) = if header.count == MANY {
        (HEADER + 8, u64_at(page.bytes(ledger.data, HEADER, 8)?, 0))
    } else {
        (HEADER, header.count.into())
    };
    if count > (page.len - first) / 8 {
        let text = format!("{count} free pages do not fit into the list");
        return Err(Finding::at(Check::Freelist, id, page.base, text).into());
    }
    Ok(List { page, first, count })
}

fn verify(ledger: &PageMap<'_>, list: &mut List, complete: bool) -> Result<(), PageError> {
    let mut last = 1;
    for i in 0..list.count {
        let at = list.first + i * 8;
        let free = u64_at(list.page.bytes(ledger.data, at, 8)?, 0);
        let wrong =
            |text: String| Err(Finding::at(Check::Freelist, list.page.id, list.page.base + at, text).into());
        if free <= last || free >= ledger.pages {
            return wrong(format!("free page {free} after {last}, of {}", ledger.pages));
        }
        if ledger.is_used(free) {
            return wrong(format!("page {free} is free and in use"));
        }
        last = free;
    }
    // Pages below a damaged one are not reached; then the sum says nothing.
    let lost = ledger.pages.saturating_sub(ledger.used() + list.count);
    if lost > 0 && complete {
        let text = format!("{lost} pages are neither free nor in use");
        return Err(Finding::at(Check::Freelist, list.page.id, list.page.base, text).into());
    }
    Ok(())
}
