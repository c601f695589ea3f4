// SPDX-License-Identifier: Apache-2.0
//! What a database on the disk is: its identity, and what changes when a datastore has opened it.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use crate::distribution;
use crate::host::file_tree;
use crate::host::fs::id_of;
use crate::model::restore::{Database, Fingerprint};

/// What the directory of a database of etcd is; `None` if there is none.
pub(super) fn etcd_database(directory: &Path) -> Result<Option<Database>> {
    let Some(identity) = file_tree::inode_id(directory)? else { return Ok(None) };
    let file = fingerprint(&directory.join(distribution::ETCD_DB_FILE))?;
    Ok(Some(Database { directory: identity, file, log: None }))
}

/// What the database of SQLite in a directory is; `None` if it has no file.
pub(super) fn sqlite_database(directory: &Path) -> Result<Option<Database>> {
    let path = directory.join(distribution::SQLITE_FILE);
    let Some(identity) = file_tree::inode_id(&path)? else { return Ok(None) };
    let [log, _] = distribution::SQLITE_LOGS;
    // SQLite creates an empty log to read a database.
    let log = fingerprint(&directory.join(log))?.filter(|log| log.size > 0);
    Ok(Some(Database { directory: identity, file: fingerprint(&path)?, log }))
}

/// What a file is; `None` if there is none.
pub(super) fn fingerprint(path: &Path) -> Result<Option<Fingerprint>> {
    match fs::metadata(path) {
        Ok(meta) => {
            let id = id_of(&meta);
            Ok(Some(Fingerprint { ino: id.ino, size: id.size, mtime_ns: id.mtime_ns }))
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e).with_context(|| format!("examining '{}'", path.display())),
    }
}
