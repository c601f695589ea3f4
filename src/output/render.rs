// SPDX-License-Identifier: Apache-2.0
//! The result on stdout: for people, as K3s's table, or as JSON and YAML for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::log::printable;
use super::runbook;
use crate::model::report::{Check, Report, Row};
use crate::model::restore_report::Restore;
use crate::model::snapshot::State;

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Sentences and tables.
    Text,
    /// The whole report as JSON.
    Report,
    /// Only the rows, as JSON.
    Json,
    /// Only the rows, as YAML.
    Yaml,
}

/// Prints the report.
pub fn report(report: &Report, format: Format) -> io::Result<()> {
    text(&render(report, format))
}

/// Prints any text. A reader who closed the pipe has read enough; any other failure is one.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}

/// Prints rows of two or more columns, padded as K3s pads them.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(i) {
                Some(w) => *w = width.max(*w),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if i == last { writeln!(out, "{cell}") } else { write!(out, "{cell:width$} ") };
        }
    }
    out
}

fn render(report: &Report, format: Format) -> String {
    match format {
        Format::Report => json(report),
        Format::Json => json(&report.snapshots),
        Format::Yaml if report.snapshots.is_empty() => "[]\n".to_owned(),
        Format::Yaml => serde_saphyr::to_string(&report.snapshots).unwrap_or_default(),
        Format::Text if report.skipped.is_some() => String::new(),
        Format::Text => match report.command {
            "list" if !report.checks.is_empty() => report.checks.iter().map(check).collect(),
            "list" if report.error.is_some() && report.snapshots.is_empty() => String::new(),
            "list" => list(&report.snapshots),
            "prune" if report.snapshots.is_empty() => String::new(),
            "prune" => pruned(&report.snapshots),
            "restore" => restored(report),
            "delete" => report.snapshots.iter().map(deleted).collect(),
            "save" => report.snapshots.iter().map(saved).collect(),
            _ => report.snapshots.iter().map(verdict).collect(),
        },
    }
}

/// JSON, with its newline.
pub fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).map(|t| t + "\n").unwrap_or_default()
}

fn list(rows: &[Row]) -> String {
    let head = ["Name", "Location", "Size", "Created", "Node", "Revision", "State", "Token"];
    let mut all = vec![head.map(str::to_owned).to_vec()];
    let or_dash = |s: Option<String>| s.unwrap_or_else(|| "-".to_owned());
    all.extend(rows.iter().map(|r| {
        vec![
            printable(&r.name),
            printable(&r.location),
            r.size.to_string(),
            r.created.clone(),
            or_dash(r.node.clone()),
            or_dash(r.revision.map(|n| n.to_string())),
            r.state.as_str().to_owned(),
            or_dash(r.token.map(str::to_owned)),
        ]
    }));
    table(&all)
}

/// The plan of a restore, or of a clean-up, before anything is done.
pub fn plan(report: &Report) -> String {
    let mut out = report.snapshots.first().zip(report.restore.as_ref()).map_or_else(String::new, subject);
    out += &report.restore.as_ref().map_or_else(String::new, without_snapshot);
    if let Some(restore) = &report.restore {
        for (i, step) in restore.steps.iter().enumerate() {
            let skipped = if step.state == "skipped" { " (skipped)" } else { "" };
            let undo = if step.undo == "none" { String::new() } else { format!("; undone: {}", step.undo) };
            let _ = writeln!(out, "  {}. {}{skipped}{undo}", i + 1, step.description);
        }
        out += &runbook::text(&restore.runbook, "before");
        out += &runbook::text(&restore.runbook, "after");
    }
    out + &old(report)
}

