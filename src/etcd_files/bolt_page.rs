// SPDX-License-Identifier: Apache-2.0
//! Branch and leaf pages of a bbolt file: reading them with every length checked, and their layout.
//!
//! Only the pages on the path of a change are read. This is not a verification of the file.

use anyhow::Context;

use super::bolt_format::{BRANCH, HEADER, LEAF, corrupt, header, u16_at, u32_at, u64_at};
use super::bolt_meta::Meta;
use crate::io::ReadAt;

/// The largest page that is read as a whole, in bytes, with its overflow. A page is read as a whole only to rewrite it.
/// etcd's branches and its leaves outside of the bucket `key` have a few kilobytes.
pub(super) const MAX_PAGE: u64 = 1 << 20;

/// An element of a page: a key and its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Vec<u8>,
    pub(super) target: Target,
}

/// The target of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// In a leaf: a value.
    Value(Vec<u8>),
    /// In a leaf: the header of a bucket. If the bucket is inlined, its page follows the header.
    Bucket(Vec<u8>),
    /// In a branch: the number of the child page.
    Child(u64),
}

impl Item {
    fn value(&self) -> &[u8] {
        match &self.target {
            Target::Value(value) | Target::Bucket(value) => value,
            Target::Child(_) => &[],
        }
    }

    /// The number of bytes of this item in a page.
    pub(super) fn size(&self) -> usize {
        HEADER + self.key.len() + self.value().len()
    }
}

/// An element in the table of a page.
struct Element {
    flags: u32,
    /// The offset of the key in the page. The value follows the key.
    at: u64,
    key: u64,
    value: u64,
    child: u64,
}

impl Element {
    fn parse(raw: &[u8], i: u64, leaf: bool) -> Element {
        let position = |at: usize| (HEADER as u64) * (i + 1) + u64::from(u32_at(raw, at));
        match leaf {
            true => Element {
                flags: u32_at(raw, 0),
                at: position(4),
                key: u32_at(raw, 8).into(),
                value: u32_at(raw, 12).into(),
                child: 0,
            },
            false => Element {
                flags: 0,
                at: position(0),
                key: u32_at(raw, 4).into(),
                value: 0,
                child: u64_at(raw, 8),
            },
        }
    }

    fn target(&self, value: &[u8], leaf: bool) -> Option<Target> {
        match (leaf, self.flags) {
            (false, _) => Some(Target::Child(self.child)),
            (true, 0) => Some(Target::Value(value.to_vec())),
            (true, 1) => Some(Target::Bucket(value.to_vec())),
            (true, _) => None,
        }
    }
}

/// The items of a page, given with its header. `None` if the page is not a well-formed branch or leaf.
pub(super) fn parse(page: &[u8]) -> Option<Vec<Item>> {
    let (flags, count) = (u16_at(page, 8), u16_at(page, 10));
    let leaf = flags == LEAF;
    if page.len() < HEADER || !(leaf || flags == BRANCH) {
        return None;
    }
    let slice = |at: u64, len: u64| page.get(usize::try_from(at).ok()?..)?.get(..usize::try_from(len).ok()?);
    let mut items: Vec<Item> = Vec::new();
    let mut expected = HEADER as u64 * (u64::from(count) + 1);
    for i in 0..u64::from(count) {
        let element = Element::parse(slice(HEADER as u64 * (i + 1), HEADER as u64)?, i, leaf);
        // The data has no gaps and no overlaps, so the items together are not larger than the page.
        if element.at != expected {
            return None;
        }
        expected += element.key + element.value;
        let key = slice(element.at, element.key)?;
        let value = slice(element.at + element.key, element.value)?;
        // A new key has no defined place among keys that do not ascend.
        if items.last().is_some_and(|last| last.key.as_slice() >= key) {
            return None;
        }
        items.push(Item { key: key.to_vec(), target: element.target(value, leaf)? });
    }
    Some(items)
}

