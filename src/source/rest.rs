// SPDX-License-Identifier: Apache-2.0
//! Rests of a process on the machine of an etcd that runs.
//!
//! A processor that is busy without a break delays etcd even if the work has a low priority: etcd sleeps and wakes for each change
//! of the cluster, and a core that works for others is not free when it wakes. A priority counts only among the processes of one
//! control group, and systemd gives each service its own. So the work is cut into short pieces, and etcd waits for the end of one.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::host::sleep_exactly;
use crate::io::ReadAt;

/// Work without a rest. With more, etcd was seen to wait for up to 3.4 ms, as Linux lets one control group run on for a while
/// when another one wakes.
const WORK: Duration = Duration::from_micros(100);
/// The longest rest: after a wait for a slow disk, the processor has rested.
const MAX_REST: Duration = Duration::from_millis(5);

/// When the work of one thread began.
#[derive(Debug)]
pub(super) struct Rests {
    since: Instant,
}

impl Rests {
    /// Work that begins now.
    pub(super) fn new() -> Rests {
        Rests { since: Instant::now() }
    }

    /// How long to rest now: a fifth of the time since the last rest, if that was [`WORK`] or more. The caller must do it.
    pub(super) fn due(&mut self) -> Duration {
        let (now, worked) = (Instant::now(), self.since.elapsed());
        if worked < WORK {
            return Duration::ZERO;
        }
        let rest = (worked / 5).min(MAX_REST);
        self.since = now + rest;
        rest
    }
}

/// The same bytes, for a thread that rests before a read.
pub struct Resting<'a> {
    data: &'a dyn ReadAt,
    rests: Mutex<Rests>,
}

impl<'a> Resting<'a> {
    /// For one thread.
    pub fn new(data: &'a dyn ReadAt) -> Resting<'a> {
        Resting { data, rests: Mutex::new(Rests::new()) }
    }
}

impl ReadAt for Resting<'_> {
    fn size(&self) -> u64 {
        self.data.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let rest = self.rests.lock().unwrap_or_else(PoisonError::into_inner).due();
        sleep_exactly(rest);
        self.data.read_exact_at(buf, offset)
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.data.will_need(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_due_after_a_piece_of_work_and_has_an_end() {
        let mut rests = Rests { since: Instant::now() + Duration::from_secs(3600) };
        assert_eq!(rests.due(), Duration::ZERO);
        let ago = |millis| Instant::now().checked_sub(Duration::from_millis(millis)).unwrap();
        rests.since = ago(5);
        let rest = rests.due();
        assert!(rest >= Duration::from_millis(1) && rest <= MAX_REST, "{rest:?}");
        assert_eq!(rests.due(), Duration::ZERO, "a rest is due once");
        rests.since = ago(60_000);
        assert_eq!(rests.due(), MAX_REST);
    }

    #[test]
    fn the_bytes_are_the_same() {
        let data: &[u8] = b"0123456789";
        let resting = Resting::new(&data);
        let mut buf = [0; 4];
        for from in [0, 3, 6] {
            resting.rests.lock().unwrap().since -= Duration::from_millis(2);
            resting.read_exact_at(&mut buf, from).unwrap();
            assert_eq!(buf, data[from as usize..][..4]);
        }
        assert!(resting.size() == 10 && resting.read_exact_at(&mut buf, 7).is_err());
    }
}
