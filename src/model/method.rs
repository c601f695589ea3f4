// SPDX-License-Identifier: Apache-2.0
//! How a snapshot is taken out of etcd. Another way is a word here and a file in `source/`.

use std::str::FromStr;

/// What was asked for, and what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By clone where that can be, else by stream.
    Auto,
    /// etcd sends it.
    Stream,
    /// The file system clones etcd's database file.
    Clone,
}

impl Method {
    /// The word for options, reports and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::Stream => "stream",
            Method::Clone => "clone",
        }
    }
}

impl FromStr for Method {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Method, &'static str> {
        [Method::Auto, Method::Stream, Method::Clone]
            .into_iter()
            .find(|m| m.as_str() == word)
            .ok_or("is not auto, stream or clone")
    }
}