/// The bytes of a page with these items: header, table, data.
pub(super) fn layout(id: u64, leaf: bool, overflow: u32, items: &[Item]) -> anyhow::Result<Vec<u8>> {
    let too_large = || corrupt("a page that is too large".into());
    let count = u16::try_from(items.len()).map_err(|_| too_large())?;
    let mut page = header(id, if leaf { LEAF } else { BRANCH }, count, overflow).to_vec();
    let mut at = HEADER * (items.len() + 1);
    for (i, item) in items.iter().enumerate() {
        let short = |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(|_| too_large());
        let (position, key) = (short(at - HEADER * (i + 1))?, short(item.key.len())?);
        let (front, back) = match &item.target {
            Target::Value(value) => ([[0; 4], position], [key, short(value.len())?]),
            Target::Bucket(value) => ([[1, 0, 0, 0], position], [key, short(value.len())?]),
            Target::Child(child) => {
                page.extend_from_slice(&[position, key].concat());
                page.extend_from_slice(&child.to_le_bytes());
                at += item.key.len();
                continue;
            }
        };
        page.extend_from_slice(&[front, back].concat().concat());
        at += item.key.len() + item.value().len();
    }
    for item in items {
        page.extend_from_slice(&item.key);
        page.extend_from_slice(item.value());
    }
    Ok(page)
}

/// A page in the file. Its header was checked.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    data: &'a dyn ReadAt,
    id: u64,
    base: u64,
    /// Bytes of the page with its overflow.
    pub(super) len: u64,
    pub(super) leaf: bool,
    pub(super) count: u64,
}

impl<'a> Page<'a> {
    /// Opens page `id` and checks its header.
    pub(super) fn open(data: &'a dyn ReadAt, meta: &Meta, id: u64) -> anyhow::Result<Page<'a>> {
        let wrong = |text: &str| Err(corrupt(format!("page {id}: {text}")));
        if id < 2 || id >= meta.pages {
            return wrong("it is not one of the pages in use");
        }
        let mut page =
            Page { data, id, base: id.saturating_mul(meta.page_size), len: 0, leaf: false, count: 0 };
        let raw = page.read(0, HEADER as u64)?;
        let (flags, overflow) = (u16_at(&raw, 8), u64::from(u32_at(&raw, 12)));
        (page.leaf, page.count) = (flags == LEAF, u16_at(&raw, 10).into());
        page.len = (1 + overflow).saturating_mul(meta.page_size);
        if u64_at(&raw, 0) != id {
            return wrong("it has the number of another page");
        }
        if !page.leaf && flags != BRANCH {
            return wrong("it is neither a branch nor a leaf");
        }
        if overflow >= meta.pages - id {
            return wrong("it passes the end of the database");
        }
        if HEADER as u64 * (page.count + 1) > page.len {
            return wrong("its elements do not fit into it");
        }
        Ok(page)
    }

    /// Reads `len` bytes at offset `at` of the page, at most [`MAX_PAGE`].
    fn read(&self, at: u64, len: u64) -> anyhow::Result<Vec<u8>> {
        let size = usize::try_from(len).ok().filter(|_| len <= MAX_PAGE);
        let size = size.ok_or_else(|| corrupt(format!("page {}: {len} bytes in one piece", self.id)))?;
        let mut bytes = vec![0; size];
        let offset = self.base.saturating_add(at);
        self.data.read_exact_at(&mut bytes, offset).with_context(|| format!("reading page {}", self.id))?;
        Ok(bytes)
    }

    /// All items of the page.
    pub(super) fn items(&self) -> anyhow::Result<Vec<Item>> {
        let items = parse(&self.read(0, self.len)?);
        items.ok_or_else(|| corrupt(format!("page {}: its elements are malformed", self.id)))
    }

    /// Item `i`. Its value is empty unless `whole` is set.
    pub(super) fn item(&self, i: u64, whole: bool) -> anyhow::Result<Item> {
        let malformed = || corrupt(format!("page {}: element {i} is malformed", self.id));
        let raw = self.read(HEADER as u64 * (i + 1), HEADER as u64)?;
        let element = Element::parse(&raw, i, self.leaf);
        let value = if whole { element.value } else { 0 };
        if i >= self.count || element.at + element.key + element.value > self.len {
            return Err(malformed());
        }
        let key = self.read(element.at, element.key)?;
        let value = self.read(element.at + element.key, value)?;
        let target = element.target(&value, self.leaf).ok_or_else(malformed)?;
        Ok(Item { key, target })
    }

    /// The offset in the page at which the data of the last item ends.
    pub(super) fn end(&self) -> anyhow::Result<u64> {
        let Some(last) = self.count.checked_sub(1) else { return Ok(HEADER as u64) };
        let raw = self.read(HEADER as u64 * (last + 1), HEADER as u64)?;
        let element = Element::parse(&raw, last, self.leaf);
        Ok(element.at + element.key + element.value)
    }

    /// The index of the item with this key. `Err` has the index at which the key would be inserted.
    pub(super) fn search(&self, key: &[u8]) -> anyhow::Result<Result<u64, u64>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.item(middle, false)?.key.as_slice().cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Ok(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(Err(low))
    }
}
