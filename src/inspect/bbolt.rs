// SPDX-License-Identifier: Apache-2.0
//! The walk over the tree of a bbolt file: every page in use, every element, every key, every bucket.
//!
//! Accepts only what bbolt writes: data is laid out without gaps, pages are as long as their content needs, and keys ascend
//! inside the range of the branch above. What the buckets of etcd must contain is checked by a [`Visitor`].

use std::io;
use std::mem;

use super::finding::{Check, Finding, Findings, PageError};
use super::page::{BRANCH, Element, HEADER, LEAF, Page, Value, element_at, u64_at};
use super::page_map::PageMap;

/// The most pages on the way from the root to a leaf. A branch of bbolt has at least two children, and etcd does not nest
/// buckets: real files have about five. This limits the memory that a hostile file can claim.
const MAX_DEPTH: usize = 64;
/// The longest key that bbolt accepts, in bytes.
const MAX_KEY: u32 = 32768;
/// Bytes of the header of a bucket. It is the whole value, unless an inline page follows it.
const BUCKET_HEADER: u64 = 16;

/// Called for each bucket and each item of the walk, in the order of the keys.
pub(super) trait Visitor {
    /// A top-level bucket starts.
    fn bucket(&mut self, name: &[u8]);

    /// A key in a top-level bucket. `nested`: its value is a bucket.
    ///
    /// # Errors
    /// If the value cannot be read. A problem of the value is a finding.
    fn item(&mut self, key: &[u8], value: Value<'_>, nested: bool, findings: &mut Findings)
    -> io::Result<()>;
}

/// A page on the way from the root to the current position.
#[derive(Debug, Default)]
struct Frame {
    page: Page,
    leaf: bool,
    inline: bool,
    /// How many buckets are around it: 0 in the bucket of the top-level buckets.
    nest: usize,
    /// How many branches of its bucket are above it.
    level: usize,
    count: u64,
    next: u64,
    /// The offset at which the data of the next element must start.
    expected: u64,
    key: Vec<u8>,
    previous_key: Vec<u8>,
    /// The child of the current element of a branch. The walk enters it when the next key is known, which is its upper bound.
    child: Option<u64>,
    /// The inclusive lower bound of the keys.
    low: Option<Vec<u8>>,
    /// The exclusive upper bound of the keys.
    high: Option<Vec<u8>>,
}

/// The page that the walk enters next.
struct Target {
    to: NodeLocation,
    nest: usize,
    level: usize,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
}

enum NodeLocation {
    Page(u64),
    /// In a value of page `page`, at the offset `base` of the snapshot.
    Inline {
        page: u64,
        base: u64,
        len: u64,
    },
}

/// The state of one walk.
pub(super) struct TreeWalk<'a, 'b> {
    page_map: &'b mut PageMap<'a>,
    findings: &'b mut Findings,
    /// For each level of nesting: how many branches are above the leaves of the current bucket, once the walk has reached one.
    heights: Vec<Option<usize>>,
    stack: Vec<Frame>,
    /// Frames that can be used again, with their buffers.
    spare: Vec<Frame>,
}

impl<'a, 'b> TreeWalk<'a, 'b> {
    /// A walk that marks its pages in `page_map`.
    pub(super) fn new(page_map: &'b mut PageMap<'a>, findings: &'b mut Findings) -> TreeWalk<'a, 'b> {
        TreeWalk { page_map, findings, heights: Vec::new(), stack: Vec::new(), spare: Vec::new() }
    }

