// SPDX-License-Identifier: Apache-2.0
//! Makes an [`S3Error`] of a response, or of a missing one: statuses, error documents, broken connections.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use ureq::http::HeaderMap;

use super::error::{S3Error, S3ErrorKind};
use super::headers::header;
use super::xml::{self, Node};
use crate::model::s3_config::S3Config;
use crate::util::MAX_CLOCK_SKEW;

/// The server at the other end, for messages.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Host and port of the store.
    pub(super) host: String,
    /// Host and port of the proxy, without user and password.
    proxy: Option<String>,
    pub(super) is_tls: bool,
    /// Seconds in which nothing may move.
    timeout: u64,
}

impl Peer {
    pub(super) fn new(bucket: &S3Config, proxy: Option<&ureq::Proxy>) -> Peer {
        let bare = bucket.endpoint.split_once("://").map_or(bucket.endpoint.as_str(), |(_, host)| host);
        let host = if bucket.in_host { format!("{}.{bare}", bucket.name) } else { bare.to_owned() };
        let proxy = proxy.map(|p| format!("{}:{}", p.host(), p.port()));
        Peer { host, proxy, is_tls: bucket.is_tls(), timeout: bucket.timeout.as_secs() }
    }

    /// The server that a connection goes to: the proxy, if there is one.
    fn first_hop(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("the proxy '{proxy}'"),
            None => format!("'{}'", self.host),
        }
    }

    /// The store, with the proxy on the way to it.
    fn route(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("'{}' (through the proxy '{proxy}')", self.host),
            None => format!("'{}'", self.host),
        }
    }

    fn error(&self, kind: S3ErrorKind, message: String) -> S3Error {
        S3Error::new(kind, message)
    }

    fn unreachable(&self, why: &str) -> S3Error {
        self.error(S3ErrorKind::Unreachable, format!("{} cannot be reached{why}", self.first_hop()))
    }

    fn unresolved(&self) -> S3Error {
        let message = match &self.proxy {
            Some(proxy) => format!("the host name of the proxy '{proxy}' cannot be resolved"),
            None => format!("the host name '{}' cannot be resolved", self.host),
        };
        self.error(S3ErrorKind::NameUnresolved, message)
    }

    fn timed_out(&self) -> S3Error {
        let message = format!("nothing moved for {} s in the connection to {}", self.timeout, self.route());
        self.error(S3ErrorKind::Timeout, message)
    }

    pub(super) fn no_plain_http(&self) -> S3Error {
        let message = format!("{} does not speak plain HTTP; it may require HTTPS", self.route());
        self.error(S3ErrorKind::Scheme, message)
    }
}

/// Text of a server, fit for a message: short, no control characters.
pub(super) fn quoted(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let short: String = text.chars().take(200).collect();
    short.escape_debug().to_string()
}

/// What a response without success says.
struct Refusal {
    status: u16,
    /// The error code of the store; empty if the response has none.
    code: String,
    text: String,
    /// Another region than the one of the request, in which the bucket is.
    region: Option<String>,
    /// The address that the store redirects to; may be empty.
    redirect: String,
    /// Seconds that the clock of the store is ahead of ours, if that is too much.
    skew: Option<i64>,
}

/// The error of a response without success. `body` is the beginning of the body, which may not be XML.
pub(super) fn error_from_response(status: u16, headers: &HeaderMap, body: &[u8], region: &str) -> S3Error {
    let document = xml::parse(body).unwrap_or_default();
    // Go, nginx and Apache each have their own sentence for plain HTTP on a port for HTTPS.
    if status == 400 && document.text("Code").is_empty() && String::from_utf8_lossy(body).contains("HTTPS") {
        return S3Error::new(S3ErrorKind::Scheme, "the store requires HTTPS on this port");
    }
    let refusal = Refusal::new(status, headers, &document, region);
    let kind = refusal.kind();
    let message = refusal.message(kind, region);
    let retry_after = header(headers, "retry-after").parse().ok();
    S3Error { kind, message, code: refusal.code, retry_after }
}

impl Refusal {
    fn new(status: u16, headers: &HeaderMap, document: &Node, region: &str) -> Refusal {
        let regions =
            [header(headers, "x-amz-bucket-region"), document.text("Region"), document.text("BucketRegion")];
        let redirect = match document.text("Endpoint") {
            "" => host_of(header(headers, "location")),
            endpoint => endpoint,
        };
        Refusal {
            status,
            code: quoted(document.text("Code")),
            text: quoted(document.text("Message")),
            region: regions.into_iter().find(|r| !r.is_empty() && *r != region).map(quoted),
            redirect: quoted(redirect),
            skew: clock_offset(headers).filter(|off| off.unsigned_abs() > MAX_CLOCK_SKEW),
        }
    }

