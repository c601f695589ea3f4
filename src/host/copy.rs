// SPDX-License-Identifier: Apache-2.0
//! Fills a draft from anything that can be read by position, several stretches at once. What is there can be read while
//! the rest is still to come.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};

use super::fs::FileAt;
use super::{Draft, Progress};
use crate::io::ReadAt;

const CHUNK: usize = 256 * 1024;
/// So much is written before the disk is told to take it, where it is to be kept.
const SYNC: u64 = 64 << 20;

impl Draft {
    /// Copies all of `data`: `ways` stretches of `stretch` bytes at a time, each in small pieces.
    pub fn fill_from(
        &self,
        data: &dyn ReadAt,
        ways: usize,
        stretch: u64,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.copy(data, ways, stretch.clamp(1, data.size().max(1)), progress, &|_| ())
    }

    /// The same, while `watch` reads the draft: what it wants to read and is not there yet, it waits for. With `keep`,
    /// the disk is kept busy meanwhile, so that a publication has little to wait for. Trouble with the copy comes
    /// before what `watch` makes of it.
    pub fn fill_while<T>(
        &self,
        data: &dyn ReadAt,
        (ways, stretch, keep): (usize, u64, bool),
        progress: &dyn Progress,
        watch: impl FnOnce(&dyn ReadAt) -> Result<T>,
    ) -> Result<T> {
        let size = data.size();
        let stretch = stretch.clamp(1, size.max(1));
        let path = || format!("writing to '{}'", self.folder().display());
        self.file().set_len(size).with_context(path)?;
        let filling = Filling::of(self.reader()?, stretch);
        std::thread::scope(|scope| {
            let copier = scope.spawn(|| {
                let copied = self.copy(data, ways, stretch, progress, &|index| filling.has(index));
                filling.end();
                copied
            });
            let syncer = scope.spawn(|| match keep {
                true => filling.follow(SYNC, &|| self.file().sync_data()).with_context(path),
                false => Ok(()),
            });
            let watched = watch(&filling);
            let died = |_| Err(anyhow!("a copying thread died"));
            let (copied, synced) = (copier.join().unwrap_or_else(died), syncer.join().unwrap_or_else(died));
            copied.and(synced)?;
            watched
        })
    }

    fn copy(
        &self,
        data: &dyn ReadAt,
        ways: usize,
        stretch: u64,
        progress: &dyn Progress,
        done: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let size = data.size();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let work = || -> Result<()> {
            let mut buf = vec![0; CHUNK];
            while !stop.load(Relaxed) {
                let index = next.fetch_add(1, Relaxed);
                let from = index.saturating_mul(stretch);
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
                if at >= end {
                    done(index);
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

/// A draft that is being filled. Who reads what is not there yet waits for it.
struct Filling {
    file: FileAt,
    stretch: u64,
    state: Mutex<Filled>,
    more: Condvar,
}

#[derive(Default)]
struct Filled {
    /// Which stretches are there.
    there: Vec<bool>,
    count: u64,
    /// Whether nothing more will come.
    ended: bool,
}

impl Filling {
    fn of(file: FileAt, stretch: u64) -> Filling {
        let stretches = usize::try_from(file.size().div_ceil(stretch)).unwrap_or(usize::MAX);
        let state = Mutex::new(Filled { there: vec![false; stretches], ..Filled::default() });
        Filling { file, stretch, state, more: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, Filled> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Filled)) {
        change(&mut self.state());
        self.more.notify_all();
    }

    fn has(&self, index: u64) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.change(|state| {
            state.count += 1;
            state.there.get_mut(index).into_iter().for_each(|there| *there = true);
        });
    }

    fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn wait_while(&self, wanting: impl FnMut(&mut Filled) -> bool) -> MutexGuard<'_, Filled> {
        self.more.wait_while(self.state(), wanting).unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the deed whenever so many bytes have come since the last time, until the end.
    fn follow(&self, every: u64, deed: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
        let (every, mut seen) = (every.div_ceil(self.stretch).max(1), 0);
        loop {
            let state = self.wait_while(|s| !s.ended && s.count.saturating_sub(seen) < every);
            if state.ended {
                return Ok(());
            }
            seen = state.count;
            drop(state);
            deed()?;
        }
    }
}

impl ReadAt for Filling {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(buf.len() as u64).min(self.size());
        let index = |at: u64| usize::try_from(at / self.stretch).unwrap_or(usize::MAX);
        let wanted = index(offset)..index(end.saturating_sub(1)).saturating_add(1);
        let lacks = |state: &Filled| state.there.get(wanted.clone()).is_some_and(|s| s.contains(&false));
        let state = self.wait_while(|state| !state.ended && lacks(state));
        if lacks(&state) {
            return Err(io::Error::other("the rest did not come"));
        }
        drop(state);
        self.file.read_exact_at(buf, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::NoProgress;

    /// Bytes that come slowly, the last ones first; or not, from a place on.
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
    fn who_watches_reads_the_same_bytes_and_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0, 1, 4095, 4096, 50_001] {
            let data = Slow((0..size).map(|i: u32| i as u8).collect(), None);
            for keep in [false, true] {
                let draft = Draft::new(folder.path()).unwrap();
                let read = draft.fill_while(&data, (3, 4096, keep), &NoProgress, read_all).unwrap();
                assert!(read == data.0, "{size}");
                assert!(read_all(&draft.reader().unwrap()).unwrap() == data.0, "{size}");
                let past = draft.fill_while(&data, (1, 4096, keep), &NoProgress, |data| {
                    Ok(data.read_exact_at(&mut [0; 2], data.size().saturating_sub(1)).is_err())
                });
                assert!(past.unwrap(), "{size}: more than there is");
            }
        }
    }

    #[test]
    fn a_copy_that_breaks_is_the_error_and_nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let data = Slow(vec![7; 50_000], Some(20_000));
        let draft = Draft::new(folder.path()).unwrap();
        let e = draft.fill_while(&data, (3, 4096, true), &NoProgress, read_all).unwrap_err();
        assert!(format!("{e:#}").contains("broken"), "{e:#}");
        let whole = Slow(vec![7; 5_000], None);
        let e = draft
            .fill_while(&whole, (3, 4096, false), &NoProgress, |_| Err::<(), _>(anyhow!("seen")))
            .unwrap_err();
        assert_eq!(e.to_string(), "seen");
    }
}
