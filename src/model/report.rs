// SPDX-License-Identifier: Apache-2.0
//! The result of one run: the one interface outwards. The output layer prints it; the exit code follows from it.
//!
//! `"version": 1`; fields are only added. docs/report-format.md describes every field.

use serde::Serialize;

use super::action::Action;
use super::authenticity::Authenticity;
use super::command::{Command, Outcome};
use super::kit::KitReport;
use super::rebuild::RebuildReport;
use super::restore_report::{OldDatabase, Restore};
use super::retention::Decision;
use super::snapshot::{ALARM_CORRUPT, ALARM_NOSPACE, FindingRecord, Freshness, Snapshot, State};
use super::status::Status;
pub use super::time::rfc3339;
use super::warning::{Warning, WarningCode};
use crate::error;

/// The result of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this format: 1.
    pub version: u32,
    /// The command.
    pub command: Command,
    /// `done`, `skipped`, or the kind of the error.
    pub outcome: Outcome,
    /// The exit code of the process.
    pub exit_code: u8,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// The error that ended the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// The step at which the error occurred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why there was nothing to do; the outcome is then `skipped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Warnings for the operator.
    pub warnings: Vec<Warning>,
    /// The snapshots of the run.
    pub snapshots: Vec<Row>,
    /// The checks of the bucket, in order; only of `check-s3`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What is rebuilt, and with which files; only of `rebuild`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<RebuildReport>,
    /// The restore; only of `restore` and `rebuild`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// The databases that restores have left; only of `restore --prune-old-databases`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub old_databases: Vec<OldDatabase>,
    /// The recovery kit; only of `kit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kit: Option<KitReport>,
    /// The state of the backups; only of `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// One check of the bucket.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// A stable word.
    pub name: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The error that ended a run.
#[derive(Debug, Serialize)]
pub struct ErrorReport {
    /// The kind, a stable word; the exit code follows from it.
    pub kind: &'static str,
    /// The code, a stable word.
    pub code: &'static str,
    /// The whole chain of causes in one sentence.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One snapshot in a report or a list.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// File name.
    pub name: String,
    /// `file:///...` or `s3://...`
    pub location: String,
    /// Bytes as stored.
    pub size: u64,
    /// RFC 3339, UTC.
    pub created: String,
    /// The node that saved it, if that is known.
    pub node: Option<String>,
    /// The revision of etcd, if it was read.
    pub revision: Option<i64>,
    /// Records of etcd's bucket `key`.
    pub key_revisions: Option<u64>,
    /// What is known of it.
    pub state: State,
    /// Whether it needs the token that this server has; `None` if that is not known.
    pub token_matches: Option<bool>,
    /// First 12 hex digits of the SHA-256 of the token that it needs.
    pub token_hash: Vec<String>,
    /// UID of the namespace kube-system.
    pub cluster_id: Option<String>,
    /// SHA-256 of the file as stored.
    pub sha256: Option<String>,
    /// Whether a holder of the server token saved it; `None` if that was not checked.
    pub authenticity: Option<Authenticity>,
    /// When every byte was last read and checked, RFC 3339.
    pub checked_at: Option<String>,
    /// Whether it was up to date, if this tool saved it.
    pub freshness: Option<Freshness>,
    /// How it was captured, if this tool saved it: `clone`, `copy`, `stream` or `offline`.
    pub method: Option<String>,
    /// Why the preferred method was not used.
    pub method_reason: Option<String>,
    /// Of an offline save: how many entries of the write-ahead log the snapshot does not have.
    pub missing_entries: Option<u64>,
    /// The recovery kit that a restore on a new machine needs, if one was sealed.
    pub kit: Option<String>,
    /// Alarms of etcd at the time of the save.
    pub alarms: Vec<String>,
    /// What verification found wrong.
    pub findings: Vec<FindingRecord>,
    /// Notes for people.
    pub notes: Vec<String>,
    /// What prune and delete do with it; `None` if it was not selected.
    pub action: Option<Action>,
    /// Why.
    pub reasons: Vec<String>,
    /// Whether it was deleted; `None` if that was not planned, and in a dry run.
    pub deleted: Option<bool>,
}

