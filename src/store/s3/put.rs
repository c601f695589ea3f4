// SPDX-License-Identifier: Apache-2.0
//! Puts an object: in one piece, or in parts where it is large (`multipart.rs`). Then asks the store what it has.
//!
//! Nothing is overwritten, and no answer is believed that the store's own checksum does not bear out.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use ureq::http::Method;

use super::client::{Payload, S3Client, etag};
use super::error::{S3Error, S3ErrorKind};
use super::manifest::Evidence;
use super::multipart;
use super::object::{Head, head, head_or_none};
use super::response::header;
use super::sign::S3Request;
use crate::host::Progress;
use crate::io::ReadAt;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::s3_config::{Encryption, S3Config};
use crate::model::snapshot::Manifest;

/// The metadata that names the SHA-256 of the whole object.
pub(super) const SHA256: &str = "x-amz-meta-k3s-snapshot-sha256";
/// The metadata that names the node; K3s writes the same.
pub(super) const NODE: &str = "node-name";
/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// What a request goes with beyond the needful.
#[derive(Clone, Copy)]
pub(super) struct Features {
    /// What keeps an object from being overwritten.
    pub(super) condition: bool,
    /// A SHA-256 that the store keeps.
    pub(super) checksum: bool,
}

impl Features {
    /// Without what this refusal is about, as far as it says so.
    fn less(self, trouble: &S3Error) -> Option<Features> {
        let said = trouble.message.to_ascii_lowercase();
        let bare = Features { checksum: false, ..self };
        match self {
            Features { condition: false, checksum: false } => None,
            Features { checksum: true, .. } if said.contains("checksum") || !self.condition => Some(bare),
            _ => Some(Features { condition: false, ..self }),
        }
    }
}

/// What a store turned out not to know. Found out by its refusals, then left out.
#[derive(Default)]
pub(super) struct Capabilities {
    no_checksum: AtomicBool,
    no_condition: AtomicBool,
}

impl Capabilities {
    /// Runs the deed again with less, as long as the store says that it does not know something.
    pub(super) fn adapt<T>(
        &self,
        most: Features,
        mut deed: impl FnMut(Features) -> Result<T, S3Error>,
    ) -> Result<T, S3Error> {
        let mut with = Features {
            condition: most.condition && !self.no_condition.load(Relaxed),
            checksum: most.checksum && !self.no_checksum.load(Relaxed),
        };
        let asked = with;
        loop {
            let trouble = match deed(with) {
                Ok(done) => {
                    self.no_condition.fetch_or(asked.condition && !with.condition, Relaxed);
                    self.no_checksum.fetch_or(asked.checksum && !with.checksum, Relaxed);
                    return Ok(done);
                }
                Err(trouble) => trouble,
            };
            match with.less(&trouble).filter(|_| is_unknown(&trouble)) {
                Some(less) => with = less,
                None => return Err(trouble),
            }
            log::debug!("{trouble}; trying again with less");
        }
    }
}

/// Whether a store says that it does not know a header, each in its own way.
pub(super) fn is_unknown(trouble: &S3Error) -> bool {
    trouble.class == S3ErrorKind::Unsupported
        || matches!(trouble.code.as_str(), "InvalidArgument" | "InvalidRequest" | "NotImplemented")
}

/// Adds what keeps an object from being overwritten.
pub(super) fn if_free(ask: S3Request, with: Features) -> S3Request {
    if with.condition { ask.header("if-none-match", "*") } else { ask }
}

/// SHA-256 and MD5 of a stretch.
pub(super) struct Digests {
    pub(super) sha256: [u8; 32],
    pub(super) md5: [u8; 16],
}

/// Reads a stretch in small pieces.
pub(super) fn sums(data: &dyn ReadAt, from: u64, len: u64) -> Result<Digests, S3Error> {
    let (mut sha, mut md5, mut buf) = (Sha256::new(), Md5::new(), vec![0; CHUNK]);
    let end = from.saturating_add(len);
    let mut at = from;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK);
        let (chunk, _) = buf.split_at_mut(want);
        data.read_exact_at(chunk, at).map_err(|e| {
            S3Error::of(S3ErrorKind::Failed, format!("reading what is to be sent, at byte {at}: {e}"))
        })?;
        sha.update(&*chunk);
        md5.update(&*chunk);
        at += want as u64;
    }
    Ok(Digests { sha256: sha.finalize().into(), md5: md5.finalize().into() })
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The key that only we have, where one is set: with each request about an object's content.
pub(super) fn customer_key(ask: S3Request, bucket: &S3Config) -> S3Request {
    let Encryption::Customer(key) = &bucket.objects.encryption else { return ask };
    ask.header("x-amz-server-side-encryption-customer-algorithm", "AES256")
        .header("x-amz-server-side-encryption-customer-key", base64(&key.0))
        .header("x-amz-server-side-encryption-customer-key-md5", base64(&Md5::digest(key.0)))
}

