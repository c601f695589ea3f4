// SPDX-License-Identifier: Apache-2.0
//! Signatures: the only importer of the crate `s3`, of which nothing but its presigning is used.
//!
//! A presigned URL is a bearer secret. It goes from here to `send.rs` and nowhere else; no type here prints one.

use std::borrow::Cow;
use std::time::Duration;

use s3::{AddressingStyle, Auth, BlockingClient, Credentials};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::error::{S3Error, S3ErrorKind};
use crate::model::s3_config::{Keys, S3Config};

/// How long a signature holds. A store looks at it when a request begins, so this need not cover the transfer, but
/// it is also what a clock that runs behind may be off.
const HOLDS: Duration = Duration::from_secs(15 * 60);

/// A request before it is signed.
#[derive(Debug, Clone)]
pub(super) struct S3Request {
    pub(super) method: Method,
    /// The object's key; empty for a request about the bucket.
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
}

/// A signed request.
pub(super) struct Signed {
    pub(super) url: String,
    pub(super) headers: HeaderMap,
}

/// Signs for one bucket with one pair of keys.
pub(super) struct Signer {
    client: BlockingClient,
    bucket: String,
}

impl Signer {
    pub(super) fn new(bucket: &S3Config, keys: &Keys) -> Result<Signer, S3Error> {
        // The crate's errors name no value of the keys.
        let wrong = |e: s3::Error| {
            S3Error::of(S3ErrorKind::Config, format!("the bucket's settings cannot be used: {e}"))
        };
        let mut credentials = Credentials::new(keys.access.expose(), keys.secret.expose()).map_err(wrong)?;
        if let Some(token) = &keys.token {
            credentials = credentials.with_session_token(token.expose()).map_err(wrong)?;
        }
        let style = if bucket.in_host { AddressingStyle::VirtualHosted } else { AddressingStyle::Path };
        let client = BlockingClient::builder(&bucket.endpoint).map_err(wrong)?;
        let client = client.region(&bucket.region).auth(Auth::Static(credentials)).addressing_style(style);
        let client = client.build().map_err(wrong)?;
        Ok(Signer { client, bucket: bucket.name.clone() })
    }

    pub(super) fn sign(&self, ask: &S3Request) -> Result<Signed, S3Error> {
        let wrong = |_| {
            S3Error::of(
                S3ErrorKind::Failed,
                format!("the key '{}' cannot be put into a request", ask.key.escape_debug()),
            )
        };
        let mut request =
            self.client.objects().presign(ask.method.clone(), &self.bucket, &ask.key).expires_in(HOLDS);
        for (name, value) in &ask.query {
            request = request.query_param(*name, value);
        }
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map_err(|_| {
                S3Error::of(S3ErrorKind::Config, format!("the header {name} cannot hold its value"))
            })?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                S3Error::of(S3ErrorKind::Config, format!("{name} cannot be the name of a header"))
            })?;
            request = request.header(name, value);
        }
        let signed = request.build().map_err(wrong)?;
        Ok(Signed { url: signed.url.into(), headers: signed.headers })
    }
}
