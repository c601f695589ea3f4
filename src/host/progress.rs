// SPDX-License-Identifier: Apache-2.0
//! How far a long operation is.

use std::sync::Mutex;

/// Receives how far a long operation is. Never fails.
pub trait Progress: Send + Sync {
    /// A new step begins; `total` is its size in bytes, if that is known.
    fn step(&self, what: &str, total: Option<u64>);
    /// This many bytes more are done.
    fn advance(&self, bytes: u64);
}

/// Passes everything on, and remembers the step.
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

/// Shows nothing.
pub struct NoProgress;

impl Progress for NoProgress {
    fn step(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}
