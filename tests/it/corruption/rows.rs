// SPDX-License-Identifier: Apache-2.0
//! The table of damages: each changes one structure of a valid database, and names the check that must find it.
//!
//! The database is `sample` with `sample_shape`. A new check gets a row here.

use std::collections::BTreeSet;

use k3s_snapshot::inspect::Check;

use super::anatomy::{Anatomy, Part, Piece, u16_at, u32_at, u64_at};
use crate::bolt_writer::checksum;

fn put(db: &mut [u8], at: usize, bytes: &[u8]) {
    db[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Changes a field of a meta page and updates its checksum.
fn meta(db: &mut [u8], page: usize, field: usize, bytes: &[u8]) {
    let at = page * u32_at(db, 24) as usize + 16;
    put(db, at + field, bytes);
    let sum = checksum(&db[at..at + 56]);
    put(db, at + 56, &sum.to_le_bytes());
}

/// Changes a field of both meta pages and updates their checksums.
pub(super) fn both_metas(db: &mut [u8], field: usize, bytes: &[u8]) {
    let size = u32_at(db, 24) as usize;
    for at in [16, size + 16] {
        put(db, at + field, bytes);
        let sum = checksum(&db[at..at + 56]);
        put(db, at + 56, &sum.to_le_bytes());
    }
}

type Damage = Box<dyn Fn(&mut Vec<u8>, &Anatomy<'_>)>;

/// The corrupt part, the check that must find it, and the change.
#[derive(Default)]
pub(super) struct Rows(pub(super) Vec<(&'static str, Check, Damage)>);

impl Rows {
    fn add(
        &mut self,
        name: &'static str,
        check: Check,
        damage: impl Fn(&mut Vec<u8>, &Anatomy<'_>) + 'static,
    ) {
        self.0.push((name, check, Box::new(damage)));
    }
}

/// Every row.
pub(super) fn rows() -> Rows {
    let mut t = Rows::default();
    let in_key = |p: &Piece| p.path == ["key"];
    let in_meta = |p: &Piece| p.path == ["meta"];

    for page in [0, 1] {
        t.add("meta page: id", Check::MetaHeader, move |db, a| db[page * a.page_size] ^= 2);
        t.add("meta page: flags", Check::MetaHeader, move |db, a| db[page * a.page_size + 8] = 2);
        t.add("meta: magic", Check::MetaMagic, move |db, _| meta(db, page, 0, &[1]));
        t.add("meta: version", Check::MetaVersion, move |db, _| meta(db, page, 4, &[3]));
        t.add("meta: checksum", Check::MetaChecksum, move |db, a| db[page * a.page_size + 72] ^= 1);
        t.add("meta: txid", Check::MetaTxid, move |db, _| meta(db, page, 48, &[200]));
    }
    t.add("meta: page size is not a power of two", Check::MetaPageSize, |db, _| {
        put(db, 24, &5000_u32.to_le_bytes());
    });
    t.add("meta: another page size in the second page", Check::MetaPageSize, |db, a| {
        let at = a.page_size;
        put(db, at + 24, &8192_u32.to_le_bytes());
        let sum = checksum(&db[at + 16..at + 72]);
        put(db, at + 72, &sum.to_le_bytes());
    });
    t.add("meta: root outside", Check::PageRange, |db, _| both_metas(db, 16, &[0xFF, 0xFF, 1]));
    t.add("meta: root is a meta page", Check::PageRange, |db, _| both_metas(db, 16, &[1]));
    t.add("meta: root is a leaf of values", Check::ElementFlags, move |db, a| {
        let leaf = a.find(Part::PageId, |p| in_key(p) && p.leaf).page;
        both_metas(db, 16, &leaf.to_le_bytes());
    });
    t.add("meta: high-water mark low", Check::Length, |db, _| both_metas(db, 40, &[9, 0]));
    t.add("meta: high-water mark high", Check::Length, |db, _| both_metas(db, 40, &[0xFF; 8]));
    t.add("meta: both missing", Check::MetaMagic, |db, a| db[..2 * a.page_size].fill(0));
    t.add("a page missing at the end", Check::Length, |db, a| db.truncate(db.len() - a.page_size));
    t.add("an extra page at the end", Check::Length, |db, a| db.extend(vec![0; a.page_size]));
    t.add("cut inside the meta pages", Check::Truncated, |db, _| db.truncate(512));

    t.add("page: id", Check::PageId, move |db, a| db[a.find(Part::PageId, in_key).at] ^= 4);
    for flags in [0, 3, 4, 0x10, 0x80] {
        t.add("page: flags", Check::PageFlags, move |db, a| db[a.find(Part::PageFlags, in_key).at] = flags);
    }
    t.add("branch: the flag of a leaf", Check::ElementPosition, move |db, a| {
        db[a.find(Part::PageFlags, |p| in_key(p) && !p.leaf).at] = 2;
    });
    t.add("branch: no elements", Check::PageCount, move |db, a| {
        put(db, a.find(Part::PageCount, |p| in_key(p) && !p.leaf).at, &[0, 0]);
    });
    t.add("leaf below a branch: no elements", Check::PageCount, move |db, a| {
        put(db, a.find(Part::PageCount, |p| in_key(p) && p.leaf).at, &[0, 0]);
    });
    t.add("page: more elements than fit", Check::PageCount, move |db, a| {
        put(db, a.find(Part::PageCount, in_key).at, &[0xFF, 0xFF]);
    });
    t.add("page: an element missing", Check::ElementPosition, move |db, a| {
        db[a.find(Part::PageCount, in_key).at] -= 1;
    });
    t.add("page: overflow past the end", Check::PageOverflow, move |db, a| {
        put(db, a.find(Part::PageOverflow, in_key).at, &[0, 0, 1, 0]);
    });
    t.add("page: overflow over pages in use", Check::PageTwice, move |db, a| {
        // The branch is read first. The pages after it are in use already: the freelist was marked before.
        let branch = a.find(Part::PageOverflow, |p| p.path.is_empty() && !p.leaf);
        let pages = db.len() / a.page_size;
        put(db, branch.at, &((pages as u64 - branch.page - 1) as u32).to_le_bytes());
    });
    t.add("page: less overflow than content", Check::ElementSize, |db, a| {
        let large = a.pieces.iter().find(|p| p.part == Part::PageOverflow && u32_at(db, p.at) > 1).unwrap();
        db[large.at] -= 1;
    });
    t.add("page: more overflow than content", Check::PageOverflow, |db, a| {
        // A page before a free page: no other page would notice.
        let free: BTreeSet<u64> =
            a.pieces.iter().filter(|p| p.part == Part::FreelistId).map(|p| u64_at(db, p.at)).collect();
        let page =
            a.pieces.iter().find(|p| p.part == Part::PageOverflow && p.leaf && free.contains(&(p.page + 1)));
        db[page.unwrap().at] += 1;
    });

    t.add("branch: pos", Check::ElementPosition, move |db, a| db[a.find(Part::BranchPos, in_key).at] ^= 1);
    t.add("branch: ksize", Check::ElementPosition, move |db, a| {
        db[a.find(Part::BranchKeySize, |p| in_key(p) && !p.last).at] ^= 1;
    });
    t.add("branch: empty key", Check::ElementSize, move |db, a| {
        put(db, a.find(Part::BranchKeySize, in_key).at, &[0; 4]);
    });
    t.add("branch: key past the page", Check::ElementSize, move |db, a| {
        put(db, a.find(Part::BranchKeySize, |p| in_key(p) && p.last).at, &[0, 0x20, 0, 0]);
    });
    t.add("branch: child outside", Check::PageRange, move |db, a| {
        db[a.find(Part::BranchChild, in_key).at + 5] = 1;
    });
    t.add("branch: child is a meta page", Check::PageRange, move |db, a| {
        put(db, a.find(Part::BranchChild, in_key).at, &[0, 0]);
    });
    t.add("branch: child is its own page", Check::PageTwice, move |db, a| {
        let child = a.find(Part::BranchChild, in_key);
        put(db, child.at, &child.page.to_le_bytes());
    });
    t.add("branch: two children the same", Check::PageTwice, move |db, a| {
        let child = a.find(Part::BranchChild, |p| in_key(p) && p.index == 0);
        let next = child.at + 16;
        db.copy_within(child.at..child.at + 8, next);
    });
    t.add("branch: children swapped", Check::KeyBounds, move |db, a| {
        let at = a.find(Part::BranchChild, |p| in_key(p) && p.index == 0).at;
        (0..8).for_each(|i| db.swap(at + i, at + 16 + i));
    });
    t.add("branch: key greater than its child's first", Check::KeyBounds, move |db, a| {
        db[a.find(Part::BranchKey, |p| in_key(p) && p.last).at + 16] += 1;
    });
    t.add("branch: key not greater than the last of the page before", Check::KeyBounds, move |db, a| {
        // The branch above now gives the second key of a page as the first key of the next page.
        let key = a.pieces.iter().find(|p| p.part == Part::BranchKey && in_key(p) && p.index == 1).unwrap();
        let first = a
            .pieces
            .iter()
            .filter(|p| p.part == Part::BranchKey && p.page == key.page)
            .min_by_key(|p| p.index);
        let from = first.unwrap().at;
        db.copy_within(from..from + 17, key.at);
        db[key.at + 16] += 1;
    });
    t.add("branch: child is a leaf two levels down", Check::LeafDepth, |db, a| {
        let key = |p: &&Piece| p.path == ["key"] && p.part == Part::BranchChild;
        let root = a.pieces.iter().find(key).unwrap();
        let below = a.pieces.iter().filter(key).find(|p| p.page == u64_at(db, root.at)).unwrap();
        assert_ne!(root.page, below.page);
        let leaf = u64_at(db, below.at);
        put(db, root.at, &leaf.to_le_bytes());
    });
    t.add("bucket: an empty page that is not inline", Check::PageCount, |db, a| {
        let root = a.find(Part::PageCount, |p| p.path == ["other", "deep"]);
        put(db, root.at, &[0, 0]);
    });
    t.add("branch: keys out of order", Check::KeyOrder, move |db, a| {
        db[a.find(Part::BranchKey, |p| in_key(p) && p.index == 1).at..][..8].fill(0);
    });

    t.add("leaf: flags", Check::ElementFlags, move |db, a| db[a.find(Part::LeafFlags, in_key).at] = 2);
    t.add("leaf: a value among the top-level buckets", Check::ElementFlags, |db, a| {
        db[a.find(Part::LeafFlags, |p| p.path.is_empty()).at] = 0;
    });
    t.add("leaf: a value marked as a bucket", Check::BucketHeader, move |db, a| {
        db[a.find(Part::LeafFlags, in_key).at] = 1;
    });
    t.add("leaf: a bucket where etcd has values", Check::EtcdBuckets, move |db, a| {
        db[a.find(Part::LeafFlags, in_key).at] = 1;
    });
    t.add("leaf: pos", Check::ElementPosition, move |db, a| db[a.find(Part::LeafPos, in_key).at] ^= 1);
    t.add("leaf: pos far outside", Check::ElementPosition, move |db, a| {
        put(db, a.find(Part::LeafPos, in_key).at, &[0xFF; 4]);
    });
    t.add("leaf: ksize", Check::ElementPosition, move |db, a| {
        db[a.find(Part::LeafKeySize, |p| in_key(p) && !p.last).at] ^= 2;
    });
    t.add("leaf: empty key", Check::ElementSize, move |db, a| {
        put(db, a.find(Part::LeafKeySize, in_key).at, &[0; 4]);
    });
    t.add("leaf: key longer than bbolt accepts", Check::ElementSize, move |db, a| {
        put(db, a.find(Part::LeafKeySize, in_key).at, &32769_u32.to_le_bytes());
    });
    t.add("leaf: vsize", Check::ElementPosition, move |db, a| {
        db[a.find(Part::LeafValueSize, |p| in_key(p) && !p.last).at] ^= 1;
    });
    t.add("leaf: value past the page", Check::ElementSize, move |db, a| {
        put(db, a.find(Part::LeafValueSize, in_key).at, &[0xFF; 4]);
    });
    t.add("leaf: keys out of order", Check::KeyOrder, move |db, a| {
        let key = a.find(Part::LeafKey, |p| p.path == ["other", "wide"] && p.index == 1);
        db[key.at] = b'a';
    });
    t.add("leaf: the same key twice", Check::KeyOrder, move |db, a| {
        let of = |i| a.find(Part::LeafKey, |p| p.path == ["other", "wide"] && p.index == i).at;
        let (first, second) = (of(0), of(1));
        db.copy_within(first..first + 8, second);
    });
    t.add("leaf: first key less than the branch allows", Check::KeyBounds, move |db, a| {
        let mut key = a
            .pieces
            .iter()
            .filter(|p| p.part == Part::LeafKey && p.path == ["other", "wide"] && p.index == 0);
        db[key.next_back().unwrap().at] = b'a';
    });
    t.add("leaf: last key greater than the branch allows", Check::KeyBounds, move |db, a| {
        db[a.find(Part::LeafKey, |p| p.path == ["other", "wide"] && p.last).at] = b'z';
    });

    t.add("bucket: root outside", Check::PageRange, |db, a| {
        let at = a.find(Part::BucketRoot, |p| p.path.is_empty() && u64_at(db, p.at) != 0).at;
        db[at + 4] = 1;
    });
    t.add("bucket: the root of another bucket", Check::PageTwice, |db, a| {
        let roots: Vec<_> = a
            .pieces
            .iter()
            .filter(|p| p.part == Part::BucketRoot && p.path.is_empty() && u64_at(db, p.at) != 0)
            .collect();
        let (from, to) = (roots[0].at, roots[1].at);
        db.copy_within(from..from + 8, to);
    });
    t.add("bucket: a root and an inline page", Check::BucketHeader, |db, a| {
        let at = a.find(Part::BucketRoot, |p| p.path.is_empty() && u64_at(db, p.at) == 0).at;
        db[at] = 5;
    });
    t.add("bucket: neither root nor inline page", Check::BucketHeader, |db, a| {
        let root = a.find(Part::BucketRoot, |p| p.path.is_empty() && u64_at(db, p.at) != 0).at;
        put(db, root, &[0; 8]);
    });
    for (name, byte) in [("inline page: id", 0), ("inline page: flags", 8), ("inline page: overflow", 12)] {
        t.add(name, Check::InlineBucket, move |db, a| {
            db[a.find(Part::PageId, |p| p.inline && p.path == ["meta"]).at + byte] ^= 1;
        });
    }
    t.add("inline page: more elements than fit", Check::InlineBucket, move |db, a| {
        put(db, a.find(Part::PageCount, in_meta).at, &[0xFF, 0]);
    });
    t.add("inline page: pos", Check::ElementPosition, move |db, a| {
        db[a.find(Part::LeafPos, in_meta).at] ^= 1;
    });
    t.add("inline page: last value shorter", Check::InlineBucket, move |db, a| {
        db[a.find(Part::LeafValueSize, |p| in_meta(p) && p.last).at] -= 1;
    });
    t.add("inline page: last value past the bucket", Check::ElementSize, move |db, a| {
        db[a.find(Part::LeafValueSize, |p| in_meta(p) && p.last).at] += 1;
    });
    t.add("inline page: a bucket in it", Check::InlineBucket, move |db, a| {
        db[a.find(Part::LeafFlags, |p| p.inline && p.path == ["other", "deep", "d", "e"]).at] = 1;
    });

    t.add("freelist: page outside", Check::PageRange, |db, _| both_metas(db, 32, &[0, 0, 0, 1]));
    t.add("freelist: page of the tree", Check::PageFlags, move |db, a| {
        both_metas(db, 32, &a.find(Part::PageId, in_key).page.to_le_bytes());
    });
    let list = |p: &Piece| p.path.is_empty() && !p.leaf;
    let freelist = move |db: &[u8], a: &Anatomy<'_>| {
        a.find(Part::PageFlags, |p| list(p) && u16_at(db, p.at) == 0x10).at - 8
    };
    t.add("freelist: flags", Check::PageFlags, move |db, a| {
        let at = freelist(db, a);
        db[at + 8] = 2;
    });
    t.add("freelist: more pages than fit", Check::Freelist, move |db, a| {
        let at = freelist(db, a);
        put(db, at + 10, &[0xFE, 0xFF]);
    });
    t.add("freelist: an impossible large count", Check::Freelist, move |db, a| {
        let at = freelist(db, a);
        put(db, at + 10, &[0xFF, 0xFF]);
        put(db, at + 16, &[0xFF; 8]);
    });
    t.add("freelist: a page missing", Check::Freelist, move |db, a| {
        let at = freelist(db, a);
        db[at + 10] -= 1;
    });
    t.add("freelist: a page in use", Check::Freelist, move |db, a| {
        let page = a.find(Part::PageId, in_key).page;
        put(db, a.find(Part::FreelistId, |_| true).at, &page.to_le_bytes());
    });
    t.add("freelist: a meta page", Check::Freelist, |db, a| {
        put(db, a.find(Part::FreelistId, |_| true).at, &[1, 0]);
    });
    t.add("freelist: a page twice", Check::Freelist, |db, a| {
        let at = a.find(Part::FreelistId, |_| true).at;
        db.copy_within(at..at + 8, at + 8);
    });
    t.add("freelist: a page outside", Check::Freelist, |db, a| {
        let last = a.pieces.iter().rfind(|p| p.part == Part::FreelistId).unwrap();
        db[last.at + 3] = 1;
    });

    t.add("etcd: no bucket 'key'", Check::EtcdBuckets, |db, a| {
        let at = a
            .pieces
            .iter()
            .find(|p| p.part == Part::LeafKey && p.path.is_empty() && db[p.at..].starts_with(b"key"));
        db[at.unwrap().at + 2] = b'z';
    });
    t.add("etcd: a key that is not a revision", Check::EtcdRevision, move |db, a| {
        db[a.find(Part::LeafKey, in_key).at + 8] = b'~';
    });
    t.add("etcd: a negative revision", Check::EtcdRevision, move |db, a| {
        db[a.find(Part::LeafKey, |p| in_key(p) && p.last).at + 9] |= 0x80;
    });
    t.add("etcd: an unknown mark after a revision", Check::EtcdRevision, move |db, a| {
        let key = a.pieces.iter().find(|p| p.part == Part::LeafKey && in_key(p) && p.len == 18).unwrap();
        db[key.at + 17] = b'x';
    });
    t.add("etcd: the record of another revision", Check::EtcdValue, move |db, a| {
        let keys: Vec<_> = a.pieces.iter().filter(|p| p.part == Part::LeafKey && in_key(p)).collect();
        let last = keys.last().unwrap();
        db[last.at + 6] += 1;
    });
    t.add("etcd: a record with a broken frame", Check::EtcdValue, move |db, a| {
        db[a.find(Part::Value, in_key).at + 1] ^= 1;
    });
    t.add("etcd: a compaction that is not a revision", Check::EtcdMeta, move |db, a| {
        db[a.find(Part::Value, |p| in_meta(p) && p.len == 17).at + 8] = 0;
    });
    t.add("etcd: a member that is not JSON", Check::EtcdMember, move |db, a| {
        db[a.find(Part::Value, |p| p.path == ["members"]).at] = b'[';
    });
    t.add("etcd: a member under the id of another", Check::EtcdMember, move |db, a| {
        db[a.find(Part::LeafKey, |p| p.path == ["members"]).at] = b'a';
    });
    t
}
