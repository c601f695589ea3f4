// SPDX-License-Identifier: Apache-2.0
//! Sends signed requests and tries again what may pass: the only place that sees a presigned URL.
//!
//! A try is signed anew, so its signature is never old. Redirects are not followed: they become words.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, Body, SendBody};

use super::error::{S3Error, S3ErrorKind};
use super::imds;
use super::response::{header, io_trouble, refused, unanswered};
use super::sign::{S3Request, Signer};
use super::{proxy, tls, xml};
use crate::io::ReadAt;
use crate::model::s3_config::{Credentials, Keys, S3Config};

/// How often a request is made before it is given up, and how often one that met silence.
const TRIES: u32 = 6;
const TRIES_OF_SILENCE: u32 = 2;
/// Who could not be found or reached after so long did not refuse but was silent.
const SLOW: Duration = Duration::from_secs(5);
/// The first wait between two tries; each next one doubles.
const WAIT: Duration = Duration::from_millis(150);
/// The longest wait, also where a store asks for more.
const LONGEST: Duration = Duration::from_secs(20);
/// No answer that is kept in memory may be longer.
const ANSWER: u64 = 8 << 20;
/// An answer that is kept in memory must end within so many times the allowed silence, and within the least of all
/// limits: one that drips for ever is none.
const DRIPS: u32 = 4;
const LEAST: Duration = Duration::from_secs(5);
/// From this size on, we ask whether the store wants a body before we send it: its refusal can then be read.
const WORTH_ASKING: u64 = 1 << 20;

/// What goes with a request.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// A stretch of something larger, read as it is sent: from, length.
    Part(&'a dyn ReadAt, u64, u64),
}

impl Payload<'_> {
    fn len(&self) -> u64 {
        match self {
            Payload::None => 0,
            Payload::Bytes(b) => b.len() as u64,
            Payload::Part(_, _, len) => *len,
        }
    }
}

/// An answer that is a success, its body still to be read.
pub(super) struct S3Response {
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) status: u16,
}

/// The way to a bucket.
pub(super) struct S3Client {
    agent: Agent,
    pub(super) bucket: S3Config,
    /// Host and port, for sentences.
    pub(super) host: String,
    signer: Mutex<(Signer, Option<Instant>)>,
    tries: u32,
    /// Whether there was ever an answer in HTTP.
    answered: AtomicBool,
    /// Whether something on the way does not understand the question whether a body is wanted.
    no_asking: AtomicBool,
}

impl S3Client {
    pub(super) fn new(bucket: S3Config) -> Result<S3Client, S3Error> {
        let agent = agent(&bucket)?;
        let bare = bucket.endpoint.split_once("://").map_or(bucket.endpoint.as_str(), |(_, host)| host);
        let host = if bucket.in_host { format!("{}.{bare}", bucket.name) } else { bare.to_owned() };
        let (keys, until) = keys(&bucket)?;
        let signer = Mutex::new((Signer::new(&bucket, &keys)?, until));
        let (answered, no_asking) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(S3Client { agent, host, signer, bucket, tries: TRIES, answered, no_asking })
    }

    /// The same way, but each request is made once: for a probe that wants to see the first failure.
    pub(super) fn once(mut self) -> S3Client {
        self.tries = 1;
        self
    }

    /// Makes a request until it succeeds or cannot.
    pub(super) fn ask(&self, ask: &S3Request, payload: Payload<'_>) -> Result<S3Response, S3Error> {
        self.again(|| self.one_try(ask, payload))
    }

    /// The same for an answer that is read whole. One that breaks in the middle is asked for again.
    pub(super) fn read(
        &self,
        ask: &S3Request,
        payload: Payload<'_>,
        limit: u64,
    ) -> Result<(HeaderMap, Vec<u8>), S3Error> {
        self.again(|| {
            let answer = self.one_try(ask, payload)?;
            let bytes = self.whole(answer.body, limit)?;
            Ok((answer.headers, bytes))
        })
    }

    /// The same for XML. A success that holds an error document is none: a store may find out late.
    pub(super) fn document(
        &self,
        ask: &S3Request,
        payload: Payload<'_>,
    ) -> Result<(HeaderMap, xml::Node), S3Error> {
        self.again(|| self.one_document(ask, payload))
    }

