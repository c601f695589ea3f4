// SPDX-License-Identifier: Apache-2.0
//! CRC-32C (Castagnoli), the checksum of the write-ahead log of etcd. Eight bytes at a time, in safe code.

/// The polynomial, with its bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `TABLES[k][b]` is the effect of byte `b` on the checksum if `k` more bytes follow.
static TABLES: [[u32; 256]; 8] = tables();

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of range does not compile"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (POLYNOMIAL * (sum & 1));
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// Continues the checksum `sum` with `bytes`. The checksum of no bytes is 0.
pub(super) fn update(sum: u32, bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut sum = eights.iter().fold(!sum, |sum, eight| {
        let mut eight = *eight;
        let head = u32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]]) ^ sum;
        eight[..4].copy_from_slice(&head.to_le_bytes());
        eight.iter().zip(TABLES.iter().rev()).fold(0, |sum, (byte, table)| sum ^ at(table, *byte))
    });
    for byte in rest {
        sum = (sum >> 8) ^ TABLES.first().map_or(0, |table| at(table, (sum & 0xFF) as u8 ^ byte));
    }
    !sum
}

fn at(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_values() {
        assert_eq!(update(0, b""), 0);
        assert_eq!(update(0, b"123456789"), 0xE306_9283);
        // RFC 3720, B.4.
        assert_eq!(update(0, &[0; 32]), 0x8A91_36AA);
        assert_eq!(update(0, &[0xFF; 32]), 0x62A8_AB43);
    }

    #[test]
    fn a_sum_goes_on_wherever_the_bytes_are_divided() {
        let bytes: Vec<u8> = (0..1000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let whole = update(0, &bytes);
        for at in 0..bytes.len() {
            assert_eq!(update(update(0, &bytes[..at]), &bytes[at..]), whole);
        }
    }
}
