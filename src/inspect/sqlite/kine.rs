// SPDX-License-Identifier: Apache-2.0
//! What kine stores: a row for each revision of a key. The row id is the revision.
//!
//! Each change names the revision that it replaces, so that the history of a key is a chain. A compaction removes what was
//! replaced up to a revision, and records that revision in a row of its own.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};

use super::btree::{Entry, Wrong};
use super::record::{self, Value};
use crate::inspect::facts::{Facts, KUBE_SYSTEM, MAX_LIST, token_hash, uid};
use crate::inspect::finding::Check;
use crate::inspect::objects::KeptObjects;

/// The name of the row with the revision up to which kine has compacted.
pub(super) const COMPACTED: &[u8] = b"compact_rev_key";
/// The prefix of the rows with which kine fills revisions that were never written.
const GAP: &[u8] = b"gap-";

/// A row of kine's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::inspect) struct KineRow<'r> {
    /// The revision.
    pub(in crate::inspect) id: i64,
    /// The key.
    pub(in crate::inspect) name: &'r [u8],
    /// Whether the key was created by it.
    pub(in crate::inspect) created: bool,
    /// Whether the key was deleted by it.
    pub(in crate::inspect) deleted: bool,
    /// The revision that it replaces; 0 if there is none. Of the row of compactions: the mark.
    pub(in crate::inspect) previous: i64,
    /// The value; `None` if it is longer than any that is needed.
    pub(in crate::inspect) value: Option<&'r [u8]>,
    /// SHA-256 of the whole record, if it is wanted.
    pub(in crate::inspect) digest: Option<[u8; 32]>,
}

/// Receives each row, in the order of revisions.
pub(in crate::inspect) trait RowVisitor {
    /// Whether rows must have their digest.
    fn wants_digests(&self) -> bool;

    /// A row.
    fn row(&mut self, row: &KineRow<'_>) -> Result<(), Wrong>;

    /// The end of the table.
    fn end(&mut self) -> Result<(), Wrong>;
}

/// Reads a row, and gives all its values.
pub(super) fn read_row<'r>(entry: &Entry<'r>) -> Result<(KineRow<'r>, Vec<Value<'r>>), Wrong> {
    let malformed = || (Check::SqliteRecord, "a row of kine is malformed".to_owned());
    let values = record::parse(entry.head, entry.len).ok_or_else(malformed)?;
    let id = entry.rowid.filter(|id| *id > 0);
    let wrong = || (Check::KineRow, "a row that kine would not write".to_owned());
    // SQLite stores no value for the row id. Older versions of kine store no lease.
    let [
        Value::Null,
        Value::Text(name),
        Value::Int(created @ 0..=1),
        Value::Int(deleted @ 0..=1),
        Value::Int(create_revision @ 0..),
        Value::Int(previous @ 0..),
        Value::Int(_) | Value::Null,
        value,
        old,
    ] = *values
    else {
        return Err(wrong());
    };
    let is_value = |value: &Value<'_>| !matches!(value, Value::Int(_) | Value::Real(_));
    let id = id.filter(|_| !name.is_empty() && is_value(&value) && is_value(&old)).ok_or_else(wrong)?;
    let value = match value {
        Value::Text(bytes) | Value::Blob(bytes) => Some(bytes),
        Value::Long => None,
        _ => Some(&[][..]),
    };
    let row = KineRow {
        id,
        name,
        created: created == 1,
        deleted: deleted == 1,
        previous,
        value,
        digest: entry.digest,
    };
    if row.is_key() && row.previous >= row.id {
        return Err((Check::KineHistory, "a row replaces a revision that is not before it".to_owned()));
    }
    if row.is_key() && !creation_is_possible(&row, create_revision) {
        let text = "a row whose marks and revision of creation contradict each other";
        return Err((Check::KineHistory, text.to_owned()));
    }
    Ok((row, values))
}

/// Whether kine can write this revision of creation with the marks of the row. Each version up to v0.16.4 writes 0 in a row that
/// creates its key, and the revision in a row that changes it; a row that deletes it has 0 since v0.16.0.
fn creation_is_possible(row: &KineRow<'_>, create_revision: i64) -> bool {
    let marks = match (row.created, row.deleted) {
        (true, deleted) => !deleted && create_revision == 0,
        (false, false) => create_revision > 0,
        (false, true) => true,
    };
    marks && create_revision < row.id
}

