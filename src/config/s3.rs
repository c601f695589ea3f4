// SPDX-License-Identifier: Apache-2.0
//! The options of a bucket, those of K3s and ours, made into an [`S3Config`]. Only a run that uses the bucket asks for it: a
//! mistake in the bucket of K3s does not prevent a local save.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::credentials::credentials;
use super::endpoint;
use super::layer::{Layer, Origin};
use super::options::OptionId;
use super::paths::PathRules;
use super::s3_files::{ca_certificates, customer_key};
use super::unit::K3sFlags;
use crate::distribution::{self, Distribution};
use crate::error::{Code, Fault};
use crate::model::s3_config::{Encryption, Objects, Proxy, ProxyVariables, S3Config};
use crate::model::secret::Secret;

/// Whether the bucket is switched on for this program and not for K3s alone: only then it may be deleted from.
pub(super) fn is_enabled_here(merged: &Layer) -> bool {
    merged.effective(OptionId::S3).is_some_and(|(_, origin)| origin.set_here())
}

/// Settles what comes from variables alone. The variables of the K3s service count for the bucket of K3s and for no other one.
pub(super) fn choose_environment(merged: &mut Layer, flags: &K3sFlags, home: Option<&str>) {
    let is_of_k3s = match merged.effective(OptionId::S3Bucket) {
        Some((_, origin)) => origin.is_from_k3s(),
        None => merged.effective(OptionId::S3ConfigSecret).is_some(),
    };
    for id in [
        OptionId::AwsSharedCredentialsFile,
        OptionId::AwsProfile,
        OptionId::AwsMetadataEndpoint,
        OptionId::AwsMetadataDisabled,
        OptionId::HttpsProxy,
        OptionId::HttpProxy,
        OptionId::NoProxy,
    ] {
        if !is_of_k3s && merged.effective(id).is_some_and(|(_, origin)| origin.is_from_k3s()) {
            merged.remove(id);
        }
    }
    merged.fill_defaults();
    if merged.effective(OptionId::AwsSharedCredentialsFile).is_none() {
        let of_service = flags.variable("HOME").filter(|_| is_of_k3s).zip(flags.unit());
        let found = match (of_service, home) {
            (Some((home, unit)), _) => Some((home, format!("HOME of {unit}"))),
            (None, Some(home)) => Some((home, "HOME".to_owned())),
            (None, None) => None,
        };
        if let Some((home, from)) = found {
            let path = Path::new(home).join(distribution::AWS_CREDENTIALS).display().to_string();
            merged.set(OptionId::AwsSharedCredentialsFile, vec![path], Origin::Derived(from));
        }
    }
}

/// The configuration of the bucket.
///
/// # Errors
/// If an option is missing or wrong, or a file that an option names cannot be read.
pub(super) fn bucket(merged: &Layer, paths: &PathRules, distribution: &Distribution) -> Result<S3Config> {
    let name = bucket_name(merged)?;
    let endpoint = endpoint::endpoint(merged)?;
    let in_host = endpoint::virtual_host_style(merged, &endpoint, &name)?;
    let region = merged.text(OptionId::S3Region).unwrap_or_default();
    if !region.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return Err(merged.invalid_value(OptionId::S3Region, "is not the name of a region"));
    }
    let folder = clean_folder(merged.get_str(OptionId::S3Folder).unwrap_or_default())
        .ok_or_else(|| merged.invalid_value(OptionId::S3Folder, "is not a path like 'a/b'"))?;
    let config = S3Config {
        name,
        distribution: distribution.word,
        in_host,
        region,
        folder,
        authorities: ca_certificates(merged, paths)?,
        skip_verify: merged.bool(OptionId::S3SkipSslVerify)?,
        timeout: merged.duration(OptionId::S3Timeout)?.unwrap_or(Duration::from_secs(300)),
        proxy: proxy(merged)?,
        credentials: credentials(merged, paths)?,
        objects: objects(merged, paths)?,
        parallel: match merged.get_str(OptionId::S3Parallel).unwrap_or_default().parse() {
            Ok(n @ 1..=64) => n,
            _ => return Err(merged.invalid_value(OptionId::S3Parallel, "is not a number from 1 to 64")),
        },
        part_size: match size(merged.get_str(OptionId::S3PartSize).unwrap_or_default()) {
            Some(n) if (5 << 20..=5 << 30).contains(&n) => n,
            _ => return Err(merged.invalid_value(OptionId::S3PartSize, "is not a size from 5MiB to 5GiB")),
        },
        endpoint,
    };
    if matches!(config.objects.encryption, Encryption::Customer(_))
        && (!config.is_tls() || config.skip_verify)
    {
        let message = "option 's3-customer-key-file' would send the key to a server that is not verified";
        return Err(Fault::new(Code::InvalidSetting, message)
            .hint("Use an https endpoint and no --s3-skip-ssl-verify; set --s3-endpoint-ca if its authority is your own.")
            .into());
    }
    Ok(config)
}

