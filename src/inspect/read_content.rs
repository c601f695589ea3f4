// SPDX-License-Identifier: Apache-2.0
//! Reads the content of a database up to a revision.
//!
//! The same walk as in verification, but every value is read. Values are hashed and dropped; only the few that are needed are
//! kept, and no value gets into a finding.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::io;

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::bbolt::Visitor;
use super::content::{Bootstrap, Content, MAX_BOOTSTRAP_RECORDS, MAX_NODES};
use super::facts::{self, FactsCollector, read_value};
use super::finding::{Finding, Findings};
use super::mvcc::{self, MvccRecord};
use super::nodes::{self, Node};
use super::page::Value;
use super::proto::KeyValue;
use super::sample::{Sample, Sampler};
use super::sqlite::{self, KineContent};
use super::verify::walk;
use crate::io::ReadAt;

/// Reads the content of the database part `[0, db_len)` up to `max_revision`; the whole content if that is `None`.
///
/// Memory: about 50 bytes for each existing key (a map by 64-bit hashes of the keys), and the result.
///
/// # Errors
/// Outside: the bytes cannot be read. Inside: the findings of verification; then there is no content.
pub fn read_content(
    data: &dyn ReadAt,
    db_len: u64,
    max_revision: Option<i64>,
) -> anyhow::Result<Result<Content, Vec<Finding>>> {
    let mut findings = Findings::default();
    if sqlite::has_magic(data) {
        let mut reader = KineContent::new(max_revision.unwrap_or(i64::MAX));
        let found = sqlite::walk(data, db_len, &mut findings, &mut reader).context("reading the database")?;
        return Ok(if found && findings.is_empty() { Ok(reader.finish()) } else { Err(findings.kept) });
    }
    let mut reader = ContentReader::new(max_revision.unwrap_or(i64::MAX));
    let found = walk(data, db_len, &mut findings, &mut reader).context("reading the database")?;
    let content = found.then(|| reader.finish(&mut findings));
    Ok(content.filter(|_| findings.is_empty()).ok_or(findings.kept))
}

/// A visitor that verifies and collects the content.
struct ContentReader {
    facts: FactsCollector,
    max_revision: i64,
    /// The walk is in the bucket `key`.
    in_key_bucket: bool,
    digest: Sha256,
    key_revisions: u64,
    /// By the hash of each existing key: the beginning of the hash of its newest record.
    live: HashMap<u64, [u8; 16]>,
    state: u128,
    sample: Sampler,
    bootstrap: BTreeMap<String, Vec<u8>>,
    nodes: BTreeMap<String, Node>,
}

impl Visitor for ContentReader {
    fn bucket(&mut self, name: &[u8]) {
        self.in_key_bucket = name == b"key";
        self.facts.bucket(name);
    }

    fn item(
        &mut self,
        key: &[u8],
        mut value: Value<'_>,
        nested: bool,
        findings: &mut Findings,
    ) -> io::Result<()> {
        self.facts.item(key, value.reborrow(), nested, findings)?;
        if self.in_key_bucket && !nested {
            self.record(key, &mut value)?;
        }
        Ok(())
    }
}

