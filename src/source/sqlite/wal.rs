// SPDX-License-Identifier: Apache-2.0
//! Damage of SQLite's write-ahead log, which SQLite itself does not report.
//!
//! Each frame of the log has a checksum over itself and all frames before it. SQLite computes it only when it opens a database that
//! no process has open: then the log ends for it at the first frame that does not match, and the transactions after it are lost
//! without a word. A process that has the database open uses them still. Source: "WAL-mode File Format" of the SQLite
//! documentation.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::connection::with_suffix;
use crate::host::FileAt;
use crate::io::ReadAt;

/// The header of the log, and that of a frame.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first bytes of the log. The last bit: its checksums are computed with big-endian numbers.
const MAGIC: u32 = 0x377f_0682;
/// The byte of the shared memory file that each process with an open database locks, and where it has the number of frames.
const IN_USE_LOCK: i64 = 128;
const LAST_FRAME: u64 = 16;
/// A log that begins again during the look at it is looked at again, after this time.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// The largest page of SQLite.
const MAX_PAGE: u32 = 65536;

/// A frame that does not match its checksum, with transactions after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The log.
    log: PathBuf,
    /// Byte of the frame.
    offset: u64,
    /// How many transactions follow it; `None` if a process has the database open, which has them still.
    lost: Option<u64>,
}

impl Damage {
    /// Looks at the log of the database `db`. No connection of this process may be open: closing a file releases all locks that
    /// this process has on it. What cannot be read is reported by the connection that is opened later.
    pub(super) fn find(db: &Path) -> Option<Damage> {
        let (log, shared) = (with_suffix(db, "-wal"), with_suffix(db, "-shm"));
        let mut found = None;
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(PAUSE);
            }
            let in_use = last_frame_in_use(&shared).ok()?;
            let (offset, later) = first_break(&log, in_use).ok()??;
            let lost = if in_use.is_some() { None } else { Some(later) };
            if lost == Some(0) {
                // The end of the log, which a crash may have cut.
                return None;
            }
            let this = Some(Damage { log: log.clone(), offset, lost });
            if lost.is_some() || found == this {
                return this;
            }
            found = this;
        }
        None
    }

    /// For a warning.
    pub(super) fn sentence(&self) -> String {
        let (log, offset) = (self.log.display(), self.offset);
        match self.lost {
            None => format!(
                "the write-ahead log '{log}' is corrupt at byte {offset}: K3s and the snapshot have the transactions after it, \
                 but K3s loses them when it starts the next time, and a value can be wrong"
            ),
            Some(lost) => format!(
                "the write-ahead log '{log}' is corrupt at byte {offset}: {lost} transactions after it are lost, for K3s too, and the \
                 snapshot does not have them"
            ),
        }
    }
}

/// The number of the last frame that is in use, if a process has the database open.
fn last_frame_in_use(shared: &Path) -> Result<Option<u32>> {
    let file = match File::open(shared) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => FileAt::new(file?)?,
    };
    if !file.is_locked_elsewhere(IN_USE_LOCK)? {
        return Ok(None);
    }
    let mut number = [0; 4];
    file.read_exact_at(&mut number, LAST_FRAME)?;
    Ok(Some(u32::from_ne_bytes(number)))
}

/// The byte of the first frame that does not match, and how many transactions the log has after it. Of a log that is in use, only the
/// frames up to `last` are read: the later ones are being written. `None` if there is no such frame.
fn first_break(log: &Path, last: Option<u32>) -> io::Result<Option<(u64, u64)>> {
    let file = match File::open(log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut header = [0; HEADER];
    if !fill(&mut reader, &mut header)? {
        return Ok(None);
    }
    let Some(log) = Header::parse(&header) else { return Ok(None) };
    let mut frame = vec![0; FRAME_HEADER + log.page_size as usize];
    let (mut sum, mut offset, mut number, mut broken, mut later) = (log.sum, HEADER as u64, 0, None, 0);
    while last.is_none_or(|last| number < last) && fill(&mut reader, &mut frame)? {
        let matches = log.salt == [word(&frame, 8), word(&frame, 12)] && {
            let (head, page) = frame.split_at(FRAME_HEADER);
            log.add(log.add(sum, head.get(..8).unwrap_or_default()), page) == [word(head, 16), word(head, 20)]
        };
        if !matches && broken.is_none() {
            broken = Some(offset);
        } else if matches && broken.is_some() && word(&frame, 4) != 0 {
            // It follows from the checksum of the frame before it, so it is no left-over.
            later += 1;
        }
        // After damage, the next frame is compared with what this one says of itself.
        sum = [word(&frame, 16), word(&frame, 20)];
        offset += frame.len() as u64;
        number += 1;
    }
    Ok(broken.map(|offset| (offset, later)))
}

/// What the frames are compared with.
struct Header {
    page_size: u32,
    salt: [u32; 2],
    sum: [u32; 2],
    is_big_endian: bool,
}

impl Header {
    /// `None` if it is not the header of a log. SQLite then uses nothing of it.
    fn parse(bytes: &[u8; HEADER]) -> Option<Header> {
        let page_size = word(bytes, 8);
        let header = Header {
            page_size,
            salt: [word(bytes, 16), word(bytes, 20)],
            sum: [word(bytes, 24), word(bytes, 28)],
            is_big_endian: word(bytes, 0) & 1 == 1,
        };
        let is_valid = word(bytes, 0) & !1 == MAGIC
            && page_size.is_power_of_two()
            && (512..=MAX_PAGE).contains(&page_size)
            && header.add([0, 0], bytes.get(..24).unwrap_or_default()) == header.sum;
        is_valid.then_some(header)
    }

    /// The checksum of the log.
    fn add(&self, sum: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        let [mut a, mut b] = sum;
        for pair in bytes.chunks_exact(8) {
            let numbers = [word(pair, 0), word(pair, 4)];
            let [x, y] = if self.is_big_endian { numbers } else { numbers.map(u32::swap_bytes) };
            a = a.wrapping_add(x).wrapping_add(b);
            b = b.wrapping_add(y).wrapping_add(a);
        }
        [a, b]
    }
}

/// A big-endian number.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// False at the end of the file.
fn fill(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buf) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}
