// SPDX-License-Identifier: Apache-2.0
//! One transaction on a bbolt file: computes the bytes to write, and their offsets, to set the values of some keys.
//!
//! The transaction is copy on write, as in bbolt. New versions of all pages from a changed leaf up to the root are
//! written after the last page in use. Then the meta page that is not in use is overwritten. Before that, the content of
//! the file does not change. Replaced pages become free. A freelist in the file is dropped: etcd does the same at its
//! first commit, because it uses `NoFreelistSync`.

use std::collections::BTreeMap;

use super::bolt_format::{HEADER, LEAF, corrupt, u16_at, u64_at};
use super::bolt_meta::Meta;
use super::bolt_page::{Item, Page, Target, layout, parse};
use crate::io::ReadAt;

/// The largest number of levels of a tree. Real files have about five.
const MAX_DEPTH: usize = 64;
/// Bytes of the header of a bucket: root page and sequence number.
const BUCKET: usize = 16;
/// The largest number of elements of a page. The count has 16 bits, and bbolt uses its highest value for freelists only.
const MAX_COUNT: usize = 0xFFFE;

/// Bytes to write at an offset of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageWrite {
    /// The offset in the file, in bytes.
    pub offset: u64,
    /// The bytes, a multiple of the page size.
    pub bytes: Vec<u8>,
}

/// The writes of a transaction. The caller must write all of `pages`, sync the file, write `meta`, and sync the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// New pages, after the last page in use. They have no effect without `meta`.
    pub pages: Vec<PageWrite>,
    /// The meta page that refers to the new pages.
    pub meta: PageWrite,
}

/// A transaction that collects changes.
pub(super) struct Transaction<'a> {
    data: &'a dyn ReadAt,
    meta: Meta,
    /// The number of the next new page.
    next: u64,
    pages: Vec<PageWrite>,
    changes: BTreeMap<Vec<u8>, Vec<Item>>,
}

