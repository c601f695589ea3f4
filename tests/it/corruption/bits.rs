// SPDX-License-Identifier: Apache-2.0
//! Every bit of the structure, flipped, with a matching trailer. What the structure check cannot find is listed in `excuse`.
//! `LONG=1` flips every bit of the fixtures too.

use std::collections::BTreeMap;

use super::anatomy::{Anatomy, Part, Piece, u32_at, u64_at};
use super::{AFTER, BEFORE, check, long, sample, sample_shape};
use crate::bolt_writer::database;

/// Why the structure check may miss a flip of this bit: the list of what only the trailer covers.
fn excuse(piece: &Piece, byte: usize, flip: Flip) -> Option<&'static str> {
    let tombstone = piece.len == 18;
    let bucket = piece.path.first().map(String::as_str);
    // The form of all records there is checked.
    let known = matches!(bucket, Some("key" | "meta" | "members"));
    match piece.part {
        Part::Value => Some("a value"),
        Part::BucketSequence => Some("the sequence of a bucket: any number is valid"),
        Part::BucketRoot | Part::BranchChild if flip.stale => {
            Some("a reference to a free page that holds an older state of the right page")
        }
        Part::LeafFlags if bucket.is_some() && !known => {
            Some("an inline bucket marked as a value, in a bucket that etcd does not have")
        }
        Part::BucketRoot if flip.own => {
            Some("the root of a bucket that refers to a page of its own tree: the rest of the tree is lost")
        }
        Part::BranchKey => Some("a branch key that still separates the pages below"),
        Part::BranchKeySize if piece.last => {
            Some("the length of the last branch key of a page, which still separates the pages")
        }
        Part::LeafKey if bucket.is_none() => Some("the name of a bucket that etcd does not need"),
        Part::LeafKey if bucket == Some("key") => match byte {
            9..=16 => Some("the sub-revision of a key that stays in order"),
            0..=7 if tombstone => Some("the revision of a deletion that stays in order"),
            _ => None,
        },
        Part::LeafKey => Some("a key outside the bucket 'key' that stays in order"),
        Part::LeafKeySize | Part::LeafValueSize if piece.last && !piece.inline && !known => {
            Some("the length of the last key or value of a page, of an unknown form")
        }
        Part::LeafValueSize if flip.cut => Some(
            "the length of the last record of a page, which now ends before its value: such records exist",
        ),
        _ => None,
    }
}

/// What a flipped bit made of a field, if the field alone does not show it.
struct Flip {
    /// The reference points to a page that is not in use.
    stale: bool,
    /// The root of a bucket points to a page of its own tree.
    own: bool,
    /// The last record of the page ends where the field with its value started.
    cut: bool,
}

impl Flip {
    fn of(anatomy: &Anatomy<'_>, before: &[u8], after: &[u8], piece: &Piece) -> Flip {
        let stale = || {
            let target = u64_at(after, piece.at);
            !anatomy.pieces.iter().any(|p| p.page == target)
        };
        let root = |db| owner(anatomy, u64_at(db, piece.at));
        let cut = || {
            let value =
                anatomy.find(Part::Value, |p| p.page == piece.page && p.index == piece.index && !p.inline);
            let len = u32_at(after, piece.at) as usize;
            len < value.len && before[value.at + len] == 5 << 3 | 2
        };
        Flip {
            stale: matches!(piece.part, Part::BucketRoot | Part::BranchChild) && stale(),
            own: piece.part == Part::BucketRoot && root(before) == root(after),
            cut: piece.part == Part::LeafValueSize && piece.last && piece.path == ["key"] && cut(),
        }
    }
}

/// The bucket whose tree a page belongs to.
fn owner<'a>(anatomy: &'a Anatomy<'_>, page: u64) -> Option<&'a [String]> {
    let mut on_it = anatomy.pieces.iter().filter(|p| p.part == Part::PageId && p.page == page && !p.inline);
    on_it.next().map(|p| &p.path[..])
}

/// Flips bits of the structure. Counts what was found by part, and what was not found by excuse.
fn sweep(name: &str, db: &[u8], stride: usize) -> (BTreeMap<Part, u64>, BTreeMap<&'static str, u64>) {
    assert!(check(db).is_clean(), "{name}");
    let anatomy = Anatomy::of(db);
    let (mut found, mut missed) = (BTreeMap::new(), BTreeMap::new());
    let mut copy = db.to_vec();
    let mut bits = 0;
    for piece in anatomy.pieces.iter().filter(|p| p.part != Part::Value) {
        for byte in 0..piece.len {
            for bit in 0..8 {
                bits += 1;
                if bits % stride != 0 {
                    continue;
                }
                copy[piece.at + byte] ^= 1 << bit;
                if check(&copy).is_clean() {
                    let flip = Flip::of(&anatomy, db, &copy, piece);
                    let Some(why) = excuse(piece, byte, flip) else {
                        panic!("{name}: not found: bit {bit} of byte {byte} of {piece:?}");
                    };
                    *missed.entry(why).or_default() += 1;
                } else {
                    *found.entry(piece.part).or_default() += 1;
                }
                copy[piece.at + byte] ^= 1 << bit;
            }
        }
    }
    println!("{name}: found {found:?}");
    println!("{name}: not found {missed:#?}");
    (found, missed)
}

#[test]
fn every_flipped_bit_of_the_structure_is_found_or_has_an_excuse() {
    let db = database(&sample_shape(), &sample());
    let (found, missed) = sweep("sample", &db, 1);
    let all = [
        Part::MetaHeader,
        Part::MetaRecord,
        Part::PageId,
        Part::PageFlags,
        Part::PageCount,
        Part::PageOverflow,
        Part::BranchPos,
        Part::BranchKeySize,
        Part::BranchChild,
        Part::BranchKey,
        Part::LeafFlags,
        Part::LeafPos,
        Part::LeafKeySize,
        Part::LeafValueSize,
        Part::LeafKey,
        Part::BucketRoot,
        Part::FreelistId,
    ];
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), all);
    // A bit that is not found and has no excuse panics in the sweep.
    assert_eq!(missed.len(), 9, "the excuses in use: {missed:?}");
    let (found, missed) = (found.values().sum::<u64>(), missed.values().sum::<u64>());
    println!("{found} found, {missed} not");
    assert!(missed * 4 < found);
}

#[test]
fn flipped_bits_of_the_fixtures_are_found_or_have_an_excuse() {
    let stride = if long() { 1 } else { 37 };
    for (name, file) in [("before", BEFORE), ("after", AFTER)] {
        sweep(name, &file[..file.len() - 32], stride);
    }
}
