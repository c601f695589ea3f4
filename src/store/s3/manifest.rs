// SPDX-License-Identifier: Apache-2.0
//! Our manifests in a bucket: `<folder>/.metadata/<name>.<verdict>.json`, beside K3s's own companion
//! `.metadata/<name>`.
//!
//! A list must tell proven from bad without opening anything, and a prune how many entries the proven have, so both
//! are part of the name: a number says proven, and that many entries; `bad` and `unchecked` the rest. Only one of them
//! is kept, and the newest counts.

use serde_json::{Value, json};
use ureq::http::Method;

use super::client::{Payload, S3Client};
use super::error::{S3Error, S3ErrorKind};
use super::list::entries;
use super::put::put_bytes;
use super::sign::S3Request;
use crate::model::snapshot::{Manifest, State};

/// The folder of companions, K3s's and ours.
pub(super) const FOLDER: &str = ".metadata";
/// A manifest is far smaller.
const LONGEST: u64 = 1 << 20;
/// The manifest's field about the object.
const OBJECT: &str = "object";

/// How an object was shown to be what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The store reports its SHA-256.
    Sha256,
    /// The store reports its MD5.
    Etag,
    /// Every byte was read back.
    Read,
    /// Only the size is known to be right: no proof.
    Size,
}

impl Evidence {
    fn as_str(self) -> &'static str {
        match self {
            Evidence::Sha256 => "sha256",
            Evidence::Etag => "etag",
            Evidence::Read => "read",
            Evidence::Size => "size only",
        }
    }
}

/// Writes into the manifest what is known of the object.
pub(super) fn note(manifest: &mut Manifest, evidence: Evidence, etag: &str) {
    manifest.other.insert(OBJECT.to_owned(), json!({ "evidence": evidence.as_str(), "etag": etag }));
}

/// What the manifest makes of its object.
pub(super) fn verdict(manifest: &Manifest) -> State {
    let evidence = manifest.other.get(OBJECT).and_then(|o| o.get("evidence")).and_then(Value::as_str);
    match manifest.state() {
        State::Verified if evidence == Some(Evidence::Size.as_str()) || manifest.verified_at.is_none() => {
            State::Unverified
        }
        state => state,
    }
}

/// What the name of a manifest tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label<'a> {
    /// The file name of the snapshot.
    pub(super) name: &'a str,
    pub(super) state: State,
    /// Keys of etcd's bucket `key`.
    pub(super) entries: Option<u64>,
}

/// Reads the name of a file in the folder of companions; `None` where it is no manifest of ours. A snapshot's own
/// name never ends in a dot and one of these words.
pub(super) fn label(record: &str) -> Option<Label<'_>> {
    let bare = record.strip_suffix(".json")?;
    let (name, word) = bare.rsplit_once('.')?;
    let (state, entries) = match word {
        "bad" => (State::Corrupt, None),
        "unchecked" => (State::Unverified, None),
        number => (State::Verified, Some(number.parse().ok().filter(|n: &u64| n.to_string() == number)?)),
    };
    Some(Label { name, state, entries })
}

fn key(wire: &S3Client, manifest: &Manifest) -> String {
    let (name, entries) = (&manifest.name, manifest.key_revisions.to_string());
    let word = match verdict(manifest) {
        State::Verified => &entries,
        State::Corrupt => "bad",
        _ => "unchecked",
    };
    wire.bucket.key(&format!("{FOLDER}/{name}.{word}.json"))
}

/// The keys of a snapshot's manifests, the one that counts first.
fn keys(wire: &S3Client, name: &str) -> Result<Vec<String>, S3Error> {
    let folder = wire.bucket.key(&format!("{FOLDER}/"));
    let mut found = Vec::new();
    entries(wire, &format!("{folder}{name}."), &mut |entry| {
        if let Some(label) = entry.key.strip_prefix(&folder).and_then(label).filter(|l| l.name == name) {
            found.push((newer(entry.modified, label.state), entry.key.clone()));
        }
    })?;
    found.sort();
    Ok(found.into_iter().rev().map(|(_, key)| key).collect())
}

/// What decides between two manifests: the newer one counts, and of two of the same second the worse.
pub(super) fn newer(modified: u64, state: State) -> (u64, bool) {
    (modified, state != State::Verified)
}

/// Writes a manifest. With `replaces`, those that say something else are removed after it.
pub(super) fn write(wire: &S3Client, manifest: &Manifest, replaces: bool) -> Result<(), S3Error> {
    let mut text = serde_json::to_vec_pretty(manifest)
        .map_err(|e| S3Error::of(S3ErrorKind::Failed, format!("the manifest cannot be written: {e}")))?;
    text.push(b'\n');
    let key = key(wire, manifest);
    put_bytes(wire, &key, "application/json", &text)?;
    let others = if replaces { keys(wire, &manifest.name)? } else { vec![] };
    for other in others.into_iter().filter(|other| *other != key) {
        wire.ask(&S3Request::new(Method::DELETE, other), Payload::None)?;
    }
    Ok(())
}

/// Reads a snapshot's manifest; `None` where there is none that can be read.
pub(super) fn read(wire: &S3Client, name: &str) -> Result<Option<Manifest>, S3Error> {
    for key in keys(wire, name)? {
        if let Some(manifest) = read_from(wire, &key, name)? {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// The same where its key is known.
pub(super) fn read_from(wire: &S3Client, key: &str, name: &str) -> Result<Option<Manifest>, S3Error> {
    let ask = super::put::customer_key(S3Request::new(Method::GET, key), &wire.bucket);
    match wire.read(&ask, Payload::None, LONGEST) {
        Ok((_, text)) => match serde_json::from_slice::<Manifest>(&text) {
            Ok(manifest) if manifest.name == name => return Ok(Some(manifest)),
            _ => log::debug!("the manifest of '{}' in the bucket cannot be read", name.escape_debug()),
        },
        Err(t) if t.class == S3ErrorKind::Missing => {}
        Err(t) => return Err(t),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_and_the_entries_are_in_the_name() {
        for (record, want) in [
            ("a-5.347.json", Some(("a-5", State::Verified, Some(347)))),
            ("a-5.zip.0.json", Some(("a-5.zip", State::Verified, Some(0)))),
            ("a.b-5.7.json", Some(("a.b-5", State::Verified, Some(7)))),
            ("a-5.bad.json", Some(("a-5", State::Corrupt, None))),
            ("a-5.zip.unchecked.json", Some(("a-5.zip", State::Unverified, None))),
            ("a-5", None), // K3s's
            ("a-5.zip", None),
            ("a-5.json", None),
            ("a.b-5.json", None),
            ("a-5.007.json", None),
            ("a-5.-7.json", None),
            ("a-5.99999999999999999999.json", None),
        ] {
            assert_eq!(label(record).map(|l| (l.name, l.state, l.entries)), want, "{record}");
        }
    }

    #[test]
    fn of_two_manifests_the_newer_counts_then_the_worse() {
        assert!(newer(2, State::Verified) > newer(1, State::Corrupt));
        assert!(newer(1, State::Corrupt) > newer(1, State::Verified));
    }
}
