// SPDX-License-Identifier: Apache-2.0
//! One page with its overflow, or a page inside a value: its header, its elements, its bytes.
//!
//! Reads through windows of bounded size, so that no count or size in the file determines the memory that is used. Checks only
//! that the bytes exist; `bbolt` checks what they are.

use std::io;

use crate::io::ReadAt;

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
pub(super) const META: u16 = 0x04;
pub(super) const FREELIST: u16 = 0x10;
/// Bytes of a page header; an element has the same size.
pub(super) const HEADER: u64 = 16;
/// The most bytes of one page that are held in memory. A page with overflow up to this size is read at once.
pub(super) const WINDOW: u64 = 64 * 1024;
/// Bytes of the element table of a huge page that are read at once.
const TABLE: u64 = 4096;

/// The integer at `at`; 0 if it is not inside `bytes`, which no caller asks for.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b))
}

/// The integer at `at`; 0 if it is not inside `bytes`, which no caller asks for.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b))
}

/// The header of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u64,
    pub(super) flags: u16,
    pub(super) count: u16,
    pub(super) overflow: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Header {
        let both = u32_at(bytes, 8);
        Header {
            id: u64_at(bytes, 0),
            flags: (both & 0xFFFF) as u16,
            count: (both >> 16) as u16,
            overflow: u32_at(bytes, 12),
        }
    }
}

/// An element of a page: a key with its value or its child page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    pub(super) flags: u32,
    /// The offset of the data, relative to the element itself.
    pub(super) pos: u32,
    pub(super) ksize: u32,
    pub(super) vsize: u32,
    /// The child of a branch element.
    pub(super) child: u64,
}

/// A range of the snapshot that is held in memory.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    buf: Vec<u8>,
}

impl Window {
    /// The `n` bytes at `at`. If they are not held, `ahead` bytes are read, but none from `end` on.
    fn get(&mut self, data: &dyn ReadAt, at: u64, n: usize, ahead: u64, end: u64) -> io::Result<&[u8]> {
        let skip = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.filter(|skip| skip.checked_add(n).is_some_and(|to| to <= self.buf.len()));
        let skip = match skip {
            Some(skip) => skip,
            None => {
                let left = end.checked_sub(at).ok_or(io::ErrorKind::UnexpectedEof)?;
                let fetch = usize::try_from(ahead.min(left)).unwrap_or(0).max(n);
                self.buf.clear();
                self.buf.resize(fetch, 0);
                self.start = at;
                if let Err(e) = data.read_exact_at(&mut self.buf, at) {
                    self.buf.clear();
                    return Err(e);
                }
                0
            }
        };
        self.buf.get(skip..skip + n).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads the bytes that follow, up to `len` bytes in all: the overflow is known only after the header is read.
    fn grow(&mut self, data: &dyn ReadAt, len: usize) -> io::Result<()> {
        let have = self.buf.len();
        if len > have {
            self.buf.resize(len, 0);
            let (_, rest) = self.buf.split_at_mut(have);
            if let Err(e) = data.read_exact_at(rest, self.start + have as u64) {
                self.buf.truncate(have);
                return Err(e);
            }
        }
        Ok(())
    }
}

/// The position of a page, and the parts of it that are held in memory.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The number of the page; of an inline page, that of the page around it.
    pub(super) id: u64,
    /// The offset of its header in the snapshot.
    pub(super) base: u64,
    /// Its length in bytes, with all overflow.
    pub(super) len: u64,
    table: Window,
    body: Window,
}

impl Page {
    /// Reads the header and `len` bytes (at most a window) from `base` on, and drops what was held before.
    pub(super) fn open(&mut self, data: &dyn ReadAt, id: u64, base: u64, len: u64) -> io::Result<Header> {
        self.table.buf.clear();
        self.body.buf.clear();
        (self.id, self.base, self.len) = (id, base, len);
        self.bytes(data, 0, HEADER as usize).map(Header::parse)
    }

