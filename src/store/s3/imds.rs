// SPDX-License-Identifier: Apache-2.0
//! The keys of the role of this machine, from the instance metadata service, version 2 only.
//!
//! The service is on the link of the machine: no proxy is used, and its timeout is short.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use ureq::Body;
use ureq::http::Response;

use super::error::{S3Error, S3ErrorKind};
use crate::http::agent_config;
use crate::model::s3_config::Keys;
use crate::model::secret::Secret;

const PATH: &str = "/latest/meta-data/iam/security-credentials/";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a response.
const MAX_BODY: u64 = 64 << 10;
/// Seconds before their end at which keys are replaced, so that none ends during a request.
const RENEW_BEFORE: u64 = 300;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

/// The access key, and when it must be renewed.
pub(super) fn keys(base: &str) -> Result<(Keys, Option<Instant>), S3Error> {
    let error = |message: &str| S3Error::new(S3ErrorKind::Config, message);
    let no_service = || error("no access key is configured, and no instance metadata service answers");
    let agent = agent_config()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent();
    let base = base.trim_end_matches('/');
    let token = agent
        .put(format!("{base}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", "300")
        .send_empty()
        .ok()
        .and_then(text)
        .ok_or_else(no_service)?;
    let get = |path: &str| {
        let request = agent.get(format!("{base}{PATH}{path}"));
        request.header("x-aws-ec2-metadata-token", &token).call().ok().and_then(text)
    };
    let roles = get("").ok_or_else(|| error("no access key is configured, and this machine has no role"))?;
    let role = roles.lines().next().unwrap_or_default().trim();
    if role.is_empty() || !role.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c)) {
        return Err(error("the instance metadata service returned no role"));
    }
    let answer = get(role).ok_or_else(no_service)?;
    let found: Role = serde_json::from_str(&answer)
        .map_err(|_| error("the instance metadata service returned no access key"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let expires = found.expiration.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let left = u64::try_from(expires).unwrap_or(0).saturating_sub(now).saturating_sub(RENEW_BEFORE);
    let keys = Keys {
        access: Secret::new(found.access_key_id),
        secret: Secret::new(found.secret_access_key),
        token: Some(Secret::new(found.token)),
    };
    Ok((keys, Instant::now().checked_add(Duration::from_secs(left.clamp(30, 6 * 3600)))))
}

/// The text of a successful response.
fn text(response: Response<Body>) -> Option<String> {
    if !response.status().is_success() {
        return None;
    }
    let mut text = String::new();
    response.into_body().into_reader().take(MAX_BODY).read_to_string(&mut text).ok()?;
    Some(text)
}
