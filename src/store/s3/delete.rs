// SPDX-License-Identifier: Apache-2.0
//! Deletes: a thousand keys in a request, one by one where a store offers no such thing.
//!
//! First the objects, then what belongs to those that are gone: a snapshot that stays keeps its manifest. All of it
//! stands in one queue, so that a request is full whatever is in it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Once;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use ureq::http::Method;

use super::client::{Payload, S3Client};
use super::error::{S3Error, S3ErrorKind};
use super::put::{base64, is_unknown};
use super::response::{header, in_a_document};
use super::sign::S3Request;
use super::xml::escape;

/// The most that a store takes in one request.
const KEYS: usize = 1000;
/// So many in a row that fail for a reason that may pass, each tried several times: the store is down.
const ENOUGH: usize = 3;

/// Something to be deleted.
struct PendingDelete {
    key: String,
    /// Where its name stands, where it is a snapshot and not what belongs to one.
    snapshot: Option<usize>,
}

/// Deletes the snapshots of these names, in their order, and then what `companions` names of those that are gone. A
/// name that is not there counts as deleted.
pub(super) fn delete(
    wire: &S3Client,
    names: &[String],
    companions: &dyn Fn(&str) -> Vec<String>,
) -> Vec<(String, Result<(), S3Error>)> {
    let mut results: Vec<(String, Result<(), S3Error>)> =
        names.iter().map(|name| (name.clone(), Ok(()))).collect();
    let snapshots = names.iter().enumerate();
    let mut queue: VecDeque<PendingDelete> =
        snapshots.map(|(i, name)| PendingDelete { key: wire.bucket.key(name), snapshot: Some(i) }).collect();
    let mut deed = BulkDelete { wire, bulk: true, down: None };
    while !queue.is_empty() {
        let chunk: Vec<PendingDelete> = queue.drain(..queue.len().min(KEYS)).collect();
        let keys: Vec<&str> = chunk.iter().map(|d| d.key.as_str()).collect();
        let mut failed = deed.delete(&keys);
        for doomed in &chunk {
            let trouble = failed.remove(doomed.key.as_str());
            match (doomed.snapshot.and_then(|i| results.get_mut(i)), trouble) {
                (Some((_, result)), Some(trouble)) => *result = Err(trouble),
                (Some((name, _)), None) => {
                    let beside = companions(name).into_iter();
                    queue.extend(beside.map(|key| PendingDelete { key, snapshot: None }));
                }
                (None, Some(trouble)) => log::warn!(
                    "deleting '{}' from the bucket: {trouble}; its snapshot is gone, a later prune removes it",
                    doomed.key.escape_debug()
                ),
                (None, None) => {}
            }
        }
    }
    results
}

/// Deletes these keys, and gives back how many are gone.
pub(super) fn delete_keys(wire: &S3Client, keys: &[String]) -> Result<usize, S3Error> {
    let mut deed = BulkDelete { wire, bulk: true, down: None };
    let mut gone = 0;
    for chunk in keys.chunks(KEYS) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let failed = deed.delete(&chunk);
        if let Some((_, trouble)) = failed.into_iter().next() {
            return Err(trouble);
        }
        gone += chunk.len();
    }
    Ok(gone)
}

/// What was found out about a store while deleting.
struct BulkDelete<'a> {
    wire: &'a S3Client,
    /// Whether it may know requests of many keys.
    bulk: bool,
    /// Why nothing more is asked of it.
    down: Option<S3Error>,
}

/// By key: what could not be deleted.
type Failed<'a> = HashMap<&'a str, S3Error>;

