// SPDX-License-Identifier: Apache-2.0
//! Reads and writes the manifests in a bucket. One manifest of a snapshot is kept; if there are several, the newest
//! counts.

use ureq::http::Method;

use super::client::S3Client;
use super::digest::{md5_header, sha256_header};
use super::error::{S3Error, S3ErrorKind};
use super::headers::{customer_key, k3s_headers, object_headers};
use super::integrity::state_of;
use super::layout::{METADATA_DIR, manifest_name, parse_manifest_name};
use super::list::for_each_object;
use super::request::{Payload, S3Request};
use crate::model::snapshot::{Manifest, State};

/// Bytes. A manifest is far smaller.
const MAX_SIZE: u64 = 1 << 20;

fn key(client: &S3Client, m: &Manifest) -> String {
    let name = manifest_name(&m.name, state_of(m), m.key_revisions, m.cluster_id.as_deref());
    client.bucket.key(&format!("{METADATA_DIR}/{name}"))
}

/// The keys of the manifests of a snapshot, the one that counts first.
fn keys(client: &S3Client, name: &str) -> Result<Vec<String>, S3Error> {
    let dir = client.bucket.key(&format!("{METADATA_DIR}/"));
    let mut found = Vec::new();
    for_each_object(client, &format!("{dir}{name}."), None, &mut |object| {
        let parsed = object.key.strip_prefix(&dir).and_then(parse_manifest_name);
        if let Some(parsed) = parsed.filter(|p| p.snapshot == name) {
            found.push((precedence(object.modified, parsed.state), object.key.clone()));
        }
        Ok(())
    })?;
    found.sort();
    Ok(found.into_iter().rev().map(|(_, key)| key).collect())
}

/// The order of two manifests of one snapshot: the newer one counts, and of two from the same second the worse.
pub(super) fn precedence(modified: u64, state: State) -> (u64, bool) {
    (modified, state != State::Verified)
}

/// Writes a manifest. With `replace`, the manifests with another name are deleted after that.
///
/// A store has no locks. If two processes write different states at the same time, each may delete the manifest of the
/// other: the snapshot is then unverified, which is safe.
pub(super) fn write(client: &S3Client, manifest: &Manifest, replace: bool) -> Result<(), S3Error> {
    let mut text = serde_json::to_vec_pretty(manifest)
        .map_err(|e| S3Error::new(S3ErrorKind::Failed, format!("the manifest cannot be encoded: {e}")))?;
    text.push(b'\n');
    let key = key(client, manifest);
    put_small(client, S3Request::new(Method::PUT, &key), "application/json", &text)?;
    let others = if replace { keys(client, &manifest.name)? } else { vec![] };
    for other in others.into_iter().filter(|other| *other != key) {
        client.send(&S3Request::new(Method::DELETE, other), Payload::None)?;
    }
    Ok(())
}

/// Reads the manifest of a snapshot. `None` if there is none of this format.
pub(super) fn read(client: &S3Client, name: &str) -> Result<Option<Manifest>, S3Error> {
    for key in keys(client, name)? {
        if let Some(manifest) = read_key(client, &key, name)? {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// Reads the manifest of a snapshot whose key is known.
pub(super) fn read_key(client: &S3Client, key: &str, name: &str) -> Result<Option<Manifest>, S3Error> {
    let request = customer_key(S3Request::new(Method::GET, key), &client.bucket);
    match client.read(&request, Payload::None, MAX_SIZE) {
        Ok((_, text)) => match serde_json::from_slice::<Manifest>(&text) {
            Ok(manifest) if manifest.name == name => return Ok(Some(manifest)),
            _ => log::warn!("the manifest '{}' in the bucket is ignored", key.escape_debug()),
        },
        Err(e) if e.kind == S3ErrorKind::Missing => {}
        Err(e) => return Err(e),
    }
    Ok(None)
}

/// Writes the extra metadata of K3s for a snapshot, where K3s has it.
pub(super) fn write_extra_metadata(client: &S3Client, m: &Manifest, json: &[u8]) -> Result<(), S3Error> {
    let key = client.bucket.key(&format!("{METADATA_DIR}/{}", m.name));
    let request = k3s_headers(S3Request::new(Method::PUT, &key), &client.bucket, m);
    put_small(client, request, "application/json", json)
}

/// Writes a small object over the one that exists.
pub(super) fn put_small(
    client: &S3Client,
    request: S3Request,
    kind: &str,
    bytes: &[u8],
) -> Result<(), S3Error> {
    // Both digests: a store ignores the one that it does not know, and a bucket with Object Lock requires one.
    const CHECKSUM: &str = "x-amz-checksum-sha256";
    let request = object_headers(request, &client.bucket)
        .header("content-type", kind)
        .header("content-md5", md5_header(bytes))
        .header(CHECKSUM, sha256_header(bytes));
    match client.send(&request, Payload::Bytes(bytes)) {
        Err(e) if e.is_unsupported() => {
            client.send(&request.without_header(CHECKSUM), Payload::Bytes(bytes)).map(drop)
        }
        done => done.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_manifests_the_newer_counts_then_the_worse() {
        assert!(precedence(2, State::Verified) > precedence(1, State::Corrupt));
        assert!(precedence(1, State::Corrupt) > precedence(1, State::Verified));
    }
}
