// SPDX-License-Identifier: Apache-2.0
//! The machine: files, locks, the service manager. The rest of the program sees the items of this file.

pub mod copy;
pub mod datastore;
pub mod flavour;
pub mod fs;
pub mod held;
pub mod lock;
pub mod notify;

use std::sync::Mutex;

pub use fs::{Draft, FileAt, Published};

/// Hears how far a long deed has come. Never fails.
pub trait Progress: Send + Sync {
    /// A new step begins; `total` is its size in bytes where that is known.
    fn step(&self, what: &str, total: Option<u64>);
    /// So many bytes more are done.
    fn advance(&self, bytes: u64);
}

/// Passes on what it hears, and remembers the step.
pub struct Steps {
    inner: Box<dyn Progress>,
    last: Mutex<Option<String>>,
}

impl Steps {
    /// No step has begun.
    pub fn new(inner: Box<dyn Progress>) -> Steps {
        Steps { inner, last: Mutex::new(None) }
    }

    /// The step that began last.
    pub fn last(&self) -> Option<String> {
        self.last.lock().ok().and_then(|last| last.clone())
    }
}

impl Progress for Steps {
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
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}
