// SPDX-License-Identifier: Apache-2.0
//! Progress on a terminal: how much, how fast, how long still. Gone when the step ends.

use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::ProgressStyle;

use crate::host::Progress;

/// A bar on stderr.
pub struct ProgressBar(Mutex<indicatif::ProgressBar>);

impl ProgressBar {
    /// `None` where stderr is not a terminal.
    pub fn new() -> Option<ProgressBar> {
        std::io::stderr().is_terminal().then(|| ProgressBar(Mutex::new(indicatif::ProgressBar::hidden())))
    }
}

impl Progress for ProgressBar {
    fn step(&self, what: &str, total: Option<u64>) {
        let (bar, template) = match total {
            Some(n) => {
                (indicatif::ProgressBar::new(n), "{msg} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left")
            }
            None => (indicatif::ProgressBar::new_spinner(), "{msg}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_style(style).with_message(what.to_owned());
        if let Ok(mut now) = self.0.lock() {
            now.finish_and_clear();
            *now = bar;
        }
    }

    fn advance(&self, bytes: u64) {
        if let Ok(now) = self.0.lock() {
            now.inc(bytes);
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if let Ok(now) = self.0.lock() {
            now.finish_and_clear();
        }
    }
}
