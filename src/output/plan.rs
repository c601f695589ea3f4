// SPDX-License-Identifier: Apache-2.0
//! The text of a restore: the plan before it, and how each step ended after it.

use std::fmt::Write as _;

use super::escape::printable;
use super::runbook;
use crate::model::report::{Report, Row};
use crate::model::restore_report::Restore;

/// The plan of a restore, or of a removal of old databases, before anything is done.
pub fn plan(report: &Report) -> String {
    let mut out = report.snapshots.first().zip(report.restore.as_ref()).map_or_else(String::new, subject);
    out += &report.restore.as_ref().map_or_else(String::new, without_snapshot);
    if let Some(restore) = &report.restore {
        for (i, step) in restore.steps.iter().enumerate() {
            let skipped = if step.state == "skipped" { " (skipped)" } else { "" };
            let undo = if step.undo == "none" { String::new() } else { format!("; rollback: {}", step.undo) };
            let _ = writeln!(out, "  {}. {}{skipped}{undo}", i + 1, step.description);
        }
        out += &runbook::text(&restore.runbook, "before");
        out += &runbook::text(&restore.runbook, "after");
    }
    out + &old_databases(report)
}

fn subject((row, restore): (&Row, &Restore)) -> String {
    let lost = match restore.lost_revisions {
        Some(n) if n > 0 => format!("; {n} later revisions are lost"),
        Some(_) => String::new(),
        None => "; the current revision is unknown".to_owned(),
    };
    let mut out = format!(
        "Restore {} of {} (revision {}, {} key revisions, {} old){lost}.\n{} in {} is {}. Token: {}.\n",
        printable(&row.name),
        row.created,
        row.revision.unwrap_or_default(),
        row.key_revisions.unwrap_or_default(),
        age(restore.age_s),
        printable(&restore.unit),
        printable(&restore.data_dir),
        restore.previous_state,
        printable(&restore.token),
    );
    if !restore.others.is_empty() {
        let _ = writeln!(out, "Other servers of the cluster: {}", printable(&restore.others.join(", ")));
    }
    out
}

/// What an operation does that restores no snapshot.
fn without_snapshot(restore: &Restore) -> String {
    let what = match (restore.operation, &restore.server) {
        ("cluster-reset", _) => {
            "Make the cluster one of this server alone, with the data that it has".to_owned()
        }
        ("rejoin", Some(url)) => format!("Rejoin {} with an empty database", printable(url)),
        _ => return String::new(),
    };
    let (unit, dir) = (printable(&restore.unit), printable(&restore.data_dir));
    let token = printable(&restore.token);
    format!("{what}.\n{unit} in {dir} is {}. Token: {token}.\n", restore.previous_state)
}

fn age(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (d, ..) if d > 1 => format!("{d} days"),
        (_, h, _) if h > 1 => format!("{h} hours"),
        (_, _, m) => format!("{m} minutes"),
    }
}

/// How a restore ended.
pub(super) fn result(report: &Report) -> String {
    let Some(restore) = report.restore.as_ref().filter(|_| report.old_databases.is_empty()) else {
        return old_databases(report);
    };
    if restore.steps.iter().all(|s| matches!(s.state, "planned" | "skipped")) {
        return if report.error.is_some() { String::new() } else { plan(report) };
    }
    let mut out = String::new();
    for step in &restore.steps {
        let time = step.ms.map(|ms| format!(" ({}.{:03} s)", ms / 1000, ms % 1000)).unwrap_or_default();
        let _ = writeln!(out, "{:11} {}{time}", step.state, step.description);
    }
    for (what, path) in [
        ("Previous database", &restore.old_database),
        ("Discarded new database", &restore.failed_database),
        ("Snapshot of the previous state", &restore.safety_snapshot),
    ] {
        let _ = path.as_ref().map(|p| writeln!(out, "{what}: {}", printable(p)));
    }
    if let (Some(all), Some(own)) = (restore.downtime_ms, restore.own_ms) {
        let _ = writeln!(out, "K3s was down for {all} ms, {own} ms of that by this program.");
    }
    if report.error.is_none() {
        let row = report.snapshots.first();
        out += &match (restore.operation, row) {
            ("cluster-reset", _) => "The cluster is this server alone: K3s is ready.\n".to_owned(),
            ("rejoin", _) => "This server has rejoined: K3s is ready.\n".to_owned(),
            (_, Some(row)) => format!("Snapshot {} restored: K3s is ready.\n", printable(&row.name)),
            _ => String::new(),
        };
    }
    if restore.is_restored() {
        out += &runbook::text(&restore.runbook, "after");
    }
    out
}

fn old_databases(report: &Report) -> String {
    report
        .old_databases
        .iter()
        .map(|o| {
            let state = match o.deleted {
                Some(true) => "removed",
                Some(false) => "not removed",
                None => o.action,
            };
            format!("{state:11} {:>12} {}\n", o.bytes, printable(&o.path))
        })
        .collect()
}
