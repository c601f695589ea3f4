// SPDX-License-Identifier: Apache-2.0
//! The arguments of a restore as values.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::settings::Settings;
use crate::config::value::parse_duration;
use crate::error::{Code, Fault};
use crate::model::report::Report;
use crate::model::restore::Operation;
use crate::output::{plan, prompt};

/// A duration in an option; without it the default, in seconds.
///
/// # Errors
/// [`Code::InvalidArgument`].
pub(super) fn duration(text: Option<&str>, option: &str, default: u64) -> Result<Duration> {
    let Some(text) = text else { return Ok(Duration::from_secs(default)) };
    parse_duration(text).ok_or_else(|| {
        let what = format!("--{option} '{}' is not a duration", text.escape_debug());
        Fault::new(Code::InvalidArgument, what).hint("Write a duration like 30s, 10m or 1h.").into()
    })
}

/// A time as people write it, in the time zone of the settings: seconds since the epoch. Digits alone are seconds since the
/// epoch; a shorter number, for instance a date without dashes, is refused.
///
/// # Errors
/// [`Code::InvalidArgument`].
pub(super) fn time(text: &str, s: &Settings) -> Result<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = if digits {
        // 20261122 is a date without dashes, not a time in 1970.
        text.parse::<i64>().ok().filter(|t| *t >= 100_000_000)
    } else {
        text.parse::<jiff::Timestamp>().ok().map(|t| t.as_second()).or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            civil.to_zoned(s.timezone.clone()).ok().map(|z| z.timestamp().as_second())
        })
    };
    seconds.and_then(|t| u64::try_from(t).ok()).ok_or_else(|| {
        Fault::new(Code::InvalidArgument, format!("--before '{}' is not a time", text.escape_debug()))
            .hint(
                "Write a time like '2026-11-22 08:00', 2026-11-22T08:00:00Z, or as seconds since the epoch.",
            )
            .into()
    })
}

/// Whether the plan may be carried out: `yes` was given, or the terminal answers.
///
/// # Errors
/// [`Code::NotATerminal`].
pub(in crate::app) fn confirm(yes: bool, report: &Report) -> Result<bool> {
    let plan = plan::plan(report);
    if yes {
        // The journal keeps what was known before.
        plan.lines().for_each(|line| log::debug!("{line}"));
        return Ok(true);
    }
    plan.lines().for_each(|line| log::info!("{line}"));
    let question = match report.restore.as_ref().map(|r| r.operation) {
        None if report.rebuild.is_some() => "Rebuild?",
        None => "Delete these?",
        Some(Operation::ClusterReset) => "Reset the cluster?",
        Some(Operation::Rejoin) => "Rejoin?",
        Some(Operation::Restore) => "Restore?",
    };
    prompt::confirm(question).context("asking for a confirmation")?.ok_or_else(|| {
        Fault::new(
            Code::NotATerminal,
            "cannot ask for a confirmation: there is no terminal; nothing was changed",
        )
        .hint("Check the plan with --dry-run, then run the command again with --yes.")
        .into()
    })
}
