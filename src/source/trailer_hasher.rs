// SPDX-License-Identifier: Apache-2.0
//! Takes a stream in chunks of any size, hashes it in the one pass, and compares the trailer that came with it.
//!
//! etcd ends its stream with the SHA-256 of all before. Neither K3s nor etcdctl compares the two.

use sha2::{Digest as _, Sha256};

use crate::model::snapshot::{Digest, plausible_size};

const TRAILER: usize = 32;

/// The running hash, and the last bytes, which may be the trailer.
#[derive(Default)]
pub struct TrailerHasher {
    hash: Sha256,
    tail: Vec<u8>,
    bytes: u64,
}

/// Why a stream cannot be a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamError {
    /// It ended before its trailer: so many bytes came.
    Short(u64),
    /// Its trailer is not the checksum of what came before.
    Checksum,
}

impl TrailerHasher {
    /// Takes the next chunk.
    pub fn update(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        let keep = chunk.len().min(TRAILER);
        let (head, last) = chunk.split_at(chunk.len() - keep);
        // What of the old tail is pushed out by the new one.
        let out = (self.tail.len() + keep).saturating_sub(TRAILER);
        self.hash.update(self.tail.drain(..out.min(self.tail.len())).as_slice());
        self.hash.update(head);
        self.tail.extend_from_slice(last);
    }

    /// How many bytes came, and the SHA-256 of them all.
    pub fn finish(self) -> Result<(u64, Digest), StreamError> {
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
        let mut intake = TrailerHasher::default();
        bytes.chunks(chunk).for_each(|c| intake.update(c));
        intake.finish()
    }

    #[test]
    fn any_chunking_gives_the_same() {
        let bytes = stream(4096);
        let want = Digest(Sha256::digest(&bytes).into());
        for chunk in [1, 7, 31, 32, 33, 64, 511, 512, 4095, 4096, 4097, 4127, 4128, 9999] {
            assert_eq!(run(&bytes, chunk), Ok((4128, want)), "chunks of {chunk}");
        }
    }

    #[test]
    fn short_streams_and_flipped_bits_are_told_apart() {
        let bytes = stream(1024);
        for cut in [0, 1, 32, 33, 512, 1024, 1055] {
            assert_eq!(run(&bytes[..cut], 100), Err(StreamError::Short(cut as u64)), "cut to {cut}");
        }
        // A cut that leaves a plausible size is found by the checksum.
        assert_eq!(run(&bytes[..544], 100), Err(StreamError::Checksum));
        for at in [0, 500, 1023, 1024, 1055] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert_eq!(run(&flipped, 100), Err(StreamError::Checksum), "flip at {at}");
        }
    }
}
