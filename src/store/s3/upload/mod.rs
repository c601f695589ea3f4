// SPDX-License-Identifier: Apache-2.0
//! Uploads a snapshot, in one piece or in parts, and then asks the store what it has.
//!
//! Nothing is overwritten. What is read is compared with the digest of the verification before the upload counts, and
//! no answer is believed without the checksum of the store.

mod multipart;
mod single;

use sha2::{Digest as _, Sha256};

use super::capabilities::Capabilities;
use super::client::S3Client;
use super::digest::{base64, digests};
use super::error::{S3Error, S3ErrorKind};
use super::integrity::{Evidence, Expected};
use super::object::{Head, head, head_or_none};
use crate::host::Progress;
use crate::store::traits::VerifiedFile;
use crate::util::hex;

/// A snapshot on its way to a bucket.
struct Upload<'a> {
    client: &'a S3Client,
    capabilities: &'a Capabilities,
    key: &'a str,
    name: &'a str,
    file: &'a VerifiedFile<'a>,
    progress: &'a dyn Progress,
}

/// What the store should have, and what it reported in its response to the upload.
type Sent = Result<(Expected, Head), Unsent>;

/// An upload that failed.
struct Unsent {
    error: S3Error,
    /// What the store should have, if the upload may have succeeded although the response was lost.
    expected: Option<Box<Expected>>,
}

impl From<S3Error> for Unsent {
    fn from(error: S3Error) -> Unsent {
        Unsent { error, expected: None }
    }
}

/// Uploads a snapshot. Returns the object and the evidence that it is the file that was verified.
pub(super) fn upload(
    client: &S3Client,
    capabilities: &Capabilities,
    name: &str,
    file: &VerifiedFile<'_>,
    progress: &dyn Progress,
) -> Result<(Head, Evidence), S3Error> {
    let key = client.bucket.key(name);
    let existing = match head_or_none(client, &key) {
        Ok(existing) => existing,
        // Keys that may not list get the same answer for a missing object. The condition of the upload still protects
        // an object that exists.
        Err(e) if e.kind == S3ErrorKind::Denied => None,
        Err(e) => return Err(e),
    };
    let upload = Upload { client, capabilities, key: &key, name, file, progress };
    match existing {
        Some(existing) => upload.adopt(existing),
        None => upload.send_and_check(),
    }
}

impl Upload<'_> {
    /// An object of this name exists. It may be ours, from a save that was killed before it could write that down.
    fn adopt(&self, existing: Head) -> Result<(Head, Evidence), S3Error> {
        let is_claimed = existing.size == self.file.data().size()
            && existing.claimed_sha256 == self.file.sha256().to_string();
        let expected = if is_claimed { Some(self.expected()?) } else { None };
        match expected.and_then(|e| e.evidence(&existing)) {
            Some(evidence) => Ok((existing, evidence)),
            None => Err(S3Error::new(S3ErrorKind::Exists, "an object of this name exists")),
        }
    }

    fn send_and_check(&self) -> Result<(Head, Evidence), S3Error> {
        let is_large = self.file.data().size() > self.client.bucket.part_size;
        let sent = if is_large { multipart::send(self) } else { single::send(self) };
        let (expected, response) = match sent {
            Ok((expected, reported)) => (expected, Ok(reported)),
            // The upload may have succeeded although the response was lost. What exists decides.
            Err(Unsent { error, expected: Some(expected) }) => (*expected, Err(error)),
            Err(Unsent { error, expected: None }) => return Err(error),
        };
        let (found, failed) = match (head(self.client, self.key), response) {
            (Ok(found), Ok(_)) => (found, None),
            (Ok(found), Err(first)) => (found, Some(first)),
            // Keys that may only write: then the response to the upload is the report of the store.
            (Err(e), Ok(reported)) if e.kind == S3ErrorKind::Denied => (reported, None),
            (Err(e), Ok(_)) => return Err(e),
            (Err(_), Err(first)) => return Err(first),
        };
        match (expected.evidence(&found), failed) {
            (Some(evidence), _) => Ok((found, evidence)),
            // An object of another process, or nothing that shows that it is ours.
            (None, Some(first)) => Err(first),
            (None, None) if found.size == expected.size && found.checksum.is_empty() => {
                Ok((found, Evidence::Size))
            }
            (None, None) => Err(S3Error::new(
                S3ErrorKind::Digest,
                "the store reports another object than the one that was sent",
            )),
        }
    }

    /// Bytes of a part: whole mebibytes, and enough that the store accepts the number of parts.
    fn part_size(&self) -> u64 {
        let least = self.file.data().size().div_ceil(multipart::MAX_PARTS);
        self.client.bucket.part_size.max(least.next_multiple_of(1 << 20))
    }

    /// What the object looks like if this tool has uploaded it, in one piece or in parts.
    fn expected(&self) -> Result<Expected, S3Error> {
        let (data, mut whole) = (self.file.data(), Sha256::new());
        let size = data.size();
        if size <= self.client.bucket.part_size {
            let digests = digests(data, 0, size, &mut whole)?;
            self.ensure_verified(whole)?;
            return Ok(single::expected(size, &digests));
        }
        let part_size = self.part_size();
        let mut parts = multipart::Composite::default();
        for index in 0..size.div_ceil(part_size) {
            let from = index.saturating_mul(part_size);
            parts.add(&digests(data, from, part_size.min(size.saturating_sub(from)), &mut whole)?);
        }
        self.ensure_verified(whole)?;
        Ok(parts.expected(size, self.file))
    }

    /// Compares the SHA-256 of everything that was read with the one that the verification found.
    fn ensure_verified(&self, whole: Sha256) -> Result<(), S3Error> {
        let found: [u8; 32] = whole.finalize().into();
        if found == self.file.sha256().0 {
            return Ok(());
        }
        let message = format!(
            "the file is not the one that was verified: its SHA-256 is {}, not {}",
            hex(&found),
            self.file.sha256()
        );
        Err(S3Error::new(S3ErrorKind::SourceCorrupt, message))
    }
}

/// The SHA-256 of the whole, as a store writes it.
fn whole_checksum(file: &VerifiedFile<'_>) -> String {
    base64(&file.sha256().0)
}
