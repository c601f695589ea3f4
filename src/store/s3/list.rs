// SPDX-License-Identifier: Apache-2.0
//! Lists a bucket: pages of a thousand keys and nothing else, no request per object.
//!
//! A listing is hostile input: a token that comes twice, a key outside the folder, pages without an end are errors.

use std::collections::{HashMap, HashSet};

use ureq::http::Method;

use super::object::id_of;
use super::record::{FOLDER, variant_of};
use super::send::{Payload, Wire};
use super::sign::Ask;
use super::trouble::{Class, Trouble};
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
pub(super) fn entries(wire: &Wire, prefix: &str, each: &mut dyn FnMut(Entry)) -> Result<(), Trouble> {
    let lie = |what: &str| {
        Trouble::of(Class::Nonsense, format!("the listing of '{}' makes no sense: {what}", wire.host))
    };
    let mut tokens: HashSet<String> = HashSet::new();
    let mut token = String::new();
    let (mut count, mut bytes, mut empty) = (0usize, 0usize, 0usize);
    loop {
        let mut ask = Ask::new(Method::GET, "")
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
pub(super) fn is_listing(wire: &Wire, page: &Node) -> Result<(), Trouble> {
    match page.name.as_str() {
        "ListBucketResult" => Ok(()),
        "ListAllMyBucketsResult" => Err(Trouble::of(
            Class::NoBucket,
            format!("'{}' lists its buckets instead: it does not see the bucket in the host name", wire.host),
        )),
        _ => {
            let why = format!("the listing of '{}' makes no sense: it is no listing", wire.host);
            Err(Trouble::of(Class::Nonsense, why))
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

/// The rows of a bucket, and the objects behind them. An object is what the newest manifest beside it says, as
/// long as that is not older than the object.
pub(super) fn rows(wire: &Wire) -> Result<(Listing, HashMap<String, Entry>), Trouble> {
    let mut prefix = wire.bucket.key("");
    if prefix == "/" {
        prefix.clear();
    }
    let url = wire.bucket.url();
    let mut verdicts: HashMap<String, (u64, State)> = HashMap::new();
    let mut objects: Vec<Entry> = Vec::new();
    let below = |key: &str| key.get(prefix.len()..).unwrap_or_default().to_owned();
    entries(wire, &prefix, &mut |entry| {
        let file = below(&entry.key);
        match file.strip_prefix(FOLDER).and_then(|f| f.strip_prefix('/')) {
            Some(record) => {
                if let Some((of, state)) = variant_of(record) {
                    let newest = verdicts.entry(of.to_owned()).or_insert((0, State::Unchecked));
                    // Of two of the same second the worse counts.
                    if entry.modified > newest.0 || entry.modified == newest.0 && state != State::Proven {
                        *newest = (entry.modified, state);
                    }
                }
            }
            None if file.is_empty() || file.ends_with('/') => {} // the folder itself, as some tools create it
            None => objects.push(entry),
        }
    })?;
    let mut found = HashMap::new();
    let snapshots = objects
        .into_iter()
        .map(|entry| {
            let file = below(&entry.key);
            let name = Some(&file).filter(|f| is_plain(f)).and_then(|f| SnapshotName::parse(f));
            let verdict =
                verdicts.get(&file).filter(|(at, _)| *at >= entry.modified).map(|(_, state)| *state);
            let state = match (&name, verdict) {
                (None, _) => State::Foreign,
                (Some(_), _) if entry.size == 0 => State::Bad,
                (Some(n), _) if n.suffix == Suffix::Plain && !plausible_size(entry.size) => State::Bad,
                (Some(_), verdict) => verdict.unwrap_or(State::Unchecked),
            };
            let row = Snapshot {
                location: format!("{url}/{file}"),
                size: entry.size,
                created_at: name.as_ref().map_or(entry.modified, |n| n.at),
                name,
                state,
                manifest: None,
                file: file.clone(),
            };
            found.insert(file, entry);
            row
        })
        .collect();
    Ok((Listing { snapshots, complete: true, informed: true }, found))
}

#[cfg(test)]
mod tests {
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
            assert_eq!(super::decode(raw), want, "{raw}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for bad in ["", ".", "..", "a/b", "../x", "/etc"] {
            assert!(!super::is_plain(bad), "{bad}");
        }
        assert!(super::is_plain("..a-5"));
    }
}
