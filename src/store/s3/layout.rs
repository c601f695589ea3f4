// SPDX-License-Identifier: Apache-2.0
//! The names in a bucket. K3s stores `<prefix>/<name>` and its own metadata in `<prefix>/.metadata/<name>`; the manifests
//! of this tool are next to that, in `<prefix>/.metadata/<name>.<state>.<cluster>.json`.
//!
//! A listing must show which snapshots are verified, how many key revisions they have and of which cluster they are,
//! without opening anything. So that is part of the name of a manifest. The state is a number for a verified snapshot,
//! its count of key revisions, else `corrupt` or `unverified`. The cluster is the first 8 digits of its id, or `-` if
//! the id is not known; the name may lack it.

use crate::model::snapshot::State;

/// The directory of metadata, of K3s and of this tool.
pub(super) const METADATA_DIR: &str = ".metadata";
/// Digits of the cluster id in the name of a manifest.
const CLUSTER_DIGITS: usize = 8;
/// What the name says of a cluster that is not known.
const NO_CLUSTER: &str = "-";

/// What the name of a manifest tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ManifestName<'a> {
    /// The file name of the snapshot.
    pub(super) snapshot: &'a str,
    pub(super) state: State,
    /// Records of the bucket `key` of etcd, if the snapshot is verified.
    pub(super) key_revisions: Option<u64>,
    /// The first digits of the cluster id.
    pub(super) cluster: Option<&'a str>,
}

/// Reads the name of a file in the metadata directory. `None` if it is no manifest of this tool. The name of a snapshot
/// never ends in a dot and one of these words, so the two cannot be mixed up.
pub(super) fn parse_manifest_name(file: &str) -> Option<ManifestName<'_>> {
    let bare = file.strip_suffix(".json")?;
    let (head, last) = bare.rsplit_once('.')?;
    if last == NO_CLUSTER || is_cluster(last) {
        let with_state = head.rsplit_once('.').and_then(|(name, word)| Some((name, parse_state(word)?)));
        if let Some((snapshot, (state, key_revisions))) = with_state {
            let cluster = Some(last).filter(|c| *c != NO_CLUSTER);
            return Some(ManifestName { snapshot, state, key_revisions, cluster });
        }
    }
    let (state, key_revisions) = parse_state(last)?;
    Some(ManifestName { snapshot: head, state, key_revisions, cluster: None })
}

/// The name of a manifest.
pub(super) fn manifest_name(
    snapshot: &str,
    state: State,
    key_revisions: u64,
    cluster: Option<&str>,
) -> String {
    let word = match state {
        State::Verified => key_revisions.to_string(),
        State::Corrupt => "corrupt".to_owned(),
        State::Unverified | State::Incomplete | State::Foreign => "unverified".to_owned(),
    };
    let cluster = cluster.and_then(|id| id.get(..CLUSTER_DIGITS)).filter(|c| is_cluster(c));
    format!("{snapshot}.{word}.{}.json", cluster.unwrap_or(NO_CLUSTER))
}

fn parse_state(word: &str) -> Option<(State, Option<u64>)> {
    Some(match word {
        "corrupt" => (State::Corrupt, None),
        "unverified" => (State::Unverified, None),
        number => (State::Verified, Some(number.parse().ok().filter(|n: &u64| n.to_string() == number)?)),
    })
}

fn is_cluster(word: &str) -> bool {
    word.len() == CLUSTER_DIGITS && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a name is that of an object in the prefix itself, and can lead nowhere else.
pub(super) fn is_plain(file: &str) -> bool {
    !file.is_empty() && !file.contains('/') && file != "." && file != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_manifest_tells_state_key_revisions_and_cluster() {
        for (file, want) in [
            ("a-5.347.json", Some(("a-5", State::Verified, Some(347), None))),
            ("a-5.347.-.json", Some(("a-5", State::Verified, Some(347), None))),
            ("a-5.347.6f9c1f0e.json", Some(("a-5", State::Verified, Some(347), Some("6f9c1f0e")))),
            ("a-5.12345678.json", Some(("a-5", State::Verified, Some(12_345_678), None))),
            ("a-5.1.12345678.json", Some(("a-5", State::Verified, Some(1), Some("12345678")))),
            ("a-5.zip.0.json", Some(("a-5.zip", State::Verified, Some(0), None))),
            ("a-5.zip.12345678.json", Some(("a-5.zip", State::Verified, Some(12_345_678), None))),
            ("a.b-5.7.-.json", Some(("a.b-5", State::Verified, Some(7), None))),
            ("a-5.corrupt.json", Some(("a-5", State::Corrupt, None, None))),
            ("a-5.corrupt.6f9c1f0e.json", Some(("a-5", State::Corrupt, None, Some("6f9c1f0e")))),
            ("a-5.zip.unverified.-.json", Some(("a-5.zip", State::Unverified, None, None))),
            ("a-5", None), // of K3s
            ("a-5.zip", None),
            ("a-5.json", None),
            ("a.b-5.json", None),
            ("a-5.007.json", None),
            ("a-5.-7.json", None),
            ("a-5.-.json", None),
            ("a-5.99999999999999999999.json", None),
            ("a-5.7.6F9C1F0E.json", None),
        ] {
            let got = parse_manifest_name(file).map(|n| (n.snapshot, n.state, n.key_revisions, n.cluster));
            assert_eq!(got, want, "{file}");
        }
    }

    #[test]
    fn a_manifest_name_reads_back() {
        let id = Some("6f9c1f0e-3a52-4d0b-9d1e-5b7c6a8f2e11");
        for snapshot in ["a-5", "a-5.zip", "a.b-1234567890"] {
            for (state, count) in
                [(State::Verified, Some(12_345_678)), (State::Corrupt, None), (State::Unverified, None)]
            {
                for (cluster, want) in
                    [(id, Some("6f9c1f0e")), (None, None), (Some("odd"), None), (Some("ü"), None)]
                {
                    let name = manifest_name(snapshot, state, count.unwrap_or(7), cluster);
                    let want = ManifestName { snapshot, state, key_revisions: count, cluster: want };
                    assert_eq!(parse_manifest_name(&name), Some(want), "{name}");
                }
            }
        }
    }

    #[test]
    fn no_name_leads_out_of_the_prefix() {
        for name in ["", ".", "..", "a/b", "../x", "/etc"] {
            assert!(!is_plain(name), "{name}");
        }
        assert!(is_plain("..a-5"));
    }
}
