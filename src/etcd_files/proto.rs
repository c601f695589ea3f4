// SPDX-License-Identifier: Apache-2.0
//! The part of protobuf that the records of etcd need: varints, numbers and byte fields.

/// A field: its number and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

/// The varint at the beginning of `bytes`, and its length.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
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

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field with a number.
pub(super) fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

/// Appends a field with bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The fields of a message, in order. `None` if the message is malformed or has fields of other types.
pub(super) fn fields(mut message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let (tag, used) = varint(message)?;
        let (number, more) = varint(message.get(used..)?)?;
        message = message.get(used + more..)?;
        fields.push(match tag & 7 {
            0 => Field::Number(tag >> 3, number),
            2 => {
                let (bytes, rest) = message.split_at_checked(usize::try_from(number).ok()?)?;
                message = rest;
                Field::Bytes(tag >> 3, bytes)
            }
            _ => return None,
        });
    }
    Some(fields)
}

/// The value of the first field with this number, if it is a number.
pub(super) fn number(message: &[u8], wanted: u64) -> Option<u64> {
    fields(message)?.into_iter().find_map(|field| match field {
        Field::Number(name, number) if name == wanted => Some(number),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length_read_as_written() {
        for n in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, n);
            assert_eq!(varint(&bytes), Some((n, bytes.len())));
            assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(varint(&[0xFF; 11]), None);
        assert_eq!(varint(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]), None);
    }

    #[test]
    fn fields_are_in_order_and_a_truncated_message_has_none() {
        let mut message = Vec::new();
        put_number(&mut message, 1, 300);
        put_bytes(&mut message, 20, b"abc");
        put_number(&mut message, 3, 0);
        let wanted = [Field::Number(1, 300), Field::Bytes(20, b"abc"), Field::Number(3, 0)];
        assert_eq!(fields(&message).unwrap(), wanted);
        assert_eq!(
            (number(&message, 1), number(&message, 3), number(&message, 20)),
            (Some(300), Some(0), None)
        );
        for cut in [1, 2, 4, 5, 6, 7, 8, 10] {
            assert_eq!(fields(&message[..cut]), None, "{cut}");
        }
        // A group, and a fixed number of 8 bytes.
        assert_eq!(fields(b"\x0b\x00"), None);
        assert_eq!(fields(b"\x09\x00\x00\x00\x00\x00\x00\x00\x00"), None);
    }
}
