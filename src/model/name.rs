// SPDX-License-Identifier: Apache-2.0
//! The file name of a snapshot, as K3s writes it: `<base>-<node>-<unix seconds>[.zip]`. A snapshot of SQLite has `.sqlite` after
//! the seconds, so that it is not taken for one of etcd.
//!
//! The stem is the part before the last dash. Base and node are never extracted from it, as both may contain dashes. The digits
//! after it are not always a time: `backup-20261127` is a valid name too.

use std::fmt;

/// How much the clocks of two machines may differ, in seconds. What is dated later than this from now has a wrong date.
pub const MAX_CLOCK_SKEW: u64 = 300;

/// The suffix of a file that K3s or etcdctl has not finished.
const PARTIAL: &str = ".part";
/// 2015-01-01T00:00:00Z, in seconds since the epoch. No snapshot is older: Kubernetes 1.0 is of that year, K3s of 2019.
const MIN_TIME: u64 = 1_420_070_400;

/// How a snapshot is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// The database and its checksum. No extension.
    Plain,
    /// One deflated entry in a zip, as with K3s's `--snapshot-compress`.
    Zip,
    /// A database of SQLite and its checksum.
    Sqlite,
    /// The same in a zip.
    SqliteZip,
}

impl Suffix {
    /// The longest extension first: the end of a name decides.
    const ALL: [Suffix; 4] = [Suffix::SqliteZip, Suffix::Sqlite, Suffix::Zip, Suffix::Plain];

    /// The suffix of a new snapshot.
    pub fn new(sqlite: bool, zip: bool) -> Suffix {
        match (sqlite, zip) {
            (false, false) => Suffix::Plain,
            (false, true) => Suffix::Zip,
            (true, false) => Suffix::Sqlite,
            (true, true) => Suffix::SqliteZip,
        }
    }

    /// The file name extension, with its dot.
    pub fn as_str(self) -> &'static str {
        match self {
            Suffix::Plain => "",
            Suffix::Zip => ".zip",
            Suffix::Sqlite => ".sqlite",
            Suffix::SqliteZip => ".sqlite.zip",
        }
    }

    /// Whether it is stored in a zip.
    pub fn is_zip(self) -> bool {
        matches!(self, Suffix::Zip | Suffix::SqliteZip)
    }

    /// Whether it is a snapshot of SQLite.
    pub fn is_sqlite(self) -> bool {
        matches!(self, Suffix::Sqlite | Suffix::SqliteZip)
    }
}

/// A parsed name. Prints as the file name that it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    /// The part before the last dash: `<base>-<node>`.
    pub stem: String,
    /// The number after the last dash. In the names of K3s and this program it is a time, in seconds since the epoch. In other
    /// names it may be any number: use [`SnapshotName::time`].
    pub at: u64,
    /// How it is stored.
    pub suffix: Suffix,
}

impl SnapshotName {
    /// The name of a new snapshot. `at` is in seconds since the epoch.
    pub fn new(base: &str, node: &str, at: u64, suffix: Suffix) -> SnapshotName {
        SnapshotName { stem: format!("{base}-{node}"), at, suffix }
    }

    /// Parses a file name; `None` if it is not the name of a snapshot, or if it would not print as the same text.
    pub fn parse(file: &str) -> Option<SnapshotName> {
        let (bare, suffix) =
            Suffix::ALL.into_iter().find_map(|s| file.strip_suffix(s.as_str()).map(|bare| (bare, s)))?;
        let (stem, at) = bare.rsplit_once('-')?;
        if stem.is_empty() || stem.starts_with('.') || stem.contains('/') || at.starts_with('+') {
            return None;
        }
        let name = SnapshotName { stem: stem.to_owned(), at: at.parse().ok()?, suffix };
        (name.to_string() == file).then_some(name)
    }

    /// Parses the name of an unfinished file, `<name>.part`, into the name that it was to get.
    pub fn parse_partial(file: &str) -> Option<SnapshotName> {
        SnapshotName::parse(file.strip_suffix(PARTIAL)?)
    }

    /// The time in the name, in seconds since the epoch; `None` if the number cannot be a time of a snapshot: before 2015, or more
    /// than [`MAX_CLOCK_SKEW`] after `now`. Then use the time of the file instead.
    pub fn time(&self, now: u64) -> Option<u64> {
        Some(self.at).filter(|at| (MIN_TIME..=now.saturating_add(MAX_CLOCK_SKEW)).contains(at))
    }

    /// The name of the file inside a zip: this name without `.zip`.
    pub fn plain(&self) -> SnapshotName {
        SnapshotName { suffix: Suffix::new(self.suffix.is_sqlite(), false), ..self.clone() }
    }

    /// The same name, zipped if it is plain, and plain if it is zipped.
    pub fn twin(&self) -> SnapshotName {
        SnapshotName { suffix: Suffix::new(self.suffix.is_sqlite(), !self.suffix.is_zip()), ..self.clone() }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}{}", self.stem, self.at, self.suffix.as_str())
    }
}

