// SPDX-License-Identifier: Apache-2.0
//! Which bytes of a valid bbolt file are structure, and which structure.
//!
//! A separate reader, so that verification is not tested against itself. It trusts the file; the damage comes later.

/// What a range of bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    MetaHeader,
    MetaRecord,
    PageId,
    PageFlags,
    PageCount,
    PageOverflow,
    BranchPos,
    BranchKeySize,
    BranchChild,
    BranchKey,
    LeafFlags,
    LeafPos,
    LeafKeySize,
    LeafValueSize,
    LeafKey,
    Value,
    BucketRoot,
    BucketSequence,
    FreelistId,
}

/// A range of bytes and its location in the structure.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) part: Part,
    pub(super) at: usize,
    pub(super) len: usize,
    /// The names of the buckets around it; empty on the pages that list the top-level buckets.
    pub(super) path: Vec<String>,
    /// Whether it belongs to the last element of its page.
    pub(super) last: bool,
    pub(super) inline: bool,
    /// The number of its element.
    pub(super) index: usize,
    pub(super) page: u64,
    pub(super) leaf: bool,
}

pub(super) fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(b[at..at + 2].try_into().unwrap())
}

pub(super) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap())
}

pub(super) fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().unwrap())
}

/// A database and its pieces.
pub(super) struct Anatomy<'a> {
    db: &'a [u8],
    pub(super) page_size: usize,
    pub(super) pieces: Vec<Piece>,
}

impl<'a> Anatomy<'a> {
    pub(super) fn of(db: &'a [u8]) -> Anatomy<'a> {
        let page_size = u32_at(db, 24) as usize;
        let mut anatomy = Anatomy { db, page_size, pieces: Vec::new() };
        let newest = [0, page_size].into_iter().max_by_key(|at| u64_at(db, at + 64)).unwrap();
        for page in 0..2 {
            let at = page * page_size;
            let mut add = |part, at, len| anatomy.piece(part, at, len, &Location::new(page as u64));
            add(Part::MetaHeader, at, 16);
            add(Part::MetaRecord, at + 16, 64);
        }
        anatomy.page(u64_at(db, newest + 32), &[]);
        let freelist = u64_at(db, newest + 48);
        if freelist != u64::MAX {
            anatomy.freelist(freelist);
        }
        anatomy
    }

    /// The first piece of a kind for which `fits` is true. Panics if there is none.
    pub(super) fn find(&self, part: Part, fits: impl Fn(&Piece) -> bool) -> &Piece {
        self.pieces.iter().find(|p| p.part == part && fits(p)).unwrap_or_else(|| panic!("no {part:?}"))
    }

    fn piece(&mut self, part: Part, at: usize, len: usize, location: &Location) {
        let Location { path, last, inline, index, page, leaf } = location.clone();
        self.pieces.push(Piece { part, at, len, path, last, inline, index, page, leaf });
    }

    fn header(&mut self, base: usize, location: &Location) {
        self.piece(Part::PageId, base, 8, location);
        self.piece(Part::PageFlags, base + 8, 2, location);
        self.piece(Part::PageCount, base + 10, 2, location);
        self.piece(Part::PageOverflow, base + 12, 4, location);
    }

    fn freelist(&mut self, id: u64) {
        let base = id as usize * self.page_size;
        let location = Location::new(id);
        self.header(base, &location);
        let count = u16_at(self.db, base + 10) as usize;
        let count = if count == 0xFFFF { u64_at(self.db, base + 16) as usize + 1 } else { count };
        (0..count).for_each(|i| self.piece(Part::FreelistId, base + 16 + 8 * i, 8, &location));
    }

    fn page(&mut self, id: u64, path: &[String]) {
        self.content(id as usize * self.page_size, id, path, false);
    }

    fn content(&mut self, base: usize, page: u64, path: &[String], inline: bool) {
        let leaf = u16_at(self.db, base + 8) == 2;
        let mut location = Location { path: path.to_vec(), inline, leaf, ..Location::new(page) };
        self.header(base, &location);
        let count = u16_at(self.db, base + 10) as usize;
        for i in 0..count {
            let at = base + 16 + 16 * i;
            location.index = i;
            location.last = i + 1 == count;
            if leaf {
                let (flags, pos) = (u32_at(self.db, at), u32_at(self.db, at + 4) as usize);
                let (ksize, vsize) = (u32_at(self.db, at + 8) as usize, u32_at(self.db, at + 12) as usize);
                self.piece(Part::LeafFlags, at, 4, &location);
                self.piece(Part::LeafPos, at + 4, 4, &location);
                self.piece(Part::LeafKeySize, at + 8, 4, &location);
                self.piece(Part::LeafValueSize, at + 12, 4, &location);
                self.piece(Part::LeafKey, at + pos, ksize, &location);
                let value = at + pos + ksize;
                if flags == 1 {
                    self.piece(Part::BucketRoot, value, 8, &location);
                    self.piece(Part::BucketSequence, value + 8, 8, &location);
                    let name = String::from_utf8_lossy(&self.db[at + pos..value]).into_owned();
                    let below = [path, &[name]].concat();
                    match u64_at(self.db, value) {
                        0 => self.content(value + 16, page, &below, true),
                        root => self.page(root, &below),
                    }
                } else {
                    self.piece(Part::Value, value, vsize, &location);
                }
            } else {
                let (pos, ksize) = (u32_at(self.db, at) as usize, u32_at(self.db, at + 4) as usize);
                self.piece(Part::BranchPos, at, 4, &location);
                self.piece(Part::BranchKeySize, at + 4, 4, &location);
                self.piece(Part::BranchChild, at + 8, 8, &location);
                self.piece(Part::BranchKey, at + pos, ksize, &location);
                self.page(u64_at(self.db, at + 8), path);
            }
        }
    }
}

#[derive(Clone)]
struct Location {
    path: Vec<String>,
    last: bool,
    inline: bool,
    index: usize,
    page: u64,
    leaf: bool,
}

impl Location {
    fn new(page: u64) -> Location {
        Location { path: Vec::new(), last: false, inline: false, index: 0, page, leaf: false }
    }
}