impl KineRow<'_> {
    /// Whether it is of a key, and not kine's own.
    pub(in crate::inspect) fn is_key(&self) -> bool {
        self.name != COMPACTED && !self.name.starts_with(GAP)
    }

    /// A number for the key, for maps.
    pub(in crate::inspect) fn key_id(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.name);
        hasher.finish()
    }
}

/// The newest revision of a key, negative if it deleted the key: there is one for each key, and they take most of the memory of a
/// verification.
#[derive(Debug, Clone, Copy)]
struct Newest(i64);

impl Newest {
    /// Revisions are greater than zero.
    fn of(row: &KineRow<'_>) -> Newest {
        Newest(if row.deleted { -row.id } else { row.id })
    }

    fn revision(self) -> i64 {
        self.0.saturating_abs()
    }

    fn deleted(self) -> bool {
        self.0 < 0
    }
}

/// Collects the facts, and follows the history of each key.
#[derive(Debug, Default)]
pub(in crate::inspect) struct KineFacts {
    facts: Facts,
    tokens: BTreeSet<String>,
    /// By key: its newest row.
    newest: HashMap<u64, Newest>,
    /// The compaction that must have happened, because revisions are missing.
    must_be_compacted: i64,
    kept: KeptObjects,
}

impl RowVisitor for KineFacts {
    fn wants_digests(&self) -> bool {
        false
    }

    fn row(&mut self, row: &KineRow<'_>) -> Result<(), Wrong> {
        self.facts.key_revisions += 1;
        self.facts.revision = row.id;
        if row.name == COMPACTED {
            self.facts.compacted = self.facts.compacted.max(row.previous);
        }
        if !row.is_key() {
            return Ok(());
        }
        self.track_key(row);
        let before = self.newest.insert(row.key_id(), Newest::of(row));
        self.follow(row, before)
    }

    fn end(&mut self) -> Result<(), Wrong> {
        match self.must_be_compacted <= self.facts.compacted {
            true => Ok(()),
            false => {
                let (missing, mark) = (self.must_be_compacted, self.facts.compacted);
                let text = format!(
                    "revisions that only a compaction to {missing} removes are missing; it is at {mark}"
                );
                Err((Check::KineHistory, text))
            }
        }
    }
}

impl KineFacts {
    /// A collector that also keeps the values of these keys.
    pub(in crate::inspect) fn keeping(keys: &[Vec<u8>]) -> KineFacts {
        KineFacts { kept: KeptObjects::of(keys), ..KineFacts::default() }
    }

    /// The values that it was asked to keep.
    pub(in crate::inspect) fn take_kept(&mut self) -> KeptObjects {
        std::mem::take(&mut self.kept)
    }

    /// The facts.
    pub(in crate::inspect) fn finish(self) -> Facts {
        Facts { token_hashes: self.tokens.into_iter().collect(), ..self.facts }
    }

    /// Compares a row with the one that it replaces.
    fn follow(&mut self, row: &KineRow<'_>, before: Option<Newest>) -> Result<(), Wrong> {
        let wrong = |text: &str| Err((Check::KineHistory, text.to_owned()));
        match before {
            Some(newest) if row.previous != newest.revision() => {
                wrong("a row does not replace the newest revision of its key")
            }
            Some(newest) if row.created != newest.deleted() => {
                wrong("a key is created twice, or is changed after its deletion")
            }
            Some(_) => Ok(()),
            None if row.created => {
                // What it replaces, if anything, is the deletion of the key.
                self.must_be_compacted = self.must_be_compacted.max(row.previous);
                Ok(())
            }
            None if row.previous == 0 => wrong("a key is changed that does not exist"),
            None => {
                // A compaction removes what is replaced by a revision up to its own.
                self.must_be_compacted = self.must_be_compacted.max(row.id);
                Ok(())
            }
        }
    }

    /// Tracks the two kinds of keys that identify the cluster, and those that are kept. Revisions ascend, so the last value
    /// counts.
    fn track_key(&mut self, row: &KineRow<'_>) {
        if let Some(slot) = self.kept.slot(row.name) {
            *slot = (!row.deleted).then(|| row.value.unwrap_or_default().to_vec());
        }
        if let Some(hash) = token_hash(row.name) {
            if row.deleted {
                self.tokens.remove(&hash);
            } else if self.tokens.len() < MAX_LIST {
                self.tokens.insert(hash);
            }
        } else if row.name == KUBE_SYSTEM {
            self.facts.cluster_id = row.value.filter(|_| !row.deleted).and_then(uid);
        }
    }
}
