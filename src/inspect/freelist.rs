// SPDX-License-Identifier: Apache-2.0
//! The list of free pages, where one is kept. etcd keeps none since 3.4: it finds free pages by walking.
//!
//! A wrong list loses nothing yet, but the next write would overwrite pages in use.

use std::io;

use super::bbolt::Walk;
use super::finding::{Check, Finding, Halt};
use super::page::{FREELIST, HEADER, Page, u64_at};

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
    pub(super) fn claim(walk: &mut Walk<'_>, id: u64) -> io::Result<Freelist> {
        if id == NONE {
            return Ok(Freelist(None));
        }
        match claim(walk, id) {
            Ok(list) => Ok(Freelist(Some(list))),
            Err(halt) => {
                let finding = halt.damage(id, id.saturating_mul(walk.page_size))?;
                walk.findings.push(finding);
                Ok(Freelist(None))
            }
        }
    }

    /// Holds the list against the tree, after the walk.
    pub(super) fn verify(self, walk: &mut Walk<'_>) -> io::Result<()> {
        let Some(mut list) = self.0 else { return Ok(()) };
        if let Err(halt) = verify(walk, &mut list) {
            let finding = halt.damage(list.page.id, list.page.base)?;
            walk.findings.push(finding);
        }
        Ok(())
    }
}

fn claim(walk: &mut Walk<'_>, id: u64) -> Result<List, Halt> {
    let mut page = Page::default();
    let header = walk.claim(id, &mut page)?;
    if header.flags != FREELIST {
        let text = format!("flags of {:#06x} on what has to be the freelist", header.flags);
        return Err(Finding::at(Check::PageFlags, id, page.base, text).into());
    }
    let (first, count) = if header.count == MANY {
        (HEADER + 8, u64_at(page.bytes(walk.data, HEADER, 8)?, 0))
    } else {
        (HEADER, header.count.into())
    };
    if count > (page.len - first) / 8 {
        let text = format!("{count} free pages do not fit into the list");
        return Err(Finding::at(Check::Freelist, id, page.base, text).into());
    }
    Ok(List { page, first, count })
}

fn verify(walk: &mut Walk<'_>, list: &mut List) -> Result<(), Halt> {
    let mut last = 1;
    for i in 0..list.count {
        let at = list.first + i * 8;
        let free = u64_at(list.page.bytes(walk.data, at, 8)?, 0);
        let wrong =
            |text: String| Err(Finding::at(Check::Freelist, list.page.id, list.page.base + at, text).into());
        if free <= last || free >= walk.pages {
            return wrong(format!("free page {free} after {last}, of {}", walk.pages));
        }
        if walk.is_used(free) {
            return wrong(format!("page {free} is free and in use"));
        }
        last = free;
    }
    // Pages below a damaged one are not reached; then the sum says nothing.
    let lost = walk.pages.saturating_sub(walk.used() + list.count);
    if lost > 0 && walk.findings.is_empty() {
        let text = format!("{lost} pages are neither free nor in use");
        return Err(Finding::at(Check::Freelist, list.page.id, list.page.base, text).into());
    }
    Ok(())
}
