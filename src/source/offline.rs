// SPDX-License-Identifier: Apache-2.0
//! A copy of the database file of an etcd that does not run, for a file system that cannot clone files.
//!
//! The bytes are those that bbolt would copy, so the copy is a snapshot like any other. Changes that are only in the write-ahead
//! log of etcd are not in it.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{CaptureOutcome, Captured, Source};
use crate::error::{Code, Fault};
use crate::host::{Draft, FileAt, Progress};
use crate::inspect::{self, TRAILER};
use crate::model::method::Method;

/// The database file of the stopped etcd on this machine.
#[derive(Debug, Clone)]
pub(crate) struct OfflineCopy {
    /// The file, or why none is known.
    pub(crate) db: Result<PathBuf, String>,
}

impl Source for OfflineCopy {
    fn fill(
        &self,
        draft: &Draft,
        ensure_space: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let unavailable =
            |why: String| Ok(CaptureOutcome::Unavailable(Fault::new(Code::DatabaseUnavailable, why)));
        let db = match &self.db {
            Ok(db) => db,
            Err(why) => return unavailable(why.clone()),
        };
        let context = || format!("reading '{}'", db.display());
        let file = File::open(db).with_context(context)?;
        if file.try_lock_shared().is_err() {
            return unavailable(format!("another process has '{}' open", db.display()));
        }
        let file = FileAt::new(file).with_context(context)?;
        let (data, db_len) = match inspect::open_offline(file).with_context(context)? {
            Ok(opened) => opened,
            Err(finding) => {
                let why = format!("the database '{}' is corrupt: {finding}", db.display());
                return Ok(CaptureOutcome::Unavailable(Fault::new(Code::DatabaseCorrupt, why)));
            }
        };
        ensure_space(db_len + TRAILER)?;
        progress.step("copying the database", Some(db_len));
        draft.fill_from(&data, 1, u64::MAX, progress)?;
        Ok(CaptureOutcome::Captured(Captured::offline(db_len, "K3s is stopped", Method::Clone)))
    }

    /// The same as of a clone: the file is read directly.
    fn method(&self) -> Method {
        Method::Clone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::NoProgress;
    use crate::io::ReadAt;

    const SNAPSHOT: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");

    #[test]
    fn a_stopped_database_is_copied_as_bbolt_would_and_a_locked_one_is_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let database = &SNAPSHOT[..SNAPSHOT.len() - 32];
        // The space that bbolt allocates in advance.
        std::fs::write(&path, [database, &[0xEE; 65536]].concat()).unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        let source = OfflineCopy { db: Ok(path.clone()) };
        let outcome = source.fill(&draft, &|_| Ok(()), &NoProgress).unwrap();
        assert!(matches!(outcome, CaptureOutcome::Captured(c) if c.bytes == SNAPSHOT.len() as u64));
        let mut copy = vec![0; database.len()];
        draft.reader().unwrap().read_exact_at(&mut copy, 0).unwrap();
        assert!(copy == database && draft.reader().unwrap().size() == database.len() as u64);
        // A running etcd holds this lock.
        let locked = File::open(&path).unwrap();
        locked.lock().unwrap();
        let outcome = source.fill(&Draft::new(dir.path()).unwrap(), &|_| Ok(()), &NoProgress).unwrap();
        assert!(matches!(outcome, CaptureOutcome::Unavailable(f) if f.code() == Code::DatabaseUnavailable));
    }
}
