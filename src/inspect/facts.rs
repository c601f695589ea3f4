// SPDX-License-Identifier: Apache-2.0
//! What etcd, K3s and Kubernetes put into the buckets: revisions, members, token hashes, the id of the cluster.
//!
//! Strict where etcd is strict (the bucket `key` and the revisions in `meta`), tolerant of buckets and keys
//! that other versions add. Values are copied only where a fact is in them; none gets into a finding.

use std::collections::BTreeSet;
use std::io;

use serde::Deserialize;

use super::bbolt::Visitor;
use super::finding::{Check, Finding, Findings};
use super::page::Value;
use super::proto::{self, KeyValue, Span};
use super::{Facts, Member};

/// What precedes the hash of the token under which K3s keeps its bootstrap data.
const BOOTSTRAP: &[u8] = b"/bootstrap/";
const KUBE_SYSTEM: &[u8] = b"/registry/namespaces/kube-system";
/// No list in the facts gets longer, whatever the file says.
const LIST: usize = 256;

/// The top-level buckets whose content matters.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Bucket {
    Key,
    Meta,
    Members,
    Cluster,
    Alarm,
    #[default]
    Other,
}

/// Collects the facts along the walk.
#[derive(Debug, Default)]
pub(super) struct Etcd {
    bucket: Bucket,
    key: bool,
    meta: bool,
    scheduled: i64,
    tokens: BTreeSet<String>,
    alarms: BTreeSet<&'static str>,
    facts: Facts,
}

impl Visitor for Etcd {
    fn bucket(&mut self, name: &[u8]) {
        self.bucket = match name {
            b"key" => Bucket::Key,
            b"meta" => Bucket::Meta,
            b"members" => Bucket::Members,
            b"cluster" => Bucket::Cluster,
            b"alarm" => Bucket::Alarm,
            _ => Bucket::Other,
        };
        self.key |= self.bucket == Bucket::Key;
        self.meta |= self.bucket == Bucket::Meta;
    }

    fn item(
        &mut self,
        key: &[u8],
        mut value: Value<'_>,
        nested: bool,
        findings: &mut Findings,
    ) -> io::Result<()> {
        self.facts.keys_total += 1;
        let (page, offset) = value.place();
        let wrong = if nested && self.bucket != Bucket::Other {
            Some((Check::EtcdBuckets, "a bucket where etcd has values"))
        } else {
            match self.bucket {
                Bucket::Key => self.entry(key, &mut value)?,
                Bucket::Meta => self.meta(key, &mut value)?,
                Bucket::Members => self.member(key, &mut value)?,
                Bucket::Cluster => self.cluster(key, &mut value)?,
                Bucket::Alarm => self.alarm(key),
                Bucket::Other => None,
            }
        };
        if let Some((check, text)) = wrong {
            findings.push(Finding::at(check, page, offset, text));
        }
        Ok(())
    }
}

