// SPDX-License-Identifier: Apache-2.0
//! Runs the verification on the bytes that libFuzzer makes. The verification must return for any input.
//!
//! The target also writes a valid checksum into both meta pages: a fuzzer does not guess FNV, and the walk of the tree
//! starts only after that check. Good seeds are the files in `tests/fixtures`, without their trailer.
#![no_main]

use k3s_snapshot::inspect;

const PAGE: usize = 4096;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = inspect::looks_like(&bytes);
    let _ = inspect::prove(&bytes, bytes.len() as u64);
    let mut sound = bytes.to_vec();
    for at in [0, PAGE] {
        let Some(record) = sound.get_mut(at + 16..at + 80) else { return };
        record[..12].copy_from_slice(&[0xED, 0xDA, 0x0C, 0xED, 2, 0, 0, 0, 0, 0x10, 0, 0]);
        let sum = record[..56]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
        record[56..].copy_from_slice(&sum.to_le_bytes());
    }
    let _ = inspect::prove(&&sound[..], sound.len() as u64);
    let _ = inspect::content(&&sound[..], sound.len() as u64, None);
});
