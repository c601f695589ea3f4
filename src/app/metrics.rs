// SPDX-License-Identifier: Apache-2.0
//! Writes the metrics of a job after its run, also if it failed. A failure here is a warning.

use std::path::Path;

use anyhow::Result;

use super::context::Context;
use super::status::max_age;
use crate::host::datastore::Found;
use crate::host::{metrics_dir, space};
use crate::model::command::Command;
use crate::model::metrics::{Run, State, samples_of_run, samples_of_skip, samples_of_state};
use crate::model::report::Report;
use crate::model::warning::WarningCode;
use crate::output::metrics::{text, value};
use crate::store::Store;

/// The file with the state, which every job writes.
const STATE: &str = "k3s_snapshot_state.prom";
/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The metric that a failed run takes over from the file before.
const LAST_SUCCESS: &str = "k3s_snapshot_last_success_timestamp_seconds";

/// The file of the last run of a command.
fn file_of(command: Command) -> String {
    format!("k3s_snapshot_{}.prom", command.as_str())
}

/// Writes the files, if a directory is set. On a machine without etcd a job is skipped: the file of an earlier role of the
/// machine is removed, so that no alert waits for a job that has nothing to do.
pub(super) fn write(cx: &Context, phases: Vec<(String, f64)>, ended_at: u64, report: &mut Report) {
    let Some(dir) = &cx.settings.metrics_dir else { return };
    let done = match report.skipped {
        Some(_) => write_skip(dir, report.command),
        None => write_run(dir, phases, ended_at, report).and_then(|()| write_state(cx, dir, ended_at)),
    };
    if let Err(e) = done {
        report.warn(WarningCode::MetricsNotWritten, format!("writing the metrics: {e:#}"));
    }
}

fn write_skip(dir: &Path, command: Command) -> Result<()> {
    metrics_dir::remove(dir, &file_of(command))?;
    metrics_dir::write(dir, STATE, &text(&samples_of_skip(VERSION)))
}

fn write_run(dir: &Path, phases: Vec<(String, f64)>, ended_at: u64, report: &Report) -> Result<()> {
    let file = file_of(report.command);
    let before = metrics_dir::read(dir, &file).and_then(|text| value(&text, LAST_SUCCESS));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
    let last_success = before.map(|seconds| seconds as u64);
    metrics_dir::write(dir, &file, &text(&samples_of_run(report, &Run { ended_at, last_success, phases })))
}

fn write_state(cx: &Context, dir: &Path, now: u64) -> Result<()> {
    let s = cx.settings;
    let listing = cx.has_local_store().then(|| cx.local_store().list().ok()).flatten();
    let is_sqlite = matches!(cx.datastore(), Ok(Found::Sqlite(_)));
    let state = State {
        now,
        version: VERSION,
        listing: listing.as_ref(),
        max_age: max_age(s).as_secs(),
        uploads: s.s3,
        db_bytes: cx.database_bytes(),
        quota_bytes: (!is_sqlite).then(|| s.etcd_quota()),
        free_bytes: space::free_bytes(&s.dir).ok().flatten(),
    };
    metrics_dir::write(dir, STATE, &text(&samples_of_state(&state)))
}
