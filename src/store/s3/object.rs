// SPDX-License-Identifier: Apache-2.0
//! An object that is read by position. Consecutive reads share a request; a request that breaks is continued where it
//! broke.
//!
//! The entity tag goes with each request. So an object that changes in the meantime is an error, never a mixture.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use ureq::BodyReader;
use ureq::http::{HeaderMap, Method};

use super::client::S3Client;
use super::error::{S3Error, S3ErrorKind};
use super::headers::{
    CLUSTER_ID, NODE_NAME, SHA256_METADATA, customer_key, date, etag, header, metadata_header,
};
use super::request::{Payload, S3Request};
use crate::io::ReadAt;
use crate::model::s3_config::S3Config;
use crate::model::snapshot::FileId;

/// What a store says of an object.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Bytes.
    pub(super) size: u64,
    pub(super) etag: String,
    /// Seconds since the epoch.
    pub(super) modified: u64,
    /// The SHA-256 that the store keeps: base64, followed by `-<parts>` if the object was sent in parts.
    pub(super) checksum: String,
    /// The SHA-256 in the metadata, in hexadecimal digits: what the writer claims.
    pub(super) claimed_sha256: String,
    /// The node in the metadata.
    pub(super) node: String,
    /// The cluster id in the metadata.
    pub(super) cluster_id: String,
}

impl Head {
    /// What the response to an upload says of the object. It does not tell the size.
    pub(super) fn from_upload(size: u64, etag: String, checksum: String, headers: &HeaderMap) -> Head {
        Head {
            size,
            etag,
            modified: date(headers, "date"),
            checksum,
            claimed_sha256: String::new(),
            node: String::new(),
            cluster_id: String::new(),
        }
    }

    fn from_headers(headers: &HeaderMap, bucket: &S3Config) -> Option<Head> {
        let text = |name: &str| header(headers, name).to_owned();
        Some(Head {
            size: header(headers, "content-length").parse().ok()?,
            etag: etag(headers),
            modified: date(headers, "last-modified"),
            checksum: text("x-amz-checksum-sha256"),
            claimed_sha256: text(SHA256_METADATA),
            node: text(&metadata_header(bucket, NODE_NAME)),
            cluster_id: text(&metadata_header(bucket, CLUSTER_ID)),
        })
    }
}

/// Asks the store about an object. An error if it does not exist.
pub(super) fn head(client: &S3Client, key: &str) -> Result<Head, S3Error> {
    match head_or_none(client, key)? {
        Some(head) => Ok(head),
        None => {
            let missing = S3Error::new(S3ErrorKind::Missing, "the object does not exist");
            Err(with_error_body(client, key, missing))
        }
    }
}

/// Asks the store about an object that may not exist.
pub(super) fn head_or_none(client: &S3Client, key: &str) -> Result<Option<Head>, S3Error> {
    let bare = customer_key(S3Request::new(Method::HEAD, key), &client.bucket);
    let response = client.send(&bare.clone().header("x-amz-checksum-mode", "ENABLED"), Payload::None);
    let response = match response {
        // A store that does not know the question for checksums, or keys that may not ask it.
        Err(e)
            if e.code.is_empty()
                && matches!(e.kind, S3ErrorKind::Failed | S3ErrorKind::Unsupported | S3ErrorKind::Denied) =>
        {
            client.send(&bare, Payload::None)
        }
        response => response,
    };
    match response {
        Ok(response) => {
            ensure_object(client, &response.headers)?;
            let head = Head::from_headers(&response.headers, &client.bucket);
            head.map(Some).ok_or_else(|| client.missing_field("the size of the object"))
        }
        Err(e) if e.kind == S3ErrorKind::Missing => Ok(None),
        Err(e) => Err(with_error_body(client, key, e)),
    }
}

/// Checks that a response describes an object. A web server also answers HEAD with status 200.
fn ensure_object(client: &S3Client, headers: &HeaderMap) -> Result<(), S3Error> {
    if etag(headers).is_empty() && header(headers, "last-modified").is_empty() {
        return Err(client.missing_field("an entity tag and a date"));
    }
    let is_page = header(headers, "content-type").starts_with("text/html");
    let is_s3 = headers.keys().any(|name| name.as_str().starts_with("x-amz-"));
    if is_page && !is_s3 {
        let message = format!("'{}' answers with a web page", client.peer.host);
        return Err(S3Error::new(S3ErrorKind::Invalid, message));
    }
    Ok(())
}

/// A refused HEAD has no body and so no reason. A GET of the same object has one.
fn with_error_body(client: &S3Client, key: &str, error: S3Error) -> S3Error {
    if !error.code.is_empty()
        || !matches!(error.kind, S3ErrorKind::Missing | S3ErrorKind::Denied | S3ErrorKind::Failed)
    {
        return error;
    }
    let request = customer_key(S3Request::new(Method::GET, key), &client.bucket).header("range", "bytes=0-0");
    match client.send_once(&request, Payload::None) {
        Err(e)
            if !e.code.is_empty()
                && (e.kind != S3ErrorKind::Missing || error.kind == S3ErrorKind::Missing) =>
        {
            e
        }
        _ => error,
    }
}