fn subject((row, restore): (&Row, &Restore)) -> String {
    let lost = match restore.lost_revisions {
        Some(n) if n > 0 => format!("; {n} revisions since then are given up"),
        Some(_) => String::new(),
        None => "; what is live now could not be asked".to_owned(),
    };
    let mut out = format!(
        "Restore {} of {} (revision {}, {} entries, {} old){lost}.\n{} in {} is {}. Token: {}.\n",
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

/// What a deed is that restores no snapshot.
fn without_snapshot(restore: &Restore) -> String {
    let what = match (restore.operation, &restore.server) {
        ("reset-only", _) => {
            "Make the cluster one of this server alone, with the data that it has".to_owned()
        }
        ("rejoin", Some(url)) => format!("Join {} again, with an empty database", printable(url)),
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

fn restored(report: &Report) -> String {
    let Some(restore) = report.restore.as_ref().filter(|_| report.old_databases.is_empty()) else {
        return old(report);
    };
    if restore.steps.iter().all(|s| matches!(s.state, "planned" | "skipped")) {
        return if report.error.is_some() { String::new() } else { plan(report) };
    }
    let mut out = String::new();
    for step in &restore.steps {
        let time = step.ms.map(|ms| format!(" ({}.{:03} s)", ms / 1000, ms % 1000)).unwrap_or_default();
        let _ = writeln!(out, "{:8} {}{time}", step.state, step.description);
    }
    for (what, path) in [
        ("what was live is kept as", &restore.old_database),
        ("what was given up is kept as", &restore.failed_database),
        ("what was live was saved as", &restore.safety_snapshot),
    ] {
        let _ = path.as_ref().map(|p| writeln!(out, "{what} {}", printable(p)));
    }
    if let (Some(all), Some(own)) = (restore.downtime_ms, restore.own_ms) {
        let _ = writeln!(out, "K3s was down for {all} ms, {own} ms of that by this program.");
    }
    if let Some(row) = report.snapshots.first().filter(|_| report.error.is_none()) {
        let _ = writeln!(out, "Snapshot {} restored: K3s is ready.", printable(&row.name));
    }
    if report.error.is_none() {
        out += match restore.operation {
            "reset-only" => "The cluster is this server alone: K3s is ready.\n",
            "rejoin" => "This server has joined again: K3s is ready.\n",
            _ => "",
        };
    }
    if restore.is_restored() {
        out += &runbook::text(&restore.runbook, "after");
    }
    out
}

fn old(report: &Report) -> String {
    report
        .old_databases
        .iter()
        .map(|o| {
            let how = match o.deleted {
                Some(true) => "removed",
                Some(false) => "not removed",
                None => o.action,
            };
            format!("{how:11} {:>12} {}\n", o.bytes, printable(&o.path))
        })
        .collect()
}

fn pruned(rows: &[Row]) -> String {
    let head = ["Name", "Place", "State", "Verdict", "Reasons"];
    let mut all = vec![head.map(str::to_owned).to_vec()];
    all.extend(rows.iter().map(|r| {
        let place = if r.location.starts_with("s3:") { "s3" } else { "local" };
        let verdict = match (r.action, r.deleted) {
            (_, Some(true)) => "removed",
            (_, Some(false)) => "not removed",
            (verdict, None) => verdict.unwrap_or("-"),
        };
        let (state, reasons) = (r.state.as_str().to_owned(), r.reasons.join(", "));
        vec![printable(&r.name), place.to_owned(), state, verdict.to_owned(), reasons]
    }));
    table(&all)
}

fn deleted(row: &Row) -> String {
    let how = match (row.action, row.deleted) {
        (_, Some(true)) => "deleted".to_owned(),
        (_, Some(false)) => "could not be deleted".to_owned(),
        (Some("remove"), None) => "to be deleted".to_owned(),
        (_, None) => row.reasons.join(", "),
    };
    let what = if row.location.starts_with("s3:") { &row.location } else { &row.name };
    format!("{}: {how}\n", printable(what))
}

fn check(check: &Check) -> String {
    let word = if check.ok { "ok    " } else { "FAILED" };
    let hint = check.hint.as_ref().map(|h| format!("       hint: {}\n", printable(h))).unwrap_or_default();
    format!("{word} {}: {}\n{hint}", check.name, printable(&check.detail))
}

fn saved(row: &Row) -> String {
    let how = if row.state == State::Verified { "saved and proven" } else { "saved, not proven" };
    format!(
        "Snapshot {} {how}: {} bytes, revision {}, {} entries.\n",
        printable(&row.name),
        row.size,
        row.revision.unwrap_or_default(),
        row.key_revisions.unwrap_or_default(),
    )
}

fn verdict(row: &Row) -> String {
    let name = printable(&row.name);
    let mut out = match (row.state, row.revision) {
        (State::Verified, Some(revision)) => {
            format!(
                "{name}: proven (revision {revision}, {} entries)\n",
                row.key_revisions.unwrap_or_default()
            )
        }
        (State::Foreign, _) => format!("{name}: not a snapshot\n"),
        (state, _) => format!("{name}: {}\n", state.as_str()),
    };
    for line in row.findings.iter().chain(&row.notes) {
        let _ = writeln!(out, "  {}", printable(line));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_and_the_last_is_not() {
        let rows = [vec!["Name".into(), "S".into()], vec!["a".into(), "12".into()]];
        assert_eq!(table(&rows), "Name S\na    12\n");
    }
}