    fn kind(&self) -> S3ErrorKind {
        use S3ErrorKind::{ClockSkew, Denied, Failed, Redirect, WrongRegion};
        let kind =
            kind_from_code(&self.code, &self.text).unwrap_or_else(|| S3ErrorKind::from_status(self.status));
        if self.region.is_some() && matches!(kind, Redirect | WrongRegion | Denied | Failed) {
            return WrongRegion;
        }
        // A store denies access, too, if the time of a signature is over or still to come.
        let is_expired = self.text.contains("expired") || self.text.contains("not yet valid");
        match kind {
            Denied if self.skew.is_some() || is_expired && self.code == "AccessDenied" => ClockSkew,
            kind => kind,
        }
    }

    fn answer(&self) -> String {
        match (self.code.is_empty(), self.text.is_empty()) {
            (true, _) => format!("the store answered with status {}", self.status),
            (false, true) => format!("the store answered {} (status {})", self.code, self.status),
            (false, false) => {
                format!("the store answered {} (status {}): {}", self.code, self.status, self.text)
            }
        }
    }

    fn message(&self, kind: S3ErrorKind, region: &str) -> String {
        let answer = self.answer();
        match kind {
            S3ErrorKind::WrongRegion => match &self.region {
                Some(right) => format!("the bucket is in the region '{right}', not in '{region}'"),
                None => format!("'{region}' is not the region of the bucket; {answer}"),
            },
            S3ErrorKind::ClockSkew => match self.skew {
                Some(off) => {
                    let which = if off > 0 { "behind" } else { "ahead of" };
                    let seconds = off.abs();
                    format!("the clock of this machine is {seconds} s {which} that of the store; {answer}")
                }
                None => format!("the clocks of this machine and of the store differ; {answer}"),
            },
            S3ErrorKind::SecretKeyWrong => format!("the store rejects the signature ({})", self.code),
            S3ErrorKind::AccessKeyUnknown if self.code.is_empty() => {
                format!("the store does not accept the keys; {answer}")
            }
            S3ErrorKind::AccessKeyUnknown if self.code.contains("Token") => {
                format!("the store does not accept the session token ({})", self.code)
            }
            S3ErrorKind::AccessKeyUnknown => {
                format!("the store does not accept the access key ({})", self.code)
            }
            S3ErrorKind::NoBucket => "the bucket does not exist".to_owned(),
            S3ErrorKind::Denied => format!("access is denied; {answer}"),
            S3ErrorKind::Locked => format!("the object is locked; {answer}"),
            S3ErrorKind::Archived => format!("the object is in an archive; {answer}"),
            S3ErrorKind::Full => format!("the store is full; {answer}"),
            S3ErrorKind::TooLarge => format!("the request is too large; {answer}"),
            S3ErrorKind::Redirect if self.redirect.is_empty() => {
                format!("the store redirects (status {}) without an address", self.status)
            }
            S3ErrorKind::Redirect => {
                format!("the store redirects to '{}' (status {})", self.redirect, self.status)
            }
            _ => answer,
        }
    }
}

/// The kind of an error code. Some stores use one code for many errors: then the text decides.
fn kind_from_code(code: &str, text: &str) -> Option<S3ErrorKind> {
    let text = text.to_ascii_lowercase();
    let is_lock = ["worm", "object lock", "retention", "legal hold"].iter().any(|w| text.contains(w));
    Some(match S3ErrorKind::from_code(code) {
        // Garage has this one code for everything that it does not allow.
        Some(S3ErrorKind::Denied) if text.contains("invalid signature") => S3ErrorKind::SecretKeyWrong,
        Some(S3ErrorKind::Denied) if text.contains("no such key") => S3ErrorKind::AccessKeyUnknown,
        // AWS denies access to a locked object, MinIO calls the request invalid.
        Some(S3ErrorKind::Denied) | None if is_lock && !code.is_empty() => S3ErrorKind::Locked,
        kind => kind?,
    })
}

/// The error of one object in a response about many.
pub(super) fn error_from_document(error: &Node) -> S3Error {
    let (code, text) = (quoted(error.text("Code")), quoted(error.text("Message")));
    let kind = kind_from_code(&code, &text).unwrap_or(S3ErrorKind::Failed);
    let message = match kind {
        S3ErrorKind::Locked => format!("the object is locked; the store answered {code}: {text}"),
        _ => format!("the store answered {code}: {text}"),
    };
    S3Error { code, ..S3Error::new(kind, message) }
}

