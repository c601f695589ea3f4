// SPDX-License-Identifier: Apache-2.0
//! A record: the values of a row, or the key of an entry of an index.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::page::varint;

/// The most columns that SQLite allows.
const MAX_COLUMNS: usize = 2000;

/// One value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inspect) enum Value<'r> {
    /// No value.
    Null,
    /// An integer.
    Int(i64),
    /// A floating-point number, by its bits.
    Real(u64),
    /// A text.
    Text(&'r [u8]),
    /// Bytes.
    Blob(&'r [u8]),
    /// A text or bytes that are longer than any that is needed.
    Long,
}

/// Reads all values of a record of `len` bytes, of which `head` is the beginning. `None` if SQLite would not write it.
pub(super) fn parse(head: &[u8], len: u64) -> Option<Vec<Value<'_>>> {
    let (header_len, mut at) = varint(head, 0)?;
    let header_end = usize::try_from(header_len).ok().filter(|end| *end >= at && *end <= head.len())?;
    let mut values = Vec::with_capacity((header_end - at).min(16));
    let mut body = header_len;
    while at < header_end {
        let (serial, end) = varint(head.get(..header_end)?, at)?;
        at = end;
        let (value, size) = value(head, body, serial)?;
        body = body.checked_add(size)?;
        values.push(value);
    }
    (body == len && at == header_end && values.len() <= MAX_COLUMNS).then_some(values)
}

/// The value with this serial type whose bytes begin at `at`, and its length.
fn value(head: &[u8], at: u64, serial: u64) -> Option<(Value<'_>, u64)> {
    let size = match serial {
        0 | 8 | 9 => 0,
        n @ 1..=4 => n,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        n => (n - 12) / 2,
    };
    let start = usize::try_from(at).ok()?;
    let bytes = start.checked_add(usize::try_from(size).ok()?).and_then(|end| head.get(start..end));
    let value = match (serial, bytes) {
        (0, _) => Value::Null,
        (8, _) => Value::Int(0),
        (9, _) => Value::Int(1),
        (1..=6, Some(bytes)) => Value::Int(integer(bytes)),
        (7, Some(bytes)) => Value::Real(integer(bytes).cast_unsigned()),
        (1..=7, None) => return None,
        (n, Some(bytes)) if n % 2 == 0 => Value::Blob(bytes),
        (_, Some(bytes)) => Value::Text(bytes),
        (_, None) => Value::Long,
    };
    Some((value, size))
}

/// A big-endian integer in two's complement.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|b| b & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |n, b| n << 8 | i64::from(*b))
}

impl Value<'_> {
    /// The order of an index. `None` if it is not known.
    pub(super) fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        let class = |value: &Value<'_>| match value {
            Value::Null => 0,
            Value::Int(_) | Value::Real(_) => 1,
            Value::Text(_) => 2,
            Value::Blob(_) => 3,
            Value::Long => 4,
        };
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) | (Value::Blob(a), Value::Blob(b)) => Some(a.cmp(b)),
            (Value::Long, _) | (_, Value::Long) => None,
            (Value::Real(_), Value::Int(_) | Value::Real(_)) | (Value::Int(_), Value::Real(_)) => None,
            _ => Some(class(self).cmp(&class(other))),
        }
    }
}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, to: &mut H) {
        std::mem::discriminant(self).hash(to);
        match self {
            Value::Null | Value::Long => {}
            Value::Int(n) => n.hash(to),
            Value::Real(n) => n.hash(to),
            Value::Text(bytes) | Value::Blob(bytes) => bytes.hash(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_types_are_read_and_others_are_refused() {
        let rows: [(&[u8], Option<Vec<Value<'_>>>); 9] = [
            (&[1], Some(vec![])),
            (&[4, 0, 8, 9], Some(vec![Value::Null, Value::Int(0), Value::Int(1)])),
            (&[3, 1, 2, 0xff, 1, 2], Some(vec![Value::Int(-1), Value::Int(258)])),
            (&[2, 6, 0x80, 0, 0, 0, 0, 0, 0, 0], Some(vec![Value::Int(i64::MIN)])),
            (&[3, 17, 14, b'a', b'b', 7], Some(vec![Value::Text(b"ab"), Value::Blob(&[7])])),
            (&[2, 10], None),
            (&[3, 1], None),
            (&[2, 1], None),
            (&[2, 0, 7], None),
        ];
        for (bytes, wanted) in rows {
            assert_eq!(parse(bytes, bytes.len() as u64), wanted, "{bytes:?}");
        }
        // The bytes are there, but were not kept.
        assert_eq!(parse(&[2, 200 - 128, 1], 32), Some(vec![Value::Long]));
        assert_eq!(parse(&[], 0), None);
    }

    #[test]
    fn values_have_the_order_of_sqlite() {
        let order = [
            Value::Null,
            Value::Int(-5),
            Value::Int(3),
            Value::Text(b""),
            Value::Text(b"a"),
            Value::Text(b"ab"),
            Value::Blob(b"a"),
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(a.compare(b), Some(i.cmp(&j)), "{a:?} {b:?}");
            }
        }
        assert_eq!(Value::Long.compare(&Value::Null), None);
        assert_eq!(Value::Real(1).compare(&Value::Int(1)), None);
    }
}
