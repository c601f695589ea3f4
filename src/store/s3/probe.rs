// SPDX-License-Identifier: Apache-2.0
//! Checks what works with a bucket, in an order in which no check needs a later one. Leaves nothing behind.

use std::net::ToSocketAddrs;
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest as _, Md5};
use ureq::http::{HeaderMap, Method};

use super::capabilities::Capabilities;
use super::client::S3Client;
use super::error::{S3Error, S3ErrorKind};
use super::headers::{customer_key, header};
use super::layout::METADATA_DIR;
use super::list::ensure_listing;
use super::manifest::put_small;
use super::object::head;
use super::proxy;
use super::request::{Payload, S3Request};
use super::response::clock_offset;
use super::unfinished;
use crate::model::report::Check;
use crate::model::s3_config::S3Config;
use crate::util::{MAX_CLOCK_SKEW, hex};

/// One check. Returns what it found out, or `None` if it has nothing to say.
struct Step {
    name: &'static str,
    check: fn(&Probe) -> Result<Option<String>, S3Error>,
    /// Whether the checks after it make no sense if it fails.
    is_required: bool,
}

const fn step(
    name: &'static str,
    is_required: bool,
    check: fn(&Probe) -> Result<Option<String>, S3Error>,
) -> Step {
    Step { name, check, is_required }
}

const STEPS: [Step; 9] = [
    step("clock", false, clock),
    step("signature", true, signature),
    step("bucket", true, bucket),
    step("list", false, list),
    step("put", true, put),
    step("get", false, get),
    step("checksum", false, checksum),
    step("multipart", false, multipart),
    step("delete", false, delete),
];

/// What the checks share.
struct Probe {
    client: S3Client,
    /// The headers of the first response.
    headers: HeaderMap,
    /// What came of listing the bucket.
    listed: Result<(), S3Error>,
    /// The object that is written, and its content.
    key: String,
    content: String,
}

/// Runs all checks, up to the first required one that fails.
pub(super) fn probe(config: S3Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let Some(probe) = connect(config, &mut checks) else { return checks };
    for step in &STEPS {
        let result = (step.check)(&probe);
        let is_over = step.is_required && result.is_err();
        checks.extend(result.transpose().map(|result| check(step.name, result)));
        if is_over {
            break;
        }
    }
    checks
}

fn check(name: &'static str, result: Result<String, S3Error>) -> Check {
    match result {
        Ok(detail) => Check { name, ok: true, detail, hint: None },
        Err(e) => {
            let (_, hint) = e.kind.code_and_hint();
            let hint = Some(hint.to_owned()).filter(|h| !h.is_empty());
            Check { name, ok: false, detail: e.message, hint }
        }
    }
}

/// The first checks: they lead to a connection. `None` if one of them fails.
fn connect(config: S3Config, checks: &mut Vec<Check>) -> Option<Probe> {
    let mut note = |name, result: Result<String, S3Error>| {
        let is_ok = result.is_ok();
        checks.push(check(name, result));
        is_ok.then_some(())
    };
    let (host, port) = config.address();
    // A proxy resolves names itself.
    if matches!(proxy::select(&config), Ok(None)) {
        note("name", resolve(&host, port))?;
    }
    let client = match S3Client::new(config) {
        Ok(client) => client.without_retry(),
        Err(e) => {
            note("settings", Err(e));
            return None;
        }
    };
    let protocol = if client.peer.is_tls {
        "TLS, and the certificate is trusted"
    } else {
        "plain HTTP: every device on the way can read and change the data"
    };
    let headers = match client.ping() {
        Ok(headers) => headers,
        Err(e) => {
            note("connection", Err(e));
            return None;
        }
    };
    note("connection", Ok(protocol.to_owned()))?;
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let key = client.bucket.key(&format!("{METADATA_DIR}/probe-{}-{nanos}.json", std::process::id()));
    let request = S3Request::new(Method::GET, "")
        .query("list-type", "2")
        .query("max-keys", "1")
        .query("prefix", client.bucket.prefix());
    let listed =
        client.document(&request, Payload::None).and_then(|(_, page)| ensure_listing(&client, &page));
    Some(Probe { client, headers, listed, key, content: format!("{{\"probe\":{nanos}}}\n") })
}

