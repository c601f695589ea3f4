// SPDX-License-Identifier: Apache-2.0
//! A connection that reads the database of a K3s that may be running, and the errors of SQLite with their codes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Code, Fault};

/// How long a lock of another process may last. In WAL mode K3s locks the database only while it starts.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the database for reading. Nothing that it contains is run.
pub(super) fn open(db: &Path) -> rusqlite::Result<Connection> {
    let connection = open_with(db, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", 1)?;
    Ok(connection)
}

/// Opens a database that no other process uses, for changes.
pub(super) fn open_for_changes(db: &Path) -> rusqlite::Result<Connection> {
    open_with(db, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

fn open_with(db: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(db, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Each page is read once, so that a cache, here in KiB, would only take memory.
    for (name, value) in [("cell_size_check", 1), ("mmap_size", 0), ("cache_size", -256)] {
        connection.pragma_update(None, name, value)?;
    }
    Ok(connection)
}

/// The path of a file that SQLite keeps with the database `db`.
pub(super) fn with_suffix(db: &Path, suffix: &str) -> PathBuf {
    let mut path = db.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The revision of kine: its newest row.
pub(super) fn newest_revision(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT ifnull(max(id), 0) FROM kine", [], |row| row.get(0))
}

/// The highest revision that was ever given: that of the newest row, even if it has been deleted.
pub(super) fn highest_revision(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'kine'";
    let counted: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(newest_revision(connection)?.max(counted))
}

/// An error of SQLite, with its code.
pub(super) fn explain(e: rusqlite::Error, db: &Path, corrupt: &'static str) -> anyhow::Error {
    let what = format!("reading the SQLite database '{}': {e}", db.display());
    let fault = match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Fault::new(Code::DatabaseCorrupt, what)
            .hint(corrupt),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Fault::new(Code::DatabaseLocked, what)
            .hint("Try again; 'fuser -v' with the path of the database shows the process that locks it."),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            Fault::new(Code::DatabaseUnavailable, what).hint(
                "Run this command as root; in a unit, ReadWritePaths= must cover the directory of the database: SQLite \
                 coordinates with K3s by a file there. If there is a file 'state.db-journal', start K3s first: it ends what was \
                 interrupted.",
            )
        }
        _ => return anyhow::Error::from(e).context(format!("reading the SQLite database '{}'", db.display())),
    };
    fault.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;

    #[test]
    fn a_database_that_another_process_locks_is_reported_as_locked() {
        let e = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(5), None);
        assert_eq!(code_of(&explain(e, Path::new("x"), "")), Code::DatabaseLocked);
    }
}
