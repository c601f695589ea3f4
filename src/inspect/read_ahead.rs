// SPDX-License-Identifier: Apache-2.0
//! Fewer and larger reads for the walk: most pages of a tree are consecutive, and each would be a system call.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::page::WINDOW;
use crate::io::ReadAt;

/// Bytes that are read at the second consecutive read; doubled with each further one.
const INITIAL_WINDOW: usize = 16 * 1024;
/// The most bytes that are read at once: no more than a page is read by.
const MAX_WINDOW: usize = WINDOW as usize;

/// The same bytes, read ahead while reads are consecutive. Otherwise, and if reading ahead fails, only the requested bytes are
/// read: an error is always about bytes that were requested.
pub(super) struct ReadAhead<'a> {
    data: &'a dyn ReadAt,
    buffered: Mutex<Buffered>,
}

#[derive(Default)]
struct Buffered {
    start: u64,
    buf: Vec<u8>,
    /// The end of the last request.
    next: u64,
    /// The length of the last read from the file that was longer than its request; 0 for others.
    window: usize,
}

impl Buffered {
    fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.buf.get(skip..skip.checked_add(len)?)
    }
}

impl<'a> ReadAhead<'a> {
    pub(super) fn new(data: &'a dyn ReadAt) -> ReadAhead<'a> {
        ReadAhead { data, buffered: Mutex::default() }
    }
}

impl ReadAt for ReadAhead<'_> {
    fn size(&self) -> u64 {
        self.data.size()
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let mut buffered = self.buffered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_consecutive = offset == buffered.next;
        buffered.next = offset.saturating_add(out.len() as u64);
        if let Some(bytes) = buffered.get(offset, out.len()) {
            out.copy_from_slice(bytes);
            return Ok(());
        }
        buffered.window =
            if is_consecutive { (buffered.window * 2).clamp(INITIAL_WINDOW, MAX_WINDOW) } else { 0 };
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = buffered.window.min(left);
        if want > out.len() {
            buffered.start = offset;
            buffered.buf.resize(want, 0);
            if self.data.read_exact_at(&mut buffered.buf, offset).is_ok()
                && let Some(bytes) = buffered.get(offset, out.len())
            {
                out.copy_from_slice(bytes);
                return Ok(());
            }
            buffered.buf.clear();
        }
        self.data.read_exact_at(out, offset)
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.data.will_need(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 300 * 1024;

    /// Bytes that differ from each other. One of them cannot be read. Counts its reads.
    struct Disk {
        bytes: Vec<u8>,
        unreadable: u64,
        reads: AtomicU64,
    }

    impl Disk {
        fn new(unreadable: u64) -> Disk {
            let bytes = (0..SIZE as u32).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
            Disk { bytes, unreadable, reads: AtomicU64::new(0) }
        }
    }

    impl ReadAt for Disk {
        fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if (offset..offset + buf.len() as u64).contains(&self.unreadable) {
                return Err(io::Error::other("unreadable byte"));
            }
            self.bytes.as_slice().read_exact_at(buf, offset)
        }
    }

    #[test]
    fn consecutive_reads_are_merged() {
        let disk = Disk::new(u64::MAX);
        let reader = ReadAhead::new(&disk);
        let mut page = [0; 4096];
        for at in (0..SIZE).step_by(4096) {
            reader.read_exact_at(&mut page, at as u64).unwrap();
            assert_eq!(page[..], disk.bytes[at..at + 4096]);
        }
        assert!(disk.reads.load(Ordering::Relaxed) < 12, "{:?} reads of 75 pages", disk.reads);
    }

    proptest! {
        #[test]
        fn every_read_gives_the_bytes_and_errors_of_the_disk(
            unreadable in 0..2 * SIZE as u64,
            jumps in prop::collection::vec((0..SIZE as u64 + 9000, 0..9000usize, 0..20usize), 1..30),
        ) {
            let disk = Disk::new(unreadable);
            let reader = ReadAhead::new(&disk);
            for (mut at, len, again) in jumps {
                for _ in 0..=again {
                    let (mut ours, mut plain) = (vec![0; len], vec![0; len]);
                    let (got, want) = (reader.read_exact_at(&mut ours, at), disk.read_exact_at(&mut plain, at));
                    prop_assert_eq!(got.map_err(|e| e.kind()), want.map_err(|e| e.kind()));
                    prop_assert!(ours == plain || at <= unreadable && unreadable < at + len as u64 || at as usize + len > SIZE);
                    at += len as u64;
                }
            }
        }
    }
}