/// What a new object is to be: class, encryption, tags.
fn dress(ask: S3Request, bucket: &S3Config) -> S3Request {
    let mut ask = customer_key(ask, bucket);
    match &bucket.objects.encryption {
        Encryption::Default | Encryption::Customer(_) => {}
        Encryption::Aes256 => ask = ask.header("x-amz-server-side-encryption", "AES256"),
        Encryption::Kms(key) => {
            ask = ask.header("x-amz-server-side-encryption", "aws:kms");
            if let Some(key) = key {
                ask = ask.header("x-amz-server-side-encryption-aws-kms-key-id", key);
            }
        }
    }
    ask
}

/// Storage class and tags, which are the snapshots' alone: a manifest must be readable at once.
pub(super) fn dress_snapshot(ask: S3Request, bucket: &S3Config, name: &str, m: &Manifest) -> S3Request {
    let zip = SnapshotName::parse(name).is_some_and(|n| n.suffix == Suffix::Zip);
    let mut ask = dress(ask, bucket)
        .header("content-type", if zip { "application/zip" } else { "application/octet-stream" });
    if let Some(class) = &bucket.objects.storage_class {
        ask = ask.header("x-amz-storage-class", class);
    }
    if !bucket.objects.tags.is_empty() {
        let pairs = bucket.objects.tags.iter().map(|(k, v)| format!("{}={}", form(k), form(v)));
        ask = ask.header("x-amz-tagging", pairs.collect::<Vec<_>>().join("&"));
    }
    // K3s's three (`k3s-node-name`, or `rke2-node-name`), by which it lists the snapshots of others, then ours.
    for (field, value) in [
        (NODE, m.node.as_deref()),
        ("cluster-id", m.cluster_id.as_deref()),
        ("token-hash", m.token_hash.first().map(String::as_str)),
    ] {
        if let Some(value) = value.filter(|v| !v.is_empty() && v.chars().all(|c| c.is_ascii_graphic())) {
            ask = ask.header(noted(bucket, field), value);
        }
    }
    ask.header(SHA256, m.stored_sha256.to_string())
        .header("x-amz-meta-k3s-snapshot-revision", m.revision.to_string())
        .header("x-amz-meta-k3s-snapshot-plain-size", m.plain_size.to_string())
}

/// The header of a field that the distribution notes beside its objects: `x-amz-meta-k3s-node-name`, or `-rke2-`.
pub(super) fn noted(bucket: &S3Config, field: &str) -> String {
    format!("x-amz-meta-{}-{field}", bucket.distribution)
}

