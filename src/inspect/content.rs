// SPDX-License-Identifier: Apache-2.0
//! What a database holds up to a revision, boiled down so that two databases can be compared: a snapshot, and what a
//! restore has made of it.
//!
//! The same walk as the proof, but every value is read. Values are hashed and let go; only the few that are asked for
//! are kept, and none gets into a finding.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::{fmt, io};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Facts;
use super::bbolt::Visitor;
use super::facts::{self, Etcd};
use super::finding::{Finding, Findings};
use super::nodes::{self, Node};
use super::page::Value;
use super::proto::{KeyValue, Span};
use super::sample::Sampler;
use crate::io::ReadAt;

/// So many sets of bootstrap data are kept. K3s has one, and two while a token is changed.
const SEALED: usize = 16;
/// So many nodes are kept, ten times what K3s is said to carry.
const NODES: usize = 5000;
/// etcd takes no request of more than 1.5 MiB, K3s's none of more than that.
const VALUE: u64 = 4 << 20;

/// What a database holds up to a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What the proof says of the file; the walk that gave this content was one as well. Of the whole file, whatever
    /// the revision.
    pub facts: Facts,
    /// SHA-256 over every entry of the bucket `key` up to the revision, in order. Another history, or the same after a
    /// later compaction, has another one.
    pub digest: [u8; 32],
    /// How many entries that are: all revisions of all objects, deletions too.
    pub entries: u64,
    /// The revision it is the content of: the one that was asked for, or the newest if that is less.
    pub revision: i64,
    /// How many keys exist at that revision.
    pub live: u64,
    /// A sum over the newest entry of each of these keys, in no order: compaction up to this revision leaves it as it is.
    pub state: [u8; 16],
    /// Everything before this revision may have been compacted away: what etcd has compacted, or will once it runs.
    pub compacted: i64,
    /// Some 200 of the keys that exist, all of them if there are fewer, chosen by their hashes: in revision order.
    pub sample: Vec<Sample>,
    /// K3s's bootstrap data, one for each token that fits; there should be one.
    pub bootstrap: Vec<Bootstrap>,
    /// The Node objects, by name.
    pub nodes: Vec<Node>,
}

/// A key that exists at the revision of a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its name.
    pub key: Vec<u8>,
    /// The revision at which it got its value.
    pub mod_revision: i64,
    /// SHA-256 of its value.
    pub value: [u8; 32],
}

/// Whether a database or an etcd holds what a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// All that was compared is equal.
    Equal,
    /// Something is not, and what.
    Differs(String),
    /// etcd has compacted past the snapshot's revision: nothing can be told any more.
    Compacted,
}

/// K3s's bootstrap data, sealed with a token: see `model::bootstrap`.
#[derive(Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The 12 hex digits of its key: the head of the SHA-256 of the token's password.
    pub hash: String,
    /// The sealed data.
    pub value: Vec<u8>,
}

impl fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bootstrap {{ hash: {:?}, {} bytes }}", self.hash, self.value.len())
    }
}

/// Reads the content of the database part `[0, db_len)` up to the revision `upto`, of all of it without one.
///
/// `Err` inside: what the proof would find, and then there is no content. The error outside is a reader that failed.
/// Memory: some 50 bytes for each key that exists (a map by 64-bit hashes of the keys), and what is returned.
pub fn content(
    data: &dyn ReadAt,
    db_len: u64,
    upto: Option<i64>,
) -> anyhow::Result<Result<Content, Vec<Finding>>> {
    let mut findings = Findings::default();
    let mut reader = ContentReader::new(upto.unwrap_or(i64::MAX));
    let of_file = super::walk(data, db_len, &mut findings, &mut reader).context("reading the database")?;
    let content = of_file.map(|of_file| reader.finish(&mut findings, of_file));
    Ok(content.filter(|_| findings.is_empty()).ok_or(findings.kept))
}

/// Hears the walk: proves, and takes down the content.
struct ContentReader {
    etcd: Etcd,
    upto: i64,
    /// The walk is in the bucket `key`.
    here: bool,
    digest: Sha256,
    entries: u64,
    /// By the hash of each key that exists: the head of the hash of its newest entry.
    live: HashMap<u64, [u8; 16]>,
    state: u128,
    sample: Sampler,
    bootstrap: BTreeMap<String, Vec<u8>>,
    nodes: BTreeMap<String, Node>,
}

impl Visitor for ContentReader {
    fn bucket(&mut self, name: &[u8]) {
        self.here = name == b"key";
        self.etcd.bucket(name);
    }

    fn item(
        &mut self,
        key: &[u8],
        mut value: Value<'_>,
        nested: bool,
        findings: &mut Findings,
    ) -> io::Result<()> {
        self.etcd.item(key, value.again(), nested, findings)?;
        if self.here && !nested {
            self.entry(key, &mut value)?;
        }
        Ok(())
    }
}

