// SPDX-License-Identifier: Apache-2.0
//! Reports progress to systemd: `STATUS=`, shown by `systemctl status`. Does nothing without systemd, and never fails.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::progress::Progress;

/// Progress as a status text, at most one per second.
pub struct Status(Mutex<Step>);

struct Step {
    what: String,
    total: Option<u64>,
    done: u64,
    sent: Instant,
}

impl Status {
    /// Sends nothing yet. `None` if this process is not a service.
    pub fn new() -> Option<Status> {
        std::env::var_os("NOTIFY_SOCKET")?;
        Some(Status(Mutex::new(Step { what: String::new(), total: None, done: 0, sent: Instant::now() })))
    }
}

impl Progress for Status {
    fn step(&self, what: &str, total: Option<u64>) {
        if let Ok(mut step) = self.0.lock() {
            *step = Step { what: what.to_owned(), total, done: 0, sent: Instant::now() };
            tell(what);
        }
    }

    fn advance(&self, bytes: u64) {
        if let Ok(mut step) = self.0.lock() {
            step.done += bytes;
            if step.sent.elapsed() >= Duration::from_secs(1) {
                step.sent = Instant::now();
                let mib = |b: u64| b / (1024 * 1024);
                match step.total {
                    Some(total) => tell(&format!("{} ({} of {} MiB)", step.what, mib(step.done), mib(total))),
                    None => tell(&format!("{} ({} MiB)", step.what, mib(step.done))),
                }
            }
        }
    }
}

/// Sends the final status of a run, which `systemctl status` shows from then on.
pub fn end(text: &str) {
    tell(text);
}

fn tell(text: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(text)]);
}
