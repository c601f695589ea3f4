// SPDX-License-Identifier: Apache-2.0
//! Walks a table or an index in the order of its keys. Bounded by the pages that the file really has.

use std::io;

use sha2::{Digest, Sha256};

use super::header::u32_at;
use super::page::{Cell, Page, Payload, Tree};
use super::pages::Pages;
use crate::inspect::finding::{Check, Findings, PageError};

/// The deepest tree that SQLite reads.
const MAX_DEPTH: u32 = 20;
/// The most bytes of a payload that are held in memory. A row of kine has two values, of at most 3 MiB each.
const MAX_HEAD: usize = 8 << 20;

/// A row of a table, or an entry of an index.
pub(super) struct Entry<'e> {
    /// The row id; `None` in an index.
    pub(super) rowid: Option<i64>,
    /// The record, or its beginning if it is longer than any that is needed.
    pub(super) head: &'e [u8],
    /// Bytes of the whole record.
    pub(super) len: u64,
    /// SHA-256 of the whole record, if it is wanted.
    pub(super) digest: Option<[u8; 32]>,
}

/// What is wrong with an entry; without any of its content.
pub(in crate::inspect) type Wrong = (Check, String);

/// Receives each entry, in order.
pub(super) type OnEntry<'f> = dyn FnMut(&Entry<'_>) -> Result<(), Wrong> + 'f;

/// A walk of one tree.
pub(super) struct Walk<'w, 'a, 'f> {
    pages: &'w mut Pages<'a>,
    findings: &'w mut Findings,
    on_entry: &'w mut OnEntry<'f>,
    /// Whether payloads are hashed.
    hashes: bool,
    tree: Tree,
    /// The row id before, or the bound that a page above sets.
    before: Option<i64>,
    leaf_depth: Option<u32>,
    head: Vec<u8>,
}

impl<'w, 'a, 'f> Walk<'w, 'a, 'f> {
    /// A walk that calls `on_entry` for each entry.
    pub(super) fn new(
        pages: &'w mut Pages<'a>,
        findings: &'w mut Findings,
        tree: Tree,
        hashes: bool,
        on_entry: &'w mut OnEntry<'f>,
    ) -> Self {
        Walk { pages, findings, on_entry, hashes, tree, before: None, leaf_depth: None, head: Vec::new() }
    }

    /// Walks the tree below its root. A corrupt page is a finding, and what is below it is left out.
    ///
    /// # Errors
    /// If the bytes cannot be read.
    pub(super) fn run(&mut self, root: u32, from: u64) -> io::Result<()> {
        self.node(root, from, 1)
    }

    fn node(&mut self, page: u32, from: u64, depth: u32) -> io::Result<()> {
        let read = self.open(page, from, depth);
        let Some((number, bytes, page)) = self.keep(u64::from(page), read)? else { return Ok(()) };
        for cell in &page.cells {
            if let Some(left) = cell.left {
                self.node(left, number, depth + 1)?;
            }
            let visited = self.cell(number, &bytes, cell);
            self.keep(number, visited)?;
        }
        match page.right {
            Some(right) => self.node(right, number, depth + 1),
            None => Ok(()),
        }
    }

    /// Turns damage into a finding on this page.
    fn keep<T>(&mut self, page: u64, result: Result<T, PageError>) -> io::Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) => {
                let finding = e.into_finding(page, self.pages.offset(page))?;
                self.findings.push(finding);
                Ok(None)
            }
        }
    }

    fn open(&mut self, page: u32, from: u64, depth: u32) -> Result<(u64, Vec<u8>, Page), PageError> {
        let number = match (page, from) {
            // The root of the schema is what everything else is reached from.
            (1, 0) => self.pages.claim(1, 1)?,
            _ => self.pages.claim(page, from)?,
        };
        if depth > MAX_DEPTH {
            return Err(self.pages.finding(Check::Depth, number, "the tree is too deep"));
        }
        let mut bytes = Vec::new();
        self.pages.read(number, &mut bytes)?;
        let wrong = |text| self.pages.finding(Check::SqlitePage, number, text);
        let page = Page::parse(number, &bytes).map_err(wrong)?;
        if page.tree != self.tree {
            return Err(wrong("a page of a table is in an index, or the other way round"));
        }
        if page.right.is_none() && *self.leaf_depth.get_or_insert(depth) != depth {
            return Err(self.pages.finding(Check::LeafDepth, number, "the leaves are not all equally deep"));
        }
        Ok((number, bytes, page))
    }

    fn cell(&mut self, page: u64, bytes: &[u8], cell: &Cell) -> Result<(), PageError> {
        self.check_order(page, cell)?;
        let Some(payload) = &cell.payload else { return Ok(()) };
        let digest = self.payload(page, bytes, payload)?;
        let entry = Entry { rowid: cell.rowid, head: &self.head, len: payload.len, digest };
        (self.on_entry)(&entry).map_err(|(check, text)| self.pages.finding(check, page, text))
    }

    /// Rows ascend. The key of a page above is the last row id that may be on its left.
    fn check_order(&mut self, page: u64, cell: &Cell) -> Result<(), PageError> {
        let Some(rowid) = cell.rowid else { return Ok(()) };
        let before = self.before.replace(rowid);
        match (before, &cell.payload) {
            (Some(before), Some(_)) if before >= rowid => Err(self.pages.finding(
                Check::KeyOrder,
                page,
                "a row id is not greater than the one before it",
            )),
            (Some(before), None) if before > rowid => Err(self.pages.finding(
                Check::KeyBounds,
                page,
                "a row id is not on the side that the key gives it",
            )),
            _ => Ok(()),
        }
    }

    /// Reads a payload with its overflow pages into `head`.
    fn payload(&mut self, page: u64, bytes: &[u8], payload: &Payload) -> Result<Option<[u8; 32]>, PageError> {
        let local = bytes.get(payload.local.clone()).unwrap_or_default();
        let mut sha = self.hashes.then(Sha256::new);
        self.head.clear();
        self.head.extend_from_slice(local);
        sha.iter_mut().for_each(|sha| sha.update(local));
        let (mut left, mut next, mut from) = (payload.len - local.len() as u64, payload.overflow, page);
        let mut overflow = Vec::new();
        while left > 0 {
            from = self.pages.claim(next, from)?;
            self.pages.read(from, &mut overflow)?;
            next = u32_at(&overflow, 0);
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(overflow.len() - 4);
            let part = overflow.get(4..4 + take).unwrap_or_default();
            sha.iter_mut().for_each(|sha| sha.update(part));
            let room = MAX_HEAD.saturating_sub(self.head.len()).min(part.len());
            self.head.extend_from_slice(part.get(..room).unwrap_or_default());
            left -= take as u64;
        }
        if payload.overflow != 0 && next != 0 {
            return Err(self.pages.finding(
                Check::SqliteCell,
                from,
                "an overflow chain is longer than its payload",
            ));
        }
        Ok(sha.map(|sha| sha.finalize().into()))
    }
}
