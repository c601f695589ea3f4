// SPDX-License-Identifier: Apache-2.0
//! Fills a draft from anything that can be read by position, several chunks at once. The bytes that have arrived can be
//! read while the rest is on its way.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};

use super::draft::Draft;
use super::fs::{FileAt, path_error};
use super::progress::Progress;
use crate::io::ReadAt;

/// Bytes that one read and one write move.
const BUFFER: usize = 256 * 1024;
/// Bytes after which the copy is synced to disk, if it is to be kept.
const SYNC_EVERY: u64 = 64 << 20;

impl Draft {
    /// Copies all of `data`: `parallel` chunks of `chunk_size` bytes at a time, each through a small buffer.
    ///
    /// # Errors
    ///
    /// The first error of reading or writing.
    pub fn fill_from(
        &self,
        data: &dyn ReadAt,
        parallel: usize,
        chunk_size: u64,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.copy(data, parallel, chunk_size.clamp(1, data.size().max(1)), progress, &|_| ())
    }

    /// Copies as [`Draft::fill_from`] does, while `watch` reads the draft: a read waits for the bytes that it needs.
    /// With `keep`, the disk writes in the meantime, so that publishing has little to wait for.
    ///
    /// # Errors
    ///
    /// An error of the copy; else an error of `watch`.
    pub fn fill_while<T>(
        &self,
        data: &dyn ReadAt,
        (parallel, chunk_size, keep): (usize, u64, bool),
        progress: &dyn Progress,
        watch: impl FnOnce(&dyn ReadAt) -> Result<T>,
    ) -> Result<T> {
        let size = data.size();
        let chunk_size = chunk_size.clamp(1, size.max(1));
        let error = |e| path_error(e, "writing to", self.folder());
        self.file().set_len(size).map_err(error)?;
        let shared = SharedCopy::new(self.reader()?, chunk_size);
        std::thread::scope(|scope| {
            let copier = scope.spawn(|| {
                let copied =
                    self.copy(data, parallel, chunk_size, progress, &|index| shared.mark_written(index));
                shared.end();
                copied
            });
            let syncer = scope.spawn(|| match keep {
                true => shared.sync_periodically(SYNC_EVERY, &|| self.file().sync_data()).map_err(error),
                false => Ok(()),
            });
            let watched = watch(&shared);
            let died = |_| Err(anyhow!("a copying thread died"));
            let (copied, synced) = (copier.join().unwrap_or_else(died), syncer.join().unwrap_or_else(died));
            copied.and(synced)?;
            watched
        })
    }

    fn copy(
        &self,
        data: &dyn ReadAt,
        parallel: usize,
        chunk_size: u64,
        progress: &dyn Progress,
        written: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let size = data.size();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let work = || -> Result<()> {
            let mut buf = vec![0; BUFFER];
            while !stop.load(Relaxed) {
                let index = next.fetch_add(1, Relaxed);
                let from = index.saturating_mul(chunk_size);
                if from >= size {
                    return Ok(());
                }
                let (mut at, end) = (from, from.saturating_add(chunk_size).min(size));
                while at < end && !stop.load(Relaxed) {
                    let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(BUFFER);
                    let (piece, _) = buf.split_at_mut(want);
                    data.read_exact_at(piece, at).with_context(|| format!("reading at byte {at}"))?;
                    let error = |e| path_error(e, "writing to", self.folder());
                    self.file().write_all_at(piece, at).map_err(error)?;
                    at += want as u64;
                    progress.advance(want as u64);
                }
                if at >= end {
                    written(index);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..parallel.max(1))
                .map(|_| scope.spawn(|| work().inspect_err(|_| stop.store(true, Relaxed))))
                .collect();
            // The thread that fails first makes the others stop without an error of their own.
            let join = |t: std::thread::ScopedJoinHandle<'_, _>| {
                t.join().unwrap_or_else(|_| Err(anyhow!("a copying thread died")))
            };
            let ended: Vec<Result<()>> = threads.into_iter().map(join).collect();
            ended.into_iter().collect()
        })
    }
}

/// A draft that is being filled, and read at the same time.
struct SharedCopy {
    file: FileAt,
    chunk_size: u64,
    state: Mutex<CopyState>,
    changed: Condvar,
}

#[derive(Default)]
struct CopyState {
    /// Which chunks are written.
    written: Vec<bool>,
    count: u64,
    /// Whether no more chunks will come.
    ended: bool,
}

