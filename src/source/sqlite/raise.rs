// SPDX-License-Identifier: Apache-2.0
//! Raises the revision of a database of kine at rest, and marks all earlier revisions as compacted.
//!
//! As in etcd (see `etcd_files`): a client that knows a revision of the lost database must get an error at once and list again.
//! The revision of kine is its newest row. The new row is one with which kine itself fills a revision that was never written:
//! it belongs to no key, and no client sees it. SQLite counts on from it. The mark is the row in which kine records its
//! compactions; kine serves no revision before it, and begins to watch at the newest row.

use std::path::Path;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, TransactionBehavior};

use super::connection::{explain, highest_revision, newest_revision, open_for_changes};
use crate::error::{Code, Fault, Kind};

/// The hint for a database that cannot be changed. It was verified before.
const CORRUPT: &str = "Restore another snapshot, and check the disk and the memory of this server.";
/// A row of kine with a revision of its own.
const INSERT: &str = "INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value, old_value) \
                      VALUES (?1, ?2, ?3, ?4, 0, ?5, 0, ?6, NULL)";

/// Raises the revision of the database `db`, which no other process uses, to `target`. Returns the revision before.
///
/// # Errors
/// If it is not below `target`, or the database cannot be changed. Then the file is to be discarded.
pub(crate) fn raise_revision(db: &Path, target: i64) -> Result<i64> {
    let raised = open_for_changes(db)
        .and_then(|mut connection| {
            // No file of its own, and no log: the database is discarded after a crash.
            connection
                .pragma_update_and_check(None, "journal_mode", "memory", |row| row.get::<_, String>(0))?;
            let from = raise(&mut connection, target)?;
            connection.close().map_err(|(_, e)| e)?;
            Ok(from)
        })
        .map_err(|e| explain(e, db, CORRUPT))
        .with_context(|| format!("raising the revision of the new database to {target}"))?;
    raised.map_err(|from| {
        let text = format!("raising the revision of the database to {target}: the revision is {from}");
        Fault::new(Code::Unexpected, text).of_kind(Kind::Refused).into()
    })
}

/// The revision before; an error if it is not below `target`.
fn raise(connection: &mut Connection, target: i64) -> rusqlite::Result<Result<i64, i64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let from = newest_revision(&transaction)?;
    let highest = highest_revision(&transaction)?;
    if highest >= target {
        return Ok(Err(highest));
    }
    let marks =
        transaction.execute("UPDATE kine SET prev_revision = ? WHERE name = 'compact_rev_key'", [target])?;
    match marks {
        0 => transaction
            .execute(INSERT, rusqlite::params![target, "compact_rev_key", true, false, target, [0u8; 0]])?,
        _ => {
            let name = format!("gap-{target}");
            transaction.execute(INSERT, rusqlite::params![target, name, false, true, 0, None::<i64>])?
        }
    };
    transaction.commit()?;
    Ok(Ok(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;
    use crate::inspect;

    const SCHEMA: &str = "CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, \
        deleted INTEGER, create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB); \
        CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision); \
        INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) \
        VALUES ('/registry/a', 1, 0, 0, 0, 0, x'01');";
    const MARK: &str = "INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) \
        VALUES ('compact_rev_key', 1, 0, 0, 0, 0, x'')";

    #[test]
    fn the_next_row_gets_a_higher_revision_and_the_content_stays_the_same() {
        for mark in ["", MARK] {
            let dir = tempfile::tempdir().unwrap();
            let db = dir.path().join("state.db");
            Connection::open(&db).unwrap().execute_batch(&format!("{SCHEMA}{mark}")).unwrap();
            let read = |max| {
                let bytes = std::fs::read(&db).unwrap();
                inspect::read_content(&bytes.as_slice(), bytes.len() as u64, max).unwrap().unwrap()
            };
            let before = read(None);
            assert_eq!(raise_revision(&db, 1000).unwrap(), before.revision);
            assert_eq!(raise_revision(&db, 5000).unwrap(), 1000, "again, before K3s has used it");
            assert_eq!(code_of(&raise_revision(&db, 5000).unwrap_err()), Code::Unexpected);
            let after = read(Some(before.revision));
            assert_eq!((after.facts.revision, after.facts.compacted), (5000, 5000));
            assert_eq!(before.compare(&after), inspect::Comparison::Equal);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "one file and no log");
            let connection = Connection::open(&db).unwrap();
            connection.execute("INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) VALUES ('/registry/b', 1, 0, 0, 0, 0, x'02')", []).unwrap();
            assert_eq!(connection.last_insert_rowid(), 5001);
        }
    }
}
