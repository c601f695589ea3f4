// SPDX-License-Identifier: Apache-2.0
//! The datastores of K3s that have snapshots.

use serde::{Deserialize, Serialize};

/// Which datastore a snapshot or a server has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datastore {
    /// Embedded etcd: a database of bbolt.
    #[default]
    Etcd,
    /// SQLite: a database of kine.
    Sqlite,
}

impl Datastore {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Datastore::Etcd => "embedded etcd",
            Datastore::Sqlite => "SQLite",
        }
    }
}