impl SharedCopy {
    fn new(file: FileAt, chunk_size: u64) -> SharedCopy {
        let chunks = usize::try_from(file.size().div_ceil(chunk_size)).unwrap_or(usize::MAX);
        let state = Mutex::new(CopyState { written: vec![false; chunks], ..CopyState::default() });
        SharedCopy { file, chunk_size, state, changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, CopyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut CopyState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn mark_written(&self, index: u64) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.change(|state| {
            state.count += 1;
            state.written.get_mut(index).into_iter().for_each(|written| *written = true);
        });
    }

    fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn wait_while(&self, condition: impl FnMut(&mut CopyState) -> bool) -> MutexGuard<'_, CopyState> {
        self.changed.wait_while(self.state(), condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `sync` each time that `every` more bytes are written, until the end.
    fn sync_periodically(&self, every: u64, sync: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
        let (every, mut seen) = (every.div_ceil(self.chunk_size).max(1), 0);
        loop {
            let state = self.wait_while(|s| !s.ended && s.count.saturating_sub(seen) < every);
            if state.ended {
                return Ok(());
            }
            seen = state.count;
            drop(state);
            sync()?;
        }
    }
}

impl ReadAt for SharedCopy {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(buf.len() as u64).min(self.size());
        let index = |at: u64| usize::try_from(at / self.chunk_size).unwrap_or(usize::MAX);
        let wanted = index(offset)..index(end.saturating_sub(1)).saturating_add(1);
        let is_missing =
            |state: &CopyState| state.written.get(wanted.clone()).is_some_and(|s| s.contains(&false));
        let state = self.wait_while(|state| !state.ended && is_missing(state));
        if is_missing(&state) {
            return Err(io::Error::other("the copy ended before these bytes arrived"));
        }
        drop(state);
        self.file.read_exact_at(buf, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::progress::NoProgress;

    /// Bytes that arrive slowly, the last ones first; from the given offset on, an error.
    struct Slow(Vec<u8>, Option<u64>);

    impl ReadAt for Slow {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            let wait = 40 - 40 * offset / self.size().max(1);
            std::thread::sleep(std::time::Duration::from_millis(wait));
            if self.1.is_some_and(|breaks| offset >= breaks) {
                return Err(io::Error::other("broken"));
            }
            self.0.as_slice().read_exact_at(buf, offset)
        }
    }

    fn read_all(data: &dyn ReadAt) -> Result<Vec<u8>> {
        let mut all = vec![0; usize::try_from(data.size())?];
        for (i, piece) in all.chunks_mut(1000).enumerate() {
            data.read_exact_at(piece, i as u64 * 1000)?;
        }
        Ok(all)
    }

    #[test]
    fn a_reader_beside_the_copy_waits_for_its_bytes_and_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, 4095, 4096, 50_001] {
            let data = Slow((0..size).map(|i: u32| i as u8).collect(), None);
            for keep in [false, true] {
                let draft = Draft::new(dir.path()).unwrap();
                let read = draft.fill_while(&data, (3, 4096, keep), &NoProgress, read_all).unwrap();
                assert!(read == data.0, "{size}");
                assert!(read_all(&draft.reader().unwrap()).unwrap() == data.0, "{size}");
                let past = draft.fill_while(&data, (1, 4096, keep), &NoProgress, |data| {
                    Ok(data.read_exact_at(&mut [0; 2], data.size().saturating_sub(1)).is_err())
                });
                assert!(past.unwrap(), "{size}: read past the end");
            }
        }
    }

    #[test]
    fn a_copy_that_breaks_is_the_error_and_ends_every_wait() {
        let dir = tempfile::tempdir().unwrap();
        let data = Slow(vec![7; 50_000], Some(20_000));
        let draft = Draft::new(dir.path()).unwrap();
        let e = draft.fill_while(&data, (3, 4096, true), &NoProgress, read_all).unwrap_err();
        assert!(format!("{e:#}").contains("broken"), "{e:#}");
        let whole = Slow(vec![7; 5_000], None);
        let e = draft
            .fill_while(&whole, (3, 4096, false), &NoProgress, |_| Err::<(), _>(anyhow!("seen")))
            .unwrap_err();
        assert_eq!(e.to_string(), "seen");
    }
}