type Wrong = Option<(Check, &'static str)>;

impl Etcd {
    /// The facts of the walk, completed; a database that is not etcd's is a finding.
    pub(super) fn facts(mut self, findings: &mut Findings, of_file: Facts) -> Facts {
        // Where the walk has found damage, a bucket may be there that it could not get to.
        let complete = findings.is_empty();
        for (name, there) in [("key", self.key), ("meta", self.meta)] {
            if complete && !there {
                let text = format!("not a database of etcd: there is no bucket '{name}'");
                findings.push(Finding::new(Check::EtcdBuckets, text));
            }
        }
        self.facts.members.sort_by_key(|member| member.id);
        Facts {
            // As etcd does on start: what was compacted has been there, even if nothing is left of it.
            revision: self.facts.revision.max(self.facts.compacted).max(self.scheduled),
            token_hashes: self.tokens.into_iter().collect(),
            alarms: self.alarms.into_iter().map(str::to_owned).collect(),
            page_size: of_file.page_size,
            pages: of_file.pages,
            pages_used: of_file.pages_used,
            txid: of_file.txid,
            ..self.facts
        }
    }

    /// Up to where history is gone, or will be once etcd goes on with a compaction that was begun.
    pub(super) fn compacted(&self) -> i64 {
        self.facts.compacted.max(self.scheduled)
    }

    /// A revision of an object, or of its deletion.
    fn entry(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<Wrong> {
        self.facts.key_revisions += 1;
        let entry = match entry(key, value)? {
            Ok(entry) => entry,
            Err((revision, wrong)) => {
                self.facts.revision = revision.unwrap_or(self.facts.revision);
                return Ok(Some(wrong));
            }
        };
        self.facts.revision = entry.revision;
        if let Some(record) = entry.record {
            self.follow(record, entry.deleted, value)?;
        }
        Ok(None)
    }

    /// Follows the two kinds of object that say whose snapshot this is. Revisions ascend: the last word
    /// counts.
    fn follow(&mut self, record: KeyValue, deleted: bool, value: &mut Value<'_>) -> io::Result<()> {
        let Span { at, len } = record.key;
        if len == BOOTSTRAP.len() as u64 + 12 {
            let Some(hash) = value.bytes(at, len)?.and_then(token_hash) else { return Ok(()) };
            if deleted {
                self.tokens.remove(&hash);
            } else if self.tokens.len() < LIST {
                self.tokens.insert(hash);
            }
        } else if len == KUBE_SYSTEM.len() as u64 && value.bytes(at, len)? == Some(KUBE_SYSTEM) {
            let object = if deleted { None } else { value.bytes(record.value.at, record.value.len)? };
            self.facts.cluster_id = object.and_then(uid);
        }
        Ok(())
    }

    fn meta(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<Wrong> {
        let length = value.len();
        let bytes = if length <= 17 { value.whole()?.unwrap_or_default() } else { &[] };
        let number = || bytes.first_chunk().map(|b| u64::from_be_bytes(*b)).filter(|_| length == 8);
        let sound = match key {
            b"finishedCompactRev" => main_or_zero(bytes).map(|revision| self.facts.compacted = revision),
            b"scheduledCompactRev" => main_or_zero(bytes).map(|revision| self.scheduled = revision),
            b"consistent_index" => number().map(|index| self.facts.consistent_index = Some(index)),
            b"term" => number().map(|_| ()),
            _ => Some(()),
        };
        Ok(sound
            .is_none()
            .then_some((Check::EtcdMeta, "a value of the bucket 'meta' that is not of its form")))
    }

    fn member(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<Wrong> {
        let id = std::str::from_utf8(key).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let record = value.whole()?.and_then(|json| serde_json::from_slice::<MemberRecord>(json).ok());
        let Some(record) = record.filter(|record| Some(record.id) == id) else {
            return Ok(Some((
                Check::EtcdMember,
                "a record of the bucket 'members' that is not one of a member",
            )));
        };
        if self.facts.members.len() < LIST {
            self.facts.members.push(Member {
                id: record.id,
                name: record.name,
                peer_urls: record.peer_urls.unwrap_or_default(),
                client_urls: record.client_urls.unwrap_or_default(),
            });
        }
        Ok(None)
    }

    fn cluster(&mut self, key: &[u8], value: &mut Value<'_>) -> io::Result<Wrong> {
        if key == b"clusterVersion" {
            self.facts.etcd_cluster_version = value.whole()?.and_then(word);
        }
        Ok(None)
    }

    /// An alarm is all key: `AlarmMember` with the member in field 1 and the kind in field 2.
    fn alarm(&mut self, key: &[u8]) -> Wrong {
        self.alarms.insert(match proto::field(key, 2) {
            Some([1]) => "NOSPACE",
            Some([2]) => "CORRUPT",
            _ => "UNKNOWN",
        });
        None
    }
}

/// An entry of the bucket `key`.
pub(super) struct MvccRecord {
    /// Its revision, without the number in its transaction.
    pub(super) revision: i64,
    /// It says that the object is gone.
    pub(super) deleted: bool,
    /// The frame of its record; none in the placeholder of a raised revision.
    pub(super) record: Option<KeyValue>,
}

/// What is wrong with an entry, and its revision if it has one.
type NoEntry = (Option<i64>, (Check, &'static str));

/// Reads an entry of the bucket `key` and holds its record against its revision.
pub(super) fn entry(key: &[u8], value: &mut Value<'_>) -> io::Result<Result<MvccRecord, NoEntry>> {
    let (revision, deleted) = match key {
        [revision @ .., b't'] if key.len() == 18 => (main(revision), true),
        _ => (main(key), false),
    };
    let Some(revision) = revision else {
        return Ok(Err((None, (Check::EtcdRevision, "a key in the bucket 'key' that is not a revision"))));
    };
    let wrong = |text| Ok(Err((Some(revision), (Check::EtcdValue, text))));
    // `etcdutl snapshot restore --bump-revision` leaves an empty record at its new revision.
    if value.len() == 0 {
        return Ok(Ok(MvccRecord { revision, deleted, record: None }));
    }
    let Some(record) = proto::record(value)? else { return wrong("not a key-value record") };
    if record.key.len == 0 {
        return wrong("a key-value record without a key");
    }
    let bare = (record.created, record.modified, record.version) == (0, 0, 0);
    let sound = if deleted {
        bare && record.value.at == 0
    } else {
        record.modified == revision && (1..=revision).contains(&record.created) && record.version > 0
    };
    if !sound {
        return wrong("the key-value record of another revision");
    }
    Ok(Ok(MvccRecord { revision, deleted, record: Some(record) }))
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

/// The main part of a revision: 8 bytes, an underscore, 8 bytes; both big-endian, neither negative.
pub(super) fn main_or_zero(bytes: &[u8]) -> Option<i64> {
    let (main, rest) = bytes.split_first_chunk::<8>()?;
    let (mark, sub) = rest.split_first()?;
    let sub = i64::from_be_bytes(<[u8; 8]>::try_from(sub).ok()?);
    let main = i64::from_be_bytes(*main);
    (*mark == b'_' && main >= 0 && sub >= 0).then_some(main)
}

/// The same where it cannot be zero: a revision that is in the store.
pub(super) fn main(bytes: &[u8]) -> Option<i64> {
    main_or_zero(bytes).filter(|main| *main > 0)
}

/// The 12 hex digits in the key of K3s's bootstrap data.
pub(super) fn token_hash(key: &[u8]) -> Option<String> {
    let hash = key.strip_prefix(BOOTSTRAP).filter(|hash| hash.len() == 12)?;
    let hex = hash.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then(|| String::from_utf8_lossy(hash).into_owned())
}

/// The UID of a Kubernetes object as it is stored: protobuf behind a magic, or JSON.
fn uid(object: &[u8]) -> Option<String> {
    if let Some(unknown) = object.strip_prefix(b"k8s\0") {
        let metadata = proto::field(proto::field(unknown, 2)?, 1)?;
        return word(proto::field(metadata, 5)?);
    }
    let json: serde_json::Value = serde_json::from_slice(object).ok()?;
    word(json.get("metadata")?.get("uid")?.as_str()?.as_bytes())
}

/// A short printable word; anything else is not worth telling.
pub(super) fn word(bytes: &[u8]) -> Option<String> {
    let fits = (1..=64).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions() {
        let mut key = *b"\0\0\0\0\0\0\x01\x51_\0\0\0\0\0\0\0\x02";
        assert_eq!(main(&key), Some(337));
        assert_eq!(main(&key[..16]), None);
        key[8] = b'-';
        assert_eq!(main(&key), None);
        assert_eq!(main(b"\0\0\0\0\0\0\0\0_\0\0\0\0\0\0\0\0"), None);
        assert_eq!(main_or_zero(b"\0\0\0\0\0\0\0\0_\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(main(b"\x80\0\0\0\0\0\0\x01_\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn uids_from_protobuf_and_json_and_none_from_rubbish() {
        let proto = b"k8s\0\x0a\x02v1\x12\x0b\x0a\x09\x0a\x01n\x2a\x04uuid";
        assert_eq!(uid(proto).as_deref(), Some("uuid"));
        assert_eq!(uid(br#"{"metadata":{"uid":"abc"}}"#).as_deref(), Some("abc"));
        for rubbish in [&b""[..], b"k8s\0", b"k8s:enc:aescbc:v1:x", b"k8s\0\x12\xff\x01", b"{", b"[1]"] {
            assert_eq!(uid(rubbish), None);
        }
        assert_eq!(uid(b"{\"metadata\":{\"uid\":\"a\\nb\"}}"), None);
    }
}
