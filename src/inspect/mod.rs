// SPDX-License-Identifier: Apache-2.0
//! The proof: reads a snapshot and trusts none of its bytes.

use std::io;

/// Random access to the bytes of a snapshot: a file, bytes in memory, later an object in a bucket.
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset`. An [`io::ErrorKind::UnexpectedEof`] where there are too few bytes.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let have = usize::try_from(offset)
            .ok()
            .and_then(|from| self.get(from..from.checked_add(buf.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(have);
        Ok(())
    }
}
