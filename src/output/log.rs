// SPDX-License-Identifier: Apache-2.0
//! The log: plain on stderr for people, to the journal where systemd listens.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::journal;

struct Stderr {
    priorities: bool,
}

/// The target of a line that is no error of its own but belongs to the one before.
const HINT: &str = concat!(env!("CARGO_CRATE_NAME"), "::hint");

/// What to do next, under an error.
pub fn hint(text: &str) {
    log::error!(target: HINT, "{text}");
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // What libraries have to say is for their developers.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME")) && metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (priority, word) = match record.level() {
            Level::Error if record.target() == HINT => (3, "hint: "),
            Level::Error => (3, "error: "),
            Level::Warn => (4, "warning: "),
            Level::Info => (6, ""),
            Level::Debug | Level::Trace => (7, ""),
        };
        // One record is one line, whatever a file name or a server's answer put into it.
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
    // For the journal's stream, where its own protocol fails.
    let priorities = journal::leads_there();
    log::set_max_level(match (debug, quiet) {
        (true, _) => LevelFilter::Debug,
        (_, true) => LevelFilter::Warn,
        _ => LevelFilter::Info,
    });
    // A second start keeps the first log.
    let _ = log::set_boxed_logger(Box::new(Stderr { priorities }));
}

/// A text without the characters that a terminal or a journal would obey.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() || turns_text(c) { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Characters that make a terminal show text in another order than it is.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(super::printable("a\x1b[31m\nb ü"), "a\\u{1b}[31m\\nb ü");
    }
}
