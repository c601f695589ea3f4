// SPDX-License-Identifier: Apache-2.0
//! What the ways to upload share: the snapshot on its way, what comes of it, and the comparison with the digest of the
//! verification.

use sha2::{Digest as _, Sha256};

use super::super::capabilities::Capabilities;
use super::super::client::S3Client;
use super::super::error::{S3Error, S3ErrorKind};
use super::super::integrity::Expected;
use super::super::object::Head;
use crate::host::Progress;
use crate::store::traits::VerifiedFile;
use crate::util::hex;

/// Parts that a store accepts.
const MAX_PARTS: u64 = 10_000;

/// A snapshot on its way to a bucket.
pub(super) struct Upload<'a> {
    pub(super) client: &'a S3Client,
    pub(super) capabilities: &'a Capabilities,
    pub(super) key: &'a str,
    pub(super) name: &'a str,
    pub(super) file: &'a VerifiedFile<'a>,
    pub(super) progress: &'a dyn Progress,
}

/// What the store should have, and what it reported in its response to the upload.
pub(super) type Sent = Result<(Expected, Head), Unsent>;

/// An upload that failed.
pub(super) struct Unsent {
    pub(super) error: S3Error,
    /// What the store should have, if the upload may have succeeded although the response was lost.
    pub(super) expected: Option<Box<Expected>>,
}

impl From<S3Error> for Unsent {
    fn from(error: S3Error) -> Unsent {
        Unsent { error, expected: None }
    }
}

impl Upload<'_> {
    /// Bytes of the snapshot.
    pub(super) fn size(&self) -> u64 {
        self.file.data().size()
    }

    /// Bytes of a part: whole mebibytes, and enough that the store accepts the number of parts.
    pub(super) fn part_size(&self) -> u64 {
        let least = self.size().div_ceil(MAX_PARTS);
        self.client.bucket.part_size.max(least.next_multiple_of(1 << 20))
    }

    /// Whether the snapshot is uploaded in parts.
    pub(super) fn is_in_parts(&self) -> bool {
        self.size() > self.client.bucket.part_size
    }

    /// Compares the SHA-256 of everything that was read with the one that the verification found.
    pub(super) fn ensure_verified(&self, whole: Sha256) -> Result<(), S3Error> {
        let found: [u8; 32] = whole.finalize().into();
        if found == self.file.sha256().0 {
            return Ok(());
        }
        let message = format!(
            "the file is not the one that was verified: its SHA-256 is {}, not {}",
            hex(found),
            self.file.sha256()
        );
        Err(S3Error::new(S3ErrorKind::SourceCorrupt, message))
    }
}
