// SPDX-License-Identifier: Apache-2.0
//! As much of protobuf as the records of etcd and Kubernetes need: the frame of a record and single fields.
//!
//! Returns slices of what it is given and keeps nothing.

use std::io;

use super::page::Value;

/// Where the bytes of a field are in the value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) len: u64,
}

/// The frame of an etcd `mvccpb.KeyValue`: its numbers, and the positions of key and value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeyValue {
    pub(super) key: Span,
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) version: i64,
    pub(super) value: Span,
}

/// Reads the frame of a key-value record; `None` if the value is not one from its first to its last byte.
pub(super) fn key_value(value: &mut Value<'_>) -> io::Result<Option<KeyValue>> {
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

/// The number in a field of wire type 0, or the length in bytes of another field.
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

/// The varint at the start of `bytes`, and its length.
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

/// The bytes of the first field `wanted` of a message: without their length; of a number, its varint.
pub(super) fn field(bytes: &[u8], wanted: u64) -> Option<&[u8]> {
    fields(bytes, wanted).next()
}

/// The bytes of every field `wanted` of a message, up to the point where the message is malformed.
pub(super) fn fields(mut bytes: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (number, content, rest) = next_field(bytes)?;
            bytes = rest;
            if number == wanted {
                return Some(content);
            }
        }
    })
}

/// The fields of a message that is well-formed from its first to its last byte.
pub(super) struct Message<'a>(Vec<(u64, &'a [u8])>);

impl<'a> Message<'a> {
    /// Reads the fields; `None` if the message is malformed.
    pub(super) fn parse(mut bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let (number, content, rest) = next_field(bytes)?;
            fields.push((number, content));
            bytes = rest;
        }
        Some(Message(fields))
    }

    /// The bytes of every field `wanted`, in order.
    pub(super) fn all(&self, wanted: u64) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(number, _)| *number == wanted).map(|(_, content)| *content)
    }

    /// The bytes of the field `wanted`: of several, the last one counts.
    pub(super) fn last(&self, wanted: u64) -> Option<&'a [u8]> {
        self.all(wanted).last()
    }
}

/// The number and the content of the first field, and the bytes after it.
fn next_field(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
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

/// Bytes as text, if they are 1 to `max_len` printable characters of ASCII without blanks.
pub(super) fn printable_text(bytes: &[u8], max_len: usize) -> Option<String> {
    let fits = (1..=max_len).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::page::Page;
    use super::*;

    fn read(bytes: &[u8]) -> Option<KeyValue> {
        // A value is always after a page header.
        let data = [&[0; 16], bytes].concat();
        let mut page = Page::default();
        page.open(&&data[..], 0, 0, data.len() as u64).unwrap();
        key_value(&mut Value::new(&&data[..], &mut page, 16, bytes.len() as u64)).unwrap()
    }

    #[test]
    fn only_whole_records_in_field_order_are_read() {
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
    fn a_field_is_found_after_others_and_never_past_the_end() {
        assert_eq!(field(b"\x08\x05\x12\x01a\x1a\x02bc", 3), Some(&b"bc"[..]));
        assert_eq!(field(b"\x08\x05\x12\x01a", 3), None);
        assert_eq!(field(b"\x1a\x09bc", 3), None);
        assert_eq!(field(b"\x0b", 3), None);
    }
}
