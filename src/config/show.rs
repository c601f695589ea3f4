// SPDX-License-Identifier: Apache-2.0
//! What `--show-config` prints: every option with its value and its origin.

use serde::Serialize;

use super::layer::OptionValue;
use super::options::{OPTIONS, OptionSpec};
use super::retention;
use super::settings::Settings;

/// One line of `--show-config`.
#[derive(Debug, Serialize)]
pub(crate) struct ShownOption {
    /// The option.
    pub(crate) option: String,
    /// Its value as text; a secret is hidden.
    pub(crate) value: String,
    /// Where it is set.
    pub(crate) origin: String,
}

impl Settings {
    /// Every option with its value in effect and its origin. Secrets are hidden.
    pub(crate) fn show_config(&self) -> Vec<ShownOption> {
        let of_bases = self.merged.bases().iter().flat_map(|(base, options)| {
            options.iter().map(move |(id, value)| ShownOption {
                option: format!("{}.{base}.{}", retention::OF_BASES, id.name()),
                value: value.values.join(","),
                origin: value.origin.to_string(),
            })
        });
        let rows = OPTIONS.iter().map(|option| row(option, self.merged.get(option.id)));
        rows.chain(of_bases).collect()
    }
}

fn row(option: &OptionSpec, value: Option<&OptionValue>) -> ShownOption {
    let (text, origin) = match value {
        None => ("-".to_owned(), "not set".to_owned()),
        Some(v) if option.is_secret => ("(hidden)".to_owned(), v.origin.to_string()),
        Some(v) if option.is_list => (v.values.join(","), v.origin.to_string()),
        Some(v) => (v.values.last().cloned().unwrap_or_default(), v.origin.to_string()),
    };
    ShownOption { option: option.name.to_owned(), value: text, origin }
}
