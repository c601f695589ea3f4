// SPDX-License-Identifier: Apache-2.0
//! One page with its overflow, or one inlined in a value: its header, its elements, its bytes.
//!
//! Reads through windows of bounded size, so that no count or size in a file decides over memory. Checks
//! nothing but that the bytes are there: what they have to be is said in `bbolt`.

use std::io;

use crate::io::ReadAt;

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
pub(super) const META: u16 = 0x04;
pub(super) const FREELIST: u16 = 0x10;
/// Bytes of a page header, and by chance of an element.
pub(super) const HEADER: u64 = 16;
/// The most that is ever held of one page; whole extents up to this are read at once.
pub(super) const WINDOW: u64 = 64 * 1024;
/// How much of a huge page's element table is read at once.
const TABLE: u64 = 4096;

/// The integer at `at`; 0 outside `bytes`, where no caller looks.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b))
}

/// The integer at `at`; 0 outside `bytes`, where no caller looks.
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
    /// Where the data is, counted from the element itself.
    pub(super) pos: u32,
    pub(super) ksize: u32,
    pub(super) vsize: u32,
    /// The child of a branch element.
    pub(super) child: u64,
}

/// A stretch of the snapshot held in memory.
#[derive(Debug, Default)]
struct Window {
    from: u64,
    buf: Vec<u8>,
}

impl Window {
    /// The `n` bytes at `at`; where they are not at hand, `ahead` bytes are fetched, but none from `end` on.
    fn get(&mut self, data: &dyn ReadAt, at: u64, n: usize, ahead: u64, end: u64) -> io::Result<&[u8]> {
        let held = at.checked_sub(self.from).and_then(|skip| usize::try_from(skip).ok());
        let held = held.filter(|skip| skip.checked_add(n).is_some_and(|to| to <= self.buf.len()));
        let skip = match held {
            Some(skip) => skip,
            None => {
                let left = end.checked_sub(at).ok_or(io::ErrorKind::UnexpectedEof)?;
                let fetch = usize::try_from(ahead.min(left)).unwrap_or(0).max(n);
                self.buf.clear();
                self.buf.resize(fetch, 0);
                self.from = at;
                if let Err(e) = data.read_exact_at(&mut self.buf, at) {
                    self.buf.clear();
                    return Err(e);
                }
                0
            }
        };
        self.buf.get(skip..skip + n).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Adds what follows, up to `len` bytes in all: an overflow is known only once the header is read.
    fn grow(&mut self, data: &dyn ReadAt, len: usize) -> io::Result<()> {
        let have = self.buf.len();
        if len > have {
            self.buf.resize(len, 0);
            let (_, rest) = self.buf.split_at_mut(have);
            if let Err(e) = data.read_exact_at(rest, self.from + have as u64) {
                self.buf.truncate(have);
                return Err(e);
            }
        }
        Ok(())
    }
}

/// Where a page lies, and what is held of it.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The number of the page; of that around it, if it is inlined.
    pub(super) id: u64,
    /// The offset of its header in the snapshot.
    pub(super) base: u64,
    /// Its length with all overflow.
    pub(super) len: u64,
    table: Window,
    body: Window,
}

impl Page {
    /// Reads the header and `len` bytes (at most a window) from `base` on. What was held before is forgotten.
    pub(super) fn open(&mut self, data: &dyn ReadAt, id: u64, base: u64, len: u64) -> io::Result<Header> {
        self.table.buf.clear();
        self.body.buf.clear();
        (self.id, self.base, self.len) = (id, base, len);
        self.bytes(data, 0, HEADER as usize).map(Header::parse)
    }

    /// Extends the page by its overflow.
    pub(super) fn extend(&mut self, data: &dyn ReadAt, len: u64) -> io::Result<()> {
        self.len = len;
        // A huge page is not read ahead: most of it is one value, which nobody looks at.
        if len <= WINDOW { self.body.grow(data, usize::try_from(len).unwrap_or(0)) } else { Ok(()) }
    }

    /// The `n` bytes at `at` of this page. The caller knows that they are inside it; more than a window is
    /// refused.
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
            // A window of its own, or table and keys would throw each other out.
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

/// The offset of element `i` in its page: where the table ends, for `i` the count.
pub(super) fn element_at(i: u64) -> u64 {
    HEADER + i * 16
}

/// A value in a leaf, read piece by piece.
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

    /// The page it is in, and its offset in the snapshot.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.page.id, self.page.base + self.at)
    }

    /// The `n` bytes at `at` of the value; `None` past its end, and for more than a window.
    pub(super) fn bytes(&mut self, at: u64, n: u64) -> io::Result<Option<&[u8]>> {
        if n > WINDOW || at.checked_add(n).is_none_or(|to| to > self.len) {
            return Ok(None);
        }
        self.page.bytes(self.data, self.at + at, usize::try_from(n).unwrap_or(0)).map(Some)
    }

    /// The same value, for somebody who only borrows it.
    pub(super) fn again(&mut self) -> Value<'_> {
        Value { data: self.data, page: self.page, at: self.at, len: self.len }
    }

    /// Hands out the `n` bytes at `at` in order, a window at a time, whatever their number. No for a stretch that is not
    /// all in the value.
    pub(super) fn pieces(&mut self, at: u64, n: u64, take: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let (mut from, Some(end)) = (at, at.checked_add(n).filter(|end| *end <= self.len)) else {
            return Ok(false);
        };
        while from < end {
            let step = (end - from).min(WINDOW);
            let Some(piece) = self.bytes(from, step)? else { return Ok(false) };
            take(piece);
            from += step;
        }
        Ok(true)
    }

    /// The whole value, if it is no larger than a window.
    pub(super) fn whole(&mut self) -> io::Result<Option<&[u8]>> {
        self.bytes(0, self.len)
    }
}
