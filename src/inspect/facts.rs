// SPDX-License-Identifier: Apache-2.0
//! Facts that are read from a snapshot: revision, members, hashes of tokens, cluster id, alarms.
//!
//! Strict in the bucket `key` and for the revisions in `meta`, tolerant of buckets and keys that other versions add. A value
//! is copied only if a fact is in it; no value gets into a finding.

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};

use super::bbolt::Visitor;
use super::finding::{Check, Finding, Findings};
use super::mvcc::{self, Problem, main_revision_or_zero};
use super::objects::KeptObjects;
use super::page::Value;
use super::proto::{self, KeyValue, Span, printable_text};

/// The prefix of the keys of K3s's bootstrap data; the hash of the token follows.
const BOOTSTRAP: &[u8] = b"/bootstrap/";
/// The key of the namespace whose UID is the id of the cluster.
pub(crate) const KUBE_SYSTEM: &[u8] = b"/registry/namespaces/kube-system";
/// The most items of any list in the facts, whatever the file contains.
pub(super) const MAX_LIST: usize = 256;
/// The longest version of the format of the database, in bytes: `3.6.0`.
const MAX_STORAGE_VERSION: usize = 17;
/// The longest UID, in bytes. A UUID has 36.
const MAX_UID: usize = 64;

/// The longest value that is kept, in bytes. etcd accepts requests of at most 1.5 MiB, and K3s does not raise that.
const MAX_VALUE: u64 = 4 << 20;

/// Facts that are read from a snapshot. Meaningful only together with an empty list of findings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The revision of etcd's store.
    pub revision: i64,
    /// The revision up to which etcd has compacted; 0 if never.
    pub compacted: i64,
    /// The index of the last raft entry that was applied to the database.
    pub consistent_index: Option<u64>,
    /// Records of the bucket `key`: every revision of every key that is not compacted, deletions too.
    pub key_revisions: u64,
    /// The 12 hex digits of each existing key `/bootstrap/<hash>`: the beginning of the SHA-256 of a token that fits.
    pub token_hashes: Vec<String>,
    /// The members of the etcd cluster, by id.
    pub members: Vec<Member>,
    /// The id of the Kubernetes cluster: the UID of the namespace kube-system.
    pub cluster_id: Option<String>,
    /// Alarms that were raised when the snapshot was taken, in the words of etcd: `NOSPACE`, `CORRUPT`.
    pub alarms: Vec<String>,
    /// The version of the format of the database, which etcd has written since 3.6: `3.6.0`.
    pub storage_version: Option<String>,
}

/// A member of the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its id; etcd prints it in hex.
    pub id: u64,
    /// Its name; empty if it has not started yet.
    pub name: String,
    /// URLs for its peers.
    pub peer_urls: Vec<String>,
    /// URLs for clients.
    pub client_urls: Vec<String>,
}

/// The top-level buckets whose content is read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Bucket {
    Key,
    Meta,
    Members,
    Alarm,
    #[default]
    Other,
}

/// Collects the facts during the walk.
#[derive(Debug, Default)]
pub(super) struct FactsCollector {
    bucket: Bucket,
    /// The bucket may hold values only.
    values_only: bool,
    has_key: bool,
    has_meta: bool,
    scheduled_compaction: i64,
    tokens: BTreeSet<String>,
    alarms: BTreeSet<&'static str>,
    facts: Facts,
    kept: KeptObjects,
}

impl Visitor for FactsCollector {
    fn bucket(&mut self, name: &[u8]) {
        self.bucket = match name {
            b"key" => Bucket::Key,
            b"meta" => Bucket::Meta,
            b"members" => Bucket::Members,
            b"alarm" => Bucket::Alarm,
            _ => Bucket::Other,
        };
        self.values_only = self.bucket != Bucket::Other || name == b"cluster";
        self.has_key |= self.bucket == Bucket::Key;
        self.has_meta |= self.bucket == Bucket::Meta;
    }

