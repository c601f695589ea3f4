// SPDX-License-Identifier: Apache-2.0
//! What the last restore of this server leaves for later runs: since when which revision counts, and which other servers
//! have not rejoined yet.

use serde::{Deserialize, Serialize};

/// The version of [`LastRestore`] that this code writes.
pub const LAST_VERSION: u32 = 1;

/// The file `last.json` in the directory of the restore. Fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRestore {
    /// Version of this format: 1.
    pub version: u32,
    /// When it was done: seconds since the epoch.
    pub at: u64,
    /// The revision that the restored etcd began with.
    pub revision: i64,
    /// Servers that were members before and have not rejoined yet.
    #[serde(default)]
    pub missing: Vec<MissingServer>,
}

/// A server that has not rejoined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingServer {
    /// The name of its node.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

impl LastRestore {
    /// Whether it explains that the revision of etcd is lower than in a snapshot of `saved_at`.
    pub fn explains(&self, saved_at: u64, revision: i64) -> bool {
        saved_at <= self.at && revision >= self.revision
    }

    /// Forgets the servers that are members now: node names and addresses. True if there were any.
    pub fn forget_members(&mut self, members: &[(String, Vec<String>)]) -> bool {
        let before = self.missing.len();
        self.missing.retain(|server| {
            !members.iter().any(|(name, addresses)| {
                name.eq_ignore_ascii_case(&server.name)
                    || addresses.iter().any(|a| server.addresses.contains(a))
            })
        });
        self.missing.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_saved_before_is_explained_and_members_are_known_by_name_or_address() {
        let server =
            |name: &str, address: &str| MissingServer { name: name.into(), addresses: vec![address.into()] };
        let mut last = LastRestore {
            version: LAST_VERSION,
            at: 100,
            revision: 1000,
            missing: vec![server("b", "10.0.0.2"), server("c", "10.0.0.3"), server("d", "10.0.0.4")],
        };
        assert!(last.explains(100, 1000));
        assert!(!last.explains(101, 1000), "a snapshot of the restored cluster");
        assert!(!last.explains(99, 999), "lower than the restore made it");
        let members = [("B".to_owned(), vec![]), ("new-name".to_owned(), vec!["10.0.0.3".to_owned()])];
        assert!(last.forget_members(&members));
        assert_eq!(last.missing, [server("d", "10.0.0.4")]);
        assert!(!last.forget_members(&members));
    }
}
