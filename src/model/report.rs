// SPDX-License-Identifier: Apache-2.0
//! What a run has to say: the one interface outwards. Sinks print it, the exit code follows from it.
//!
//! `"version": 1`; fields are only added.

use serde::Serialize;

use super::restore_report::{OldDatabase, Restore};
use super::snapshot::{Freshness, Snapshot, State};
use crate::error::{self, Kind};

/// The result of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this format: 1.
    pub version: u32,
    /// Which command it was: `save`, `list`, `verify`, `prune`, `delete`, `restore`.
    pub command: &'static str,
    /// `done`, `skipped`, or the kind of failure.
    pub outcome: &'static str,
    /// The exit code of the process.
    pub exit_code: u8,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// The step that a run was at when something went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why there was nothing to do here; the outcome is then `skipped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What an operator should know besides.
    pub warnings: Vec<String>,
    /// The snapshots it is about.
    pub snapshots: Vec<Row>,
    /// What was looked at of the bucket, in order; only by `list --check-s3`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// The restore; only by `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// The databases that restores have left; only by `restore --clean-old`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub old_databases: Vec<OldDatabase>,
}

/// One thing that works or does not.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// A stable word.
    pub name: &'static str,
    /// Whether it works.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Why a run did not come to a good end.
#[derive(Debug, Serialize)]
pub struct ErrorReport {
    /// The kind, a stable word.
    pub kind: &'static str,
    /// The whole chain in one sentence.
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
    /// The node that saved it, where that is known.
    pub node: Option<String>,
    /// etcd's revision, where it was read.
    pub revision: Option<i64>,
    /// Keys of etcd's bucket `key`.
    pub key_revisions: Option<u64>,
    /// What is known of it.
    pub state: State,
    /// `current` or `other`: whether it needs the token that this server has; `None` where that is not known.
    pub token: Option<&'static str>,
    /// First 12 hex digits of the SHA-256 of the token it needs.
    pub token_hash: Vec<String>,
    /// UID of the namespace kube-system.
    pub cluster_id: Option<String>,
    /// SHA-256 of the file as stored.
    pub sha256: Option<String>,
    /// When every byte was last read and checked, RFC 3339.
    pub checked_at: Option<String>,
    /// How far it reaches, where this tool saved it.
    pub freshness: Option<Freshness>,
    /// How it was taken, where this tool saved it: `stream` or `clone`.
    pub method: Option<String>,
    /// Why not by the other method, where that would have been preferred.
    pub method_reason: Option<String>,
    /// etcd's alarms when it was saved.
    pub alarms: Vec<String>,
    /// What is wrong with it.
    pub findings: Vec<String>,
    /// What else should be known of it.
    pub notes: Vec<String>,
    /// What prune and delete make of it: `keep` or `remove`; `None` where it was not asked about.
    pub action: Option<&'static str>,
    /// Why.
    pub reasons: Vec<String>,
    /// Whether it was deleted; `None` where that was not to be, and in a dry run.
    pub deleted: Option<bool>,
}

impl Row {
    /// The row of a snapshot. `token` is the hash of this server's token, where it is known.
    pub fn from_snapshot(s: &Snapshot, token: Option<&str>) -> Row {
        let m = s.manifest.as_ref();
        let needs = m.map(|m| m.token_hash.clone()).unwrap_or_default();
        Row {
            name: s.file.clone(),
            location: s.location.clone(),
            size: s.size,
            created: rfc3339(s.created_at),
            node: m.and_then(|m| m.node.clone()),
            // Of a bad snapshot perhaps nothing could be read.
            revision: m.filter(|m| m.findings.is_empty() || m.revision > 0).map(|m| m.revision),
            key_revisions: s.key_revisions(),
            state: s.state,
            token: token
                .filter(|_| !needs.is_empty())
                .map(|t| if needs.iter().any(|n| n == t) { "current" } else { "other" }),
            token_hash: needs,
            cluster_id: m.and_then(|m| m.cluster_id.clone()),
            sha256: m.map(|m| m.stored_sha256.to_string()),
            checked_at: m.map(|m| rfc3339(m.checked_at)),
            freshness: m.and_then(|m| m.freshness.clone()),
            method: m.and_then(|m| m.method.clone()),
            method_reason: m.and_then(|m| m.method_reason.clone()),
            alarms: m.map(|m| m.alarms.clone()).unwrap_or_default(),
            findings: m.map(|m| m.findings.clone()).unwrap_or_default(),
            notes: match s.state {
                State::Incomplete => {
                    vec!["left by a save that was cut off, or still being written".to_owned()]
                }
                State::Unverified if m.is_some() => {
                    vec!["saved while etcd's CORRUPT alarm was on, so it cannot be called proven".to_owned()]
                }
                _ => vec![],
            },
            action: None,
            reasons: vec![],
            deleted: None,
        }
    }
}

impl Report {
    /// An empty report of a run that began at `started_at` (seconds since the epoch).
    pub fn new(verb: &'static str, started_at: u64) -> Report {
        Report {
            version: 1,
            command: verb,
            outcome: "done",
            exit_code: 0,
            started_at: rfc3339(started_at),
            duration_ms: 0,
            error: None,
            step: None,
            skipped: None,
            warnings: Vec::new(),
            snapshots: Vec::new(),
            checks: Vec::new(),
            restore: None,
            old_databases: Vec::new(),
        }
    }

    /// Notes something the operator should know, and says it at once.
    pub fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        log::warn!("{text}");
        self.warnings.push(text);
    }

    /// Ends the run with nothing done, and rightly so.
    pub fn skip(&mut self, why: impl Into<String>) {
        self.outcome = "skipped";
        self.skipped = Some(why.into());
    }

    /// Ends the run badly. The first error wins; a later one is only logged.
    pub fn fail(&mut self, error: &anyhow::Error) {
        if self.error.is_some() {
            log::error!("{error:#}");
            return;
        }
        let kind: Kind = error::kind_of(error);
        self.outcome = kind.as_str();
        self.exit_code = kind.exit_code();
        self.error = Some(ErrorReport {
            kind: kind.as_str(),
            message: format!("{error:#}"),
            hint: error::hint_of(error).map(str::to_owned),
        });
    }
}

/// Seconds since the epoch as RFC 3339 in UTC, as K3s prints it.
pub fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| seconds.to_string(), |t| t.to_string())
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
        let mut r = Report::new("save", 0);
        r.fail(&Fault::new(Code::Locked, "locked").hint("wait").into());
        r.fail(&anyhow::anyhow!("cleaning up"));
        assert_eq!((r.exit_code, r.outcome), (75, "busy"));
        assert_eq!(r.error.unwrap().hint.as_deref(), Some("wait"));
    }
}
