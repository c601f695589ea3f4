// SPDX-License-Identifier: Apache-2.0
//! What the journal records at the end of a run: one event with a fixed id, and the facts of the report as fields.
//!
//! A new outcome gets a row in [`IDS`], a text in systemd/k3s-snapshot.catalog and a line in k3s-snapshot(7).

use super::command::{Command, Outcome};
use super::report::{Report, Row};
use super::snapshot::State;
use crate::error::Kind;

/// Outcome and message id. An id never changes, and is never given to anything else.
pub const IDS: &[(&str, &str)] = &[
    ("done", "b95f9c7e40df401d8b67179ee9d0cdec"),
    ("skipped", "570ee2646996447faf611051050450e0"),
    ("failed", "59f66cf909f34b3396b3da08ac04f8fb"),
    ("usage", "bf39806ca3994933a7fb881528f82667"),
    ("degraded", "6912e4b7a91e4ab99ee76dd59396e20d"),
    ("not-found", "e5194c8799a24e0cab178156fe97ab44"),
    ("rolled-back", "a2e5ee48473f4184ba6829009688277e"),
    ("not-ready", "48e5cc014fa543ef98e67ed45b8fc794"),
    ("rollback-failed", "19e685c43cb64d269dd75b36f5dd2525"),
    ("corrupt", "b412cbe7a60d433a98d67d4fff00b505"),
    ("busy", "101d7b574f5746cd8c2a42a1cb7baaa0"),
    ("refused", "da04e0cf39554f4dbf4ed36b40aa068b"),
    ("config", "a615c01eb4fc48b693c5b23e013ef4fe"),
];

/// Every field that an event may have in addition to the fields of the journal itself.
pub const FIELDS: &[&str] = &[
    "K3S_SNAPSHOT_COMMAND",
    "K3S_SNAPSHOT_OUTCOME",
    "K3S_SNAPSHOT_EXIT_CODE",
    "K3S_SNAPSHOT_ERROR_CODE",
    "K3S_SNAPSHOT_DURATION_MS",
    "K3S_SNAPSHOT_STEP",
    "K3S_SNAPSHOT_HINT",
    "K3S_SNAPSHOT_SNAPSHOT",
    "K3S_SNAPSHOT_LOCATION",
    "K3S_SNAPSHOT_BYTES",
    "K3S_SNAPSHOT_REVISION",
    "K3S_SNAPSHOT_NODE",
    "K3S_SNAPSHOT_CLUSTER_ID",
];

/// At most this many snapshots are named in one event; the report has all of them.
const MAX_NAMED: usize = 50;

/// One entry of the journal.
#[derive(Debug)]
pub struct Event {
    /// The message id.
    pub id: &'static str,
    /// As syslog counts: 3 an error, 4 a warning, 6 information.
    pub priority: u8,
    /// The sentence.
    pub text: String,
    /// Names out of [`FIELDS`]; a name may occur more than once.
    pub fields: Vec<(&'static str, String)>,
}

impl Event {
    /// The event of a finished run.
    pub fn from_report(report: &Report) -> Event {
        let rows: Vec<&Row> = report.snapshots.iter().filter(|r| is_affected(report.command, r)).collect();
        let mut fields = vec![
            ("K3S_SNAPSHOT_COMMAND", report.command.as_str().to_owned()),
            ("K3S_SNAPSHOT_OUTCOME", report.outcome.as_str().to_owned()),
            ("K3S_SNAPSHOT_EXIT_CODE", report.exit_code.to_string()),
            ("K3S_SNAPSHOT_DURATION_MS", report.duration_ms.to_string()),
        ];
        fields.extend(report.step.iter().map(|step| ("K3S_SNAPSHOT_STEP", step.clone())));
        if let Some(error) = &report.error {
            fields.push(("K3S_SNAPSHOT_ERROR_CODE", error.code.to_owned()));
            fields.extend(error.hint.iter().map(|hint| ("K3S_SNAPSHOT_HINT", hint.clone())));
        }
        for row in rows.iter().take(MAX_NAMED) {
            let values = [
                ("K3S_SNAPSHOT_SNAPSHOT", Some(row.name.clone())),
                ("K3S_SNAPSHOT_LOCATION", Some(row.location.clone())),
                ("K3S_SNAPSHOT_BYTES", Some(row.size.to_string())),
                ("K3S_SNAPSHOT_REVISION", row.revision.map(|r| r.to_string())),
                ("K3S_SNAPSHOT_NODE", row.node.clone()),
                ("K3S_SNAPSHOT_CLUSTER_ID", row.cluster_id.clone()),
            ];
            for (name, value) in values.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                // A snapshot in two locations is one snapshot.
                if !fields.iter().any(|(n, v)| *n == name && *v == value) {
                    fields.push((name, value));
                }
            }
        }
        let (priority, text) = match (&report.error, &report.skipped) {
            (Some(error), _) => {
                let degraded = report.outcome == Outcome::Failed(Kind::Degraded);
                (if degraded { 4 } else { 3 }, format!("error: {}", error.message))
            }
            (None, Some(reason)) => (6, format!("skipped: {reason}")),
            (None, None) => (6, success_text(report, &rows)),
        };
        let id = IDS.iter().find(|(outcome, _)| *outcome == report.outcome.as_str()).map_or("", |(_, id)| id);
        Event { id, priority, text, fields }
    }
}

