// SPDX-License-Identifier: Apache-2.0
//! The report has three descriptions: the structs, docs/report.schema.json and docs/report-format.md. They are the same.

use std::collections::{BTreeMap, BTreeSet};

use k3s_snapshot::datastore::Datastore;
use k3s_snapshot::error::{Code, Fault};
use k3s_snapshot::model::action::Action;
use k3s_snapshot::model::command::Command;
use k3s_snapshot::model::kit::{KitReport, KitSummary};
use k3s_snapshot::model::rebuild::{FileAction, RebuildFile, RebuildReport};
use k3s_snapshot::model::report::{Check, Report, Row};
use k3s_snapshot::model::restore::{Operation, PriorState};
use k3s_snapshot::model::restore_report::{OldDatabase, Recovered, Restore};
use k3s_snapshot::model::runbook::{Role, Task, When};
use k3s_snapshot::model::snapshot::{Manifest, Snapshot, State};
use k3s_snapshot::model::status::{
    Counts, EtcdStatus, Job, KitStatus, LocationStatus, Newest, PendingUploads, Reason, ReasonCode,
    SqliteStatus, Status, Unknown,
};
use k3s_snapshot::model::warning::WarningCode;
use serde_json::{Value, json};

use crate::documents::{read, same};
use crate::support::schema::{self, REPORT};

pub(crate) const REPORT_FORMAT: &str = "docs/report-format.md";

/// Fields that the restore does not have yet, or has under an older name. This list must become empty.
const PENDING: &[&str] =
    &["Restore: revision_before", "Restore: revision_after", "Runbook: description", "Runbook: does"];

/// The rows of the tables in a document in Markdown, by heading. The first line of a table is not a row.
pub(crate) fn tables(text: &str) -> BTreeMap<&str, Vec<Vec<String>>> {
    let mut found: BTreeMap<&str, Vec<Vec<String>>> = BTreeMap::new();
    let (mut heading, mut in_rows) = ("", false);
    for line in text.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        }
        if line.starts_with("|---") {
            in_rows = true;
        } else if !line.starts_with('|') {
            in_rows = false;
        } else if in_rows {
            let cells = line.trim_matches('|').split(" | ").map(|c| c.trim().to_owned());
            found.entry(heading).or_default().push(cells.collect());
        }
    }
    found
}

/// The fields that the tables of the document describe, as `Heading: field`.
fn described(headings: &[&str]) -> BTreeSet<String> {
    let text = read(REPORT_FORMAT);
    let tables = tables(&text);
    let field = |row: &Vec<String>| row[0].trim_matches('`').to_owned();
    headings.iter().flat_map(|h| tables[h].iter().map(move |row| format!("{h}: {}", field(row)))).collect()
}

fn without_pending(fields: BTreeSet<String>) -> BTreeSet<String> {
    fields.into_iter().filter(|f| !PENDING.contains(&f.as_str())).collect()
}

/// The objects of the schema that have a table of their own, by the name of the definition.
const OBJECTS: &[(&str, &str)] = &[
    ("row", "Rows"),
    ("check", "Checks"),
    ("restore", "Restore"),
    ("task", "Runbook"),
    ("step", "Steps"),
    ("kit", "Recovery kit"),
    ("rebuild", "Rebuild"),
    ("old_database", "Old databases"),
    ("status", "Status"),
    ("location_status", "Locations"),
    ("job", "Jobs"),
];

/// The fields of an object of the schema. Fields of an object in it, which has no table, follow behind a dot.
fn fields_of(heading: &str, object: &'static Value, all: &mut BTreeSet<String>) {
    let strict = object["additionalProperties"] == false && object["type"] == "object";
    assert!(strict, "{heading}: additionalProperties is not false");
    for (name, rule) in object["properties"].as_object().unwrap() {
        match nested(rule) {
            Some(inner) => fields_of_nested(&format!("{heading}: {name}"), inner, all),
            None => drop(all.insert(format!("{heading}: {name}"))),
        }
    }
}

fn fields_of_nested(prefix: &str, object: &Value, all: &mut BTreeSet<String>) {
    assert_eq!(object["additionalProperties"], false, "{prefix}");
    all.extend(object["properties"].as_object().unwrap().keys().map(|name| format!("{prefix}.{name}")));
}