impl<'a> Transaction<'a> {
    /// Begins the transaction that follows the one of `meta`.
    pub(super) fn new(data: &'a dyn ReadAt, meta: Meta) -> Transaction<'a> {
        Transaction { data, next: meta.pages, meta, pages: Vec::new(), changes: BTreeMap::new() }
    }

    /// The value of a key in a top-level bucket, without the changes of this transaction.
    pub(super) fn get(&self, bucket: &[u8], key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let header = self.bucket(bucket)?;
        let found = match u64_at(&header, 0) {
            0 => inlined(bucket, &header)?.into_iter().find(|item| item.key == key),
            root => self.seek(root, key)?,
        };
        match found.map(|item| item.target) {
            None => Ok(None),
            Some(Target::Value(value)) => Ok(Some(value)),
            Some(_) => {
                Err(corrupt(format!("bucket '{}': a key has a bucket instead of a value", name(bucket))))
            }
        }
    }

    /// Sets the value of a key in a top-level bucket.
    pub(super) fn put(&mut self, bucket: &[u8], key: &[u8], value: Vec<u8>) {
        let changes = self.changes.entry(bucket.to_vec()).or_default();
        set(changes, Item { key: key.to_vec(), target: Target::Value(value) });
    }

    /// Computes the writes.
    pub(super) fn commit(mut self) -> anyhow::Result<Commit> {
        let mut headers = Vec::new();
        for (bucket, changes) in std::mem::take(&mut self.changes) {
            let header = self.bucket(&bucket)?;
            let header = match u64_at(&header, 0) {
                0 => self.change_inlined(&bucket, &header, &changes)?,
                root => with_root(self.change_tree(root, &changes)?, &header),
            };
            headers.push(Item { key: bucket, target: Target::Bucket(header) });
        }
        let root = self.change_tree(self.meta.root, &headers)?;
        let (slot, bytes) = self.meta.next(root, self.next)?;
        Ok(Commit { pages: self.pages, meta: PageWrite { offset: slot * self.meta.page_size, bytes } })
    }

    /// The header of a top-level bucket. If the bucket is inlined, its page follows the header.
    fn bucket(&self, bucket: &[u8]) -> anyhow::Result<Vec<u8>> {
        let wrong = |text: &str| corrupt(format!("bucket '{}': {text}", name(bucket)));
        match self.seek(self.meta.root, bucket)?.map(|item| item.target) {
            Some(Target::Bucket(header)) if header.len() < BUCKET => Err(wrong("its header is too short")),
            Some(Target::Bucket(header)) if header.len() > BUCKET && u64_at(&header, 0) != 0 => {
                Err(wrong("it has both a root page and an inlined page"))
            }
            Some(Target::Bucket(header)) => Ok(header),
            Some(_) => Err(wrong("it is not a bucket")),
            None => Err(wrong("it does not exist")),
        }
    }

    /// The item with this key in the tree below page `root`.
    fn seek(&self, root: u64, key: &[u8]) -> anyhow::Result<Option<Item>> {
        let mut id = root;
        for _ in 0..MAX_DEPTH {
            let page = Page::open(self.data, &self.meta, id)?;
            let found = page.search(key)?;
            if page.leaf {
                return found.ok().map(|i| page.item(i, true)).transpose();
            }
            let i = found.unwrap_or_else(|after| after.saturating_sub(1));
            match page.item(i, false)?.target {
                Target::Child(child) => id = child,
                _ => break,
            }
        }
        Err(corrupt(format!("the tree below page {root} is too deep")))
    }

    /// Makes changes in a tree. Returns the new root page.
    fn change_tree(&mut self, root: u64, changes: &[Item]) -> anyhow::Result<u64> {
        let level = self.change_page(root, changes, MAX_DEPTH)?;
        self.join(level)
    }

    /// Makes changes in the subtree of page `id`. Returns the elements for the parent.
    fn change_page(&mut self, id: u64, changes: &[Item], depth: usize) -> anyhow::Result<Vec<Item>> {
        let page = Page::open(self.data, &self.meta, id)?;
        let depth = depth.checked_sub(1).ok_or_else(|| corrupt("the tree is too deep".into()))?;
        if page.leaf {
            return self.change_leaf(id, &page, changes);
        }
        let mut changes = changes;
        let mut level = Vec::new();
        let mut children = page.items()?.into_iter().peekable();
        while let Some(child) = children.next() {
            // A child has all keys below the key of the next child. The first child also has all keys below its own.
            let end = children.peek().map(|after| changes.partition_point(|change| change.key < after.key));
            let (of_child, rest) = changes.split_at(end.unwrap_or(changes.len()));
            changes = rest;
            match child.target {
                Target::Child(below) if !of_child.is_empty() => {
                    level.extend(self.change_page(below, of_child, depth)?);
                }
                _ => level.push(child),
            }
        }
        if level.is_empty() {
            return Err(corrupt(format!("page {id}: a branch without elements")));
        }
        self.write_level(level, false)
    }

    fn change_leaf(&mut self, id: u64, page: &Page<'_>, changes: &[Item]) -> anyhow::Result<Vec<Item>> {
        let size = changes.iter().map(Item::size).sum::<usize>() as u64;
        let appends = match (page.count.checked_sub(1), changes.first()) {
            (Some(last), Some(first)) => page.item(last, false)?.key < first.key,
            _ => false,
        };
        // The last leaf of the bucket `key` may have megabytes of values. A new key after them gets a new leaf.
        if appends && page.end()? + size > self.meta.page_size {
            let kept = Item { key: page.item(0, false)?.key, target: Target::Child(id) };
            let added = self.write_level(changes.to_vec(), true)?;
            return Ok([vec![kept], added].concat());
        }
        let mut items = page.items()?;
        apply(&mut items, changes)?;
        self.write_level(items, true)
    }

    /// Makes changes in an inlined bucket. Returns its header, and its page if the bucket can still be inlined.
    fn change_inlined(&mut self, bucket: &[u8], header: &[u8], changes: &[Item]) -> anyhow::Result<Vec<u8>> {
        let mut items = inlined(bucket, header)?;
        apply(&mut items, changes)?;
        let page = layout(0, true, 0, &items)?;
        // bbolt has the same limit.
        if page.len() as u64 <= self.meta.page_size / 4 {
            return Ok([with_root(0, header), page].concat());
        }
        let level = self.write_level(items, true)?;
        Ok(with_root(self.join(level)?, header))
    }

    /// Adds branches above these pages until there is one root. Returns the root page.
    fn join(&mut self, mut level: Vec<Item>) -> anyhow::Result<u64> {
        while level.len() > 1 {
            level = self.write_level(level, false)?;
        }
        match level.first() {
            Some(Item { target: Target::Child(root), .. }) => Ok(*root),
            _ => Err(corrupt("a tree without a page".into())),
        }
    }

    /// Writes items to new pages. Returns the elements for the parent.
    fn write_level(&mut self, items: Vec<Item>, leaf: bool) -> anyhow::Result<Vec<Item>> {
        let mut above = Vec::new();
        for items in self.split(items, leaf) {
            let bytes = items.iter().map(Item::size).sum::<usize>() + HEADER;
            let pages = (bytes as u64).div_ceil(self.meta.page_size);
            let overflow =
                u32::try_from(pages - 1).map_err(|_| corrupt("a page that is too large".into()))?;
            let id = self.next;
            let mut bytes = layout(id, leaf, overflow, &items)?;
            let end = id.checked_add(pages).and_then(|end| end.checked_mul(self.meta.page_size));
            if end.is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(corrupt("the database is too large".into()));
            }
            bytes.resize(usize::try_from(pages * self.meta.page_size)?, 0);
            self.pages.push(PageWrite { offset: id * self.meta.page_size, bytes });
            self.next = id + pages;
            let key = items.into_iter().next().map(|item| item.key).unwrap_or_default();
            above.push(Item { key, target: Target::Child(id) });
        }
        Ok(above)
    }

