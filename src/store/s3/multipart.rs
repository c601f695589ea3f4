// SPDX-License-Identifier: Apache-2.0
//! An object in parts: several in flight, each read from the file by position, so that no part is held in memory.
//!
//! Whatever ends badly is aborted. What a kill leaves behind, the next save aborts: see [`sweep`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use md5::{Digest as _, Md5};
use sha2::Sha256;
use ureq::http::Method;

use super::client::{Payload, S3Client, etag};
use super::error::{S3Error, S3ErrorKind};
use super::list::is_plain;
use super::object::Head;
use super::put::{
    Capabilities, Expected, Features, Sent, base64, customer_key, dress_snapshot, hex, if_free, is_unknown,
    sums,
};
use super::response::header;
use super::sign::S3Request;
use super::xml::escape;
use crate::host::Progress;
use crate::io::ReadAt;
use crate::model::snapshot::Manifest;

/// No store takes more parts than this.
const PARTS: u64 = 10_000;
/// So many unfinished uploads are looked at, and keys and ids of so many bytes.
const UPLOADS: usize = 10_000;
const LONGEST: usize = 1024;

struct Part {
    sha256: [u8; 32],
    md5: [u8; 16],
    etag: String,
    /// Whether the store keeps its SHA-256.
    kept: bool,
}

struct Upload<'a> {
    wire: &'a S3Client,
    key: &'a str,
    id: String,
    data: &'a dyn ReadAt,
    part_size: u64,
    count: usize,
    /// Whether the store said that it keeps a SHA-256 of each part. Where not, each part goes with its MD5 too.
    kept: bool,
    /// Whether a part may go with its SHA-256.
    checksum: bool,
    progress: &'a dyn Progress,
}

/// Whole mebibytes, as large as it takes.
fn part_size(wire: &S3Client, size: u64) -> u64 {
    wire.bucket.part_size.max(size.div_ceil(PARTS).next_multiple_of(1 << 20))
}

/// What an object of these bytes looks like that was sent by us, in one piece or in parts.
pub(super) fn expected(wire: &S3Client, data: &dyn ReadAt, m: &Manifest) -> Result<Expected, S3Error> {
    let (size, whole) = (data.size(), base64(&m.stored_sha256.0));
    let part_size = part_size(wire, size);
    if size <= wire.bucket.part_size {
        let sums = sums(data, 0, size)?;
        return Ok(Expected { size, checksum: base64(&sums.sha256), whole, etag: Some(hex(&sums.md5)) });
    }
    let (mut sha, mut md5) = (Sha256::new(), Md5::new());
    for index in 0..size.div_ceil(part_size) {
        let from = index.saturating_mul(part_size);
        let sums = sums(data, from, part_size.min(size.saturating_sub(from)))?;
        sha.update(sums.sha256);
        md5.update(sums.md5);
    }
    let count = size.div_ceil(part_size);
    let etag = Some(format!("{}-{count}", hex(&md5.finalize())));
    Ok(Expected { size, checksum: format!("{}-{count}", base64(&sha.finalize())), whole, etag })
}

