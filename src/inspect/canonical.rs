// SPDX-License-Identifier: Apache-2.0
//! The file of a running etcd, as a clone of it is found: what to make of it, and how far it reaches.
//!
//! It differs from a snapshot by an older twin among the meta pages, by unused room at its end and by the missing trailer.
//! Nothing here proves anything: a path that cannot be followed gives no answer, and the proof says why.

use std::io;

use super::facts::{main, main_or_zero};
use super::finding::{Check, Finding, Findings, PageError};
use super::meta::{self, Meta};
use super::page::{BRANCH, LEAF, Page, element_at, u64_at};
use crate::io::ReadAt;

/// As in the walk: no real file comes near.
const DEPTH: usize = 64;

/// What has to be done to a clone so that it is byte by byte what bbolt's own copy would have been.
#[derive(Debug)]
pub struct CanonicalImage {
    /// Where to cut: everything behind the high-water mark is unused.
    pub db_len: u64,
    /// What to write over its beginning: both meta pages.
    pub metas: Vec<u8>,
    /// etcd's revision, as cheaply as it can be had: a few page reads, not a walk. `None` where no way leads to it.
    pub revision: Option<i64>,
}

/// Reads what a clone of a live file is. A finding where neither meta page is sound or pages are missing.
pub fn canonicalize(data: &dyn ReadAt) -> io::Result<Result<CanonicalImage, Finding>> {
    let mut findings = Findings::default();
    let Some(meta) = meta::newest(data, &mut findings)? else {
        let none = || Finding::new(Check::MetaMagic, "no sound meta page");
        return Ok(Err(findings.kept.into_iter().next().unwrap_or_else(none)));
    };
    let db_len = meta.pages.saturating_mul(meta.page_size.into());
    if db_len > data.size() {
        let text = format!(
            "{} bytes of file, but {} pages of {} bytes in use",
            data.size(),
            meta.pages,
            meta.page_size
        );
        return Ok(Err(Finding::new(Check::Length, text)));
    }
    let revision = match revision(data, &meta) {
        Ok(revision) => revision,
        Err(PageError::Found(_)) => None,
        Err(PageError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof => None,
        Err(PageError::Io(e)) => return Err(e),
    };
    Ok(Ok(CanonicalImage { db_len, metas: meta::meta_pages(data, &meta)?, revision }))
}

/// The database file of an etcd that does not run, to be read where it lies as if bbolt had copied it: see [`in_place`].
#[derive(Debug)]
pub struct OfflineDb<T> {
    data: T,
    metas: Vec<u8>,
    db_len: u64,
}

impl<T: ReadAt> ReadAt for OfflineDb<T> {
    fn size(&self) -> u64 {
        self.db_len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.db_len);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let over = usize::try_from(offset).ok().and_then(|from| self.metas.get(from..)).unwrap_or_default();
        let (head, tail) = buf.split_at_mut(over.len().min(buf.len()));
        head.copy_from_slice(over.get(..head.len()).unwrap_or_default());
        match tail.is_empty() {
            true => Ok(()),
            false => self.data.read_exact_at(tail, offset + head.len() as u64),
        }
    }
}

/// The database file `member/snap/db` of a stopped etcd, made readable for `prove` and `content` without writing to it or
/// copying it, and the length of its database. A finding where [`normal`] has one.
pub fn open_offline<T: ReadAt>(data: T) -> io::Result<Result<(OfflineDb<T>, u64), Finding>> {
    Ok(canonicalize(&data)?
        .map(|CanonicalImage { db_len, metas, .. }| (OfflineDb { data, metas, db_len }, db_len)))
}

/// As etcd finds it on start: the last key of the bucket `key`, or what was compacted if that is later.
fn revision(data: &dyn ReadAt, meta: &Meta) -> Result<Option<i64>, PageError> {
    let mut path = Path { data, meta, page: Page::default() };
    let Some(bucket) = path.bucket(b"key")? else { return Ok(None) };
    let last = path.seek(bucket, Want::Last)?.map(|found| found.key).unwrap_or_default();
    let newest = main(last.get(..17).unwrap_or(&last));
    let Some(bucket) = path.bucket(b"meta")? else { return Ok(None) };
    let mut revision = newest.unwrap_or(0);
    for key in [&b"finishedCompactRev"[..], b"scheduledCompactRev"] {
        let compacted = path.seek(bucket, Want::Key(key))?.and_then(|found| main_or_zero(&found.value));
        revision = revision.max(compacted.unwrap_or(0));
    }
    // A store that nothing was ever written to is at revision 1, which no key shows.
    Ok(Some(revision.max(1)))
}

/// What to look for in the tree of a bucket.
#[derive(Clone, Copy)]
enum Want<'a> {
    Key(&'a [u8]),
    Last,
}

