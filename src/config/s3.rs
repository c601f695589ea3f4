// SPDX-License-Identifier: Apache-2.0
//! The options about a bucket, K3s's and ours, made into a [`Bucket`]. Only when a bucket is asked for: a mistake in
//! K3s's bucket is no reason not to save locally.
//!
//! Order of keys: flags (as files), environment, credential files, configuration, the AWS shared credentials file,
//! the machine's own role.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::endpoint;
use super::layer::{Layer, Origin};
use super::load::{OUR_CONFIG, in_root};
use super::settings::{bad, boolean, duration, text};
use crate::error::{Code, Fault};
use crate::model::s3_config::{Credentials, CustomerKey, Encryption, Keys, Objects, Proxy, S3Config};
use crate::model::secret::Secret;

/// What the PEM of a certificate begins with.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Whether it was said to us that the bucket is used, not only to K3s: then it may be deleted from.
pub(super) fn on_by_us(merged: &Layer) -> bool {
    merged.get("s3").is_some_and(|e| e.origin.is_ours())
}

/// Makes the bucket of the options, for this distribution.
pub(super) fn bucket(merged: &Layer, root: &Path, distribution: &'static str) -> Result<S3Config> {
    if let Some((secret, origin)) =
        merged.last("s3-config-secret").filter(|_| text(merged, "s3-bucket").is_none())
    {
        return Err(Fault::new(
            Code::S3ConfigSecret,
            format!(
                "K3s keeps this bucket's settings in the Secret '{}' ({origin}), which is not read here",
                secret.escape_debug()
            ),
        )
        .hint(format!("Write them into {OUR_CONFIG}: s3-bucket, s3-endpoint, s3-region and the keys."))
        .into());
    }
    let Some(name) = text(merged, "s3-bucket") else {
        return Err(Fault::new(Code::S3BucketMissing, "no bucket is named")
            .hint("Name one with --s3-bucket.")
            .into());
    };
    if name.len() > 255
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        || name.starts_with('.')
    {
        return Err(bad(merged, "s3-bucket", "is not a bucket's name"));
    }
    let endpoint = endpoint::of(merged)?;
    let in_host = endpoint::in_host(merged, &endpoint, &name)?;
    let region = text(merged, "s3-region").unwrap_or_default();
    if !region.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return Err(bad(merged, "s3-region", "is not a region's name"));
    }
    let folder = text(merged, "s3-folder").unwrap_or_default().trim_matches('/').to_owned();
    if folder.split('/').any(|part| part == "." || part == ".." || part.is_empty() && !folder.is_empty())
        || folder.chars().any(char::is_control)
    {
        return Err(bad(merged, "s3-folder", "is not a folder like 'a/b'"));
    }
    Ok(S3Config {
        name,
        distribution,
        in_host,
        region,
        folder,
        authorities: authorities(merged, root)?,
        skip_verify: boolean(merged, "s3-skip-ssl-verify")?,
        timeout: duration(merged, "s3-timeout")?.unwrap_or(Duration::from_secs(300)),
        proxy: proxy(merged)?,
        credentials: credentials(merged, root)?,
        objects: objects(merged, root)?,
        parallel: match text(merged, "s3-parallel").unwrap_or_default().parse() {
            Ok(n @ 1..=64) => n,
            _ => return Err(bad(merged, "s3-parallel", "is not a number from 1 to 64")),
        },
        part_size: match size(&text(merged, "s3-part-size").unwrap_or_default()) {
            Some(n) if (5 << 20..=5 << 30).contains(&n) => n,
            _ => return Err(bad(merged, "s3-part-size", "is not a size from 5MiB to 5GiB")),
        },
        endpoint,
    })
}

