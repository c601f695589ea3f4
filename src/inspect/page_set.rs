// SPDX-License-Identifier: Apache-2.0
//! A set of page numbers: one bit for each page, and a summary of the bits above them.
//!
//! The summary finds the next member in a few steps. A scan would cost one step for each page, and a hostile file can ask for it
//! again and again: its overflow numbers are up to 2^32, and a sparse file has that many pages.

/// The set of pages `0..limit` that are members.
#[derive(Debug)]
pub(super) struct PageSet {
    /// Level 0 has a bit for each page. Each further level has a bit for each word of the level below: 1 if that word is not 0.
    levels: Vec<Vec<u64>>,
    limit: u64,
    len: u64,
}

impl PageSet {
    /// An empty set for the pages `0..limit`. Takes a bit and a 63rd of a bit for each page.
    pub(super) fn new(limit: u64) -> PageSet {
        let mut levels = Vec::new();
        let mut bits = limit;
        loop {
            let words = bits.div_ceil(64);
            levels.push(vec![0; usize::try_from(words).unwrap_or(0)]);
            if words <= 1 {
                return PageSet { levels, limit, len: 0 };
            }
            bits = words;
        }
    }

    /// How many pages are in the set.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether a page is in the set.
    pub(super) fn contains(&self, page: u64) -> bool {
        self.levels.first().is_some_and(|bits| word(bits, page / 64) >> (page % 64) & 1 == 1)
    }

    /// Adds the pages `[start, end)` below the limit. None of them may be in the set yet.
    pub(super) fn insert(&mut self, start: u64, end: u64) {
        let end = end.min(self.limit);
        if start >= end {
            return;
        }
        self.len += end - start;
        let (mut first, mut last) = (start, end - 1);
        for bits in &mut self.levels {
            let (low, high) = (first / 64, last / 64);
            for index in low..=high {
                let mut mask = u64::MAX;
                if index == low {
                    mask &= u64::MAX << (first % 64);
                }
                if index == high {
                    mask &= u64::MAX >> (63 - last % 64);
                }
                if let Some(word) = usize::try_from(index).ok().and_then(|i| bits.get_mut(i)) {
                    *word |= mask;
                }
            }
            (first, last) = (low, high);
        }
    }

    /// The first member that is not before `page`.
    pub(super) fn next_from(&self, page: u64) -> Option<u64> {
        let mut from = page;
        for (level, bits) in self.levels.iter().enumerate() {
            if let Some(found) = next_in_word(bits, from) {
                // Down again: each bit names the word below that has the next member.
                return self
                    .levels
                    .iter()
                    .take(level)
                    .rev()
                    .try_fold(found, |index, bits| next_in_word(bits, index * 64));
            }
            from = from / 64 + 1;
        }
        None
    }
}

fn word(bits: &[u64], index: u64) -> u64 {
    usize::try_from(index).ok().and_then(|i| bits.get(i)).copied().unwrap_or(0)
}

/// The first bit that is set in the word of `from`, not before `from`.
fn next_in_word(bits: &[u64], from: u64) -> Option<u64> {
    let rest = word(bits, from / 64) & (u64::MAX << (from % 64));
    (rest != 0).then(|| from / 64 * 64 + u64::from(rest.trailing_zeros()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn pages_beyond_the_limit_are_not_members() {
        let mut set = PageSet::new(130);
        set.insert(500, 501);
        set.insert(128, u64::MAX);
        assert!(!set.contains(500) && !set.contains(u64::MAX) && set.contains(129));
        assert_eq!((set.len(), set.next_from(130)), (2, None));
        assert_eq!(PageSet::new(0).next_from(0), None);
    }

    proptest! {
        #[test]
        fn a_page_set_equals_a_plain_set(limit in 1..300_000_u64, ranges in proptest::collection::vec((0..300_000_u64, 1..9000_u64), 0..12), from in 0..300_000_u64) {
            let (mut ours, mut plain) = (PageSet::new(limit), BTreeSet::new());
            for (start, len) in ranges {
                let (start, end) = (start % limit, (start % limit + len).min(limit));
                if plain.range(start..end).next().is_none() {
                    ours.insert(start, end);
                    plain.extend(start..end);
                }
                prop_assert_eq!(ours.next_from(start), plain.range(start..).next().copied());
            }
            prop_assert_eq!(ours.next_from(from), plain.range(from..).next().copied());
            prop_assert_eq!(ours.len(), plain.len() as u64);
            prop_assert_eq!(ours.contains(from), plain.contains(&from));
        }
    }
}
