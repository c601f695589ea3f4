// SPDX-License-Identifier: Apache-2.0
//! The server token that K3s will use, and the certificate authority that it names.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::config::settings::Settings;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::model::secret::Secret;
use crate::model::token;

/// The token that K3s will use: that of --token-file, else as K3s itself finds it.
///
/// # Errors
/// If a file cannot be read, or the configuration of K3s has another token than --token-file.
pub(super) fn token_in_force(s: &Settings) -> Result<Option<Secret>> {
    let given = if s.token_file_is_ours { Some(read_token(&s.token_file)?) } else { None };
    if let (Some(given), Some(configured)) = (&given, &s.token)
        && token::hash(given.expose()) != token::hash(configured.expose())
    {
        return Err(Fault::new(
            Code::TokenConflict,
            "the configuration of K3s has another token than --token-file: K3s would not start after the restore",
        )
        .hint("Set the token of the snapshot in the configuration of K3s first.")
        .into());
    }
    match (given, &s.token) {
        (Some(given), _) => Ok(Some(given)),
        (None, Some(configured)) => Ok(Some(configured.clone())),
        (None, None) if s.token_file_is_named || s.token_file.exists() => read_token(&s.token_file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The token in a file.
///
/// # Errors
/// [`Code::TokenFileUnreadable`].
pub(in crate::app) fn read_token(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| {
        Fault::new(Code::TokenFileUnreadable, format!("reading the token file '{}'", path.display()))
    })?;
    Ok(Secret::new(text.trim()))
}

/// The hash of the certificate authority of this server's cluster: as the token names it, else as the token that K3s keeps
/// names it.
pub(super) fn authority_hash(s: &Settings, token: Option<&Secret>) -> Option<String> {
    let named_by = |token: &Secret| token::parse(token).ok().and_then(|t| t.ca_hash);
    token.and_then(named_by).or_else(|| {
        let kept = std::fs::read_to_string(s.data_dir.join(distribution::TOKEN)).ok()?;
        named_by(&Secret::new(kept.trim()))
    })
}
