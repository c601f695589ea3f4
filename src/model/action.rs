// SPDX-License-Identifier: Apache-2.0
//! What a command does with one thing of a list.

use serde::Serialize;

/// What a command does with a snapshot or an old database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It stays.
    Keep,
    /// It is deleted.
    Remove,
}

impl Action {
    /// The word for tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Keep => "keep",
            Action::Remove => "remove",
        }
    }
}
