// SPDX-License-Identifier: Apache-2.0
//! What a store turned out not to support. A feature is left out after the store refused it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::error::S3Error;

/// The optional features of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    /// A condition that keeps an object from being overwritten.
    pub(super) condition: bool,
    /// A SHA-256 that the store keeps.
    pub(super) checksum: bool,
}

impl Features {
    /// The sets of features to try, the best first. The condition is given up last: it protects other objects.
    fn fallbacks(self) -> impl Iterator<Item = Features> {
        let all = [(true, true), (true, false), (false, true), (false, false)];
        all.into_iter()
            .map(|(condition, checksum)| Features { condition, checksum })
            .filter(move |f| (self.condition || !f.condition) && (self.checksum || !f.checksum))
    }
}

/// What a store is known not to support.
#[derive(Default)]
pub(super) struct Capabilities {
    no_condition: AtomicBool,
    no_checksum: AtomicBool,
}

impl Capabilities {
    /// Makes a request with as many of the features of `most` as the store supports. Only a refusal that can be about a
    /// feature leads to a request with fewer.
    pub(super) fn with_fallback<T>(
        &self,
        most: Features,
        mut request: impl FnMut(Features) -> Result<T, S3Error>,
    ) -> Result<T, S3Error> {
        let most = Features {
            condition: most.condition && !self.no_condition.load(Relaxed),
            checksum: most.checksum && !self.no_checksum.load(Relaxed),
        };
        let mut first = None;
        for features in most.fallbacks() {
            match request(features) {
                Ok(done) => {
                    self.no_condition.fetch_or(most.condition && !features.condition, Relaxed);
                    self.no_checksum.fetch_or(most.checksum && !features.checksum, Relaxed);
                    return Ok(done);
                }
                Err(e) if e.is_unsupported() => {
                    log::debug!("{e} (with {features:?})");
                    first.get_or_insert(e);
                }
                Err(e) => return Err(e),
            }
        }
        // No set of features helps, so the refusal is not about them.
        Err(first.unwrap_or_else(|| S3Error::new(super::error::S3ErrorKind::Failed, "no request was made")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::S3ErrorKind;
    use super::*;

    #[test]
    fn only_what_a_store_refuses_is_left_out_and_stays_left_out() {
        let all = Features { condition: true, checksum: true };
        for (knows_condition, knows_checksum) in [(true, true), (true, false), (false, true), (false, false)]
        {
            let store = |f: Features| {
                let refuses = f.condition && !knows_condition || f.checksum && !knows_checksum;
                if refuses { Err(S3Error::new(S3ErrorKind::Unsupported, "")) } else { Ok(f) }
            };
            let capabilities = Capabilities::default();
            let want = Features { condition: knows_condition, checksum: knows_checksum };
            assert_eq!(capabilities.with_fallback(all, store).unwrap(), want);
            let mut requests = 0;
            let again = capabilities.with_fallback(all, |f| {
                requests += 1;
                store(f)
            });
            assert_eq!((again.unwrap(), requests), (want, 1));
        }
    }

    #[test]
    fn a_refusal_of_another_kind_ends_at_once_and_teaches_nothing() {
        let (capabilities, all) = (Capabilities::default(), Features { condition: true, checksum: true });
        let mut requests = 0;
        let e = capabilities.with_fallback(all, |_| -> Result<(), _> {
            requests += 1;
            Err(S3Error::new(S3ErrorKind::Denied, "denied"))
        });
        assert_eq!((e.unwrap_err().kind, requests), (S3ErrorKind::Denied, 1));
        let refused = |_| -> Result<(), _> { Err(S3Error::new(S3ErrorKind::Unsupported, "")) };
        capabilities.with_fallback(all, refused).unwrap_err();
        assert_eq!(capabilities.with_fallback(all, Ok).unwrap(), all);
    }
}