/// Checks a part of a name (base or node).
///
/// K3s accepts any name, but its own `save` and `delete` fail from then on if the name has other characters: it is a key of a
/// ConfigMap. A name is therefore limited to the characters of such a key.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that names the option.
pub fn check_part(part: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err("is empty".to_owned());
    }
    if let Some(c) = part.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._".contains(*c))) {
        return Err(format!("contains {c:?}; only letters, digits, '-', '.' and '_' are allowed"));
    }
    if part.starts_with(['.', '-']) {
        return Err("starts with '.' or '-'".to_owned());
    }
    // A key of a ConfigMap has at most 253 characters: K3s's `local-`, two parts, two dashes, the time and `.zip`.
    if part.len() > 110 {
        return Err(format!("has {} characters; at most 110 are allowed", part.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn names_of_all_k3s_versions_are_parsed_and_print_unchanged() {
        type Parts = Option<(&'static str, u64, Suffix)>;
        let rows: &[(&str, Parts)] = &[
            ("etcd-snapshot-1627633080", Some(("etcd-snapshot", 1627633080, Suffix::Plain))),
            ("etcd-snapshot--1627633080", Some(("etcd-snapshot-", 1627633080, Suffix::Plain))),
            ("on-demand-server-1-1795339215", Some(("on-demand-server-1", 1795339215, Suffix::Plain))),
            ("on-demand-vm-1795335110.zip", Some(("on-demand-vm", 1795335110, Suffix::Zip))),
            ("prod2-node-7", Some(("prod2-node", 7, Suffix::Plain))),
            ("timer-n-1795335110.sqlite", Some(("timer-n", 1795335110, Suffix::Sqlite))),
            ("timer-n-1795335110.sqlite.zip", Some(("timer-n", 1795335110, Suffix::SqliteZip))),
            ("timer-n-1795335110.zip.sqlite", None),
            // etcdctl's own examples use this extension for snapshots of etcd.
            ("timer-n-1795335110.db", None),
            (".sqlite", None),
            ("on-demand-vm-1795335110.part", None),
            ("on-demand-vm-1795335110.zip.zip", None),
            ("on-demand-vm-", None),
            ("on-demand-vm-+5", None),
            ("on-demand-vm-007", None), // would not print unchanged
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
    fn a_number_that_cannot_be_the_time_of_a_snapshot_is_no_time() {
        const NOW: u64 = 1_795_748_400; // 2026-11-27
        #[rustfmt::skip]
        let rows = [
            ("on-demand-n-1795748400", Some(NOW)),
            ("on-demand-n-1795748700", Some(NOW + MAX_CLOCK_SKEW)), // clocks differ
            ("on-demand-n-1795748701", None),
            ("on-demand-n-1420070400", Some(MIN_TIME)),
            ("on-demand-n-1420070399", None),
            ("snapshot-20261127030000", None), // a date written as digits
            ("backup-1795748400000", None),    // milliseconds
            ("etcd-20261127", None),
            ("backup-2026-11-27", None),
            ("a-n-5", None),
            ("a-n-18446744073709551615", None),
        ];
        for (file, wanted) in rows {
            assert_eq!(SnapshotName::parse(file).unwrap().time(NOW), wanted, "{file}");
        }
        assert_eq!(SnapshotName::parse("a-n-1795748400").unwrap().time(u64::MAX), Some(NOW));
    }

    #[test]
    fn unfinished_files_have_the_name_that_they_were_to_get() {
        assert_eq!(SnapshotName::parse_partial("a-b-5.part").map(|n| n.to_string()), Some("a-b-5".into()));
        assert_eq!(
            SnapshotName::parse_partial("a-b-5.zip.part").map(|n| n.to_string()),
            Some("a-b-5.zip".into())
        );
        assert_eq!(SnapshotName::parse_partial("a-b-5"), None);
        assert_eq!(SnapshotName::parse_partial("x.part"), None);
    }

    #[test]
    fn parts_of_a_name_have_the_characters_of_a_config_map_key() {
        for good in ["on-demand", "timer", "a.b_c-9", "Server-1", "pre-restore"] {
            assert_eq!(check_part(good), Ok(()), "{good}");
        }
        for invalid in
            ["", "with space", "a/b", "a:b", "a+b", "~", "ü", ".hidden", "-x", "a\nb", &"x".repeat(111)]
        {
            assert!(check_part(invalid).is_err(), "{invalid:?}");
        }
    }

    proptest! {
        #[test]
        fn every_valid_name_is_parsed_unchanged(base in "[a-z0-9_][a-z0-9._-]{0,20}", node in "[a-z0-9][a-z0-9.-]{0,20}", at: u64, sqlite: bool, zip: bool) {
            let name = SnapshotName::new(&base, &node, at, Suffix::new(sqlite, zip));
            prop_assert_eq!(SnapshotName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn every_text_that_parses_prints_unchanged(file in "\\PC{0,40}") {
            if let Some(name) = SnapshotName::parse(&file) {
                prop_assert_eq!(name.to_string(), file);
            }
        }
    }
}