impl ContentReader {
    fn new(upto: i64) -> ContentReader {
        ContentReader {
            etcd: Etcd::default(),
            upto,
            here: false,
            digest: Sha256::new(),
            entries: 0,
            live: HashMap::new(),
            state: 0,
            sample: Sampler::new(),
            bootstrap: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    fn entry(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<()> {
        // What is wrong with an entry, the proof has said.
        let Ok(entry) = facts::entry(key, value)? else { return Ok(()) };
        if entry.revision > self.upto {
            return Ok(());
        }
        // Hashes one behind the other are as long as there are entries: nothing can be shifted from one to the next.
        let mut sha = Sha256::new();
        sha.update((key.len() as u64).to_le_bytes());
        sha.update(key);
        value.pieces(0, value.len(), &mut |piece| sha.update(piece))?;
        let sum: [u8; 32] = sha.finalize().into();
        self.digest.update(sum);
        self.entries += 1;
        let Some(record) = entry.record else { return Ok(()) };

        let mut hasher = DefaultHasher::new();
        value.pieces(record.key.at, record.key.len, &mut |piece| hasher.write(piece))?;
        let id = hasher.finish();
        let head = sum.first_chunk().copied().unwrap_or_default();
        let before = if entry.deleted { self.live.remove(&id) } else { self.live.insert(id, head) };
        self.state = self.state.wrapping_sub(before.map_or(0, u128::from_le_bytes));
        if !entry.deleted {
            self.state = self.state.wrapping_add(u128::from_le_bytes(head));
        }
        self.keep(id, record, entry.deleted, value)
    }

    /// Keeps what has to be known of some keys.
    fn keep(&mut self, id: u64, record: KeyValue, deleted: bool, value: &mut Value<'_>) -> io::Result<()> {
        let Some(key) = value.bytes(record.key.at, record.key.len)? else { return Ok(()) };
        let hash = facts::token_hash(key);
        let node = nodes::name(key);
        if let Some(hash) = hash {
            if deleted {
                self.bootstrap.remove(&hash);
            } else if self.bootstrap.len() < SEALED || self.bootstrap.contains_key(&hash) {
                let sealed = whole(value, record.value)?;
                self.bootstrap.insert(hash, sealed);
            }
        } else if let Some(name) = node {
            if deleted {
                self.nodes.remove(&name);
            } else if self.nodes.len() < NODES || self.nodes.contains_key(&name) {
                let node = nodes::node(name.clone(), &whole(value, record.value)?);
                self.nodes.insert(name, node);
            }
        }
        if deleted {
            self.sample.delete(id);
        } else if self.sample.wants(id) {
            let key = value.bytes(record.key.at, record.key.len)?.unwrap_or_default().to_vec();
            let mut sha = Sha256::new();
            value.pieces(record.value.at, record.value.len, &mut |piece| sha.update(piece))?;
            let sample = Sample { key, mod_revision: record.modified, value: sha.finalize().into() };
            self.sample.put(id, sample);
        }
        Ok(())
    }

    fn finish(self, findings: &mut Findings, of_file: Facts) -> Content {
        let compacted = self.etcd.compacted();
        let facts = self.etcd.facts(findings, of_file);
        Content {
            digest: self.digest.finalize().into(),
            entries: self.entries,
            revision: facts.revision.min(self.upto),
            live: self.live.len() as u64,
            state: self.state.to_le_bytes(),
            compacted,
            sample: self.sample.finish(),
            bootstrap: self.bootstrap.into_iter().map(|(hash, value)| Bootstrap { hash, value }).collect(),
            nodes: self.nodes.into_values().collect(),
            facts,
        }
    }
}

/// A value that somebody will look into; none where it is longer than etcd takes.
fn whole(value: &mut Value<'_>, span: Span) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if span.len <= VALUE {
        value.pieces(span.at, span.len, &mut |piece| all.extend_from_slice(piece))?;
    }
    Ok(all)
}

impl Content {
    /// Whether `restored`, read up to this content's revision, is what etcd makes out of a database with this content: it
    /// adds later revisions, goes on with a compaction that was begun, and may have started another.
    pub fn compare(&self, restored: &Content) -> Comparison {
        let differs = |text: String| Comparison::Differs(text);
        if restored.revision < self.revision {
            return differs(format!(
                "it ends at revision {}, the snapshot at {}",
                restored.revision, self.revision
            ));
        }
        if self.digest == restored.digest && self.entries == restored.entries {
            return Comparison::Equal;
        }
        let settled = |content: &Content| content.compacted == content.facts.compacted;
        if self.compacted == restored.compacted && settled(self) && settled(restored) {
            return differs(format!(
                "its history up to revision {} is another one: {} entries, {} in the snapshot",
                self.revision, restored.entries, self.entries
            ));
        }
        // History is gone, but what exists stays, up to the revision that was compacted to.
        if restored.compacted > self.revision {
            return Comparison::Compacted;
        }
        if self.live != restored.live {
            return differs(format!(
                "{} keys exist at revision {}, {} in the snapshot",
                restored.live, self.revision, self.live
            ));
        }
        if self.state != restored.state {
            return differs(format!("some keys have other values at revision {}", self.revision));
        }
        Comparison::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::sample::SAMPLE;
    use crate::inspect::{TRAILER, verify};

    const BEFORE: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");
    const AFTER: &[u8] = include_bytes!("../../tests/fixtures/after-server-1-1795339218");

    fn read(snapshot: &[u8], upto: Option<i64>) -> Content {
        content(&snapshot, snapshot.len() as u64 - TRAILER, upto).unwrap().unwrap()
    }

    #[test]
    fn the_fixtures() {
        let before = read(BEFORE, None);
        assert_eq!(before.facts, verify(&BEFORE, BEFORE.len() as u64 - TRAILER).unwrap().facts);
        assert_eq!((before.revision, before.entries), (337, before.facts.key_revisions));
        assert_eq!(before.sample.len(), SAMPLE.min(before.live as usize));
        assert_eq!(before.bootstrap.len(), 1);
        assert_eq!(before.bootstrap[0].hash, "ba1d715a4f9b");
        assert!(!format!("{before:?}").contains("dTOjtVRMMPKr"));
        assert!(before.nodes.is_empty(), "the server of the fixtures ran without an agent");
        // Two seconds of the same history lie between the two.
        let after = read(AFTER, Some(337));
        assert_eq!(
            (before.digest, before.entries, before.live, before.state, &before.sample),
            (after.digest, after.entries, after.live, after.state, &after.sample)
        );
        assert_eq!(before.compare(&after), Comparison::Equal);
        let all = read(AFTER, None);
        assert_eq!(all.revision, 348);
        assert!(all.digest != before.digest && all.state != before.state);
        assert!(
            matches!(all.compare(&before), Comparison::Differs(why) if why.contains("ends at revision 337"))
        );
        assert!(matches!(before.compare(&all), Comparison::Differs(_)));
    }

    #[test]
    fn every_bound_gives_the_same_in_both_files() {
        for upto in [0, 1, 2, 100, 250, 336, 337] {
            let (a, b) = (read(BEFORE, Some(upto)), read(AFTER, Some(upto)));
            assert_eq!((a.digest, a.live, a.state, a.revision), (b.digest, b.live, b.state, upto));
        }
        assert_ne!(read(BEFORE, Some(337)).state, read(BEFORE, Some(336)).state);
    }

    #[test]
    fn damage_is_a_finding_or_another_content() {
        let whole = read(BEFORE, None);
        let (mut found, mut other) = (0, 0);
        for at in (0..BEFORE.len() - TRAILER as usize).step_by(499) {
            let mut damaged = BEFORE.to_vec();
            damaged[at] ^= 0x10;
            match content(&&damaged[..], damaged.len() as u64 - TRAILER, None).unwrap() {
                Err(findings) => found += u32::from(!findings.is_empty()),
                // Free pages hold what nobody reads.
                Ok(content) if content == whole => {}
                Ok(content) => {
                    other += u32::from(
                        content.facts != whole.facts || whole.compare(&content) != Comparison::Equal,
                    )
                }
            }
        }
        assert!(found > 20 && other > 100, "{found} {other}");
        assert!(content(&BEFORE, 4096, None).unwrap().is_err());
        assert!(content(&&b""[..], 0, None).unwrap().is_err());
    }

    /// What compaction may and may not change, by hand; `tests/it/content.rs` has the real thing.
    #[test]
    fn what_counts_after_a_compaction() {
        let before = read(BEFORE, None);
        let with = |change: &dyn Fn(&mut Content)| {
            let mut other = before.clone();
            other.digest[0] ^= 1;
            other.entries -= 1;
            change(&mut other);
            other
        };
        let finished = |c: &mut Content, to: i64| (c.compacted, c.facts.compacted) = (to, to);
        let words =
            |held: Comparison| if let Comparison::Differs(why) = held { why } else { format!("{held:?}") };
        type Row<'a> = (&'a str, &'a dyn Fn(&mut Content), &'a str);
        let rows: &[Row<'_>] = &[
            ("not compacted", &|_| (), "another one"),
            ("compacted since", &|c| finished(c, 300), "Equal"),
            ("compacted to the very revision", &|c| finished(c, 337), "Equal"),
            ("compacted past it", &|c| finished(c, 338), "Compacted"),
            ("and a key less", &|c| (finished(c, 300), c.live -= 1).0, "keys exist"),
            ("and another value", &|c| (finished(c, 300), c.state[3] ^= 1).0, "other values"),
        ];
        for (name, change, wanted) in rows {
            let said = words(before.compare(&with(change)));
            assert!(said.contains(wanted), "{name}: {said}");
        }
        // The snapshot was taken amid a compaction, which etcd has gone on with.
        let mut amid = before.clone();
        amid.compacted = 300;
        assert_eq!(amid.compare(&with(&|c| finished(c, 300))), Comparison::Equal);
    }
}
