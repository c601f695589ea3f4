// SPDX-License-Identifier: Apache-2.0
//! Uploads in parts that are not complete: begins, lists and aborts them.

use ureq::http::Method;

use super::capabilities::{Capabilities, Features};
use super::client::S3Client;
use super::error::{S3Error, S3ErrorKind};
use super::headers::header;
use super::layout::is_plain;
use super::request::{Payload, S3Request};

/// Unfinished uploads that are looked at.
const MAX_UPLOADS: usize = 10_000;
/// Bytes of a key, and of an id.
const MAX_KEY: usize = 1024;

/// An upload that was begun.
pub(super) struct Begun {
    pub(super) id: String,
    /// Whether the request asked the store to keep a SHA-256 of each part.
    pub(super) requested_checksum: bool,
    /// Whether the store confirmed that.
    pub(super) keeps_checksum: bool,
    /// Whether the request was repeated. A lost response may then belong to an upload of its own.
    pub(super) was_repeated: bool,
}

/// Begins an upload. `headers` are those of the new object.
pub(super) fn begin(
    client: &S3Client,
    capabilities: &Capabilities,
    key: &str,
    headers: &dyn Fn(S3Request) -> S3Request,
) -> Result<Begun, S3Error> {
    let mut attempts = 0;
    let features = Features { condition: false, checksum: true };
    let (headers, document, requested_checksum) = capabilities.with_fallback(features, |features| {
        let mut request = headers(S3Request::new(Method::POST, key)).query("uploads", "");
        if features.checksum {
            request = request.header("x-amz-checksum-algorithm", "SHA256");
        }
        let (headers, document) = client.retry(|| {
            attempts += 1;
            client.document_once(&request, Payload::None)
        })?;
        Ok((headers, document, features.checksum))
    })?;
    let id = document.text("UploadId").to_owned();
    if id.is_empty() {
        return Err(client.missing_field("the id of the upload"));
    }
    let is_confirmed = header(&headers, "x-amz-checksum-algorithm").eq_ignore_ascii_case("SHA256");
    Ok(Begun {
        id,
        requested_checksum,
        keeps_checksum: requested_checksum && is_confirmed,
        was_repeated: attempts > 1,
    })
}

/// Aborts an upload. True if it does not exist any more. A failure is logged: a later save finds what stays.
pub(super) fn abort(client: &S3Client, key: &str, id: &str) -> bool {
    match abort_once(client, key, id) {
        Ok(()) => true,
        Err(e) if e.kind == S3ErrorKind::Missing => true,
        Err(e) => {
            log::warn!("aborting an unfinished upload in {}: {e}", client.bucket.url());
            false
        }
    }
}

/// The same with its error.
pub(super) fn abort_once(client: &S3Client, key: &str, id: &str) -> Result<(), S3Error> {
    client.send(&S3Request::new(Method::DELETE, key).query("uploadId", id), Payload::None).map(drop)
}

/// An unfinished upload in a listing.
struct Unfinished {
    key: String,
    id: String,
    /// Seconds since the epoch.
    started: u64,
}

/// The unfinished uploads whose key begins with `prefix`. Not more than [`MAX_UPLOADS`]: this tool never has many.
fn list(client: &S3Client, prefix: &str) -> Result<Vec<Unfinished>, S3Error> {
    let (mut all, mut after) = (Vec::new(), None::<(String, String)>);
    while all.len() < MAX_UPLOADS {
        let mut request = S3Request::new(Method::GET, "").query("uploads", "").query("prefix", prefix);
        if let Some((key, id)) = &after {
            request = request.query("key-marker", key).query("upload-id-marker", id);
        }
        let (_, page) = client.document(&request, Payload::None)?;
        let before = all.len();
        for node in page.all("Upload") {
            let started = node.text("Initiated").parse::<jiff::Timestamp>();
            let started = started.map_or(0, jiff::Timestamp::as_second);
            let (key, id) = (node.child("Key").map_or("", |k| k.text.as_str()), node.text("UploadId"));
            if key.starts_with(prefix) && key.len().max(id.len()) <= MAX_KEY {
                let started = u64::try_from(started).unwrap_or(0);
                all.push(Unfinished { key: key.to_owned(), id: id.to_owned(), started });
            }
        }
        let next = (page.text("NextKeyMarker").to_owned(), page.text("NextUploadIdMarker").to_owned());
        let makes_no_progress = all.len() == before || after.as_ref() == Some(&next);
        if !page.text("IsTruncated").eq_ignore_ascii_case("true") || makes_no_progress {
            break;
        }
        after = Some(next);
    }
    Ok(all)
}

/// Aborts the uploads of a key, except for one. The name of a snapshot is ours alone, so all of them are.
pub(super) fn abort_others(client: &S3Client, key: &str, except: &str) -> usize {
    match list(client, key) {
        Ok(all) => all.iter().filter(|u| u.key == key && u.id != except && abort(client, key, &u.id)).count(),
        Err(e) => {
            log::debug!("listing unfinished uploads: {e}");
            0
        }
    }
}

/// Aborts what earlier saves left: the uploads for which `is_ours` is true (file name, and when the upload began in
/// seconds since the epoch), and all of the files `pending`. Some stores list the uploads of a key only in a request for
/// this very key.
pub(super) fn abort_stale(client: &S3Client, is_ours: &dyn Fn(&str, u64) -> bool, pending: &[&str]) -> usize {
    let prefix = client.bucket.prefix();
    let all = match list(client, &prefix) {
        Ok(all) => all,
        // Not every store lists them, and not every key may do that.
        Err(e) => {
            log::debug!("listing unfinished uploads: {e}");
            return 0;
        }
    };
    let ours = all
        .iter()
        .filter(|u| u.key.get(prefix.len()..).is_some_and(|file| is_plain(file) && is_ours(file, u.started)));
    let aborted = ours.filter(|u| abort(client, &u.key, &u.id)).count();
    let of_pending = pending.iter().map(|file| abort_others(client, &client.bucket.key(file), ""));
    aborted + of_pending.sum::<usize>()
}
