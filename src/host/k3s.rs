// SPDX-License-Identifier: Apache-2.0
//! K3s's own program, run for a reset from a snapshot, and asked for its version.
//!
//! It is started by way of ourselves, in a process that waits until the restore has written down its number, that dies
//! when the restore dies, and that then becomes K3s. Its output goes line by line to the log. Nothing secret is on its
//! command line: the settings are in a file that only root can read.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::process;
use super::{K3s, Progress, Ready, ResetOutcome, readyz};
use crate::error::{Code, Fault};
use crate::model::restore::Process;
use crate::model::secret::Secret;

/// The first argument of the process that is to become K3s.
const CHILD: &str = "--exec-reset";
/// How long a reset may take to end once it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// What K3s says when a reset went well, in every era.
const DONE: [&str; 2] = ["has been reset, restart without", "is running, restart without --cluster-reset"];

/// K3s as it is installed here.
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// The settings for a reset, as a file that K3s reads.
    pub config: PathBuf,
    /// The environment of a reset, but for the name of that file.
    pub environment: Vec<(String, Secret)>,
    /// How long a reset may show no progress.
    pub stall: Duration,
    /// A file that grows while a reset goes on.
    pub grows: PathBuf,
    /// Where the API server may be reached; empty where this server runs none.
    pub api: Vec<SocketAddr>,
    /// The folder of K3s's certificates.
    pub tls: PathBuf,
}

impl K3s for Program {
    fn version(&self) -> Result<String> {
        let context = || format!("asking '{}' for its version", self.path.display());
        let out = Command::new(&self.path)
            .arg("--version")
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .output()
            .with_context(context)?;
        anyhow::ensure!(out.status.success(), "{}: {}", context(), out.status);
        Ok(String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned())
    }

    fn reset(
        &self,
        snapshot: Option<&Path>,
        begun: &mut dyn FnMut(Process) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<ResetOutcome> {
        let context = || format!("starting '{}'", self.path.display());
        let restore_path = snapshot.map(|snapshot| {
            let mut path = OsString::from("--cluster-reset-restore-path=");
            path.push(snapshot);
            path
        });
        let (reader, writer) = std::io::pipe().with_context(context)?;
        let mut child = Command::new("/proc/self/exe")
            .arg0("k3s-snapshot-restore")
            .arg(CHILD)
            .arg(std::process::id().to_string())
            .arg(&self.path)
            .args(["server", "--cluster-reset"])
            .args(restore_path)
            .env_clear()
            .envs(self.environment.iter().map(|(k, v)| (k, v.expose())))
            .env("K3S_CONFIG_FILE", &self.config)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().with_context(context)?)
            .stderr(writer)
            .spawn()
            .with_context(context)?;
        let started = process::of(child.id());
        let go = child.stdin.take();
        let noted = match &started {
            Some(process) => begun(process.clone()),
            None => Err(anyhow::anyhow!("the process that was to become K3s has ended")),
        };
        // Without the word it ends by itself when its input does.
        if let (Ok(()), Some(mut go)) = (&noted, go) {
            let _ = go.write_all(b"\n");
        }
        let ended = noted.and_then(|()| self.watch(&mut child, lines(reader), progress));
        match (&ended, &started) {
            (Err(_), Some(process)) => {
                if let Err(e) = process::end(process, PATIENCE) {
                    log::error!("{e:#}");
                }
                let _ = child.wait();
            }
            // What it has left behind would hold the database.
            (Ok(_), Some(process)) => {
                let group = nix::unistd::Pid::from_raw(i32::try_from(process.pid).unwrap_or(i32::MAX));
                let _ = nix::sys::signal::killpg(group, Signal::SIGKILL);
            }
            _ => {}
        }
        ended
    }

    fn end(&self, process: &Process) -> Result<()> {
        process::end(process, PATIENCE)
    }

    fn ready(&self) -> Ready {
        let file = |name: &str| self.tls.join(name);
        let (cert, key, ca) = (file("client-admin.crt"), file("client-admin.key"), file("server-ca.crt"));
        let mut last = Ready::Yes;
        for at in &self.api {
            last = readyz::readyz(*at, &cert, &key, &ca, Duration::from_secs(3))
                .unwrap_or_else(|e| Ready::NoAnswer(format!("{e:#}")));
            if !matches!(last, Ready::NoAnswer(_)) {
                break;
            }
        }
        last
    }
}

impl Program {
    /// Waits for the end, however it comes; an error where we end it.
    fn watch(
        &self,
        child: &mut std::process::Child,
        lines: Receiver<String>,
        progress: &dyn Progress,
    ) -> Result<ResetOutcome> {
        let mut said = Said::default();
        let (mut size, mut moved) = (0, Instant::now());
        loop {
            while let Ok(line) = lines.recv_timeout(POLL) {
                if said.hear(&line) {
                    moved = Instant::now();
                }
                if process::asked() {
                    break;
                }
            }
            progress.advance(0);
            let ended = child.try_wait().context("waiting for K3s")?;
            if let Some(status) = ended {
                // Its last words may still be on their way.
                while let Ok(line) = lines.recv_timeout(POLL) {
                    said.hear(&line);
                }
                return Ok(said.end(status));
            }
            if process::asked() {
                return Err(
                    Fault::new(Code::Stopped, "asked to stop while K3s was at work on the reset").into()
                );
            }
            let now = std::fs::metadata(&self.grows).map_or(0, |m| m.len());
            if now != size {
                (size, moved) = (now, Instant::now());
            }
            if moved.elapsed() > self.stall {
                return Err(Fault::new(
                    Code::K3sResetStalled,
                    format!(
                        "K3s's reset made no progress for {} s; the last it said: {}",
                        self.stall.as_secs(),
                        said.last()
                    ),
                )
                .hint("--reset-timeout gives it longer.")
                .into());
            }
        }
    }
}

