// SPDX-License-Identifier: Apache-2.0
//! The keys of the machine's own role, from the instance metadata service, version 2 only.
//!
//! The service is on the machine's own link: it is asked straight, without a proxy, and gets two seconds.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use ureq::Agent;

use super::error::{S3Error, S3ErrorKind};
use crate::model::s3_config::Keys;
use crate::model::secret::Secret;

const PATH: &str = "/latest/meta-data/iam/security-credentials/";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

/// The keys, and until when they are good; a little less, so that none runs out on its way.
pub(super) fn keys(base: &str) -> Result<(Keys, Option<Instant>), S3Error> {
    let agent = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(2)))
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .new_agent();
    let none =
        |_| S3Error::of(S3ErrorKind::Config, "there are no keys, and no instance metadata service gives any");
    let base = base.trim_end_matches('/');
    let token = text(
        agent
            .put(format!("{base}/latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", "300")
            .send_empty()
            .map_err(none)?,
    )?;
    let get = |path: &str| {
        agent.get(format!("{base}{PATH}{path}")).header("x-aws-ec2-metadata-token", &token).call()
    };
    let role = text(get("").map_err(|_| {
        S3Error::of(
            S3ErrorKind::Config,
            "there are no keys, and this machine has no role that would give some",
        )
    })?)?;
    let role = role.lines().next().unwrap_or_default().trim().to_owned();
    if role.is_empty() || !role.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c)) {
        return Err(S3Error::of(S3ErrorKind::Config, "the instance metadata service names no role"));
    }
    let answer = text(get(&role).map_err(none)?)?;
    let found: Role = serde_json::from_str(&answer)
        .map_err(|_| S3Error::of(S3ErrorKind::Config, "the instance metadata service gives no keys"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let expires = found.expiration.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let left =
        u64::try_from(expires).unwrap_or(0).saturating_sub(now).saturating_sub(300).clamp(30, 6 * 3600);
    let keys = Keys {
        access: Secret::new(found.access_key_id),
        secret: Secret::new(found.secret_access_key),
        token: Some(Secret::new(found.token)),
    };
    Ok((keys, Instant::now().checked_add(Duration::from_secs(left))))
}

fn text(answer: ureq::http::Response<ureq::Body>) -> Result<String, S3Error> {
    let mut text = String::new();
    answer
        .into_body()
        .into_reader()
        .take(64 << 10)
        .read_to_string(&mut text)
        .map_err(|_| S3Error::of(S3ErrorKind::Config, "the instance metadata service gives no text"))?;
    Ok(text)
}
