// SPDX-License-Identifier: Apache-2.0
//! Verifies what libFuzzer generates. It must return, whatever the bytes are.
//!
//! The checksums of both meta pages are corrected first: no fuzzer guesses FNV, and the walk starts only after them. Good seeds
//! are the files in `tests/fixtures` without their trailer.
#![no_main]

use k3s_snapshot::inspect;

const PAGE: usize = 4096;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = inspect::has_magic(&bytes);
    let _ = inspect::verify(&bytes, bytes.len() as u64);
    let mut valid = bytes.to_vec();
    for at in [0, PAGE] {
        let Some(record) = valid.get_mut(at + 16..at + 80) else { return };
        record[..12].copy_from_slice(&[0xED, 0xDA, 0x0C, 0xED, 2, 0, 0, 0, 0, 0x10, 0, 0]);
        let sum = record[..56]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
        record[56..].copy_from_slice(&sum.to_le_bytes());
    }
    let _ = inspect::verify(&&valid[..], valid.len() as u64);
    let _ = inspect::read_content(&&valid[..], valid.len() as u64, None);
});
