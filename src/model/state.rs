// SPDX-License-Identifier: Apache-2.0
//! The state of a snapshot.

use serde::{Deserialize, Serialize};

/// What is known of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every byte was read and every check passed.
    Verified,
    /// Not verified, or modified since the last verification, or saved while etcd raised the CORRUPT alarm.
    Unverified,
    /// Verification failed, or the size is impossible for a snapshot.
    Corrupt,
    /// Left by an interrupted save.
    Incomplete,
    /// Not a snapshot: another file in the directory.
    Foreign,
}

impl State {
    /// The word for tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Verified => "verified",
            State::Unverified => "unverified",
            State::Corrupt => "corrupt",
            State::Incomplete => "incomplete",
            State::Foreign => "foreign",
        }
    }
}
