// SPDX-License-Identifier: Apache-2.0
//! The file name of a snapshot, as K3s writes it: `<base>-<node>-<unix seconds>[.zip]`.
//!
//! The stem is all before the last dash. Base and node are never guessed from it: both may hold dashes.

use std::fmt;

/// What a half-written file of K3s or etcdctl ends with.
const PARTIAL: &str = ".part";

/// How the bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// The database and its checksum, nothing else. No extension.
    Plain,
    /// One deflated entry in a zip, as K3s's `--snapshot-compress` makes it.
    Zip,
}

impl Suffix {
    /// The file name extension, with its dot.
    pub fn as_str(self) -> &'static str {
        match self {
            Suffix::Plain => "",
            Suffix::Zip => ".zip",
        }
    }
}

/// A parsed name. Prints as the file name it came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    /// All before the last dash: `<base>-<node>`.
    pub stem: String,
    /// Seconds since the epoch.
    pub at: u64,
    /// How it is stored.
    pub suffix: Suffix,
}

impl SnapshotName {
    /// The name of a new snapshot.
    pub fn new(base: &str, node: &str, at: u64, suffix: Suffix) -> SnapshotName {
        SnapshotName { stem: format!("{base}-{node}"), at, suffix }
    }

    /// Parses a file name; `None` where it is not one that prints back to the same text.
    pub fn parse(file: &str) -> Option<SnapshotName> {
        let (bare, suffix) = match file.strip_suffix(Suffix::Zip.as_str()) {
            Some(bare) => (bare, Suffix::Zip),
            None => (file, Suffix::Plain),
        };
        let (stem, at) = bare.rsplit_once('-')?;
        if stem.is_empty() || stem.starts_with('.') || stem.contains('/') || at.starts_with('+') {
            return None;
        }
        let name = SnapshotName { stem: stem.to_owned(), at: at.parse().ok()?, suffix };
        (name.to_string() == file).then_some(name)
    }

    /// Parses the name of a half-written file, `<name>.part`, into the name it was to get.
    pub fn parse_partial(file: &str) -> Option<SnapshotName> {
        SnapshotName::parse(file.strip_suffix(PARTIAL)?)
    }

    /// The name of the file inside a zip: the same without its extension.
    pub fn plain(&self) -> SnapshotName {
        SnapshotName { suffix: Suffix::Plain, ..self.clone() }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}{}", self.stem, self.at, self.suffix.as_str())
    }
}

/// Checks a part of a name (base or node). The error says what is wrong with it, for a sentence that names the option.
///
/// K3s writes any name, but a name with another character makes its own `save` and `delete` fail from then on: its
/// record is a ConfigMap key. A name is therefore held to what a ConfigMap key takes.
pub fn check_part(part: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err("is empty".to_owned());
    }
    if let Some(c) = part.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._".contains(*c))) {
        return Err(format!("holds {c:?}; only letters, digits, '-', '.' and '_' are possible"));
    }
    if part.starts_with(['.', '-']) {
        return Err("begins with '.' or '-'".to_owned());
    }
    // 253 is the longest ConfigMap key; K3s puts `local-` before the name. Two parts, two dashes, time and `.zip`.
    if part.len() > 110 {
        return Err(format!("is {} characters long; 110 are possible", part.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn names_of_every_k3s_era_print_back() {
        type Parts = Option<(&'static str, u64, Suffix)>;
        let rows: &[(&str, Parts)] = &[
            ("etcd-snapshot-1627633080", Some(("etcd-snapshot", 1627633080, Suffix::Plain))),
            ("etcd-snapshot--1627633080", Some(("etcd-snapshot-", 1627633080, Suffix::Plain))),
            ("on-demand-server-1-1795339215", Some(("on-demand-server-1", 1795339215, Suffix::Plain))),
            ("on-demand-vm-1795335110.zip", Some(("on-demand-vm", 1795335110, Suffix::Zip))),
            ("prod2-node-7", Some(("prod2-node", 7, Suffix::Plain))),
            ("on-demand-vm-1795335110.part", None),
            ("on-demand-vm-1795335110.zip.zip", None),
            ("on-demand-vm-", None),
            ("on-demand-vm-+5", None),
            ("on-demand-vm-007", None), // would not print back
            ("on-demand-vm-99999999999999999999", None),
            ("c-xxx_2022-05-07T12:45:15Z", None),
            ("-5", None),
            (".hidden-5", None),
            ("readme.txt", None),
            ("", None),
        ];
        for (file, want) in rows {
            let got = SnapshotName::parse(file);
            let want = want.map(|(stem, at, suffix)| SnapshotName { stem: stem.into(), at, suffix });
            assert_eq!(got, want, "{file}");
            if let Some(name) = got {
                assert_eq!(&name.to_string(), file);
            }
        }
    }

    #[test]
    fn a_part_file_names_what_it_was_to_be() {
        assert_eq!(SnapshotName::parse_partial("a-b-5.part").map(|n| n.to_string()), Some("a-b-5".into()));
        assert_eq!(
            SnapshotName::parse_partial("a-b-5.zip.part").map(|n| n.to_string()),
            Some("a-b-5.zip".into())
        );
        assert_eq!(SnapshotName::parse_partial("a-b-5"), None);
        assert_eq!(SnapshotName::parse_partial("x.part"), None);
    }

    #[test]
    fn parts_of_a_name_are_what_k3s_can_record() {
        for good in ["on-demand", "timer", "a.b_c-9", "Server-1", "pre-restore"] {
            assert_eq!(check_part(good), Ok(()), "{good}");
        }
        for bad in
            ["", "with space", "a/b", "a:b", "a+b", "~", "ü", ".hidden", "-x", "a\nb", &"x".repeat(111)]
        {
            assert!(check_part(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_valid_name_round_trips(base in "[a-z0-9_][a-z0-9._-]{0,20}", node in "[a-z0-9][a-z0-9.-]{0,20}", at: u64, zip: bool) {
            let name = SnapshotName::new(&base, &node, at, if zip { Suffix::Zip } else { Suffix::Plain });
            prop_assert_eq!(SnapshotName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn any_text_that_parses_prints_back(file in "\\PC{0,40}") {
            if let Some(name) = SnapshotName::parse(&file) {
                prop_assert_eq!(name.to_string(), file);
            }
        }
    }
}
