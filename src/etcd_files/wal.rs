// SPDX-License-Identifier: Apache-2.0
//! The write-ahead log of etcd: reads its files record by record and verifies each record.
//!
//! A file is a sequence of records, followed by zeros up to the size that was allocated. A record has 8 bytes of length,
//! the protobuf message `Record { type, crc, data }`, and zeros up to a multiple of 8 bytes. `crc` is the CRC-32C of the
//! data of all records in all files up to this record. The first record of a file has the checksum of all data before
//! the file, the second record has the metadata.
//!
//! An incomplete last record is an error. etcd repairs it at its start, but a log of an etcd that was stopped in order
//! does not have it.

use anyhow::Context;

use super::crc32c;
use super::proto::{fields, number, varint};
use crate::error::{Code, Fault};
use crate::io::ReadAt;

/// Bytes of the length before a record.
const LENGTH: u64 = 8;
/// Bytes that are read at once. No more of a file is in memory.
const WINDOW: u64 = 256 * 1024;
/// Type, checksum and length of the data of a record have at most so many bytes.
const MAX_HEAD: u64 = 32;
/// The data of a record that is not an entry has at most so many bytes.
const MAX_SMALL: u64 = 64 * 1024;

/// The type of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Metadata = 1,
    Entry = 2,
    State = 3,
    Crc = 4,
    Snapshot = 5,
}

impl Kind {
    fn parse(number: u64) -> Option<Kind> {
        let all = [Kind::Metadata, Kind::Entry, Kind::State, Kind::Crc, Kind::Snapshot];
        all.into_iter().find(|kind| *kind as u64 == number)
    }
}

/// A record in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) crc: u32,
    /// Offset and length of the data in the file. `None` if the record has no data field.
    data: Option<(u64, u64)>,
}

impl Record {
    /// The length of the data. `None` if the record has no data field.
    pub(super) fn data_len(&self) -> Option<u64> {
        self.data.map(|(_, len)| len)
    }
}

/// The facts of a write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalInfo {
    /// The id of the member.
    pub node_id: u64,
    /// The id of the cluster.
    pub cluster_id: u64,
    /// The raft index of the last entry, or of the last raft snapshot if that is later.
    pub last_index: u64,
    /// The highest raft term.
    pub term: u64,
    /// The number of records in all files.
    pub records: u64,
}

/// Reads and verifies the files of a log, one after the other.
#[derive(Debug, Default)]
pub struct WalScan {
    info: WalInfo,
    /// The checksum of all data so far. `None` before the first record.
    crc: Option<u32>,
    /// The index of the last raft snapshot.
    snapshot: u64,
    metadata: Option<Vec<u8>>,
}

impl WalScan {
    /// Begins a scan.
    pub fn new() -> WalScan {
        WalScan::default()
    }

    /// Reads the next file.
    ///
    /// # Errors
    ///
    /// `database-corrupt` if the file is not a complete log file, or does not continue the file before. An error of the
    /// reader.
    pub fn file(&mut self, data: &dyn ReadAt) -> anyhow::Result<()> {
        self.records(data, &mut |_, _| Ok(())).map(|_| ())
    }

    /// The raft index of the last entry so far, or of the last raft snapshot if that is later. `None` before the first entry.
    pub(super) fn last_index(&self) -> Option<u64> {
        Some(self.info.last_index.max(self.snapshot)).filter(|_| self.metadata.is_some())
    }

    /// Ends the scan and returns the facts of all files.
    ///
    /// # Errors
    ///
    /// `database-corrupt` if there was no file.
    pub fn finish(self) -> anyhow::Result<WalInfo> {
        match self.metadata {
            Some(_) => Ok(WalInfo { last_index: self.info.last_index.max(self.snapshot), ..self.info }),
            None => Err(corrupt("there is no file".into())),
        }
    }

