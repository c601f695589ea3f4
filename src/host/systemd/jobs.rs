// SPDX-License-Identifier: Apache-2.0
//! The services of timers: how their last runs ended, and when they run next. Asks only; works for every user.

use std::time::Duration;

use anyhow::Result;

use super::bus::{self, Bus};
use crate::model::status::Job;

/// For requests that systemd answers from memory.
const ANSWER: Duration = Duration::from_secs(5);
/// The value of systemd for a time that will not come.
const NEVER: u64 = u64::MAX;

/// The state of these services and of their timers. A service that is not installed has no row.
///
/// # Errors
/// If systemd cannot be asked.
pub fn jobs(services: &[&str]) -> Result<Vec<Job>> {
    bus::run("the request for the state of the jobs", ANSWER, async {
        let bus = Bus::open().await?;
        let mut all = Vec::new();
        for service in services {
            let Some(run) = bus.load(service).await?.last_run(&bus, service).await? else { continue };
            let timer = format!("{}.timer", service.trim_end_matches(".service"));
            let next = bus.load(&timer).await?.next_run(&bus, &timer).await?;
            all.push(Job {
                unit: (*service).to_owned(),
                running: run.is_running,
                finished_at: seconds(run.finished_us),
                result: seconds(run.finished_us).map(|_| run.result),
                exit_code: run.exit_code,
                timer_active: next.is_some(),
                next_run: next.and_then(seconds),
            });
        }
        Ok(all)
    })
}

/// A time of systemd in seconds. Zero is a time that has not come.
fn seconds(microseconds: u64) -> Option<u64> {
    (microseconds != 0 && microseconds != NEVER).then_some(microseconds / 1_000_000)
}
