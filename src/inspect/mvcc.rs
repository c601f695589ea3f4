// SPDX-License-Identifier: Apache-2.0
//! One record of etcd's bucket `key`: its revision, and the frame of its key-value record.
//!
//! Strict where etcd is strict: what etcd would not write is an error. Nothing of a value is copied.

use std::io;

use super::finding::Check;
use super::page::Value;
use super::proto::{self, KeyValue};

/// What is wrong with an item of a bucket: the check that failed, and a sentence without any content.
pub(super) type Problem = (Check, &'static str);

/// A record that etcd would not write.
pub(super) struct RecordError {
    /// Its revision, if the key has one.
    pub(super) revision: Option<i64>,
    /// What is wrong.
    pub(super) problem: Problem,
}

/// A record of the bucket `key`.
pub(super) struct MvccRecord {
    /// Its revision, without the number within its transaction.
    pub(super) revision: i64,
    /// Whether it marks the deletion of the key.
    pub(super) deleted: bool,
    /// The frame of the key-value record; `None` in the placeholder of a raised revision.
    pub(super) key_value: Option<KeyValue>,
}

/// Reads a record of the bucket `key`, and compares its content with its revision.
///
/// # Errors
/// Outside: the bytes cannot be read. Inside: etcd would not write this record.
pub(super) fn read_record(key: &[u8], value: &mut Value<'_>) -> io::Result<Result<MvccRecord, RecordError>> {
    let (revision, deleted) = match key {
        [revision @ .., b't'] if key.len() == 18 => (main_revision(revision), true),
        _ => (main_revision(key), false),
    };
    let Some(revision) = revision else {
        let problem = (Check::EtcdRevision, "a key in the bucket 'key' is not a revision");
        return Ok(Err(RecordError { revision: None, problem }));
    };
    let invalid = |text| Ok(Err(RecordError { revision: Some(revision), problem: (Check::EtcdValue, text) }));
    // `etcdutl snapshot restore --bump-revision` leaves an empty record at its new revision.
    if value.len() == 0 {
        return Ok(Ok(MvccRecord { revision, deleted, key_value: None }));
    }
    let Some(record) = proto::key_value(value)? else { return invalid("not a key-value record") };
    if record.key.len == 0 {
        return invalid("a key-value record without a key");
    }
    let is_bare = (record.created, record.modified, record.version) == (0, 0, 0);
    let fits = if deleted {
        is_bare && record.value.at == 0
    } else {
        record.modified == revision && (1..=revision).contains(&record.created) && record.version > 0
    };
    if !fits {
        return invalid("the key-value record of another revision");
    }
    Ok(Ok(MvccRecord { revision, deleted, key_value: Some(record) }))
}

/// The main part of a revision, which may be zero. A revision has 8 bytes, an underscore, 8 bytes; both numbers are
/// big-endian and not negative.
pub(super) fn main_revision_or_zero(bytes: &[u8]) -> Option<i64> {
    let (main, rest) = bytes.split_first_chunk::<8>()?;
    let (mark, sub) = rest.split_first()?;
    let sub = i64::from_be_bytes(<[u8; 8]>::try_from(sub).ok()?);
    let main = i64::from_be_bytes(*main);
    (*mark == b'_' && main >= 0 && sub >= 0).then_some(main)
}

/// The main part of a revision in the store, which is never zero.
pub(super) fn main_revision(bytes: &[u8]) -> Option<i64> {
    main_revision_or_zero(bytes).filter(|main| *main > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_17_bytes_with_a_positive_main_part() {
        let mut key = *b"\0\0\0\0\0\0\x01\x51_\0\0\0\0\0\0\0\x02";
        assert_eq!(main_revision(&key), Some(337));
        assert_eq!(main_revision(&key[..16]), None);
        key[8] = b'-';
        assert_eq!(main_revision(&key), None);
        assert_eq!(main_revision(b"\0\0\0\0\0\0\0\0_\0\0\0\0\0\0\0\0"), None);
        assert_eq!(main_revision_or_zero(b"\0\0\0\0\0\0\0\0_\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(main_revision(b"\x80\0\0\0\0\0\0\x01_\0\0\0\0\0\0\0\0"), None);
    }
}
