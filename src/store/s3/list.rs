// SPDX-License-Identifier: Apache-2.0
//! Lists a bucket: pages of a thousand keys and nothing else, no request per object.
//!
//! A listing is hostile input: a token that comes twice, a key outside the folder, pages without an end are errors.

use std::collections::{HashMap, HashSet};

use ureq::http::Method;

use super::client::{Payload, S3Client};
use super::error::{S3Error, S3ErrorKind};
use super::manifest::{FOLDER, label, newer};
use super::object::id_of;
use super::sign::S3Request;
use super::xml::Node;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::snapshot::{FileId, Listing, Snapshot, State, plausible_size};

/// More objects than any folder of snapshots has; a listing that goes on is a lie, or somebody else's bucket.
const OBJECTS: usize = 1_000_000;
/// Bytes of all their names and tags.
const BYTES: usize = 256 << 20;
/// Bytes of a key, as S3 allows, and of a tag.
const KEY: usize = 1024;
/// Pages in a row that bring nothing.
const EMPTY: usize = 100;

/// An object in a listing.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) modified: u64,
    pub(super) etag: String,
}

impl Entry {
    /// Whether this is the object that a manifest speaks of. Not every store lists entity tags.
    pub(super) fn is(&self, file: &FileId) -> bool {
        let mine = id_of(self.size, self.modified, &self.etag);
        mine.size == file.size
            && mine.mtime_ns == file.mtime_ns
            && (self.etag.is_empty() || mine.ino == file.ino)
    }
}

/// Everything whose key begins with `prefix`.
pub(super) fn entries(wire: &S3Client, prefix: &str, each: &mut dyn FnMut(Entry)) -> Result<(), S3Error> {
    let lie = |what: &str| {
        S3Error::of(S3ErrorKind::Nonsense, format!("the listing of '{}' makes no sense: {what}", wire.host))
    };
    let mut tokens: HashSet<String> = HashSet::new();
    let mut token = String::new();
    let (mut count, mut bytes, mut empty) = (0usize, 0usize, 0usize);
    loop {
        let mut ask = S3Request::new(Method::GET, "")
            .query("list-type", "2")
            .query("max-keys", "1000")
            .query("encoding-type", "url")
            .query("prefix", prefix);
        if !token.is_empty() {
            ask = ask.query("continuation-token", &token);
        }
        let (_, page) = wire.document(&ask, Payload::None)?;
        is_listing(wire, &page)?;
        let encoded = page.text("EncodingType") == "url";
        let before = count;
        for node in page.all("Contents") {
            let entry = entry(node, encoded).map_err(lie)?;
            if !entry.key.starts_with(prefix) {
                return Err(lie("it holds an object from outside the folder"));
            }
            count += 1;
            bytes += entry.key.len() + entry.etag.len();
            each(entry);
        }
        empty = if count == before { empty + 1 } else { 0 };
        if count > OBJECTS || bytes > BYTES || empty > EMPTY {
            return Err(lie("it has no end"));
        }
        if !page.text("IsTruncated").eq_ignore_ascii_case("true") {
            return Ok(());
        }
        let next = page.text("NextContinuationToken");
        if next.is_empty() {
            return Err(lie("it says that it goes on, but not where"));
        }
        if !tokens.insert(next.to_owned()) {
            return Err(lie("it goes round in circles"));
        }
        next.clone_into(&mut token);
    }
}

/// Whether an answer lists objects. One that lists buckets does not see ours in the host name.
pub(super) fn is_listing(wire: &S3Client, page: &Node) -> Result<(), S3Error> {
    match page.name.as_str() {
        "ListBucketResult" => Ok(()),
        "ListAllMyBucketsResult" => Err(S3Error::of(
            S3ErrorKind::NoBucket,
            format!("'{}' lists its buckets instead: it does not see the bucket in the host name", wire.host),
        )),
        _ => {
            let why = format!("the listing of '{}' makes no sense: it is no listing", wire.host);
            Err(S3Error::of(S3ErrorKind::Nonsense, why))
        }
    }
}

fn entry(node: &Node, encoded: bool) -> Result<Entry, &'static str> {
    let raw = node.child("Key").map(|k| k.text.as_str()).unwrap_or_default();
    let key = if encoded { decode(raw) } else { raw.to_owned() };
    if key.is_empty() || key.len() > KEY {
        return Err("an object in it has no name, or too long a one");
    }
    let etag = node.text("ETag").trim_matches('"');
    if etag.len() > KEY {
        return Err("an object in it has too long a tag");
    }
    let modified =
        node.text("LastModified").parse::<jiff::Timestamp>().map_err(|_| "an object in it has no date")?;
    Ok(Entry {
        key,
        size: node.text("Size").parse().map_err(|_| "an object in it has no size")?,
        modified: u64::try_from(modified.as_second()).unwrap_or(0),
        etag: etag.to_owned(),
    })
}

/// Percent signs and `+`, as forms are written. Some stores say that they encode and do not: what no encoder leaves
/// as it is was not encoded.
fn decode(text: &str) -> String {
    let left_by_none = |b: u8| !b.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&b);
    let decoded = || {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let pair = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
                }
                other => other,
            });
        }
        String::from_utf8(bytes).ok()
    };
    if text.bytes().any(left_by_none) {
        text.to_owned()
    } else {
        decoded().unwrap_or_else(|| text.to_owned())
    }
}

/// A name that can be asked for and cannot lead anywhere else.
pub(super) fn is_plain(file: &str) -> bool {
    !file.is_empty() && !file.contains('/') && file != "." && file != ".."
}