    fn item(
        &mut self,
        key: &[u8],
        mut value: Value<'_>,
        nested: bool,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let (page, offset) = value.position();
        let problem = if nested && self.values_only {
            Some((Check::EtcdBuckets, "a bucket where etcd has values"))
        } else {
            match self.bucket {
                Bucket::Key => self.record(key, &mut value)?,
                Bucket::Meta => self.meta(key, &mut value)?,
                Bucket::Members => self.member(key, &mut value)?,
                Bucket::Alarm => {
                    self.alarm(key);
                    None
                }
                Bucket::Other => None,
            }
        };
        if let Some((check, text)) = problem {
            findings.push(Finding::at(check, page, offset, text));
        }
        Ok(())
    }
}

impl FactsCollector {
    /// A collector that also keeps the values of these keys.
    pub(super) fn keeping(keys: &[Vec<u8>]) -> FactsCollector {
        FactsCollector { kept: KeptObjects::of(keys), ..FactsCollector::default() }
    }

    /// The values that it was asked to keep.
    pub(super) fn take_kept(&mut self) -> KeptObjects {
        std::mem::take(&mut self.kept)
    }

    /// The facts. A database that is not one of etcd is a finding.
    pub(super) fn finish(mut self, findings: &mut Findings) -> Facts {
        // After damage, a bucket may exist that the walk did not reach.
        let is_complete = findings.is_empty();
        for (name, exists) in [("key", self.has_key), ("meta", self.has_meta)] {
            if is_complete && !exists {
                let text = format!("not a database of etcd: it has no bucket '{name}'");
                findings.push(Finding::new(Check::EtcdBuckets, text));
            }
        }
        self.facts.members.sort_by_key(|member| member.id);
        Facts {
            // As etcd does on start: a compacted revision has existed, even if no record of it is left.
            revision: self.facts.revision.max(self.compacted()),
            token_hashes: self.tokens.into_iter().collect(),
            alarms: self.alarms.into_iter().map(str::to_owned).collect(),
            ..self.facts
        }
    }

    /// The revision before which history is gone, or will be once etcd continues a compaction that was started.
    pub(super) fn compacted(&self) -> i64 {
        self.facts.compacted.max(self.scheduled_compaction)
    }

