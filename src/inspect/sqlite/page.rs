// SPDX-License-Identifier: Apache-2.0
//! One page of a table or an index: its header, its cells, and its free space. Every byte belongs to one of them.

use std::ops::Range;

use super::header::{HEADER, u16_at, u32_at};

/// The least bytes that a cell takes.
const MIN_CELL: usize = 4;
/// The least bytes of a free block; fewer free bytes are a fragment.
const MIN_FREE: usize = 4;

/// What a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// Rows by their row ids.
    Table,
    /// Entries by their keys.
    Index,
}

/// A page that was read.
#[derive(Debug)]
pub(super) struct Page {
    /// What it belongs to.
    pub(super) tree: Tree,
    /// Its cells, in the order of their keys.
    pub(super) cells: Vec<Cell>,
    /// The page after the last cell; `None` in a leaf.
    pub(super) right: Option<u32>,
}

/// A cell: a row, an entry, or a reference to a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    /// The page before this cell; `None` in a leaf.
    pub(super) left: Option<u32>,
    /// The row id; `None` in an index.
    pub(super) rowid: Option<i64>,
    /// The payload; `None` in a page of a table that is not a leaf.
    pub(super) payload: Option<Payload>,
}

/// Where the bytes of a payload are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    /// All bytes.
    pub(super) len: u64,
    /// Those that are in the page.
    pub(super) local: Range<usize>,
    /// The first overflow page; 0 if there is none.
    pub(super) overflow: u32,
}

/// The variable-length integer at `at`, and where it ends.
pub(super) fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value: u64 = 0;
    for i in 0..9 {
        let byte = *bytes.get(at.checked_add(i)?)?;
        if i == 8 {
            return Some((value << 8 | u64::from(byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + i + 1));
        }
    }
    None
}

/// What is wrong with a page, or with a cell of it.
type Wrong = &'static str;

impl Page {
    /// Reads the page with this number.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(number: u64, bytes: &[u8]) -> Result<Page, Wrong> {
        let at = if number == 1 { HEADER } else { 0 };
        let (tree, is_leaf) = match bytes.get(at) {
            Some(2) => (Tree::Index, false),
            Some(5) => (Tree::Table, false),
            Some(10) => (Tree::Index, true),
            Some(13) => (Tree::Table, true),
            _ => return Err("the page is not of a table or an index"),
        };
        let count = usize::from(u16_at(bytes, at + 3));
        let table = at + if is_leaf { 8 } else { 12 };
        let content = match u16_at(bytes, at + 5) {
            0 => 65536,
            start => usize::from(start),
        };
        let table_end = table + 2 * count;
        if table_end > content || content > bytes.len() {
            return Err("the table of cells and the cells overlap");
        }
        let (mut cells, mut taken) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for i in 0..count {
            let start = usize::from(u16_at(bytes, table + 2 * i));
            let (cell, end) = parse_cell(bytes, start, tree, is_leaf).ok_or("a cell is malformed")?;
            taken.push(start..end.max(start + MIN_CELL));
            cells.push(cell);
        }
        free_blocks(bytes, usize::from(u16_at(bytes, at + 1)), &mut taken)?;
        let fragments = bytes.get(at + 7).copied().unwrap_or_default();
        check_space(&mut taken, content, bytes.len(), usize::from(fragments))?;
        Ok(Page { tree, cells, right: (!is_leaf).then(|| u32_at(bytes, at + 8)) })
    }
}

/// Adds the free blocks of a page to what is taken. They are in ascending order.
fn free_blocks(bytes: &[u8], first: usize, taken: &mut Vec<Range<usize>>) -> Result<(), Wrong> {
    let (mut at, mut end) = (first, 0);
    while at != 0 {
        let size = usize::from(u16_at(bytes, at + 2));
        if at < end || size < MIN_FREE || at + size > bytes.len() {
            return Err("the free blocks are malformed");
        }
        end = at + size;
        taken.push(at..end);
        at = usize::from(u16_at(bytes, at));
    }
    Ok(())
}

/// Checks that nothing overlaps, and that the other bytes of the content are as many as the fragments.
fn check_space(
    taken: &mut [Range<usize>],
    content: usize,
    end: usize,
    fragments: usize,
) -> Result<(), Wrong> {
    taken.sort_by_key(|range| range.start);
    let (mut at, mut unused) = (content, 0);
    for range in taken.iter() {
        let gap = range.start.checked_sub(at).ok_or("cells or free blocks overlap")?;
        unused += gap;
        at = range.end;
    }
    if at > end {
        return Err("a cell passes the end of the page");
    }
    match unused + (end - at) == fragments {
        true => Ok(()),
        false => Err("the free bytes are not as many as the page counts"),
    }
}

/// Reads the cell at `start`, and where it ends.
fn parse_cell(bytes: &[u8], start: usize, tree: Tree, is_leaf: bool) -> Option<(Cell, usize)> {
    let left = (!is_leaf).then(|| u32_at(bytes, start));
    let at = start + if is_leaf { 0 } else { 4 };
    if (tree, is_leaf) == (Tree::Table, false) {
        let (rowid, end) = varint(bytes, at)?;
        return Some((Cell { left, rowid: Some(rowid.cast_signed()), payload: None }, end));
    }
    let (len, at) = varint(bytes, at)?;
    let (rowid, at) = match tree {
        Tree::Index => (None, at),
        Tree::Table => varint(bytes, at).map(|(rowid, at)| (Some(rowid.cast_signed()), at))?,
    };
    let local = local_len(len, bytes.len() as u64, tree);
    let end = at.checked_add(usize::try_from(local).ok()?)?;
    bytes.get(at..end)?;
    let (overflow, cell_end) = match local == len {
        true => (0, end),
        false => (u32_at(bytes, end), end + 4),
    };
    bytes.get(..cell_end)?;
    Some((Cell { left, rowid, payload: Some(Payload { len, local: at..end, overflow }) }, cell_end))
}

/// How many bytes of a payload are in its page, by the rules of the format.
fn local_len(len: u64, usable: u64, tree: Tree) -> u64 {
    let part = |of: u64| (usable - 12) * of / 255 - 23;
    let (max, min) = match tree {
        Tree::Table => (usable - 35, part(32)),
        Tree::Index => (part(64), part(32)),
    };
    if len <= max {
        return len;
    }
    let fitting = min + (len - min) % (usable - 4);
    if fitting <= max { fitting } else { min }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_one_to_nine_bytes_are_read() {
        type Row<'a> = (&'a [u8], Option<(u64, usize)>);
        let rows: [Row<'_>; 7] = [
            (&[0], Some((0, 1))),
            (&[0x7f], Some((127, 1))),
            (&[0x81, 0], Some((128, 2))),
            (&[0xff; 9], Some((u64::MAX, 9))),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 5], Some((5, 9))),
            (&[0x80], None),
            (&[], None),
        ];
        for (bytes, wanted) in rows {
            assert_eq!(varint(bytes, 0), wanted, "{bytes:?}");
        }
        assert_eq!(varint(&[1], usize::MAX), None);
    }

    #[test]
    fn a_payload_stays_in_its_page_up_to_the_limits_of_the_format() {
        // Page size 4096: the numbers of the format's description.
        for (len, tree, wanted) in [
            (4061, Tree::Table, 4061),
            (4062, Tree::Table, 489),
            (489 + 4092 + 100, Tree::Table, 589),
            (489 + 4092 + 4000, Tree::Table, 489),
            (1002, Tree::Index, 1002),
            (1003, Tree::Index, 489),
        ] {
            assert_eq!(local_len(len, 4096, tree), wanted, "{len} {tree:?}");
        }
    }
}
