// SPDX-License-Identifier: Apache-2.0
//! The method `clone`: the draft shares the blocks of etcd's database file, whatever its size (a reflink).
//!
//! The kernel clones a file between two writes, never during one. bbolt writes the pages of a commit before the meta page that
//! refers to them, and never overwrites a page that the newest meta page reaches. So a clone is what a power cut would have
//! left; in its canonical form it equals bbolt's own copy. It lacks what etcd has not committed yet, so its revision is compared
//! with the one that the cluster has acknowledged. Nothing is written to the file of etcd.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::database_file::{self, Codes};
use super::etcd::EtcdStream;
use super::{CaptureOutcome, Captured, Source};
use crate::error::{Code, Fault, Kind, kind_of};
use crate::host::{Draft, Progress};
use crate::inspect::{self, CanonicalImage, TRAILER};
use crate::model::method::Method;

/// etcd commits what it has acknowledged every 100 ms, or sooner.
const POLL_INTERVAL: Duration = Duration::from_millis(120);
/// How often the file is cloned until it has the acknowledged revision. A disk that takes longer than that for its commits has
/// other problems.
const MAX_POLLS: u32 = 15;
const CODES: Codes = Codes { unsupported: Code::CloneUnsupported, failed: Code::CloneFailed };

/// The database file of the etcd on this machine.
#[derive(Debug, Clone)]
pub(crate) struct ReflinkSource {
    /// The file, or why none is known to belong to this etcd.
    pub(crate) db: Result<PathBuf, String>,
    /// The etcd that writes the file.
    pub(crate) etcd: EtcdStream,
    /// Whether there is no other method. Then a clone is kept even if it is behind, or if etcd does not answer.
    pub(crate) only: bool,
}

impl Source for ReflinkSource {
    fn fill(
        &self,
        draft: &Draft,
        ensure_space: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let db = match &self.db {
            Ok(db) => db,
            Err(why) => {
                let fault = unsupported(why.clone(), "Use --method auto or stream.");
                return Ok(CaptureOutcome::Unavailable(fault));
            }
        };
        // A clone takes no space, but etcd needs new blocks for everything that it overwrites from now on.
        if let Ok(meta) = std::fs::metadata(db) {
            ensure_space(meta.len())?;
        }
        progress.step("cloning the database", None);
        // Once before etcd is asked: a file system that cannot clone is then known at no cost, and if etcd has committed
        // everything, this is the snapshot.
        let mut clone = match clone_database(db, draft) {
            Ok(clone) => clone,
            Err(fault) => return Ok(CaptureOutcome::Unavailable(fault)),
        };
        let handshake = match self.etcd.ask() {
            Ok(handshake) => handshake,
            // A learner gives no snapshot by a clone either.
            Err(e) if !self.only || kind_of(&e) != Kind::Failed || is_in_use(db) => return Err(e),
            Err(e) => return Ok(into_offline_capture(clone, &e)),
        };
        // Without a quorum the revision of this member counts: a stream would not have more.
        let wanted = handshake.cluster_revision.as_ref().copied().unwrap_or(handshake.applied);
        for _ in 1..MAX_POLLS {
            if revision(&clone) >= wanted {
                break;
            }
            std::thread::sleep(POLL_INTERVAL);
            clone = match clone_database(db, draft) {
                Ok(clone) => clone,
                Err(fault) => return Ok(CaptureOutcome::Unavailable(fault)),
            };
        }
        let reached = revision(&clone);
        Ok(match clone {
            Err(why) => CaptureOutcome::Unavailable(Fault::new(
                Code::DatabaseCorrupt,
                format!("no clone of '{}' can be read: {why}", db.display()),
            )),
            Ok(_) if reached < wanted && !self.only => CaptureOutcome::Unavailable(Fault::new(
                Code::CloneBehind,
                format!("the database file stays at revision {reached}; the cluster has revision {wanted}"),
            )),
            Ok(image) => CaptureOutcome::Captured(Captured::online(
                image.db_len + TRAILER,
                None,
                handshake,
                Method::Clone,
            )),
        })
    }

    fn method(&self) -> Method {
        Method::Clone
    }

    fn max_attempts(&self) -> u32 {
        2
    }
}

/// The canonical clone in the draft, or why this clone cannot be read.
type CanonicalClone = Result<CanonicalImage, String>;

/// etcd is stopped: its file is as it left it.
fn into_offline_capture(clone: CanonicalClone, e: &anyhow::Error) -> CaptureOutcome {
    match clone {
        Err(why) => CaptureOutcome::Unavailable(Fault::new(
            Code::DatabaseCorrupt,
            format!("the clone of the etcd database cannot be read: {why}"),
        )),
        Ok(image) => CaptureOutcome::Captured(Captured::offline(image.db_len, &e.to_string(), Method::Clone)),
    }
}

/// Whether a running etcd has the file open: it holds a lock on it as long as it runs. An etcd that does not answer is then not
/// stopped.
fn is_in_use(db: &Path) -> bool {
    File::open(db).is_ok_and(|f| matches!(f.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Clones the file that has this name now: a defragmentation replaces it. A fault is permanent.
fn clone_database(db: &Path, draft: &Draft) -> Result<CanonicalClone, Fault> {
    let live = database_file::open(db, CODES)?;
    draft.clone_of(&live).map_err(|e| explain(&e, db, draft.folder()))?;
    canonicalize(draft)
        .map_err(|e| Fault::new(Code::CloneFailed, format!("reading the clone of '{}': {e:#}", db.display())))
}

/// Changes the clone to what bbolt's own copy would be, except for the trailer.
fn canonicalize(draft: &Draft) -> Result<CanonicalClone> {
    let image = match inspect::canonicalize(&draft.reader()?)? {
        Ok(image) => image,
        Err(finding) => return Ok(Err(finding.to_string())),
    };
    draft.file().set_len(image.db_len)?;
    draft.file().write_all_at(&image.metas, 0)?;
    Ok(Ok(image))
}

/// The revision of a clone; 0 if it is not known.
fn revision(clone: &CanonicalClone) -> i64 {
    clone.as_ref().ok().and_then(|image| image.revision).unwrap_or(0)
}

/// Why the kernel does not clone the file: the errors of ioctl_ficlone(2).
fn explain(e: &io::Error, db: &Path, dir: &Path) -> Fault {
    let stream = "Use --method auto or stream; etcd then sends the snapshot.";
    match e.kind() {
        ErrorKind::CrossesDevices => unsupported(
            format!(
                "'{}' and '{}' are not on the same file system, or are reached through two mounts (EXDEV)",
                db.display(),
                dir.display()
            ),
            "Set a directory on the file system of the database with --dir; in a unit, one ReadWritePaths= must cover both. Or use \
             --method auto or stream.",
        ),
        ErrorKind::Unsupported => unsupported(
            format!("the file system of '{}' cannot clone files (EOPNOTSUPP)", dir.display()),
            stream,
        ),
        ErrorKind::InvalidInput => unsupported(
            format!("the file system of '{}' does not clone '{}' (EINVAL)", dir.display(), db.display()),
            "On btrfs, set the attribute C (no copy on write) on both or on neither, see lsattr(1). Or use --method auto or stream.",
        ),
        ErrorKind::PermissionDenied => unsupported(
            format!("cloning '{}': permission denied ({e})", db.display()),
            "Run this command as root.",
        ),
        _ => Fault::new(Code::CloneFailed, format!("cloning '{}' to '{}': {e}", db.display(), dir.display()))
            .hint(stream),
    }
}

fn unsupported(why: String, hint: &str) -> Fault {
    Fault::new(Code::CloneUnsupported, why).hint(hint)
}
