// SPDX-License-Identifier: Apache-2.0
//! A systemd unit, and what can be done with it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::model::unit::Definition;

/// What systemd knows about a unit.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name, with `.service`; of several names the one that systemd uses as its id.
    pub name: String,
    /// Whether its file was found and could be read. A masked unit is not loaded.
    pub loaded: bool,
    /// Whether it runs.
    pub active: Active,
    /// The finer state of systemd: `running`, `start`, `auto-restart`, `dead`, `failed`.
    pub sub: String,
    /// The main process; 0 if there is none.
    pub main_pid: u32,
    /// How often systemd has restarted it since it was last started by a request.
    pub restarts: u32,
    /// How the last run ended: `success`, `exit-code`, `timeout`.
    pub result: String,
    /// Its control group, like `/system.slice/x.service`; empty if it has none.
    pub control_group: String,
    /// The file of the unit.
    pub fragment: Option<PathBuf>,
    /// Whether one of its files has changed since systemd read it. Older versions do not notice a new drop-in.
    pub outdated: bool,
    /// Whether the last start was refused by an `Assert...=` of the unit. systemd forgets this with the unit, if nothing
    /// refers to it: a unit that is not enabled is forgotten as soon as it is down.
    pub assert_failed: bool,
    /// Whether a job of it waits or runs: a start, a stop.
    pub has_job: bool,
    /// Units that are stopped with it, because they need it.
    pub dependents: Vec<String>,
    /// What it runs.
    pub definition: Definition,
}

/// Whether a unit runs, in the words of systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Active {
    /// It runs, and has reported that it is ready.
    Active,
    /// It runs and reads its configuration again.
    Reloading,
    /// It does not run.
    Inactive,
    /// It does not run, and its last run failed.
    Failed,
    /// It is being started, or waits for its next start.
    Activating,
    /// It is being stopped.
    Deactivating,
    /// A word that is not known here.
    Other,
}

impl Active {
    const WORDS: [(Active, &str); 6] = [
        (Active::Active, "active"),
        (Active::Reloading, "reloading"),
        (Active::Inactive, "inactive"),
        (Active::Failed, "failed"),
        (Active::Activating, "activating"),
        (Active::Deactivating, "deactivating"),
    ];

    /// The word of systemd.
    pub fn as_str(self) -> &'static str {
        Active::WORDS.iter().find(|(a, _)| *a == self).map_or("unknown", |(_, word)| word)
    }

    /// The state that a word of systemd means.
    pub fn parse(word: &str) -> Active {
        Active::WORDS.iter().find(|(_, w)| *w == word).map_or(Active::Other, |(a, _)| *a)
    }

    /// Whether nothing of it runs, and nothing will start it without a request.
    pub fn is_down(self) -> bool {
        matches!(self, Active::Inactive | Active::Failed)
    }
}

/// A unit of the service manager. Every call asks again, and has a time limit. No call restarts the unit.
pub trait UnitControl {
    /// What is known about the unit now.
    ///
    /// # Errors
    /// If the service manager does not answer.
    fn unit(&self) -> Result<Unit>;

    /// Stops the unit and waits until it is down. A unit that is down already is a success at once.
    ///
    /// # Errors
    /// If it is not down in time.
    fn stop(&self, within: Duration) -> Result<()>;

    /// Requests a start and does not wait for it. A start that an assertion refuses is seen in [`UnitControl::unit`] later.
    ///
    /// # Errors
    /// If the request is refused.
    fn start(&self) -> Result<()>;

    /// Makes the service manager read its units again, and waits until it has.
    ///
    /// # Errors
    /// If it does not in time.
    fn reload(&self) -> Result<()>;

    /// Makes it forget that the unit failed, and how often it was started.
    ///
    /// # Errors
    /// If the request is refused.
    fn reset_failed(&self) -> Result<()>;

    /// Requests a start if the unit is down, also if it failed or was started too often. A unit that is being stopped is
    /// started after that.
    ///
    /// # Errors
    /// If the service manager does not answer, or the request is refused.
    fn start_if_down(&self) -> Result<()> {
        match self.unit()?.active {
            Active::Inactive | Active::Failed => {
                self.reset_failed()?;
                self.start()
            }
            Active::Deactivating => self.start(),
            _ => Ok(()),
        }
    }

    /// The last fatal message that the unit has logged since this time, seconds since the epoch; `None` if there is none, or
    /// the journal cannot be read.
    fn fatal_message(&self, since: u64) -> Option<String>;

    /// Starts the unit that finishes a restore whose process was killed. It waits until no restore runs.
    ///
    /// # Errors
    /// If that unit is not installed, or the service manager does not answer.
    fn watch_restore(&self) -> Result<()>;
}
