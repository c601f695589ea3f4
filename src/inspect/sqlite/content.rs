// SPDX-License-Identifier: Apache-2.0
//! The content of a database of kine up to a revision, reduced to what can be compared: the same as of etcd.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::btree::Wrong;
use super::kine::{KineFacts, KineRow, RowVisitor};
use crate::inspect::content::{Bootstrap, Content, MAX_BOOTSTRAP_RECORDS, MAX_NODES};
use crate::inspect::facts;
use crate::inspect::nodes::{self, Node};
use crate::inspect::sample::{Sample, Sampler};

/// A visitor that collects the facts and the content.
pub(in crate::inspect) struct KineContent {
    facts: KineFacts,
    max_revision: i64,
    digest: Sha256,
    key_revisions: u64,
    /// By the number of each existing key: the beginning of the hash of its newest row.
    live: HashMap<u64, [u8; 16]>,
    state: u128,
    sample: Sampler,
    bootstrap: BTreeMap<String, Vec<u8>>,
    nodes: BTreeMap<String, Node>,
}

impl RowVisitor for KineContent {
    fn wants_digests(&self) -> bool {
        true
    }

    fn row(&mut self, row: &KineRow<'_>) -> Result<(), Wrong> {
        self.facts.row(row)?;
        if row.id <= self.max_revision && row.is_key() {
            self.keep(row);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Wrong> {
        self.facts.end()
    }
}

impl KineContent {
    /// The content up to a revision.
    pub(in crate::inspect) fn new(max_revision: i64) -> KineContent {
        KineContent {
            facts: KineFacts::default(),
            max_revision,
            digest: Sha256::new(),
            key_revisions: 0,
            live: HashMap::new(),
            state: 0,
            sample: Sampler::new(),
            bootstrap: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    fn keep(&mut self, row: &KineRow<'_>) {
        // The row id is not in the record.
        let sum =
            Sha256::new().chain_update(row.id.to_le_bytes()).chain_update(row.digest.unwrap_or_default());
        let sum: [u8; 32] = sum.finalize().into();
        self.digest.update(sum);
        self.key_revisions += 1;
        let (id, head) = (row.key_id(), sum.first_chunk().copied().unwrap_or_default());
        let before = if row.deleted { self.live.remove(&id) } else { self.live.insert(id, head) };
        self.state = self.state.wrapping_sub(before.map_or(0, u128::from_le_bytes));
        if row.deleted {
            self.sample.delete(id);
        } else {
            self.state = self.state.wrapping_add(u128::from_le_bytes(head));
            if self.sample.wants(id) {
                let value = Sha256::digest(row.value.unwrap_or_default()).into();
                self.sample.put(id, Sample { key: row.name.to_vec(), mod_revision: row.id, value });
            }
        }
        self.keep_value(row);
    }

    /// Keeps the values that are needed later.
    fn keep_value(&mut self, row: &KineRow<'_>) {
        let value = row.value.unwrap_or_default();
        if let Some(hash) = facts::token_hash(row.name) {
            if row.deleted {
                self.bootstrap.remove(&hash);
            } else if self.bootstrap.len() < MAX_BOOTSTRAP_RECORDS || self.bootstrap.contains_key(&hash) {
                self.bootstrap.insert(hash, value.to_vec());
            }
        } else if let Some(name) = nodes::node_name(row.name) {
            if row.deleted {
                self.nodes.remove(&name);
            } else if self.nodes.len() < MAX_NODES || self.nodes.contains_key(&name) {
                let node = nodes::read_node(name.clone(), value);
                self.nodes.insert(name, node);
            }
        }
    }

    /// The content.
    pub(in crate::inspect) fn finish(self) -> Content {
        let facts = self.facts.finish();
        Content {
            digest: self.digest.finalize().into(),
            key_revisions: self.key_revisions,
            revision: facts.revision.min(self.max_revision),
            live_keys: self.live.len() as u64,
            state_digest: self.state.to_le_bytes(),
            compacted: facts.compacted,
            sample: self.sample.finish(),
            bootstrap: self.bootstrap.into_iter().map(|(hash, value)| Bootstrap { hash, value }).collect(),
            nodes: self.nodes.into_values().collect(),
            facts,
        }
    }
}