/// The object that a rule allows, directly or by a reference, unless it has a table of its own.
fn nested(rule: &'static Value) -> Option<&'static Value> {
    let rule = rule["anyOf"].as_array().and_then(|options| options.first()).unwrap_or(rule);
    let has_table = |name: &str| OBJECTS.iter().any(|(object, _)| name.ends_with(&format!("/{object}")));
    let rule = match &rule["$ref"] {
        Value::String(name) if has_table(name) => return None,
        Value::String(_) => schema::resolve(&REPORT, &rule["$ref"]),
        _ => rule,
    };
    rule["properties"].is_object().then_some(rule)
}

fn fields_of_the_schema() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    fields_of("Report", &REPORT, &mut all);
    for (name, heading) in OBJECTS {
        fields_of(heading, &REPORT["$defs"][name], &mut all);
    }
    all
}

/// Objects in a list are validated like all others.
#[test]
fn every_object_of_the_schema_allows_no_unknown_field() {
    fn walk(rule: &Value) {
        if rule.get("properties").is_some_and(|p| !p["properties"].is_object()) {
            assert_eq!(rule.get("additionalProperties"), Some(&Value::Bool(false)), "{rule}");
        }
        match rule {
            Value::Object(object) => object.values().for_each(walk),
            Value::Array(list) => list.iter().for_each(walk),
            _ => {}
        }
    }
    walk(&REPORT);
}

#[test]
fn every_field_of_the_schema_is_described() {
    let headings: Vec<&str> = std::iter::once("Report").chain(OBJECTS.iter().map(|(_, h)| *h)).collect();
    same(REPORT_FORMAT, without_pending(described(&headings)), without_pending(fields_of_the_schema()));
}

fn manifest(freshness: Value, upload: Value) -> Manifest {
    let sha = "00".repeat(32);
    serde_json::from_value(json!({
        "version": 1, "name": "n", "directory": "d", "stored_sha256": sha, "expected_sha256": sha,
        "plain_sha256": sha, "plain_size": 1,
        "file": {"dev": 1, "ino": 1, "size": 1, "mtime_ns": 1, "ctime_ns": 1},
        "revision": 1, "key_revisions": 1, "checked_at": 1, "token_hash": ["ba1d715a4f9b"],
        "freshness": freshness, "upload": upload, "k3s_version": "v1.36.1+k3s1", "etcd_storage_version": "3.6.0",
        "authentication": {"version": 1, "key_id": "a3a63462c2338025", "hmac": sha},
        "findings": [{"check": "trailer", "message": "m"}],
    }))
    .unwrap()
}

fn manifests() -> [Manifest; 3] {
    [
        manifest(
            json!({"state": "current", "cluster_revision": 1}),
            json!({"state": "pending", "reason": "r", "at": 1}),
        ),
        manifest(
            json!({"state": "behind", "cluster_revision": 1}),
            json!({"state": "uploaded", "location": "l", "at": 1}),
        ),
        manifest(json!({"state": "unknown", "reason": "r"}), json!({"state": "pending"})),
    ]
}

