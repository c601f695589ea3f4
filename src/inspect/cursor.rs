// SPDX-License-Identifier: Apache-2.0
//! Finds single keys in the tree of a bbolt file, without a walk: a few page reads.
//!
//! Verifies nothing. A corrupt path gives no result; `verify` finds the corruption.

use super::finding::{Check, Finding, PageError};
use super::meta::Meta;
use super::page::{BRANCH, Header, LEAF, Page, element_at, u64_at};
use crate::io::ReadAt;

/// The most pages on the way from a root to a leaf, as in the walk.
const MAX_DEPTH: usize = 64;
/// Bytes of a value that are read: enough for a bucket header, a revision and a number.
const MAX_VALUE: u32 = 32;

/// The key to find in the tree of a bucket.
#[derive(Clone, Copy)]
pub(super) enum SeekTarget<'a> {
    /// This key.
    Key(&'a [u8]),
    /// The last key.
    Last,
}

/// An element of a leaf.
pub(super) struct Found {
    /// The key.
    pub(super) key: Vec<u8>,
    /// The first [`MAX_VALUE`] bytes of the value.
    pub(super) value: Vec<u8>,
    /// The offset of the value in the file.
    at: u64,
    /// The length of the whole value.
    len: u64,
}

/// The root of the tree of a bucket: a page, or a page inside a value.
#[derive(Clone, Copy)]
pub(super) enum BucketRoot {
    /// The number of the page.
    Page(u64),
    /// An inline page: its offset and length in bytes.
    Inline {
        /// Its offset in the file.
        at: u64,
        /// Its length.
        len: u64,
    },
}

/// A position in the tree: one way down, from a root to a leaf.
pub(super) struct Cursor<'a> {
    data: &'a dyn ReadAt,
    meta: &'a Meta,
    page: Page,
}

impl<'a> Cursor<'a> {
    /// A cursor for the tree that `meta` refers to.
    pub(super) fn new(data: &'a dyn ReadAt, meta: &'a Meta) -> Cursor<'a> {
        Cursor { data, meta, page: Page::default() }
    }

    /// The root of a top-level bucket; `None` if there is no such bucket.
    ///
    /// # Errors
    /// If the path is corrupt or cannot be read.
    pub(super) fn bucket(&mut self, name: &[u8]) -> Result<Option<BucketRoot>, PageError> {
        let root = BucketRoot::Page(self.meta.root);
        let Some(found) = self.seek(root, SeekTarget::Key(name))? else { return Ok(None) };
        Ok(Some(match u64_at(&found.value, 0) {
            0 => BucketRoot::Inline { at: found.at + 16, len: found.len.saturating_sub(16) },
            page => BucketRoot::Page(page),
        }))
    }

    /// The element with the key; `None` if there is none.
    ///
    /// # Errors
    /// If the path is corrupt or cannot be read.
    pub(super) fn seek(
        &mut self,
        root: BucketRoot,
        target: SeekTarget<'_>,
    ) -> Result<Option<Found>, PageError> {
        let mut next = root;
        for _ in 0..MAX_DEPTH {
            let header = match next {
                BucketRoot::Page(id) => self.open(id)?,
                BucketRoot::Inline { at, len } => self.page.open(self.data, 0, at, len)?,
            };
            let leaf = header.flags == LEAF;
            let count = u64::from(header.count);
            if !(leaf || header.flags == BRANCH) || element_at(count) > self.page.len {
                return Err(not_found());
            }
            let Some(i) = self.choose(count, leaf, target)? else { return Ok(None) };
            if leaf {
                return self.read(i).map(Some);
            }
            next = BucketRoot::Page(self.page.element(self.data, i, false)?.child);
        }
        Err(not_found())
    }

    fn open(&mut self, id: u64) -> Result<Header, PageError> {
        let size = u64::from(self.meta.page_size);
        if id < 2 || id >= self.meta.pages {
            return Err(not_found());
        }
        let header = self.page.open(self.data, id, id * size, size)?;
        let pages = 1 + u64::from(header.overflow);
        if header.id != id || id + pages > self.meta.pages {
            return Err(not_found());
        }
        self.page.extend(self.data, pages * size)?;
        Ok(header)
    }

    /// The element to take: in a leaf the one with the key, in a branch the last one that does not start after it.
    fn choose(&mut self, count: u64, leaf: bool, target: SeekTarget<'_>) -> Result<Option<u64>, PageError> {
        let SeekTarget::Key(wanted) = target else { return Ok(count.checked_sub(1)) };
        let mut before = None;
        for i in 0..count {
            let key = self.key(i, leaf)?.0;
            if key.as_slice() == wanted {
                return Ok(Some(i));
            }
            if key.as_slice() > wanted {
                break;
            }
            before = Some(i);
        }
        Ok(before.filter(|_| !leaf))
    }

    /// The key of an element, and position and length of its value.
    fn key(&mut self, i: u64, leaf: bool) -> Result<(Vec<u8>, u64, u32), PageError> {
        let element = self.page.element(self.data, i, leaf)?;
        let at = element_at(i) + u64::from(element.pos);
        let key = self.page.bytes(self.data, at, element.ksize as usize)?.to_vec();
        Ok((key, at + u64::from(element.ksize), element.vsize))
    }

    fn read(&mut self, i: u64) -> Result<Found, PageError> {
        let (key, at, len) = self.key(i, true)?;
        let value = self.page.bytes(self.data, at, len.min(MAX_VALUE) as usize)?.to_vec();
        Ok(Found { key, value, at: self.page.base + at, len: len.into() })
    }
}

/// The path is corrupt; `verify` finds the corruption.
fn not_found() -> PageError {
    Finding::new(Check::PageRange, "the path to the newest revision is corrupt").into()
}
