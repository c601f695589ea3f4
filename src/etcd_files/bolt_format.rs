// SPDX-License-Identifier: Apache-2.0
//! The basic parts of a bbolt file: page flags, little-endian integers, page headers, and the error of this layer.

use crate::error::{Code, Fault};

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
/// Bytes of a page header. An element in the table after the header has the same size.
pub(super) const HEADER: usize = 16;
/// An error about the content of the database.
pub(super) fn corrupt(cause: String) -> anyhow::Error {
    Fault::new(Code::DatabaseCorrupt, format!("changing the database: {cause}")).into()
}

/// The little-endian integer at `at`; 0 if it is outside of `bytes`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_le_bytes(*b))
}

/// The little-endian integer at `at`; 0 if it is outside of `bytes`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b))
}

/// The little-endian integer at `at`; 0 if it is outside of `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b))
}

/// The bytes of a page header.
pub(super) fn header(id: u64, flags: u16, count: u16, overflow: u32) -> [u8; HEADER] {
    let rest = u64::from(flags) | u64::from(count) << 16 | u64::from(overflow) << 32;
    let mut bytes = [0; HEADER];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&id.to_le_bytes());
    second.copy_from_slice(&rest.to_le_bytes());
    bytes
}
