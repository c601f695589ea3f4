// SPDX-License-Identifier: Apache-2.0
//! What a unit has written to the journal. journald has no call for that: its own program is asked.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// A message is cut to this many characters.
const MAX_CHARS: usize = 500;
/// At most this much of the journal is read.
const MAX_BYTES: u64 = 4 << 20;

/// The last fatal message of a unit since a time, seconds since the epoch; `None` if there is none, or it cannot be read.
pub(super) fn fatal_message(unit: &str, since: u64) -> Option<String> {
    let mut child = Command::new("journalctl")
        .args(["--no-pager", "--quiet", "--output=cat", "--lines=500"])
        .arg(format!("--unit={unit}"))
        .arg(format!("--since=@{since}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let out = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = out.take(MAX_BYTES).read_to_end(&mut bytes);
        bytes
    });
    let started = Instant::now();
    while !matches!(child.try_wait(), Ok(Some(_))) {
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(POLL);
    }
    let bytes = reader.join().ok()?;
    last_fatal(&String::from_utf8_lossy(&bytes))
}

fn last_fatal(text: &str) -> Option<String> {
    let fatal = |line: &&str| {
        line.contains("level=fatal") || line.starts_with("panic: ") || line.starts_with("fatal error: ")
    };
    let line = text.lines().rev().find(fatal)?;
    let message = line.split_once(" msg=").map_or(line, |(_, message)| message);
    let message = message.strip_prefix('"').and_then(|m| m.strip_suffix('"')).unwrap_or(message);
    Some(message.replace("\\\"", "\"").chars().take(MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fatal_line_is_found_and_freed_of_its_head() {
        let text = "time=\"x\" level=info msg=\"a\"\ntime=\"x\" level=fatal msg=\"b\"\n\
                    time=\"x\" level=fatal msg=\"starting \\\"kubernetes\\\": c\"\ngoroutine 1 [running]:\n";
        assert_eq!(last_fatal(text).as_deref(), Some("starting \"kubernetes\": c"));
        assert_eq!(last_fatal("panic: x\n").as_deref(), Some("panic: x"));
        assert_eq!(last_fatal("level=error msg=a\n"), None);
        assert_eq!(last_fatal(""), None);
    }
}
