// SPDX-License-Identifier: Apache-2.0
//! A sample of the keys that exist, when their number is not known in advance.
//!
//! The keys with the smallest hashes: they are spread over all kinds of objects, and are the same for the same history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The size of the sample.
pub(super) const SAMPLE: usize = 200;
/// How many keys are held during the walk, as some of them are deleted later. At twice this number the others are dropped.
const CANDIDATES: usize = 5 * SAMPLE;

/// A key that exists at the revision of a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its name.
    pub key: Vec<u8>,
    /// The revision of its last change.
    pub mod_revision: i64,
    /// SHA-256 of its value.
    pub value: [u8; 32],
}

/// The candidates so far, by their hashes.
#[derive(Debug)]
pub(super) struct Sampler {
    candidates: BTreeMap<u64, Sample>,
    /// Keys with this hash or a higher one are not candidates.
    limit: Option<u64>,
}

impl Sampler {
    /// An empty sampler.
    pub(super) fn new() -> Sampler {
        Sampler { candidates: BTreeMap::new(), limit: None }
    }

    /// Whether a key with this hash may be in the sample.
    pub(super) fn wants(&self, hash: u64) -> bool {
        self.limit.is_none_or(|limit| hash < limit)
    }

    /// A key was created or changed.
    pub(super) fn put(&mut self, hash: u64, sample: Sample) {
        self.candidates.insert(hash, sample);
        if self.candidates.len() >= 2 * CANDIDATES {
            self.limit = self.candidates.keys().nth(CANDIDATES).copied();
            if let Some(limit) = &self.limit {
                self.candidates.split_off(limit);
            }
        }
    }

    /// A key was deleted.
    pub(super) fn delete(&mut self, hash: u64) {
        self.candidates.remove(&hash);
    }

    /// The sample, in revision order.
    pub(super) fn finish(self) -> Vec<Sample> {
        let mut sample: Vec<Sample> = self.candidates.into_values().take(SAMPLE).collect();
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
    fn the_sample_has_the_smallest_hashes_of_existing_keys_in_revision_order() {
        let mut all = Sampler::new();
        // Hashes descend while revisions ascend; every second key is deleted again.
        for n in 0..50_000_u64 {
            let hash = u64::MAX - n * 1_000_003;
            assert!(all.wants(hash));
            all.put(hash, sample(n));
            if n % 2 == 0 {
                all.delete(hash);
            }
            assert!(all.candidates.len() < 2 * CANDIDATES);
        }
        assert!(!all.wants(u64::MAX));
        let found: Vec<i64> = all.finish().iter().map(|s| s.mod_revision).collect();
        let wanted: Vec<i64> = (0..50_000).filter(|n| n % 2 == 1).skip(25_000 - SAMPLE).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_sample_of_few_keys_has_all_of_them_with_their_last_values() {
        let mut all = Sampler::new();
        (0..150).for_each(|n| all.put(n * 7, sample(n)));
        all.put(7, sample(999));
        let found = all.finish();
        assert_eq!((found.len(), found[149].mod_revision), (150, 999));
    }
}
