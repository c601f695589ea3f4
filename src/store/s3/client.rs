// SPDX-License-Identifier: Apache-2.0
//! Sends signed requests. The only place that sees a signed URL.
//!
//! Each attempt is signed again, so a signature is never old. Redirects are not followed: they become errors.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, Body, SendBody};

use super::error::{S3Error, S3ErrorKind};
use super::request::{Payload, S3Request};
use super::response::{Peer, error_from_io, error_from_response, error_from_transport};
use super::retry::{MAX_ATTEMPTS, retry};
use super::sign::Signer;
use super::{imds, proxy, tls, xml};
use crate::http::{agent_config, is_loopback};
use crate::model::s3_config::{Credentials, Encryption, Keys, S3Config};

/// Bytes of a response that is kept in memory.
const MAX_BODY: u64 = 8 << 20;
/// A response that is kept in memory must end within this many timeouts, and is given at least
/// [`MIN_BODY_TIMEOUT`].
const BODY_TIMEOUT_FACTOR: u32 = 4;
const MIN_BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a body from which the store is asked whether it wants the body: a refusal can then be read.
const EXPECT_CONTINUE_MIN: u64 = 1 << 20;
/// How long to resolve a name and to connect, at most.
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection stays open without a request.
const MAX_IDLE: Duration = Duration::from_secs(5);

/// A successful response whose body is not read yet.
pub(super) struct S3Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// The connections to a bucket.
pub(super) struct S3Client {
    agent: Agent,
    pub(super) bucket: S3Config,
    /// The server, for messages.
    pub(super) peer: Peer,
    /// The signer, and until when its keys are valid.
    signer: Mutex<(Signer, Option<Instant>)>,
    max_attempts: u32,
    /// Whether there was ever a response in HTTP.
    has_answered: AtomicBool,
    /// Whether the store, or a proxy, does not understand `Expect: 100-continue`.
    no_expect: AtomicBool,
}

impl S3Client {
    /// Prepares the connections. Makes no request, except for the keys if the role of the machine gives them.
    pub(super) fn new(bucket: S3Config) -> Result<S3Client, S3Error> {
        ensure_key_is_protected(&bucket)?;
        let proxy = proxy::select(&bucket)?;
        let peer = Peer::new(&bucket, proxy.as_ref());
        let agent = agent(&bucket, proxy)?;
        let (keys, until) = keys(&bucket)?;
        let signer = Mutex::new((Signer::new(&bucket, &keys)?, until));
        let (has_answered, no_expect) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(S3Client { agent, bucket, peer, signer, max_attempts: MAX_ATTEMPTS, has_answered, no_expect })
    }

    /// The same client, but each request is made only once: a probe reports the first failure.
    pub(super) fn without_retry(mut self) -> S3Client {
        self.max_attempts = 1;
        self
    }

    /// Makes a request.
    pub(super) fn send(&self, request: &S3Request, payload: Payload<'_>) -> Result<S3Response, S3Error> {
        self.retry(|| self.send_once(request, payload))
    }

    /// Makes a request and reads the response, `limit` bytes at most.
    pub(super) fn read(
        &self,
        request: &S3Request,
        payload: Payload<'_>,
        limit: u64,
    ) -> Result<(HeaderMap, Vec<u8>), S3Error> {
        self.retry(|| {
            let response = self.send_once(request, payload)?;
            let bytes = self.read_body(response.body, limit)?;
            Ok((response.headers, bytes))
        })
    }

    /// Makes a request whose response is XML.
    pub(super) fn document(
        &self,
        request: &S3Request,
        payload: Payload<'_>,
    ) -> Result<(HeaderMap, xml::Node), S3Error> {
        self.retry(|| self.document_once(request, payload))
    }

    /// Makes one attempt of [`S3Client::document`]. A response with status 200 may still be an error document, because
    /// a store may notice an error late.
    pub(super) fn document_once(
        &self,
        request: &S3Request,
        payload: Payload<'_>,
    ) -> Result<(HeaderMap, xml::Node), S3Error> {
        let response = self.send_once(request, payload)?;
        let bytes = self.read_body(response.body, MAX_BODY)?;
        let root = xml::parse(&bytes).map_err(|why| {
            let message = format!("the response of '{}' is not one of an S3 store: {why}", self.peer.host);
            S3Error::new(S3ErrorKind::Invalid, message)
        })?;
        if root.name == "Error" {
            return Err(error_from_response(500, &response.headers, &bytes, &self.bucket.region));
        }
        Ok((response.headers, root))
    }

    /// Repeats `request` while its error may pass.
    pub(super) fn retry<T>(&self, request: impl FnMut() -> Result<T, S3Error>) -> Result<T, S3Error> {
        retry(self.max_attempts, request).map_err(|e| self.final_error(e))
    }

    /// A server that closes each connection with plain HTTP, and never answers, wants HTTPS.
    fn final_error(&self, error: S3Error) -> S3Error {
        if error.kind != S3ErrorKind::Broken || self.peer.is_tls || self.has_answered.load(Relaxed) {
            return error;
        }
        self.peer.no_plain_http()
    }

