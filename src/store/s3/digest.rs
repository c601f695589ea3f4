// SPDX-License-Identifier: Apache-2.0
//! The digests of what is sent, and how they are written into headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::error::{S3Error, S3ErrorKind};
use crate::io::ReadAt;

/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;

/// SHA-256 and MD5 of a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digests {
    pub(super) sha256: [u8; 32],
    pub(super) md5: [u8; 16],
}

/// Reads `len` bytes from `from` and computes their digests. The same bytes go into `whole`, the SHA-256 of everything
/// that was read so far.
pub(super) fn digests(
    data: &dyn ReadAt,
    from: u64,
    len: u64,
    whole: &mut Sha256,
) -> Result<Digests, S3Error> {
    let (mut sha, mut md5, mut buf) = (Sha256::new(), Md5::new(), vec![0; BUFFER]);
    let end = from.saturating_add(len);
    let mut at = from;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(BUFFER);
        let (piece, _) = buf.split_at_mut(want);
        data.read_exact_at(piece, at).map_err(|e| {
            S3Error::new(S3ErrorKind::SourceUnreadable, format!("reading the snapshot at byte {at}: {e}"))
        })?;
        sha.update(&*piece);
        md5.update(&*piece);
        whole.update(&*piece);
        at += want as u64;
    }
    Ok(Digests { sha256: sha.finalize().into(), md5: md5.finalize().into() })
}

/// The MD5 of some bytes, as the header `Content-MD5` has it.
pub(super) fn md5_header(bytes: &[u8]) -> String {
    base64(&Md5::digest(bytes))
}

/// The SHA-256 of some bytes, as the header `x-amz-checksum-sha256` has it.
pub(super) fn sha256_header(bytes: &[u8]) -> String {
    base64(&Sha256::digest(bytes))
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
