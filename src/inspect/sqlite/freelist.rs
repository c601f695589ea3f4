// SPDX-License-Identifier: Apache-2.0
//! The list of free pages: a chain of pages that each name more of them.

use std::io;

use super::header::{Header, u32_at};
use super::pages::Pages;
use crate::inspect::finding::{Check, Findings, PageError};

/// Claims every free page, and compares their number with that of the header.
///
/// # Errors
/// If the bytes cannot be read.
pub(super) fn claim(pages: &mut Pages<'_>, header: &Header, findings: &mut Findings) -> io::Result<()> {
    match chain(pages, header) {
        Ok(()) => {}
        Err(e) => findings.push(e.into_finding(1, 0)?),
    }
    Ok(())
}

fn chain(pages: &mut Pages<'_>, header: &Header) -> Result<(), PageError> {
    let (mut next, mut from, mut free) = (header.freelist, 1, 0_u64);
    let mut bytes = Vec::new();
    while next != 0 {
        from = pages.claim(next, from)?;
        pages.read(from, &mut bytes)?;
        next = u32_at(&bytes, 0);
        let count = u32_at(&bytes, 4) as usize;
        if count > bytes.len() / 4 - 2 {
            return Err(pages.finding(Check::Freelist, from, "names more free pages than have room in it"));
        }
        for i in 0..count {
            pages.claim(u32_at(&bytes, 8 + 4 * i), from)?;
        }
        free += 1 + count as u64;
    }
    match free == u64::from(header.free_pages) {
        true => Ok(()),
        false => {
            let text = format!("{free} pages are free, the header has {}", header.free_pages);
            Err(pages.finding(Check::Freelist, 1, text))
        }
    }
}
