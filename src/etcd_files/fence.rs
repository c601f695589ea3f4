// SPDX-License-Identifier: Apache-2.0
//! Gives the write-ahead log of an etcd member another cluster id.
//!
//! etcd reads its cluster id from the metadata in its log only, and refuses messages of members with another id. Two
//! restores on the same K3s server make clusters of the same id and the same member id. If members of the lost cluster
//! start with their old data, they take the restored member over: it serves the data of the lost cluster. A new cluster
//! id fences the restored member.
//!
//! Every file has the metadata, and the checksum of a record covers all data before it, so all files are rewritten. The
//! length of a record changes with its checksum, so a file cannot be patched in place.

use std::io::Write;

use anyhow::Context;

use super::crc32c;
use super::proto::{Field, fields, put_bytes, put_number, put_varint};
use super::wal::{Kind, Reader, Record, WalInfo, WalScan, corrupt, frame_length};
use crate::error::{self, Code, Fault};
use crate::io::ReadAt;

/// Rewrites the files of a log, one after the other, with another cluster id.
#[derive(Debug)]
pub struct Fence {
    cluster_id: u64,
    scan: WalScan,
    /// The checksum of all new data so far. `None` before the first record.
    crc: Option<u32>,
}

impl Fence {
    /// Begins a rewrite.
    ///
    /// # Errors
    ///
    /// `unexpected`, of the kind refused, if the id is 0: etcd uses 0 for an unknown id.
    pub fn new(cluster_id: u64) -> anyhow::Result<Fence> {
        if cluster_id == 0 {
            let text = "setting the cluster id in the write-ahead log: 0 is not an id";
            return Err(Fault::new(Code::Unexpected, text).of_kind(error::Kind::Refused).into());
        }
        Ok(Fence { cluster_id, scan: WalScan::new(), crc: None })
    }

    /// The new cluster id.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// Writes the next file to `out`, without the zeros after the last record. Returns the number of bytes written.
    ///
    /// # Errors
    ///
    /// As [`WalScan::file`], and an error of the writer. After an error, `out` has a part of the records, and the rewrite
    /// cannot be continued.
    pub fn file(&mut self, data: &dyn ReadAt, out: &mut dyn Write) -> anyhow::Result<u64> {
        let Fence { cluster_id, scan, crc } = self;
        let mut written = 0;
        scan.records(data, &mut |record, reader| {
            written += match record.kind {
                Kind::Crc => write(out, record.kind, *crc.get_or_insert(record.crc), None)?,
                Kind::Metadata => {
                    let metadata = with_cluster_id(&reader.small(record)?, *cluster_id)?;
                    write_data(out, crc, &metadata)?
                }
                _ => copy(out, crc, record, reader)?,
            };
            Ok(())
        })?;
        Ok(written)
    }

    /// Ends the rewrite and returns the facts of the old files.
    ///
    /// # Errors
    ///
    /// `database-corrupt` if there was no file.
    pub fn finish(self) -> anyhow::Result<WalInfo> {
        self.scan.finish()
    }
}

/// Copies a record with its new checksum. The checksum comes before the data, so the data is read twice.
fn copy(
    out: &mut dyn Write,
    crc: &mut Option<u32>,
    record: Record,
    reader: &mut Reader<'_>,
) -> anyhow::Result<u64> {
    let mut sum = crc.unwrap_or_default();
    reader.data(record, &mut |piece| {
        sum = crc32c::update(sum, piece);
        Ok(())
    })?;
    *crc = Some(sum);
    let len = record.data_len();
    let head = write(out, record.kind, sum, len)?;
    reader.data(record, &mut |piece| out.write_all(piece).context("writing the write-ahead log"))?;
    pad(out, head, len)
}

/// Writes the record of the metadata.
fn write_data(out: &mut dyn Write, crc: &mut Option<u32>, metadata: &[u8]) -> anyhow::Result<u64> {
    let sum = crc32c::update(crc.unwrap_or_default(), metadata);
    *crc = Some(sum);
    let len = Some(metadata.len() as u64);
    let head = write(out, Kind::Metadata, sum, len)?;
    out.write_all(metadata).context("writing the write-ahead log")?;
    pad(out, head, len)
}

/// Writes the length and the head of a record with `data` bytes of data; all of the record if it has no data field.
/// Returns the number of bytes written.
fn write(out: &mut dyn Write, kind: Kind, crc: u32, data: Option<u64>) -> anyhow::Result<u64> {
    let mut head = Vec::new();
    put_number(&mut head, 1, kind as u64);
    put_number(&mut head, 2, crc.into());
    if let Some(len) = data {
        put_varint(&mut head, 3 << 3 | 2);
        put_varint(&mut head, len);
    }
    let len = head.len() as u64 + data.unwrap_or(0);
    let frame = [&frame_length(len).to_le_bytes()[..], &head].concat();
    out.write_all(&frame).context("writing the write-ahead log")?;
    if data.is_none() {
        return pad(out, frame.len() as u64, None);
    }
    Ok(frame.len() as u64)
}

/// Writes the padding of a record whose length and head have `head` bytes. Returns the bytes of the whole record.
fn pad(out: &mut dyn Write, head: u64, data: Option<u64>) -> anyhow::Result<u64> {
    let len = head + data.unwrap_or(0);
    let zeros = [0; 7];
    let padding = usize::try_from(len.wrapping_neg() & 7)?;
    out.write_all(zeros.get(..padding).unwrap_or_default()).context("writing the write-ahead log")?;
    Ok(len + padding as u64)
}

/// The metadata with another cluster id. Other fields do not change.
fn with_cluster_id(metadata: &[u8], cluster_id: u64) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    for field in fields(metadata).ok_or_else(|| corrupt("malformed metadata".into()))? {
        match field {
            Field::Number(2, _) => put_number(&mut out, 2, cluster_id),
            Field::Number(name, number) => put_number(&mut out, name, number),
            Field::Bytes(name, bytes) => put_bytes(&mut out, name, bytes),
        }
    }
    Ok(out)
}
