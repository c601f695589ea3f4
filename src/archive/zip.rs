// SPDX-License-Identifier: Apache-2.0
//! Compressed snapshots as K3s makes them: a zip with one deflated entry that has the name of the snapshot without `.zip`.
//!
//! Packing and unpacking stream; neither holds a file in memory. The output of an archive is bounded.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::io::ReadAt;

/// Bytes of one read.
const CHUNK: usize = 256 * 1024;

/// A zip that is written while the bytes of its only entry come in.
pub(crate) struct Packer<W: Write + Seek> {
    zip: ZipWriter<Output<W>>,
    failed: Failure,
}

/// The first error of the output.
type Failure = Arc<Mutex<Option<io::Error>>>;

impl<W: Write + Seek> Packer<W> {
    /// Begins a zip in `out`, which is empty, with the entry `name` of `size` bytes. `at` is the time of the entry in seconds
    /// since the epoch.
    ///
    /// # Errors
    /// If the library refuses the name.
    pub(crate) fn new(name: &str, at: u64, size: u64, out: W) -> Result<Packer<W>> {
        let failed = Failure::default();
        let mut zip = ZipWriter::new(Output { to: out, at: 0, end: 0, failed: Arc::clone(&failed) });
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(dos_time(at))
            .unix_permissions(0o600)
            .large_file(size >= u64::from(u32::MAX));
        zip.start_file(name, options).context("writing the zip")?;
        Ok(Packer { zip, failed })
    }

    /// Adds the next bytes. After an error of the output it does nothing.
    ///
    /// # Errors
    /// If the library cannot compress them.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if lock(&self.failed).is_some() {
            return Ok(());
        }
        self.zip.write_all(bytes).context("writing the zip")
    }

    /// Ends the zip. The inner result is that of the output.
    ///
    /// # Errors
    /// If the library cannot end it.
    pub(crate) fn finish(self) -> Result<io::Result<()>> {
        self.zip.finish().context("writing the zip")?;
        Ok(lock(&self.failed).take().map_or(Ok(()), Err))
    }
}

fn lock(failed: &Failure) -> MutexGuard<'_, Option<io::Error>> {
    failed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The output of a zip. The library writes on after an error, when it is dropped, and asserts that its offsets fit. So it does
/// not learn of an error: after the first one, nothing is written, and the error is kept.
struct Output<W> {
    to: W,
    at: u64,
    end: u64,
    failed: Failure,
}

impl<W> Output<W> {
    /// The result, or what is wanted in place of an error that is kept.
    fn keep<T>(&self, result: io::Result<T>, wanted: T) -> io::Result<T> {
        match result {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                lock(&self.failed).get_or_insert(e);
                Ok(wanted)
            }
            other => other,
        }
    }

    fn has_failed(&self) -> bool {
        lock(&self.failed).is_some()
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = if self.has_failed() { Ok(buf.len()) } else { self.to.write(buf) };
        let n = self.keep(written, buf.len())?;
        self.at += n as u64;
        self.end = self.end.max(self.at);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = if self.has_failed() { Ok(()) } else { self.to.flush() };
        self.keep(flushed, ())
    }
}

impl<W: Seek> Seek for Output<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.end.checked_add_signed(n),
            SeekFrom::Current(n) => self.at.checked_add_signed(n),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        let sought = if self.has_failed() { Ok(at) } else { self.to.seek(SeekFrom::Start(at)) };
        self.at = self.keep(sought, at)?;
        Ok(self.at)
    }
}

/// What a zip contains. Damage of the zip is not an error.
#[derive(Debug)]
pub(crate) enum Unpacked {
    /// Everything was unpacked and its checksum is right; the name of the entry. The name may be any: a renamed zip is still
    /// whole.
    Whole(String),
    /// The archive is corrupt, or not one that K3s would restore, and why.
    Damaged(String),
}

/// Whether the bytes start with the magic number of a zip.
///
/// # Errors
/// If they cannot be read.
pub(crate) fn is_zip(data: &dyn ReadAt) -> Result<bool> {
    let mut head = [0u8; 4];
    if data.size() < 4 {
        return Ok(false);
    }
    data.read_exact_at(&mut head, 0).context("reading the first bytes")?;
    Ok(&head == b"PK\x03\x04")
}

/// The size in bytes that the entry claims to unpack to; `None` if there is no entry.
pub(crate) fn claimed_size(stored: &dyn ReadAt) -> Option<u64> {
    let mut archive = ZipArchive::new(Cursor { data: stored, at: 0 }).ok()?;
    Some(archive.by_index_raw(0).ok()?.size())
}

