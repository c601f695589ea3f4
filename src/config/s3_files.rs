// SPDX-License-Identifier: Apache-2.0
//! The files that the options of a bucket name: certificates and keys.

use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::layer::Layer;
use super::options::OptionId;
use super::paths::PathRules;
use crate::error::{Code, Fault};
use crate::model::s3_config::CustomerKey;

/// The first line of a certificate in PEM.
pub(super) const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// The values of `s3-endpoint-ca`: files, base64 of certificates or certificates, separated by white space. K3s takes the last
/// of several values.
fn ca_values(merged: &Layer) -> &[String] {
    let Some(entry) = merged.get(OptionId::S3EndpointCa) else { return &[] };
    let first = if entry.origin.is_from_k3s() { entry.values.len().saturating_sub(1) } else { 0 };
    entry.values.get(first..).unwrap_or_default()
}

/// The certificates that replace the authorities of the system, in PEM.
///
/// # Errors
/// If a value is neither a file nor base64 of certificates, or a file cannot be read or is not PEM.
pub(super) fn ca_certificates(merged: &Layer, paths: &PathRules) -> Result<Option<String>> {
    let mut all = String::new();
    for value in ca_values(merged) {
        if value.contains(CERTIFICATE) {
            all.push_str(value);
            all.push('\n');
            continue;
        }
        // Base64 of several lines has spaces, too, if YAML folded it.
        if let Some(pem) = decoded(&value.split_whitespace().collect::<String>()) {
            all.push_str(&pem);
            all.push('\n');
            continue;
        }
        for one in value.split_whitespace() {
            all.push_str(&ca_certificate(merged, paths, one)?);
            all.push('\n');
        }
    }
    Ok(Some(all).filter(|pem| !pem.is_empty()))
}

/// The files that the options of the bucket name, as the machine has them: certificates, keys and shared credentials. They
/// need not exist.
///
/// # Errors
/// If the working directory does not exist.
pub(super) fn files(merged: &Layer, paths: &PathRules) -> Result<Vec<PathBuf>> {
    let is_inline = |value: &String| {
        value.contains(CERTIFICATE) || decoded(&value.split_whitespace().collect::<String>()).is_some()
    };
    let values = ca_values(merged).iter().filter(|value| !is_inline(value));
    let certificates = values.flat_map(|value| value.split_whitespace()).filter(|one| decoded(one).is_none());
    let others = [
        OptionId::S3AccessKeyFile,
        OptionId::S3SecretKeyFile,
        OptionId::S3SessionTokenFile,
        OptionId::S3CustomerKeyFile,
        OptionId::AwsSharedCredentialsFile,
    ];
    let others = others.into_iter().filter_map(|id| Some((id, merged.get_str(id)?)));
    let all =
        certificates.filter(|one| one.len() <= 255).map(|one| (OptionId::S3EndpointCa, one)).chain(others);
    all.map(|(id, text)| merged.machine_path(paths, id, text)).collect()
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok().filter(|t| t.contains(CERTIFICATE))
}

fn ca_certificate(merged: &Layer, paths: &PathRules, one: &str) -> Result<String> {
    let option = OptionId::S3EndpointCa.name();
    let path = merged.file_path(paths, OptionId::S3EndpointCa, one)?;
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) => match decoded(one) {
            Some(pem) => return Ok(pem),
            None if one.len() > 255 => {
                let message = format!("option '{option}' is neither a file nor base64 of certificates");
                return Err(Fault::new(Code::InvalidSetting, message).into());
            }
            None => return Err(file_error(merged, OptionId::S3EndpointCa, &path, e)),
        },
    };
    let is_der = bytes.starts_with(&[0x30, 0x82]);
    match String::from_utf8(bytes).ok().filter(|pem| pem.contains(CERTIFICATE)) {
        Some(pem) => Ok(pem),
        None => {
            let shown = path.display();
            let fault = Fault::new(
                Code::InvalidSetting,
                format!("option '{option}': '{shown}' is not a certificate in PEM"),
            );
            Err(match is_der {
                true => fault.hint(format!(
                    "Convert it from DER: openssl x509 -inform der -in {shown} -out {shown}.pem"
                )),
                false => fault.hint("Name PEM files, or give base64 of their content."),
            }
            .into())
        }
    }
}

/// The error for a file that an option names and that cannot be read.
pub(super) fn file_error(merged: &Layer, id: OptionId, path: &Path, e: std::io::Error) -> anyhow::Error {
    let origin = merged.effective(id).map(|(_, origin)| origin.to_string()).unwrap_or_default();
    let message = format!("reading '{}' (option '{}', {origin})", path.display(), id.name());
    let hint = "Check the path and its permissions. The systemd services see a file below /home, /root and /tmp if the \
                configuration names it; run 'systemctl daemon-reload' after a change.";
    anyhow::Error::from(e).context(Fault::new(Code::SettingFileUnreadable, message).hint(hint))
}

/// A key of 32 bytes, raw or in base64.
///
/// # Errors
/// If the file cannot be read or does not hold such a key.
pub(super) fn customer_key(merged: &Layer, paths: &PathRules, file: &str) -> Result<CustomerKey> {
    let id = OptionId::S3CustomerKeyFile;
    let path = merged.file_path(paths, id, file)?;
    let bytes = std::fs::read(&path).map_err(|e| file_error(merged, id, &path, e))?;
    let decoded = || STANDARD.decode(bytes.trim_ascii()).ok()?.try_into().ok();
    <[u8; 32]>::try_from(bytes.as_slice()).ok().or_else(decoded).map(CustomerKey).ok_or_else(|| {
        let message = format!("'{}' (option '{}') is not 32 bytes, nor base64 of them", path.display(), id.name());
        Fault::new(Code::InvalidSetting, message)
            .hint("Make a key with 'openssl rand -base64 32', and keep a copy: without it the objects cannot be read.")
            .into()
    })
}
