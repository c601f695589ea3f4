// SPDX-License-Identifier: Apache-2.0
//! A copy of the database file of an etcd that does not run.
//!
//! The bytes are those that bbolt would copy, so the copy is a snapshot like any other. Changes that are only in the write-ahead
//! log of etcd are not in it.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::pace::Pace;
use super::{CaptureOutcome, Captured, Source};
use crate::error::{Code, Fault};
use crate::host::{Draft, FileAt, Progress};
use crate::inspect::{self, TRAILER};
use crate::io::ReadAt;
use crate::model::method::Method;

/// Bytes of one read and one write.
const CHUNK: usize = 256 * 1024;

/// The database file of the stopped etcd on this machine.
#[derive(Debug, Clone)]
pub(crate) struct OfflineCopy {
    /// The file, or why none is known.
    pub(crate) db: Result<PathBuf, String>,
    /// How many bytes may be read per second.
    pub(crate) rate_limit: Option<u64>,
    /// Why etcd is not asked: the first half of a sentence.
    pub(crate) reason: &'static str,
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
            let why = format!("another process has '{}' open", db.display());
            return Ok(CaptureOutcome::Unavailable(Fault::new(Code::DatabaseInUse, why)));
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
        self.copy(&data, db_len, draft, progress).with_context(context)?;
        Ok(CaptureOutcome::Captured(Captured::offline(db_len, self.reason, Method::Offline)))
    }

    fn method(&self) -> Method {
        Method::Offline
    }
}

impl OfflineCopy {
    fn copy(&self, data: &dyn ReadAt, db_len: u64, draft: &Draft, progress: &dyn Progress) -> Result<()> {
        let mut pace = Pace::new(self.rate_limit);
        let (mut at, mut buf) = (0, vec![0; CHUNK]);
        while at < db_len {
            let want = usize::try_from(db_len - at).unwrap_or(usize::MAX).min(CHUNK);
            let (piece, _) = buf.split_at_mut(want);
            data.read_exact_at(piece, at)?;
            draft.append(piece)?;
            progress.advance(want as u64);
            at += want as u64;
            std::thread::sleep(pace.delay(want as u64));
            if pace.is_sync_due() {
                draft.sync()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::NoProgress;

    const SNAPSHOT: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");

    #[test]
    fn a_stopped_database_is_copied_as_bbolt_would_and_a_locked_one_is_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let database = &SNAPSHOT[..SNAPSHOT.len() - 32];
        // The space that bbolt allocates in advance.
        std::fs::write(&path, [database, &[0xEE; 65536]].concat()).unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        let source = OfflineCopy { db: Ok(path.clone()), rate_limit: None, reason: "etcd is stopped" };
        let outcome = source.fill(&draft, &|_| Ok(()), &NoProgress).unwrap();
        assert!(matches!(outcome, CaptureOutcome::Captured(c) if c.bytes == SNAPSHOT.len() as u64));
        let mut copy = vec![0; database.len()];
        draft.reader().unwrap().read_exact_at(&mut copy, 0).unwrap();
        assert!(copy == database && draft.reader().unwrap().size() == database.len() as u64);
        // A running etcd holds this lock.
        let locked = File::open(&path).unwrap();
        locked.lock().unwrap();
        let outcome = source.fill(&Draft::new(dir.path()).unwrap(), &|_| Ok(()), &NoProgress).unwrap();
        assert!(matches!(outcome, CaptureOutcome::Unavailable(f) if f.code() == Code::DatabaseInUse));
    }
}
