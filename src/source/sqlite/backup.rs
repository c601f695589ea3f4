// SPDX-License-Identifier: Apache-2.0
//! The method `backup`: the pages of the SQLite database of a K3s that may be running.
//!
//! One read transaction sees one state of the database, with what is in its write-ahead log. Every page of that state is read
//! once, so the time depends on the size of the database and not on its writers. They cannot make the backup start again, as
//! the backup interface of SQLite would. The log keeps what they write during that time. Nothing is written to the database.
//!
//! Writers are blocked for the rest of the transaction if kine begins to empty the log, which it does after each compaction, or
//! if the database has no such log. So the files are read once before it: the transaction then copies from memory to memory.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, Transaction};

use super::connection::{explain, newest_revision, open, with_suffix};
use super::wal::Damage;
use crate::error::{Code, Fault};
use crate::host::{Draft, Progress};
use crate::inspect::TRAILER;
use crate::model::method::Method;
use crate::model::status::SqliteStatus;
use crate::source::{CaptureOutcome, Captured, Source};

/// The hint for a database that cannot be read.
const CORRUPT: &str = "Nothing was kept. Keep the older snapshots, and check the disk of this server.";
/// Bytes that are written at once.
const CHUNK: usize = 256 << 10;

/// The database file of the K3s on this machine.
#[derive(Debug, Clone)]
pub(crate) struct SqliteSource {
    /// The file.
    pub(crate) db: PathBuf,
}

impl Source for SqliteSource {
    fn fill(
        &self,
        draft: &Draft,
        ensure_space: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        progress.step("opening the SQLite database", None);
        self.read_ahead();
        let damage = Damage::find(&self.db);
        let explain = |e| explain(e, &self.db, CORRUPT);
        let mut connection = open(&self.db).map_err(explain)?;
        if !has_kine(&connection).map_err(explain)? {
            let what = format!("the SQLite database '{}' has no table of kine", self.db.display());
            return Err(Fault::new(Code::DatabaseCorrupt, what).hint(CORRUPT).into());
        }
        // What K3s had acknowledged before: the transaction that begins later must have it.
        let acknowledged = newest_revision(&connection).map_err(explain)?;
        let transaction = connection.transaction().map_err(explain)?;
        let size = Size::of(&transaction).map_err(explain)?;
        ensure_space(size.bytes() + TRAILER)?;
        progress.step("copying the database", Some(size.bytes()));
        copy_pages(&transaction, size, draft, progress).map_err(|e| {
            match e.downcast::<rusqlite::Error>() {
                Ok(e) => explain(e),
                Err(e) => e,
            }
        })?;
        let captured =
            Captured::of_sqlite(size.bytes(), acknowledged, damage.map(|damage| damage.sentence()));
        Ok(CaptureOutcome::Captured(captured))
    }

    fn method(&self) -> Method {
        Method::Backup
    }

    fn max_attempts(&self) -> u32 {
        2
    }
}

impl SqliteSource {
    /// Reads the database and its log into the memory of the kernel. No connection may be open: closing a file releases all
    /// locks that this process has on it.
    fn read_ahead(&self) {
        for file in [self.db.clone(), with_suffix(&self.db, "-wal")] {
            // What cannot be read is reported by the connection.
            let _ = File::open(file).and_then(|file| {
                std::io::copy(&mut BufReader::with_capacity(CHUNK, file), &mut std::io::sink())
            });
        }
    }

    /// The revision of kine and the size of the database in bytes.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(crate) fn look(&self) -> Result<SqliteStatus> {
        let read = || {
            let mut connection = open(&self.db)?;
            let transaction = connection.transaction()?;
            let db_bytes = Size::of(&transaction)?.bytes();
            Ok(SqliteStatus { revision: newest_revision(&transaction)?, db_bytes })
        };
        read().map_err(|e| explain(e, &self.db, CORRUPT))
    }
}

/// The size of the database as the transaction sees it.
#[derive(Debug, Clone, Copy)]
struct Size {
    pages: u32,
    page_size: u32,
}

impl Size {
    /// Begins the read transaction.
    fn of(transaction: &Transaction<'_>) -> rusqlite::Result<Size> {
        let number = |pragma: &str| transaction.query_row(pragma, [], |row| row.get(0));
        Ok(Size { pages: number("PRAGMA page_count")?, page_size: number("PRAGMA page_size")? })
    }

    fn bytes(self) -> u64 {
        u64::from(self.pages) * u64::from(self.page_size)
    }
}

/// Whether it is a database of kine.
fn has_kine(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'kine'";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|count| count == 1)
}

