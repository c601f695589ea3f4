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
    /// Reads `v1.30.4+k3s1`, or the first word of that form in a text, as `k3s --version` prints it.
    pub fn parse(text: &str) -> Option<Version> {
        text.split_whitespace().find_map(word)
    }

    /// What decides whether one is older than another.
    pub fn minor_version(&self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn word(word: &str) -> Option<Version> {
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
    fn the_forms_they_are_met_in() {
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
    fn lines_are_compared_as_numbers() {
        let line = |text: &str| Version::parse(text).unwrap().minor_version();
        assert!(line("v1.9.0") < line("v1.10.0") && line("v1.31.0") < line("v2.0.0"));
        assert_eq!(line("v1.30.4+k3s1"), line("v1.30.12+k3s2"));
    }
}
