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
