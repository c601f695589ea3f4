// SPDX-License-Identifier: Apache-2.0
//! Raises the revision of an etcd database and marks all earlier revisions as compacted.
//!
//! After a restore, the revision of etcd is lower than the revisions that clients have seen. A client that watches from a
//! revision that etcd has not reached yet gets no event and no error, possibly for hours. A client that watches from a
//! compacted revision gets an error at once and lists again. `etcdutl snapshot restore --bump-revision --mark-compacted`
//! changes the same two places: a record in the bucket `key`, and `scheduledCompactRev` in the bucket `meta`.
//!
//! The record is that of an ordinary key. Three forms were tried with etcd 3.4.23, 3.5.1, 3.5.16, 3.5.30 and 3.6.16. All
//! versions treat an ordinary key alike. The record without a value, which etcdutl writes, stays forever as a key
//! without a name that no client can read or delete. The record of a deletion is removed by the compaction, before the
//! compaction is recorded as finished if the batches of the compaction end there: if etcd is killed at that moment,
//! 3.4.23 and 3.5.1 start at the old revision.

use super::bolt_meta::Meta;
use super::bolt_write::{Commit, Transaction};
use super::proto::{Field, fields, put_bytes, put_number};
use crate::error::{Code, Fault, Kind};
use crate::io::ReadAt;

/// The name of the added key, followed by the new revision: so each raise has a key of its own.
const KEY: &str = "k3s-snapshot/revision-raised/";
/// The value of the added key, followed by the old revision.
const VALUE: &str = "from ";

/// The revision of a database before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// The revision before.
    pub from: i64,
    /// The revision after.
    pub to: i64,
}

/// How to raise the revision of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaisePlan {
    /// The revision before and after.
    pub raised: Raised,
    /// The writes. `None` if the database was raised to this revision before.
    pub commit: Option<Commit>,
}

/// Computes how to raise the revision of the database file `data` to `target`. All revisions before `target` are marked
/// as compacted; etcd removes them after its start. A few pages are read and written, for a file of any size.
///
/// If the newest change of the database is a raise to the same `target`, there is nothing to write.
///
/// # Errors
///
/// `database-corrupt` if the file is not a database of etcd. `unexpected`, of the kind refused, if the revision of the
/// database is not below `target`. An error of the reader.
pub fn plan_raise(data: &dyn ReadAt, target: i64) -> anyhow::Result<RaisePlan> {
    let (meta, from) = Meta::read(data)?;
    let mut transaction = Transaction::new(data, meta);
    let key = format!("{KEY}{target}");
    if target == from
        && let Some(record) = transaction.get(b"key", &revision(target))?
        && let Some(from) = raised_from(&record, key.as_bytes())
    {
        return Ok(RaisePlan { raised: Raised { from, to: target }, commit: None });
    }
    if target <= from {
        let text = format!("raising the revision of the database to {target}: the revision is {from}");
        return Err(Fault::new(Code::Unexpected, text).of_kind(Kind::Refused).into());
    }
    let record = record(key.as_bytes(), target, format!("{VALUE}{from}").as_bytes());
    transaction.put(b"key", &revision(target), record);
    transaction.put(b"meta", b"scheduledCompactRev", revision(target).to_vec());
    Ok(RaisePlan { raised: Raised { from, to: target }, commit: Some(transaction.commit()?) })
}

/// A revision in the form of etcd: the number, an underscore, and the number in the transaction, both big-endian.
fn revision(main: i64) -> [u8; 17] {
    let mut bytes = [0; 17];
    let (first, rest) = bytes.split_at_mut(8);
    first.copy_from_slice(&main.to_be_bytes());
    rest.fill(0);
    if let Some(mark) = rest.first_mut() {
        *mark = b'_';
    }
    bytes
}

/// The record of a new key: `mvccpb.KeyValue` of etcd.
fn record(key: &[u8], revision: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, key);
    // Created, modified, version.
    put_number(&mut out, 2, revision.cast_unsigned());
    put_number(&mut out, 3, revision.cast_unsigned());
    put_number(&mut out, 4, 1);
    put_bytes(&mut out, 5, value);
    out
}

/// The old revision in a record that [`plan_raise`] has made for this key. `None` for any other record.
fn raised_from(record: &[u8], key: &[u8]) -> Option<i64> {
    let fields = fields(record)?;
    let value = fields.iter().find_map(|field| match field {
        Field::Bytes(5, value) => Some(*value),
        _ => None,
    })?;
    let from = std::str::from_utf8(value).ok()?.strip_prefix(VALUE)?.parse().ok()?;
    fields.contains(&Field::Bytes(1, key)).then_some(from)
}
