// SPDX-License-Identifier: Apache-2.0
//! Short sleeps.

use std::time::Duration;

use nix::sys::prctl::set_timerslack;

/// Sleeps in this thread. Without more, Linux makes a sleep up to 50 µs longer (prctl(2), PR_SET_TIMERSLACK).
pub fn sleep_exactly(time: Duration) {
    if time.is_zero() {
        return;
    }
    // In nanoseconds. If the kernel refuses, the sleep is only longer.
    let _ = set_timerslack(1);
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::prctl::get_timerslack;
    use std::time::Instant;

    #[test]
    fn a_sleep_is_not_made_longer_by_the_kernel_and_never_shorter() {
        let before = get_timerslack().unwrap();
        sleep_exactly(Duration::ZERO);
        assert_eq!(get_timerslack().unwrap(), before, "no sleep, no system call");
        assert!(before > 1);
        let (start, time) = (Instant::now(), Duration::from_micros(200));
        sleep_exactly(time);
        assert!(start.elapsed() >= time);
        assert_eq!(get_timerslack().unwrap(), 1);
    }
}