/// A report with every field that a report can have, apart from `skipped`.
fn full_report() -> Report {
    let mut report = Report::new(Command::Save, 0);
    report.step = Some("saving".into());
    report.fail(&Fault::new(Code::Locked, "locked").hint("Wait.").into());
    report.warn(WarningCode::NoLeader, "no leader");
    for manifest in manifests() {
        let snapshot = Snapshot {
            file: "manual-n-1".into(),
            name: None,
            location: "file:///s/manual-n-1".into(),
            size: 1,
            created_at: 1,
            state: State::Verified,
            manifest: Some(manifest),
            key_revisions: None,
            cluster_id: None,
        };
        report.snapshots.push(Row::from_snapshot(&snapshot, None));
    }
    report.checks =
        vec![Check { name: "list", ok: false, detail: "denied".into(), hint: Some("Allow it.".into()) }];
    let mut restore = Restore::new(
        Operation::Restore,
        Datastore::Etcd,
        "k3s.service",
        "/var/lib/rancher/k3s".into(),
        PriorState::Running,
    );
    restore.runbook = vec![Task {
        when: When::Before,
        machine: "server-2".into(),
        addresses: vec!["10.0.0.2".into()],
        role: Role::ControlPlane,
        description: "stop K3s".into(),
        commands: vec!["systemctl stop k3s".into()],
        manual: vec![],
        here: false,
    }];
    restore.refusals = vec!["a reason".into()];
    restore.recovered = Some(Recovered::Kept);
    report.restore = Some(restore);
    report.old_databases =
        vec![OldDatabase { path: "/db".into(), bytes: 1, action: Action::Keep, deleted: Some(false) }];
    let text = || Some("text".to_owned());
    report.rebuild = Some(RebuildReport {
        snapshot: text(),
        files: vec![RebuildFile { path: "/etc/rancher/k3s/config.yaml".into(), action: FileAction::Create }],
        ..RebuildReport::default()
    });
    report.kit = Some(KitReport {
        name: text(),
        public_key: text(),
        config_file: text(),
        identity_file: text(),
        snapshot: text(),
        recorded: Some(true),
        content: Some(KitSummary {
            distribution: "k3s".into(),
            cluster_id: None,
            node: "server-1".into(),
            addresses: vec![],
            k3s_version: None,
            etcd_version: None,
            token_hash: "ba1d715a4f9b".into(),
            has_agent_token: false,
            data_dir: "/var/lib/rancher/k3s".into(),
            files: vec![],
            flags: vec![],
            variables: vec![],
            manifests: vec![],
            not_included: vec![],
        }),
    });
    report.status = Some(full_status());
    report
}

/// A status with every field that a status can have.
fn full_status() -> Status {
    let newest = Newest {
        name: "timer-n-1".into(),
        created: "1970-01-01T00:00:01Z".into(),
        created_at: 1,
        age_s: 1,
        size: 1,
        revision: Some(1),
        behind: Some(0),
    };
    let location = || {
        Some(LocationStatus { newest: Some(newest.clone()), counts: Some(Counts::default()), keeps: vec![] })
    };
    let pending = PendingUploads {
        count: 1,
        oldest: Some("1970-01-01T00:00:01Z".into()),
        oldest_at: Some(1),
        reason: Some("denied".into()),
    };
    Status {
        reasons: vec![Reason { code: ReasonCode::NotVisible, message: "denied".into() }],
        unknown: vec![Unknown { fact: "jobs", reason: "denied".into() }],
        local: location(),
        s3: location(),
        pending_uploads: Some(pending),
        etcd: Some(EtcdStatus::default()),
        sqlite: Some(SqliteStatus::default()),
        free_bytes: Some(1),
        kit: Some(KitStatus {
            name: Some("kit".into()),
            sealed_at: Some("1970-01-01T00:00:01Z".into()),
            verified_at: None,
        }),
        jobs: vec![Job { unit: "k3s-snapshot-save.service".into(), finished_at: Some(1), ..Job::default() }],
        interrupted_restore: Some("swapping".into()),
        k3s_schedule: Some("0 */12 * * *".into()),
    }
}

/// The fields of a value of the program, as the schema groups them.
fn collect(heading: &str, prefix: &str, value: &Value, all: &mut BTreeSet<String>) {
    for (name, field) in value.as_object().unwrap() {
        let table = match (heading, name.as_str()) {
            ("Report", "snapshots") => Some("Rows"),
            ("Report", "checks") => Some("Checks"),
            ("Report", "restore") => Some("Restore"),
            ("Report", "old_databases") => Some("Old databases"),
            ("Restore", "runbook") => Some("Runbook"),
            ("Restore", "steps") => Some("Steps"),
            ("Report", "kit") => Some("Recovery kit"),
            ("Report", "rebuild") => Some("Rebuild"),
            ("Report", "status") => Some("Status"),
            ("Status", "local" | "s3") => Some("Locations"),
            ("Status", "jobs") => Some("Jobs"),
            _ => None,
        };
        match (table, field) {
            (Some(table), Value::Array(list)) => {
                assert!(!list.is_empty(), "the example has no {name}");
                list.iter().for_each(|item| collect(table, "", item, all));
            }
            (Some(table), object) => collect(table, "", object, all),
            (None, Value::Object(_)) => collect(heading, &format!("{name}."), field, all),
            (None, _) => {}
        }
        if !field.is_object() || table.is_some() {
            all.insert(format!("{heading}: {prefix}{name}"));
        }
    }
}