    /// Makes one attempt.
    pub(super) fn send_once(&self, request: &S3Request, payload: Payload<'_>) -> Result<S3Response, S3Error> {
        let signed = {
            let mut signer = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
            if signer.1.is_some_and(|until| until <= Instant::now()) {
                let (keys, until) = keys(&self.bucket)?;
                *signer = (Signer::new(&self.bucket, &keys)?, until);
            }
            signer.0.sign(request)?
        };
        let mut http = Request::builder().method(request.method.clone()).uri(&signed.url);
        for (name, value) in &signed.headers {
            http = http.header(name, value);
        }
        // The error would quote the URL.
        let unusable = |_| S3Error::new(S3ErrorKind::Failed, "the request cannot be encoded");
        let response = if request.has_body() {
            http = http.header("content-length", payload.len());
            if payload.len() >= EXPECT_CONTINUE_MIN && !self.no_expect.load(Relaxed) {
                http = http.header("expect", "100-continue");
            }
            let mut reader = payload.reader();
            self.agent.run(http.body(SendBody::from_reader(&mut reader)).map_err(unusable)?)
        } else {
            self.agent.run(http.body(()).map_err(unusable)?)
        };
        let response = response.map_err(|e| error_from_transport(e, &self.peer))?;
        self.has_answered.store(true, Relaxed);
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        if parts.status.is_success() {
            return Ok(S3Response { headers: parts.headers, body, status });
        }
        if status == 417 && !self.no_expect.swap(true, Relaxed) {
            return Err(S3Error::new(
                S3ErrorKind::Broken,
                "the store does not understand Expect: 100-continue",
            ));
        }
        // A part of an error document still has a status.
        let mut head = Vec::new();
        let _ = self.append_body(body, 64 << 10, &mut head);
        let error = error_from_response(status, &parts.headers, &head, &self.bucket.region);
        Err(of_bucket(request, error))
    }

    /// Makes a request to the endpoint without a signature: whether it answers at all.
    pub(super) fn ping(&self) -> Result<HeaderMap, S3Error> {
        let request =
            Request::builder().method(Method::GET).uri(format!("{}/", self.bucket.endpoint)).body(());
        let request = request
            .map_err(|_| S3Error::new(S3ErrorKind::Config, "the endpoint is not the URL of a host"))?;
        let response = self.agent.run(request).map_err(|e| error_from_transport(e, &self.peer))?;
        Ok(response.into_parts().0.headers)
    }

    fn read_body(&self, body: Body, limit: u64) -> Result<Vec<u8>, S3Error> {
        let mut bytes = Vec::new();
        self.append_body(body, limit.saturating_add(1), &mut bytes)?;
        if bytes.len() as u64 > limit {
            let message = format!("the response of '{}' is longer than {limit} bytes", self.peer.host);
            return Err(S3Error::new(S3ErrorKind::Invalid, message));
        }
        Ok(bytes)
    }

    /// Reads `limit` bytes at most, within a limited time.
    fn append_body(&self, body: Body, limit: u64, bytes: &mut Vec<u8>) -> Result<(), S3Error> {
        let started = Instant::now();
        let timeout = self.bucket.timeout.saturating_mul(BODY_TIMEOUT_FACTOR).max(MIN_BODY_TIMEOUT);
        let (mut reader, mut piece) = (body.into_reader().take(limit), vec![0; 32 << 10]);
        loop {
            let n = reader.read(&mut piece).map_err(|e| self.body_error(&e))?;
            if n == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(piece.get(..n).unwrap_or_default());
            if started.elapsed() > timeout {
                let seconds = timeout.as_secs();
                let message = format!("the response of '{}' did not end within {seconds} s", self.peer.host);
                return Err(S3Error::new(S3ErrorKind::Timeout, message));
            }
        }
    }

    /// The error of a body that broke while it was read.
    pub(super) fn body_error(&self, e: &io::Error) -> S3Error {
        error_from_io(e, &self.peer)
    }

    /// The error of a response that lacks something.
    pub(super) fn missing_field(&self, what: &str) -> S3Error {
        S3Error::new(S3ErrorKind::Invalid, format!("the response of '{}' lacks {what}", self.peer.host))
    }
}

/// A request that is not about an existing object can only miss the bucket.
fn of_bucket(request: &S3Request, error: S3Error) -> S3Error {
    if error.kind != S3ErrorKind::Missing || request.is_about_existing_object() {
        return error;
    }
    let message = format!("the bucket does not exist; {}", error.message);
    S3Error { kind: S3ErrorKind::NoBucket, message, ..error }
}

/// A customer key is sent with each request, so others could read it if the connection is not encrypted, or not with a
/// server that is known.
fn ensure_key_is_protected(bucket: &S3Config) -> Result<(), S3Error> {
    let (host, _) = bucket.address();
    let is_customer = matches!(bucket.objects.encryption, Encryption::Customer(_));
    if !is_customer || is_loopback(&host) || bucket.is_tls() && !bucket.skip_verify {
        return Ok(());
    }
    let why = if bucket.is_tls() {
        "the certificate of the store is not verified"
    } else {
        "plain HTTP is configured"
    };
    let message = format!("the customer key could be read on its way to the store: {why}");
    Err(S3Error::new(S3ErrorKind::KeyExposed, message))
}

fn keys(bucket: &S3Config) -> Result<(Keys, Option<Instant>), S3Error> {
    match &bucket.credentials {
        Credentials::Given(keys) => Ok((keys.clone(), None)),
        Credentials::Instance(url) => imds::keys(url),
    }
}

fn agent(bucket: &S3Config, proxy: Option<ureq::Proxy>) -> Result<Agent, S3Error> {
    let connect = Some(bucket.timeout.min(MAX_CONNECT_TIMEOUT));
    let config = agent_config()
        .proxy(proxy)
        .timeout_connect(connect)
        .timeout_resolve(connect)
        // These begin again with each read and write: they count the time in which nothing moves.
        .timeout_per_read(Some(bucket.timeout))
        .timeout_per_write(Some(bucket.timeout))
        .max_idle_connections_per_host(bucket.readers())
        .max_idle_age(MAX_IDLE);
    tls::agent(bucket, config)
}
