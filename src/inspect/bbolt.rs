// SPDX-License-Identifier: Apache-2.0
//! The walk over the tree of a bbolt file: every page in use, every element, every key, every bucket.
//!
//! It accepts what bbolt writes and nothing else: data is laid out without a gap, pages are as long as their
//! content needs, keys ascend inside the range of the branch above. What a bucket of etcd has to hold is
//! asked of a [`Visit`].

use std::io;
use std::mem;

use super::finding::{Check, Finding, Findings, PageError};
use super::page::{BRANCH, Element, HEADER, LEAF, Page, Value, element_at, u64_at};
use super::page_map::PageMap;

/// Pages one above the other. bbolt has at least two children in a branch, and etcd no bucket in a bucket:
/// real files have some five. It bounds the memory a hostile one can ask for.
const MAX_DEPTH: usize = 64;
/// bbolt takes no longer keys.
const KEY_MAX: u32 = 32768;
/// Bytes of a bucket's header, and all of its value unless the bucket is inlined behind it.
const BUCKET: u64 = 16;

/// Hears what the walk comes across, in the order of the keys.
pub(super) trait Visitor {
    /// A top-level bucket begins.
    fn bucket(&mut self, name: &[u8]);

    /// A key in a top-level bucket; `nested` if its value is a bucket again.
    fn item(&mut self, key: &[u8], value: Value<'_>, nested: bool, findings: &mut Findings)
    -> io::Result<()>;
}

/// A page on the way from the root to where the walk is.
#[derive(Debug, Default)]
struct Frame {
    page: Page,
    leaf: bool,
    inline: bool,
    /// Buckets around it: 0 for the bucket of the top-level buckets.
    nest: usize,
    /// Branches above it in its bucket.
    level: usize,
    count: u64,
    next: u64,
    /// Where the data of the next element has to begin.
    expected: u64,
    key: Vec<u8>,
    before: Vec<u8>,
    /// A branch's element whose child is to come: its end is known only with the key after it.
    child: Option<u64>,
    /// No key may be less.
    low: Option<Vec<u8>>,
    /// Every key is less.
    high: Option<Vec<u8>>,
}

/// A page to go to next.
struct Target {
    to: Place,
    nest: usize,
    level: usize,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
}

enum Place {
    Page(u64),
    /// Inside a value of page `page`, at `base` in the snapshot.
    Inline {
        page: u64,
        base: u64,
        len: u64,
    },
}

/// The state of one walk.
pub(super) struct TreeWalk<'a, 'b> {
    ledger: &'b mut PageMap<'a>,
    findings: &'b mut Findings,
    /// By nesting: how many branches are above the leaves of the bucket the walk is in, once it has come to
    /// one.
    heights: Vec<Option<usize>>,
    stack: Vec<Frame>,
    spare: Vec<Frame>,
}

impl<'a, 'b> TreeWalk<'a, 'b> {
    /// A walk that takes its pages from `ledger`.
    pub(super) fn new(ledger: &'b mut PageMap<'a>, findings: &'b mut Findings) -> TreeWalk<'a, 'b> {
        TreeWalk { ledger, findings, heights: Vec::new(), stack: Vec::new(), spare: Vec::new() }
    }

