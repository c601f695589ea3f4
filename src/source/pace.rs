// SPDX-License-Identifier: Apache-2.0
//! How fast the database is read: with rests if etcd runs, and no faster than the limit, if there is one.

use std::time::{Duration, Instant};

use super::rest::Rests;

/// How long a limit may keep a snapshot of etcd open, in seconds. As long as it is open, etcd reuses no page, and a defragmentation
/// waits and makes etcd wait.
const MAX_OPEN: u64 = 30;

/// How long a capture rests again and again. Then the disk is slow, and the end of the open snapshot is more urgent.
const MAX_RESTING: Duration = Duration::from_secs(10);

/// The limit of one capture, and how much was read so far.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes per second; `None` if there is no limit.
    limit: Option<u64>,
    /// If etcd runs.
    rests: Option<Rests>,
    started: Instant,
    bytes: u64,
    synced: u64,
}

impl Pace {
    /// The pace of reading a file that no process uses.
    pub(super) fn new(limit: Option<u64>) -> Pace {
        Pace {
            limit: limit.map(|limit| limit.max(1)),
            rests: None,
            started: Instant::now(),
            bytes: 0,
            synced: 0,
        }
    }

    /// The pace of reading `total` bytes while etcd has a snapshot open. A limit that would take longer than [`MAX_OPEN`] is
    /// raised.
    pub(super) fn of_open_snapshot(limit: Option<u64>, total: u64) -> Pace {
        let least = total.div_ceil(MAX_OPEN);
        if let Some(limit) = limit.filter(|limit| *limit < least) {
            log::info!(
                "reading {least} bytes per second instead of {limit}: etcd must not have a snapshot open for longer than \
                 {MAX_OPEN} s"
            );
        }
        Pace { rests: Some(Rests::new()), ..Pace::new(limit.map(|limit| limit.max(least))) }
    }

    /// Counts bytes that were read. Returns how long to wait before the next ones.
    pub(super) fn delay(&mut self, bytes: u64) -> Duration {
        self.bytes = self.bytes.saturating_add(bytes);
        let elapsed = self.started.elapsed();
        let rest = self.rests.as_mut().filter(|_| elapsed < MAX_RESTING).map_or(Duration::ZERO, Rests::due);
        let Some(limit) = self.limit else { return rest };
        let due = Duration::from_secs_f64(self.bytes as f64 / limit as f64);
        due.saturating_sub(elapsed).max(rest)
    }

    /// Whether what was written so far is to be synced. With a limit, this is once in the bytes of a second: otherwise the kernel
    /// would write everything at the end, without a limit.
    pub(super) fn is_sync_due(&mut self) -> bool {
        let is_due = self.limit.is_some_and(|limit| self.bytes - self.synced >= limit);
        if is_due {
            self.synced = self.bytes;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_follows_the_limit_and_an_open_snapshot_raises_a_low_limit() {
        assert_eq!(Pace::new(None).delay(u64::MAX), Duration::ZERO);
        // Two hours minus the time of the test.
        let wait = Pace::new(Some(10)).delay(72_000);
        assert!(wait > Duration::from_secs(3600) && wait <= Duration::from_secs(7200), "{wait:?}");
        for (limit, total, wanted) in
            [(None, 900, None), (Some(100), 900, Some(100)), (Some(10), 900, Some(30)), (Some(0), 0, Some(1))]
        {
            assert_eq!(Pace::of_open_snapshot(limit, total).limit, wanted, "{limit:?} {total}");
        }
    }

    #[test]
    fn the_work_rests_for_a_bounded_time_while_etcd_has_a_snapshot_open() {
        let mut pace = Pace::of_open_snapshot(None, 900);
        std::thread::sleep(Duration::from_millis(2));
        assert!(pace.delay(1) > Duration::ZERO);
        std::thread::sleep(Duration::from_millis(9));
        pace.started = Instant::now().checked_sub(MAX_RESTING).unwrap();
        assert_eq!(pace.delay(1), Duration::ZERO);
    }

    #[test]
    fn a_sync_is_due_once_per_second_of_a_limit_and_never_without_one() {
        let syncs = |limit| {
            let mut pace = Pace::new(limit);
            (0..100)
                .filter(|_| {
                    pace.delay(10);
                    pace.is_sync_due()
                })
                .count()
        };
        assert_eq!((syncs(Some(100)), syncs(Some(5000)), syncs(None)), (10, 0, 0));
    }
}
