// SPDX-License-Identifier: Apache-2.0
//! How a snapshot is taken. A new method is a word here and a file in `source/`.

use std::str::FromStr;

/// A method, as requested or as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By clone if possible, else by copy, else by stream.
    Auto,
    /// etcd sends the snapshot.
    Stream,
    /// The file system clones the database file of etcd.
    Clone,
    /// The database file is copied while etcd keeps a snapshot of it open.
    Copy,
    /// The database file of an etcd that does not run is copied. Only as used, never as requested.
    Offline,
    /// The pages of a SQLite database, read in one transaction. There is no other method for SQLite, so it is no option.
    Backup,
}

impl Method {
    /// The word for options, reports and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::Stream => "stream",
            Method::Clone => "clone",
            Method::Copy => "copy",
            Method::Offline => "offline",
            Method::Backup => "backup",
        }
    }
}

impl FromStr for Method {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Method, &'static str> {
        [Method::Auto, Method::Stream, Method::Clone, Method::Copy]
            .into_iter()
            .find(|m| m.as_str() == word)
            .ok_or("is not auto, clone, copy or stream")
    }
}
