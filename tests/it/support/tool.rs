// SPDX-License-Identifier: Apache-2.0
//! One of our own programs, run as an operator would run it, and what came of it. No run outlives its deadline.

use super::k3s_root::K3sRoot;
use super::process::{self, Running};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Once;
use std::time::{Duration, Instant};

/// A run to be made.
#[derive(Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    under: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    deadline: Duration,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    /// The program's name and its arguments.
    pub(crate) args: Vec<String>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The exit code, if it exited.
    pub(crate) code: Option<i32>,
    /// The signal, if one ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) wall: Duration,
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Running,
    shown: Vec<String>,
    since: Instant,
    deadline: Duration,
    stdout: File,
    stderr: File,
}

/// Where cargo put the programs, which have all their names there.
pub(crate) fn programs() -> &'static Path {
    static NAMED: Once = Once::new();
    let folder = Path::new(env!("CARGO_BIN_EXE_k3s-snapshot")).parent().unwrap();
    NAMED.call_once(|| {
        let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/install");
        let done = Command::new(install).arg("--programs").arg(folder).arg("--names").status().unwrap();
        assert!(done.success(), "packaging/install --names: {done}");
    });
    folder
}

impl Tool {
    /// The program `k3s-snapshot-<verb>`, or `k3s-snapshot <verb>` if that has no name of its own.
    pub(crate) fn new(verb: &str) -> Tool {
        let link = programs().join(format!("k3s-snapshot-{verb}"));
        let (program, args) = match link.is_file() {
            true => (link, Vec::new()),
            false => (programs().join("k3s-snapshot"), vec![verb.into()]),
        };
        Tool { program, under: Vec::new(), args, env: Vec::new(), deadline: Duration::from_secs(60) }
    }

    /// On this server: its data folder, and our state and locks inside the same root.
    pub(crate) fn on(self, root: &K3sRoot) -> Tool {
        self.arg("--data-dir")
            .arg(root.data_dir())
            .arg("--state-dir")
            .arg(root.state_dir())
            .arg("--run-dir")
            .arg(root.run_dir())
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Tool {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(self, args: &[S]) -> Tool {
        args.iter().fold(self, Tool::arg)
    }

    /// Sets a variable of the environment. Those that K3s, our programs or systemd would heed are cleared before.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Tool {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it under another program, for instance strace with its arguments.
    pub(crate) fn under<S: AsRef<OsStr>>(mut self, command: &[S]) -> Tool {
        self.under = command.iter().map(|s| s.as_ref().to_owned()).collect();
        self
    }

    /// Another deadline than a minute.
    pub(crate) fn deadline(mut self, limit: Duration) -> Tool {
        self.deadline = limit;
        self
    }

    /// Starts it and lets it go on.
    pub(crate) fn start(self) -> Started {
        let mut words = self.under.clone();
        words.push(self.program.clone().into());
        words.extend(self.args.iter().cloned());
        let mut command = process::tied(&words[0]);
        command.args(&words[1..]);
        clear_environment(&mut command);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let mut shown = vec![self.program.file_name().unwrap().to_string_lossy().into_owned()];
        shown.extend(self.args.iter().map(|a| a.to_string_lossy().into_owned()));
        let since = Instant::now();
        Started { process: process::spawn(command), shown, since, deadline: self.deadline, stdout, stderr }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Run {
        self.start().finish()
    }
}

impl Started {
    /// Waits for the end; panics when the deadline has passed.
    pub(crate) fn finish(mut self) -> Run {
        let left = self.deadline.saturating_sub(self.since.elapsed());
        let status: Option<ExitStatus> = self.process.wait(left);
        let wall = self.since.elapsed();
        if status.is_none() {
            self.process.kill();
        }
        let (stdout, stderr) = (content(&mut self.stdout), content(&mut self.stderr));
        let status = status.unwrap_or_else(|| {
            panic!("{:?} goes on after {:?}\nstdout: {stdout}\nstderr: {stderr}", self.shown, self.deadline)
        });
        Run { args: self.shown, stdout, stderr, code: status.code(), signal: status.signal(), wall }
    }
}

impl Run {
    /// Panics with all there is to know unless it exited with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Run {
        assert!(self.code == Some(code), "wanted exit code {code}: {self:#?}");
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON on stdout ({e}): {self:#?}"))
    }
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn clear_environment(command: &mut Command) {
    const SYSTEMD: [&str; 5] =
        ["NOTIFY_SOCKET", "JOURNAL_STREAM", "INVOCATION_ID", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"];
    for (name, _) in std::env::vars_os() {
        let known = name
            .to_str()
            .is_some_and(|n| n.starts_with("K3S_") || n.starts_with("RKE2_") || SYSTEMD.contains(&n));
        if known {
            command.env_remove(name);
        }
    }
}
