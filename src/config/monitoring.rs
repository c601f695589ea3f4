// SPDX-License-Identifier: Apache-2.0
//! The URLs to which a job reports. Each is a secret. Only the run that uses one reads it: a mistake in it must not prevent
//! a save.

use anyhow::Result;

use super::credentials::read_secret;
use super::options::OptionId;
use super::settings::Settings;
use crate::error::{Code, Fault};
use crate::model::command::Command;
use crate::model::s3_config::ProxyVariables;
use crate::model::secret::Secret;

/// The options of the report, with the URL and with the file that contains it.
const NOTIFY: (OptionId, OptionId) = (OptionId::NotifyUrl, OptionId::NotifyUrlFile);

/// The options of the pings of a command; `None` if it has none.
fn ping_options(command: Command) -> Option<(OptionId, OptionId)> {
    match command {
        Command::Save => Some((OptionId::PingUrlSave, OptionId::PingUrlSaveFile)),
        Command::Prune => Some((OptionId::PingUrlPrune, OptionId::PingUrlPruneFile)),
        Command::Verify => Some((OptionId::PingUrlVerify, OptionId::PingUrlVerifyFile)),
        _ => None,
    }
}

impl Settings {
    /// The URL of the check that a command pings.
    ///
    /// # Errors
    /// If it is not a URL, or its file cannot be read.
    pub(crate) fn ping_url(&self, command: Command) -> Result<Option<Secret>> {
        ping_options(command).map_or(Ok(None), |options| self.url(options))
    }

    /// The URL to which the report of each job is sent.
    ///
    /// # Errors
    /// If it is not a URL, or its file cannot be read.
    pub(crate) fn notify_url(&self) -> Result<Option<Secret>> {
        self.url(NOTIFY)
    }

    /// Whether a run of the command sends a ping or a report.
    pub(crate) fn sends_reports(&self, command: Command) -> bool {
        let ids = ping_options(command).into_iter().chain([NOTIFY]);
        ids.flat_map(|(url, file)| [url, file]).any(|id| self.merged.effective(id).is_some())
    }

    /// The usual variables about proxies.
    pub(crate) fn proxy_variables(&self) -> ProxyVariables {
        super::s3::proxy_variables(&self.merged)
    }

    fn url(&self, (direct, file): (OptionId, OptionId)) -> Result<Option<Secret>> {
        let Some((url, _)) = read_secret(&self.merged, &self.paths, direct, file)? else { return Ok(None) };
        let text = url.expose();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', '?', '#']))
            && text.chars().all(|c| c.is_ascii_graphic());
        if is_url {
            return Ok(Some(url));
        }
        // Not quoted: the value is a secret.
        let what = format!("the value of option '{}' is not a URL like https://HOST/PATH", direct.name());
        Err(Fault::new(Code::InvalidSetting, what)
            .hint("Copy the URL from the page of the check; see k3s-snapshot.conf(5).")
            .into())
    }
}