/// An element of a leaf. Of a long value only the beginning, which is all that is asked for.
struct Found {
    key: Vec<u8>,
    value: Vec<u8>,
    /// Where the value is.
    at: u64,
    len: u64,
}

/// Where a bucket's tree begins: a page, or bytes inside of one.
#[derive(Clone, Copy)]
enum Root {
    Page(u64),
    Inline { at: u64, len: u64 },
}

/// One way down, from a root to a leaf.
struct Path<'a> {
    data: &'a dyn ReadAt,
    meta: &'a Meta,
    page: Page,
}

impl Path<'_> {
    fn bucket(&mut self, name: &[u8]) -> Result<Option<Root>, PageError> {
        let Some(found) = self.seek(Root::Page(self.meta.root), Want::Key(name))? else { return Ok(None) };
        Ok(Some(match u64_at(&found.value, 0) {
            0 => Root::Inline { at: found.at + 16, len: found.len.saturating_sub(16) },
            page => Root::Page(page),
        }))
    }

    fn seek(&mut self, root: Root, want: Want<'_>) -> Result<Option<Found>, PageError> {
        let mut next = root;
        for _ in 0..DEPTH {
            let header = match next {
                Root::Page(id) => self.open(id)?,
                Root::Inline { at, len } => self.page.open(self.data, 0, at, len)?,
            };
            let leaf = header.flags == LEAF;
            let count = u64::from(header.count);
            if !(leaf || header.flags == BRANCH) || element_at(count) > self.page.len {
                return Err(lost());
            }
            let Some(i) = self.choose(count, leaf, want)? else { return Ok(None) };
            if leaf {
                return self.found(i).map(Some);
            }
            next = Root::Page(self.page.element(self.data, i, false)?.child);
        }
        Err(lost())
    }

    fn open(&mut self, id: u64) -> Result<super::page::Header, PageError> {
        let size = u64::from(self.meta.page_size);
        if id < 2 || id >= self.meta.pages {
            return Err(lost());
        }
        let header = self.page.open(self.data, id, id * size, size)?;
        let pages = 1 + u64::from(header.overflow);
        if header.id != id || id + pages > self.meta.pages {
            return Err(lost());
        }
        self.page.extend(self.data, pages * size)?;
        Ok(header)
    }

    /// The element to take: of a leaf the one with the key, of a branch the last that does not begin after it.
    fn choose(&mut self, count: u64, leaf: bool, want: Want<'_>) -> Result<Option<u64>, PageError> {
        let Want::Key(wanted) = want else { return Ok(count.checked_sub(1)) };
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

    /// A key, and where its value begins and how long it is.
    fn key(&mut self, i: u64, leaf: bool) -> Result<(Vec<u8>, u64, u64), PageError> {
        let element = self.page.element(self.data, i, leaf)?;
        let at = element_at(i) + u64::from(element.pos);
        let key = self.page.bytes(self.data, at, element.ksize as usize)?.to_vec();
        Ok((key, at + u64::from(element.ksize), element.vsize.into()))
    }

    fn found(&mut self, i: u64) -> Result<Found, PageError> {
        let (key, at, len) = self.key(i, true)?;
        let value = self.page.bytes(self.data, at, len.min(32) as usize)?.to_vec();
        Ok(Found { key, value, at: self.page.base + at, len })
    }
}

/// Where the path ends is the proof's to say.
fn lost() -> PageError {
    Finding::new(Check::PageRange, "no way to the newest revision").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{TRAILER, verify};

    const STREAMED: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");

    fn database() -> Vec<u8> {
        STREAMED[..STREAMED.len() - TRAILER as usize].to_vec()
    }

    #[test]
    fn what_etcd_streamed_is_normal_and_its_revision_that_of_the_proof() {
        let mut file = database();
        let len = file.len() as u64;
        let proven = verify(&&file[..], len).unwrap().facts.revision;
        // The room that bbolt has made ahead.
        file.resize(file.len() + 65536, 0xEE);
        let normal = canonicalize(&&file[..]).unwrap().unwrap();
        assert_eq!((normal.db_len, normal.revision), (len, Some(proven)));
        assert_eq!(normal.metas, file[..8192]);
    }

    /// Damage never panics and never makes up a revision out of nothing.
    #[test]
    fn any_damaged_byte_gives_an_answer_or_none() {
        let file = database();
        let mut refused = 0;
        for at in (0..file.len()).step_by(61) {
            let mut file = file.clone();
            file[at] ^= 0xFF;
            refused += u32::from(canonicalize(&&file[..]).unwrap().is_ok_and(|n| n.revision.is_none()));
        }
        assert!(canonicalize(&&file[..4096]).unwrap().is_err());
        assert!(canonicalize(&&b""[..]).unwrap().is_err());
        assert!(canonicalize(&&file[..file.len() - 4096]).unwrap().is_err());
        assert!(refused > 0);
    }
}
