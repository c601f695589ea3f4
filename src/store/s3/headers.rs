// SPDX-License-Identifier: Apache-2.0
//! The headers that objects are written with, and how headers of a response are read.

use ureq::http::HeaderMap;

use super::digest::{base64, md5_header};
use super::request::S3Request;
use crate::model::name::SnapshotName;
use crate::model::s3_config::{Encryption, S3Config};
use crate::model::snapshot::Manifest;

/// The metadata with the SHA-256 of the whole object.
pub(super) const SHA256_METADATA: &str = "x-amz-meta-k3s-snapshot-sha256";
/// The fields that K3s writes as metadata of an object.
pub(super) const NODE_NAME: &str = "node-name";
pub(super) const CLUSTER_ID: &str = "cluster-id";
const TOKEN_HASH: &str = "token-hash";

/// The value of a header as text; empty if it is missing.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The entity tag of a response, without quotes. A tag that a proxy made weak is still the tag of the object.
pub(super) fn etag(headers: &HeaderMap) -> String {
    bare_etag(header(headers, "etag")).to_owned()
}

/// An entity tag without its quotes and its mark of weakness.
pub(super) fn bare_etag(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}

/// A date in seconds since the epoch; 0 if the header is missing or no date.
pub(super) fn date(headers: &HeaderMap, name: &str) -> u64 {
    let date = jiff::fmt::rfc2822::parse(header(headers, name)).ok();
    date.and_then(|t| u64::try_from(t.timestamp().as_second()).ok()).unwrap_or(0)
}

/// The header of a field that K3s or RKE2 writes as metadata: `x-amz-meta-k3s-node-name`, or `-rke2-`.
pub(super) fn metadata_header(bucket: &S3Config, field: &str) -> String {
    format!("x-amz-meta-{}-{field}", bucket.distribution)
}

/// Adds the condition that no object of this name exists.
pub(super) fn if_none_match(request: S3Request, condition: bool) -> S3Request {
    if condition { request.header("if-none-match", "*") } else { request }
}

/// Adds the customer key, if one is set: every request about the content of an object needs it.
pub(super) fn customer_key(request: S3Request, bucket: &S3Config) -> S3Request {
    let Encryption::Customer(key) = &bucket.objects.encryption else { return request };
    request
        .header("x-amz-server-side-encryption-customer-algorithm", "AES256")
        .header("x-amz-server-side-encryption-customer-key", base64(&key.0))
        .header("x-amz-server-side-encryption-customer-key-md5", md5_header(&key.0))
}

/// Adds the encryption of a new object.
pub(super) fn object_headers(request: S3Request, bucket: &S3Config) -> S3Request {
    let request = customer_key(request, bucket);
    match &bucket.objects.encryption {
        Encryption::Default | Encryption::Customer(_) => request,
        Encryption::Aes256 => request.header("x-amz-server-side-encryption", "AES256"),
        Encryption::Kms(key) => {
            let request = request.header("x-amz-server-side-encryption", "aws:kms");
            match key {
                Some(key) => request.header("x-amz-server-side-encryption-aws-kms-key-id", key),
                None => request,
            }
        }
    }
}

/// Adds everything that a new snapshot is written with: encryption, content type, storage class, tags, metadata. Storage
/// class and tags are for snapshots alone: a manifest must be readable at once.
pub(super) fn snapshot_headers(request: S3Request, bucket: &S3Config, name: &str, m: &Manifest) -> S3Request {
    let is_zip = SnapshotName::parse(name).is_some_and(|n| n.suffix.is_zip());
    let mut request = object_headers(request, bucket)
        .header("content-type", if is_zip { "application/zip" } else { "application/octet-stream" });
    if let Some(class) = &bucket.objects.storage_class {
        request = request.header("x-amz-storage-class", class);
    }
    if !bucket.objects.tags.is_empty() {
        let pairs = bucket.objects.tags.iter().map(|(k, v)| format!("{}={}", form_encode(k), form_encode(v)));
        request = request.header("x-amz-tagging", pairs.collect::<Vec<_>>().join("&"));
    }
    // The fields of K3s, by which it lists the snapshots of other nodes, then those of this tool.
    k3s_headers(request, bucket, m)
        .header(SHA256_METADATA, m.stored_sha256.to_string())
        .header("x-amz-meta-k3s-snapshot-revision", m.revision.to_string())
        .header("x-amz-meta-k3s-snapshot-plain-size", m.plain_size.to_string())
}

/// Adds the three fields that K3s writes as metadata of each of its objects.
pub(super) fn k3s_headers(mut request: S3Request, bucket: &S3Config, m: &Manifest) -> S3Request {
    for (field, value) in [
        (NODE_NAME, m.node.as_deref()),
        (CLUSTER_ID, m.cluster_id.as_deref()),
        (TOKEN_HASH, m.token_hash.first().map(String::as_str)),
    ] {
        if let Some(value) = value.filter(|v| !v.is_empty() && v.chars().all(|c| c.is_ascii_graphic())) {
            request = request.header(metadata_header(bucket, field), value);
        }
    }
    request
}

/// Percent-encoded, as in a form.
fn form_encode(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