/// Files, or base64 of the certificates themselves; several, one space between them.
fn authorities(merged: &Layer, root: &Path) -> Result<Option<String>> {
    let Some(entry) = merged.get("s3-endpoint-ca") else { return Ok(None) };
    let mut all = String::new();
    for value in &entry.values {
        // Base64 of several lines has spaces too, where YAML folded it.
        if let Some(pem) = decoded(&value.split_whitespace().collect::<String>()) {
            all.push_str(&pem);
            all.push('\n');
            continue;
        }
        for one in value.split_whitespace() {
            all.push_str(&authority(merged, root, one)?);
            all.push('\n');
        }
    }
    Ok(Some(all))
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok().filter(|t| t.contains(CERTIFICATE))
}

fn authority(merged: &Layer, root: &Path, one: &str) -> Result<String> {
    let path = in_root(root, Path::new(one));
    let pem = match std::fs::read_to_string(&path) {
        Ok(pem) => pem,
        Err(e) => match decoded(one) {
            Some(pem) => pem,
            None if one.len() > 255 => {
                let what = "option 's3-endpoint-ca' is neither a file nor base64 of certificates";
                return Err(Fault::new(Code::InvalidSetting, what).into());
            }
            None => return Err(unreadable(merged, "s3-endpoint-ca", &path, e)),
        },
    };
    if !pem.contains(CERTIFICATE) {
        return Err(Fault::new(Code::InvalidSetting, "option 's3-endpoint-ca' holds no certificate")
            .hint("It takes PEM files, or base64 of their content.")
            .into());
    }
    Ok(pem)
}

fn unreadable(merged: &Layer, key: &str, path: &Path, e: std::io::Error) -> anyhow::Error {
    let origin = merged.last(key).map(|(_, o)| o.to_string()).unwrap_or_default();
    anyhow::Error::from(e).context(Fault::new(
        Code::SettingFileUnreadable,
        format!("reading '{}' (option '{key}', {origin})", path.display()),
    ))
}

fn proxy(merged: &Layer) -> Result<Proxy> {
    match merged.last("s3-proxy") {
        None => Ok(Proxy::Environment),
        Some(("none", _)) => Ok(Proxy::None),
        Some((url, _)) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Proxy::Url(Secret::new(url)))
        }
        // Not quoted: it may hold a password.
        Some((_, origin)) => Err(Fault::new(
            Code::InvalidSetting,
            format!("option 's3-proxy' ({origin}) is not a URL like http://proxy:3128, nor 'none'"),
        )
        .into()),
    }
}

/// Where a value stands among its rivals; a higher one wins.
fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Flag(_) => 5,
        Origin::Env(_) => 4,
        Origin::Credential(_) => 3,
        origin if origin.is_k3s() => 1,
        _ => 2,
    }
}

/// A secret, from itself or from the file that is named for it, whichever was said in the higher place.
fn secret(merged: &Layer, root: &Path, key: &str) -> Result<Option<(Secret, u8)>> {
    let direct = merged.last(key).map(|(v, o)| (Secret::new(v), rank(o)));
    let file_key = format!("{key}-file");
    let Some((path, origin)) = merged.last(&file_key) else { return Ok(direct) };
    if direct.as_ref().is_some_and(|(_, r)| *r > rank(origin)) {
        return Ok(direct);
    }
    let path = in_root(root, Path::new(path));
    let text = std::fs::read_to_string(&path).map_err(|e| unreadable(merged, &file_key, &path, e))?;
    Ok(Some((Secret::new(text.trim()), rank(origin))))
}

fn credentials(merged: &Layer, root: &Path) -> Result<Credentials> {
    let access = secret(merged, root, "s3-access-key")?;
    let secret_key = secret(merged, root, "s3-secret-key")?;
    let token = secret(merged, root, "s3-session-token")?;
    match (access, secret_key) {
        (Some((access, _)), Some((key, above))) => {
            // A token belongs to the key beside it: one from further down is another key's.
            let token = token.filter(|(_, rank)| *rank >= above).map(|(t, _)| t);
            Ok(Credentials::Given(Keys { access, secret: key, token }))
        }
        (None, None) => shared(merged, root),
        (access, _) => {
            let (there, lacks) = if access.is_some() { ("access", "secret") } else { ("secret", "access") };
            Err(Fault::new(
                Code::S3CredentialsMissing,
                format!("there is an s3-{there}-key, but no s3-{lacks}-key"),
            )
            .hint("--explain shows where each comes from.")
            .into())
        }
    }
}

