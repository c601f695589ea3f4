// SPDX-License-Identifier: Apache-2.0
//! Uploads a snapshot in parts: several are in flight, each is read from the file by position, and none is kept in
//! memory.
//!
//! The parts are read in order, and what is read goes into one SHA-256 of the whole. The upload is completed only if
//! that is the digest of the verification. A failed upload is aborted; a later save aborts what a killed process leaves.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::Sha256;
use ureq::http::Method;

use super::super::capabilities::Features;
use super::super::digest::{Digests, base64, digests};
use super::super::error::{S3Error, S3ErrorKind};
use super::super::headers::{bare_etag, customer_key, etag, header, if_none_match, snapshot_headers};
use super::super::object::Head;
use super::super::request::{Payload, S3Request};
use super::super::unfinished::{self, Begun};
use super::super::xml::escape;
use super::expected::Composite;
use super::job::{Sent, Unsent, Upload};

const CHECKSUM: &str = "x-amz-checksum-sha256";

/// A part that the store has.
struct Part {
    digests: Digests,
    etag: String,
    /// Whether the store keeps its SHA-256.
    has_checksum: bool,
}

/// An upload that was begun.
struct Parts<'a> {
    upload: &'a Upload<'a>,
    begun: Begun,
    part_size: u64,
    count: usize,
    /// What the threads share.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The next part to be read.
    next: usize,
    /// The SHA-256 of all parts that were read.
    whole: Sha256,
    sent: Vec<(usize, Part)>,
    /// The first error, which ends all threads.
    failed: Option<S3Error>,
}

/// Uploads all parts and completes the upload.
pub(super) fn send(upload: &Upload<'_>) -> Sent {
    let (client, manifest) = (upload.client, upload.file.manifest());
    let headers = |request: S3Request| snapshot_headers(request, &client.bucket, upload.name, manifest);
    let begun = unfinished::begin(client, upload.capabilities, upload.key, &headers).inspect_err(|_| {
        // The response to a request that did begin an upload may have been lost.
        let _ = unfinished::abort_others(client, upload.key, "");
    })?;
    let part_size = upload.part_size();
    let count = usize::try_from(upload.size().div_ceil(part_size)).unwrap_or(usize::MAX);
    let parts = Parts { upload, begun, part_size, count, state: Mutex::default() };
    let sent = parts.send_all().map_err(Unsent::from).and_then(|sent| parts.complete(&sent));
    if let Err(Unsent { error, .. }) = &sent {
        log::debug!("{error}; aborting the upload");
        unfinished::abort(client, upload.key, &parts.begun.id);
    }
    if parts.begun.was_repeated {
        let _ = unfinished::abort_others(client, upload.key, &parts.begun.id);
    }
    sent
}

impl Parts<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the parts, and compares what was read with the digest of the verification.
    fn send_all(&self) -> Result<Vec<Part>, S3Error> {
        std::thread::scope(|scope| {
            for _ in 0..self.upload.client.bucket.parallel.clamp(1, self.count) {
                scope.spawn(|| {
                    while let Some((index, digests)) = self.read_next() {
                        match self.send_part(index, digests) {
                            Ok(part) => self.state().sent.push((index, part)),
                            Err(error) => drop(self.state().failed.get_or_insert(error)),
                        }
                    }
                });
            }
        });
        let mut state = std::mem::take(&mut *self.state());
        if let Some(error) = state.failed {
            return Err(error);
        }
        if state.sent.len() != self.count {
            return Err(S3Error::new(S3ErrorKind::Failed, "a sending thread died"));
        }
        self.upload.ensure_verified(state.whole)?;
        state.sent.sort_by_key(|(index, _)| *index);
        Ok(state.sent.into_iter().map(|(_, part)| part).collect())
    }

    /// Reads the next part, in order. `None` if there is none, or an error has ended the upload.
    fn read_next(&self) -> Option<(usize, Digests)> {
        let mut state = self.state();
        if state.failed.is_some() || state.next >= self.count {
            return None;
        }
        let index = state.next;
        let (from, len) = self.range(index);
        match digests(self.upload.file.data(), from, len, &mut state.whole) {
            Ok(digests) => {
                state.next += 1;
                Some((index, digests))
            }
            Err(error) => {
                state.failed.get_or_insert(error);
                None
            }
        }
    }

    /// Offset and length of a part, in bytes.
    fn range(&self, index: usize) -> (u64, u64) {
        let from = (index as u64).saturating_mul(self.part_size);
        (from, self.part_size.min(self.upload.size().saturating_sub(from)))
    }

    /// Reads a part again to send it. Its digests go with it, so the store refuses other bytes than those that went into
    /// the digest of the whole.
    fn send_part(&self, index: usize, digests: Digests) -> Result<Part, S3Error> {
        let client = self.upload.client;
        let (from, len) = self.range(index);
        let request = S3Request::new(Method::PUT, self.upload.key)
            .query("partNumber", index.saturating_add(1).to_string())
            .query("uploadId", &self.begun.id);
        let mut bare = customer_key(request, &client.bucket);
        if !self.begun.keeps_checksum {
            bare = bare.header("content-md5", base64(&digests.md5));
        }
        let full = bare.clone().header(CHECKSUM, base64(&digests.sha256));
        let send =
            |request: &S3Request| client.send(request, Payload::Range(self.upload.file.data(), from, len));
        let response = match if self.begun.requested_checksum { send(&full) } else { send(&bare) } {
            // The store ignored the header when the upload began.
            Err(e) if self.begun.requested_checksum && !self.begun.keeps_checksum && e.is_unsupported() => {
                send(&bare)
            }
            response => response,
        }?;
        let etag = etag(&response.headers);
        if etag.is_empty() {
            return Err(client.missing_field("the entity tag of the part"));
        }
        self.upload.progress.advance(len);
        let has_checksum = self.begun.keeps_checksum || !header(&response.headers, CHECKSUM).is_empty();
        Ok(Part { digests, etag, has_checksum })
    }

    fn complete(&self, parts: &[Part]) -> Sent {
        let client = self.upload.client;
        let mut composite = Composite::default();
        parts.iter().for_each(|part| composite.add(&part.digests));
        let expected = composite.expected(self.upload.file);
        let body = completion(parts);
        let features = Features { condition: true, checksum: false };
        let completed = self.upload.capabilities.with_fallback(features, |features| {
            let request = S3Request::new(Method::POST, self.upload.key)
                .query("uploadId", &self.begun.id)
                .header("content-type", "application/xml");
            let request = if_none_match(customer_key(request, &client.bucket), features.condition);
            client.document(&request, Payload::Bytes(body.as_bytes()))
        });
        match completed {
            Ok((headers, document)) => {
                let tag = bare_etag(document.text("ETag")).to_owned();
                let checksum = document.text("ChecksumSHA256").to_owned();
                let head = Head::from_upload(expected.size, tag, checksum, &headers);
                Ok((expected, head))
            }
            Err(error) => Err(Unsent { error, expected: Some(Box::new(expected)) }),
        }
    }
}

/// The body of the request that completes an upload.
fn completion(parts: &[Part]) -> String {
    let mut body =
        String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (index, part) in parts.iter().enumerate() {
        let checksum = if part.has_checksum {
            format!("<ChecksumSHA256>{}</ChecksumSHA256>", base64(&part.digests.sha256))
        } else {
            String::new()
        };
        body.push_str(&format!(
            "<Part>{checksum}<ETag>\"{}\"</ETag><PartNumber>{}</PartNumber></Part>",
            escape(&part.etag),
            index.saturating_add(1)
        ));
    }
    body + "</CompleteMultipartUpload>"
}
