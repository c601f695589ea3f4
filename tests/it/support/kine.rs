// SPDX-License-Identifier: Apache-2.0
//! A database as kine writes it: the schema, the rows and the compaction of K3s v1.36, in WAL mode.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

/// The UID of the namespace kube-system.
pub(crate) const UID: &str = "5f0c3a1e-0000-4000-8000-00000000c1d5";

/// The schema of kine, with the white space of kine.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS kine
			(
				id INTEGER PRIMARY KEY AUTOINCREMENT,
				name TEXT,
				created INTEGER,
				deleted INTEGER,
				create_revision INTEGER,
				prev_revision INTEGER,
				lease INTEGER,
				value BLOB,
				old_value BLOB
			);
CREATE INDEX IF NOT EXISTS kine_name_index ON kine (name);
CREATE INDEX IF NOT EXISTS kine_name_id_index ON kine (name,id);
CREATE INDEX IF NOT EXISTS kine_id_deleted_index ON kine (id,deleted);
CREATE INDEX IF NOT EXISTS kine_prev_revision_index ON kine (prev_revision);
CREATE UNIQUE INDEX IF NOT EXISTS kine_name_prev_revision_uindex ON kine (name, prev_revision);
CREATE INDEX IF NOT EXISTS kine_id_compact_rev_key_with_prev_revision_index ON kine(id, name, prev_revision) \
WHERE name != 'compact_rev_key' AND prev_revision != 0;
INSERT INTO kine(name, created, deleted, create_revision, prev_revision, lease, value, old_value)
VALUES('compact_rev_key', 1, 0, 0, 0, 0, x'', NULL);";

/// The newest row of a key: revision, whether it deleted the key, the revision of its creation, the value.
type Newest = (i64, bool, i64, Vec<u8>);

/// A connection that writes as kine does.
pub(crate) struct Kine(pub(crate) Connection);

impl Kine {
    /// A new database with bootstrap data of the token `labtoken` and a cluster.
    pub(crate) fn create(path: &Path, page_size: u32) -> Kine {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "page_size", page_size).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let kine = Kine(connection);
        kine.put("/bootstrap/ba1d715a4f9b", b"");
        kine.put("/bootstrap/ba1d715a4f9b", b"salt:encrypted");
        kine.put(
            "/registry/namespaces/kube-system",
            format!(r#"{{"metadata":{{"uid":"{UID}"}}}}"#).as_bytes(),
        );
        kine
    }

    /// Another connection to a database.
    pub(crate) fn open(path: &Path) -> Kine {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        Kine(connection)
    }

    fn newest(&self, key: &str) -> Option<Newest> {
        let sql =
            "SELECT id, deleted, create_revision, value FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            let (id, created): (i64, i64) = (row.get(0)?, row.get(2)?);
            let created = if created == 0 { id } else { created };
            Ok((id, row.get(1)?, created, row.get(3)?))
        };
        self.0.prepare(sql).unwrap().query_row([key], read).optional().unwrap()
    }

    fn insert(
        &self,
        key: &str,
        (created, deleted): (bool, bool),
        value: &[u8],
        before: Option<Newest>,
    ) -> i64 {
        let (previous, _, revision, old) = before.unwrap_or_default();
        let revision = if created { 0 } else { revision };
        let sql = "INSERT INTO kine(name, created, deleted, create_revision, prev_revision, lease, value, old_value) \
                   VALUES(?, ?, ?, ?, ?, 0, ?, ?)";
        let row = params![key, created, deleted, revision, previous, value, old];
        self.0.prepare(sql).unwrap().execute(row).unwrap();
        self.0.last_insert_rowid()
    }

    /// Creates or changes a key, and returns the revision.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> i64 {
        let before = self.newest(key);
        let created = before.as_ref().is_none_or(|(_, deleted, ..)| *deleted);
        self.insert(key, (created, false), value, before)
    }

    /// Deletes a key.
    pub(crate) fn del(&self, key: &str) -> i64 {
        let before = self.newest(key);
        let value = before.as_ref().map(|before| before.3.clone()).unwrap_or_default();
        self.insert(key, (false, true), &value, before)
    }

    /// Compacts up to a revision.
    pub(crate) fn compact(&self, to: i64) {
        let sql = "DELETE FROM kine WHERE id IN (\
                   SELECT prev_revision FROM kine WHERE name != 'compact_rev_key' AND prev_revision != 0 AND id <= ?1 \
                   UNION SELECT id FROM kine WHERE deleted != 0 AND id <= ?1 AND name != 'compact_rev_key')";
        self.0.execute(sql, [to]).unwrap();
        let sql = "UPDATE kine SET prev_revision = max(prev_revision, ?) WHERE name = 'compact_rev_key'";
        self.0.execute(sql, [to]).unwrap();
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> i64 {
        self.0.query_row("SELECT max(id) FROM kine", [], |row| row.get(0)).unwrap()
    }

    /// The bytes of the database in the form of a snapshot, without the checksum; the connection ends.
    pub(crate) fn into_bytes(self, path: &Path) -> Vec<u8> {
        self.0.pragma_update(None, "journal_mode", "delete").unwrap();
        drop(self);
        std::fs::read(path).unwrap()
    }
}
