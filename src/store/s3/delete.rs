// SPDX-License-Identifier: Apache-2.0
//! Deletes objects: a thousand keys in a request, or one by one if the store does not support that.
//!
//! The snapshots come first, then what belongs to those that are gone: a snapshot that stays keeps its manifest. All keys
//! are in one queue, so that each request is full.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Once;

use ureq::http::Method;

use super::client::S3Client;
use super::digest::{md5_header, sha256_header};
use super::error::{S3Error, S3ErrorKind};
use super::headers::header;
use super::request::{Payload, S3Request};
use super::response::error_from_document;
use super::xml::escape;

/// Keys that a store accepts in one request.
const MAX_KEYS: usize = 1000;
/// Failures in a row, each after several attempts, after which the store counts as down.
const MAX_CONSECUTIVE_FAILURES: usize = 3;

/// An object that is to be deleted.
struct PendingDelete {
    key: String,
    /// The index of its result, if it is a snapshot and not what belongs to one.
    snapshot: Option<usize>,
}

/// Deletes the snapshots of these names, in their order, and then the keys of `metadata` for those that are gone. A name
/// that does not exist counts as deleted.
pub(super) fn delete(
    client: &S3Client,
    names: &[String],
    metadata: &dyn Fn(&str) -> Vec<String>,
) -> Vec<(String, Result<(), S3Error>)> {
    let mut results: Vec<(String, Result<(), S3Error>)> =
        names.iter().map(|name| (name.clone(), Ok(()))).collect();
    let snapshots = names.iter().enumerate();
    let mut queue: VecDeque<PendingDelete> = snapshots
        .map(|(i, name)| PendingDelete { key: client.bucket.key(name), snapshot: Some(i) })
        .collect();
    let mut bulk = BulkDelete { client, is_supported: true, down: None };
    while !queue.is_empty() {
        let chunk: Vec<PendingDelete> = queue.drain(..queue.len().min(MAX_KEYS)).collect();
        let keys: Vec<&str> = chunk.iter().map(|d| d.key.as_str()).collect();
        let mut failed = bulk.delete(&keys);
        for deleted in &chunk {
            let error = failed.remove(deleted.key.as_str());
            match (deleted.snapshot.and_then(|i| results.get_mut(i)), error) {
                (Some((_, result)), Some(error)) => *result = Err(error),
                (Some((name, _)), None) => {
                    let keys = metadata(name).into_iter();
                    queue.extend(keys.map(|key| PendingDelete { key, snapshot: None }));
                }
                (None, Some(error)) => log::warn!(
                    "deleting '{}' from the bucket: {error}; its snapshot is deleted, and a later prune deletes it",
                    deleted.key.escape_debug()
                ),
                (None, None) => {}
            }
        }
    }
    results
}

/// Deletes these keys, and returns how many do not exist any more.
pub(super) fn delete_keys(client: &S3Client, keys: &[String]) -> Result<usize, S3Error> {
    let mut bulk = BulkDelete { client, is_supported: true, down: None };
    let mut gone = 0;
    for chunk in keys.chunks(MAX_KEYS) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let failed = bulk.delete(&chunk);
        if let Some((_, error)) = failed.into_iter().next() {
            return Err(error);
        }
        gone += chunk.len();
    }
    Ok(gone)
}

/// What a store turned out to support while deleting.
struct BulkDelete<'a> {
    client: &'a S3Client,
    /// Whether it may support requests with many keys.
    is_supported: bool,
    /// Why no more requests are made.
    down: Option<S3Error>,
}

/// By key: the errors.
type Failed<'a> = HashMap<&'a str, S3Error>;

