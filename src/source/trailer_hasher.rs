// SPDX-License-Identifier: Apache-2.0
//! Hashes a stream in chunks of any size, and compares the trailer at its end with the hash.
//!
//! etcd ends its stream with the SHA-256 of everything before it. Neither K3s nor etcdctl compares the two.

use sha2::{Digest as _, Sha256};

use crate::inspect;
use crate::model::snapshot::{Digest, plausible_size};

const TRAILER: usize = inspect::TRAILER as usize;

/// The hash so far, and the last bytes, which may be the trailer.
#[derive(Default)]
pub(crate) struct TrailerHasher {
    hash: Sha256,
    tail: Vec<u8>,
    bytes: u64,
}

/// Why a stream is not a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamError {
    /// It ended before its trailer, after this many bytes.
    Short(u64),
    /// Its trailer is not the checksum of the bytes before it.
    Checksum,
}

impl TrailerHasher {
    /// Adds the next chunk.
    pub(crate) fn update(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        let keep = chunk.len().min(TRAILER);
        let (head, last) = chunk.split_at(chunk.len() - keep);
        // The bytes of the old tail that are not part of the new one.
        let out = (self.tail.len() + keep).saturating_sub(TRAILER);
        self.hash.update(self.tail.drain(..out.min(self.tail.len())).as_slice());
        self.hash.update(head);
        self.tail.extend_from_slice(last);
    }

    /// The number of bytes, and the SHA-256 of all of them.
    ///
    /// # Errors
    /// If the stream is too short for a snapshot, or the trailer does not match.
    pub(crate) fn finish(self) -> Result<(u64, Digest), StreamError> {
        if !plausible_size(self.bytes) {
            return Err(StreamError::Short(self.bytes));
        }
        let mut all = self.hash.clone();
        if self.hash.finalize().as_slice() != self.tail.as_slice() {
            return Err(StreamError::Checksum);
        }
        all.update(&self.tail);
        Ok((self.bytes, Digest(all.finalize().into())))
    }
}

impl std::io::Write for TrailerHasher {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        self.update(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    fn run(bytes: &[u8], chunk: usize) -> Result<(u64, Digest), StreamError> {
        let mut hasher = TrailerHasher::default();
        bytes.chunks(chunk).for_each(|c| hasher.update(c));
        hasher.finish()
    }

    #[test]
    fn the_result_does_not_depend_on_the_chunks() {
        let bytes = stream(4096);
        let want = Digest(Sha256::digest(&bytes).into());
        for chunk in [1, 7, 31, 32, 33, 64, 511, 512, 4095, 4096, 4097, 4127, 4128, 9999] {
            assert_eq!(run(&bytes, chunk), Ok((4128, want)), "chunks of {chunk}");
        }
    }

    #[test]
    fn short_streams_and_flipped_bits_have_different_errors() {
        let bytes = stream(1024);
        for cut in [0, 1, 32, 33, 512, 1024, 1055] {
            assert_eq!(run(&bytes[..cut], 100), Err(StreamError::Short(cut as u64)), "cut to {cut}");
        }
        // A cut that leaves a possible size is found by the checksum.
        assert_eq!(run(&bytes[..544], 100), Err(StreamError::Checksum));
        for at in [0, 500, 1023, 1024, 1055] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert_eq!(run(&flipped, 100), Err(StreamError::Checksum), "flip at {at}");
        }
    }
}
