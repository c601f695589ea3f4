// SPDX-License-Identifier: Apache-2.0
//! The text of a restore: the plan before it, and how each step ended after it.

use std::fmt::Write as _;

use super::escape::printable;
use super::rebuild;
use super::runbook;
use crate::model::action::Action;
use crate::model::report::{Report, Row};
use crate::model::restore::{Operation, StepState};
use crate::model::restore_report::{K3sState, Restore};
use crate::model::runbook::When;

/// The plan of a restore, or of a removal of old databases, before anything is done.
pub fn plan(report: &Report) -> String {
    let mut out = report.rebuild.as_ref().map(rebuild::text).unwrap_or_default();
    if let Some(restore) = &report.restore {
        out += &subject(restore, report.snapshots.first());
        for (i, step) in restore.steps.iter().enumerate() {
            let skipped = if step.state == StepState::Skipped { " (skipped)" } else { "" };
            let undo = if step.undo == "none" { String::new() } else { format!("; rollback: {}", step.undo) };
            let _ = writeln!(out, "  {}. {}{skipped}{undo}", i + 1, step.description);
        }
        out += &runbook::text(&restore.runbook, When::Before);
        out += &runbook::text(&restore.runbook, When::After);
        for refusal in &restore.refusals {
            let _ = writeln!(out, "Refused: {}", printable(refusal));
        }
    }
    out + &old_databases(report)
}

/// What is about to be done, and to what.
fn subject(restore: &Restore, row: Option<&Row>) -> String {
    let mut out = match (restore.operation, row) {
        (Operation::Restore, Some(row)) => {
            let lost = match restore.lost_revisions {
                Some(n) if n > 0 => format!("; {n} later revisions are lost"),
                Some(_) => String::new(),
                None => "; the current revision is unknown".to_owned(),
            };
            format!(
                "Restore {} of {} (revision {}, {} key revisions, {}){lost}.\n",
                printable(&row.name),
                row.created,
                row.revision.unwrap_or_default(),
                row.key_revisions.unwrap_or_default(),
                age(restore.age_s),
            )
        }
        (Operation::Restore, None) => String::new(),
        (Operation::ClusterReset, _) => {
            "Reset the cluster to this server only, with its present data.\n".to_owned()
        }
        (Operation::Rejoin, _) => {
            let server = restore.server.as_deref().unwrap_or("the other server");
            format!("Rejoin {} with an empty database.\n", printable(server))
        }
    };
    let _ = writeln!(
        out,
        "{} in {} is {}. Token: {}.",
        printable(&restore.unit),
        printable(&restore.data_dir),
        restore.previous_state.as_str(),
        restore.token.as_str(),
    );
    if !restore.others.is_empty() {
        let _ = writeln!(out, "Other servers of the cluster: {}", printable(&restore.others.join(", ")));
    }
    out
}

fn age(seconds: Option<u64>) -> String {
    let Some(seconds) = seconds else { return "dated in the future".to_owned() };
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (d, ..) if d > 1 => format!("{d} days old"),
        (_, h, _) if h > 1 => format!("{h} hours old"),
        (_, _, m) => format!("{m} minutes old"),
    }
}

/// How a restore ended.
pub(super) fn result(report: &Report) -> String {
    let Some(restore) = report.restore.as_ref().filter(|_| report.old_databases.is_empty()) else {
        return old_databases(report);
    };
    if restore.is_plan() {
        // A run that failed before anything was done has its error; a dry run has its plan, whatever is against it.
        let is_shown = report.error.is_none() || !restore.refusals.is_empty();
        return if is_shown { plan(report) } else { String::new() };
    }
    let mut out = String::new();
    if let Some(recovered) = restore.recovered {
        let _ = writeln!(out, "An interrupted restore was found: {}.", recovered.describe());
    }
    for (what, path) in [
        ("Previous database", &restore.old_database),
        ("Discarded new database", &restore.failed_database),
        ("Snapshot of the previous state", &restore.safety_snapshot),
    ] {
        let _ = path.as_ref().map(|p| writeln!(out, "{what}: {}", printable(p)));
    }
    if let (Some(from), Some(to)) = (restore.revision_before, restore.revision_after) {
        let _ = writeln!(out, "Revisions were raised from {from} to {to}, so that every client lists again.");
    }
    if let (Some(all), Some(own)) = (restore.downtime_ms, restore.own_ms) {
        let _ = writeln!(out, "K3s was down for {all} ms, {own} ms of that by this program.");
    }
    if report.error.is_none() && restore.k3s_state == Some(K3sState::Ready) {
        out += &match (restore.operation, report.snapshots.first()) {
            (Operation::ClusterReset, _) => "The cluster is this server alone: K3s is ready.\n".to_owned(),
            (Operation::Rejoin, _) => "This server has rejoined: K3s is ready.\n".to_owned(),
            (_, Some(row)) => format!("Snapshot {} is restored: K3s is ready.\n", printable(&row.name)),
            _ => "K3s is ready.\n".to_owned(),
        };
    }
    if restore.is_restored() {
        out += &runbook::text(&restore.runbook, When::After);
    }
    out
}

fn old_databases(report: &Report) -> String {
    report
        .old_databases
        .iter()
        .map(|o| {
            let state = match (o.deleted, o.action) {
                (Some(true), _) => "removed",
                (Some(false), _) => "not removed",
                (None, Action::Keep) => "keep",
                (None, Action::Remove) => "remove",
            };
            format!("{state:11} {:>12} {}\n", o.bytes, printable(&o.path))
        })
        .collect()
}