/// As forms are written.
fn form(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Puts a few bytes, over what is there.
pub(super) fn put_bytes(wire: &S3Client, key: &str, kind: &str, bytes: &[u8]) -> Result<(), S3Error> {
    // Both sums: the one that a store does not know, it ignores, and a bucket with Object Lock asks for one.
    let ask = dress(S3Request::new(Method::PUT, key), &wire.bucket)
        .header("content-type", kind)
        .header("content-md5", base64(&Md5::digest(bytes)))
        .header("x-amz-checksum-sha256", base64(&Sha256::digest(bytes)));
    match wire.ask(&ask, Payload::Bytes(bytes)) {
        Err(t) if is_unknown(&t) => {
            let ask = S3Request {
                headers: ask.headers.into_iter().filter(|(n, _)| *n != "x-amz-checksum-sha256").collect(),
                ..ask
            };
            wire.ask(&ask, Payload::Bytes(bytes)).map(drop)
        }
        done => done.map(drop),
    }
}

/// What the sent object must look like to the store.
pub(super) struct Expected {
    pub(super) size: u64,
    /// As the store writes it: base64, `-<parts>` behind it where it was sent in parts.
    pub(super) checksum: String,
    /// That of the whole, where a store reports this of an object in parts.
    pub(super) whole: String,
    /// The entity tag that it has where the store makes it of MD5 sums.
    pub(super) etag: Option<String>,
}

/// Puts a snapshot and proves that it is there.
pub(super) fn put(
    wire: &S3Client,
    manners: &Capabilities,
    name: &str,
    data: &dyn ReadAt,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Result<(Head, Evidence), S3Error> {
    let key = wire.bucket.key(name);
    let there = match head_or_none(wire, &key) {
        Ok(there) => there,
        // Who may not list is not told "not there" from "not allowed". The condition still keeps what is there.
        Err(t) if t.class == S3ErrorKind::Denied => None,
        Err(t) => return Err(t),
    };
    if let Some(there) = there {
        // Ours, from a save that died before it could write that down?
        let claimed = there.size == data.size() && there.claimed == manifest.stored_sha256.to_string();
        let expected = if claimed { Some(multipart::expected(wire, data, manifest)?) } else { None };
        return match expected.and_then(|e| evidence(&e, &there)) {
            Some(evidence) => Ok((there, evidence)),
            None => Err(S3Error::of(S3ErrorKind::Exists, "there is an object of this name already")),
        };
    }
    let sent = if data.size() > wire.bucket.part_size {
        multipart::put(wire, manners, &key, name, data, manifest, progress)
    } else {
        single(wire, manners, &key, name, data, manifest, progress)
    };
    let (expected, answer) = match sent {
        Ok((expected, told)) => (expected, Ok(told)),
        // It may have come about all the same, and only the answer got lost. What is there decides.
        Err((Some(expected), t)) => (*expected, Err(t)),
        Err((None, t)) => return Err(t),
    };
    let (there, failed) = match (head(wire, &key), answer) {
        (Ok(there), Ok(_)) => (there, None),
        (Ok(there), Err(first)) => (there, Some(first)),
        // Keys that may only write: then what the store said when it took the object is its report.
        (Err(t), Ok(told)) if t.class == S3ErrorKind::Denied => (told, None),
        (Err(t), Ok(_)) => return Err(t),
        (Err(_), Err(first)) => return Err(first),
    };
    match (evidence(&expected, &there), failed) {
        (Some(evidence), _) => Ok((there, evidence)),
        // Somebody else's, or nothing that would show it to be ours.
        (None, Some(first)) => Err(first),
        (None, None) if there.size == expected.size && there.checksum.is_empty() => {
            Ok((there, Evidence::Size))
        }
        (None, None) => Err(S3Error::of(
            S3ErrorKind::Digest,
            "the store reports another object than the one that was sent",
        )),
    }
}

/// What the store's report proves; `None` where it proves nothing.
fn evidence(expected: &Expected, there: &Head) -> Option<Evidence> {
    if there.size != expected.size {
        return None;
    }
    if !there.checksum.is_empty() {
        let bare = expected.checksum.split('-').next().unwrap_or_default();
        let fits = [&expected.checksum, &expected.whole, bare].contains(&there.checksum.as_str());
        return fits.then_some(Evidence::Sha256);
    }
    expected.etag.as_ref().filter(|tag| **tag == there.etag).map(|_| Evidence::Etag)
}

/// What to look for where it was sent, and what the store said of it as it took it. After trouble too, where it may
/// have arrived all the same.
pub(super) type Sent = Result<(Expected, Head), (Option<Box<Expected>>, S3Error)>;

fn single(
    wire: &S3Client,
    manners: &Capabilities,
    key: &str,
    name: &str,
    data: &dyn ReadAt,
    manifest: &Manifest,
    progress: &dyn Progress,
) -> Sent {
    let size = data.size();
    let sums = sums(data, 0, size).map_err(|t| (None, t))?;
    if sums.sha256 != manifest.stored_sha256.0 {
        let why = "the snapshot on disk is not the one that was proven: its SHA-256 is another";
        return Err((None, S3Error::of(S3ErrorKind::Failed, why)));
    }
    let checksum = base64(&sums.sha256);
    let expected = Expected { size, whole: checksum.clone(), checksum, etag: Some(hex(&sums.md5)) };
    let done = manners.adapt(Features { condition: true, checksum: true }, |with| {
        let mut ask = dress_snapshot(S3Request::new(Method::PUT, key), &wire.bucket, name, manifest)
            .header("content-md5", base64(&sums.md5));
        if with.checksum {
            ask = ask.header("x-amz-checksum-sha256", &expected.checksum);
        }
        wire.ask(&if_free(ask, with), Payload::Part(data, 0, size))
    });
    match done {
        Ok(answer) => {
            progress.advance(size);
            let checksum = header(&answer.headers, "x-amz-checksum-sha256").to_owned();
            let told = Head::told(size, etag(&answer.headers), checksum, &answer.headers);
            Ok((expected, told))
        }
        Err(t) => Err((Some(Box::new(expected)), t)),
    }
}
