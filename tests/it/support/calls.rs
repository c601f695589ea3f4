// SPDX-License-Identifier: Apache-2.0
//! Makes one call of a program fail, by the library in `calls.c`. It counts over all threads, and it can shorten a write, which
//! strace cannot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::cli::Tool;
use super::require;

/// A call that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// What it does: create, open, write, read, fsync, truncate, link, rename, unlink, mkdir, chmod, stat, readdir, opendir, lock.
    pub(crate) name: String,
    pub(crate) path: String,
    /// Whether the fault was made at it.
    pub(crate) failed: bool,
}

/// The library. It is compiled once for all tests.
pub(crate) fn library() -> Result<PathBuf, String> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let compiler = require::program("cc")?;
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/calls.c");
            let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("calls.so");
            let mine = made.with_extension(std::process::id().to_string());
            let done = Command::new(compiler)
                .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
                .args([&mine, &source])
                .output()
                .map_err(|e| format!("needs cc: {e}"))?;
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            std::fs::rename(&mine, &made).unwrap();
            Ok(made)
        })
        .clone()
}

impl Tool {
    /// Counts the calls that concern files below these directories; `fault` is made at one of them.
    pub(crate) fn counted(self, below: &[&Path], log: &Path, fault: Option<(usize, &str)>) -> Tool {
        let below: Vec<String> = below.iter().map(|p| p.display().to_string()).collect();
        let tool = self
            .env("LD_PRELOAD", library().unwrap_or_else(|why| panic!("{why}")))
            .env("FAULTS_BELOW", below.join(":"))
            .env("FAULTS_LOG", log);
        match fault {
            Some((at, fault)) => tool.env("FAULTS_AT", at.to_string()).env("FAULTS_DO", fault),
            None => tool,
        }
    }
}

/// The calls in a log, in the order of their numbers.
pub(crate) fn calls(log: &Path) -> Vec<Call> {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut all: Vec<Call> = text.lines().filter_map(call).collect();
    all.sort_by_key(|c| c.number);
    all
}

fn call(line: &str) -> Option<Call> {
    let (failed, line) = match line.strip_prefix("! ") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let mut words = line.splitn(3, ' ');
    let number = words.next()?.parse().ok()?;
    let (name, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(Call { number, name, path, failed })
}
