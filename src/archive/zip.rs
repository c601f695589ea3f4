// SPDX-License-Identifier: Apache-2.0
//! K3s's compressed snapshots: a zip with one deflated entry, named as the snapshot without `.zip`.
//!
//! Packing and unpacking stream; neither holds a file in memory. What comes out of an archive is bounded.

use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::host::Progress;
use crate::io::ReadAt;

const CHUNK: usize = 256 * 1024;

/// Writes `plain` as the one entry `name` of a zip. `at` is the entry's time, seconds since the epoch.
pub fn pack(
    plain: &dyn ReadAt,
    name: &str,
    at: u64,
    out: impl Write + Seek,
    progress: &dyn Progress,
) -> Result<()> {
    let mut zip = ZipWriter::new(out);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(dos_time(at))
        .unix_permissions(0o600)
        .large_file(plain.size() >= u64::from(u32::MAX));
    zip.start_file(name, options).context("starting the zip")?;
    let mut reader = Cursor { data: plain, at: 0 };
    let mut buf = vec![0; CHUNK];
    loop {
        let n = reader.read(&mut buf).context("reading the snapshot to compress it")?;
        if n == 0 {
            break;
        }
        zip.write_all(buf.get(..n).unwrap_or_default()).context("writing the zip")?;
        progress.advance(n as u64);
    }
    zip.finish().context("ending the zip")?;
    Ok(())
}

/// Why a zip is not a compressed snapshot: damage, told apart from an error of the machine.
#[derive(Debug)]
pub enum Unpacked {
    /// All bytes are out and their checksum held; the entry's name.
    Whole(String),
    /// The archive is damaged, or not one that K3s would restore. In words.
    Damaged(String),
}

/// Whether the bytes begin like a zip.
///
/// # Errors
/// If they cannot be read.
pub fn is_zip(data: &dyn ReadAt) -> Result<bool> {
    let mut head = [0u8; 4];
    if data.size() < 4 {
        return Ok(false);
    }
    data.read_exact_at(&mut head, 0).context("reading the first bytes")?;
    Ok(&head == b"PK\x03\x04")
}

/// The size that the one entry claims to unpack to; `None` where there is none.
pub fn claimed_size(stored: &dyn ReadAt) -> Option<u64> {
    let mut archive = ZipArchive::new(Cursor { data: stored, at: 0 }).ok()?;
    Some(archive.by_index_raw(0).ok()?.size())
}

/// Writes the one entry to `out`. `room` is told the size that the archive claims, before any byte.
pub fn unpack(
    stored: &dyn ReadAt,
    room: &dyn Fn(u64) -> Result<()>,
    out: &mut dyn Write,
) -> Result<Unpacked> {
    let damaged = |e: &dyn std::fmt::Display| Ok(Unpacked::Damaged(format!("the zip is damaged: {e}")));
    let mut archive = match ZipArchive::new(Cursor { data: stored, at: 0 }) {
        Ok(archive) => archive,
        Err(e) => return damaged(&e),
    };
    // The archive's own count: the reader takes two entries of one name for one, K3s unpacks both.
    let entries = entries(stored)?.unwrap_or(archive.len() as u64);
    if entries != 1 {
        return Ok(Unpacked::Damaged(format!("the zip holds {entries} entries; a snapshot is one")));
    }
    let mut entry = match archive.by_index(0) {
        Ok(entry) if entry.is_file() => entry,
        Ok(_) => return Ok(Unpacked::Damaged("the zip's entry is not a file".to_owned())),
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
    room(size)?;
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
            return Ok(Unpacked::Damaged(format!("the zip holds more than the {size} bytes it claims")));
        }
        left -= n;
        out.write_all(buf.get(..n as usize).unwrap_or_default()).context("writing the unpacked snapshot")?;
    }
    if left > 0 {
        return Ok(Unpacked::Damaged(format!("the zip holds {left} bytes less than it claims")));
    }
    Ok(Unpacked::Whole(name))
}

/// How many entries the end record of a zip counts; `None` where it is not found or refers to a larger one.
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

/// A cursor over bytes read by position.
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
    use crate::host::NoProgress;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = io::Cursor::new(Vec::new());
        pack(&Bytes(bytes.to_vec()), "on-demand-n-5", 1795335110, &mut out, &NoProgress).unwrap();
        out.into_inner()
    }

    struct Bytes(Vec<u8>);

    impl ReadAt for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.as_slice().read_exact_at(buf, offset)
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let bytes: Vec<u8> = (0..700_000u32).map(|i| (i / 3) as u8).collect();
        let mut out = Vec::new();
        let got = unpack(&Bytes(packed(&bytes)), &|_| Ok(()), &mut out).unwrap();
        assert!(matches!(got, Unpacked::Whole(name) if name == "on-demand-n-5"));
        assert_eq!(out, bytes);
    }

    #[test]
    fn every_cut_and_every_flip_is_found_or_harmless() {
        let bytes: Vec<u8> = (0..5_000u32).map(|i| (i / 7) as u8).collect();
        let whole = packed(&bytes);
        for cut in 0..whole.len() {
            let got = unpack(&Bytes(whole[..cut].to_vec()), &|_| Ok(()), &mut Vec::new()).unwrap();
            assert!(matches!(got, Unpacked::Damaged(_)), "cut to {cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut out = Vec::new();
            if let Ok(Unpacked::Whole(_)) = unpack(&Bytes(flipped), &|_| Ok(()), &mut out) {
                assert_eq!(out, bytes, "flip at {at} changed the content unnoticed");
            }
        }
    }

    #[test]
    fn an_archive_of_several_files_is_not_a_snapshot() {
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        for name in ["a", "b"] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        let got = unpack(&Bytes(bytes), &|_| Ok(()), &mut Vec::new()).unwrap();
        assert!(matches!(got, Unpacked::Damaged(why) if why.contains("2 entries")));
    }
}
