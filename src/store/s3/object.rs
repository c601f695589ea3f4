// SPDX-License-Identifier: Apache-2.0
//! An object read by position. Reads that follow one another share a request; one that breaks goes on where it broke.
//!
//! The entity tag goes with each request, so an object that changes meanwhile is an error, never a mixture.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use ureq::BodyReader;
use ureq::http::{HeaderMap, Method};

use super::client::{Payload, S3Client, etag};
use super::error::{S3Error, S3ErrorKind};
use super::put::{NODE, SHA256, customer_key, noted};
use super::response::header;
use super::sign::S3Request;
use crate::io::ReadAt;
use crate::model::s3_config::S3Config;
use crate::model::snapshot::FileId;

/// What a store says of an object.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) etag: String,
    /// Seconds since the epoch.
    pub(super) modified: u64,
    /// The SHA-256 it keeps, base64, with the number of parts behind a dash where it was sent in parts.
    pub(super) checksum: String,
    /// The SHA-256 that whoever sent it wrote beside it, in hex.
    pub(super) claimed: String,
    /// The node that whoever sent it wrote beside it.
    pub(super) node: String,
}

impl Head {
    /// What the answer to an upload says of the object, whose size it does not tell.
    pub(super) fn told(size: u64, etag: String, checksum: String, headers: &HeaderMap) -> Head {
        Head {
            size,
            etag,
            modified: date(headers, "date"),
            checksum,
            claimed: String::new(),
            node: String::new(),
        }
    }
}

/// Seconds since the epoch; 0 where there is no such date.
fn date(headers: &HeaderMap, name: &str) -> u64 {
    let date = jiff::fmt::rfc2822::parse(header(headers, name)).ok();
    date.and_then(|t| u64::try_from(t.timestamp().as_second()).ok()).unwrap_or(0)
}

/// Asks what a store knows of a key.
pub(super) fn head(wire: &S3Client, key: &str) -> Result<Head, S3Error> {
    match head_or_none(wire, key)? {
        Some(head) => Ok(head),
        None => Err(in_words(wire, key, S3Error::of(S3ErrorKind::Missing, "there is no such object"))),
    }
}

/// The same where it may well not be there.
pub(super) fn head_or_none(wire: &S3Client, key: &str) -> Result<Option<Head>, S3Error> {
    let bare = customer_key(S3Request::new(Method::HEAD, key), &wire.bucket);
    let asked = wire.ask(&bare.clone().header("x-amz-checksum-mode", "ENABLED"), Payload::None);
    let answer = match asked {
        // A store that does not know the question about checksums, or keys that may not ask it.
        Err(t)
            if t.code.is_empty()
                && matches!(
                    t.class,
                    S3ErrorKind::Failed | S3ErrorKind::Unsupported | S3ErrorKind::Denied
                ) =>
        {
            wire.ask(&bare, Payload::None)
        }
        answer => answer,
    };
    match answer {
        Ok(answer) => {
            read_head(&answer.headers, &wire.bucket).map(Some).ok_or_else(|| wire.lacks("the object's size"))
        }
        Err(t) if t.class == S3ErrorKind::Missing => Ok(None),
        Err(t) => Err(in_words(wire, key, t)),
    }
}

/// A refused HEAD has no body and so no reason; a GET of the same has one.
fn in_words(wire: &S3Client, key: &str, bare: S3Error) -> S3Error {
    if !bare.code.is_empty()
        || !matches!(bare.class, S3ErrorKind::Missing | S3ErrorKind::Denied | S3ErrorKind::Failed)
    {
        return bare;
    }
    let ask = customer_key(S3Request::new(Method::GET, key), &wire.bucket).header("range", "bytes=0-0");
    match wire.one_try(&ask, Payload::None) {
        Err(t)
            if !t.code.is_empty()
                && (t.class != S3ErrorKind::Missing || bare.class == S3ErrorKind::Missing) =>
        {
            t
        }
        _ => bare,
    }
}

fn read_head(headers: &HeaderMap, bucket: &S3Config) -> Option<Head> {
    Some(Head {
        size: header(headers, "content-length").parse().ok()?,
        etag: etag(headers),
        modified: date(headers, "last-modified"),
        checksum: header(headers, "x-amz-checksum-sha256").to_owned(),
        claimed: header(headers, SHA256).to_owned(),
        node: header(headers, &noted(bucket, NODE)).to_owned(),
    })
}

