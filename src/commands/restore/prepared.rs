// SPDX-License-Identifier: Apache-2.0
//! From what a new database is made, and what is known of it then.

use crate::inspect::Content;
use crate::model::restore::Database;

/// From what the new database is made.
pub(super) enum From<'a> {
    /// The pinned snapshot, with this content.
    Snapshot(&'a Content),
    /// A copy of the database at rest, with this content.
    Database(&'a Content),
}

impl From<'_> {
    pub(super) fn content(&self) -> &Content {
        match self {
            From::Snapshot(content) | From::Database(content) => content,
        }
    }
}

/// What was prepared.
pub(super) struct Prepared {
    /// The content of the new database as it will be served.
    pub(super) content: Content,
    /// The new database.
    pub(super) database: Database,
    /// The name of the new member of etcd.
    pub(super) member: Option<String>,
}
