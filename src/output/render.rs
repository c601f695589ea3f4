// SPDX-License-Identifier: Apache-2.0
//! The result on standard output: text for people, the table of K3s, or JSON and YAML for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::escape::printable;
use super::kit;
use super::plan;
use super::rebuild;
use super::status;
use super::table::table;
use crate::model::action::Action;
use crate::model::command::Command;
use crate::model::report::{Check, Report, Row};
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
///
/// # Errors
/// If standard output cannot be written.
pub fn report(report: &Report, format: Format) -> io::Result<()> {
    text(&render(report, format))
}

/// Prints any text. A reader who closed the pipe has read enough.
///
/// # Errors
/// If standard output cannot be written for another reason.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}

/// JSON, with its newline.
pub fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).map(|t| t + "\n").unwrap_or_default()
}

fn render(report: &Report, format: Format) -> String {
    let rows = &report.snapshots;
    match format {
        Format::Report => json(report),
        Format::Json => json(rows),
        Format::Yaml if rows.is_empty() => "[]\n".to_owned(),
        Format::Yaml => serde_saphyr::to_string(rows).unwrap_or_default(),
        Format::Text if report.skipped.is_some() => String::new(),
        Format::Text => match report.command {
            Command::List if report.error.is_some() && rows.is_empty() => String::new(),
            Command::List => list(rows),
            Command::Prune if rows.is_empty() => String::new(),
            Command::Prune => pruned(rows),
            Command::Restore => plan::result(report),
            Command::Rebuild => rebuilt(report),
            Command::Delete => rows.iter().map(deleted).collect(),
            Command::Save => saved(rows),
            Command::Status => report.status.as_ref().map(status::text).unwrap_or_default(),
            Command::Kit => report.kit.as_ref().map(kit::text).unwrap_or_default(),
            Command::CheckS3 => report.checks.iter().map(check).collect(),
            Command::Verify | Command::Fetch => rows.iter().map(verified).collect(),
        },
    }
}

/// The plan of a rebuild, then how its restore ended.
fn rebuilt(report: &Report) -> String {
    let plan = report.rebuild.as_ref().map(rebuild::text).unwrap_or_default();
    let shown = if report.error.is_none() { plan } else { String::new() };
    shown + &plan::result(report)
}

fn list(rows: &[Row]) -> String {
    let head = ["Name", "Location", "Size", "Created", "Node", "Revision", "State", "Token"];
    let mut all = vec![head.map(str::to_owned).to_vec()];
    let or_dash = |s: Option<String>| s.unwrap_or_else(|| "-".to_owned());
    all.extend(rows.iter().map(|r| {
        let token = r.token_matches.map(|same| if same { "matches" } else { "other" }.to_owned());
        vec![
            printable(&r.name),
            printable(&r.location),
            r.size.to_string(),
            r.created.clone(),
            or_dash(r.node.clone()),
            or_dash(r.revision.map(|n| n.to_string())),
            r.state.as_str().to_owned(),
            or_dash(token),
        ]
    }));
    table(&all)
}

fn pruned(rows: &[Row]) -> String {
    let head = ["Name", "Location", "State", "Action", "Reasons"];
    let mut all = vec![head.map(str::to_owned).to_vec()];
    all.extend(rows.iter().map(|r| {
        let location = if r.is_remote() { "s3" } else { "local" };
        let action = match (r.action, r.deleted) {
            (_, Some(true)) => "removed",
            (_, Some(false)) => "not removed",
            (action, None) => action.map_or("-", Action::as_str),
        };
        let reasons = r.reasons.join(", ");
        vec![printable(&r.name), location.to_owned(), r.state.as_str().to_owned(), action.to_owned(), reasons]
    }));
    table(&all)
}

fn deleted(row: &Row) -> String {
    let result = match (row.action, row.deleted) {
        (_, Some(true)) => "deleted".to_owned(),
        (_, Some(false)) => "not deleted".to_owned(),
        (Some(Action::Remove), None) => "to be deleted".to_owned(),
        (_, None) => row.reasons.join(", "),
    };
    let what = if row.is_remote() { &row.location } else { &row.name };
    format!("{}: {result}\n", printable(what))
}

fn check(check: &Check) -> String {
    let word = if check.ok { "ok    " } else { "FAILED" };
    let hint = check.hint.as_ref().map(|h| format!("       hint: {}\n", printable(h))).unwrap_or_default();
    format!("{word} {}: {}\n{hint}", check.name, printable(&check.detail))
}

/// The new snapshot first, then what was uploaded.
fn saved(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let name = printable(&row.name);
        if row.is_remote() {
            let _ = writeln!(out, "Uploaded to {}", printable(&row.location));
            continue;
        }
        let state = if row.state == State::Verified { "saved and verified" } else { "saved, not verified" };
        let facts = match (row.revision, row.key_revisions) {
            (Some(revision), Some(keys)) => format!(", revision {revision}, {keys} key revisions"),
            _ => String::new(),
        };
        let _ = writeln!(out, "Snapshot {name} {state}: {} bytes{facts}.", row.size);
    }
    out
}

fn verified(row: &Row) -> String {
    let name = printable(&row.name);
    let mut out = match (row.state, row.revision) {
        (State::Verified, Some(revision)) => {
            let keys = row.key_revisions.unwrap_or_default();
            format!("{name}: verified (revision {revision}, {keys} key revisions)\n")
        }
        (State::Foreign, _) => format!("{name}: not a snapshot\n"),
        (state, _) => format!("{name}: {}\n", state.as_str()),
    };
    for finding in &row.findings {
        let _ = writeln!(out, "  {}", printable(&finding.to_string()));
    }
    for note in &row.notes {
        let _ = writeln!(out, "  note: {}", printable(note));
    }
    out
}