/// Writes the only entry to `out`. `ensure_space` is called once with the size that the archive claims, before any byte is
/// written.
///
/// # Errors
/// If the bytes cannot be read, `out` cannot be written, or the error of `ensure_space`.
pub(crate) fn unpack(
    stored: &dyn ReadAt,
    ensure_space: &dyn Fn(u64) -> Result<()>,
    out: &mut dyn Write,
) -> Result<Unpacked> {
    let damaged = |e: &dyn std::fmt::Display| Ok(Unpacked::Damaged(format!("the zip is corrupt: {e}")));
    let mut archive = match ZipArchive::new(Cursor { data: stored, at: 0 }) {
        Ok(archive) => archive,
        Err(e) => return damaged(&e),
    };
    // The count in the archive: the library merges two entries of the same name, K3s unpacks both.
    let entries = entries(stored)?.unwrap_or(archive.len() as u64);
    if entries != 1 {
        return Ok(Unpacked::Damaged(format!("the zip has {entries} entries instead of one")));
    }
    let mut entry = match archive.by_index(0) {
        Ok(entry) if entry.is_file() => entry,
        Ok(_) => return Ok(Unpacked::Damaged("the entry of the zip is not a file".to_owned())),
        Err(e @ (ZipError::UnsupportedArchive(_) | ZipError::InvalidPassword)) => {
            return Ok(Unpacked::Damaged(format!("not a zip that K3s can restore: {e}")));
        }
        Err(e) => return damaged(&e),
    };
    let name = match entry.name() {
        Ok(name) => name.into_owned(),
        Err(e) => return damaged(&e),
    };
    let size = entry.size();
    ensure_space(size)?;
    let mut buf = vec![0; CHUNK];
    let mut left = size;
    loop {
        let n = match entry.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => n as u64,
            Err(e) if e.raw_os_error().is_some() => return Err(e).context("reading the zip"),
            Err(e) => return damaged(&e),
        };
        if n > left {
            return Ok(Unpacked::Damaged(format!(
                "the zip entry has more bytes than the {size} of its header"
            )));
        }
        left -= n;
        out.write_all(buf.get(..n as usize).unwrap_or_default()).context("writing the unpacked snapshot")?;
    }
    if left > 0 {
        return Ok(Unpacked::Damaged(format!(
            "the zip entry has {left} bytes less than its header specifies"
        )));
    }
    Ok(Unpacked::Whole(name))
}

/// The number of entries in the end record of a zip; `None` if there is no end record, or if it refers to a zip64 record.
fn entries(stored: &dyn ReadAt) -> Result<Option<u64>> {
    let len = stored.size().min(22 + 65_535);
    let mut tail = vec![0; usize::try_from(len).unwrap_or(0)];
    stored.read_exact_at(&mut tail, stored.size() - len).context("reading the end of the zip")?;
    let end = tail.windows(22).rev().find(|w| w.starts_with(b"PK\x05\x06"));
    let count = end.and_then(|w| Some(u64::from(u16::from_le_bytes([*w.get(10)?, *w.get(11)?]))));
    Ok(count.filter(|n| *n != 0xffff))
}

fn dos_time(at: u64) -> DateTime {
    let civil = i64::try_from(at)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map(|t| t.to_zoned(jiff::tz::TimeZone::UTC));
    let part = |v: i8| u8::try_from(v).unwrap_or(0);
    civil
        .and_then(|t| {
            let year = u16::try_from(t.year()).ok()?;
            DateTime::from_date_and_time(
                year,
                part(t.month()),
                part(t.day()),
                part(t.hour()),
                part(t.minute()),
                part(t.second()),
            )
            .ok()
        })
        .unwrap_or_default()
}

/// A cursor over bytes that are read by position.
struct Cursor<'a> {
    data: &'a dyn ReadAt,
    at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.data.size().saturating_sub(self.at);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let Some(part) = buf.get_mut(..n) else { return Ok(0) };
        self.data.read_exact_at(part, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.data.size().checked_add_signed(n),
            SeekFrom::Current(n) => self.at.checked_add_signed(n),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(bytes: &[u8], out: impl Write + Seek) -> io::Result<()> {
        let mut packer = Packer::new("on-demand-n-5", 1795335110, bytes.len() as u64, out).unwrap();
        bytes.chunks(1000).for_each(|chunk| packer.write(chunk).unwrap());
        packer.finish().unwrap()
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = io::Cursor::new(Vec::new());
        pack(bytes, &mut out).unwrap();
        out.into_inner()
    }

    /// A disk that is full after so many bytes.
    struct Full(io::Cursor<Vec<u8>>, u64);

    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let room = usize::try_from(self.1.saturating_sub(self.0.position())).unwrap().min(buf.len());
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.write(&buf[..room])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Full {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_disk_that_is_full_anywhere_is_an_error_and_no_panic() {
        let bytes: Vec<u8> = (0..5_000u32).map(|i| (i / 7) as u8).collect();
        for room in 0..packed(&bytes).len() as u64 {
            let mut out = Full(io::Cursor::new(Vec::new()), room);
            let e = pack(&bytes, &mut out).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::StorageFull, "room for {room} bytes");
        }
    }

    #[test]
    fn packed_bytes_are_unpacked_unchanged() {
        let bytes: Vec<u8> = (0..700_000u32).map(|i| (i / 3) as u8).collect();
        let mut out = Vec::new();
        let got = unpack(&&packed(&bytes)[..], &|_| Ok(()), &mut out).unwrap();
        assert!(matches!(got, Unpacked::Whole(name) if name == "on-demand-n-5"));
        assert_eq!(out, bytes);
    }

    #[test]
    fn cuts_are_found_and_flips_are_found_or_change_nothing() {
        let bytes: Vec<u8> = (0..5_000u32).map(|i| (i / 7) as u8).collect();
        let whole = packed(&bytes);
        for cut in 0..whole.len() {
            let got = unpack(&&whole[..cut], &|_| Ok(()), &mut Vec::new()).unwrap();
            assert!(matches!(got, Unpacked::Damaged(_)), "cut to {cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut out = Vec::new();
            if let Ok(Unpacked::Whole(_)) = unpack(&&flipped[..], &|_| Ok(()), &mut out) {
                assert_eq!(out, bytes, "the flip at {at} was not found");
            }
        }
    }

    #[test]
    fn a_zip_of_several_files_is_damaged() {
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        for name in ["a", "b"] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        let got = unpack(&&bytes[..], &|_| Ok(()), &mut Vec::new()).unwrap();
        assert!(matches!(got, Unpacked::Damaged(_)));
    }
}
