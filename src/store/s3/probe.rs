// SPDX-License-Identifier: Apache-2.0
//! Looks what works of a bucket, in the order in which one thing needs the other. Leaves nothing behind.

use std::net::ToSocketAddrs;
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest as _, Md5};
use ureq::http::{HeaderMap, Method};

use super::client::{Payload, S3Client};
use super::error::{S3Error, S3ErrorKind};
use super::list::is_listing;
use super::manifest::FOLDER;
use super::object::{Head, head};
use super::put::{customer_key, hex, put_bytes};
use super::response::{header, skew_of};
use super::sign::S3Request;
use super::{multipart, proxy};
use crate::error::hint_of;
use crate::model::report::Check;
use crate::model::s3_config::S3Config;

/// Runs all checks. Those that a failed one makes impossible are left out.
pub(super) fn probe(bucket: S3Config) -> Vec<Check> {
    let mut done = Vec::new();
    let mut note = |name: &'static str, result: Result<String, S3Error>| {
        let ok = result.is_ok();
        let check = match result {
            Ok(detail) => Check { name, ok, detail, hint: None },
            Err(t) => {
                let error = t.error(name);
                let detail = error.to_string().trim_start_matches(name).trim_start_matches(": ").to_owned();
                Check { name, ok, detail, hint: hint_of(&error).map(str::to_owned) }
            }
        };
        done.push(check);
        ok
    };
    let (tls, url, (host, port)) = (bucket.is_tls(), bucket.url(), bucket.address());
    // A proxy looks names up by itself.
    if matches!(proxy::of(&bucket), Ok(None)) && !note("name", resolve(&host, port)) {
        return done;
    }
    let wire = match S3Client::new(bucket) {
        Ok(wire) => wire.once(),
        Err(t) => {
            note("settings", Err(t));
            return done;
        }
    };
    let spoken = if tls {
        "TLS, and the certificate is believed"
    } else {
        "plain HTTP: anybody on the way can read and change it"
    };
    let touched = wire.touch();
    let date = touched.as_ref().ok().and_then(skew_of);
    if !note("connection", touched.map(|_| spoken.to_owned())) {
        return done;
    }
    if let Some(off) = date {
        let wrong = off.abs() > 300;
        let words = format!("this machine's clock differs from the store's by {} s", off.abs());
        note("clock", if wrong { Err(S3Error::of(S3ErrorKind::Skew, words)) } else { Ok(words) });
    }
    let ask = S3Request::new(Method::GET, "")
        .query("list-type", "2")
        .query("max-keys", "1")
        .query("prefix", wire.bucket.key(""));
    let listed = wire.document(&ask, Payload::None).and_then(|(_, page)| is_listing(&wire, &page));
    let class = listed.as_ref().err().map(|t| t.class);
    let signed = !matches!(
        class,
        Some(S3ErrorKind::Signature | S3ErrorKind::Key | S3ErrorKind::Skew | S3ErrorKind::Region)
    );
    if !signed {
        note("signature", listed.map(|()| String::new()));
        return done;
    }
    if matches!(class, Some(S3ErrorKind::NoBucket | S3ErrorKind::Missing | S3ErrorKind::Redirect)) {
        note("bucket", listed.map(|()| String::new()));
        return done;
    }
    note("signature", Ok("the keys are accepted".to_owned()));
    if listed.is_ok() {
        note("bucket", Ok(format!("'{}' is there", wire.bucket.name)));
    }
    note("list", listed.map(|()| format!("'{url}' can be listed")));
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let key = wire.bucket.key(&format!("{FOLDER}/probe-{}-{nanos}.json", std::process::id()));
    let content = format!("{{\"probe\":{nanos}}}\n");
    if !note(
        "put",
        put_bytes(&wire, &key, "application/json", content.as_bytes())
            .map(|()| "an object can be written".to_owned()),
    ) {
        return done;
    }
    let read = wire.read(&customer_key(S3Request::new(Method::GET, &key), &wire.bucket), Payload::None, 4096);
    note(
        "get",
        read.and_then(|(_, bytes)| match bytes == content.as_bytes() {
            true => Ok("it comes back unchanged".to_owned()),
            false => Err(S3Error::of(S3ErrorKind::Digest, "it comes back changed")),
        }),
    );
    note("checksum", head(&wire, &key).map(|head| evidence(&head, content.as_bytes()).to_owned()));
    note("multipart", multipart::try_out(&wire, &key).map(str::to_owned));
    let deleted = wire.ask(&S3Request::new(Method::DELETE, &key), Payload::None);
    let kept = |headers: &HeaderMap| match header(headers, "x-amz-delete-marker") {
        "true" => "it can be deleted; the bucket keeps old versions",
        _ => "it can be deleted",
    };
    note(
        "delete",
        deleted
            .map(|answer| kept(&answer.headers).to_owned())
            .map_err(|t| S3Error { message: format!("'{key}' stays behind: {}", t.message), ..t }),
    );
    done
}

/// What an upload can be proven by here.
fn evidence(head: &Head, content: &[u8]) -> &'static str {
    match () {
        () if !head.checksum.is_empty() => "the store keeps a SHA-256: what is sent will be proven by it",
        () if head.etag == hex(&Md5::digest(content)) => {
            "the store keeps an MD5: what is sent will be proven by it"
        }
        () => "the store reports no checksum: what is sent stays unchecked until it is verified",
    }
}

fn resolve(host: &str, port: u16) -> Result<String, S3Error> {
    let found: Vec<_> = (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    match found.first() {
        Some(first) => Ok(format!("'{host}' is {}", first.ip())),
        None => Err(S3Error::of(S3ErrorKind::Name, format!("the name '{host}' cannot be resolved"))),
    }
}
