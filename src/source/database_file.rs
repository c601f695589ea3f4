// SPDX-License-Identifier: Apache-2.0
//! The database file of a running etcd, opened for reading. Nothing is written to it.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Code, Fault};

/// The codes of a method: the file cannot be used by it here, and using it failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes {
    pub(super) unsupported: Code,
    pub(super) failed: Code,
}

/// Opens the file that has this name now: a defragmentation replaces it.
///
/// # Errors
/// Why this method cannot read the file.
pub(super) fn open(db: &Path, codes: Codes) -> Result<File, Fault> {
    File::open(db).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            Fault::new(codes.unsupported, format!("the database '{}' does not exist", db.display()))
                .hint("Set the data directory of a server with embedded etcd with --data-dir.")
        }
        ErrorKind::PermissionDenied => {
            Fault::new(codes.unsupported, format!("reading '{}': permission denied", db.display()))
                .hint("Run this command as root.")
        }
        _ => Fault::new(codes.failed, format!("opening '{}': {e}", db.display())),
    })
}

/// Whether the name still belongs to the open file. The inode number of an open file is not reused.
pub(super) fn has_name(file: &File, db: &Path) -> io::Result<bool> {
    let id = |meta: &Metadata| (meta.dev(), meta.ino());
    Ok(id(&file.metadata()?) == id(&std::fs::metadata(db)?))
}