    /// Reads the next file and calls `show` with each verified record. Returns the number of bytes of all records.
    pub(super) fn records(
        &mut self,
        data: &dyn ReadAt,
        show: &mut dyn FnMut(Record, &mut Reader<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let mut reader = Reader { data, size: data.size(), at: 0, from: 0, held: Vec::new() };
        let mut count = 0_u64;
        while let Some(record) = reader.next()? {
            let place = |text: &str| corrupt(format!("record {count}: {text}"));
            match (count, record.kind) {
                (0, Kind::Crc) | (1, Kind::Metadata) => {}
                (0 | 1, _) | (_, Kind::Crc | Kind::Metadata) => {
                    return Err(place("unexpected type"));
                }
                _ => {}
            }
            self.sum(record, &mut reader).and_then(|good| match good {
                true => Ok(()),
                false => Err(place("wrong checksum")),
            })?;
            if !self.content(record, &mut reader)? {
                return Err(place("malformed data, or other metadata than in the file before"));
            }
            show(record, &mut reader)?;
            count += 1;
        }
        if count < 2 {
            return Err(corrupt("a file has no records".into()));
        }
        self.info.records += count;
        let end = reader.at;
        reader.ends_with_zeros()?;
        Ok(end)
    }

    /// Adds the data of a record to the checksum. Returns whether the record has the same checksum.
    fn sum(&mut self, record: Record, reader: &mut Reader<'_>) -> anyhow::Result<bool> {
        if record.kind == Kind::Crc {
            // etcd deletes old files. The first file that is left begins with the checksum of the deleted ones.
            let expected = *self.crc.get_or_insert(record.crc);
            return Ok(record.crc == expected && record.data.is_none());
        }
        let mut crc = self.crc.unwrap_or_default();
        reader.data(record, &mut |piece| {
            crc = crc32c::update(crc, piece);
            Ok(())
        })?;
        self.crc = Some(crc);
        Ok(record.crc == crc)
    }

    /// Reads the facts of a record. Returns false if its data is malformed.
    fn content(&mut self, record: Record, reader: &mut Reader<'_>) -> anyhow::Result<bool> {
        Ok(match record.kind {
            Kind::Crc => true,
            Kind::Entry => {
                // Type, term and index come first. The data of an entry after them can have megabytes.
                let Some((term, index)) = entry(&reader.head(record)?) else { return Ok(false) };
                (self.info.term, self.info.last_index) = (self.info.term.max(term), index);
                true
            }
            Kind::State => {
                let state = reader.small(record)?;
                let term = number(&state, 1);
                self.info.term = self.info.term.max(term.unwrap_or(0));
                term.is_some()
            }
            Kind::Snapshot => {
                let snapshot = reader.small(record)?;
                self.snapshot = self.snapshot.max(number(&snapshot, 1).unwrap_or(0));
                fields(&snapshot).is_some()
            }
            Kind::Metadata => {
                let metadata = reader.small(record)?;
                let (Some(node), Some(cluster)) = (number(&metadata, 1), number(&metadata, 2)) else {
                    return Ok(false);
                };
                (self.info.node_id, self.info.cluster_id) = (node, cluster);
                *self.metadata.get_or_insert_with(|| metadata.clone()) == metadata
            }
        })
    }
}

/// Term and index of a raft entry. `head` has its first bytes. Since etcd 3.7, the type is not written if it is zero.
fn entry(head: &[u8]) -> Option<(u64, u64)> {
    let (mut at, mut found) = (0, [None; 3]);
    for (tag, slot) in [0x08, 0x10, 0x18].into_iter().zip(&mut found) {
        if *head.get(at)? == tag {
            let (number, used) = varint(head.get(at + 1..)?)?;
            at += 1 + used;
            *slot = Some(number);
        }
    }
    let [_, term, index] = found;
    Some((term?, index?))
}

/// One file of a log, and the position in it.
pub(super) struct Reader<'a> {
    data: &'a dyn ReadAt,
    size: u64,
    /// The offset of the next record.
    at: u64,
    /// The offset of the bytes in `held`.
    from: u64,
    held: Vec<u8>,
}