impl ContentReader {
    fn new(max_revision: i64) -> ContentReader {
        ContentReader {
            facts: FactsCollector::default(),
            max_revision,
            in_key_bucket: false,
            digest: Sha256::new(),
            key_revisions: 0,
            live: HashMap::new(),
            state: 0,
            sample: Sampler::new(),
            bootstrap: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    fn record(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<()> {
        // A malformed record is a finding of the facts already.
        let Ok(record) = mvcc::read_record(key, value)? else { return Ok(()) };
        let MvccRecord { revision, deleted, key_value } = record;
        if revision > self.max_revision {
            return Ok(());
        }
        // A sequence of hashes of equal length: no byte can move from one record to the next.
        let mut sha = Sha256::new();
        sha.update((key.len() as u64).to_le_bytes());
        sha.update(key);
        value.for_each_chunk(0, value.len(), &mut |chunk| sha.update(chunk))?;
        let sum: [u8; 32] = sha.finalize().into();
        self.digest.update(sum);
        self.key_revisions += 1;
        let Some(key_value) = key_value else { return Ok(()) };

        let mut hasher = DefaultHasher::new();
        value.for_each_chunk(key_value.key.at, key_value.key.len, &mut |chunk| hasher.write(chunk))?;
        let id = hasher.finish();
        let head = sum.first_chunk().copied().unwrap_or_default();
        let before = if deleted { self.live.remove(&id) } else { self.live.insert(id, head) };
        self.state = self.state.wrapping_sub(before.map_or(0, u128::from_le_bytes));
        if !deleted {
            self.state = self.state.wrapping_add(u128::from_le_bytes(head));
        }
        self.keep(id, key_value, deleted, value)
    }

    /// Keeps the values that are needed later, and the sample.
    fn keep(&mut self, id: u64, record: KeyValue, deleted: bool, value: &mut Value<'_>) -> io::Result<()> {
        let Some(key) = value.bytes(record.key.at, record.key.len)? else { return Ok(()) };
        let hash = facts::token_hash(key);
        let node = nodes::node_name(key);
        if let Some(hash) = hash {
            if deleted {
                self.bootstrap.remove(&hash);
            } else if self.bootstrap.len() < MAX_BOOTSTRAP_RECORDS || self.bootstrap.contains_key(&hash) {
                let encrypted = read_value(value, record.value)?;
                self.bootstrap.insert(hash, encrypted);
            }
        } else if let Some(name) = node {
            if deleted {
                self.nodes.remove(&name);
            } else if self.nodes.len() < MAX_NODES || self.nodes.contains_key(&name) {
                let node = nodes::read_node(name.clone(), &read_value(value, record.value)?);
                self.nodes.insert(name, node);
            }
        }
        if deleted {
            self.sample.delete(id);
        } else if self.sample.wants(id) {
            let key = value.bytes(record.key.at, record.key.len)?.unwrap_or_default().to_vec();
            let mut sha = Sha256::new();
            value.for_each_chunk(record.value.at, record.value.len, &mut |chunk| sha.update(chunk))?;
            let sample = Sample { key, mod_revision: record.modified, value: sha.finalize().into() };
            self.sample.put(id, sample);
        }
        Ok(())
    }

    fn finish(self, findings: &mut Findings) -> Content {
        let compacted = self.facts.compacted();
        let facts = self.facts.finish(findings);
        Content {
            digest: self.digest.finalize().into(),
            key_revisions: self.key_revisions,
            revision: facts.revision.min(self.max_revision),
            live_keys: self.live.len() as u64,
            state_digest: self.state.to_le_bytes(),
            compacted,
            sample: self.sample.finish(),
            bootstrap: self.bootstrap.into_iter().map(|(hash, value)| Bootstrap { hash, value }).collect(),
            nodes: self.nodes.into_values().collect(),
            facts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::sample::SAMPLE;
    use crate::inspect::{Comparison, TRAILER, verify};

    const BEFORE: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");
    const AFTER: &[u8] = include_bytes!("../../tests/fixtures/after-server-1-1795339218");

    fn read(snapshot: &[u8], max_revision: Option<i64>) -> Content {
        read_content(&snapshot, snapshot.len() as u64 - TRAILER, max_revision).unwrap().unwrap()
    }

    #[test]
    fn the_fixtures_are_two_states_of_one_history() {
        let before = read(BEFORE, None);
        assert_eq!(before.facts, verify(&BEFORE, BEFORE.len() as u64 - TRAILER).unwrap().facts);
        assert_eq!((before.revision, before.key_revisions), (337, before.facts.key_revisions));
        assert_eq!(before.sample.len(), SAMPLE.min(before.live_keys as usize));
        assert_eq!(before.bootstrap.len(), 1);
        assert_eq!(before.bootstrap[0].hash, "ba1d715a4f9b");
        assert!(!format!("{before:?}").contains("dTOjtVRMMPKr"));
        assert!(before.nodes.is_empty(), "the server of the fixtures ran without an agent");
        // The second was saved two seconds later.
        let after = read(AFTER, Some(337));
        assert_eq!(
            (before.digest, before.key_revisions, before.live_keys, before.state_digest, &before.sample),
            (after.digest, after.key_revisions, after.live_keys, after.state_digest, &after.sample)
        );
        assert_eq!(before.compare(&after), Comparison::Equal);
        let all = read(AFTER, None);
        assert_eq!(all.revision, 348);
        assert!(all.digest != before.digest && all.state_digest != before.state_digest);
        assert!(matches!(all.compare(&before), Comparison::Differs(_)), "it ends earlier");
        assert!(matches!(before.compare(&all), Comparison::Differs(_)));
    }

    #[test]
    fn content_up_to_a_revision_is_equal_in_both_fixtures() {
        for max in [0, 1, 2, 100, 250, 336, 337] {
            let (a, b) = (read(BEFORE, Some(max)), read(AFTER, Some(max)));
            assert_eq!((a.digest, a.live_keys, a.state_digest), (b.digest, b.live_keys, b.state_digest));
            assert_eq!((a.revision, b.revision), (max, max));
        }
        assert_ne!(read(BEFORE, Some(337)).state_digest, read(BEFORE, Some(336)).state_digest);
    }

    #[test]
    fn damage_is_a_finding_or_changes_the_content() {
        let whole = read(BEFORE, None);
        let (mut found, mut changed) = (0, 0);
        for at in (0..BEFORE.len() - TRAILER as usize).step_by(499) {
            let mut damaged = BEFORE.to_vec();
            damaged[at] ^= 0x10;
            match read_content(&&damaged[..], damaged.len() as u64 - TRAILER, None).unwrap() {
                Err(findings) => found += u32::from(!findings.is_empty()),
                // The byte is in a free page.
                Ok(content) if content == whole => {}
                Ok(content) => {
                    changed += u32::from(
                        content.facts != whole.facts || whole.compare(&content) != Comparison::Equal,
                    )
                }
            }
        }
        assert!(found > 20 && changed > 100, "{found} {changed}");
        assert!(read_content(&BEFORE, 4096, None).unwrap().is_err());
        assert!(read_content(&&b""[..], 0, None).unwrap().is_err());
    }

    /// What a compaction may change, in made-up contents; `tests/it/content.rs` tests a real etcd.
    #[test]
    fn a_compaction_up_to_the_revision_may_remove_history_and_nothing_else() {
        let before = read(BEFORE, None);
        let with = |change: &dyn Fn(&mut Content)| {
            let mut other = before.clone();
            other.digest[0] ^= 1;
            other.key_revisions -= 1;
            change(&mut other);
            other
        };
        let finished = |c: &mut Content, to: i64| (c.compacted, c.facts.compacted) = (to, to);
        type Row<'a> = (&'a str, &'a dyn Fn(&mut Content), Option<Comparison>);
        let rows: &[Row<'_>] = &[
            ("not compacted", &|_| (), None),
            ("compacted since", &|c| finished(c, 300), Some(Comparison::Equal)),
            ("compacted to the same revision", &|c| finished(c, 337), Some(Comparison::Equal)),
            ("compacted past the revision", &|c| finished(c, 338), Some(Comparison::Compacted)),
            ("compacted, a key less", &|c| (finished(c, 300), c.live_keys -= 1).0, None),
            ("compacted, another value", &|c| (finished(c, 300), c.state_digest[3] ^= 1).0, None),
        ];
        for (name, change, wanted) in rows {
            let compared = before.compare(&with(change));
            match wanted {
                Some(wanted) => assert_eq!(compared, *wanted, "{name}"),
                None => assert!(matches!(compared, Comparison::Differs(_)), "{name}: {compared:?}"),
            }
        }
        // The snapshot was saved during a compaction, which etcd continued after the restore.
        let mut during = before.clone();
        during.compacted = 300;
        assert_eq!(during.compare(&with(&|c| finished(c, 300))), Comparison::Equal);
    }
}
