// SPDX-License-Identifier: Apache-2.0
//! Whether an index has one entry for each row of its table, and no other, in the right order.
//!
//! Rows and entries have different orders, and neither fits into memory: sums over their hashes are compared.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::btree::{Entry, Wrong};
use super::record::{self, Value};
use crate::inspect::finding::Check;

/// The places of two columns of kine's table in a row.
const NAME: usize = 1;
const PREV_REVISION: usize = 5;

/// A column of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    /// Its place in the row; 0 is the row id.
    pub(super) at: usize,
    /// Whether the order is descending.
    pub(super) descending: bool,
}

/// The rows that an index has an entry for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every row.
    All,
    /// The rows of keys that replace a revision: what a compaction by kine reads, since v0.14.
    Replacing,
}

impl Scope {
    fn includes(self, values: &[Value<'_>]) -> bool {
        let at = |column: usize| values.get(column).copied().unwrap_or(Value::Null);
        match self {
            Scope::All => true,
            Scope::Replacing => {
                at(NAME) != Value::Text(super::kine::COMPACTED) && at(PREV_REVISION) != Value::Int(0)
            }
        }
    }
}

/// The number of entries, and a sum over them that does not depend on their order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    count: u64,
    hashes: u64,
}

impl Sum {
    fn add(&mut self, hasher: &DefaultHasher) {
        self.count += 1;
        self.hashes = self.hashes.wrapping_add(hasher.finish());
    }
}

/// The check of one index.
#[derive(Debug)]
pub(super) struct IndexCheck {
    /// Its columns.
    pub(super) columns: Vec<Column>,
    /// Whether no two entries have the same columns.
    pub(super) unique: bool,
    /// The rows that it has an entry for.
    pub(super) scope: Scope,
    rows: Sum,
    entries: Sum,
    /// The record of the entry before.
    before: Vec<u8>,
}

impl IndexCheck {
    /// The check of an index with these columns.
    pub(super) fn new(columns: Vec<Column>, unique: bool, scope: Scope) -> IndexCheck {
        IndexCheck {
            columns,
            unique,
            scope,
            rows: Sum::default(),
            entries: Sum::default(),
            before: Vec::new(),
        }
    }

    /// Counts a row of the table, if the index has an entry for it.
    pub(super) fn row(&mut self, rowid: i64, values: &[Value<'_>]) {
        if !self.scope.includes(values) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        for column in &self.columns {
            let value = match column.at {
                0 => Value::Int(rowid),
                at => values.get(at).copied().unwrap_or(Value::Null),
            };
            value.hash(&mut hasher);
        }
        Value::Int(rowid).hash(&mut hasher);
        self.rows.add(&hasher);
    }

    /// Counts an entry of the index.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn entry(&mut self, entry: &Entry<'_>) -> Result<(), Wrong> {
        let malformed = || (Check::SqliteRecord, "an entry of an index is malformed".to_owned());
        let values = record::parse(entry.head, entry.len).ok_or_else(malformed)?;
        if values.len() != self.columns.len() + 1 {
            return Err(malformed());
        }
        let mut hasher = DefaultHasher::new();
        values.iter().for_each(|value| value.hash(&mut hasher));
        self.entries.add(&hasher);
        let ordered = match record::parse(&self.before, self.before.len() as u64) {
            Some(before) if !before.is_empty() => self.check_order(&before, &values),
            _ => Ok(()),
        };
        self.before.clear();
        self.before.extend_from_slice(entry.head);
        ordered
    }

    fn check_order(&self, before: &[Value<'_>], values: &[Value<'_>]) -> Result<(), Wrong> {
        let wrong = |text: &str| Err((Check::SqliteIndex, text.to_owned()));
        for (i, (a, b)) in before.iter().zip(values).enumerate() {
            let descending = self.columns.get(i).is_some_and(|column| column.descending);
            match a.compare(b).map(|order| if descending { order.reverse() } else { order }) {
                Some(Ordering::Less) => return Ok(()),
                Some(Ordering::Equal) => {}
                _ => return wrong("an entry of an index is not after the entry before it"),
            }
            let is_last_column = i + 1 == self.columns.len();
            if self.unique && is_last_column && !values.iter().take(i + 1).any(|v| *v == Value::Null) {
                return wrong("two entries of a unique index are equal");
            }
        }
        wrong("two entries of an index are equal")
    }

    /// Compares the entries with the rows, when both were counted.
    ///
    /// # Errors
    /// If they differ.
    pub(super) fn finish(&self) -> Result<(), Wrong> {
        let text = match (self.rows, self.entries) {
            (rows, entries) if rows == entries => return Ok(()),
            (rows, entries) if rows.count != entries.count => {
                format!("an index has {} entries, its table has {} rows", entries.count, rows.count)
            }
            _ => "an index has other entries than its table has rows".to_owned(),
        };
        Err((Check::SqliteIndex, text))
    }
}
