// SPDX-License-Identifier: Apache-2.0
//! As much of protobuf as the records of etcd and Kubernetes need: their frame and a few fields.
//!
//! Bytes of a value are only passed on to a caller who asks for that field; nothing is kept.

use std::io;

use super::page::Value;

/// Where a field's bytes are in the value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) len: u64,
}

/// The frame of an etcd `mvccpb.KeyValue`: its numbers, and where key and value are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeyValue {
    pub(super) key: Span,
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) version: i64,
    pub(super) value: Span,
}

/// Reads the frame of a key-value record; `None` if it is not one from its first to its last byte.
pub(super) fn record(value: &mut Value<'_>) -> io::Result<Option<KeyValue>> {
    let (mut record, mut at, mut before) = (KeyValue::default(), 0, 0);
    while at < value.len() {
        let Some(tag) = number(value, &mut at)? else { return Ok(None) };
        let (field, wire) = (tag >> 3, tag & 7);
        // etcd writes the fields in order, each once.
        if field <= before {
            return Ok(None);
        }
        before = field;
        let Some(n) = number_or_length(value, &mut at, wire)? else { return Ok(None) };
        let span = Span { at, len: n };
        match (field, wire) {
            (1, 2) => record.key = span,
            (2, 0) => record.created = n.cast_signed(),
            (3, 0) => record.modified = n.cast_signed(),
            (4, 0) => record.version = n.cast_signed(),
            (5, 2) => record.value = span,
            (6, 0) => {}
            (1..=6, _) => return Ok(None),
            _ => {}
        }
        if wire != 0 {
            at = match at.checked_add(n) {
                Some(end) if end <= value.len() => end,
                _ => return Ok(None),
            };
        }
    }
    Ok(Some(record))
}

/// The number of a field of wire type 0, else how many bytes it has.
fn number_or_length(value: &mut Value<'_>, at: &mut u64, wire: u64) -> io::Result<Option<u64>> {
    match wire {
        0 | 2 => number(value, at),
        1 => Ok(Some(8)),
        5 => Ok(Some(4)),
        _ => Ok(None),
    }
}

fn number(value: &mut Value<'_>, at: &mut u64) -> io::Result<Option<u64>> {
    let n = value.len().saturating_sub(*at).min(10);
    let Some((number, len)) = value.bytes(*at, n)?.and_then(varint) else { return Ok(None) };
    *at += len as u64;
    Ok(Some(number))
}

/// A varint at the head of `bytes`, and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0_u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        if i == 9 && *byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((number, i + 1));
        }
    }
    None
}

/// The bytes of the first field `wanted` of a message in memory: without their length, and a number as it
/// stands.
pub(super) fn field(bytes: &[u8], wanted: u64) -> Option<&[u8]> {
    fields(bytes, wanted).next()
}

/// The same of every such field, up to where the message cannot be read on.
pub(super) fn fields(mut bytes: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (number, content, rest) = next(bytes)?;
            bytes = rest;
            if number == wanted {
                return Some(content);
            }
        }
    })
}

/// The number and the content of the first field, and what comes after it.
fn next(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (tag, used) = varint(bytes)?;
    let mut bytes = bytes.get(used..)?;
    let len = match tag & 7 {
        0 => varint(bytes)?.1,
        1 => 8,
        2 => {
            let (len, used) = varint(bytes)?;
            bytes = bytes.get(used..)?;
            usize::try_from(len).ok()?
        }
        5 => 4,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(len)?;
    Some((tag >> 3, content, rest))
}

#[cfg(test)]
mod tests {
    use super::super::page::Page;
    use super::*;

    fn read(bytes: &[u8]) -> Option<KeyValue> {
        // A value is always behind a page header.
        let data = [&[0; 16], bytes].concat();
        let mut page = Page::default();
        page.open(&&data[..], 0, 0, data.len() as u64).unwrap();
        record(&mut Value::new(&&data[..], &mut page, 16, bytes.len() as u64)).unwrap()
    }

    #[test]
    fn records_and_what_is_none() {
        let rows: &[(&str, &[u8], bool)] = &[
            ("a whole record", b"\x0a\x01k\x10\x02\x18\x03\x20\x01\x2a\x02vv\x30\x07", true),
            ("a tombstone: only the key", b"\x0a\x01k", true),
            ("nothing", b"", true),
            ("a later field of a newer etcd", b"\x0a\x01k\x3a\x01x", true),
            ("a key that passes the end", b"\x0a\x02k", false),
            ("a value that passes the end", b"\x0a\x01k\x2a\x03vv", false),
            ("a field cut in its number", b"\x0a\x01k\x10\x82", false),
            ("fields out of order", b"\x18\x03\x0a\x01k", false),
            ("the same field twice", b"\x0a\x01k\x0a\x01k", false),
            ("field 0", b"\x02\x00", false),
            ("a number where the key belongs", b"\x08\x01", false),
            ("a group", b"\x0a\x01k\x3b", false),
            ("a length of eleven bytes", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", false),
            ("a length near 2^64", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", false),
        ];
        for (name, bytes, good) in rows {
            assert_eq!(read(bytes).is_some(), *good, "{name}");
        }
        let record = read(rows[0].1).unwrap();
        assert_eq!((record.created, record.modified, record.version), (2, 3, 1));
        assert_eq!((record.key.at, record.key.len, record.value.at, record.value.len), (2, 1, 11, 2));
    }

    #[test]
    fn a_field_is_found_behind_others_and_never_outside() {
        assert_eq!(field(b"\x08\x05\x12\x01a\x1a\x02bc", 3), Some(&b"bc"[..]));
        assert_eq!(field(b"\x08\x05\x12\x01a", 3), None);
        assert_eq!(field(b"\x1a\x09bc", 3), None);
        assert_eq!(field(b"\x0b", 3), None);
    }
}
