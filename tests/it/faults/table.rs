// SPDX-License-Identifier: Apache-2.0
//! What came of the faults: a line for each command and fault, and each loss in full.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;

use crate::support::cli::Run;

/// The table of one test.
#[derive(Default)]
pub(crate) struct Table(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    points: BTreeMap<(String, String), BTreeMap<String, usize>>,
    losses: Vec<String>,
}

impl Table {
    /// One more point.
    pub(crate) fn add(&self, command: &str, fault: &str, run: &Run, at: &str, losses: Vec<String>) {
        let outcome = match (run.code, run.signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        let mut rows = self.0.lock().unwrap();
        *rows.points.entry((command.into(), fault.into())).or_default().entry(outcome).or_default() += 1;
        rows.losses.extend(
            losses.into_iter().map(|l| format!("{command}, {fault} at {at}: {l}\n    {}", run.stderr.trim())),
        );
    }

    /// Prints it, past the test runner's capture of output, and panics if anything was lost.
    pub(crate) fn finish(self, at_least: usize) {
        let rows = self.0.into_inner().unwrap();
        let total: usize = rows.points.values().flat_map(|outcomes| outcomes.values()).sum();
        let mut text = format!("\n{:<26}| {:<26}| {:>6} | outcomes\n", "command", "fault", "points");
        for ((command, fault), outcomes) in &rows.points {
            let points: usize = outcomes.values().sum();
            let outcomes: Vec<String> = outcomes.iter().map(|(what, n)| format!("{what}: {n}")).collect();
            text.push_str(&format!("{command:<26}| {fault:<26}| {points:>6} | {}\n", outcomes.join(", ")));
        }
        text.push_str(&format!("faults: {total} points, {} losses\n", rows.losses.len()));
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        assert!(rows.losses.is_empty(), "{}", rows.losses.join("\n"));
        assert!(total >= at_least, "only {total} points");
    }
}
