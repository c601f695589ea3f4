// SPDX-License-Identifier: Apache-2.0
//! Deletes: a thousand keys in a request, one by one where a store offers no such thing.
//!
//! First the objects, then what belongs to those that are gone: a snapshot that stays keeps its manifest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Once;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use ureq::http::Method;

use super::answer::{header, in_a_document};
use super::put::{base64, is_unknown};
use super::record::companions;
use super::send::{Payload, Wire};
use super::sign::Ask;
use super::trouble::{Class, Trouble};
use super::xml::escape;

/// The most that a store takes in one request.
const KEYS: usize = 1000;

/// Deletes the snapshots of these names. A name that is not there counts as deleted.
pub(super) fn delete(wire: &Wire, names: &[String]) -> Vec<(String, Result<(), Trouble>)> {
    let keys: Vec<String> = names.iter().map(|n| wire.bucket.key(n)).collect();
    let mut failed = delete_keys(wire, &keys);
    let results: Vec<(String, Result<(), Trouble>)> = names
        .iter()
        .zip(&keys)
        .map(|(name, key)| (name.clone(), failed.remove(key).map_or(Ok(()), Err)))
        .collect();
    let gone = results.iter().filter(|(_, r)| r.is_ok());
    let rest: Vec<String> = gone.flat_map(|(name, _)| companions(wire, name)).collect();
    for (key, trouble) in delete_keys(wire, &rest) {
        log::warn!("deleting '{}' from the bucket: {trouble}; its snapshot is gone", key.escape_debug());
    }
    results
}

/// What could not be deleted.
fn delete_keys(wire: &Wire, keys: &[String]) -> HashMap<String, Trouble> {
    let mut failed = HashMap::new();
    // XML has no way to say control characters.
    let (odd, plain): (Vec<&String>, Vec<&String>) =
        keys.iter().partition(|k| k.chars().any(char::is_control));
    let mut bulk = true;
    for chunk in plain.chunks(KEYS) {
        if bulk && chunk.len() > 1 {
            match together(wire, chunk, &mut failed) {
                Ok(()) => continue,
                Err(t) if is_unknown(&t) || is_elsewhere(&t) => {
                    log::debug!("{t}; deleting one by one");
                    bulk = false;
                }
                Err(t) => {
                    failed.extend(chunk.iter().map(|k| ((*k).clone(), t.clone())));
                    continue;
                }
            }
        }
        one_by_one(wire, chunk, &mut failed);
    }
    one_by_one(wire, &odd, &mut failed);
    failed
}

/// How stores without this request answer it, beside those that say so: they see a request of another kind.
fn is_elsewhere(trouble: &Trouble) -> bool {
    matches!(trouble.class, Class::Failed | Class::NoBucket | Class::Nonsense)
}

fn together(wire: &Wire, keys: &[&String], failed: &mut HashMap<String, Trouble>) -> Result<(), Trouble> {
    let mut body = String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for key in keys {
        body.push_str(&format!("<Object><Key>{}</Key></Object>", escape(key)));
    }
    body.push_str("</Delete>");
    let ask = Ask::new(Method::POST, "")
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
    let asked: BTreeSet<&str> = keys.iter().map(|k| k.as_str()).collect();
    let mut again: Vec<&String> = Vec::new();
    for error in answer.all("Error") {
        let key = error.child("Key").map_or("", |k| k.text.as_str());
        if !asked.contains(key) {
            return Err(Trouble::of(
                Class::Nonsense,
                "the store speaks of an object that nobody asked it to delete",
            ));
        }
        let trouble = in_a_document(error);
        match keys.iter().find(|k| k.as_str() == key).filter(|_| trouble.may_pass()) {
            Some(key) => again.push(key),
            None if trouble.class == Class::Missing => {}
            None => drop(failed.insert(key.to_owned(), trouble)),
        }
    }
    one_by_one(wire, &again, failed);
    Ok(())
}

fn one_by_one(wire: &Wire, keys: &[&String], failed: &mut HashMap<String, Trouble>) {
    for key in keys {
        match wire.ask(&Ask::new(Method::DELETE, key.as_str()), Payload::None) {
            Ok(answer) if header(&answer.headers, "x-amz-delete-marker") == "true" => {
                say_that_versions_stay()
            }
            Ok(_) => {}
            Err(t) if t.class == Class::Missing => {}
            Err(t) => drop(failed.insert((*key).clone(), t)),
        }
    }
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