    /// Extends the page by its overflow.
    pub(super) fn extend(&mut self, data: &dyn ReadAt, len: u64) -> io::Result<()> {
        self.len = len;
        // A huge page is not read ahead: most of it is one value, which is not read.
        if len <= WINDOW { self.body.grow(data, usize::try_from(len).unwrap_or(0)) } else { Ok(()) }
    }

    /// The `n` bytes at `at` of this page; an error if they are not inside the page or more than a window.
    pub(super) fn bytes(&mut self, data: &dyn ReadAt, at: u64, n: usize) -> io::Result<&[u8]> {
        if n as u64 > WINDOW || at.saturating_add(n as u64) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.body.get(data, self.base.saturating_add(at), n, WINDOW, self.base.saturating_add(self.len))
    }

    /// Element `i` of a leaf or a branch.
    pub(super) fn element(&mut self, data: &dyn ReadAt, i: u64, leaf: bool) -> io::Result<Element> {
        let at = element_at(i);
        let raw = if self.len <= WINDOW {
            self.bytes(data, at, 16)?
        } else {
            // A separate window, or table and keys would replace each other.
            self.table.get(data, self.base + at, 16, TABLE, self.base + self.len)?
        };
        Ok(if leaf {
            let (flags, pos, ksize, vsize) =
                (u32_at(raw, 0), u32_at(raw, 4), u32_at(raw, 8), u32_at(raw, 12));
            Element { flags, pos, ksize, vsize, child: 0 }
        } else {
            let (pos, ksize, child) = (u32_at(raw, 0), u32_at(raw, 4), u64_at(raw, 8));
            Element { flags: 0, pos, ksize, vsize: 0, child }
        })
    }
}

/// The offset of element `i` in its page. For `i` = number of elements: the end of the table.
pub(super) fn element_at(i: u64) -> u64 {
    HEADER + i * 16
}

/// A value in a leaf, read in chunks.
pub(super) struct Value<'a> {
    data: &'a dyn ReadAt,
    page: &'a mut Page,
    at: u64,
    len: u64,
}

impl<'a> Value<'a> {
    pub(super) fn new(data: &'a dyn ReadAt, page: &'a mut Page, at: u64, len: u64) -> Value<'a> {
        Value { data, page, at, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The number of its page, and its offset in the snapshot.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.page.id, self.page.base + self.at)
    }

    /// The `n` bytes at `at` of the value; `None` if they pass its end or are more than a window.
    pub(super) fn bytes(&mut self, at: u64, n: u64) -> io::Result<Option<&[u8]>> {
        if n > WINDOW || at.checked_add(n).is_none_or(|to| to > self.len) {
            return Ok(None);
        }
        self.page.bytes(self.data, self.at + at, usize::try_from(n).unwrap_or(0)).map(Some)
    }

    /// The same value with a shorter borrow.
    pub(super) fn reborrow(&mut self) -> Value<'_> {
        Value { data: self.data, page: self.page, at: self.at, len: self.len }
    }

    /// Passes the `n` bytes at `at` to `chunk` in order, at most a window at a time. False if they pass the end of the value.
    pub(super) fn for_each_chunk(
        &mut self,
        at: u64,
        n: u64,
        chunk: &mut dyn FnMut(&[u8]),
    ) -> io::Result<bool> {
        let (mut start, Some(end)) = (at, at.checked_add(n).filter(|end| *end <= self.len)) else {
            return Ok(false);
        };
        while start < end {
            let step = (end - start).min(WINDOW);
            let Some(bytes) = self.bytes(start, step)? else { return Ok(false) };
            chunk(bytes);
            start += step;
        }
        Ok(true)
    }

    /// The whole value, if it is not larger than a window.
    pub(super) fn read_all(&mut self) -> io::Result<Option<&[u8]>> {
        self.bytes(0, self.len)
    }
}