/// What K3s has said.
#[derive(Default)]
struct Said {
    kinds: HashSet<String>,
    last: Option<String>,
    fatal: Option<String>,
    done: bool,
}

impl Said {
    /// Whether the line is of a kind that was not heard before: the same complaint every five seconds is no progress.
    fn hear(&mut self, line: &str) -> bool {
        // etcd's own account of itself is for the journal, not for somebody at a terminal.
        let chatter = line.starts_with("{\"level\":\"info\"") || line.contains("\tinfo\t");
        let level =
            if chatter && std::io::stderr().is_terminal() { log::Level::Debug } else { log::Level::Info };
        log::log!(level, "k3s: {line}");
        self.done |= DONE.iter().any(|d| line.contains(d));
        let fatal =
            line.contains("level=fatal") || line.starts_with("panic: ") || line.starts_with("fatal error");
        if fatal && self.fatal.is_none() {
            self.fatal = Some(message(line));
        }
        self.last = Some(message(line));
        // A message that holds a growing text is heard at most so often.
        self.kinds.len() < 10_000 && self.kinds.insert(line.chars().filter(|c| !c.is_ascii_digit()).collect())
    }

    fn last(&self) -> &str {
        self.last.as_deref().unwrap_or("nothing")
    }

    fn end(self, status: ExitStatus) -> ResetOutcome {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        };
        ResetOutcome { success: status.success(), how, said: self.fatal.or(self.last), announced: self.done }
    }
}

/// What a line of K3s's log says, without its time and level.
fn message(line: &str) -> String {
    let text = line.split_once(" msg=").map_or(line, |(_, msg)| msg);
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    text.replace("\\\"", "\"").chars().take(1000).collect()
}

/// The lines of a pipe, until nobody holds its other end.
fn lines(reader: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line without an end must not fill the memory.
            match reader.by_ref().take(64 * 1024).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !text.is_empty() && send.send(text).is_err() {
                return;
            }
        }
    });
    receive
}

/// What systemd gives its services where nothing else is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process that is to become K3s: `--exec-reset PARENT PROGRAM ARGUMENT...`. `None` where this is not it.
pub fn child() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != CHILD {
        return None;
    }
    let (parent, program) = (args.next()?, args.next()?);
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        log::error!("{what}: {e}");
        Some(ExitCode::FAILURE)
    };
    if let Err(e) = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL) {
        return failed("asking to die with the restore", &e);
    }
    // It may have died before that.
    if parent != nix::unistd::getppid().to_string().as_str() {
        return Some(ExitCode::FAILURE);
    }
    let mut word = [0u8; 1];
    if std::io::stdin().read_exact(&mut word).is_err() {
        return Some(ExitCode::FAILURE);
    }
    let e = Command::new(&program).args(args).exec();
    eprint_failure(&program, &e);
    Some(ExitCode::FAILURE)
}

/// There is no log in this process: its stderr is heard by the restore, line by line.
fn eprint_failure(program: &OsString, e: &std::io::Error) {
    let text = format!("level=fatal msg=\"running '{}': {e}\"\n", program.display());
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_k3s_are_found_in_its_log() {
        let mut said = Said::default();
        let line = r#"time="2026-11-22T08:11:50Z" level=info msg="Pre-restore etcd database moved to /x/etcd-old-5""#;
        assert!(said.hear(line));
        assert!(!said.hear(&line.replace("08:11:50", "08:11:55")), "the same again");
        assert_eq!(said.last(), "Pre-restore etcd database moved to /x/etcd-old-5");
        said.hear(r#"time="x" level=fatal msg="starting kubernetes: \"a\" failed""#);
        said.hear("goroutine 1 [running]:");
        let end = said.end(ExitStatus::from_raw(256));
        assert_eq!((end.success, end.how.as_str()), (false, "exit code 1"));
        assert_eq!(end.said.as_deref(), Some("starting kubernetes: \"a\" failed"));
        for line in [
            "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. Backup ...",
            "Etcd is running, restart without --cluster-reset flag now. Backup and delete ...",
        ] {
            let mut said = Said::default();
            said.hear(&format!("time=\"x\" level=info msg=\"{line}\""));
            assert!(said.done, "{line}");
        }
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces() {
        let all: Vec<String> = lines(std::io::Cursor::new(vec![b'x'; 100_000])).iter().collect();
        assert_eq!(all.iter().map(String::len).sum::<usize>(), 100_000);
        assert_eq!(lines(&b"a\n\nb"[..]).iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