    /// Divides items among pages and fills each page. A branch has at least two children, as in bbolt.
    fn split(&self, items: Vec<Item>, leaf: bool) -> Vec<Vec<Item>> {
        let least = if leaf { 1 } else { 2 };
        let (mut pages, mut page, mut size) = (Vec::new(), Vec::<Item>::new(), HEADER);
        for item in items {
            let full = (size + item.size()) as u64 > self.meta.page_size || page.len() >= MAX_COUNT;
            if full && page.len() >= least {
                pages.push(std::mem::take(&mut page));
                size = HEADER;
            }
            size += item.size();
            page.push(item);
        }
        if page.len() < least
            && let Some(mut before) = pages.pop()
        {
            // The last branch has one child. It takes one of the page before, or joins it if that would leave one there.
            let spare = usize::from(before.len() > least);
            let taken = before.split_off(before.len() - spare);
            match taken.is_empty() {
                true => page = [before, page].concat(),
                false => {
                    pages.push(before);
                    page = [taken, page].concat();
                }
            }
        }
        pages.push(page);
        pages
    }
}

/// Inserts an item into sorted items, or replaces the item with the same key.
fn set(items: &mut Vec<Item>, item: Item) {
    match items.binary_search_by(|before| before.key.cmp(&item.key)) {
        Ok(i) => items.splice(i..=i, [item]),
        Err(i) => items.splice(i..i, [item]),
    };
}

/// Makes changes in the items of a leaf. A value cannot replace a bucket, nor a bucket a value.
fn apply(items: &mut Vec<Item>, changes: &[Item]) -> anyhow::Result<()> {
    for change in changes {
        let before = items.iter().find(|item| item.key == change.key);
        let same_kind =
            |item: &Item| std::mem::discriminant(&item.target) == std::mem::discriminant(&change.target);
        if !before.is_none_or(same_kind) {
            return Err(corrupt(
                "a key has a value instead of a bucket, or a bucket instead of a value".into(),
            ));
        }
        set(items, change.clone());
    }
    Ok(())
}

/// The header of a bucket, with another root page.
fn with_root(root: u64, header: &[u8]) -> Vec<u8> {
    [root, u64_at(header, 8)].iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The items of an inlined bucket.
fn inlined(bucket: &[u8], header: &[u8]) -> anyhow::Result<Vec<Item>> {
    let page = header.get(BUCKET..).filter(|page| u16_at(page, 8) == LEAF);
    page.and_then(parse)
        .ok_or_else(|| corrupt(format!("bucket '{}': its inlined page is malformed", name(bucket))))
}

/// The name of a bucket in a message.
fn name(bucket: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bucket)
}
