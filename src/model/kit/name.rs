// SPDX-License-Identifier: Apache-2.0
//! The file name of a sealed kit: `kit-<node>-<cluster>-<digest>.age`, with the first 8 digits of the cluster id and the first 32
//! of the SHA-256 of the sealed file. So a kit never changes under its name.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::util::hex;

const PREFIX: &str = "kit-";
const SUFFIX: &str = ".age";
/// Digits of the cluster id.
const CLUSTER_DIGITS: usize = 8;
/// What the name has for a cluster that is not known.
const NO_CLUSTER: &str = "00000000";
/// Digits of the SHA-256 of the sealed file.
const DIGEST_DIGITS: usize = 32;

/// The parsed name of a kit. Prints as the file name that it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KitName {
    /// The node that sealed it.
    pub node: String,
    /// The first digits of the cluster id.
    cluster: String,
    digest: String,
}

impl KitName {
    /// The beginning of every name.
    pub(crate) const PREFIX: &str = PREFIX;

    /// The name of a kit that was sealed by this node.
    pub fn new(node: &str, cluster_id: Option<&str>, sealed: &[u8]) -> KitName {
        let cluster =
            cluster_id.and_then(|id| id.get(..CLUSTER_DIGITS)).filter(|id| is_hex(id, CLUSTER_DIGITS));
        KitName {
            node: node.to_owned(),
            cluster: cluster.unwrap_or(NO_CLUSTER).to_owned(),
            digest: digest(sealed),
        }
    }

    /// Parses a file name; `None` if it is not that of a kit.
    pub fn parse(file: &str) -> Option<KitName> {
        let bare = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (rest, digest) = bare.rsplit_once('-')?;
        let (node, cluster) = rest.rsplit_once('-')?;
        let plain = !node.is_empty() && !node.contains('/') && !node.chars().any(char::is_control);
        (plain && is_hex(cluster, CLUSTER_DIGITS) && is_hex(digest, DIGEST_DIGITS)).then(|| KitName {
            node: node.to_owned(),
            cluster: cluster.to_owned(),
            digest: digest.to_owned(),
        })
    }

    /// The first digits of the cluster id, if it is known.
    pub fn cluster(&self) -> Option<&str> {
        Some(self.cluster.as_str()).filter(|cluster| *cluster != NO_CLUSTER)
    }

    /// Whether these are the bytes of the kit with this name.
    pub fn is_of(&self, sealed: &[u8]) -> bool {
        self.digest == digest(sealed)
    }
}

impl fmt::Display for KitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}-{}{SUFFIX}", self.node, self.cluster, self.digest)
    }
}

fn digest(sealed: &[u8]) -> String {
    let mut digits = hex(Sha256::digest(sealed));
    digits.truncate(DIGEST_DIGITS);
    digits
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_is_that_of_its_bytes() {
        for (node, id, cluster) in [
            ("server-1", Some("6f9c1f0e-3a52"), Some("6f9c1f0e")),
            ("a.b-c", None, None),
            ("n", Some("odd"), None),
        ] {
            let name = KitName::new(node, id, b"sealed");
            let parsed = KitName::parse(&name.to_string()).unwrap();
            assert_eq!((&parsed, parsed.node.as_str(), parsed.cluster()), (&name, node, cluster));
            assert!(parsed.is_of(b"sealed") && !parsed.is_of(b"Sealed"));
        }
    }

    #[test]
    fn what_is_not_the_name_of_a_kit_is_not_parsed() {
        let digest = "0".repeat(32);
        for name in [
            String::new(),
            "kit-n-6f9c1f0e.age".to_owned(),
            format!("kit-6f9c1f0e-{digest}.age"),
            format!("kit--6f9c1f0e-{digest}.age"),
            format!("kit-n-6F9C1F0E-{digest}.age"),
            format!("kit-n-6f9c1f0e-{digest}0.age"),
            format!("kit-n-6f9c1f0e-{digest}.age.json"),
            format!("kit-a/b-6f9c1f0e-{digest}.age"),
            format!("../kit-n-6f9c1f0e-{digest}.age"),
        ] {
            assert_eq!(KitName::parse(&name), None, "{name}");
        }
    }
}
