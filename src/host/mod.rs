// SPDX-License-Identifier: Apache-2.0
//! The machine: files, locks, the service manager. The rest of the program sees the items of this file.

pub mod copy;
pub mod datastore;
pub mod flavour;
pub mod fs;
pub mod held;
pub mod k3s;
pub mod k3s_ready;
pub mod lock;
pub mod notify;
pub mod process;
pub mod site;
pub mod tree;

use std::path::Path;

use anyhow::Result;

pub use fs::{Draft, FileAt, Published};
pub use k3s_ready::Ready;

use crate::model::restore::Process;

/// Hears how far a long deed has come. Never fails.
pub trait Progress: Send + Sync {
    /// A new step begins; `total` is its size in bytes where that is known.
    fn step(&self, what: &str, total: Option<u64>);
    /// So many bytes more are done.
    fn advance(&self, bytes: u64);
}

/// Hears nothing.
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}

/// K3s's own program, as far as a restore needs it.
pub trait K3s {
    /// The first line that it prints of its version.
    fn version(&self) -> Result<String>;

    /// Lets it make a new database of this snapshot, and waits for the end. `begun` hears of the process before it can do
    /// anything; where it fails, nothing is done. An error where the reset had to be ended by us: it is gone then.
    fn reset(
        &self,
        snapshot: &Path,
        begun: &mut dyn FnMut(Process) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<ResetEnd>;

    /// Ends a reset that an earlier run has left behind. Returns once it is gone.
    fn end(&self, process: Process) -> Result<()>;

    /// Whether the API server is ready.
    fn ready(&self) -> Ready;
}

/// How K3s's reset has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetEnd {
    /// Whether its exit code was 0. Worth something only next to what is on the disk.
    pub success: bool,
    /// The exit code or the signal, in words.
    pub how: String,
    /// Its last words.
    pub said: Option<String>,
    /// Whether it said that all went well.
    pub announced: bool,
}