    /// Walks everything that can be reached from page `root`. A corrupt page is a finding, and the pages below it are skipped.
    ///
    /// # Errors
    /// If the bytes cannot be read.
    pub(super) fn run(&mut self, root: u64, visitor: &mut dyn Visitor) -> io::Result<()> {
        self.enter(Target { to: NodeLocation::Page(root), nest: 0, level: 0, low: None, high: None })?;
        while let Some(mut frame) = self.stack.pop() {
            match self.advance(&mut frame, visitor) {
                Ok(Some(target)) => {
                    self.stack.push(frame);
                    self.enter(target)?;
                }
                Ok(None) => self.spare.push(frame),
                Err(error) => {
                    self.findings.push(error.into_finding(frame.page.id, frame.page.base)?);
                    self.spare.push(frame);
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, target: Target) -> io::Result<()> {
        let (page, offset) = match target.to {
            NodeLocation::Page(page) => (page, page.saturating_mul(self.page_map.page_size)),
            NodeLocation::Inline { page, base, .. } => (page, base),
        };
        match self.open(target) {
            Ok(frame) => self.stack.push(frame),
            Err(error) => self.findings.push(error.into_finding(page, offset)?),
        }
        Ok(())
    }

    fn open(&mut self, target: Target) -> Result<Frame, PageError> {
        let mut frame = self.spare.pop().unwrap_or_default();
        if self.stack.len() >= MAX_DEPTH {
            let text = format!("the tree is deeper than {MAX_DEPTH} pages");
            return Err(Finding::new(Check::Depth, text).into());
        }
        let (header, inline) = match target.to {
            NodeLocation::Page(id) => (self.page_map.mark_used(id, &mut frame.page)?, false),
            NodeLocation::Inline { page, base, len } => {
                let header = frame.page.open(self.page_map.data, page, base, len)?;
                if (header.id, header.flags, header.overflow) != (0, LEAF, 0) {
                    let text = "not the header of an inline page";
                    return Err(Finding::at(Check::InlineBucket, page, base, text).into());
                }
                (header, true)
            }
        };
        let (page, base) = (frame.page.id, frame.page.base);
        let leaf = header.flags == LEAF;
        if !leaf && header.flags != BRANCH {
            let text = format!("flags {:#06x} on a page that must be a branch or a leaf", header.flags);
            return Err(Finding::at(Check::PageFlags, page, base, text).into());
        }
        let count = u64::from(header.count);
        // bbolt writes an empty bucket inline; only the bucket of buckets always has a page of its own.
        if count == 0 && !inline && !(leaf && target.nest == 0 && target.level == 0) {
            return Err(Finding::at(Check::PageCount, page, base, "no elements").into());
        }
        if element_at(count) > frame.page.len {
            let check = if inline { Check::InlineBucket } else { Check::PageCount };
            return Err(
                Finding::at(check, page, base, format!("{count} elements do not fit into the page")).into()
            );
        }
        self.check_page_kind(&target, leaf)
            .map_err(|text| Finding::at(Check::LeafDepth, page, base, text))?;
        frame.key.clear();
        frame.previous_key.clear();
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

    /// bbolt splits and joins only pages next to each other, and a root as a whole: all leaves of a bucket are equally deep.
    fn check_page_kind(&mut self, target: &Target, leaf: bool) -> Result<(), String> {
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
                return Err(format!(
                    "a {kind} below {level} branches; the leaves of the bucket are below {height}"
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Continues in a page until the next page below it, or until its end.
    fn advance(&mut self, frame: &mut Frame, visitor: &mut dyn Visitor) -> Result<Option<Target>, PageError> {
        while frame.next < frame.count {
            let i = frame.next;
            let element = self.read_element(frame, i)?;
            frame.next += 1;
            let target = if frame.leaf {
                self.visit_leaf(frame, i, element, visitor)?
            } else {
                frame.next_child(element.child)
            };
            if target.is_some() {
                return Ok(target);
            }
        }
        if let Some(child) = frame.child.take() {
            let (low, high) = (Some(mem::take(&mut frame.key)), frame.high.clone());
            return Ok(Some(frame.child_target(child, low, high)));
        }
        self.check_page_fill(frame).map(|()| None)
    }

    /// Reads element `i` and its key, which is then `frame.key`, and checks both.
    fn read_element(&self, frame: &mut Frame, i: u64) -> Result<Element, PageError> {
        let (id, at) = (frame.page.id, element_at(i));
        let offset = frame.page.base + at;
        let wrong = |check, text: String| Err(Finding::at(check, id, offset, text).into());
        let element = frame.page.element(self.page_map.data, i, frame.leaf)?;
        if at + u64::from(element.pos) != frame.expected {
            return wrong(
                Check::ElementPosition,
                format!("the data of element {i} is not where the data before it ends"),
            );
        }
        if element.ksize == 0 || element.ksize > MAX_KEY {
            return wrong(Check::ElementSize, format!("the key of element {i} has {} bytes", element.ksize));
        }
        let end = frame.expected + u64::from(element.ksize) + u64::from(element.vsize);
        if end > frame.page.len {
            return wrong(Check::ElementSize, format!("the data of element {i} passes the end of its page"));
        }
        mem::swap(&mut frame.key, &mut frame.previous_key);
        frame.key.clear();
        let key = frame.page.bytes(self.page_map.data, frame.expected, element.ksize as usize)?;
        frame.key.extend_from_slice(key);
        frame.expected = end;
        if i > 0 && frame.key <= frame.previous_key {
            return wrong(Check::KeyOrder, format!("key {i} is not greater than key {}", i - 1));
        }
        if i == 0 && frame.low.as_ref().is_some_and(|low| frame.key < *low) {
            return wrong(Check::KeyBounds, "the first key is less than the branch above allows".into());
        }
        // Keys ascend: if the last one is in range, all are.
        if i + 1 == frame.count && frame.high.as_ref().is_some_and(|high| frame.key >= *high) {
            return wrong(Check::KeyBounds, "the last key belongs to the page after this one".into());
        }
        Ok(element)
    }

    /// Passes element `i` of a leaf to the visitor. Returns the page of the bucket, if the element is one.
    fn visit_leaf(
        &mut self,
        frame: &mut Frame,
        i: u64,
        element: Element,
        visitor: &mut dyn Visitor,
    ) -> Result<Option<Target>, PageError> {
        let (id, base) = (frame.page.id, frame.page.base);
        let vsize = u64::from(element.vsize);
        let at = frame.expected - vsize;
        let wrong = |check, text: String| Err(Finding::at(check, id, base + element_at(i), text).into());
        let nested = element.flags == 1;
        if element.flags > 1 || (frame.nest == 0 && !nested) {
            return wrong(Check::ElementFlags, format!("element {i} has the flags {:#x}", element.flags));
        }
        match frame.nest {
            0 => visitor.bucket(&frame.key),
            1 => visitor.item(
                &frame.key,
                Value::new(self.page_map.data, &mut frame.page, at, vsize),
                nested,
                self.findings,
            )?,
            _ => {}
        }
        if !nested {
            return Ok(None);
        }
        if frame.inline {
            return wrong(Check::InlineBucket, "a bucket in an inline bucket".into());
        }
        if vsize < BUCKET_HEADER {
            return wrong(Check::BucketHeader, format!("a bucket of {vsize} bytes"));
        }
        let root = u64_at(frame.page.bytes(self.page_map.data, at, BUCKET_HEADER as usize)?, 0);
        let to = match root {
            0 if vsize >= BUCKET_HEADER + HEADER => {
                NodeLocation::Inline { page: id, base: base + at + BUCKET_HEADER, len: vsize - BUCKET_HEADER }
            }
            0 => {
                return wrong(Check::BucketHeader, "a bucket with neither a root nor an inline page".into());
            }
            _ if vsize == BUCKET_HEADER => NodeLocation::Page(root),
            _ => return wrong(Check::BucketHeader, format!("a bucket with a root and {vsize} bytes")),
        };
        Ok(Some(Target { to, nest: frame.nest + 1, level: 0, low: None, high: None }))
    }

    /// A page of bbolt is as long as its content needs; how that is rounded depends on the version. An inline page is not
    /// rounded. Anything else is a wrong count, size or overflow.
    fn check_page_fill(&self, frame: &Frame) -> Result<(), PageError> {
        let Page { id, base, len, .. } = frame.page;
        if frame.inline {
            if frame.expected == len {
                return Ok(());
            }
            let text = format!("{} bytes of content in an inline page of {len} bytes", frame.expected);
            return Err(Finding::at(Check::InlineBucket, id, base, text).into());
        }
        let pages = len / self.page_map.page_size;
        if pages == frame.expected.div_ceil(self.page_map.page_size)
            || pages == frame.expected / self.page_map.page_size + 1
        {
            return Ok(());
        }
        let text = format!("{pages} pages for {} bytes of content", frame.expected);
        Err(Finding::at(Check::PageOverflow, id, base, text).into())
    }
}

impl Frame {
    /// Stores `child` until its upper bound is known. Returns the child that was stored before: the current key is its bound.
    fn next_child(&mut self, child: u64) -> Option<Target> {
        let child = self.child.replace(child)?;
        Some(self.child_target(child, Some(self.previous_key.clone()), Some(self.key.clone())))
    }

    fn child_target(&self, child: u64, low: Option<Vec<u8>>, high: Option<Vec<u8>>) -> Target {
        Target { to: NodeLocation::Page(child), nest: self.nest, level: self.level + 1, low, high }
    }
}