/// The host in an address. The rest of it has our signature.
fn host_of(location: &str) -> &str {
    let rest = location.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Seconds that the clock of the store is ahead of ours, if the store tells the time.
pub(super) fn clock_offset(headers: &HeaderMap) -> Option<i64> {
    let theirs = jiff::fmt::rfc2822::parse(header(headers, "date")).ok()?.timestamp().as_second();
    let ours = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    theirs.checked_sub(ours)
}

/// The error of a request without a response. Never prints what ureq knows of the URL.
pub(super) fn error_from_transport(error: ureq::Error, peer: &Peer) -> S3Error {
    use ureq::Error as E;
    match error {
        E::HostNotFound => peer.unresolved(),
        E::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            peer.unreachable(": no connection in time")
        }
        E::Timeout(_) => peer.timed_out(),
        E::Io(e) => error_from_io(&e, peer),
        E::ConnectionFailed => peer.unreachable(""),
        E::ConnectProxyFailed(why) => {
            let proxy = peer.first_hop();
            let message = if why.contains("407") {
                format!("{proxy} requires a user and a password, or rejects the configured ones")
            } else {
                format!("{proxy} does not connect to '{}': {}", peer.host, quoted(&why))
            };
            S3Error::new(S3ErrorKind::Unreachable, message)
        }
        E::InvalidProxyUrl => S3Error::new(S3ErrorKind::Config, "the URL of the proxy cannot be used"),
        E::Protocol(_) if !peer.is_tls => peer.no_plain_http(),
        E::Protocol(_) => {
            peer.error(S3ErrorKind::Broken, format!("the response of {} is not HTTP", peer.route()))
        }
        E::Tls(why) => peer.error(S3ErrorKind::Untrusted, format!("TLS with {} failed: {why}", peer.route())),
        E::Rustls(e) => tls_error(&e, peer),
        E::LargeResponseHeader(..) => {
            peer.error(S3ErrorKind::Invalid, format!("the response of {} has too many headers", peer.route()))
        }
        _ => peer.error(S3ErrorKind::Failed, format!("the request to {} cannot be made", peer.route())),
    }
}

fn tls_error(error: &rustls::Error, peer: &Peer) -> S3Error {
    use rustls::{CertificateError as C, Error as E};
    let kind = match error {
        E::InvalidMessage(_) => {
            let message = format!("{} does not speak HTTPS; it may require plain HTTP", peer.route());
            return S3Error::new(S3ErrorKind::Scheme, message);
        }
        E::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            S3ErrorKind::OtherHost
        }
        E::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => S3ErrorKind::Expired,
        _ => S3ErrorKind::Untrusted,
    };
    let why = quoted(&error.to_string());
    S3Error::new(kind, format!("the certificate of '{}' is not accepted: {why}", peer.host))
}

