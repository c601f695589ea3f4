// SPDX-License-Identifier: Apache-2.0
//! Writes and reads write-ahead logs in the format of etcd. Shares no code with the program.

/// Type and data of a record. A record with the checksum so far has no data.
pub(crate) type Entry = (u8, Option<Vec<u8>>);

pub(crate) const METADATA: u8 = 1;
pub(crate) const ENTRY: u8 = 2;
pub(crate) const STATE: u8 = 3;
pub(crate) const CRC: u8 = 4;
pub(crate) const SNAPSHOT: u8 = 5;

/// CRC-32C bit by bit.
fn crc(sum: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!sum, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |s, _| if s & 1 == 1 { s >> 1 ^ 0x82F6_3B78 } else { s >> 1 })
    })
}

pub(crate) fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push((n & 0x7F) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// A message of numbers in the fields 1, 2, 3 and so on.
pub(crate) fn numbers(all: &[u64]) -> Vec<u8> {
    all.iter().enumerate().flat_map(|(i, n)| [varint((i as u64 + 1) << 3), varint(*n)].concat()).collect()
}

/// A raft entry. etcd 3.7 does not write the type 0; every second entry is like that.
pub(crate) fn entry(term: u64, index: u64, data: &[u8]) -> Vec<u8> {
    let head = numbers(&[0, term, index]).split_off(if index.is_multiple_of(2) { 2 } else { 0 });
    [&head[..], &[0x22], &varint(data.len() as u64), data].concat()
}

/// Writes the files of a log.
pub(crate) struct Writer {
    crc: u32,
    /// The bytes of the file.
    pub(crate) file: Vec<u8>,
}

impl Writer {
    /// Begins a file after data with this checksum.
    pub(crate) fn new(crc: u32, metadata: &[u8]) -> Writer {
        let mut writer = Writer { crc, file: Vec::new() };
        writer.record(CRC, None);
        writer.record(METADATA, Some(metadata));
        writer
    }

    pub(crate) fn record(&mut self, kind: u8, data: Option<&[u8]>) {
        self.crc = crc(self.crc, data.unwrap_or_default());
        let mut record = [&[0x08, kind, 0x10][..], &varint(self.crc.into())].concat();
        if let Some(data) = data {
            record.extend([&[0x1A][..], &varint(data.len() as u64), data].concat());
        }
        let padding = (8 - record.len() % 8) % 8;
        let mark = if padding == 0 { 0 } else { (0x80 | padding as u64) << 56 };
        self.file.extend((record.len() as u64 | mark).to_le_bytes());
        self.file.extend(&record);
        self.file.resize(self.file.len() + padding, 0);
    }

    /// Ends the file. Returns its bytes and the checksum for the next file.
    pub(crate) fn end(self) -> (Vec<u8>, u32) {
        (self.file, self.crc)
    }
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut n = 0;
    for i in 0.. {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        n |= u64::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return n;
        }
    }
    n
}

/// The records of all files of a log. Panics if a file is malformed.
pub(crate) fn read(files: &[Vec<u8>]) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut sum = None;
    for file in files {
        let mut rest = &file[..];
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap());
            if length == 0 {
                assert!(rest.iter().all(|b| *b == 0));
                break;
            }
            let (len, padding) = ((length & (u64::MAX >> 8)) as usize, (length >> 56 & 7) as usize);
            assert_eq!((len + padding) % 8, 0);
            let mut record = &rest[8..8 + len];
            rest = &rest[8 + len + padding..];
            assert_eq!(take_varint(&mut record), 0x08);
            let kind = take_varint(&mut record) as u8;
            assert_eq!(take_varint(&mut record), 0x10);
            let stored = take_varint(&mut record) as u32;
            let data = (!record.is_empty()).then(|| {
                assert_eq!(take_varint(&mut record), 0x1A);
                assert_eq!(take_varint(&mut record) as usize, record.len());
                record.to_vec()
            });
            match kind {
                CRC => assert_eq!(*sum.get_or_insert(stored), stored),
                _ => sum = Some(crc(sum.unwrap(), data.as_ref().unwrap())),
            }
            assert_eq!(sum, Some(stored));
            all.push((kind, data));
        }
    }
    all
}