/// Sends it all. On an error, what is expected comes back where the upload may yet have been completed.
pub(super) fn put(
    wire: &S3Client,
    manners: &Capabilities,
    key: &str,
    name: &str,
    data: &dyn ReadAt,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Sent {
    let size = data.size();
    let part_size = part_size(wire, size);
    let count = usize::try_from(size.div_ceil(part_size)).unwrap_or(usize::MAX);
    let mut tries = 0;
    let begun = manners.adapt(Features { condition: false, checksum: true }, |with| {
        let mut ask = dress_snapshot(S3Request::new(Method::POST, key), &wire.bucket, name, manifest)
            .query("uploads", "");
        if with.checksum {
            ask = ask.header("x-amz-checksum-algorithm", "SHA256");
        }
        let answer = wire.again(|| {
            tries += 1;
            wire.one_document(&ask, Payload::None)
        })?;
        Ok((answer, with.checksum))
    });
    let ((headers, document), checksum) = begun.map_err(|t| {
        let _ = abort_others(wire, key, "");
        (None, t)
    })?;
    let id = document.text("UploadId").to_owned();
    if id.is_empty() {
        return Err((None, wire.lacks("the upload's id")));
    }
    let kept = checksum && header(&headers, "x-amz-checksum-algorithm").eq_ignore_ascii_case("SHA256");
    let upload = Upload { wire, key, id, data, part_size, count, kept, checksum, progress };
    let parts = upload.parts().map_err(|t| (None, t));
    let ended = parts.and_then(|parts| upload.complete(manners, &parts, manifest));
    if let Err((_, trouble)) = &ended {
        log::debug!("{trouble}; aborting the upload");
        upload.abort();
    }
    if tries > 1 {
        // A request to begin whose answer was lost may have begun one.
        let _ = abort_others(wire, key, &upload.id);
    }
    ended
}

impl Upload<'_> {
    /// Sends the parts; the first trouble stops all.
    fn parts(&self) -> Result<Vec<Part>, S3Error> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<Vec<(usize, Part)>> = Mutex::new(Vec::new());
        let first: Mutex<Option<S3Error>> = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.wire.bucket.parallel.clamp(1, self.count) {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        let index = next.fetch_add(1, Relaxed);
                        if index >= self.count {
                            return;
                        }
                        match self.part(index) {
                            Ok(part) => {
                                done.lock().unwrap_or_else(PoisonError::into_inner).push((index, part))
                            }
                            Err(trouble) => {
                                stop.store(true, Relaxed);
                                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
                            }
                        }
                    }
                });
            }
        });
        if let Some(trouble) = first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(trouble);
        }
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        if done.len() != self.count {
            return Err(S3Error::of(S3ErrorKind::Failed, "a sending thread died"));
        }
        Ok(done.into_iter().map(|(_, part)| part).collect())
    }

    /// Reads a part for its sums, then again to send it: twice from the page cache costs less than memory.
    fn part(&self, index: usize) -> Result<Part, S3Error> {
        let from = (index as u64).saturating_mul(self.part_size);
        let len = self.part_size.min(self.data.size().saturating_sub(from));
        let sums = sums(self.data, from, len)?;
        let ask = S3Request::new(Method::PUT, self.key)
            .query("partNumber", index.saturating_add(1).to_string())
            .query("uploadId", &self.id);
        let mut ask = customer_key(ask, &self.wire.bucket);
        if !self.kept {
            ask = ask.header("content-md5", base64(&sums.md5));
        }
        let full = ask.clone().header("x-amz-checksum-sha256", base64(&sums.sha256));
        let send = |ask: &S3Request| self.wire.ask(ask, Payload::Part(self.data, from, len));
        let answer = match if self.checksum { send(&full) } else { send(&ask) } {
            // It overheard the word when the upload began.
            Err(t) if self.checksum && !self.kept && is_unknown(&t) => send(&ask),
            answer => answer,
        }?;
        let etag = etag(&answer.headers);
        if etag.is_empty() {
            return Err(self.wire.lacks("the part's entity tag"));
        }
        self.progress.advance(len);
        let kept = self.kept || !header(&answer.headers, "x-amz-checksum-sha256").is_empty();
        Ok(Part { sha256: sums.sha256, md5: sums.md5, etag, kept })
    }

    fn complete(&self, manners: &Capabilities, parts: &[Part], manifest: &Manifest) -> Sent {
        let (mut sha, mut md5) = (Sha256::new(), Md5::new());
        let mut body =
            String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for (index, part) in parts.iter().enumerate() {
            sha.update(part.sha256);
            md5.update(part.md5);
            let sum = if part.kept {
                format!("<ChecksumSHA256>{}</ChecksumSHA256>", base64(&part.sha256))
            } else {
                String::new()
            };
            body.push_str(&format!(
                "<Part>{sum}<ETag>\"{}\"</ETag><PartNumber>{}</PartNumber></Part>",
                escape(&part.etag),
                index.saturating_add(1)
            ));
        }
        body.push_str("</CompleteMultipartUpload>");
        let expected = Expected {
            size: self.data.size(),
            checksum: format!("{}-{}", base64(&sha.finalize()), parts.len()),
            whole: base64(&manifest.stored_sha256.0),
            etag: Some(format!("{}-{}", hex(&md5.finalize()), parts.len())),
        };
        let done = manners.adapt(Features { condition: true, checksum: false }, |with| {
            let ask = S3Request::new(Method::POST, self.key)
                .query("uploadId", &self.id)
                .header("content-type", "application/xml");
            let ask = if_free(customer_key(ask, &self.wire.bucket), with);
            self.wire.document(&ask, Payload::Bytes(body.as_bytes()))
        });
        match done {
            Ok((headers, document)) => {
                let tag = document.text("ETag").trim_start_matches("W/").trim_matches('"').to_owned();
                let checksum = document.text("ChecksumSHA256").to_owned();
                let told = Head::told(expected.size, tag, checksum, &headers);
                Ok((expected, told))
            }
            Err(t) => Err((Some(Box::new(expected)), t)),
        }
    }

    /// As far as it can be done; what stays, a later save finds.
    fn abort(&self) {
        abort(self.wire, self.key, &self.id);
    }
}

