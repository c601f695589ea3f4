// SPDX-License-Identifier: Apache-2.0
//! The method `copy`: the database file is copied while etcd keeps a snapshot of it open, on every file system.
//!
//! etcd opens a snapshot as for a stream, but sends only its first bytes. As long as the snapshot is open, no page of it changes in
//! the file, and the file can be read at the speed of the disk. The two meta pages come from etcd. Afterwards etcd must
//! continue to send: this confirms that the snapshot was open all the time. A copy without this confirmation is discarded.
//!
//! Only unused pages can differ from a stream of the same snapshot. Nothing is written to the file of etcd.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::database_file::{self, Codes};
use super::etcd::{EtcdStream, Pin};
use super::pace::Pace;
use super::{CaptureOutcome, Captured, Source};
use crate::error::{Code, Fault};
use crate::host::{Draft, FileAt, Progress, sleep_exactly};
use crate::inspect::TRAILER;
use crate::model::method::Method;

const CODES: Codes = Codes { unsupported: Code::CopyUnsupported, failed: Code::CopyFailed };
/// Bytes of one read and one write. Many kernels do not take the processor away inside of a system call: etcd would wait for its end.
const CHUNK: usize = 32 * 1024;

/// The database file of the etcd on this machine.
#[derive(Debug, Clone)]
pub(crate) struct PinnedCopy {
    /// The file, or why none is known to belong to this etcd.
    pub(crate) db: Result<PathBuf, String>,
    /// The etcd that writes the file.
    pub(crate) etcd: EtcdStream,
}

impl Source for PinnedCopy {
    fn fill(
        &self,
        draft: &Draft,
        ensure_space: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let db = match &self.db {
            Ok(db) => db,
            Err(why) => {
                let fault = Fault::new(Code::CopyUnsupported, why.clone());
                return Ok(CaptureOutcome::Unavailable(fault.hint("Use --method auto or stream.")));
            }
        };
        let file = match database_file::open(db, CODES) {
            Ok(file) => file,
            Err(fault) => return Ok(CaptureOutcome::Unavailable(fault)),
        };
        progress.step("asking etcd", None);
        let pin = match self.etcd.pin(ensure_space)? {
            Ok(pin) => pin,
            Err(fault) => return Ok(CaptureOutcome::Unavailable(fault)),
        };
        if !pin.is_pinned() {
            return receive(pin, draft, progress);
        }
        let db_len = pin.database_len();
        progress.step("copying the database", Some(db_len));
        let job = Job { db, file: &file, db_len, draft, progress };
        let pace = Pace::of_open_snapshot(self.etcd.rate_limit, db_len);
        let copied = pin.hold_during(|head| job.copy(head, pace))??;
        // The snapshot of etcd ends here, before the disk has written the copy.
        let confirmed = copied.and_then(|()| pin.confirm().map_err(|e| interrupted(db, &e.to_string())));
        Ok(match confirmed {
            Ok(handshake) => {
                CaptureOutcome::Captured(Captured::online(db_len + TRAILER, None, handshake, Method::Copy))
            }
            Err(fault) => CaptureOutcome::Unavailable(fault),
        })
    }

    fn method(&self) -> Method {
        Method::Copy
    }

    fn max_attempts(&self) -> u32 {
        2
    }
}

/// A small database arrives as a whole before its pages can be kept from changing. Then this stream is the snapshot.
fn receive(pin: Pin<'_>, draft: &Draft, progress: &dyn Progress) -> Result<CaptureOutcome> {
    let db_len = pin.database_len();
    progress.step("receiving the snapshot", Some(db_len));
    let (bytes, sha256, handshake) = pin.receive(draft, progress)?;
    let reason = format!("the database has only {db_len} bytes");
    let captured = Captured::online(bytes, Some(sha256), handshake, Method::Stream);
    Ok(CaptureOutcome::Captured(Captured { method_reason: Some(reason), ..captured }))
}

/// One copy of a file.
struct Job<'a> {
    db: &'a Path,
    file: &'a File,
    db_len: u64,
    draft: &'a Draft,
    progress: &'a dyn Progress,
}

impl Job<'_> {
    /// Writes the database to the draft: `head` from etcd, the rest from its file. The pass that verifies adds the trailer: a
    /// checksum here would keep the snapshot of etcd open for longer.
    ///
    /// # Errors
    /// Outside: the draft cannot be written. Inside: the file cannot be read, or is not the one of the snapshot.
    fn copy(&self, head: &[u8], mut pace: Pace) -> Result<Result<(), Fault>> {
        // A defragmentation replaces the file, but not while a snapshot of it is open. So a file that has the name before and
        // after the copy is the file of the snapshot.
        if let Err(fault) = ensure_same(self.file, self.db) {
            return Ok(Err(fault));
        }
        let reader = match self.file.try_clone().map_err(anyhow::Error::from).and_then(FileAt::new) {
            Ok(reader) => reader.without_read_ahead(),
            Err(e) => return Ok(Err(failed(self.db, &format!("{e:#}")))),
        };
        self.write(head)?;
        let (mut at, mut buf) = (head.len() as u64, vec![0; CHUNK]);
        while at < self.db_len {
            let want = usize::try_from(self.db_len - at).unwrap_or(usize::MAX).min(CHUNK);
            let (piece, _) = buf.split_at_mut(want);
            if let Err(e) = reader.read_once(piece, at) {
                return Ok(Err(failed(self.db, &format!("byte {at}: {e}"))));
            }
            self.write(piece)?;
            at += want as u64;
            sleep_exactly(pace.delay(want as u64));
            if pace.is_sync_due() {
                self.draft.sync()?;
            }
        }
        if let Err(fault) = ensure_same(self.file, self.db) {
            return Ok(Err(fault));
        }
        Ok(Ok(()))
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        self.draft.append(bytes)?;
        self.progress.advance(bytes.len() as u64);
        Ok(())
    }
}

fn ensure_same(file: &File, db: &Path) -> Result<(), Fault> {
    match database_file::has_name(file, db) {
        Ok(true) => Ok(()),
        Ok(false) => Err(interrupted(db, "another file has this name now")),
        Err(e) => Err(failed(db, &e.to_string())),
    }
}

fn failed(db: &Path, cause: &str) -> Fault {
    Fault::new(Code::CopyFailed, format!("copying '{}': {cause}", db.display()))
        .hint("Use --method auto or stream.")
}

fn interrupted(db: &Path, cause: &str) -> Fault {
    Fault::new(Code::CopyInterrupted, format!("copying '{}': {cause}", db.display()))
        .hint("Try again, or use --method auto or stream.")
}
