// SPDX-License-Identifier: Apache-2.0
//! Uploads a snapshot, then asks the store what it has.
//!
//! Nothing is overwritten. What is read is compared with the digest of the verification before the upload counts, and
//! no response is believed without the checksum of the store.

use super::super::capabilities::Capabilities;
use super::super::client::S3Client;
use super::super::error::{S3Error, S3ErrorKind};
use super::super::integrity::Evidence;
use super::super::object::{Head, head, head_or_none};
use super::job::{Unsent, Upload};
use super::{expected, multipart, single};
use crate::host::Progress;
use crate::store::traits::VerifiedFile;

/// Uploads a snapshot. Returns the object and the evidence that it is the file that was verified.
pub(in crate::store::s3) fn upload(
    client: &S3Client,
    capabilities: &Capabilities,
    name: &str,
    file: &VerifiedFile<'_>,
    progress: &dyn Progress,
) -> Result<(Head, Evidence), S3Error> {
    let key = client.bucket.key(name);
    let existing = match head_or_none(client, &key) {
        Ok(existing) => existing,
        // Keys that may not list get the same response for a missing object. The condition of the upload still protects
        // an object that exists.
        Err(e) if e.kind == S3ErrorKind::Denied => None,
        Err(e) => return Err(e),
    };
    let upload = Upload { client, capabilities, key: &key, name, file, progress };
    match existing {
        Some(existing) => adopt(&upload, existing),
        None => send_and_check(&upload),
    }
}

/// An object of this name exists. It may be ours, from a save that was killed before it could write that down.
fn adopt(upload: &Upload<'_>, existing: Head) -> Result<(Head, Evidence), S3Error> {
    let is_claimed =
        existing.size == upload.size() && existing.claimed_sha256 == upload.file.sha256().to_string();
    let expected = if is_claimed { Some(expected::read(upload)?) } else { None };
    match expected.and_then(|e| e.evidence(&existing)) {
        Some(evidence) => Ok((existing, evidence)),
        None => Err(S3Error::new(S3ErrorKind::Exists, "an object of this name exists")),
    }
}

fn send_and_check(upload: &Upload<'_>) -> Result<(Head, Evidence), S3Error> {
    let sent = if upload.is_in_parts() { multipart::send(upload) } else { single::send(upload) };
    let (expected, response) = match sent {
        Ok((expected, reported)) => (expected, Ok(reported)),
        // The upload may have succeeded although the response was lost. What exists decides.
        Err(Unsent { error, expected: Some(expected) }) => (*expected, Err(error)),
        Err(Unsent { error, expected: None }) => return Err(error),
    };
    let (found, failed) = match (head(upload.client, upload.key), response) {
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
