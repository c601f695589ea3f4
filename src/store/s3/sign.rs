// SPDX-License-Identifier: Apache-2.0
//! Signs requests. The only importer of the crate `s3`, of which nothing but the presigning is used.
//!
//! The signature is in the URL: the crate has no public way to sign a header. A signed URL is a secret until it expires.
//! It goes from here to `client.rs` and nowhere else, and no type here prints it.

use std::time::Duration;

use s3::{AddressingStyle, Auth, BlockingClient, Credentials};
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::error::{S3Error, S3ErrorKind};
use super::request::S3Request;
use crate::model::s3_config::{Keys, S3Config};

/// How long a signature is valid. A store looks at it when a request begins, so this need not cover the transfer. It is
/// also the time by which the clock of this machine may be behind.
const PRESIGN_EXPIRY: Duration = Duration::from_secs(15 * 60);

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
        // The errors of the crate name no value of the keys.
        let unusable = |e: s3::Error| {
            S3Error::new(S3ErrorKind::Config, format!("the settings of the bucket cannot be used: {e}"))
        };
        let mut credentials =
            Credentials::new(keys.access.expose(), keys.secret.expose()).map_err(unusable)?;
        if let Some(token) = &keys.token {
            credentials = credentials.with_session_token(token.expose()).map_err(unusable)?;
        }
        let style = if bucket.in_host { AddressingStyle::VirtualHosted } else { AddressingStyle::Path };
        let client = BlockingClient::builder(&bucket.endpoint).map_err(unusable)?;
        let client = client.region(&bucket.region).auth(Auth::Static(credentials)).addressing_style(style);
        let client = client.build().map_err(unusable)?;
        Ok(Signer { client, bucket: bucket.name.clone() })
    }

    pub(super) fn sign(&self, request: &S3Request) -> Result<Signed, S3Error> {
        let unusable = |_| {
            let key = request.key.escape_debug();
            S3Error::new(S3ErrorKind::Failed, format!("the key '{key}' cannot be put into a request"))
        };
        let mut presign = self
            .client
            .objects()
            .presign(request.method.clone(), &self.bucket, &request.key)
            .expires_in(PRESIGN_EXPIRY);
        for (name, value) in &request.query {
            presign = presign.query_param(*name, value);
        }
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value).map_err(|_| {
                S3Error::new(S3ErrorKind::Config, format!("the header {name} cannot hold its value"))
            })?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                S3Error::new(S3ErrorKind::Config, format!("'{name}' cannot be the name of a header"))
            })?;
            presign = presign.header(name, value);
        }
        let signed = presign.build().map_err(unusable)?;
        Ok(Signed { url: signed.url.into(), headers: signed.headers })
    }
}
