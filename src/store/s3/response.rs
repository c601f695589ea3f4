// SPDX-License-Identifier: Apache-2.0
//! Turns what came back, or did not, into a [`Trouble`]: statuses, error documents, broken connections.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use ureq::http::HeaderMap;

use super::error::{S3Error, S3ErrorKind};
use super::xml::{self, Node};

/// More than this, and the clocks are the likelier reason for a refusal.
const SKEW: i64 = 5 * 60;

/// The value of a header as text; empty where there is none.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// What a server's text may look like in a sentence of ours: short, no control characters.
pub(super) fn quoted(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let short: String = text.chars().take(200).collect();
    short.escape_debug().to_string()
}

/// An answer that is not a success. `body` is the head of it, which may not be XML at all.
pub(super) fn refused(status: u16, headers: &HeaderMap, body: &[u8], region: &str) -> S3Error {
    let document = xml::parse(body).unwrap_or_default();
    let (code, said) = (quoted(document.text("Code")), quoted(document.text("Message")));
    let mut class = class_of(&code, &said).unwrap_or_else(|| S3ErrorKind::of_status(status));
    let there =
        [header(headers, "x-amz-bucket-region"), document.text("Region"), document.text("BucketRegion")]
            .into_iter()
            .find(|r| !r.is_empty() && *r != region)
            .map(quoted);
    // What Go's, nginx's and Apache's servers say on a port for HTTPS, each in its words.
    if status == 400 && code.is_empty() && String::from_utf8_lossy(body).contains("HTTPS") {
        return S3Error::of(S3ErrorKind::Scheme, "the store wants HTTPS on this port");
    }
    let off = skew(headers);
    let expired = said.contains("expired") || said.contains("not yet valid");
    if matches!(class, S3ErrorKind::Denied | S3ErrorKind::Skew) && off.is_some()
        || class == S3ErrorKind::Denied && expired && code == "AccessDenied"
    {
        class = S3ErrorKind::Skew;
    }
    if there.is_some()
        && matches!(
            class,
            S3ErrorKind::Redirect | S3ErrorKind::Region | S3ErrorKind::Denied | S3ErrorKind::Failed
        )
    {
        class = S3ErrorKind::Region;
    }
    let answered = match (code.is_empty(), said.is_empty()) {
        (true, _) => format!("the store answered with status {status}"),
        (false, true) => format!("the store answered {code} (status {status})"),
        (false, false) => format!("the store answered {code} (status {status}): {said}"),
    };
    let message = match (class, there, off) {
        (S3ErrorKind::Region, Some(there), _) => {
            format!("the bucket is in the region '{there}', not in '{region}'")
        }
        (S3ErrorKind::Region, None, _) => format!("the region '{region}' is not the bucket's; {answered}"),
        (S3ErrorKind::Skew, _, Some(off)) => {
            let which = if off > 0 { "behind" } else { "ahead of" };
            format!("this machine's clock is {} s {which} the store's; {answered}", off.abs())
        }
        (S3ErrorKind::Skew, _, None) => format!("this machine's clock and the store's differ; {answered}"),
        (S3ErrorKind::Signature, ..) => format!("the store says that the signature is wrong ({code})"),
        (S3ErrorKind::Key, ..) if code.is_empty() => {
            format!("the store does not accept the keys; {answered}")
        }
        (S3ErrorKind::Key, ..) if code.contains("Token") => {
            format!("the store does not accept the session token ({code})")
        }
        (S3ErrorKind::Key, ..) => format!("the store does not accept the access key ({code})"),
        (S3ErrorKind::NoBucket, ..) => "there is no such bucket".to_owned(),
        (S3ErrorKind::Denied, ..) => format!("access is denied; {answered}"),
        (S3ErrorKind::Locked, ..) => format!("it is locked; {answered}"),
        (S3ErrorKind::Archived, ..) => format!("it lies in an archive; {answered}"),
        (S3ErrorKind::Full, ..) => format!("the store is full; {answered}"),
        (S3ErrorKind::Redirect, ..) => {
            let to = document.text("Endpoint");
            let to = if to.is_empty() { host_of(header(headers, "location")) } else { to };
            match to {
                "" => format!("the store redirects (status {status}) without saying where"),
                to => format!("the store redirects to '{}' (status {status})", quoted(to)),
            }
        }
        _ => answered,
    };
    let after = header(headers, "retry-after").parse().ok();
    S3Error { class, message, code, after }
}

/// By the store's word, and by its sentence where stores have one word for many things.
fn class_of(code: &str, said: &str) -> Option<S3ErrorKind> {
    let said = said.to_ascii_lowercase();
    let lock = ["worm", "object lock", "retention", "legal hold"].iter().any(|w| said.contains(w));
    Some(match S3ErrorKind::from_code(code) {
        // Garage says this of all that it does not allow.
        Some(S3ErrorKind::Denied) if said.contains("invalid signature") => S3ErrorKind::Signature,
        Some(S3ErrorKind::Denied) if said.contains("no such key") => S3ErrorKind::Key,
        // AWS denies access to what is locked, MinIO calls it an invalid request.
        Some(S3ErrorKind::Denied) | None if lock && !code.is_empty() => S3ErrorKind::Locked,
        class => class?,
    })
}

