// SPDX-License-Identifier: Apache-2.0
//! What an object of this tool looks like to the store: its digests, in one piece or in parts.

use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::super::digest::{Digests, base64, digests};
use super::super::error::S3Error;
use super::super::integrity::Expected;
use super::job::Upload;
use crate::store::traits::VerifiedFile;
use crate::util::hex;

/// An object in one piece, of `size` bytes.
pub(super) fn in_one_piece(size: u64, digests: &Digests) -> Expected {
    let checksum = base64(&digests.sha256);
    Expected { size, whole: checksum.clone(), checksum, etag: hex(digests.md5) }
}

/// The digests of an object in parts: those of the digests of its parts.
#[derive(Default)]
pub(super) struct Composite {
    sha256: Sha256,
    md5: Md5,
    count: usize,
}

impl Composite {
    pub(super) fn add(&mut self, part: &Digests) {
        self.sha256.update(part.sha256);
        self.md5.update(part.md5);
        self.count += 1;
    }

    pub(super) fn expected(self, file: &VerifiedFile<'_>) -> Expected {
        let count = self.count;
        Expected {
            size: file.data().size(),
            checksum: format!("{}-{count}", base64(&self.sha256.finalize())),
            whole: base64(&file.sha256().0),
            etag: format!("{}-{count}", hex(self.md5.finalize())),
        }
    }
}

/// Reads the whole file for its digests, and compares them with that of the verification.
pub(super) fn read(upload: &Upload<'_>) -> Result<Expected, S3Error> {
    let (data, size, mut whole) = (upload.file.data(), upload.size(), Sha256::new());
    if !upload.is_in_parts() {
        let digests = digests(data, 0, size, &mut whole)?;
        upload.ensure_verified(whole)?;
        return Ok(in_one_piece(size, &digests));
    }
    let part_size = upload.part_size();
    let mut parts = Composite::default();
    for index in 0..size.div_ceil(part_size) {
        let from = index.saturating_mul(part_size);
        parts.add(&digests(data, from, part_size.min(size.saturating_sub(from)), &mut whole)?);
    }
    upload.ensure_verified(whole)?;
    Ok(parts.expected(upload.file))
}