/// Writes every page into the draft.
fn copy_pages(
    transaction: &Transaction<'_>,
    size: Size,
    draft: &Draft,
    progress: &dyn Progress,
) -> Result<()> {
    let mut statement = transaction.prepare("SELECT pgno, data FROM sqlite_dbpage ORDER BY pgno")?;
    let mut rows = statement.query([])?;
    let (mut buffer, mut expected) = (Vec::with_capacity(CHUNK + size.page_size as usize), 1);
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        let page = row.get_ref(1)?.as_blob().context("reading a page of the database")?;
        anyhow::ensure!(
            number == expected && page.len() == size.page_size as usize,
            "the database gave page {number} of {} bytes instead of page {expected}",
            page.len()
        );
        expected += 1;
        let start = buffer.len();
        buffer.extend_from_slice(page);
        if number == 1 {
            make_canonical(buffer.get_mut(start..).unwrap_or_default(), size.pages);
        }
        if buffer.len() >= CHUNK {
            draft.append(&buffer)?;
            progress.advance(buffer.len() as u64);
            buffer.clear();
        }
    }
    draft.append(&buffer)?;
    let copied = expected - 1;
    anyhow::ensure!(copied == size.pages, "the database gave {copied} of {} pages", size.pages);
    Ok(())
}

/// Changes the first page to that of a database without a write-ahead log: a program that opens the file looks for none. The
/// number of pages is made valid, so that SQLite does not take the checksum after the last page for a page.
fn make_canonical(page: &mut [u8], pages: u32) {
    let changes: Vec<u8> = page.get(24..28).unwrap_or_default().to_vec();
    for (at, bytes) in [(18, &[1, 1][..]), (28, &pages.to_be_bytes()), (92, &changes)] {
        if let Some(field) = page.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::code_of;
    use crate::host::NoProgress;
    use crate::inspect;

    /// A database of kine in WAL mode, with its log not yet in the file.
    fn kine(dir: &Path) -> Connection {
        let connection = Connection::open(dir.join("state.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection
            .execute_batch(
                "CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER, \
                 create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB); \
                 CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision); \
                 INSERT INTO kine VALUES (1, 'compact_rev_key', 0, 1, 0, 0, 0, x'', NULL); \
                 INSERT INTO kine VALUES (2, '/registry/a', 1, 0, 0, 0, 0, zeroblob(9000), NULL);",
            )
            .unwrap();
        connection
    }

    fn fill(dir: &Path, draft: &Draft) -> Result<CaptureOutcome> {
        SqliteSource { db: dir.join("state.db") }.fill(draft, &|_| Ok(()), &NoProgress)
    }

    #[test]
    fn a_backup_has_what_is_only_in_the_log_and_no_later_write() {
        let dir = tempfile::tempdir().unwrap();
        let connection = kine(dir.path());
        let draft = Draft::new(dir.path()).unwrap();
        let CaptureOutcome::Captured(captured) = fill(dir.path(), &draft).unwrap() else { panic!() };
        assert_eq!(captured.asked, Ok(2));
        connection.execute("UPDATE kine SET value = x'01'", []).unwrap();
        let reader = draft.reader().unwrap();
        let checked = inspect::verify(&reader, captured.bytes - TRAILER).unwrap();
        assert!(checked.is_clean(), "{:?}", checked.findings);
        assert_eq!((checked.facts.revision, checked.facts.key_revisions), (2, 2));
        assert_eq!(crate::io::ReadAt::size(&reader) + TRAILER, captured.bytes);
    }

    /// K3s was killed: its log is left, and no process has the database open.
    #[test]
    fn a_backup_of_a_stopped_k3s_leaves_its_files_as_they_are() {
        let (dir, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let connection = kine(dir.path());
        for emptied in [false, true] {
            if emptied {
                // All of the log is in the database too.
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
            }
            let files = ["state.db", "state.db-wal"];
            let bytes = |dir: &Path| files.map(|file| std::fs::read(dir.join(file)).unwrap());
            for file in files {
                std::fs::copy(dir.path().join(file), stopped.path().join(file)).unwrap();
            }
            let draft = Draft::new(dir.path()).unwrap();
            let CaptureOutcome::Captured(captured) = fill(stopped.path(), &draft).unwrap() else { panic!() };
            assert_eq!(captured.asked, Ok(2));
            assert!(bytes(stopped.path()) == bytes(dir.path()), "emptied: {emptied}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_and_one_that_is_missing_have_their_codes() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        let code = || code_of(&fill(dir.path(), &draft).unwrap_err());
        assert_eq!(code(), Code::DatabaseUnavailable);
        std::fs::write(dir.path().join("state.db"), [7; 8192]).unwrap();
        assert_eq!(code(), Code::DatabaseCorrupt);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was created");
    }
}