impl BulkDelete<'_> {
    /// Deletes these, a thousand at most.
    fn delete<'k>(&mut self, keys: &[&'k str]) -> Failed<'k> {
        let mut failed = HashMap::new();
        // XML has no way to say control characters.
        let (odd, plain): (Vec<&str>, Vec<&str>) = keys.iter().partition(|k| k.chars().any(char::is_control));
        let again = match self.together(&plain, &mut failed) {
            Ok(again) => again,
            Err(t) => {
                // Refused as a whole, so the next thousand would be too.
                failed.extend(plain.iter().map(|k| (*k, t.clone())));
                self.down = Some(t);
                Vec::new()
            }
        };
        self.one_by_one(&again, &mut failed);
        self.one_by_one(&odd, &mut failed);
        failed
    }

    /// In one request. Gives back what has to be asked for singly.
    fn together<'k>(&mut self, keys: &[&'k str], failed: &mut Failed<'k>) -> Result<Vec<&'k str>, S3Error> {
        if !self.bulk || self.down.is_some() || keys.len() < 2 {
            return Ok(keys.to_vec());
        }
        match request(self.wire, keys, failed) {
            Err(t) if is_unknown(&t) || is_elsewhere(&t) => {
                log::debug!("{t}; deleting one by one");
                self.bulk = false;
                Ok(keys.to_vec())
            }
            done => done,
        }
    }

    fn one_by_one<'k>(&mut self, keys: &[&'k str], failed: &mut Failed<'k>) {
        let mut in_a_row = 0;
        for key in keys {
            if let Some(t) = &self.down {
                failed.insert(key, t.clone());
                continue;
            }
            match self.wire.ask(&S3Request::new(Method::DELETE, *key), Payload::None) {
                Ok(answer) => {
                    if header(&answer.headers, "x-amz-delete-marker") == "true" {
                        say_that_versions_stay();
                    }
                    in_a_row = 0;
                }
                Err(t) if t.class == S3ErrorKind::Missing => in_a_row = 0,
                Err(t) => {
                    in_a_row = if t.is_retryable() { in_a_row + 1 } else { 0 };
                    if in_a_row >= ENOUGH {
                        self.down = Some(t.clone());
                    }
                    failed.insert(key, t);
                }
            }
        }
    }
}

/// Asks for all of these at once. Gives back those of which the store says that they may be asked for again.
fn request<'k>(wire: &S3Client, keys: &[&'k str], failed: &mut Failed<'k>) -> Result<Vec<&'k str>, S3Error> {
    let mut body = String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for key in keys {
        body.push_str(&format!("<Object><Key>{}</Key></Object>", escape(key)));
    }
    body.push_str("</Delete>");
    let ask = S3Request::new(Method::POST, "")
        .query("delete", "")
        .header("content-type", "application/xml")
        .header("content-md5", base64(&Md5::digest(&body)))
        .header("x-amz-checksum-sha256", base64(&Sha256::digest(&body)));
    let (_, answer) = wire.document(&ask, Payload::Bytes(body.as_bytes()))?;
    if answer.name != "DeleteResult" && answer.name != "DeleteObjectsResult" {
        return Err(wire.lacks("the result of a deletion"));
    }
    if answer.all("Deleted").any(|d| d.text("DeleteMarker") == "true") {
        say_that_versions_stay();
    }
    let asked: BTreeSet<&str> = keys.iter().copied().collect();
    let mut again = Vec::new();
    for error in answer.all("Error") {
        let Some(key) = error.child("Key").and_then(|k| asked.get(k.text.as_str())).copied() else {
            return Err(S3Error::of(
                S3ErrorKind::Nonsense,
                "the store speaks of an object that nobody asked it to delete",
            ));
        };
        let trouble = in_a_document(error);
        match trouble.class {
            S3ErrorKind::Missing => {}
            _ if trouble.is_retryable() => again.push(key),
            _ => drop(failed.insert(key, trouble)),
        }
    }
    Ok(again)
}

/// How stores without this request answer it, beside those that say so: they see a request of another kind, or fail.
fn is_elsewhere(trouble: &S3Error) -> bool {
    matches!(
        trouble.class,
        S3ErrorKind::Failed | S3ErrorKind::NoBucket | S3ErrorKind::Nonsense | S3ErrorKind::Server
    )
}

/// Once in a run: whoever deletes for the room it takes should know.
fn say_that_versions_stay() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        log::info!(
            "the bucket keeps versions: what is deleted is no longer listed, but stays there as an old version until a lifecycle rule of the bucket removes it"
        );
    });
}
