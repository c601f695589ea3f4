// SPDX-License-Identifier: Apache-2.0
//! The database file `member/snap/db` of a stopped etcd, readable as if bbolt had copied it. Writes nothing, copies nothing.

use std::io;

use super::canonical::{CanonicalImage, canonicalize};
use super::finding::Finding;
use crate::io::ReadAt;

/// A database file with the meta pages that bbolt's own copy would have.
#[derive(Debug)]
pub struct OfflineDb<T> {
    data: T,
    metas: Vec<u8>,
    db_len: u64,
}

impl<T: ReadAt> ReadAt for OfflineDb<T> {
    fn size(&self) -> u64 {
        self.db_len
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.db_len);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let metas = usize::try_from(offset).ok().and_then(|from| self.metas.get(from..)).unwrap_or_default();
        let (head, tail) = buf.split_at_mut(metas.len().min(buf.len()));
        head.copy_from_slice(metas.get(..head.len()).unwrap_or_default());
        match tail.is_empty() {
            true => Ok(()),
            false => self.data.read_exact_at(tail, offset + head.len() as u64),
        }
    }
}

/// Opens the database file of a stopped etcd for `verify` and `read_content`, and returns the length of its database.
///
/// # Errors
/// Outside: the bytes cannot be read. Inside, a finding: neither meta page is valid, or pages are missing.
pub fn open_offline<T: ReadAt>(data: T) -> io::Result<Result<(OfflineDb<T>, u64), Finding>> {
    Ok(canonicalize(&data)?
        .map(|CanonicalImage { db_len, metas, .. }| (OfflineDb { data, metas, db_len }, db_len)))
}