/// An error about one of many in an answer that is a success.
pub(super) fn in_a_document(error: &Node) -> S3Error {
    let (code, said) = (quoted(error.text("Code")), quoted(error.text("Message")));
    let class = class_of(&code, &said).unwrap_or(S3ErrorKind::Failed);
    let message = match class {
        S3ErrorKind::Locked => format!("it is locked; the store answered {code}: {said}"),
        _ => format!("the store answered {code}: {said}"),
    };
    S3Error { code, ..S3Error::of(class, message) }
}

/// Only the host: the rest of such an address holds our signature.
fn host_of(location: &str) -> &str {
    let rest = location.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Seconds that the store's clock is ahead of ours, where it tells the time.
pub(super) fn skew_of(headers: &HeaderMap) -> Option<i64> {
    let theirs = jiff::fmt::rfc2822::parse(header(headers, "date")).ok()?.timestamp().as_second();
    let ours = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    theirs.checked_sub(ours)
}

/// The same where that is a lot.
fn skew(headers: &HeaderMap) -> Option<i64> {
    skew_of(headers).filter(|off| off.abs() > SKEW)
}

/// A request that got no answer. `silence` is how long was waited at most. Never prints what ureq holds of the URL.
pub(super) fn unanswered(error: ureq::Error, host: &str, tls: bool, silence: u64) -> S3Error {
    use ureq::Error as E;
    match error {
        E::HostNotFound => S3Error::of(S3ErrorKind::Name, format!("the name '{host}' cannot be resolved")),
        E::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            S3Error::of(S3ErrorKind::Connect, format!("'{host}' cannot be reached: no connection in time"))
        }
        E::Timeout(_) => S3Error::of(S3ErrorKind::Stalled, format!("'{host}' was silent for {silence} s")),
        E::Io(e) => io_trouble(&e, host, tls, silence),
        E::ConnectionFailed => S3Error::of(S3ErrorKind::Connect, format!("'{host}' cannot be reached")),
        E::ConnectProxyFailed(why) if why.contains("407") => {
            S3Error::of(S3ErrorKind::Connect, "the proxy wants a user and a password, or other ones")
        }
        E::ConnectProxyFailed(why) => S3Error::of(
            S3ErrorKind::Connect,
            format!("the proxy lets nobody through to '{host}': {}", quoted(&why)),
        ),
        E::InvalidProxyUrl => S3Error::of(S3ErrorKind::Config, "the proxy's URL cannot be used"),
        E::Protocol(_) if !tls => {
            S3Error::of(S3ErrorKind::Scheme, format!("'{host}' does not speak plain HTTP; it may want HTTPS"))
        }
        E::Protocol(_) => {
            S3Error::of(S3ErrorKind::Broken, format!("'{host}' sent something that is not HTTP"))
        }
        E::Tls(why) => S3Error::of(S3ErrorKind::Certificate, format!("TLS with '{host}' failed: {why}")),
        E::Rustls(e) => tls_trouble(&e.to_string(), host),
        E::LargeResponseHeader(..) => {
            S3Error::of(S3ErrorKind::Nonsense, format!("'{host}' sent too large a head"))
        }
        _ => S3Error::of(S3ErrorKind::Failed, format!("the request to '{host}' could not be made")),
    }
}

fn tls_trouble(said: &str, host: &str) -> S3Error {
    if said.contains("InvalidContentType") || said.contains("corrupt message") {
        return S3Error::of(
            S3ErrorKind::Scheme,
            format!("'{host}' does not speak HTTPS; it may want plain HTTP"),
        );
    }
    let class = match () {
        () if said.contains("not valid for name") || said.contains("NotValidForName") => {
            S3ErrorKind::OtherName
        }
        () if said.contains("expired") || said.contains("Expired") || said.contains("not valid yet") => {
            S3ErrorKind::Expired
        }
        () => S3ErrorKind::Certificate,
    };
    S3Error::of(class, format!("the certificate of '{host}' is not accepted: {}", quoted(said)))
}

