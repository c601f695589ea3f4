// SPDX-License-Identifier: Apache-2.0
//! Lists the objects below a prefix, page by page. Keeps none of them.
//!
//! A listing is hostile input: a token that comes twice, a key outside the prefix and pages without an end are errors.

use std::collections::HashSet;
use std::hash::BuildHasher;

use ureq::http::Method;

use super::client::S3Client;
use super::error::{S3Error, S3ErrorKind};
use super::headers::bare_etag;
use super::request::{Payload, S3Request};
use super::xml::Node;

/// Objects and prefixes that are looked at. A listing that goes on has no end, or is of a bucket for other things.
const MAX_SCANNED: usize = 10_000_000;
/// Bytes of a key, as S3 allows, and of an entity tag.
const MAX_KEY: usize = 1024;
/// Pages in a row without an object.
const MAX_EMPTY_PAGES: usize = 100;

/// An object in a listing.
#[derive(Debug, Clone)]
pub(super) struct ListedObject {
    pub(super) key: String,
    /// Bytes.
    pub(super) size: u64,
    /// Seconds since the epoch.
    pub(super) modified: u64,
    /// Empty if the store lists no entity tags.
    pub(super) etag: String,
}

/// The prefixes one level below, if they are not entered.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    pub(super) count: usize,
    /// Whether the wanted prefix is one of them.
    pub(super) has_wanted: bool,
}

/// Calls `each` for every object whose key begins with `prefix`. With `wanted`, the prefixes one level below are not
/// entered: they are counted, and the result says whether `wanted` is one of them.
pub(super) fn for_each_object(
    client: &S3Client,
    prefix: &str,
    wanted: Option<&str>,
    each: &mut dyn FnMut(ListedObject) -> Result<(), S3Error>,
) -> Result<Prefixes, S3Error> {
    let invalid = |what: &str| invalid_listing(client, what);
    let (hasher, mut tokens) = (std::hash::RandomState::new(), HashSet::new());
    let (mut token, mut prefixes) = (String::new(), Prefixes::default());
    let (mut scanned, mut empty) = (0usize, 0usize);
    loop {
        let (_, page) = client.document(&page_request(prefix, wanted.is_some(), &token), Payload::None)?;
        ensure_listing(client, &page)?;
        let is_encoded = page.text("EncodingType") == "url";
        let before = scanned;
        for node in page.all("Contents") {
            let object = parse_object(node, is_encoded).map_err(invalid)?;
            if !object.key.starts_with(prefix) {
                return Err(invalid("it has an object from outside the prefix"));
            }
            scanned += 1;
            each(object)?;
        }
        for node in page.all("CommonPrefixes") {
            let text = decoded(node.text("Prefix"), is_encoded);
            prefixes.has_wanted |= wanted == Some(text.as_str());
            prefixes.count += 1;
            scanned += 1;
        }
        empty = if scanned == before { empty + 1 } else { 0 };
        if scanned > MAX_SCANNED || empty > MAX_EMPTY_PAGES {
            return Err(invalid("it has no end"));
        }
        if !page.text("IsTruncated").eq_ignore_ascii_case("true") {
            return Ok(prefixes);
        }
        let next = page.text("NextContinuationToken");
        if next.is_empty() {
            return Err(invalid("it is truncated, but has no token for the next page"));
        }
        if !tokens.insert(hasher.hash_one(next)) {
            return Err(invalid("it has the same token twice"));
        }
        next.clone_into(&mut token);
    }
}

fn page_request(prefix: &str, is_flat: bool, token: &str) -> S3Request {
    let mut request = S3Request::new(Method::GET, "")
        .query("list-type", "2")
        .query("max-keys", "1000")
        .query("encoding-type", "url")
        .query("prefix", prefix);
    if is_flat {
        request = request.query("delimiter", "/");
    }
    if !token.is_empty() {
        request = request.query("continuation-token", token);
    }
    request
}

fn invalid_listing(client: &S3Client, what: &str) -> S3Error {
    let message = format!("the listing of '{}' is invalid: {what}", client.peer.host);
    S3Error::new(S3ErrorKind::Invalid, message)
}

/// Checks that a response lists objects. A store that lists buckets does not see the bucket in the host name.
pub(super) fn ensure_listing(client: &S3Client, page: &Node) -> Result<(), S3Error> {
    match page.name.as_str() {
        "ListBucketResult" => Ok(()),
        "ListAllMyBucketsResult" => Err(S3Error::new(
            S3ErrorKind::NoBucket,
            format!(
                "'{}' lists its buckets instead: it does not see the bucket in the host name",
                client.peer.host
            ),
        )),
        _ => Err(invalid_listing(client, "it is no listing")),
    }
}

fn parse_object(node: &Node, is_encoded: bool) -> Result<ListedObject, &'static str> {
    let key = decoded(node.child("Key").map(|k| k.text.as_str()).unwrap_or_default(), is_encoded);
    if key.is_empty() || key.len() > MAX_KEY {
        return Err("an object has no name, or a name that is too long");
    }
    let etag = bare_etag(node.text("ETag"));
    if etag.len() > MAX_KEY {
        return Err("an object has an entity tag that is too long");
    }
    let modified =
        node.text("LastModified").parse::<jiff::Timestamp>().map_err(|_| "an object has no date")?;
    Ok(ListedObject {
        key,
        size: node.text("Size").parse().map_err(|_| "an object has no size")?,
        modified: u64::try_from(modified.as_second()).unwrap_or(0),
        etag: etag.to_owned(),
    })
}

fn decoded(text: &str, is_encoded: bool) -> String {
    if is_encoded { decode(text) } else { text.to_owned() }
}

/// Decodes percent signs and `+`, as in a form. Some stores say that they encode names and do not: a text with a
/// character that every encoder replaces was not encoded.
fn decode(text: &str) -> String {
    let is_always_replaced = |b: u8| !b.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&b);
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
    if text.bytes().any(is_always_replaced) {
        text.to_owned()
    } else {
        decoded().unwrap_or_else(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_stores_encode_them() {
        for (raw, want) in [
            ("a+b", "a b"),
            ("a%2Bb%0a", "a+b\n"),
            ("%C3%BC", "ü"),
            // These were not encoded, whatever the store says.
            ("%zz", "%zz"),
            ("%4", "%4"),
            ("%ff", "%ff"),
            ("ü%41+", "ü%41+"),
            ("a b%41+", "a b%41+"),
        ] {
            assert_eq!(decode(raw), want, "{raw}");
        }
    }
}