#[test]
fn every_field_of_the_structs_is_in_the_schema() {
    let report = serde_json::to_value(full_report()).unwrap();
    let errors = schema::errors(&REPORT, &report);
    assert!(errors.is_empty(), "docs/report.schema.json: {errors:#?}");
    let mut program = BTreeSet::new();
    collect("Report", "", &report, &mut program);
    // An outcome is an error or it is skipped, never both.
    program.insert("Report: skipped".into());
    same("docs/report.schema.json", fields_of_the_schema(), program);
}

#[test]
fn every_field_of_the_manifest_is_described() {
    let mut program = BTreeSet::new();
    for manifest in manifests() {
        collect("Manifest", "", &serde_json::to_value(manifest).unwrap(), &mut program);
    }
    same(REPORT_FORMAT, described(&["Manifest"]), program);
}

#[test]
fn every_error_code_is_described_with_its_exit_code_and_meaning() {
    let text = read(REPORT_FORMAT);
    let rows = tables(&text)["Error codes"].clone();
    let row = |code: &Code| {
        [format!("`{}`", code.as_str()), code.kind().exit_code().to_string(), code.meaning().to_owned()]
            .to_vec()
    };
    same(REPORT_FORMAT, rows.into_iter().collect(), Code::ALL.iter().map(row).collect());
}

#[test]
fn every_warning_code_is_described_with_its_meaning() {
    let text = read(REPORT_FORMAT);
    let rows = tables(&text)["Warning codes"].clone();
    let row = |code: &WarningCode| [format!("`{}`", code.as_str()), code.meaning().to_owned()].to_vec();
    same(REPORT_FORMAT, rows.into_iter().collect(), WarningCode::ALL.iter().map(row).collect());
}

#[test]
fn every_reason_of_a_status_is_described_with_its_meaning() {
    let text = read(REPORT_FORMAT);
    let rows = tables(&text)["Reasons to act"].clone();
    let row = |code: &ReasonCode| [format!("`{}`", code.as_str()), code.meaning().to_owned()].to_vec();
    same(REPORT_FORMAT, rows.into_iter().collect(), ReasonCode::ALL.iter().map(row).collect());
}

/// Words in the first column of a troubleshooting table that look like codes.
#[test]
fn codes_in_the_troubleshooting_document_exist() {
    let text = read("docs/troubleshooting.md");
    let known: BTreeSet<&str> =
        Code::ALL.iter().map(|c| c.as_str()).chain(WarningCode::ALL.iter().map(|w| w.as_str())).collect();
    let mut seen = 0;
    for row in tables(&text).values().flatten() {
        for word in row[0].split('`').skip(1).step_by(2) {
            let is_code =
                word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '3');
            if is_code && !word.starts_with("k3s-snapshot") {
                assert!(known.contains(word), "docs/troubleshooting.md names {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} codes were found");
}

#[test]
fn the_validator_refuses_what_contradicts_the_schema() {
    let good = serde_json::to_value(full_report()).unwrap();
    assert_eq!(schema::errors(&REPORT, &good), [""; 0]);
    let cases: [(&str, Value); 8] = [
        ("/version", json!(2)),
        ("/command", json!("explode")),
        ("/started_at", json!("yesterday")),
        ("/duration_ms", json!(-1)),
        ("/error/code", json!("Locked")),
        ("/snapshots/0/state", json!("valid")),
        ("/snapshots/0/size", json!("1")),
        ("/snapshots/0/sha256", json!("00")),
    ];
    for (at, value) in cases {
        let mut report = good.clone();
        *report.pointer_mut(at).unwrap() = value;
        assert_eq!(schema::errors(&REPORT, &report).len(), 1, "{at}");
    }
    let mut report = good.clone();
    report["snapshots"][0]["entries"] = json!(1);
    report.as_object_mut().unwrap().remove("warnings");
    assert_eq!(schema::errors(&REPORT, &report).len(), 2, "an unknown field, and a missing one");
}
