// SPDX-License-Identifier: Apache-2.0
//! Versions of K3s and RKE2, in all forms that occur. Only major and minor number decide whether one may follow another.

use std::fmt;

use crate::error::{Code, Fault};

/// A version. Versions with the same major and minor number can read each other's databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The major number.
    pub(crate) major: u32,
    /// The minor number.
    pub(crate) minor: u32,
    /// The whole text: `v1.30.4+k3s1`.
    pub(crate) text: String,
}

impl Version {
    /// Parses `v1.30.4+k3s1`, or the first word of that form in a text, such as the output of `k3s --version`.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        text.split_whitespace().find_map(parse_word)
    }

    /// The oldest K3s that can have written a database with this storage version of etcd, `3.6.0`; `None` if that can be any, or
    /// is not known. By `go.mod` of K3s: v1.33.10 has etcd 3.5, v1.33.12 has 3.6, v1.37.0 has 3.7. A release of v1.36 may change
    /// its etcd as v1.33 did.
    pub(crate) fn oldest_with_storage(storage: &str) -> Option<Version> {
        let minor = match storage.split('.').take(2).collect::<Vec<_>>()[..] {
            ["3", "6"] => 33,
            ["3", "7"] => 36,
            _ => return None,
        };
        Some(Version { major: 1, minor, text: format!("v1.{minor}") })
    }

    /// Major and minor number: they decide whether a version is older than another.
    pub(crate) fn minor_version(&self) -> (u32, u32) {
        (self.major, self.minor)
    }

    /// Fails if this K3s is older than the one that wrote a snapshot: a database may be served by the K3s that wrote it, or
    /// by a later one.
    ///
    /// # Errors
    /// [`Code::K3sTooOld`].
    pub(crate) fn ensure_reads(&self, writer: &Version) -> Result<(), Fault> {
        if self.minor_version() >= writer.minor_version() {
            return Ok(());
        }
        let what = format!("this K3s ({self}) is older than the K3s of the snapshot ({writer})");
        let hint = format!("Install K3s {writer} or later first. To try it anyway, use --force.");
        Err(Fault::new(Code::K3sTooOld, what).hint(hint))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse_word(word: &str) -> Option<Version> {
    if word.len() > 64 || !word.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let mut parts = word.strip_prefix('v').unwrap_or(word).splitn(3, '.');
    let mut number = || parts.next().filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let (major, minor) = (number()?, number()?);
    let patch = parts.next()?;
    patch.starts_with(|c: char| c.is_ascii_digit()).then(|| Version { major, minor, text: word.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_version_has_an_oldest_k3s() {
        for (storage, oldest) in [
            ("3.5.0", None),
            ("3.6.0", Some("v1.33")),
            ("3.7.0", Some("v1.36")),
            ("3.60.0", None),
            ("", None),
        ] {
            assert_eq!(Version::oldest_with_storage(storage).map(|v| v.to_string()).as_deref(), oldest);
        }
        let oldest = Version::oldest_with_storage("3.6.0").unwrap();
        for (own, reads) in [("v1.32.9+k3s1", false), ("v1.33.12+rke2r1", true), ("v1.40.0+k3s1", true)] {
            assert_eq!(Version::parse(own).unwrap().ensure_reads(&oldest).is_ok(), reads, "{own}");
        }
    }

    #[test]
    fn versions_are_parsed_in_all_forms_that_occur() {
        type Found = Option<(u32, u32, &'static str)>;
        let rows: &[(&str, Found)] = &[
            ("v1.30.4+k3s1", Some((1, 30, "v1.30.4+k3s1"))),
            ("v1.21.2+k3s-aef8a6aa", Some((1, 21, "v1.21.2+k3s-aef8a6aa"))),
            ("v1.29.3+rke2r1", Some((1, 29, "v1.29.3+rke2r1"))),
            ("v1.31.0-rc1+k3s1", Some((1, 31, "v1.31.0-rc1+k3s1"))),
            ("1.30.4", Some((1, 30, "1.30.4"))),
            ("k3s version v1.30.4+k3s1 (98262b5d)\ngo version go1.22.5\n", Some((1, 30, "v1.30.4+k3s1"))),
            ("rke2 version v1.29.3+rke2r1 (1c8be9c4)", Some((1, 29, "v1.29.3+rke2r1"))),
            ("k3s version dev (HEAD)", None),
            ("", None),
            ("v1.30", None),
            ("v1.30.", None),
            ("v1.30.x", None),
            ("v+1.30.4", None),
            ("v1.-30.4", None),
            ("v..4", None),
            ("v99999999999.1.1", None),
            ("vv1.30.4", None),
        ];
        for (text, wanted) in rows {
            let found = Version::parse(text);
            let found = found.as_ref().map(|v| (v.major, v.minor, v.text.as_str()));
            assert_eq!(found, *wanted, "{text:?}");
        }
        assert_eq!(Version::parse(&format!("v1.30.{}", "4".repeat(99))), None);
    }

    #[test]
    fn minor_versions_are_compared_as_numbers() {
        let minor = |text: &str| Version::parse(text).unwrap().minor_version();
        assert!(minor("v1.9.0") < minor("v1.10.0") && minor("v1.31.0") < minor("v2.0.0"));
        assert_eq!(minor("v1.30.4+k3s1"), minor("v1.30.12+k3s2"));
    }
}
