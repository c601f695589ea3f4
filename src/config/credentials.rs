// SPDX-License-Identifier: Apache-2.0
//! The credentials for a bucket. Highest precedence first: flags, environment, credentials of systemd, our configuration, that
//! of K3s, the shared credentials file of AWS, the role of this machine.

use anyhow::{Context, Result};

use super::layer::{Layer, Origin};
use super::options::OptionId;
use super::paths::PathRules;
use super::s3_files::file_error;
use crate::error::{Code, Fault};
use crate::model::s3_config::{Credentials, Keys};
use crate::model::secret::Secret;

/// The credentials.
///
/// # Errors
/// If one of the two keys is missing, or a file with a key cannot be read.
pub(super) fn credentials(merged: &Layer, paths: &PathRules) -> Result<Credentials> {
    let read = |direct, file| read_secret(merged, paths, direct, file);
    let access = read(OptionId::S3AccessKey, OptionId::S3AccessKeyFile)?;
    let secret = read(OptionId::S3SecretKey, OptionId::S3SecretKeyFile)?;
    let token = read(OptionId::S3SessionToken, OptionId::S3SessionTokenFile)?;
    match (access, secret) {
        (Some((access, _)), Some((secret, precedence))) => {
            // A token belongs to the keys next to it: one from a lower source belongs to other keys.
            let token = token.filter(|(_, of_token)| *of_token >= precedence).map(|(token, _)| token);
            Ok(Credentials::Given(Keys { access, secret, token }))
        }
        (None, None) => shared_credentials(merged, paths),
        (access, _) => {
            let (given, missing) = if access.is_some() { ("access", "secret") } else { ("secret", "access") };
            let message = format!("s3-{given}-key is set, but s3-{missing}-key is not");
            Err(Fault::new(Code::S3CredentialsMissing, message)
                .hint("Run the command with --show-config to see where each key comes from.")
                .into())
        }
    }
}

/// The precedence of a source of secrets; the higher one wins.
fn origin_precedence(origin: &Origin) -> u8 {
    match origin {
        Origin::Flag(_) => 5,
        Origin::Env(_) => 4,
        Origin::Credential(_) => 3,
        origin if origin.is_from_k3s() => 1,
        _ => 2,
    }
}

/// A secret with its precedence: the one of the option itself, or the content of the file that another option names.
pub(super) fn read_secret(
    merged: &Layer,
    paths: &PathRules,
    direct: OptionId,
    file: OptionId,
) -> Result<Option<(Secret, u8)>> {
    let direct =
        merged.effective(direct).map(|(text, origin)| (Secret::new(text), origin_precedence(origin)));
    let Some((text, origin)) = merged.effective(file) else { return Ok(direct) };
    let precedence = origin_precedence(origin);
    if direct.as_ref().is_some_and(|(_, of_direct)| *of_direct > precedence) {
        return Ok(direct);
    }
    let path = merged.file_path(paths, file, text)?;
    let text = std::fs::read_to_string(&path).map_err(|e| file_error(merged, file, &path, e))?;
    Ok(Some((Secret::new(text.trim()), precedence)))
}

/// The keys of the shared credentials file, else the role of this machine.
fn shared_credentials(merged: &Layer, paths: &PathRules) -> Result<Credentials> {
    let profile = merged.get_str(OptionId::AwsProfile).unwrap_or_default();
    let id = OptionId::AwsSharedCredentialsFile;
    if let Some(file) = merged.get_str(id) {
        let path = merged.file_path(paths, id, file)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(keys) = profile_keys(&text, profile) {
                    return Ok(Credentials::Given(keys));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(e)
                    .with_context(|| format!("reading the shared credentials file '{}'", path.display()));
            }
        }
    }
    if merged.bool(OptionId::AwsMetadataDisabled)? {
        return Err(Fault::new(Code::S3CredentialsMissing, "there are no keys for the bucket")
            .hint(
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the systemd credentials s3-access-key and \
                 s3-secret-key.",
            )
            .into());
    }
    Ok(Credentials::Instance(merged.text(OptionId::AwsMetadataEndpoint).unwrap_or_default()))
}

fn profile_keys(text: &str, profile: &str) -> Option<Keys> {
    let mut in_profile = false;
    let (mut access, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            in_profile = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| in_profile) {
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