/// The identity of an object, in the terms of a file: other content has another tag, and so another number.
pub(super) fn id_of(size: u64, modified: u64, etag: &str) -> FileId {
    use sha2::{Digest, Sha256};
    let hash: [u8; 32] = Sha256::digest(etag.as_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let mtime_ns = i64::try_from(modified).unwrap_or(0).saturating_mul(1_000_000_000);
    FileId { dev: 0, ino: u64::from_be_bytes([a, b, c, d, e, f, g, h]), size, mtime_ns, ctime_ns: mtime_ns }
}

/// Responses that stay open for the next read.
const MAX_OPEN_STREAMS: usize = 16;

/// An object as bytes.
pub(super) struct Object {
    client: Arc<S3Client>,
    key: String,
    size: u64,
    etag: String,
    streams: Mutex<Vec<OpenStream>>,
}

/// A response whose body is read up to a position.
struct OpenStream {
    at: u64,
    end: u64,
    body: BodyReader<'static>,
}

impl Object {
    pub(super) fn new(client: Arc<S3Client>, key: String, head: &Head) -> Object {
        Object { client, key, size: head.size, etag: head.etag.clone(), streams: Mutex::new(Vec::new()) }
    }

    /// Requests the bytes from `at` to the end of a range.
    fn request(&self, at: u64) -> Result<OpenStream, S3Error> {
        let end = at.saturating_add(self.client.bucket.part_size).min(self.size);
        let range = format!("bytes={at}-{}", end.saturating_sub(1));
        let mut request =
            customer_key(S3Request::new(Method::GET, &self.key), &self.client.bucket).header("range", range);
        if !self.etag.is_empty() {
            request = request.header("if-match", format!("\"{}\"", self.etag));
        }
        let response = self.client.send_once(&request, Payload::None).map_err(|e| match e.kind {
            S3ErrorKind::Exists => S3Error::new(S3ErrorKind::Failed, "the object changed while it was read"),
            _ => e,
        })?;
        let is_whole = response.status == 200 && at == 0 && end == self.size;
        let wanted = format!("bytes {at}-{}/{}", end.saturating_sub(1), self.size);
        if !is_whole && header(&response.headers, "content-range") != wanted {
            let message = format!("'{}' sends other bytes than were requested", self.client.peer.host);
            return Err(S3Error::new(S3ErrorKind::Invalid, message));
        }
        Ok(OpenStream { at, end, body: response.body.into_reader() })
    }

    /// A response that is read up to `at`.
    fn take(&self, at: u64) -> Option<OpenStream> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let index = streams.iter().position(|s| s.at == at)?;
        Some(streams.swap_remove(index))
    }

    fn park(&self, stream: OpenStream) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= MAX_OPEN_STREAMS {
            streams.remove(0);
        }
        streams.push(stream);
    }

    /// Reads some bytes at `at` into `buf`, from `stream` or from a new request. What is left of the response goes back
    /// into `stream`.
    fn read_some(&self, at: u64, buf: &mut [u8], stream: &mut Option<OpenStream>) -> Result<usize, S3Error> {
        let mut open = match stream.take() {
            Some(open) => open,
            None => self.request(at)?,
        };
        let left = usize::try_from(open.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let want = left.min(buf.len());
        let n = open
            .body
            .read(buf.get_mut(..want).unwrap_or_default())
            .map_err(|e| self.client.body_error(&e))?;
        if n == 0 {
            let message = format!("'{}' sent fewer bytes than announced", self.client.peer.host);
            return Err(S3Error::new(S3ErrorKind::Broken, message));
        }
        open.at = at.saturating_add(n as u64);
        if open.at < open.end {
            *stream = Some(open);
        } else {
            // Reading past the last byte releases the connection for the next range, which the next read requests.
            let _ = open.body.read(&mut [0]);
        }
        Ok(n)
    }
}

impl ReadAt for Object {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let length = buf.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut stream = self.take(offset);
        let mut filled = 0usize;
        while filled < buf.len() {
            let at = offset.saturating_add(filled as u64);
            let rest = buf.get_mut(filled..).unwrap_or_default();
            // The attempts begin again with each byte that arrives.
            let n = self.client.retry(|| self.read_some(at, rest, &mut stream));
            filled =
                filled.saturating_add(n.map_err(|e| io::Error::other(e.fault("reading from the bucket")))?);
        }
        if let Some(stream) = stream {
            self.park(stream);
        }
        Ok(())
    }
}