fn bucket_name(merged: &Layer) -> Result<String> {
    let Some(name) = merged.get_str(OptionId::S3Bucket) else {
        let fault = Fault::new(Code::S3BucketMissing, "no bucket is set").hint("Set it with --s3-bucket.");
        return Err(fault.into());
    };
    let is_valid = name.len() <= 255
        && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        && !name.starts_with('.');
    if is_valid {
        return Ok(name.to_owned());
    }
    let bare = name.strip_prefix("s3://").unwrap_or(name);
    let reason = match bare.split_once('/') {
        Some((bucket, folder)) if !folder.is_empty() => format!(
            "is not the name of a bucket: set --s3-bucket {} and --s3-folder {}",
            bucket.escape_debug(),
            folder.escape_debug()
        ),
        _ if bare != name => "is not the name of a bucket: set the name without 's3://'".to_owned(),
        _ => "is not the name of a bucket".to_owned(),
    };
    Err(merged.invalid_value(OptionId::S3Bucket, &reason))
}

/// The prefix of keys that K3s makes of a folder (`path.Join` of Go): without `.`, double slashes and a slash at its end, and
/// with the slash at its beginning. `None` if it leads out of the bucket or has control characters.
fn clean_folder(folder: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/') {
        match part {
            "" | "." => {}
            ".." if folder.starts_with('/') => drop(parts.pop()),
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let slash = if folder.starts_with('/') { "/" } else { "" };
    Some(format!("{slash}{}", parts.join("/"))).filter(|folder| !folder.chars().any(char::is_control))
}

/// The usual variables about proxies.
pub(super) fn proxy_variables(merged: &Layer) -> ProxyVariables {
    ProxyVariables {
        https: merged.get_str(OptionId::HttpsProxy).map(Secret::new),
        http: merged.get_str(OptionId::HttpProxy).map(Secret::new),
        no_proxy: merged.text(OptionId::NoProxy),
    }
}

fn proxy(merged: &Layer) -> Result<Proxy> {
    match merged.effective(OptionId::S3Proxy) {
        None => Ok(Proxy::Variables(proxy_variables(merged))),
        Some(("none", _)) => Ok(Proxy::Direct),
        Some((url, _)) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Proxy::Url(Secret::new(url)))
        }
        // Not quoted: the value may hold a password.
        Some((_, origin)) => {
            let message =
                format!("option 's3-proxy' ({origin}) is not a URL like http://proxy:3128, nor 'none'");
            Err(Fault::new(Code::InvalidSetting, message).of_kind(origin.error_kind()).into())
        }
    }
}

fn objects(merged: &Layer, paths: &PathRules) -> Result<Objects> {
    let class = merged.text(OptionId::S3StorageClass);
    let is_class = |c: &String| c.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if !class.as_ref().is_none_or(is_class) {
        return Err(merged.invalid_value(OptionId::S3StorageClass, "is not a storage class like STANDARD_IA"));
    }
    let mut tags = Vec::new();
    let values = merged.get(OptionId::S3Tags).into_iter().flat_map(|e| e.values.iter());
    for pair in values.flat_map(|v| v.split(',')).filter(|p| !p.is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                tags.push((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => return Err(merged.invalid_value(OptionId::S3Tags, "is not a list like team=a,kind=backup")),
        }
    }
    Ok(Objects { storage_class: class, encryption: encryption(merged, paths)?, tags })
}

fn encryption(merged: &Layer, paths: &PathRules) -> Result<Encryption> {
    let kms = merged.text(OptionId::S3KmsKeyId);
    let customer = merged.get_str(OptionId::S3CustomerKeyFile);
    Ok(match (merged.get_str(OptionId::S3Encryption), kms, customer) {
        (None, None, None) => Encryption::Default,
        (Some("AES256"), None, None) => Encryption::Aes256,
        (Some("aws:kms") | None, key, None) => Encryption::Kms(key),
        (None, None, Some(file)) => Encryption::Customer(customer_key(merged, paths, file)?),
        (Some(_), None, None) => {
            return Err(merged.invalid_value(OptionId::S3Encryption, "is not AES256 or aws:kms"));
        }
        _ => {
            let message = "s3-encryption, s3-kms-key-id and s3-customer-key-file exclude each other";
            return Err(Fault::new(Code::InvalidSetting, message).into());
        }
    })
}

/// A number of bytes, with KiB, MiB or GiB.
pub(super) fn size(text: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_prefix_that_k3s_makes_of_it() {
        for (folder, want) in [
            ("", Some("")),
            ("a/b", Some("a/b")),
            ("a/b/", Some("a/b")),
            ("/k3s/prod", Some("/k3s/prod")),
            ("/k3s/prod/", Some("/k3s/prod")),
            ("./a", Some("a")),
            ("a//b", Some("a/b")),
            ("a/./b", Some("a/b")),
            ("a/../b", Some("b")),
            ("/../b", Some("/b")),
            ("/", Some("/")),
            (".", Some("")),
            ("..", None),
            ("a/../../b", None),
            ("a\tb", None),
        ] {
            assert_eq!(clean_folder(folder).as_deref(), want, "{folder}");
        }
    }
}
