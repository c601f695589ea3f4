// SPDX-License-Identifier: Apache-2.0
//! The machine: files, locks, the service manager. The rest of the program sees the items of this file.

pub mod copy;
pub mod datastore;
mod draft;
pub mod file_tree;
pub mod fs;
pub mod k3s;
pub mod lock;
mod naming;
pub mod notify;
pub mod open_files;
pub mod ports;
pub mod process;
pub mod readyz;
pub mod server_files;
pub mod supervisor;
pub mod systemd;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;

pub use draft::{Draft, Published, PublishedFile};
pub use fs::FileAt;
pub(crate) use naming::is_temp_name;
pub use ports::Listener;
pub use readyz::Ready;
pub use server_files::ServerFiles;

use crate::model::restore::Process;
use crate::model::secret::Secret;
use crate::model::unit::Definition;

/// Hears how far a long deed has come. Never fails.
pub trait Progress: Send + Sync {
    /// A new step begins; `total` is its size in bytes where that is known.
    fn step(&self, what: &str, total: Option<u64>);
    /// So many bytes more are done.
    fn advance(&self, bytes: u64);
}

/// Passes on what it hears, and remembers the step.
pub struct StepRecorder {
    inner: Box<dyn Progress>,
    last: Mutex<Option<String>>,
}

impl StepRecorder {
    /// No step has begun.
    pub fn new(inner: Box<dyn Progress>) -> StepRecorder {
        StepRecorder { inner, last: Mutex::new(None) }
    }

    /// The step that began last.
    pub fn last(&self) -> Option<String> {
        self.last.lock().ok().and_then(|last| last.clone())
    }
}

impl Progress for StepRecorder {
    fn step(&self, what: &str, total: Option<u64>) {
        if let Ok(mut last) = self.last.lock() {
            *last = Some(what.to_owned());
        }
        self.inner.step(what, total);
    }

    fn advance(&self, bytes: u64) {
        self.inner.advance(bytes);
    }
}

/// Hears nothing.
pub struct NoProgress;

impl Progress for NoProgress {
    fn step(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}

/// K3s's own program, as far as a restore needs it.
pub trait K3s {
    /// The first line that it prints of its version.
    fn version(&self) -> Result<String>;

    /// Lets it make a new database of this snapshot, or without one make the database that is there one of this server
    /// alone, and waits for the end. `begun` hears of the process before it can do
    /// anything; where it fails, nothing is done. An error where the reset had to be ended by us: it is gone then.
    fn reset(
        &self,
        snapshot: Option<&Path>,
        begun: &mut dyn FnMut(Process) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<ResetOutcome>;

    /// Ends a reset that an earlier run has left behind. Returns once it is gone.
    fn end(&self, process: &Process) -> Result<()>;

    /// Whether the API server is ready.
    fn ready(&self) -> Ready;
}

/// A server that K3s is to join.
pub trait JoinServer {
    /// Its address.
    fn url(&self) -> &str;
    /// The hash of its authority, as the server tokens of its cluster have it. An error where it does not answer.
    fn authority(&self) -> Result<String>;
    /// Whether it lets somebody in with the password of this token. Asked over a connection that its authority vouches for.
    fn lets_in(&self, token: &Secret) -> Result<bool>;
    /// The names of the members of etcd in its cluster, asked for in the same way; of one that has not started yet it is
    /// empty. Without a quorum it knows no more than its own.
    fn members(&self, token: &Secret) -> Result<Vec<String>>;
}

/// How K3s's reset has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetOutcome {
    /// Whether its exit code was 0. Worth something only next to what is on the disk.
    pub success: bool,
    /// The exit code or the signal, in words.
    pub how: String,
    /// Its last words.
    pub said: Option<String>,
    /// Whether it said that all went well.
    pub announced: bool,
}

/// What systemd knows of a unit.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name, with `.service`; of several names the one that systemd calls the unit's own.
    pub name: String,
    /// Whether its file was found and understood. A masked unit is not.
    pub loaded: bool,
    /// Whether it runs.
    pub active: Active,
    /// systemd's finer word: `running`, `start`, `auto-restart`, `dead`, `failed`.
    pub sub: String,
    /// The main process; 0 where there is none.
    pub main_pid: u32,
    /// How often systemd has restarted it by itself since it was last started by somebody.
    pub restarts: u32,
    /// How the last run ended: `success`, `exit-code`, `timeout`.
    pub result: String,
    /// Its control group, like `/system.slice/x.service`; empty where it has none.
    pub control_group: String,
    /// The unit's file.
    pub fragment: Option<PathBuf>,
    /// Whether one of its files has changed since systemd read it. Older versions do not notice a new drop-in.
    pub outdated: bool,
    /// Whether the last start was refused by an `Assert...=` of the unit. Forgotten with the unit, where nothing refers to
    /// it: one that is not enabled is out of systemd's mind as soon as it is down.
    pub assert_failed: bool,
    /// Whether a job of it waits or runs: a start, a stop.
    pub has_job: bool,
    /// What it runs.
    pub definition: Definition,
}

/// Whether a unit runs, in systemd's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Active {
    /// It runs, and has said that it is ready.
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

    /// systemd's word for it.
    pub fn as_str(self) -> &'static str {
        Active::WORDS.iter().find(|(a, _)| *a == self).map_or("unknown", |(_, word)| word)
    }

    /// What systemd's word means.
    pub fn parse(word: &str) -> Active {
        Active::WORDS.iter().find(|(_, w)| *w == word).map_or(Active::Other, |(a, _)| *a)
    }

    /// Whether nothing of it runs and nothing will start it without being asked.
    pub fn is_down(self) -> bool {
        matches!(self, Active::Inactive | Active::Failed)
    }
}

/// K3s as the service manager sees it. Every call asks anew; none outlives its deadline. Nothing here restarts.
pub trait UnitControl {
    /// What is known of the unit now.
    fn unit(&self) -> Result<Unit>;
    /// Stops the unit and waits until it is down. A unit that is down already is a success at once.
    fn stop(&self, within: Duration) -> Result<()>;
    /// Asks for a start and does not wait for it. A unit that an assertion refuses is an error of a later [`unit`](Service::unit).
    fn start(&self) -> Result<()>;
    /// Makes the service manager read its units again, and waits until it has.
    fn reload(&self) -> Result<()>;
    /// Makes it forget that the unit failed, and how often it was started.
    fn reset_failed(&self) -> Result<()>;
}