    /// Asks once for XML.
    pub(super) fn one_document(
        &self,
        ask: &S3Request,
        payload: Payload<'_>,
    ) -> Result<(HeaderMap, xml::Node), S3Error> {
        let answer = self.one_try(ask, payload)?;
        let bytes = self.whole(answer.body, ANSWER)?;
        let root = xml::parse(&bytes).map_err(|why| {
            S3Error::of(S3ErrorKind::Nonsense, format!("the answer of '{}' makes no sense: {why}", self.host))
        })?;
        if root.name == "Error" {
            return Err(refused(500, &answer.headers, &bytes, &self.bucket.region));
        }
        Ok((answer.headers, root))
    }

    /// Runs `deed` again while it may pass.
    pub(super) fn again<T>(&self, mut deed: impl FnMut() -> Result<T, S3Error>) -> Result<T, S3Error> {
        let mut tries = 0;
        loop {
            let began = Instant::now();
            let trouble = match deed() {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            tries += 1;
            let unfound =
                matches!(trouble.class, S3ErrorKind::Connect | S3ErrorKind::Name) && began.elapsed() > SLOW;
            let silent = unfound || trouble.class == S3ErrorKind::Stalled;
            let enough = if silent { TRIES_OF_SILENCE } else { TRIES };
            if !trouble.is_retryable() || tries >= enough.min(self.tries) {
                return Err(self.last_word(trouble));
            }
            let wait = wait(tries, trouble.after);
            log::debug!("{trouble}; trying again in {} ms", wait.as_millis());
            std::thread::sleep(wait);
        }
    }

    /// Who hangs up on plain HTTP, always, wants HTTPS.
    fn last_word(&self, trouble: S3Error) -> S3Error {
        let plain = self.bucket.endpoint.starts_with("http://");
        if trouble.class != S3ErrorKind::Broken || !plain || self.answered.load(Relaxed) {
            return trouble;
        }
        S3Error::of(
            S3ErrorKind::Scheme,
            format!("'{}' does not speak plain HTTP; it may want HTTPS", self.host),
        )
    }

    /// Makes a request once.
    pub(super) fn one_try(&self, ask: &S3Request, payload: Payload<'_>) -> Result<S3Response, S3Error> {
        let signed = {
            let mut signer = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
            if signer.1.is_some_and(|until| until <= Instant::now()) {
                let (keys, until) = keys(&self.bucket)?;
                *signer = (Signer::new(&self.bucket, &keys)?, until);
            }
            signer.0.sign(ask)?
        };
        let mut request = Request::builder().method(ask.method.clone()).uri(&signed.url);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let length = payload.len();
        let sends = matches!(ask.method, Method::PUT | Method::POST);
        if sends {
            request = request.header("content-length", length);
        }
        if length >= WORTH_ASKING && !self.no_asking.load(Relaxed) {
            request = request.header("expect", "100-continue");
        }
        let (mut bytes, mut stretch): (&[u8], RangeReader);
        let reader: &mut dyn Read = match payload {
            Payload::None => &mut io::empty(),
            Payload::Bytes(all) => {
                bytes = all;
                &mut bytes
            }
            Payload::Part(data, at, len) => {
                stretch = RangeReader { data, at, end: at.saturating_add(len), failed: None };
                &mut stretch
            }
        };
        // Its error would quote the URL.
        let wrong = |_| S3Error::of(S3ErrorKind::Failed, "the request could not be put together");
        let answer = if sends {
            self.agent.run(request.body(SendBody::from_reader(reader)).map_err(wrong)?)
        } else {
            self.agent.run(request.body(()).map_err(wrong)?)
        };
        let answer = answer.map_err(|e| self.unanswered(e))?;
        self.answered.store(true, Relaxed);
        let (parts, body) = answer.into_parts();
        let status = parts.status.as_u16();
        if parts.status.is_success() {
            return Ok(S3Response { headers: parts.headers, body, status });
        }
        if status == 417 && !self.no_asking.swap(true, Relaxed) {
            return Err(S3Error::of(S3ErrorKind::Broken, "the store does not say whether it wants a body"));
        }
        // Half an error document is still a status.
        let mut head = Vec::new();
        let _ = self.fill(body, 64 << 10, &mut head);
        Err(of_bucket(ask, refused(status, &parts.headers, &head, &self.bucket.region)))
    }

    /// Asks the endpoint for nothing in particular, unsigned: whether anybody answers there.
    pub(super) fn touch(&self) -> Result<HeaderMap, S3Error> {
        let request =
            Request::builder().method(Method::GET).uri(format!("{}/", self.bucket.endpoint)).body(());
        let request = request.map_err(|_| S3Error::of(S3ErrorKind::Config, "the endpoint is not a host"))?;
        self.agent.run(request).map(|answer| answer.into_parts().0.headers).map_err(|e| self.unanswered(e))
    }

    fn whole(&self, body: Body, limit: u64) -> Result<Vec<u8>, S3Error> {
        let mut bytes = Vec::new();
        self.fill(body, limit.saturating_add(1), &mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(S3Error::of(
                S3ErrorKind::Nonsense,
                format!("the answer of '{}' has no end", self.host),
            ));
        }
        Ok(bytes)
    }

    /// Reads up to `limit` bytes, and not for ever.
    fn fill(&self, body: Body, limit: u64, bytes: &mut Vec<u8>) -> Result<(), S3Error> {
        let (began, most) = (Instant::now(), self.bucket.timeout.saturating_mul(DRIPS).max(LEAST));
        let (mut reader, mut chunk) = (body.into_reader().take(limit), vec![0; 32 << 10]);
        loop {
            let n = reader.read(&mut chunk).map_err(|e| self.broken(&e))?;
            if n == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(chunk.get(..n).unwrap_or_default());
            if began.elapsed() > most {
                let why = format!("the answer of '{}' did not end within {} s", self.host, most.as_secs());
                return Err(S3Error::of(S3ErrorKind::Stalled, why));
            }
        }
    }

    fn unanswered(&self, e: ureq::Error) -> S3Error {
        let (host, tls) = (&self.host, self.bucket.endpoint.starts_with("https://"));
        unanswered(e, host, tls, self.bucket.timeout.as_secs())
    }

    /// A body that broke while it was read.
    pub(super) fn broken(&self, e: &io::Error) -> S3Error {
        io_trouble(e, &self.host, false, self.bucket.timeout.as_secs())
    }

    /// A header of an answer that must be there.
    pub(super) fn lacks(&self, what: &str) -> S3Error {
        S3Error::of(S3ErrorKind::Nonsense, format!("the answer of '{}' lacks {what}", self.host))
    }
}

/// What is not found where no object was asked for is the bucket.
fn of_bucket(ask: &S3Request, trouble: S3Error) -> S3Error {
    let reads = !matches!(ask.method, Method::PUT | Method::POST);
    let of_object = !ask.key.is_empty() && (reads || ask.query.iter().any(|(name, _)| *name == "uploadId"));
    if trouble.class != S3ErrorKind::Missing || of_object {
        return trouble;
    }
    let message = format!("there is no such bucket here; {}", trouble.message);
    S3Error { class: S3ErrorKind::NoBucket, message, ..trouble }
}

/// A stretch of something larger as a reader.
struct RangeReader<'a> {
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

/// Doubles with each try, a little different each time so that many nodes do not come back at once.
fn wait(tries: u32, asked: Option<u64>) -> Duration {
    let doubled = WAIT.saturating_mul(2u32.saturating_pow(tries.saturating_sub(1)));
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    let jitter = doubled.mul_f64(f64::from(nanos % 1000) / 2000.0);
    doubled.saturating_add(jitter).max(Duration::from_secs(asked.unwrap_or(0))).min(LONGEST)
}

fn keys(bucket: &S3Config) -> Result<(Keys, Option<Instant>), S3Error> {
    match &bucket.credentials {
        Credentials::Given(keys) => Ok((keys.clone(), None)),
        Credentials::Instance(url) => imds::keys(url),
    }
}

fn agent(bucket: &S3Config) -> Result<Agent, S3Error> {
    // Silence: ureq starts these anew with every read and write.
    let silence = Some(bucket.timeout);
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy::of(bucket)?)
        .user_agent(concat!("k3s-snapshot/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(bucket.timeout.min(Duration::from_secs(30))))
        .timeout_resolve(Some(bucket.timeout.min(Duration::from_secs(30))))
        .timeout_per_read(silence)
        .timeout_per_write(silence)
        .max_idle_connections_per_host(bucket.readers())
        .max_idle_age(Duration::from_secs(5));
    tls::agent(bucket, config)
}

/// The entity tag of an answer, without its quotes. One that a proxy made weak is still the object's.
pub(super) fn etag(headers: &HeaderMap) -> String {
    header(headers, "etag").trim_start_matches("W/").trim_matches('"').to_owned()
}
