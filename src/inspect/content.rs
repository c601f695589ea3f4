// SPDX-License-Identifier: Apache-2.0
//! The content of a database up to a revision, reduced to what can be compared: a snapshot, and the database that a restore
//! made from it. `read_content` reads it.

use std::fmt;

use super::facts::Facts;
use super::nodes::Node;
use super::sample::Sample;

/// The most sets of bootstrap data that are kept. K3s has one, and two while a token is rotated.
pub(super) const MAX_BOOTSTRAP_RECORDS: usize = 16;
/// The most nodes that are kept: ten times the size of a large K3s cluster.
pub(super) const MAX_NODES: usize = 5000;

/// The content of a database up to a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The facts of the whole file, at any revision. Reading the content verifies the file too.
    pub facts: Facts,
    /// SHA-256 over every record of the bucket `key` up to the revision, in order. It differs for another history, and for the
    /// same history after a later compaction.
    pub digest: [u8; 32],
    /// The number of those records: all revisions of all keys, deletions too.
    pub key_revisions: u64,
    /// The revision of this content: the requested one, or the newest if that is less.
    pub revision: i64,
    /// How many keys exist at that revision.
    pub live_keys: u64,
    /// A sum over the newest record of each of these keys, in no order. A compaction up to this revision does not change it.
    pub state_digest: [u8; 16],
    /// History before this revision may be missing: etcd has compacted it, or will when it runs.
    pub compacted: i64,
    /// About 200 of the existing keys, or all if there are fewer, in revision order. They are chosen by their hashes.
    pub sample: Vec<Sample>,
    /// K3s's bootstrap data, one for each token that fits; normally there is one.
    pub bootstrap: Vec<Bootstrap>,
    /// The Node objects, by name.
    pub nodes: Vec<Node>,
}

/// Whether a database or an etcd contains what a snapshot contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Everything that was compared is equal.
    Equal,
    /// Something differs; the text names it.
    Differs(String),
    /// etcd has compacted past the revision of the snapshot: a comparison is not possible.
    Compacted,
}

/// K3s's bootstrap data, encrypted with a token: see `model::bootstrap`.
#[derive(Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The 12 hex digits of its key: the beginning of the SHA-256 of the token's password.
    pub hash: String,
    /// The encrypted data.
    pub value: Vec<u8>,
}

impl fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bootstrap {{ hash: {:?}, {} bytes }}", self.hash, self.value.len())
    }
}

impl Content {
    /// Whether `restored`, read up to the revision of this content, is what etcd makes of a database with this content. etcd
    /// adds later revisions, continues a compaction that was started, and may have started another one.
    pub fn compare(&self, restored: &Content) -> Comparison {
        let differs = |text: String| Comparison::Differs(text);
        if restored.revision < self.revision {
            return differs(format!(
                "the database ends at revision {}, the snapshot at revision {}",
                restored.revision, self.revision
            ));
        }
        if self.digest == restored.digest && self.key_revisions == restored.key_revisions {
            return Comparison::Equal;
        }
        let is_settled = |content: &Content| content.compacted == content.facts.compacted;
        if self.compacted == restored.compacted && is_settled(self) && is_settled(restored) {
            return differs(format!(
                "the history up to revision {} differs: {} key revisions, {} in the snapshot",
                self.revision, restored.key_revisions, self.key_revisions
            ));
        }
        // A compaction removes history, and keeps what exists at the revision that it compacts to.
        if restored.compacted > self.revision {
            return Comparison::Compacted;
        }
        if self.live_keys != restored.live_keys {
            return differs(format!(
                "{} keys exist at revision {}, {} in the snapshot",
                restored.live_keys, self.revision, self.live_keys
            ));
        }
        if self.state_digest != restored.state_digest {
            return differs(format!("some keys have other values at revision {}", self.revision));
        }
        Comparison::Equal
    }
}
