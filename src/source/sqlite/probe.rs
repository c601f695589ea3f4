// SPDX-License-Identifier: Apache-2.0
//! Asks the SQLite database of K3s what is asked of etcd, for a restore and for single objects. kine has no such questions, and any
//! process may read the database while K3s uses it, or while K3s does not run. Nothing is written.

use std::path::PathBuf;

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use super::connection::{explain, highest_revision, open};
use crate::inspect::{self, Comparison, KUBE_SYSTEM, Sample};
use crate::source::{ClusterObjects, DatastoreProbe, MemberStatus};

/// The hint for a database that cannot be read.
const CORRUPT: &str = "Restore the newest snapshot: 'k3s-snapshot restore latest'.";

/// SQLite has one member, which leads.
const SELF: u64 = 1;

/// The database file of the K3s on this machine. Whether K3s uses it is not asked.
#[derive(Debug, Clone)]
pub(crate) struct SqliteProbe {
    /// The file.
    pub(crate) db: PathBuf,
}

impl SqliteProbe {
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        open(&self.db).and_then(|connection| question(&connection)).map_err(|e| explain(e, &self.db, CORRUPT))
    }

    /// The newest value of a key; `None` if it does not exist or was deleted.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let name = String::from_utf8_lossy(key);
        let sql = "SELECT value FROM (SELECT value, deleted FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1) \
                   WHERE deleted = 0";
        let value = self.ask(|connection| {
            connection.query_row(sql, [name], |row| row.get::<_, Option<_>>(0)).optional()
        })?;
        Ok(value.map(Option::unwrap_or_default))
    }
}

impl ClusterObjects for SqliteProbe {
    fn object(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.value(key)
    }
}

impl DatastoreProbe for SqliteProbe {
    fn look(&self) -> Result<MemberStatus> {
        // What the newest rows had may have been handed out, even if a compaction has removed them.
        let revision = self.ask(highest_revision)?;
        Ok(MemberStatus {
            revision,
            member_id: SELF,
            learner: false,
            members: vec![],
            db_size: 0,
            leader_id: SELF,
            alarms: vec![],
            version: String::new(),
        })
    }

    fn cluster_id(&self) -> Result<Option<String>> {
        let value = self.value(KUBE_SYSTEM)?;
        Ok(value.as_deref().and_then(inspect::uid))
    }

    fn answers(&self, urls: &[String]) -> Vec<(String, bool)> {
        // SQLite has no other members.
        urls.iter().map(|url| (url.clone(), false)).collect()
    }

    fn holds(&self, revision: i64, _live: u64, sample: &[Sample]) -> Result<Comparison> {
        self.ask(|connection| {
            let mut at = connection.prepare("SELECT value FROM kine WHERE id = ? AND name = ?")?;
            let mut later = connection.prepare("SELECT 1 FROM kine WHERE name = ? AND id > ?")?;
            for key in sample {
                let name = String::from_utf8_lossy(&key.key);
                let value: Option<Option<Vec<u8>>> =
                    at.query_row((key.mod_revision, &name), |row| row.get(0)).optional()?;
                let is_equal = match value {
                    Some(value) => Sha256::digest(value.unwrap_or_default()).as_slice() == key.value,
                    // K3s has changed the key, and has compacted since.
                    None => later.exists((&name, revision))?,
                };
                if !is_equal {
                    return Ok(Comparison::Differs(format!("the key '{}'", name.escape_debug())));
                }
            }
            Ok(Comparison::Equal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_asked_for_its_revision_its_cluster_and_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("state.db");
        let probe = SqliteProbe { db: db.clone() };
        assert!(probe.look().is_err() && !db.exists(), "nothing is created");
        let connection = Connection::open(&db).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, deleted INTEGER, value BLOB); \
                 INSERT INTO kine VALUES (4, '/registry/namespaces/kube-system', 0, CAST('{\"metadata\":{\"uid\":\"abc\"}}' AS BLOB)), \
                 (5, '/registry/a', 0, x'01'), (6, '/registry/b', 0, x'01'), (9, '/registry/c', 0, x'01'); \
                 DELETE FROM kine WHERE id = 9;",
            )
            .unwrap();
        assert_eq!(probe.look().unwrap().revision, 9, "a revision that was handed out");
        assert_eq!(probe.cluster_id().unwrap().as_deref(), Some("abc"));
        assert_eq!(probe.object(b"/registry/a").unwrap(), Some(vec![1]));
        assert_eq!(probe.object(b"/registry/none").unwrap(), None);
        let sample = |key: &str, mod_revision| Sample {
            key: key.as_bytes().to_vec(),
            mod_revision,
            value: Sha256::digest([1]).into(),
        };
        let holds = |sample| probe.holds(6, 2, &[sample]).unwrap();
        assert_eq!(holds(sample("/registry/a", 5)), Comparison::Equal);
        assert!(matches!(holds(sample("/registry/a", 6)), Comparison::Differs(_)));
        assert!(matches!(holds(sample("/registry/c", 3)), Comparison::Differs(_)));
        connection.execute("UPDATE kine SET value = x'02'", []).unwrap();
        assert!(matches!(holds(sample("/registry/a", 5)), Comparison::Differs(_)));
        connection.execute("UPDATE kine SET id = 10 WHERE name = '/registry/b'", []).unwrap();
        assert_eq!(holds(sample("/registry/b", 6)), Comparison::Equal, "changed since, and compacted");
        connection.execute("UPDATE kine SET deleted = 1", []).unwrap();
        assert_eq!(probe.cluster_id().unwrap(), None);
        assert_eq!(probe.object(b"/registry/a").unwrap(), None, "it was deleted");
    }
}