/// An object's identity in the terms of a file's: another content has another tag, and so another number.
pub(super) fn id_of(size: u64, modified: u64, etag: &str) -> FileId {
    use sha2::{Digest, Sha256};
    let hash: [u8; 32] = Sha256::digest(etag.as_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let mtime_ns = i64::try_from(modified).unwrap_or(0).saturating_mul(1_000_000_000);
    FileId { dev: 0, ino: u64::from_be_bytes([a, b, c, d, e, f, g, h]), size, mtime_ns, ctime_ns: mtime_ns }
}

/// Requests that are kept open for the next read.
const OPEN: usize = 16;

/// An object as bytes.
pub(super) struct Object {
    wire: Arc<S3Client>,
    key: String,
    size: u64,
    etag: String,
    streams: Mutex<Vec<Stream>>,
}

struct Stream {
    at: u64,
    end: u64,
    body: BodyReader<'static>,
}

impl Object {
    pub(super) fn new(wire: Arc<S3Client>, key: String, head: &Head) -> Object {
        Object { wire, key, size: head.size, etag: head.etag.clone(), streams: Mutex::new(Vec::new()) }
    }

    /// A request for the bytes from here to the end of a range.
    fn request(&self, at: u64) -> Result<Stream, S3Error> {
        let end = at.saturating_add(self.wire.bucket.part_size).min(self.size);
        let range = format!("bytes={at}-{}", end.saturating_sub(1));
        let mut ask =
            customer_key(S3Request::new(Method::GET, &self.key), &self.wire.bucket).header("range", range);
        if !self.etag.is_empty() {
            ask = ask.header("if-match", format!("\"{}\"", self.etag));
        }
        let answer = self.wire.one_try(&ask, Payload::None).map_err(|t| match t.class {
            S3ErrorKind::Exists => S3Error::of(S3ErrorKind::Failed, "the object changed while it was read"),
            _ => t,
        })?;
        let whole = answer.status == 200 && at == 0 && end == self.size;
        let wanted = format!("bytes {at}-{}/{}", end.saturating_sub(1), self.size);
        if !whole && header(&answer.headers, "content-range") != wanted {
            return Err(S3Error::of(
                S3ErrorKind::Nonsense,
                format!("'{}' gives other bytes of the object than it was asked for", self.wire.host),
            ));
        }
        Ok(Stream { at, end, body: answer.body.into_reader() })
    }

    /// An open request that stands at this byte.
    fn take(&self, at: u64) -> Option<Stream> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let index = streams.iter().position(|s| s.at == at)?;
        Some(streams.swap_remove(index))
    }

    fn keep(&self, stream: Stream) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= OPEN {
            streams.remove(0);
        }
        streams.push(stream);
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
            // Each byte that arrives gives new tries: only standing still is an end.
            let n = self.wire.again(|| {
                let at = offset.saturating_add(filled as u64);
                let mut now = match stream.take() {
                    Some(now) => now,
                    None => self.request(at)?,
                };
                let left = usize::try_from(now.end.saturating_sub(at)).unwrap_or(usize::MAX);
                let upto = filled.saturating_add(left).min(buf.len());
                let n = now
                    .body
                    .read(buf.get_mut(filled..upto).unwrap_or_default())
                    .map_err(|e| self.wire.broken(&e))?;
                if n == 0 {
                    let why = format!("'{}' sent fewer bytes than it said", self.wire.host);
                    return Err(S3Error::of(S3ErrorKind::Broken, why));
                }
                now.at = at.saturating_add(n as u64);
                if now.at < now.end {
                    stream = Some(now);
                } else {
                    // A look behind the last byte gives the connection back for the next range, which is asked for by
                    // whoever wants to read it.
                    let _ = now.body.read(&mut [0]);
                }
                Ok(n)
            });
            filled =
                filled.saturating_add(n.map_err(|t| io::Error::other(t.fault("reading from the bucket")))?);
        }
        if let Some(stream) = stream {
            self.keep(stream);
        }
        Ok(())
    }
}