/// Something in the folder of companions.
#[derive(Debug, Clone)]
pub(super) struct MetadataObject {
    pub(super) key: String,
    pub(super) modified: u64,
    /// What a manifest of ours says; `None` for K3s's own companion.
    pub(super) verdict: Option<(State, Option<u64>)>,
}

/// What a listing showed behind its rows, by file name.
#[derive(Debug, Default)]
pub(super) struct BucketIndex {
    pub(super) objects: HashMap<String, Entry>,
    /// What belongs to a snapshot, whether that is there or not.
    pub(super) companions: HashMap<String, Vec<MetadataObject>>,
}

impl BucketIndex {
    /// The manifest of ours that counts.
    pub(super) fn manifest(&self, file: &str) -> Option<&MetadataObject> {
        let all = self.companions.get(file)?.iter();
        all.filter(|c| c.verdict.is_some())
            .max_by_key(|c| newer(c.modified, c.verdict.map_or(State::Unverified, |v| v.0)))
    }

    /// Manifests of ours whose snapshots are gone, if they have not been written after `before`: a save that ran
    /// meanwhile may have put its snapshot where the listing had been already.
    pub(super) fn orphans(&self, before: u64) -> Vec<String> {
        let gone = self.companions.iter().filter(|(file, _)| {
            !self.objects.contains_key(*file) && is_plain(file) && SnapshotName::parse(file).is_some()
        });
        let all = gone.flat_map(|(_, companions)| companions);
        let mut keys: Vec<String> =
            all.filter(|c| c.verdict.is_some() && c.modified <= before).map(|c| c.key.clone()).collect();
        keys.sort();
        keys
    }
}

/// The rows of a bucket, and what is behind them. An object is what the newest manifest beside it says, as long as
/// that is not older than the object.
pub(super) fn rows(wire: &S3Client) -> Result<(Listing, BucketIndex), S3Error> {
    let prefix = wire.bucket.prefix();
    let url = wire.bucket.url();
    let mut shown = BucketIndex::default();
    let mut objects: Vec<Entry> = Vec::new();
    let below = |key: &str| key.get(prefix.len()..).unwrap_or_default().to_owned();
    entries(wire, &prefix, &mut |entry| {
        let file = below(&entry.key);
        match file.strip_prefix(FOLDER).and_then(|f| f.strip_prefix('/')) {
            Some(record) => {
                let label = label(record);
                let companion = MetadataObject {
                    key: entry.key,
                    modified: entry.modified,
                    verdict: label.map(|l| (l.state, l.entries)),
                };
                let of = label.map_or(record, |l| l.name).to_owned();
                shown.companions.entry(of).or_default().push(companion);
            }
            None if file.is_empty() || file.ends_with('/') => {} // the folder itself, as some tools create it
            None => objects.push(entry),
        }
    })?;
    let mut snapshots = Vec::with_capacity(objects.len());
    for entry in objects {
        let file = below(&entry.key);
        let name = Some(&file).filter(|f| is_plain(f)).and_then(|f| SnapshotName::parse(f));
        let manifest = shown.manifest(&file).filter(|m| m.modified >= entry.modified);
        let (verdict, entries) = manifest.and_then(|m| m.verdict).unwrap_or((State::Unverified, None));
        let state = match &name {
            None => State::Foreign,
            Some(_) if entry.size == 0 => State::Corrupt,
            Some(n) if n.suffix == Suffix::Plain && !plausible_size(entry.size) => State::Corrupt,
            Some(_) => verdict,
        };
        snapshots.push(Snapshot {
            location: format!("{url}/{file}"),
            size: entry.size,
            created_at: name.as_ref().map_or(entry.modified, |n| n.at),
            name,
            state,
            manifest: None,
            key_revisions: entries.filter(|_| state == State::Verified),
            file: file.clone(),
        });
        shown.objects.insert(file, entry);
    }
    Ok((Listing { snapshots, complete: true, manifests_readable: true }, shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_manifests_of_snapshots_that_are_gone_are_orphans() {
        let mut shown = BucketIndex::default();
        let entry = Entry { key: "x/here-n-5".into(), size: 1, modified: 1, etag: String::new() };
        shown.objects.insert("here-n-5".into(), entry);
        for (of, modified, ours) in [
            ("here-n-5", 1, true),
            ("gone-n-5", 1, true),
            ("young-n-5", 3, true),
            ("k3s-n-5", 1, false),
            ("odd", 1, true),
        ] {
            let verdict = ours.then_some((State::Verified, None));
            let companion = MetadataObject { key: format!("x/.metadata/{of}"), modified, verdict };
            shown.companions.insert(of.into(), vec![companion]);
        }
        assert_eq!(shown.orphans(2), ["x/.metadata/gone-n-5"]);
    }

    #[test]
    fn names_are_decoded_as_stores_encode_them() {
        for (raw, want) in [
            ("a+b", "a b"),
            ("a%2Bb%0a", "a+b\n"),
            ("%C3%BC", "ü"),
            // These were not encoded, whatever was said.
            ("%zz", "%zz"),
            ("%4", "%4"),
            ("%ff", "%ff"),
            ("ü%41+", "ü%41+"),
            ("a b%41+", "a b%41+"),
        ] {
            assert_eq!(decode(raw), want, "{raw}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for bad in ["", ".", "..", "a/b", "../x", "/etc"] {
            assert!(!is_plain(bad), "{bad}");
        }
        assert!(is_plain("..a-5"));
    }
}