impl Row {
    /// The row of a snapshot. `token` is the hash of the token of this server, if it is known.
    pub fn from_snapshot(s: &Snapshot, token: Option<&str>) -> Row {
        let m = s.manifest.as_ref();
        let needs = m.map(|m| m.token_hash.clone()).unwrap_or_default();
        Row {
            name: s.file.clone(),
            location: s.location.clone(),
            size: s.size,
            created: rfc3339(s.created_at),
            node: m.and_then(|m| m.node.clone()),
            // Of a corrupt snapshot perhaps nothing could be read.
            revision: m.filter(|m| m.findings.is_empty() || m.revision > 0).map(|m| m.revision),
            key_revisions: s.key_revisions(),
            state: s.state,
            token_matches: token.filter(|_| !needs.is_empty()).map(|t| needs.iter().any(|n| n == t)),
            token_hash: needs,
            cluster_id: m.and_then(|m| m.cluster_id.clone()),
            sha256: m.map(|m| m.stored_sha256.to_string()),
            authenticity: None,
            checked_at: m.map(|m| rfc3339(m.checked_at)),
            freshness: m.and_then(|m| m.freshness.clone()),
            method: m.and_then(|m| m.method.clone()),
            method_reason: m.and_then(|m| m.method_reason.clone()),
            missing_entries: m.and_then(|m| m.missing_entries),
            kit: m.and_then(|m| m.kit.clone()),
            alarms: m.map(|m| m.alarms.clone()).unwrap_or_default(),
            findings: m.map(|m| m.findings.clone()).unwrap_or_default(),
            notes: match s.state {
                State::Verified if m.is_some_and(|m| m.alarms.iter().any(|alarm| alarm == ALARM_NOSPACE)) => {
                    vec!["saved while etcd raised the NOSPACE alarm: its database was full".to_owned()]
                }
                State::Incomplete => vec!["left by an interrupted save, or still being written".to_owned()],
                State::Unverified
                    if m.is_some_and(|m| m.alarms.iter().any(|alarm| alarm == ALARM_CORRUPT)) =>
                {
                    vec!["saved while etcd raised the CORRUPT alarm, so it is never verified".to_owned()]
                }
                _ => vec![],
            },
            action: None,
            reasons: vec![],
            deleted: None,
        }
    }

    /// The row of a snapshot with the decision of the retention policy.
    pub fn from_decision(s: &Snapshot, decision: &Decision, token: Option<&str>) -> Row {
        let action = match decision {
            Decision::Keep(_) => Some(Action::Keep),
            Decision::Remove(_) => Some(Action::Remove),
            Decision::Unmatched(_) => None,
        };
        Row { action, reasons: decision.reasons(), ..Row::from_snapshot(s, token) }
    }

    /// The same row with the result of the check of its authenticity. A note tells why it is not known to be authentic, if
    /// other people can write where it is stored.
    pub fn with_authenticity(mut self, authenticity: Option<Authenticity>) -> Row {
        self.authenticity = authenticity;
        let is_noted = self.is_remote() && self.state != State::Corrupt;
        self.notes
            .extend(authenticity.filter(|_| is_noted).and_then(Authenticity::problem).map(str::to_owned));
        self
    }

    /// Whether it is stored in a bucket.
    pub fn is_remote(&self) -> bool {
        self.location.starts_with("s3:")
    }
}

impl Report {
    /// An empty report of a run that began at `started_at` (seconds since the epoch).
    pub fn new(command: Command, started_at: u64) -> Report {
        Report {
            version: 1,
            command,
            outcome: Outcome::Done,
            exit_code: 0,
            started_at: rfc3339(started_at),
            duration_ms: 0,
            error: None,
            step: None,
            skipped: None,
            warnings: Vec::new(),
            snapshots: Vec::new(),
            checks: Vec::new(),
            rebuild: None,
            restore: None,
            old_databases: Vec::new(),
            kit: None,
            status: None,
        }
    }

    /// Adds a warning, and logs it at once.
    pub fn warn(&mut self, code: WarningCode, message: impl Into<String>) {
        let message = message.into();
        log::warn!("{message}");
        self.warnings.push(Warning { code, message });
    }

    /// Ends the run as skipped: there is nothing to do on this machine.
    pub fn skip(&mut self, reason: impl Into<String>) {
        self.outcome = Outcome::Skipped;
        self.skipped = Some(reason.into());
    }

    /// Ends the run with an error. The first error wins; a later one is only logged.
    pub fn fail(&mut self, error: &anyhow::Error) {
        if self.error.is_some() {
            log::error!("{error:#}");
            return;
        }
        let kind = error::kind_of(error);
        self.outcome = Outcome::Failed(kind);
        self.exit_code = self.outcome.exit_code();
        self.error = Some(ErrorReport {
            kind: kind.as_str(),
            code: error::code_of(error).as_str(),
            message: format!("{error:#}"),
            hint: error::hint_of(error).map(str::to_owned),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Fault};

    #[test]
    fn times_are_printed_as_k3s_prints_them() {
        assert_eq!(rfc3339(1795335110), "2026-11-22T08:11:50Z");
        assert_eq!(rfc3339(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn the_first_error_wins() {
        let mut r = Report::new(Command::Save, 0);
        r.fail(&Fault::new(Code::Locked, "locked").hint("wait").into());
        r.fail(&anyhow::anyhow!("cleaning up"));
        assert_eq!((r.exit_code, r.outcome.as_str()), (75, "busy"));
        let error = r.error.unwrap();
        assert_eq!((error.kind, error.code, error.hint.as_deref()), ("busy", "locked", Some("wait")));
    }
}
