// SPDX-License-Identifier: Apache-2.0
//! How often a request is repeated, and how long the waits are.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::error::{S3Error, S3ErrorKind};

/// How often a request is made before it fails.
pub(super) const MAX_ATTEMPTS: u32 = 6;
/// How often a request is made that times out.
const MAX_TIMEOUT_ATTEMPTS: u32 = 2;
/// A failure to resolve or to connect that took this long is treated like a timeout.
const TIMEOUT_LIKE_AFTER: Duration = Duration::from_secs(5);
/// The wait before the second attempt. Each further wait is twice as long.
const INITIAL_BACKOFF: Duration = Duration::from_millis(150);
/// The longest wait, even if a store asks for more.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// Makes a request until it succeeds, fails for good, or was made `max_attempts` times.
pub(super) fn retry<T>(
    max_attempts: u32,
    mut request: impl FnMut() -> Result<T, S3Error>,
) -> Result<T, S3Error> {
    let mut attempts = 0;
    loop {
        let started = Instant::now();
        let error = match request() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        attempts += 1;
        let is_slow = started.elapsed() > TIMEOUT_LIKE_AFTER;
        let is_timeout = match error.kind {
            S3ErrorKind::Timeout => true,
            S3ErrorKind::Unreachable | S3ErrorKind::NameUnresolved => is_slow,
            _ => false,
        };
        let max = if is_timeout { MAX_TIMEOUT_ATTEMPTS } else { MAX_ATTEMPTS };
        if !error.is_retryable() || attempts >= max.min(max_attempts) {
            return Err(error);
        }
        let wait = backoff(attempts, error.retry_after);
        log::debug!("{error}; the next attempt is in {} ms", wait.as_millis());
        std::thread::sleep(wait);
    }
}

/// Doubles with each attempt. A random part keeps many nodes from coming back at the same time.
fn backoff(attempts: u32, retry_after: Option<u64>) -> Duration {
    let doubled = INITIAL_BACKOFF.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    let jitter = doubled.mul_f64(f64::from(nanos % 1000) / 2000.0);
    doubled.saturating_add(jitter).max(Duration::from_secs(retry_after.unwrap_or(0))).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_at_the_longest() {
        for (attempts, least) in [(1, 150), (2, 300), (3, 600)] {
            let wait = backoff(attempts, None).as_millis();
            assert!((least..=least * 3 / 2).contains(&wait), "{attempts}: {wait} ms");
        }
        assert_eq!(backoff(1, Some(7)), Duration::from_secs(7));
        assert_eq!(backoff(1, Some(3600)), MAX_BACKOFF);
        assert_eq!(backoff(40, None), MAX_BACKOFF);
    }

    #[test]
    fn what_cannot_change_is_asked_once_and_a_timeout_twice() {
        let attempts = |kind, max| {
            let mut n = 0;
            let failed = retry(max, || -> Result<(), _> {
                n += 1;
                Err(S3Error::new(kind, ""))
            });
            assert_eq!(failed.unwrap_err().kind, kind);
            n
        };
        assert_eq!(attempts(S3ErrorKind::Denied, 6), 1);
        assert_eq!(attempts(S3ErrorKind::Timeout, 6), 2);
        assert_eq!(attempts(S3ErrorKind::Server, 2), 2);
    }
}
