// SPDX-License-Identifier: Apache-2.0
//! Some of the keys that exist, without knowing beforehand how many there will be.
//!
//! Those with the smallest hashes: spread over all kinds of objects, and the same for the same history.

use std::collections::BTreeMap;

use super::content::Sample;

/// How many are given in the end.
pub(super) const SAMPLE: usize = 200;
/// So many are held on the way, as some of them will yet be deleted; twice that before the others are let go.
const CANDIDATES: usize = 5 * SAMPLE;

/// The keys held so far, by their hashes.
#[derive(Debug)]
pub(super) struct Sampler {
    held: BTreeMap<u64, Sample>,
    /// No key with a hash as high as this is held any more.
    limit: Option<u64>,
}

impl Sampler {
    /// Holds nothing.
    pub(super) fn new() -> Sampler {
        Sampler { held: BTreeMap::new(), limit: None }
    }

    /// Whether a key with this hash is of interest.
    pub(super) fn wants(&self, hash: u64) -> bool {
        self.limit.is_none_or(|limit| hash < limit)
    }

    /// A key has got a value.
    pub(super) fn put(&mut self, hash: u64, sample: Sample) {
        self.held.insert(hash, sample);
        if self.held.len() >= 2 * CANDIDATES {
            self.limit = self.held.keys().nth(CANDIDATES).copied();
            if let Some(limit) = &self.limit {
                self.held.split_off(limit);
            }
        }
    }

    /// A key has been deleted.
    pub(super) fn delete(&mut self, hash: u64) {
        self.held.remove(&hash);
    }

    /// The sample, in revision order.
    pub(super) fn finish(self) -> Vec<Sample> {
        let mut sample: Vec<Sample> = self.held.into_values().take(SAMPLE).collect();
        sample.sort_by(|a, b| (a.mod_revision, &a.key).cmp(&(b.mod_revision, &b.key)));
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n: u64) -> Sample {
        Sample { key: n.to_be_bytes().to_vec(), mod_revision: n as i64, value: [0; 32] }
    }

    #[test]
    fn the_smallest_hashes_that_are_left_stay_in_the_order_of_revisions() {
        let mut all = Sampler::new();
        // Hashes fall while revisions rise; every second key is deleted again.
        for n in 0..50_000_u64 {
            let hash = u64::MAX - n * 1_000_003;
            assert!(all.wants(hash));
            all.put(hash, sample(n));
            if n % 2 == 0 {
                all.delete(hash);
            }
            assert!(all.held.len() < 2 * CANDIDATES);
        }
        assert!(!all.wants(u64::MAX));
        let found: Vec<i64> = all.finish().iter().map(|s| s.mod_revision).collect();
        let wanted: Vec<i64> = (0..50_000).filter(|n| n % 2 == 1).skip(25_000 - SAMPLE).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn of_few_keys_all_are_given_each_with_its_last_value() {
        let mut all = Sampler::new();
        (0..150).for_each(|n| all.put(n * 7, sample(n)));
        all.put(7, sample(999));
        let found = all.finish();
        assert_eq!((found.len(), found[149].mod_revision), (150, 999));
    }
}
