// SPDX-License-Identifier: Apache-2.0
//! How far a long operation is.

use std::sync::Mutex;
use std::time::Instant;

/// Receives how far a long operation is. Never fails.
pub trait Progress: Send + Sync {
    /// A new step begins; `total` is its size in bytes, if that is known.
    fn step(&self, what: &str, total: Option<u64>);
    /// This many bytes more are done.
    fn advance(&self, bytes: u64);
}

/// Passes everything on, and remembers the step, and when each step began.
pub struct StepRecorder {
    inner: Box<dyn Progress>,
    last: Mutex<Option<String>>,
    began: Mutex<Vec<(String, Instant)>>,
}

impl StepRecorder {
    /// No step has begun.
    pub fn new(inner: Box<dyn Progress>) -> StepRecorder {
        StepRecorder { inner, last: Mutex::new(None), began: Mutex::default() }
    }

    /// The seconds of each phase until now, by the first word of its steps: the rest of a step can be a file name.
    pub fn phases(&self) -> Vec<(String, f64)> {
        let Ok(began) = self.began.lock() else { return Vec::new() };
        let ends = began.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
        let mut all: Vec<(String, f64)> = Vec::new();
        for ((word, at), end) in began.iter().zip(ends) {
            let seconds = end.duration_since(*at).as_secs_f64();
            match all.iter_mut().find(|(known, _)| known == word) {
                Some((_, sum)) => *sum += seconds,
                None => all.push((word.clone(), seconds)),
            }
        }
        all
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
        if let (Ok(mut began), Some(word)) = (self.began.lock(), what.split_whitespace().next()) {
            began.push((word.to_owned(), Instant::now()));
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
