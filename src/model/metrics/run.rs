// SPDX-License-Identifier: Apache-2.0
//! The metrics of the last run of a command.

use super::family::{BUCKET, DURATION, EXIT_CODE, LAST_RUN, LAST_SUCCESS, PHASE, Sample, WRITTEN};
use crate::model::command::Command;
use crate::model::report::{Report, Row};
use crate::model::snapshot::State;

/// What is known of a run in addition to its report.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// When it ended, seconds since the epoch.
    pub ended_at: u64,
    /// When the last run before it that exited with 0 ended.
    pub last_success: Option<u64>,
    /// Name and seconds of each phase.
    pub phases: Vec<(String, f64)>,
}

/// The samples of a run.
#[allow(clippy::cast_precision_loss, reason = "times and sizes are far below 2^53")]
pub fn samples_of_run(report: &Report, run: &Run) -> Vec<Sample> {
    let command = ("command", report.command.as_str());
    let mut all = vec![
        LAST_RUN.labeled(&[command], run.ended_at as f64),
        EXIT_CODE.labeled(&[command], f64::from(report.exit_code)),
        DURATION.labeled(&[command], report.duration_ms as f64 / 1000.0),
    ];
    let success = if report.exit_code == 0 { Some(run.ended_at) } else { run.last_success };
    all.extend(success.map(|at| LAST_SUCCESS.labeled(&[command], at as f64)));
    for (phase, seconds) in &run.phases {
        all.push(PHASE.labeled(&[command, ("phase", phase)], *seconds));
    }
    if report.command == Command::Save {
        for (location, remote) in [("local", false), ("s3", true)] {
            let rows = report.snapshots.iter().filter(|row| row.is_remote() == remote);
            let bytes: u64 = rows.map(|row| row.size).sum();
            all.push(WRITTEN.labeled(&[command, ("location", location)], bytes as f64));
        }
    }
    if report.command == Command::Prune {
        all.extend(bucket(report));
    }
    all
}

/// What a prune has left in the bucket; nothing if the bucket was not listed.
fn bucket(report: &Report) -> Vec<Sample> {
    let rows: Vec<&Row> =
        report.snapshots.iter().filter(|row| row.is_remote() && row.deleted != Some(true)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let states = [State::Verified, State::Unverified, State::Corrupt];
    let count = |state: State| rows.iter().filter(|row| row.state == state).count();
    let sample = |state: State| {
        let count = u32::try_from(count(state)).unwrap_or(u32::MAX);
        BUCKET.labeled(&[("state", state.as_str())], f64::from(count))
    };
    states.into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Fault};

    fn value(all: &[Sample], name: &str) -> Option<f64> {
        all.iter().find(|s| s.family.name == name).map(|s| s.value)
    }

    #[test]
    fn a_failed_run_keeps_the_time_of_the_last_success() {
        let mut report = Report::new(Command::Save, 90);
        report.duration_ms = 1500;
        let run = Run { ended_at: 100, last_success: Some(50), phases: vec![("verifying".into(), 0.5)] };
        let all = samples_of_run(&report, &run);
        assert_eq!(value(&all, LAST_SUCCESS.name), Some(100.0));
        assert_eq!(value(&all, DURATION.name), Some(1.5));
        assert_eq!(value(&all, PHASE.name), Some(0.5));
        report.fail(&Fault::new(Code::NoSpace, "full").into());
        let all = samples_of_run(&report, &run);
        assert_eq!(value(&all, LAST_RUN.name), Some(100.0));
        assert_eq!(value(&all, LAST_SUCCESS.name), Some(50.0));
        assert_eq!(value(&all, EXIT_CODE.name), Some(1.0));
        let never = samples_of_run(&report, &Run { last_success: None, ..run });
        assert_eq!(value(&never, LAST_SUCCESS.name), None);
    }
}