/// The AWS shared credentials file, else the machine's own role.
fn shared(merged: &Layer, root: &Path) -> Result<Credentials> {
    let profile = text(merged, "aws-profile").unwrap_or_default();
    if let Some(file) = text(merged, "aws-shared-credentials-file") {
        let path = in_root(root, Path::new(&file));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(keys) = profile_keys(&text, &profile) {
                    return Ok(Credentials::Given(keys));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(e)
                    .with_context(|| format!("reading the shared credentials '{}'", path.display()));
            }
        }
    }
    if boolean(merged, "aws-metadata-disabled")? {
        return Err(Fault::new(Code::S3CredentialsMissing, "there are no keys for the bucket")
            .hint("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the systemd credentials s3-access-key and s3-secret-key.")
            .into());
    }
    Ok(Credentials::Instance(text(merged, "aws-metadata-endpoint").unwrap_or_default()))
}

fn profile_keys(text: &str, profile: &str) -> Option<Keys> {
    let mut inside = false;
    let (mut access, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            let value = Some(Secret::new(value.trim()));
            match key.trim() {
                "aws_access_key_id" => access = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Keys { access: access?, secret: secret?, token })
}

fn objects(merged: &Layer, root: &Path) -> Result<Objects> {
    let kms = text(merged, "s3-kms-key-id");
    let customer = text(merged, "s3-customer-key-file");
    let encryption = match (text(merged, "s3-encryption").as_deref(), kms, customer) {
        (None, None, None) => Encryption::Default,
        (Some("AES256"), None, None) => Encryption::Aes256,
        (Some("aws:kms") | None, key, None) => Encryption::Kms(key),
        (None, None, Some(file)) => {
            Encryption::Customer(customer_key(merged, &in_root(root, Path::new(&file)))?)
        }
        (Some(_), None, None) => return Err(bad(merged, "s3-encryption", "is not AES256 or aws:kms")),
        _ => {
            return Err(Fault::new(
                Code::InvalidSetting,
                "s3-encryption, s3-kms-key-id and s3-customer-key-file do not go together",
            )
            .into());
        }
    };
    let class = text(merged, "s3-storage-class");
    if class
        .as_ref()
        .is_some_and(|c| !c.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
    {
        return Err(bad(merged, "s3-storage-class", "is not a storage class like STANDARD_IA"));
    }
    let mut tags = Vec::new();
    for pair in merged
        .get("s3-tags")
        .into_iter()
        .flat_map(|e| e.values.iter())
        .flat_map(|v| v.split(','))
        .filter(|p| !p.is_empty())
    {
        match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                tags.push((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => return Err(bad(merged, "s3-tags", "is not a list like team=a,kind=backup")),
        }
    }
    Ok(Objects { storage_class: class, encryption, tags })
}

/// 32 bytes, as they are or in base64.
fn customer_key(merged: &Layer, path: &Path) -> Result<CustomerKey> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(merged, "s3-customer-key-file", path, e))?;
    let decoded = || STANDARD.decode(bytes.trim_ascii()).ok()?.try_into().ok();
    <[u8; 32]>::try_from(bytes.as_slice()).ok().or_else(decoded).map(CustomerKey).ok_or_else(|| {
        Fault::new(Code::InvalidSetting, format!("'{}' (option 's3-customer-key-file') is not 32 bytes, nor base64 of them", path.display()))
            .hint("Make one with 'openssl rand -base64 32'. Without it nothing that is encrypted with it can be read.")
            .into()
    })
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let shift = match text.get(digits..)?.trim() {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}