impl Reader<'_> {
    /// The next record. `None` after the last one.
    fn next(&mut self) -> anyhow::Result<Option<Record>> {
        let place = self.at;
        let wrong = |text: &str| corrupt(format!("offset {place}: {text}"));
        let left = self.size.saturating_sub(self.at);
        if left == 0 {
            return Ok(None);
        }
        if left < LENGTH {
            return Err(wrong("incomplete record"));
        }
        let length = self.bytes(self.at, LENGTH)?.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        if length == 0 {
            return Ok(None);
        }
        let (len, padding) = (length & (u64::MAX >> 8), (length >> 56) & 7);
        if length != frame_length(len) || len > left - LENGTH || len + padding > left - LENGTH {
            return Err(wrong("malformed length or incomplete record"));
        }
        let start = self.at + LENGTH;
        let head = self.bytes(start, len.min(MAX_HEAD))?;
        let record = head_of(head, len).ok_or_else(|| wrong("malformed record"))?;
        self.at = start + len + padding;
        let data = record.data.map(|(at, len)| (start + at, len));
        Ok(Some(Record { data, ..record }))
    }

    /// Calls `take` with the data of a record, in pieces.
    pub(super) fn data(
        &mut self,
        record: Record,
        take: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut at, mut left) = record.data.unwrap_or_default();
        while left > 0 {
            let piece = self.bytes(at, left.min(WINDOW))?;
            take(piece)?;
            let len = piece.len() as u64;
            (at, left) = (at + len, left - len);
        }
        Ok(())
    }

    /// The first bytes of the data.
    fn head(&mut self, record: Record) -> anyhow::Result<Vec<u8>> {
        let (at, len) = record.data.unwrap_or_default();
        Ok(self.bytes(at, len.min(MAX_HEAD + MAX_HEAD))?.to_vec())
    }

    /// The data of a record that is not an entry.
    pub(super) fn small(&mut self, record: Record) -> anyhow::Result<Vec<u8>> {
        let (at, len) = record.data.unwrap_or_default();
        if len > MAX_SMALL {
            return Err(corrupt(format!(
                "offset {at}: {len} bytes of data in a record that is not an entry"
            )));
        }
        Ok(self.bytes(at, len)?.to_vec())
    }

    /// Checks that only zeros follow the last record. Anything else is the rest of a record that was lost.
    fn ends_with_zeros(&mut self) -> anyhow::Result<()> {
        let mut at = self.at;
        while at < self.size {
            let piece = self.bytes(at, WINDOW.min(self.size - at))?;
            if piece.iter().any(|byte| *byte != 0) {
                return Err(corrupt(format!("offset {at}: bytes other than zero after the last record")));
            }
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// The `len` bytes at offset `at`, at most [`WINDOW`].
    fn bytes(&mut self, at: u64, len: u64) -> anyhow::Result<&[u8]> {
        let end = at.saturating_add(len);
        if at < self.from || end > self.from.saturating_add(self.held.len() as u64) {
            let fetch = WINDOW.min(self.size.saturating_sub(at)).max(len);
            self.held.clear();
            self.held.resize(usize::try_from(fetch)?, 0);
            self.from = at;
            self.data.read_exact_at(&mut self.held, at).context("reading the write-ahead log")?;
        }
        let skip = usize::try_from(at - self.from)?;
        let held = self.held.get(skip..).and_then(|held| held.get(..usize::try_from(len).ok()?));
        held.ok_or_else(|| corrupt("a record passes the end of the file".into()))
    }
}

/// The length field of a record of `len` bytes. If the record has padding, the highest byte has its size.
pub(super) fn frame_length(len: u64) -> u64 {
    match len.wrapping_neg() & 7 {
        0 => len,
        padding => len | (0x80 | padding) << 56,
    }
}

/// Parses a record of `len` bytes. `head` has its first bytes; the offset of the data counts from them.
fn head_of(head: &[u8], len: u64) -> Option<Record> {
    let field = |at: usize, tag: u8| {
        let (number, used) =
            head.get(at..)?.split_first().filter(|(t, _)| **t == tag).and_then(|(_, b)| varint(b))?;
        Some((number, at + 1 + used))
    };
    let (kind, at) = field(0, 0x08)?;
    let (crc, at) = field(at, 0x10)?;
    let data = match head.get(at) {
        None => (at as u64 == len).then_some(None)?,
        Some(_) => {
            let (data, at) = field(at, 0x1A)?;
            (len.checked_sub(at as u64)? == data).then_some(Some((at as u64, data)))?
        }
    };
    Some(Record { kind: Kind::parse(kind)?, crc: u32::try_from(crc).ok()?, data })
}

/// An error about the content of the log.
pub(super) fn corrupt(cause: String) -> anyhow::Error {
    Fault::new(Code::DatabaseCorrupt, format!("write-ahead log: {cause}")).into()
}

#[cfg(test)]
mod tests {
    use super::entry;

    #[test]
    fn entries_of_every_version_of_etcd_have_a_term_and_an_index() {
        let rows: [(&[u8], _); 8] = [
            (b"\x08\x00\x10\x02\x18\x96\x01\x22\x01x", Some((2, 150))),
            (b"\x08\x01\x10\x01\x18\x01\x22\x01x", Some((1, 1))),
            // etcd 3.7: without the type of an entry that is no change of the members.
            (b"\x10\x02\x18\x96\x01\x22\x01x", Some((2, 150))),
            (b"\x10\x02\x18\x03", Some((2, 3))),
            (b"\x08\x00\x10\x02\x22\x01x", None),
            (b"\x08\x00\x18\x02\x22\x01x", None),
            (b"\x18\x02\x10\x02", None),
            (b"", None),
        ];
        for (head, wanted) in rows {
            assert_eq!(entry(head), wanted, "{head:?}");
        }
    }
}