impl BulkDelete<'_> {
    /// Deletes these keys, a thousand at most.
    fn delete<'k>(&mut self, keys: &[&'k str]) -> Failed<'k> {
        let mut failed = HashMap::new();
        // XML cannot express control characters.
        let (odd, plain): (Vec<&str>, Vec<&str>) = keys.iter().partition(|k| k.chars().any(char::is_control));
        let left = match self.delete_batch(&plain, &mut failed) {
            Ok(left) => left,
            Err(e) => {
                // The request was refused as a whole, so the next one would be refused, too.
                failed.extend(plain.iter().map(|k| (*k, e.clone())));
                self.down = Some(e);
                Vec::new()
            }
        };
        self.delete_single(&left, &mut failed);
        self.delete_single(&odd, &mut failed);
        failed
    }

    /// Deletes in one request. Returns the keys that need requests of their own.
    fn delete_batch<'k>(
        &mut self,
        keys: &[&'k str],
        failed: &mut Failed<'k>,
    ) -> Result<Vec<&'k str>, S3Error> {
        if !self.is_supported || self.down.is_some() || keys.len() < 2 {
            return Ok(keys.to_vec());
        }
        match request(self.client, keys, failed) {
            Err(e) if e.is_unsupported() || is_wrong_endpoint(&e) => {
                log::debug!("{e}; deleting one by one");
                self.is_supported = false;
                Ok(keys.to_vec())
            }
            done => done,
        }
    }

    fn delete_single<'k>(&mut self, keys: &[&'k str], failed: &mut Failed<'k>) {
        let mut failures = 0;
        for key in keys {
            if let Some(e) = &self.down {
                failed.insert(key, e.clone());
                continue;
            }
            match self.client.send(&S3Request::new(Method::DELETE, *key), Payload::None) {
                Ok(response) => {
                    if header(&response.headers, "x-amz-delete-marker") == "true" {
                        warn_versioned();
                    }
                    failures = 0;
                }
                Err(e) if e.kind == S3ErrorKind::Missing => failures = 0,
                Err(e) => {
                    failures = if e.is_retryable() { failures + 1 } else { 0 };
                    if failures >= MAX_CONSECUTIVE_FAILURES {
                        self.down = Some(e.clone());
                    }
                    failed.insert(key, e);
                }
            }
        }
    }
}

/// Deletes these keys in one request. Returns those that the store could not delete now.
fn request<'k>(
    client: &S3Client,
    keys: &[&'k str],
    failed: &mut Failed<'k>,
) -> Result<Vec<&'k str>, S3Error> {
    let mut body = String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for key in keys {
        body.push_str(&format!("<Object><Key>{}</Key></Object>", escape(key)));
    }
    body.push_str("</Delete>");
    let request = S3Request::new(Method::POST, "")
        .query("delete", "")
        .header("content-type", "application/xml")
        .header("content-md5", md5_header(body.as_bytes()))
        .header("x-amz-checksum-sha256", sha256_header(body.as_bytes()));
    let (_, answer) = client.document(&request, Payload::Bytes(body.as_bytes()))?;
    if answer.name != "DeleteResult" && answer.name != "DeleteObjectsResult" {
        return Err(client.missing_field("the result of a deletion"));
    }
    if answer.all("Deleted").any(|d| d.text("DeleteMarker") == "true") {
        warn_versioned();
    }
    let requested: BTreeSet<&str> = keys.iter().copied().collect();
    let mut left = Vec::new();
    for error in answer.all("Error") {
        let Some(key) = error.child("Key").and_then(|k| requested.get(k.text.as_str())).copied() else {
            return Err(S3Error::new(
                S3ErrorKind::Invalid,
                "the store reports an error for a key that was not in the request",
            ));
        };
        let error = error_from_document(error);
        match error.kind {
            S3ErrorKind::Missing => {}
            _ if error.is_retryable() => left.push(key),
            _ => drop(failed.insert(key, error)),
        }
    }
    Ok(left)
}

/// Whether a store without this request answers like this: it takes the request for another one, or fails.
fn is_wrong_endpoint(error: &S3Error) -> bool {
    matches!(
        error.kind,
        S3ErrorKind::Failed | S3ErrorKind::NoBucket | S3ErrorKind::Invalid | S3ErrorKind::Server
    )
}

/// Logs once in a run that a deletion frees no space.
fn warn_versioned() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        log::info!(
            "the bucket keeps versions: a deleted object is not listed any more, but it stays as an old version until a lifecycle rule of the bucket deletes it"
        );
    });
}
