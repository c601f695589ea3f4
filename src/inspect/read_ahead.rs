// SPDX-License-Identifier: Apache-2.0
//! Fewer and larger reads for the walk: most pages of a tree lie one behind the other, and each would be a system call.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::page::WINDOW;
use crate::io::ReadAt;

/// What is read at once at the second read in a row, doubled with each that follows.
const INITIAL_WINDOW: usize = 16 * 1024;
/// And never more than what a page is read by, too.
const MAX_WINDOW: usize = WINDOW as usize;

/// The same bytes, read ahead where reads follow each other. Where they do not, and where reading ahead fails, just what is
/// asked for is read: an error is always of bytes that were asked for.
pub(super) struct ReadAhead<'a> {
    data: &'a dyn ReadAt,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    from: u64,
    buf: Vec<u8>,
    /// Where the last read ended.
    next: u64,
    /// How much the last read from the file was meant to be.
    ahead: usize,
}

impl Held {
    fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.from)?).ok()?;
        self.buf.get(skip..skip.checked_add(len)?)
    }
}

impl<'a> ReadAhead<'a> {
    pub(super) fn new(data: &'a dyn ReadAt) -> ReadAhead<'a> {
        ReadAhead { data, held: Mutex::default() }
    }
}

impl ReadAt for ReadAhead<'_> {
    fn size(&self) -> u64 {
        self.data.size()
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = offset == held.next;
        held.next = offset.saturating_add(out.len() as u64);
        if let Some(bytes) = held.get(offset, out.len()) {
            out.copy_from_slice(bytes);
            return Ok(());
        }
        held.ahead = if follows { (held.ahead * 2).clamp(INITIAL_WINDOW, MAX_WINDOW) } else { 0 };
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = held.ahead.min(left);
        if want > out.len() {
            held.from = offset;
            held.buf.resize(want, 0);
            if self.data.read_exact_at(&mut held.buf, offset).is_ok()
                && let Some(bytes) = held.get(offset, out.len())
            {
                out.copy_from_slice(bytes);
                return Ok(());
            }
            held.buf.clear();
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

    /// Bytes that differ from each other, with a bad one, that counts its reads.
    struct Disk {
        bytes: Vec<u8>,
        bad: u64,
        reads: AtomicU64,
    }

    impl Disk {
        fn new(bad: u64) -> Disk {
            let bytes = (0..SIZE as u32).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
            Disk { bytes, bad, reads: AtomicU64::new(0) }
        }
    }

    impl ReadAt for Disk {
        fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if (offset..offset + buf.len() as u64).contains(&self.bad) {
                return Err(io::Error::other("bad"));
            }
            self.bytes.as_slice().read_exact_at(buf, offset)
        }
    }

    #[test]
    fn reads_in_a_row_are_few_reads() {
        let disk = Disk::new(u64::MAX);
        let stride = ReadAhead::new(&disk);
        let mut page = [0; 4096];
        for at in (0..SIZE).step_by(4096) {
            stride.read_exact_at(&mut page, at as u64).unwrap();
            assert_eq!(page[..], disk.bytes[at..at + 4096]);
        }
        assert!(disk.reads.load(Ordering::Relaxed) < 12, "{:?} reads of 75 pages", disk.reads);
    }

    proptest! {
        #[test]
        fn whatever_is_read_it_is_what_the_disk_says(
            bad in 0..2 * SIZE as u64,
            jumps in prop::collection::vec((0..SIZE as u64 + 9000, 0..9000usize, 0..20usize), 1..30),
        ) {
            let disk = Disk::new(bad);
            let stride = ReadAhead::new(&disk);
            for (mut at, len, again) in jumps {
                for _ in 0..=again {
                    let (mut ours, mut plain) = (vec![0; len], vec![0; len]);
                    let (got, want) = (stride.read_exact_at(&mut ours, at), disk.read_exact_at(&mut plain, at));
                    prop_assert_eq!(got.map_err(|e| e.kind()), want.map_err(|e| e.kind()));
                    prop_assert!(ours == plain || at <= bad && bad < at + len as u64 || at as usize + len > SIZE);
                    at += len as u64;
                }
            }
        }
    }
}
