// SPDX-License-Identifier: Apache-2.0
//! The checksum of a snapshot: the SHA-256 of the database, which etcd appends as a trailer of 32 bytes.
//!
//! Reads in order and holds one chunk in memory. The content of the database does not matter here.

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::finding::{Check, Finding};
use crate::io::ReadAt;

/// Bytes of the SHA-256 at the end of a snapshot.
pub const TRAILER: u64 = 32;

/// The size of a database is a multiple of this. So the size shows whether there is a trailer; etcd uses the same rule.
const SECTOR: u64 = 512;

/// Bytes of one read: large enough that system calls do not matter, and small, as many kernels do not take the processor away
/// inside of a system call: etcd would wait for its end.
const CHUNK: usize = 32 * 1024;

/// Bytes that the disk is asked to read ahead of the hash. The structure check, which jumps about in the same file, disturbs
/// the kernel's own read-ahead.
const READ_AHEAD: u64 = 4 << 20;

/// The digests of a snapshot, from one pass over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of the database: what the trailer must be.
    pub database: [u8; 32],
    /// SHA-256 of the whole file: what `sha256sum` prints.
    pub file: [u8; 32],
}

/// The length of the database in a plain snapshot of `size` bytes.
///
/// # Errors
/// A finding of [`Check::Size`] if no snapshot has this size.
pub fn database_len(size: u64) -> Result<u64, Finding> {
    match size.checked_sub(TRAILER) {
        Some(db_len) if db_len > 0 && db_len % SECTOR == 0 => Ok(db_len),
        _ => Err(Finding::new(
            Check::Size,
            format!(
                "the size of {size} bytes is not that of a database and its {TRAILER} byte SHA-256: truncated, or not a \
                 snapshot"
            ),
        )),
    }
}

/// The SHA-256 that a snapshot carries after its database of `db_len` bytes.
///
/// # Errors
/// If the bytes cannot be read.
pub fn trailer(data: &dyn ReadAt, db_len: u64) -> anyhow::Result<[u8; 32]> {
    let mut sum = [0; 32];
    data.read_exact_at(&mut sum, db_len).context("reading the trailer")?;
    Ok(sum)
}

/// Hashes a snapshot in order. `advance` is called with the number of bytes of each chunk.
///
/// # Errors
/// If the bytes cannot be read.
pub fn hash(data: &dyn ReadAt, db_len: u64, advance: &mut dyn FnMut(u64)) -> anyhow::Result<Digests> {
    let mut buf = vec![0; CHUNK];
    let mut sha = Sha256::new();
    hash_range(data, 0, db_len, &mut sha, &mut buf, advance)?;
    let database = sha.clone().finalize().into();
    hash_range(data, db_len, data.size(), &mut sha, &mut buf, advance)?;
    Ok(Digests { database, file: sha.finalize().into() })
}

/// Hashes a database that has no trailer yet: `database` is what the trailer must be, `file` is the digest of both together.
///
/// # Errors
/// If the bytes cannot be read.
pub(crate) fn hash_with_trailer(
    data: &dyn ReadAt,
    db_len: u64,
    advance: &mut dyn FnMut(u64),
) -> anyhow::Result<Digests> {
    let mut sha = Sha256::new();
    hash_range(data, 0, db_len, &mut sha, &mut vec![0; CHUNK], advance)?;
    let database: [u8; 32] = sha.clone().finalize().into();
    sha.update(database);
    Ok(Digests { database, file: sha.finalize().into() })
}

fn hash_range(
    data: &dyn ReadAt,
    mut at: u64,
    end: u64,
    sha: &mut Sha256,
    buf: &mut [u8],
    advance: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let mut requested = at;
    while at < end {
        if requested < end && requested.saturating_sub(at) < READ_AHEAD {
            data.will_need(requested, READ_AHEAD.min(end - requested));
            requested = requested.saturating_add(READ_AHEAD);
        }
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buf.len());
        let (chunk, _) = buf.split_at_mut(want);
        data.read_exact_at(chunk, at).with_context(|| format!("hashing at byte {at}"))?;
        sha.update(&*chunk);
        at += want as u64;
        advance(want as u64);
    }
    Ok(())
}

/// Compares the digest of the database with the trailer.
///
/// # Errors
/// A finding of [`Check::Trailer`] if they differ.
pub fn check_trailer(database: &[u8; 32], trailer: &[u8; 32]) -> Result<(), Finding> {
    if database == trailer {
        return Ok(());
    }
    let text = format!("the SHA-256 of the database is {}, the trailer has {}", hex(database), hex(trailer));
    Err(Finding::new(Check::Trailer, text))
}

fn hex(sum: &[u8; 32]) -> String {
    sum.iter().map(|b| format!("{b:02x}")).collect()
}
