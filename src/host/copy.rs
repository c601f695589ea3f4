// SPDX-License-Identifier: Apache-2.0
//! Fills a draft from anything that can be read by position, several stretches at once.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, anyhow};

use super::{Draft, Progress};
use crate::inspect::ReadAt;

const CHUNK: usize = 256 * 1024;

impl Draft {
    /// Copies all of `data`: `ways` stretches of `stretch` bytes at a time, each in small pieces.
    pub fn fill_from(
        &self,
        data: &dyn ReadAt,
        ways: usize,
        stretch: u64,
        progress: &dyn Progress,
    ) -> Result<()> {
        let size = data.size();
        let stretch = stretch.clamp(1, size.max(1));
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let work = || -> Result<()> {
            let mut buf = vec![0; CHUNK];
            while !stop.load(Relaxed) {
                let from = next.fetch_add(1, Relaxed).saturating_mul(stretch);
                if from >= size {
                    return Ok(());
                }
                let (mut at, end) = (from, from.saturating_add(stretch).min(size));
                while at < end && !stop.load(Relaxed) {
                    let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK);
                    let (chunk, _) = buf.split_at_mut(want);
                    data.read_exact_at(chunk, at).with_context(|| format!("reading at byte {at}"))?;
                    let path = || format!("writing to '{}'", self.folder().display());
                    self.file().write_all_at(chunk, at).with_context(path)?;
                    at += want as u64;
                    progress.advance(want as u64);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..ways.max(1))
                .map(|_| scope.spawn(|| work().inspect_err(|_| stop.store(true, Relaxed))))
                .collect();
            // The one that failed first made the others stop without an error of their own.
            let join = |t: std::thread::ScopedJoinHandle<'_, _>| {
                t.join().unwrap_or_else(|_| Err(anyhow!("a copying thread died")))
            };
            let ended: Vec<Result<()>> = threads.into_iter().map(join).collect();
            ended.into_iter().collect()
        })
    }
}