fn abort(wire: &S3Client, key: &str, id: &str) -> bool {
    match wire.ask(&S3Request::new(Method::DELETE, key).query("uploadId", id), Payload::None) {
        Ok(_) => true,
        Err(t) if t.class == S3ErrorKind::Missing => true,
        Err(t) => {
            log::warn!("aborting an unfinished upload in {}: {t}", wire.bucket.url());
            false
        }
    }
}

/// Begins an upload and aborts it: whether large snapshots can be sent, and in words how each part is proven.
pub(super) fn try_out(wire: &S3Client, key: &str) -> Result<&'static str, S3Error> {
    let manners = Capabilities::default();
    let (headers, document) = manners.adapt(Features { condition: false, checksum: true }, |with| {
        let mut ask = customer_key(S3Request::new(Method::POST, key), &wire.bucket).query("uploads", "");
        if with.checksum {
            ask = ask.header("x-amz-checksum-algorithm", "SHA256");
        }
        wire.document(&ask, Payload::None)
    })?;
    let id = document.text("UploadId");
    if id.is_empty() {
        return Err(wire.lacks("the upload's id"));
    }
    wire.ask(&S3Request::new(Method::DELETE, key).query("uploadId", id), Payload::None)?;
    Ok(match header(&headers, "x-amz-checksum-algorithm") {
        "" => "large snapshots are sent in parts, each checked by its MD5",
        _ => "large snapshots are sent in parts, each checked by its SHA-256",
    })
}

/// Uploads that were begun and not ended: key, id, when they began. Only so many: there are never many of ours.
fn pending(wire: &S3Client, prefix: &str) -> Result<Vec<(String, String, u64)>, S3Error> {
    let (mut all, mut after) = (Vec::new(), None::<(String, String)>);
    while all.len() < UPLOADS {
        let mut ask = S3Request::new(Method::GET, "").query("uploads", "").query("prefix", prefix);
        if let Some((key, id)) = &after {
            ask = ask.query("key-marker", key).query("upload-id-marker", id);
        }
        let (_, page) = wire.document(&ask, Payload::None)?;
        let before = all.len();
        for node in page.all("Upload") {
            let began =
                node.text("Initiated").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
            let (key, id) = (node.child("Key").map_or("", |k| k.text.as_str()), node.text("UploadId"));
            if key.starts_with(prefix) && key.len().max(id.len()) <= LONGEST {
                all.push((key.to_owned(), id.to_owned(), u64::try_from(began).unwrap_or(0)));
            }
        }
        let next = (page.text("NextKeyMarker").to_owned(), page.text("NextUploadIdMarker").to_owned());
        let stands = all.len() == before || after.as_ref() == Some(&next);
        if !page.text("IsTruncated").eq_ignore_ascii_case("true") || stands {
            break;
        }
        after = Some(next);
    }
    Ok(all)
}

/// Aborts the uploads of this very key but one. The name is ours alone, so nobody else's are among them.
fn abort_others(wire: &S3Client, key: &str, but: &str) -> usize {
    match pending(wire, key) {
        Ok(all) => all.iter().filter(|(k, id, _)| k == key && id != but && abort(wire, k, id)).count(),
        Err(t) => {
            log::debug!("looking for unfinished uploads: {t}");
            0
        }
    }
}

/// Aborts what earlier saves left behind, where `ours` says so of a file name and the time the upload began, and all
/// that was begun for the files of `owed`: some stores list the uploads of a key only to who names it.
pub(super) fn sweep(wire: &S3Client, ours: &dyn Fn(&str, u64) -> bool, owed: &[&str]) -> usize {
    let prefix = wire.bucket.key("");
    let all = match pending(wire, &prefix) {
        Ok(all) => all,
        // Not every store lists them, and not every key may.
        Err(t) => {
            log::debug!("looking for unfinished uploads: {t}");
            return 0;
        }
    };
    let mine = all.iter().filter(|(key, _, began)| {
        key.get(prefix.len()..).is_some_and(|file| is_plain(file) && ours(file, *began))
    });
    let swept = mine.filter(|(key, id, _)| abort(wire, key, id)).count();
    owed.iter().fold(swept, |swept, file| swept + abort_others(wire, &wire.bucket.key(file), ""))
}