fn resolve(host: &str, port: u16) -> Result<String, S3Error> {
    let found: Vec<_> = (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    match found.first() {
        Some(first) => Ok(format!("'{host}' is {}", first.ip())),
        None => {
            let message = format!("the host name '{host}' cannot be resolved");
            Err(S3Error::new(S3ErrorKind::NameUnresolved, message))
        }
    }
}

fn clock(probe: &Probe) -> Result<Option<String>, S3Error> {
    let Some(offset) = clock_offset(&probe.headers) else { return Ok(None) };
    let seconds = offset.unsigned_abs();
    let text = format!("the clocks of this machine and of the store differ by {seconds} s");
    if seconds > MAX_CLOCK_SKEW { Err(S3Error::new(S3ErrorKind::ClockSkew, text)) } else { Ok(Some(text)) }
}

/// Known only if the store says so: a web page, or a refusal without an error code, is no word about the keys.
fn signature(probe: &Probe) -> Result<Option<String>, S3Error> {
    use S3ErrorKind::{AccessKeyUnknown, ClockSkew, SecretKeyWrong, WrongRegion};
    match &probe.listed {
        Err(e) if matches!(e.kind, SecretKeyWrong | AccessKeyUnknown | ClockSkew | WrongRegion) => {
            Err(e.clone())
        }
        Err(e) if e.code.is_empty() => Ok(None),
        _ => Ok(Some("the keys are accepted".to_owned())),
    }
}

fn bucket(probe: &Probe) -> Result<Option<String>, S3Error> {
    use S3ErrorKind::{Missing, NoBucket, Redirect};
    match &probe.listed {
        Err(e) if matches!(e.kind, NoBucket | Missing | Redirect) => Err(e.clone()),
        Err(_) => Ok(None),
        Ok(()) => Ok(Some(format!("'{}' exists", probe.client.bucket.name))),
    }
}

fn list(probe: &Probe) -> Result<Option<String>, S3Error> {
    probe.listed.clone().map(|()| Some(format!("'{}' can be listed", probe.client.bucket.url())))
}

fn put(probe: &Probe) -> Result<Option<String>, S3Error> {
    let request = S3Request::new(Method::PUT, &probe.key);
    put_small(&probe.client, request, "application/json", probe.content.as_bytes())?;
    Ok(Some("an object can be written".to_owned()))
}

fn get(probe: &Probe) -> Result<Option<String>, S3Error> {
    let request = customer_key(S3Request::new(Method::GET, &probe.key), &probe.client.bucket);
    let (_, bytes) = probe.client.read(&request, Payload::None, 4096)?;
    if bytes == probe.content.as_bytes() {
        return Ok(Some("the object comes back unchanged".to_owned()));
    }
    Err(S3Error::new(S3ErrorKind::Digest, "the object comes back with other content"))
}

/// By what uploads will be verified.
fn checksum(probe: &Probe) -> Result<Option<String>, S3Error> {
    let head = head(&probe.client, &probe.key)?;
    let text = if !head.checksum.is_empty() {
        "the store keeps a SHA-256: uploads are verified by it"
    } else if head.etag == hex(Md5::digest(probe.content.as_bytes())) {
        "the store keeps an MD5: uploads are verified by it"
    } else {
        "the store reports no checksum: an upload stays unverified until 'k3s-snapshot verify --s3'"
    };
    Ok(Some(text.to_owned()))
}

/// Whether large snapshots can be uploaded: begins an upload and aborts it.
fn multipart(probe: &Probe) -> Result<Option<String>, S3Error> {
    let client = &probe.client;
    let headers = |request| customer_key(request, &client.bucket);
    let begun = unfinished::begin(client, &Capabilities::default(), &probe.key, &headers)?;
    unfinished::abort_once(client, &probe.key, &begun.id)?;
    let digest = if begun.keeps_checksum { "SHA-256" } else { "MD5" };
    Ok(Some(format!("large snapshots are uploaded in parts, each checked by its {digest}")))
}

fn delete(probe: &Probe) -> Result<Option<String>, S3Error> {
    let request = S3Request::new(Method::DELETE, &probe.key);
    let response = probe.client.send(&request, Payload::None).map_err(|e| {
        let message = format!("'{}' stays in the bucket: {}", probe.key, e.message);
        S3Error { message, ..e }
    })?;
    let keeps_versions = header(&response.headers, "x-amz-delete-marker") == "true";
    let more = if keeps_versions { "; the bucket keeps old versions" } else { "" };
    Ok(Some(format!("the object can be deleted{more}")))
}
