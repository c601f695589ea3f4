// SPDX-License-Identifier: Apache-2.0
//! The output of a program that runs aside: line by line to a file and to the debug log; the last lines and the first fatal
//! one are kept for the error message.

use std::collections::{HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// What K3s prints when a reset succeeded, in every version that is known.
const SUCCESS_MARKERS: [&str; 2] =
    ["has been reset, restart without", "is running, restart without --cluster-reset"];
/// This many of the last lines are kept.
const KEPT: usize = 20;
/// The most bytes of a line: a line without an end must not fill the memory.
const MAX_LINE: u64 = 64 * 1024;
/// The most kinds of lines that are distinguished.
const MAX_KINDS: usize = 10_000;

/// The log target of its lines: the log sends them to the journal, and shows them with `--debug`.
const K3S_LOG: &str = concat!(env!("CARGO_CRATE_NAME"), "::k3s");

/// What the program has printed so far.
#[derive(Debug, Clone)]
pub struct LogTail {
    last: VecDeque<String>,
    fatal: Option<String>,
    kinds: HashSet<String>,
    confirmed: bool,
    moved: Instant,
}

impl Default for LogTail {
    fn default() -> LogTail {
        LogTail {
            last: VecDeque::new(),
            fatal: None,
            kinds: HashSet::new(),
            confirmed: false,
            moved: Instant::now(),
        }
    }
}

impl LogTail {
    fn observe(&mut self, line: &str) {
        self.confirmed |= SUCCESS_MARKERS.iter().any(|marker| line.contains(marker));
        let fatal =
            line.contains("level=fatal") || line.starts_with("panic: ") || line.starts_with("fatal error");
        if fatal && self.fatal.is_none() {
            self.fatal = Some(message(line));
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(message(line));
        // The same complaint every five seconds is no progress.
        let kind = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        if self.kinds.len() < MAX_KINDS && self.kinds.insert(kind) {
            self.moved = Instant::now();
        }
    }

    /// Whether K3s printed that the reset succeeded.
    pub fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// When a line of a new kind was printed last.
    pub fn moved(&self) -> Instant {
        self.moved
    }

    /// The first fatal message, else the last message.
    pub fn reason(&self) -> String {
        self.fatal
            .clone()
            .or_else(|| self.last.back().cloned())
            .unwrap_or_else(|| "nothing was printed".to_owned())
    }

    /// The last messages, the oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}

/// Reads the output in a thread until its last writer is gone.
pub(super) fn follow(
    reader: impl Read + Send + 'static,
    mut file: Option<std::fs::File>,
) -> (Arc<Mutex<LogTail>>, JoinHandle<()>) {
    let tail = Arc::new(Mutex::new(LogTail::default()));
    let shared = Arc::clone(&tail);
    let thread = std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if let Some(file) = &mut file {
                let _ = file.write_all(&line);
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if text.is_empty() {
                continue;
            }
            log::debug!(target: K3S_LOG, "k3s: {text}");
            if let Ok(mut tail) = shared.lock() {
                tail.observe(&text);
            }
        }
    });
    (tail, thread)
}

/// What a line of K3s's log says, without its time and level.
fn message(line: &str) -> String {
    let text = line.split_once(" msg=").map_or(line, |(_, msg)| msg);
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    text.replace("\\\"", "\"").chars().take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fatal_line_is_the_reason_and_repetitions_are_no_progress() {
        let mut tail = LogTail::default();
        let line = r#"time="2026-11-22T08:11:50Z" level=info msg="Pre-restore etcd database moved to /x/etcd-old-5""#;
        tail.observe(line);
        let moved = tail.moved();
        tail.observe(&line.replace("08:11:50", "08:11:55"));
        assert_eq!(tail.moved(), moved, "the same again");
        assert_eq!(tail.reason(), "Pre-restore etcd database moved to /x/etcd-old-5");
        tail.observe(r#"time="x" level=fatal msg="starting kubernetes: \"a\" failed""#);
        tail.observe("goroutine 1 [running]:");
        assert_eq!(tail.reason(), "starting kubernetes: \"a\" failed");
        assert!(!tail.confirmed());
    }

    #[test]
    fn every_known_success_message_confirms_a_reset() {
        for line in [
            r#"time="x" level=info msg="Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup ...""#,
            r#"time="x" level=info msg="Etcd is running, restart without --cluster-reset flag now. Backup and delete ...""#,
            r#"level=error msg="Shutdown request received: \"Managed etcd cluster membership has been reset, restart without --cluster-reset flag now.\"""#,
        ] {
            let mut tail = LogTail::default();
            tail.observe(line);
            assert!(tail.confirmed(), "{line}");
        }
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces_and_the_file_has_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = std::fs::File::create(&path).unwrap();
        let (tail, thread) = follow(std::io::Cursor::new(vec![b'x'; 100_000]), Some(file));
        thread.join().unwrap();
        assert_eq!(tail.lock().unwrap().lines().count(), 2);
        assert_eq!(std::fs::metadata(path).unwrap().len(), 100_000);
    }
}
