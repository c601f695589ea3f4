// SPDX-License-Identifier: Apache-2.0
//! A job of a timer: how it ended last, and when it runs next.

use serde::{Serialize, Serializer};

use crate::model::time::rfc3339;

/// A service and its timer, as systemd knows them. systemd forgets the last run of a service at a reboot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Job {
    /// The service.
    pub unit: String,
    /// Whether it runs now.
    pub running: bool,
    /// The result of the last run in the word of systemd; `None` if it has not run since the boot.
    pub result: Option<String>,
    /// The exit code of the last run, if it exited.
    pub exit_code: Option<i32>,
    /// When the last run ended, seconds since the epoch.
    #[serde(serialize_with = "time")]
    pub finished_at: Option<u64>,
    /// Whether the timer is active.
    pub timer_active: bool,
    /// When the timer starts it next, seconds since the epoch.
    #[serde(serialize_with = "time")]
    pub next_run: Option<u64>,
}

impl Job {
    /// Its name without the parts that all jobs have.
    pub fn short_name(&self) -> &str {
        let name = self.unit.strip_prefix("k3s-snapshot-").unwrap_or(&self.unit);
        name.strip_suffix(".service").unwrap_or(name)
    }

    /// Whether its last run failed.
    pub fn has_failed(&self) -> bool {
        self.result.as_deref().is_some_and(|word| word != "success")
    }
}

fn time<S: Serializer>(seconds: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    seconds.map(rfc3339).serialize(serializer)
}
