// SPDX-License-Identifier: Apache-2.0
//! Processes by number and beginning, so that a later one of the same number is never taken for the one that was meant;
//! and the signals by which we ourselves are asked to stop.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

use crate::model::restore::Process;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, a service manager's stop and a lost terminal are requests to put everything back, not the end of
/// the process. To be called before there is a second thread.
pub fn listen() -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().context("blocking signals")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                if ASKED.swap(true, SeqCst) {
                    log::warn!("{signal} once more: it is at work to stop already, and cannot be hurried without harm");
                } else {
                    log::warn!("{signal}: stopping at the next safe point");
                }
            }
        })
        .context("listening for signals")?;
    Ok(())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether somebody asked us to stop.
pub fn asked() -> bool {
    ASKED.load(SeqCst)
}

/// The process of this number, where there is one that has not ended.
pub fn of(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (state, start) = parse(&stat)?;
    if matches!(state, 'Z' | 'X' | 'x') {
        return None;
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(Process { pid, start, boot: boot.trim().to_owned() })
}

/// State and beginning. The name in brackets may hold anything, brackets and blanks too.
fn parse(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, words.nth(18)?.parse().ok()?))
}

/// Whether this very process still runs.
pub fn runs(process: &Process) -> bool {
    of(process.pid).as_ref() == Some(process)
}

/// Ends a process and its group: asked first, then killed. Returns once it is gone; an error where it is not.
pub fn end(process: &Process, patience: Duration) -> Result<()> {
    let group = Pid::from_raw(i32::try_from(process.pid).context("a process number beyond all numbers")?);
    for (signal, patience) in [(Signal::SIGTERM, patience), (Signal::SIGKILL, Duration::from_secs(10))] {
        if !runs(process) {
            break;
        }
        let _ = killpg(group, signal);
        let until = Instant::now() + patience;
        while runs(process) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    anyhow::ensure!(!runs(process), "process {} does not end", process.pid);
    // What it started and left is of no use without it.
    let _ = killpg(group, Signal::SIGKILL);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

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
    fn a_process_is_itself_until_it_has_ended() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let process = of(child.id()).unwrap();
        assert!(runs(&process));
        let other = Process { start: process.start + 1, ..process.clone() };
        assert!(!runs(&other), "the same number at another time is another process");
        assert!(
            !runs(&Process { boot: "before".to_owned(), ..process.clone() }),
            "so is one of another boot"
        );
        end(&process, Duration::from_secs(5)).unwrap();
        assert!(!runs(&process), "a zombie does not run");
        child.wait().unwrap();
        assert_eq!(of(child.id()), None);
    }
}
