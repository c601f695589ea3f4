// SPDX-License-Identifier: Apache-2.0
//! Metrics, alert rules and the dashboard: what the jobs write is read by promtool, and what the rules and the dashboard
//! ask for is what the jobs write.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use k3s_snapshot::model::metrics::FAMILIES;
use k3s_snapshot::model::warning::WarningCode;
use k3s_snapshot::output::metrics::value;
use serde_json::Value;

use crate::documents::{path, read, same};
use crate::report_format::tables;
use crate::support::cli::Tool;
use crate::support::etcd::Etcd;
use crate::support::host::Host;
use crate::support::k3s_root::Layout;
use crate::support::require::{self, require};

const RULES: &str = "packaging/monitoring/k3s-snapshot.rules.yml";
const DASHBOARD: &str = "packaging/monitoring/grafana-dashboard.json";
const DOCUMENT: &str = "docs/monitoring.md";

fn promtool(args: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{args:?}: {out:?}\n{input}");
    if args == ["check", "metrics"] {
        assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}\n{input}");
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("k3s_snapshot_")).map(str::to_owned).collect()
}

fn known() -> BTreeSet<String> {
    FAMILIES.iter().map(|family| family.name.to_owned()).collect()
}

#[test]
fn every_metric_is_described() {
    let text = read(DOCUMENT);
    let rows = tables(&text)["Metrics"].clone();
    let described = rows.iter().map(|row| row[0].trim_matches('`').to_owned());
    same(DOCUMENT, described.collect(), known());
}

#[test]
fn rules_and_dashboard_ask_only_for_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().flat_map(|p| p["targets"].as_array().unwrap());
    let queries: Vec<String> = targets.map(|t| t["expr"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 8, "{queries:?}");
    for text in queries.iter().chain([&read(RULES), &read(DASHBOARD)]) {
        let unknown: Vec<String> = names(text).difference(&known()).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    require!(require::program("promtool"));
    let rule = |(i, query): (usize, &String)| serde_json::json!({"record": format!("query:{i}"), "expr": query.replace("$instance", ".*")});
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    // JSON is YAML.
    let rules = serde_json::json!({"groups": [{"name": "queries", "rules": rules}]}).to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), rules).unwrap();
    promtool(&["check", "rules", file.path().to_str().unwrap()], "");
}

#[test]
fn each_alert_fires_in_its_case_and_in_no_other() {
    require!(require::program("promtool"));
    let cases = "tests/monitoring/rules.test.yml";
    promtool(&["check", "rules", path(RULES).to_str().unwrap()], "");
    promtool(&["test", "rules", path(cases).to_str().unwrap()], "");
    let (rules, tested, runbook) = (read(RULES), read(cases), read("docs/troubleshooting.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 8);
    for alert in alerts {
        assert!(tested.contains(&format!("alertname=\"{alert}\"")), "no case in which {alert} fires");
        assert!(runbook.contains(&format!("`{alert}`")), "docs/troubleshooting.md lacks {alert}");
    }
}

/// The jobs run as services, and Debian's node_exporter and Prometheus read what they write. Takes half a minute.
#[test]
fn alerts_fire_and_clear_in_a_real_prometheus_and_services_ping_from_their_sandbox() {
    require!(require::program("prometheus"));
    require!(require::program("prometheus-node-exporter"));
    require!(Host::new()).run("monitoring", &[]).succeeded();
}

/// The metrics in a file of the directory; none without the file.
fn metric(dir: &Path, file: &str, name: &str) -> Option<f64> {
    value(&fs::read_to_string(dir.join(file)).ok()?, name)
}

#[test]
fn jobs_write_their_metrics_also_if_they_fail_and_a_failed_one_keeps_the_last_success() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    let dir = tempfile::tempdir().unwrap();
    let run = |etcd: &Etcd, command: &str| {
        Tool::new(command).on(&etcd.root).env("K3S_SNAPSHOT_METRICS_DIR", dir.path())
    };
    let saved = run(&etcd, "save").report().expect(0).row();
    run(&etcd, "prune").arg("--dry-run").report().expect(0);
    assert!(!dir.path().join("k3s_snapshot_prune.prom").exists(), "a dry run is no job");
    run(&etcd, "prune").report().expect(0);
    run(&etcd, "verify").arg("--all").report().expect(0);
    let save = "k3s_snapshot_save.prom";
    let success = metric(dir.path(), save, "k3s_snapshot_last_success_timestamp_seconds").unwrap();
    assert!(success > 1.7e9);
    assert_eq!(
        metric(dir.path(), save, "k3s_snapshot_last_run_written_bytes"),
        saved["size"].as_u64().map(|n| n as f64)
    );
    let state = "k3s_snapshot_state.prom";
    let revision = metric(dir.path(), state, "k3s_snapshot_newest_verified_revision");
    assert_eq!(revision, saved["revision"].as_i64().map(|n| n as f64));
    assert!(metric(dir.path(), state, "k3s_snapshot_etcd_database_size_bytes").unwrap() > 0.0);
    etcd.stop();
    let failed = run(&etcd, "save").report();
    assert_ne!(failed.code, Some(0), "{failed:#?}");
    assert_eq!(metric(dir.path(), save, "k3s_snapshot_last_run_exit_code"), failed.code.map(f64::from));
    assert_eq!(metric(dir.path(), save, "k3s_snapshot_last_success_timestamp_seconds"), Some(success));
    let mut all = String::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o644, "{entry:?}");
        assert!(entry.file_name().to_str().unwrap().ends_with(".prom"), "{entry:?}");
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(names(&text).is_subset(&known()), "{text}");
        all.push_str(&text);
        if require::program("promtool").is_ok() {
            promtool(&["check", "metrics"], &text);
        }
    }
    // node_exporter refuses a sample that two files have.
    let samples: Vec<&str> = all.lines().filter(|l| !l.starts_with('#')).collect();
    let keys: BTreeSet<&str> = samples.iter().map(|l| l.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(keys.len(), samples.len(), "{all}");
}

#[test]
fn metrics_that_cannot_be_written_are_a_warning_and_a_skipped_job_has_no_run() {
    let root = crate::s3::root();
    fs::create_dir_all(root.snapshots()).unwrap();
    let verify = || crate::s3::plain("verify", &root).arg("--all");
    let run = verify().env("K3S_SNAPSHOT_METRICS_DIR", "/nonexistent").report().expect(0);
    assert!(run.warns(WarningCode::MetricsNotWritten), "{run:#?}");
    let dir = tempfile::tempdir().unwrap();
    let with_metrics = || verify().env("K3S_SNAPSHOT_METRICS_DIR", dir.path());
    with_metrics().report().expect(0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    fs::remove_dir_all(root.server()).unwrap();
    fs::create_dir_all(root.data_dir().join("agent")).unwrap();
    with_metrics().arg("--skip-without-etcd").report().expect(0);
    let left = fs::read_to_string(dir.path().join("k3s_snapshot_state.prom")).unwrap();
    let skipped = ["k3s_snapshot_build_info", "k3s_snapshot_skipped"].map(str::to_owned);
    assert_eq!(names(&left), BTreeSet::from(skipped), "no alert may wait for an agent");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