/// The error of reading or writing, also in the middle of a body.
pub(super) fn error_from_io(e: &io::Error, peer: &Peer) -> S3Error {
    let inner = e.get_ref();
    // Errors of rustls and of ureq travel inside errors of this type.
    if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_error(tls, peer);
    }
    match inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        Some(ureq::Error::Timeout(_)) => return peer.timed_out(),
        Some(ureq::Error::HostNotFound) => return peer.unresolved(),
        Some(ureq::Error::Rustls(tls)) => return tls_error(tls, peer),
        _ => {}
    }
    let text = quoted(&e.to_string());
    match e.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => peer.unreachable(&format!(": {text}")),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => peer.timed_out(),
        // The resolver of the standard library has no kind for this.
        _ if text.contains("failed to lookup address") => peer.unresolved(),
        _ => {
            let message = format!("the connection to {} broke: {text}", peer.route());
            peer.error(S3ErrorKind::Broken, message)
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    /// Store | status | a header | code | the rest of the document, or the body without one | kind | a value that the
    /// message must have.
    const REFUSALS: &str = r"
AWS, another region, to a HEAD | 301 | x-amz-bucket-region: eu-west-1 | | | WrongRegion | eu-west-1
AWS, another region | 301 | x-amz-bucket-region: eu-west-1 | PermanentRedirect | <Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint> | WrongRegion | eu-west-1
AWS, a new bucket | 307 | | TemporaryRedirect | <Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint> | Redirect | b.s3-eu-west-1.amazonaws.com
a web server | 302 | location: https://login.example/?X-Amz-Signature=s | | <html><body>moved</body></html> | Redirect | login.example
AWS, presigned | 400 | | AuthorizationQueryParametersError | <Message>wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region> | WrongRegion | eu-west-1
Garage, its default | 400 | | AuthorizationHeaderMalformed | <Message>unexpected scope</Message><Region>garage</Region> | WrongRegion | garage
a store with regions of its own | 400 | | InvalidRegionName | <Message>no such region</Message> | WrongRegion | us-east-1
another | 400 | | InvalidRegion | | WrongRegion | us-east-1
AWS, wrong secret | 403 | | SignatureDoesNotMatch | <Message>The request signature we calculated</Message> | SecretKeyWrong |
Garage, wrong secret | 403 | | AccessDenied | <Message>Forbidden: Invalid signature</Message> | SecretKeyWrong |
Garage, wrong key | 403 | | AccessDenied | <Message>Forbidden: No such key: GK1</Message> | AccessKeyUnknown |
R2, wrong key | 401 | | Unauthorized | | AccessKeyUnknown |
any, without a code | 401 | | | | AccessKeyUnknown | 401
AWS, an old token | 400 | | ExpiredToken | <Message>The provided token has expired.</Message> | AccessKeyUnknown | ExpiredToken
AWS, presigned, the clock | 403 | date: Tue, 15 Nov 1994 08:12:31 GMT | AccessDenied | <Message>Request has expired</Message> | ClockSkew |
AWS, presigned, no date | 403 | | AccessDenied | <Message>Request is not yet valid</Message> | ClockSkew |
AWS, the clock | 403 | date: Tue, 15 Nov 1994 08:12:31 GMT | RequestTimeTooSkewed | | ClockSkew |
a firewall | 403 | | | <html><head><title>403 Forbidden</title></head></html> | Denied | 403
MinIO, locked | 403 | | AccessDenied | <Message>Object is WORM protected and cannot be overwritten</Message> | Locked |
AWS, in an archive | 403 | | InvalidObjectState | <Message>not valid for the storage class</Message> | Archived |
MinIO, full | 507 | | XMinioStorageFull | | Full |
Ceph, over quota | 403 | | QuotaExceeded | | Full |
nginx, a large body | 413 | | | <html><center><h1>413 Request Entity Too Large</h1></center></html> | TooLarge | 413
AWS, a large body | 400 | | EntityTooLarge | <Message>Your proposed upload exceeds the maximum</Message> | TooLarge |
any, later | 503 | retry-after: 7 | | <html></html> | Throttled | 503
Aliyun, path style | 403 | | SecondLevelDomainForbidden | <Message>Please use virtual hosted style</Message> | Redirect |
Go, on an HTTPS port | 400 | | | Client sent an HTTP request to an HTTPS server. | Scheme |
nginx, on an HTTPS port | 400 | | | <html>The plain HTTP request was sent to HTTPS port</html> | Scheme |
a page | 404 | | | <html>not found</html> | Missing | 404
control characters | 500 | | InternalError | <Message>a&#x9b;31m&#10;b</Message> | Server | \u{9b}31m\nb
";

    #[test]
    fn the_refusals_of_each_store_have_their_kind() {
        for row in REFUSALS.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let &[store, status, head, code, rest, kind, value] = cells.as_slice() else { panic!("{row}") };
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = head.split_once(": ") {
                headers.insert(ureq::http::HeaderName::from_static(name), value.parse().unwrap());
            }
            let body = match code {
                "" => rest.to_owned(),
                code => format!("<?xml version='1.0'?><Error><Code>{code}</Code>{rest}</Error>"),
            };
            let error = error_from_response(status.parse().unwrap(), &headers, body.as_bytes(), "us-east-1");
            assert_eq!(format!("{:?}", error.kind), kind, "{store}: {error}");
            assert!(error.message.contains(value), "{store}: {error}");
            assert!(!error.message.contains("Signature=") && error.message.len() < 300, "{store}: {error}");
            assert_eq!(error.retry_after, (head == "retry-after: 7").then_some(7));
        }
    }

    #[test]
    fn a_failed_connection_names_the_proxy_and_never_its_password() {
        use crate::model::s3_config::tests::bucket;
        let proxy = ureq::Proxy::new("http://user:geheim@proxy.example:3128").unwrap();
        let direct = Peer::new(&bucket(), None);
        let proxied = Peer::new(&bucket(), Some(&proxy));
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (peer, e, kind, named) in [
            (&direct, refused(), S3ErrorKind::Unreachable, "s3.example.com"),
            (&proxied, refused(), S3ErrorKind::Unreachable, "proxy.example:3128"),
            (&proxied, io::ErrorKind::TimedOut.into(), S3ErrorKind::Timeout, "proxy.example:3128"),
            (&proxied, io::ErrorKind::ConnectionReset.into(), S3ErrorKind::Broken, "proxy.example:3128"),
        ] {
            let error = error_from_io(&e, peer);
            assert_eq!(error.kind, kind);
            assert!(error.message.contains(named) && !error.message.contains("geheim"), "{error}");
        }
        let denied = ureq::Error::ConnectProxyFailed("407 Proxy Authentication Required".into());
        let error = error_from_transport(denied, &proxied);
        assert!(error.message.contains("proxy.example:3128"), "{error}");
    }
}
