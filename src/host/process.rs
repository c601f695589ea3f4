// SPDX-License-Identifier: Apache-2.0
//! A process that was noted down, recognised later: a number alone may be another's by then.

use std::io;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A process, told from every other one that has or will have its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in clock ticks since the boot.
    pub started: u64,
    /// The boot it belongs to.
    pub boot: String,
}

impl Process {
    /// The process that has this number now; `None` where there is none, or only what its parent has not yet buried.
    pub fn of(pid: u32) -> Result<Option<Process>> {
        let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(e) if gone(&e) => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("looking at process {pid}")),
        };
        let (state, started) = parse(&stat).with_context(|| format!("reading '/proc/{pid}/stat'"))?;
        if matches!(state, 'Z' | 'X' | 'x') {
            return Ok(None);
        }
        let boot = std::fs::read_to_string(BOOT_ID).with_context(|| format!("reading '{BOOT_ID}'"))?;
        Ok(Some(Process { pid, started, boot: boot.trim().to_owned() }))
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> Result<bool> {
        Ok(Process::of(self.pid)?.as_ref() == Some(self))
    }
}

/// No such file; or the process ended between opening and reading.
fn gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

/// State and start time. The name in the middle may hold anything, brackets and blanks too.
fn parse(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, words.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_brackets_and_blanks_is_no_riddle() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        for name in ["k3s", "a) Z 1 (b", "with blanks"] {
            assert_eq!(parse(&format!("12 ({name}) {tail}")), Some(('S', 4711)));
        }
        for broken in ["", "12 (k3s", "12 (k3s) S 1 2"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[test]
    fn a_process_is_alive_until_it_has_ended_even_before_it_is_buried() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::of(child.id()).unwrap().unwrap();
        assert!(process.is_alive().unwrap());
        let other = Process { started: process.started + 1, ..process.clone() };
        assert!(!other.is_alive().unwrap(), "the same number at another time is another process");
        let other = Process { boot: "before".to_owned(), ..process.clone() };
        assert!(!other.is_alive().unwrap(), "so is one of another boot");
        drop(child.stdin.take());
        let waited = std::time::Instant::now();
        while process.is_alive().unwrap() {
            assert!(waited.elapsed().as_secs() < 10);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(!process.is_alive().unwrap());
    }
}
