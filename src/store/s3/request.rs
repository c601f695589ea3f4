// SPDX-License-Identifier: Apache-2.0
//! A request before it is signed, and what is sent with it.

use std::borrow::Cow;
use std::io::{self, Read};

use ureq::http::Method;

use crate::io::ReadAt;

/// A request before it is signed.
#[derive(Debug, Clone)]
pub(super) struct S3Request {
    pub(super) method: Method,
    /// The key of the object; empty for a request about the bucket.
    pub(super) key: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(Cow<'static, str>, String)>,
}

impl S3Request {
    pub(super) fn new(method: Method, key: impl Into<String>) -> S3Request {
        S3Request { method, key: key.into(), query: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> S3Request {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> S3Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same request without one of its headers.
    pub(super) fn without_header(mut self, name: &str) -> S3Request {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// Whether the request has a body, perhaps an empty one.
    pub(super) fn has_body(&self) -> bool {
        matches!(self.method, Method::PUT | Method::POST)
    }

    /// Whether the request is about an object or upload that must exist.
    pub(super) fn is_about_existing_object(&self) -> bool {
        !self.key.is_empty() && (!self.has_body() || self.query.iter().any(|(name, _)| *name == "uploadId"))
    }
}

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// A range of something larger, read while it is sent: offset, length.
    Range(&'a dyn ReadAt, u64, u64),
}

impl<'a> Payload<'a> {
    /// Bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Payload::None => 0,
            Payload::Bytes(b) => b.len() as u64,
            Payload::Range(_, _, len) => *len,
        }
    }

    pub(super) fn reader(&self) -> PayloadReader<'a> {
        match *self {
            Payload::None => PayloadReader::Bytes(&[]),
            Payload::Bytes(bytes) => PayloadReader::Bytes(bytes),
            Payload::Range(data, at, len) => {
                PayloadReader::Range(RangeReader { data, at, end: at.saturating_add(len), failed: None })
            }
        }
    }
}

/// The body of a request as a reader.
pub(super) enum PayloadReader<'a> {
    Bytes(&'a [u8]),
    Range(RangeReader<'a>),
}

impl Read for PayloadReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            PayloadReader::Bytes(bytes) => bytes.read(buf),
            PayloadReader::Range(range) => range.read(buf),
        }
    }
}

/// A range of something larger as a reader.
pub(super) struct RangeReader<'a> {
    data: &'a dyn ReadAt,
    at: u64,
    end: u64,
    failed: Option<io::ErrorKind>,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let want = buf.len().min(left);
        let (chunk, _) = buf.split_at_mut(want);
        if let Err(e) = self.data.read_exact_at(chunk, self.at) {
            self.failed = Some(e.kind());
            return Err(e);
        }
        self.at = self.at.saturating_add(want as u64);
        Ok(want)
    }
}
