// SPDX-License-Identifier: Apache-2.0
//! The three operations that give a server another database.

use serde::{Deserialize, Serialize};

/// Which operation it is. All of them go through the same stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// K3s makes a database from a snapshot.
    #[default]
    Restore,
    /// K3s resets the present database to a cluster of this server only.
    ClusterReset,
    /// The database is set aside, and K3s joins another server with an empty one.
    Rejoin,
}

impl Operation {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Restore => "restore",
            Operation::ClusterReset => "cluster-reset",
            Operation::Rejoin => "rejoin",
        }
    }

    /// What was done, for sentences: "not restored".
    pub fn past_participle(self) -> &'static str {
        match self {
            Operation::Restore => "restored",
            Operation::ClusterReset => "reset",
            Operation::Rejoin => "rejoined",
        }
    }
}
