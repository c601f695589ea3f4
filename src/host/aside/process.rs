// SPDX-License-Identifier: Apache-2.0
//! Starts a program aside, waits for it, and ends it. The program ends with this process, however this process ends.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::enter::OUTER;
use super::output::{LogTail, follow};
use super::spec::AsideSpec;

const POLL: Duration = Duration::from_millis(20);
/// How long the program may take to end after it was asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Whether the exit code was 0.
    pub success: bool,
    /// The exit code or the signal, in words.
    pub how: String,
}

/// A program that runs aside. Dropped, it is ended.
pub struct RunningAside {
    child: Child,
    /// The program runs as long as this is open.
    lifeline: Option<ChildStdin>,
    tail: Arc<Mutex<LogTail>>,
    reader: Option<JoinHandle<()>>,
}

/// Starts the program by way of `helper`, which is a file of this program. Its output goes to the file `log` as well. `register` gets the process number before the program
/// can do anything, to put it into a control group of its own.
///
/// # Errors
/// If the helper process cannot be started, or `register` fails.
pub fn start(
    helper: &Path,
    spec: &AsideSpec,
    log: Option<File>,
    register: &dyn Fn(u32) -> Result<()>,
) -> Result<RunningAside> {
    let context = || format!("starting '{}' aside", spec.program.display());
    let (reader, writer) = std::io::pipe().with_context(context)?;
    let mut child = Command::new(helper)
        .arg0("k3s-snapshot")
        .arg(OUTER)
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone().with_context(context)?)
        .stderr(writer)
        .spawn()
        .with_context(context)?;
    let lifeline = child.stdin.take();
    let (tail, thread) = follow(reader, log);
    let mut running = RunningAside { child, lifeline, tail, reader: Some(thread) };
    register(running.child.id())?;
    let mut line = serde_json::to_vec(spec).with_context(context)?;
    line.push(b'\n');
    running.lifeline.as_mut().context("the helper has no input")?.write_all(&line).with_context(context)?;
    Ok(running)
}

impl RunningAside {
    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn exit(&mut self) -> Result<Option<Exit>> {
        let Some(status) = self.child.try_wait().context("waiting for the program")? else { return Ok(None) };
        // The last lines may still be on their way.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Ok(Some(describe(status)))
    }

    /// Waits until it ends, or until `give_up` returns an error: then it is ended.
    ///
    /// # Errors
    /// The error of `give_up`.
    pub fn wait(&mut self, give_up: &mut dyn FnMut(&LogTail) -> Result<()>) -> Result<Exit> {
        loop {
            if let Some(exit) = self.exit()? {
                return Ok(exit);
            }
            let checked = give_up(&self.tail());
            if let Err(e) = checked {
                self.stop();
                return Err(e);
            }
            std::thread::sleep(POLL);
        }
    }

    /// What it has printed so far.
    pub fn tail(&self) -> LogTail {
        self.tail.lock().map(|tail| tail.clone()).unwrap_or_default()
    }

    /// Runs `work` in a thread that sees the network of the program; `None` as long as the program has no network of its own,
    /// and if the program has ended.
    ///
    /// # Errors
    /// If the network namespace cannot be entered.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<Option<T>> {
        let path = format!("/proc/{}/ns/net", self.child.id());
        let namespace = match File::open(&path) {
            // It has just ended; what it ended with is seen by the next look.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| format!("opening '{path}'"))?,
        };
        let inode = |file: std::io::Result<std::fs::Metadata>| {
            file.map(|m| m.ino()).context("examining a network namespace")
        };
        if inode(namespace.metadata())? == inode(std::fs::metadata("/proc/self/ns/net"))? {
            return Ok(None);
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
                    .context("entering the network namespace")?;
                Ok(Some(work()))
            });
            thread.join().map_err(|_| anyhow::anyhow!("a thread failed"))?
        })
    }

    /// Ends it and everything that it has started; returns when all of it is gone.
    pub fn stop(&mut self) {
        // The inner helper ends with its input, and the kernel ends all else with the inner helper.
        self.lifeline = None;
        let until = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(POLL);
        }
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for RunningAside {
    fn drop(&mut self) {
        self.stop();
    }
}

fn describe(status: ExitStatus) -> Exit {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) if code > 128 => format!("signal {}", code - 128),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".to_owned(),
    };
    Exit { success: status.success(), how }
}