/// Whether the run made, deleted or found corrupt this snapshot.
fn is_affected(command: Command, row: &Row) -> bool {
    match command {
        Command::List | Command::CheckS3 | Command::Kit | Command::Status => false,
        Command::Prune | Command::Delete => row.deleted.is_some(),
        Command::Verify => row.state == State::Corrupt,
        Command::Save | Command::Restore | Command::Rebuild | Command::Fetch => true,
    }
}

fn success_text(report: &Report, rows: &[&Row]) -> String {
    let time = match report.duration_ms {
        ms @ 0..1000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    };
    let mut names: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
    names.dedup();
    let command = report.command.as_str();
    match names[..] {
        [name] => format!("{command} done in {time}: {name}"),
        _ => format!("{command} done in {time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Fault};
    use crate::model::snapshot::Snapshot;

    fn row(name: &str, place: &str) -> Row {
        let snapshot = Snapshot {
            file: name.into(),
            name: None,
            location: place.into(),
            size: 544,
            created_at: 1,
            state: State::Verified,
            key_revisions: None,
            cluster_id: None,
            manifest: None,
        };
        Row::from_snapshot(&snapshot, None)
    }

    fn values<'a>(event: &'a Event, field: &str) -> Vec<&'a str> {
        event.fields.iter().filter(|(n, _)| *n == field).map(|(_, v)| v.as_str()).collect()
    }

    #[test]
    fn every_outcome_has_an_id_of_its_own() {
        let outcomes: Vec<&str> =
            ["done", "skipped"].into_iter().chain(Kind::ALL.iter().map(|k| k.as_str())).collect();
        assert_eq!(IDS.iter().map(|(outcome, _)| *outcome).collect::<Vec<_>>(), outcomes);
        let mut ids: Vec<&str> = IDS.iter().map(|(_, id)| *id).collect();
        assert!(ids.iter().all(|id| id.len() == 32 && id.chars().all(|c| "0123456789abcdef".contains(c))));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), IDS.len());
    }

    #[test]
    fn a_save_to_two_places_is_one_snapshot() {
        let mut report = Report::new(Command::Save, 0);
        report.duration_ms = 1234;
        report.snapshots = vec![row("s", "file:///s"), row("s", "s3://b/s")];
        let event = Event::from_report(&report);
        assert_eq!((event.priority, event.text.as_str()), (6, "save done in 1.2 s: s"));
        assert_eq!(values(&event, "K3S_SNAPSHOT_SNAPSHOT"), ["s"]);
        assert_eq!(values(&event, "K3S_SNAPSHOT_LOCATION"), ["file:///s", "s3://b/s"]);
        assert_eq!(values(&event, "K3S_SNAPSHOT_BYTES"), ["544"]);
        assert!(event.fields.iter().all(|(name, _)| FIELDS.contains(name)));
    }

    #[test]
    fn a_failure_tells_hint_and_step_and_only_what_was_touched() {
        let mut report = Report::new(Command::Prune, 0);
        report.snapshots =
            vec![row("kept", "file:///kept"), Row { deleted: Some(false), ..row("gone", "file:///gone") }];
        report.step = Some("deleting 1 file".into());
        report.fail(&Fault::new(Code::Locked, "locked").hint("Wait.").into());
        let event = Event::from_report(&report);
        assert_eq!((event.id, event.priority), (IDS[10].1, 3));
        assert_eq!(event.text, "error: locked");
        for (field, value) in [
            ("K3S_SNAPSHOT_HINT", "Wait."),
            ("K3S_SNAPSHOT_STEP", "deleting 1 file"),
            ("K3S_SNAPSHOT_SNAPSHOT", "gone"),
            ("K3S_SNAPSHOT_EXIT_CODE", "75"),
        ] {
            assert_eq!(values(&event, field), [value], "{field}");
        }
        let mut report = Report::new(Command::Save, 0);
        report.skip("an agent");
        let event = Event::from_report(&report);
        assert_eq!((event.id, event.text.as_str()), (IDS[1].1, "skipped: an agent"));
    }
}