    /// A revision of a key, or of its deletion.
    fn record(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<Option<Problem>> {
        self.facts.key_revisions += 1;
        let record = match mvcc::read_record(key, value)? {
            Ok(record) => record,
            Err(error) => {
                self.facts.revision = error.revision.unwrap_or(self.facts.revision);
                return Ok(Some(error.problem));
            }
        };
        self.facts.revision = record.revision;
        if let Some(key_value) = record.key_value {
            self.track_key(key_value, record.deleted, value)?;
        }
        Ok(None)
    }

    /// Tracks the two kinds of keys that identify the cluster, and those that are kept. Revisions ascend, so the last value
    /// counts.
    fn track_key(&mut self, record: KeyValue, deleted: bool, value: &mut Value<'_>) -> io::Result<()> {
        let Span { at, len } = record.key;
        if self.kept.has_key_of_length(len) {
            let key = value.bytes(at, len)?.unwrap_or_default().to_vec();
            if let Some(slot) = self.kept.slot(&key) {
                *slot = if deleted { None } else { Some(read_value(value, record.value)?) };
            }
        }
        if len == BOOTSTRAP.len() as u64 + 12 {
            let Some(hash) = value.bytes(at, len)?.and_then(token_hash) else { return Ok(()) };
            if deleted {
                self.tokens.remove(&hash);
            } else if self.tokens.len() < MAX_LIST {
                self.tokens.insert(hash);
            }
        } else if len == KUBE_SYSTEM.len() as u64 && value.bytes(at, len)? == Some(KUBE_SYSTEM) {
            let object = if deleted { None } else { value.bytes(record.value.at, record.value.len)? };
            self.facts.cluster_id = object.and_then(uid);
        }
        Ok(())
    }

    fn meta(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<Option<Problem>> {
        let length = value.len();
        let bytes = if length <= 17 { value.read_all()?.unwrap_or_default() } else { &[] };
        let is_valid = match key {
            b"finishedCompactRev" => {
                main_revision_or_zero(bytes).map(|revision| self.facts.compacted = revision).is_some()
            }
            b"scheduledCompactRev" => {
                main_revision_or_zero(bytes).map(|revision| self.scheduled_compaction = revision).is_some()
            }
            b"consistent_index" => {
                self.facts.consistent_index = bytes.try_into().ok().map(u64::from_be_bytes);
                length == 8
            }
            b"term" => length == 8,
            b"storageVersion" => {
                self.facts.storage_version = printable_text(bytes, MAX_STORAGE_VERSION);
                true
            }
            _ => true,
        };
        Ok((!is_valid).then_some((Check::EtcdMeta, "a value of the bucket 'meta' has the wrong form")))
    }

    fn member(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<Option<Problem>> {
        let id = std::str::from_utf8(key).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let record = value.read_all()?.and_then(|json| serde_json::from_slice::<MemberRecord>(json).ok());
        let Some(record) = record.filter(|record| Some(record.id) == id) else {
            return Ok(Some((Check::EtcdMember, "a record of the bucket 'members' is not that of a member")));
        };
        if self.facts.members.len() < MAX_LIST {
            self.facts.members.push(Member {
                id: record.id,
                name: record.name,
                peer_urls: record.peer_urls.unwrap_or_default(),
                client_urls: record.client_urls.unwrap_or_default(),
            });
        }
        Ok(None)
    }

    /// An alarm is a key without a value: `AlarmMember` with the member in field 1 and the kind in field 2.
    fn alarm(&mut self, key: &[u8]) {
        self.alarms.insert(match proto::field(key, 2) {
            Some([1]) => "NOSPACE",
            Some([2]) => "CORRUPT",
            _ => "UNKNOWN",
        });
    }
}

/// How etcd writes a member.
#[derive(Deserialize)]
struct MemberRecord {
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(default, rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
}

/// The 12 hex digits in the key of K3s's bootstrap data.
pub(super) fn token_hash(key: &[u8]) -> Option<String> {
    let hash = key.strip_prefix(BOOTSTRAP).filter(|hash| hash.len() == 12)?;
    let is_hex = hash.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| String::from_utf8_lossy(hash).into_owned())
}

/// A value that is kept; empty if it is longer than etcd accepts.
pub(super) fn read_value(value: &mut Value<'_>, span: Span) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if span.len <= MAX_VALUE {
        value.for_each_chunk(span.at, span.len, &mut |chunk| all.extend_from_slice(chunk))?;
    }
    Ok(all)
}

/// The UID of a Kubernetes object as it is stored: protobuf after a magic number, or JSON.
pub(crate) fn uid(object: &[u8]) -> Option<String> {
    if let Some(unknown) = object.strip_prefix(b"k8s\0") {
        let metadata = proto::field(proto::field(unknown, 2)?, 1)?;
        return printable_text(proto::field(metadata, 5)?, MAX_UID);
    }
    let json: serde_json::Value = serde_json::from_slice(object).ok()?;
    printable_text(json.get("metadata")?.get("uid")?.as_str()?.as_bytes(), MAX_UID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_read_from_protobuf_and_json_and_from_nothing_else() {
        let proto = b"k8s\0\x0a\x02v1\x12\x0b\x0a\x09\x0a\x01n\x2a\x04uuid";
        assert_eq!(uid(proto).as_deref(), Some("uuid"));
        assert_eq!(uid(br#"{"metadata":{"uid":"abc"}}"#).as_deref(), Some("abc"));
        for other in [&b""[..], b"k8s\0", b"k8s:enc:aescbc:v1:x", b"k8s\0\x12\xff\x01", b"{", b"[1]"] {
            assert_eq!(uid(other), None);
        }
        assert_eq!(uid(b"{\"metadata\":{\"uid\":\"a\\nb\"}}"), None);
    }
}
