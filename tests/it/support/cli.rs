// SPDX-License-Identifier: Apache-2.0
//! Our own program, run as an operator runs it, and its result. No run outlives its deadline.

use super::k3s_root::K3sRoot;
use super::process::{self, Running};
use super::schema;
use k3s_snapshot::error::{Code, Kind};
use k3s_snapshot::model::warning::WarningCode;
use serde_json::Value;
use std::collections::BTreeMap;
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

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    /// The name of the program and its arguments.
    pub(crate) args: Vec<String>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The exit code, if it exited.
    pub(crate) code: Option<i32>,
    /// The signal, if one ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) wall: Duration,
}

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Running,
    shown: Vec<String>,
    since: Instant,
    deadline: Duration,
    stdout: File,
    stderr: File,
}

/// The directory in which cargo puts the programs. They have all their links there.
pub(crate) fn programs() -> &'static Path {
    static LINKED: Once = Once::new();
    let directory = Path::new(env!("CARGO_BIN_EXE_k3s-snapshot")).parent().unwrap();
    LINKED.call_once(|| {
        let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/install");
        let done = Command::new(install).arg("--programs").arg(directory).arg("--names").status().unwrap();
        assert!(done.success(), "packaging/install --names: {done}");
    });
    directory
}

impl Tool {
    /// `k3s-snapshot COMMAND`.
    pub(crate) fn new(command: &str) -> Tool {
        Tool::program("k3s-snapshot").arg(command)
    }

    /// The link `k3s-snapshot-COMMAND`.
    pub(crate) fn link(command: &str) -> Tool {
        Tool::program(&format!("k3s-snapshot-{command}"))
    }

    /// `k3s-snapshot` without a command, or one of its links.
    pub(crate) fn program(name: &str) -> Tool {
        let program = programs().join(name);
        assert!(program.is_file(), "no program '{}'", program.display());
        Tool {
            program,
            under: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            deadline: Duration::from_secs(60),
        }
    }

    /// On this server: its data directory, and our state and locks inside the same root.
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

    /// Sets an environment variable. Those that K3s, our programs or systemd read are cleared before.
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

    /// Starts it and returns at once.
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

    /// Runs it to its end, with the arguments as they are.
    pub(crate) fn run(self) -> Run {
        self.start().finish()
    }

    /// Runs it to its end with `--report json`.
    pub(crate) fn report(self) -> Run {
        self.args(&["--report", "json"]).run()
    }
}

impl Started {
    /// Waits for the end; panics at the deadline.
    pub(crate) fn finish(mut self) -> Run {
        let left = self.deadline.saturating_sub(self.since.elapsed());
        let status: Option<ExitStatus> = self.process.wait(left);
        let wall = self.since.elapsed();
        if status.is_none() {
            self.process.kill();
        }
        let (stdout, stderr) = (content(&mut self.stdout), content(&mut self.stderr));
        let status = status.unwrap_or_else(|| {
            panic!(
                "{:?} still runs after {:?}\nstdout: {stdout}\nstderr: {stderr}",
                self.shown, self.deadline
            )
        });
        Run { args: self.shown, stdout, stderr, code: status.code(), signal: status.signal(), wall }
    }
}

impl Run {
    /// Panics with the whole result unless it exited with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Run {
        assert!(self.code == Some(code), "wanted exit code {code}: {self:#?}");
        self
    }

    /// Panics unless the report has an error with this code, and the exit code is the usual one of it. The run was made
    /// with `--report json`.
    #[track_caller]
    pub(crate) fn fails(self, code: Code) -> Run {
        self.fails_as(code, code.kind())
    }

    /// Panics unless the report has an error with this code and this kind, and the exit code of the kind.
    #[track_caller]
    pub(crate) fn fails_as(self, code: Code, kind: Kind) -> Run {
        let report = self.json();
        let error = &report["error"];
        let found = (error["code"].as_str(), error["kind"].as_str(), self.code);
        let wanted = (Some(code.as_str()), Some(kind.as_str()), Some(i32::from(kind.exit_code())));
        assert!(found == wanted, "wanted {wanted:?}, found {found:?}: {self:#?}");
        assert_eq!(report["outcome"], kind.as_str(), "{self:#?}");
        // People see the error too.
        assert!(self.stderr.lines().any(|l| l.starts_with("error: ")), "{self:#?}");
        self
    }

    /// Panics unless the report has an error with one of these codes.
    #[track_caller]
    pub(crate) fn fails_with(self, codes: &[Code]) -> Run {
        let found = self.json()["error"]["code"].as_str().map(str::to_owned);
        match codes.iter().find(|code| found.as_deref() == Some(code.as_str())) {
            Some(code) => self.fails(*code),
            None => panic!("wanted one of {codes:?}: {self:#?}"),
        }
    }

    /// Panics unless the error has a hint.
    #[track_caller]
    pub(crate) fn with_hint(self) -> Run {
        let hint = self.json()["error"]["hint"].as_str().map(str::to_owned);
        assert!(hint.is_some_and(|h| !h.is_empty()) && self.stderr.contains("hint: "), "no hint: {self:#?}");
        self
    }

    /// Its standard output as JSON. A report is validated against docs/report.schema.json.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON on standard output ({e}): {self:#?}"));
        if value.get("command").is_some() {
            schema::validate(&value);
            assert_eq!(value["exit_code"].as_i64(), self.code.map(i64::from), "{self:#?}");
        }
        value
    }

    /// The rows of the report, or of a list with `-o json`.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        let value = self.json();
        let rows = if value.is_array() { &value } else { &value["snapshots"] };
        rows.as_array().unwrap_or_else(|| panic!("no rows: {self:#?}")).clone()
    }

    /// The only row.
    #[track_caller]
    pub(crate) fn row(&self) -> Value {
        let mut rows = self.rows();
        assert!(rows.len() == 1, "{} rows: {self:#?}", rows.len());
        rows.remove(0)
    }

    /// The first row with this file name.
    #[track_caller]
    pub(crate) fn row_of(&self, name: &str) -> Value {
        let found = self.rows().into_iter().find(|r| r["name"] == name);
        found.unwrap_or_else(|| panic!("no row of {name:?}: {self:#?}"))
    }

    /// State by file name; of two rows with one name, that of the last.
    #[track_caller]
    pub(crate) fn states(&self) -> BTreeMap<String, String> {
        self.rows().iter().map(|r| (text(&r["name"]), text(&r["state"]))).collect()
    }

    /// The checks of the findings in all rows, in order.
    #[track_caller]
    pub(crate) fn findings(&self) -> Vec<String> {
        let rows = self.rows();
        rows.iter().flat_map(|r| r["findings"].as_array().unwrap()).map(|f| text(&f["check"])).collect()
    }

    /// The codes of the warnings, in order.
    #[track_caller]
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.json()["warnings"].as_array().unwrap().iter().map(|w| text(&w["code"])).collect()
    }

    /// Whether the report has a warning with this code.
    #[track_caller]
    pub(crate) fn warns(&self, code: WarningCode) -> bool {
        self.warnings().iter().any(|w| w == code.as_str())
    }
}

/// A JSON string, which must be one.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
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
