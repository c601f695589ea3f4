// SPDX-License-Identifier: Apache-2.0
//! Looks what works of a bucket, in the order in which one thing needs the other. Leaves nothing behind.

use std::net::ToSocketAddrs;
use std::time::{SystemTime, UNIX_EPOCH};

use ureq::http::Method;

use super::answer::skew_of;
use super::put::{customer_key, put_bytes};
use super::record::FOLDER;
use super::send::{Payload, Wire};
use super::sign::Ask;
use super::trouble::{Class, Trouble};
use crate::error::hint_of;
use crate::model::bucket::{Bucket, Proxy};
use crate::model::report::Check;

/// Runs all checks. Those that a failed one makes impossible are left out.
pub(super) fn probe(bucket: Bucket) -> Vec<Check> {
    let mut done = Vec::new();
    let mut note = |name: &'static str, result: Result<String, Trouble>| {
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
    let tls = bucket.endpoint.starts_with("https://");
    let direct = matches!(bucket.proxy, Proxy::None)
        || matches!(bucket.proxy, Proxy::Environment) && ureq::Proxy::try_from_env().is_none();
    let url = bucket.url();
    let host = if bucket.in_host {
        host_of(&bucket.endpoint, Some(&bucket.name))
    } else {
        host_of(&bucket.endpoint, None)
    };
    if direct && !note("name", resolve(&host)) {
        return done;
    }
    let wire = match Wire::new(bucket) {
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
        note("clock", if wrong { Err(Trouble::of(Class::Skew, words)) } else { Ok(words) });
    }
    let ask = Ask::new(Method::GET, "")
        .query("list-type", "2")
        .query("max-keys", "1")
        .query("prefix", wire.bucket.key(""));
    let listed = wire.document(&ask, Payload::None).map(|_| ());
    let class = listed.as_ref().err().map(|t| t.class);
    let signed = !matches!(class, Some(Class::Signature | Class::Key | Class::Skew | Class::Region));
    if !signed {
        note("signature", listed.map(|()| String::new()));
        return done;
    }
    if matches!(class, Some(Class::NoBucket | Class::Missing | Class::Redirect)) {
        note("bucket", listed.map(|()| String::new()));
        return done;
    }
    note("signature", Ok("the keys are accepted".to_owned()));
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
    let read = wire.read(&customer_key(Ask::new(Method::GET, &key), &wire.bucket), Payload::None, 4096);
    note(
        "get",
        read.and_then(|(_, bytes)| match bytes == content.as_bytes() {
            true => Ok("it comes back unchanged".to_owned()),
            false => Err(Trouble::of(Class::Digest, "it comes back changed")),
        }),
    );
    let deleted = wire.ask(&Ask::new(Method::DELETE, &key), Payload::None);
    note(
        "delete",
        deleted
            .map(|_| "it can be deleted".to_owned())
            .map_err(|t| Trouble { message: format!("'{key}' stays behind: {}", t.message), ..t }),
    );
    done
}

fn host_of(endpoint: &str, bucket: Option<&str>) -> String {
    let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let port = if scheme == "https" { ":443" } else { ":80" };
    let has_port = host.rsplit_once(':').is_some_and(|(_, p)| p.chars().all(|c| c.is_ascii_digit()));
    let bucket = bucket.map(|b| format!("{b}.")).unwrap_or_default();
    format!("{bucket}{host}{}", if has_port { "" } else { port })
}

fn resolve(host: &str) -> Result<String, Trouble> {
    let found: Vec<_> = host.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    match found.first() {
        Some(first) => Ok(format!("'{host}' is {}", first.ip())),
        None => Err(Trouble::of(Class::Name, format!("the name '{host}' cannot be resolved"))),
    }
}
