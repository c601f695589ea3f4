// SPDX-License-Identifier: Apache-2.0
//! The log: plain lines on stderr, or entries of the journal if stderr is connected to it.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::escape::printable;
use super::journal;

struct Stderr {
    priorities: bool,
    /// The level of the lines of this program.
    level: LevelFilter,
}

/// The target of a line that belongs to the error before it.
const HINT: &str = concat!(env!("CARGO_CRATE_NAME"), "::hint");

/// The target of a line that K3s printed while this program ran it. It always goes to the journal; it is shown with
/// `--debug` only.
const K3S: &str = concat!(env!("CARGO_CRATE_NAME"), "::k3s");

/// Logs the next step, after an error.
pub fn hint(text: &str) {
    log::error!(target: HINT, "{text}");
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // Messages of libraries are for their developers.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
            && (metadata.level() <= self.level || metadata.target() == K3S)
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.target() == K3S {
            let text = printable(&record.args().to_string());
            if journal::k3s_line(&text) && journal::is_connected() || self.level < LevelFilter::Debug {
                return;
            }
        }
        let (priority, word) = match record.level() {
            Level::Error if record.target() == HINT => (3, "hint: "),
            Level::Error => (3, "error: "),
            Level::Warn => (4, "warning: "),
            Level::Info => (6, ""),
            Level::Debug | Level::Trace => (7, ""),
        };
        // One record is one line, whatever a file name or the response of a server contains.
        let text = printable(&record.args().to_string());
        if journal::line(priority, &format!("{word}{text}")) {
            return;
        }
        let mut err = std::io::stderr().lock();
        let _ = if self.priorities {
            writeln!(err, "<{priority}>{word}{text}")
        } else {
            writeln!(err, "{word}{text}")
        };
    }

    fn flush(&self) {}
}

/// Starts the log of a program. `quiet` leaves warnings and errors, `debug` shows everything.
pub fn start(program: &str, quiet: bool, debug: bool) {
    journal::connect(program);
    // For the stream of the journal, if its own protocol fails.
    let priorities = journal::stderr_is_journal();
    let level = match (debug, quiet) {
        (true, _) => LevelFilter::Debug,
        (_, true) => LevelFilter::Warn,
        _ => LevelFilter::Info,
    };
    // Lines of K3s are debug messages.
    log::set_max_level(LevelFilter::Debug);
    // A second start keeps the first log.
    let _ = log::set_boxed_logger(Box::new(Stderr { priorities, level }));
}
