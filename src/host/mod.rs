// SPDX-License-Identifier: Apache-2.0
//! The machine: files, locks, the service manager. The rest of the program sees the items of this file.

pub mod copy;
pub mod datastore;
pub mod flavour;
pub mod fs;
pub mod held;
pub mod k3s_ready;
pub mod lock;
pub mod notify;
pub mod site;
pub mod tree;

pub use fs::{Draft, FileAt, Published};

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