/// The same for an error of reading or writing, also in the middle of a body.
pub(super) fn io_trouble(e: &io::Error, host: &str, tls: bool, silence: u64) -> S3Error {
    let said = e.to_string();
    match e.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => {
            S3Error::of(S3ErrorKind::Connect, format!("'{host}' cannot be reached: {}", quoted(&said)))
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            S3Error::of(S3ErrorKind::Stalled, format!("'{host}' was silent for {silence} s"))
        }
        // rustls's errors travel as this.
        io::ErrorKind::InvalidData if tls => tls_trouble(&said, host),
        _ if said.contains("timeout") => {
            S3Error::of(S3ErrorKind::Stalled, format!("'{host}' was silent for {silence} s"))
        }
        _ if said.contains("failed to lookup address") => {
            S3Error::of(S3ErrorKind::Name, format!("the name '{host}' cannot be resolved"))
        }
        _ => S3Error::of(S3ErrorKind::Broken, format!("the connection to '{host}' broke: {}", quoted(&said))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who says it | status | a header | code | the rest of the document, or what there is instead of one | what it
    /// means | words of the sentence.
    const REFUSALS: &str = r"
AWS, another region, to a HEAD | 301 | x-amz-bucket-region: eu-west-1 | | | Region | in the region 'eu-west-1'
AWS, another region | 301 | x-amz-bucket-region: eu-west-1 | PermanentRedirect | <Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint> | Region | 'eu-west-1', not in 'us-east-1'
AWS, a new bucket | 307 | | TemporaryRedirect | <Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint> | Redirect | redirects to 'b.s3-eu-west-1.amazonaws.com'
a web server | 302 | location: https://login.example/?X-Amz-Signature=s | | <html><body>moved</body></html> | Redirect | redirects to 'login.example'
AWS, presigned | 400 | | AuthorizationQueryParametersError | <Message>wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region> | Region | in the region 'eu-west-1'
Garage, its default | 400 | | AuthorizationHeaderMalformed | <Message>unexpected scope</Message><Region>garage</Region> | Region | in the region 'garage'
AWS, wrong secret | 403 | | SignatureDoesNotMatch | <Message>The request signature we calculated</Message> | Signature | signature is wrong
Garage, wrong secret | 403 | | AccessDenied | <Message>Forbidden: Invalid signature</Message> | Signature | signature is wrong
Garage, wrong key | 403 | | AccessDenied | <Message>Forbidden: No such key: GK1</Message> | Key | does not accept the access key
R2, wrong key | 401 | | Unauthorized | | Key | does not accept the access key
anybody, no word | 401 | | | | Key | status 401
AWS, an old token | 400 | | ExpiredToken | <Message>The provided token has expired.</Message> | Key | session token (ExpiredToken)
AWS, presigned, the clock | 403 | date: Tue, 15 Nov 1994 08:12:31 GMT | AccessDenied | <Message>Request has expired</Message> | Skew | ahead of the store's
AWS, presigned, no date | 403 | | AccessDenied | <Message>Request is not yet valid</Message> | Skew | clock and the store's differ
AWS, the clock | 403 | date: Tue, 15 Nov 1994 08:12:31 GMT | RequestTimeTooSkewed | | Skew | ahead of the store's
a firewall | 403 | | | <html><head><title>403 Forbidden</title></head></html> | Denied | access is denied; the store answered with status 403
MinIO, locked | 403 | | AccessDenied | <Message>Object is WORM protected and cannot be overwritten</Message> | Locked | it is locked
AWS, in an archive | 403 | | InvalidObjectState | <Message>not valid for the storage class</Message> | Archived | in an archive
MinIO, full | 507 | | XMinioStorageFull | | Full | the store is full
Ceph, over quota | 403 | | QuotaExceeded | | Full | the store is full
anybody, later | 503 | retry-after: 7 | | <html></html> | Throttled | status 503
Aliyun, path style | 403 | | SecondLevelDomainForbidden | <Message>Please use virtual hosted style</Message> | Redirect | without saying where
Go, on an HTTPS port | 400 | | | Client sent an HTTP request to an HTTPS server. | Scheme | HTTPS
nginx, on an HTTPS port | 400 | | | <html>The plain HTTP request was sent to HTTPS port</html> | Scheme | HTTPS
a page | 404 | | | <html>not found</html> | Missing | status 404
control characters | 500 | | InternalError | <Message>a&#x9b;31m&#10;b</Message> | Server | \u{9b}31m\nb
";

    #[test]
    fn the_refusals_of_each_store_are_understood() {
        for row in REFUSALS.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let &[who, status, head, code, rest, class, words] = cells.as_slice() else { panic!("{row}") };
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = head.split_once(": ") {
                headers.insert(ureq::http::HeaderName::from_static(name), value.parse().unwrap());
            }
            let body = match code {
                "" => rest.to_owned(),
                code => format!("<?xml version='1.0'?><Error><Code>{code}</Code>{rest}</Error>"),
            };
            let trouble = refused(status.parse().unwrap(), &headers, body.as_bytes(), "us-east-1");
            assert_eq!(format!("{:?}", trouble.class), class, "{who}: {trouble}");
            assert!(trouble.message.contains(words), "{who}: {trouble}");
            assert!(
                !trouble.message.contains("Signature=") && trouble.message.len() < 300,
                "{who}: {trouble}"
            );
        }
    }
}