    /// Walks all that can be reached from page `root`. A damaged page is reported and left out, with all
    /// below it.
    pub(super) fn tree(&mut self, root: u64, visit: &mut dyn Visitor) -> io::Result<()> {
        self.enter(Target { to: Place::Page(root), nest: 0, level: 0, low: None, high: None })?;
        while let Some(mut frame) = self.stack.pop() {
            match self.advance(&mut frame, visit) {
                Ok(Some(target)) => {
                    self.stack.push(frame);
                    self.enter(target)?;
                }
                Ok(None) => self.spare.push(frame),
                Err(halt) => {
                    self.findings.push(halt.damage(frame.page.id, frame.page.base)?);
                    self.spare.push(frame);
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, target: Target) -> io::Result<()> {
        let (page, offset) = match target.to {
            Place::Page(page) => (page, page.saturating_mul(self.ledger.page_size)),
            Place::Inline { page, base, .. } => (page, base),
        };
        match self.open(target) {
            Ok(frame) => self.stack.push(frame),
            Err(halt) => self.findings.push(halt.damage(page, offset)?),
        }
        Ok(())
    }

    fn open(&mut self, target: Target) -> Result<Frame, PageError> {
        let mut frame = self.spare.pop().unwrap_or_default();
        if self.stack.len() >= MAX_DEPTH {
            let text = format!("more than {MAX_DEPTH} pages one above the other");
            return Err(Finding::new(Check::Depth, text).into());
        }
        let (header, inline) = match target.to {
            Place::Page(id) => (self.ledger.mark_used(id, &mut frame.page)?, false),
            Place::Inline { page, base, len } => {
                let header = frame.page.open(self.ledger.data, page, base, len)?;
                if (header.id, header.flags, header.overflow) != (0, LEAF, 0) {
                    let text = "not the header of an inlined page";
                    return Err(Finding::at(Check::InlineBucket, page, base, text).into());
                }
                (header, true)
            }
        };
        let (page, base) = (frame.page.id, frame.page.base);
        let leaf = header.flags == LEAF;
        if !leaf && header.flags != BRANCH {
            let text = format!("flags of {:#06x} on what has to be a branch or a leaf", header.flags);
            return Err(Finding::at(Check::PageFlags, page, base, text).into());
        }
        let count = u64::from(header.count);
        // bbolt inlines an empty bucket; only the bucket of buckets always has a page of its own.
        if count == 0 && !inline && !(leaf && target.nest == 0 && target.level == 0) {
            return Err(Finding::at(Check::PageCount, page, base, "no elements").into());
        }
        if element_at(count) > frame.page.len {
            let check = if inline { Check::InlineBucket } else { Check::PageCount };
            return Err(Finding::at(check, page, base, format!("{count} elements do not fit into it")).into());
        }
        self.level(&target, leaf).map_err(|text| Finding::at(Check::LeafDepth, page, base, text))?;
        frame.key.clear();
        frame.before.clear();
        let Target { nest, level, low, high, .. } = target;
        Ok(Frame {
            leaf,
            inline,
            nest,
            level,
            count,
            next: 0,
            expected: element_at(count),
            child: None,
            low,
            high,
            ..frame
        })
    }

    /// bbolt splits and joins pages beside each other only, and a root as a whole: leaves of a bucket are all
    /// equally deep.
    fn level(&mut self, target: &Target, leaf: bool) -> Result<(), String> {
        self.heights.truncate(target.nest + 1);
        self.heights.resize(target.nest + 1, None);
        let Some(height) = self.heights.last_mut() else { return Ok(()) };
        if target.level == 0 {
            *height = None;
        }
        match *height {
            None if leaf => *height = Some(target.level),
            Some(height) if leaf != (target.level == height) => {
                let kind = if leaf { "leaf" } else { "branch" };
                let level = target.level;
                return Err(format!("a {kind} below {level} branches, where leaves are below {height}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Goes on in a page up to the next page below it, or to its end.
    fn advance(&mut self, frame: &mut Frame, visit: &mut dyn Visitor) -> Result<Option<Target>, PageError> {
        while frame.next < frame.count {
            let i = frame.next;
            let element = self.element(frame, i)?;
            frame.next += 1;
            let target =
                if frame.leaf { self.leaf(frame, i, element, visit)? } else { frame.branch(element.child) };
            if target.is_some() {
                return Ok(target);
            }
        }
        if let Some(child) = frame.child.take() {
            let (low, high) = (Some(mem::take(&mut frame.key)), frame.high.clone());
            return Ok(Some(frame.below(child, low, high)));
        }
        self.filled(frame).map(|()| None)
    }

    /// Reads element `i` and its key, which is then `frame.key`, and holds both against what is known.
    fn element(&self, frame: &mut Frame, i: u64) -> Result<Element, PageError> {
        let (id, at) = (frame.page.id, element_at(i));
        let offset = frame.page.base + at;
        let wrong = |check, text: String| Err(Finding::at(check, id, offset, text).into());
        let element = frame.page.element(self.ledger.data, i, frame.leaf)?;
        if at + u64::from(element.pos) != frame.expected {
            return wrong(
                Check::ElementPosition,
                format!("the data of element {i} is not where it has to be"),
            );
        }
        if element.ksize == 0 || element.ksize > KEY_MAX {
            return wrong(Check::ElementSize, format!("element {i} has a key of {} bytes", element.ksize));
        }
        let end = frame.expected + u64::from(element.ksize) + u64::from(element.vsize);
        if end > frame.page.len {
            return wrong(Check::ElementSize, format!("the data of element {i} passes the end of its page"));
        }
        mem::swap(&mut frame.key, &mut frame.before);
        frame.key.clear();
        let key = frame.page.bytes(self.ledger.data, frame.expected, element.ksize as usize)?;
        frame.key.extend_from_slice(key);
        frame.expected = end;
        if i > 0 && frame.key <= frame.before {
            return wrong(Check::KeyOrder, format!("key {i} is not greater than key {}", i - 1));
        }
        if i == 0 && frame.low.as_ref().is_some_and(|low| frame.key < *low) {
            return wrong(Check::KeyBounds, "the first key is less than the branch above says".into());
        }
        // Keys ascend: that the last is in range says it of all.
        if i + 1 == frame.count && frame.high.as_ref().is_some_and(|high| frame.key >= *high) {
            return wrong(Check::KeyBounds, "the last key belongs to the page after this one".into());
        }
        Ok(element)
    }

    fn leaf(
        &mut self,
        frame: &mut Frame,
        i: u64,
        element: Element,
        visit: &mut dyn Visitor,
    ) -> Result<Option<Target>, PageError> {
        let (id, base) = (frame.page.id, frame.page.base);
        let vsize = u64::from(element.vsize);
        let at = frame.expected - vsize;
        let wrong = |check, text: String| Err(Finding::at(check, id, base + element_at(i), text).into());
        let nested = element.flags == 1;
        if element.flags > 1 || (frame.nest == 0 && !nested) {
            return wrong(Check::ElementFlags, format!("flags of {:#x} in element {i}", element.flags));
        }
        match frame.nest {
            0 => visit.bucket(&frame.key),
            1 => visit.item(
                &frame.key,
                Value::new(self.ledger.data, &mut frame.page, at, vsize),
                nested,
                self.findings,
            )?,
            _ => {}
        }
        if !nested {
            return Ok(None);
        }
        if frame.inline {
            return wrong(Check::InlineBucket, "a bucket in an inlined bucket".into());
        }
        if vsize < BUCKET {
            return wrong(Check::BucketHeader, format!("a bucket of {vsize} bytes"));
        }
        let root = u64_at(frame.page.bytes(self.ledger.data, at, BUCKET as usize)?, 0);
        let to = match root {
            0 if vsize >= BUCKET + HEADER => {
                Place::Inline { page: id, base: base + at + BUCKET, len: vsize - BUCKET }
            }
            0 => {
                return wrong(
                    Check::BucketHeader,
                    "a bucket that has neither a root nor a page inlined".into(),
                );
            }
            _ if vsize == BUCKET => Place::Page(root),
            _ => return wrong(Check::BucketHeader, format!("a bucket with a root and {vsize} bytes")),
        };
        Ok(Some(Target { to, nest: frame.nest + 1, level: 0, low: None, high: None }))
    }

    /// bbolt gives a page the room its content needs, of which the rounding differs by version, and an
    /// inlined one no byte more. Anything else is a wrong count, size or overflow.
    fn filled(&self, frame: &Frame) -> Result<(), PageError> {
        let Page { id, base, len, .. } = frame.page;
        if frame.inline {
            if frame.expected == len {
                return Ok(());
            }
            let text = format!("{} bytes of content in an inlined page of {len}", frame.expected);
            return Err(Finding::at(Check::InlineBucket, id, base, text).into());
        }
        let pages = len / self.ledger.page_size;
        if pages == frame.expected.div_ceil(self.ledger.page_size)
            || pages == frame.expected / self.ledger.page_size + 1
        {
            return Ok(());
        }
        let text = format!("{pages} pages for {} bytes of content", frame.expected);
        Err(Finding::at(Check::PageOverflow, id, base, text).into())
    }
}

impl Frame {
    /// Keeps `child` until its end is known; the one kept before can be gone to now.
    fn branch(&mut self, child: u64) -> Option<Target> {
        let child = self.child.replace(child)?;
        Some(self.below(child, Some(self.before.clone()), Some(self.key.clone())))
    }

    fn below(&self, child: u64, low: Option<Vec<u8>>, high: Option<Vec<u8>>) -> Target {
        Target { to: Place::Page(child), nest: self.nest, level: self.level + 1, low, high }
    }
}
