// SPDX-License-Identifier: Apache-2.0
//! The database of an etcd that does not run, copied: for a file system that cannot clone, and when nobody is there to send.
//!
//! What is read is what bbolt would have copied, so the copy is a snapshot like any other. What stands in etcd's log alone is
//! not in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{CaptureOutcome, Captured, Source};
use crate::error::{Code, Fault};
use crate::host::{Draft, Progress};
use crate::inspect::{self, TRAILER};
use crate::io::ReadAt;
use crate::model::method::Method;

/// The database file of the etcd on this machine, which is down.
#[derive(Debug, Clone)]
pub struct OfflineCopy {
    /// The file, or why there is none that is known.
    pub db: Result<PathBuf, String>,
}

impl Source for OfflineCopy {
    fn fill(
        &self,
        draft: &Draft,
        room: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let refused =
            |why: String| Ok(CaptureOutcome::Unavailable(Fault::new(Code::DatabaseUnavailable, why)));
        let db = match &self.db {
            Ok(db) => db,
            Err(why) => return refused(why.clone()),
        };
        let context = || format!("reading '{}'", db.display());
        let file = File::open(db).with_context(context)?;
        if file.try_lock_shared().is_err() {
            return refused(format!("some process has '{}' open", db.display()));
        }
        let size = file.metadata().with_context(context)?.len();
        let (data, db_len) = match inspect::open_offline(AtRest { file, size }).with_context(context)? {
            Ok(found) => found,
            Err(finding) => {
                let why = format!("the database '{}' cannot be read: {finding}", db.display());
                return Ok(CaptureOutcome::Unavailable(Fault::new(Code::DatabaseCorrupt, why)));
            }
        };
        room(db_len + TRAILER)?;
        progress.step("copying the database", Some(db_len));
        draft.fill_from(&data, 1, u64::MAX, progress)?;
        Ok(CaptureOutcome::Captured(Captured {
            bytes: db_len + TRAILER,
            sha256: None,
            version: None,
            endpoint: String::new(),
            asked: Err("K3s is down, so the database was saved cold; entries that are only in etcd's write-ahead log \
                        are not in it"
                .to_owned()),
            alarms: vec![],
            member: None,
            has_leader: true,
        }))
    }

    /// Read as a clone is, and by another way where there is none.
    fn method(&self) -> Method {
        Method::Clone
    }
}

struct AtRest {
    file: File,
    size: u64,
}

impl ReadAt for AtRest {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::NoProgress;

    const SNAPSHOT: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");

    #[test]
    fn a_database_at_rest_is_copied_as_bbolt_would() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let database = &SNAPSHOT[..SNAPSHOT.len() - 32];
        // The room that bbolt has made ahead.
        std::fs::write(&path, [database, &[0xEE; 65536]].concat()).unwrap();
        let draft = Draft::new(folder.path()).unwrap();
        let cold = OfflineCopy { db: Ok(path.clone()) };
        let filled = cold.fill(&draft, &|_| Ok(()), &NoProgress).unwrap();
        assert!(matches!(filled, CaptureOutcome::Captured(c) if c.bytes == SNAPSHOT.len() as u64));
        let mut copy = vec![0; database.len()];
        draft.reader().unwrap().read_exact_at(&mut copy, 0).unwrap();
        assert!(copy == database && draft.reader().unwrap().size() == database.len() as u64);
        // While etcd has it, it is not at rest.
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        let filled = cold.fill(&Draft::new(folder.path()).unwrap(), &|_| Ok(()), &NoProgress).unwrap();
        assert!(matches!(filled, CaptureOutcome::Unavailable(_)));
    }
}
