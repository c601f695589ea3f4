// SPDX-License-Identifier: Apache-2.0
//! Snapshots by clone: the file system shares the blocks of etcd's database file with the draft, whatever its size.
//!
//! The kernel clones a file between two writes, never amid one; bbolt writes a commit's pages before the meta page that
//! names them, and no page that the newest meta page reaches. So a clone is what a power cut would have left, and made
//! into what bbolt's own copy writes it is a snapshot like any other. It lags by what etcd has not committed yet: hence
//! the revision. Nothing is written to etcd's file; etcd is asked, and not disturbed.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::etcd::EtcdStream;
use super::{CaptureOutcome, Captured, Source};
use crate::error::{Code, Fault, Kind, kind_of};
use crate::host::{Draft, Progress};
use crate::inspect::{self, CanonicalImage, TRAILER};
use crate::model::method::Method;

/// etcd commits what it has acknowledged each 100 ms, or sooner.
const PAUSE: Duration = Duration::from_millis(120);
/// How often to look. A disk that takes longer than this for its commits has other troubles.
const LOOKS: u32 = 15;

/// The database file of the etcd on this machine.
#[derive(Debug, Clone)]
pub struct ReflinkSource {
    /// The file, or why there is none that is known to be of the etcd that is asked.
    pub db: Result<PathBuf, String>,
    /// The etcd that writes it.
    pub etcd: EtcdStream,
    /// Whether there is no other way: then what it has is kept, with the report saying what could not be known of it.
    pub only: bool,
}

impl Source for ReflinkSource {
    fn fill(
        &self,
        draft: &Draft,
        room: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let db = match &self.db {
            Ok(db) => db,
            Err(why) => {
                return Ok(CaptureOutcome::Unavailable(refused(why.clone(), "Use --method auto or stream.")));
            }
        };
        // Its blocks are there already, but from now on etcd needs new ones for what it overwrites.
        if let Ok(meta) = std::fs::metadata(db) {
            room(meta.len())?;
        }
        progress.step("cloning the database", None);
        // Once before etcd is asked: where it cannot be done, that is known at no cost; where etcd has committed
        // everything, this is the snapshot.
        let mut clone = match take(db, draft) {
            Ok(clone) => clone,
            Err(fault) => return Ok(CaptureOutcome::Unavailable(fault)),
        };
        let answer = match self.etcd.ask() {
            Ok(answer) => answer,
            // A learner is no better for being cloned.
            Err(e) if !self.only || kind_of(&e) != Kind::Failed || in_use(db) => return Err(e),
            Err(e) => return Ok(cold(clone, &e)),
        };
        // Where no quorum tells what is acknowledged, this member's own word stands in: a stream would hold no more.
        let wanted = answer.asked.as_ref().copied().unwrap_or(answer.applied);
        for _ in 1..LOOKS {
            if revision(&clone) >= wanted {
                break;
            }
            std::thread::sleep(PAUSE);
            clone = match take(db, draft) {
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
                format!("the database file stays at revision {reached}, while {wanted} was acknowledged"),
            )),
            Ok(normal) => CaptureOutcome::Captured(Captured {
                bytes: normal.db_len + TRAILER,
                sha256: None,
                version: Some(answer.version),
                endpoint: answer.endpoint,
                asked: answer.asked,
                alarms: answer.alarms,
                member: answer.member,
                has_leader: answer.has_leader,
            }),
        })
    }

    fn method(&self) -> Method {
        Method::Clone
    }

    fn max_attempts(&self) -> u32 {
        2
    }
}

/// A clone in the draft, or why there is none this time.
type Taken = Result<CanonicalImage, String>;

/// etcd is down: its file is as it left it.
fn cold(clone: Taken, e: &anyhow::Error) -> CaptureOutcome {
    match clone {
        Err(why) => CaptureOutcome::Unavailable(Fault::new(
            Code::DatabaseCorrupt,
            format!("the clone of etcd's database cannot be read: {why}"),
        )),
        Ok(normal) => CaptureOutcome::Captured(Captured {
            bytes: normal.db_len + TRAILER,
            sha256: None,
            version: None,
            endpoint: String::new(),
            asked: Err(format!(
                "{e}, so the database was saved cold; entries that are only in etcd's write-ahead log are not in it"
            )),
            alarms: vec![],
            member: None,
            has_leader: true,
        }),
    }
}

/// Whether a running etcd holds the file: it locks it as long as it lives. Then an etcd that does not answer is not down.
fn in_use(db: &Path) -> bool {
    File::open(db).is_ok_and(|f| matches!(f.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Clones the file as it is now under its name: defragmentation puts another there. A fault is for good.
fn take(db: &Path, draft: &Draft) -> Result<Taken, Fault> {
    let live = File::open(db).map_err(|e| match e.kind() {
        ErrorKind::NotFound => refused(
            format!("there is no database at '{}'", db.display()),
            "Name the data-dir of a server with embedded etcd with --data-dir.",
        ),
        ErrorKind::PermissionDenied => {
            refused(format!("no permission to read '{}'", db.display()), "Run it as root.")
        }
        _ => Fault::new(Code::CloneFailed, format!("opening '{}': {e}", db.display())),
    })?;
    draft.clone_of(&live).map_err(|e| explain(&e, db, draft.folder()))?;
    normalise(draft)
        .map_err(|e| Fault::new(Code::CloneFailed, format!("reading a clone of '{}': {e:#}", db.display())))
}

/// Makes the clone what bbolt's own copy would have been, up to the trailer.
fn normalise(draft: &Draft) -> Result<Taken> {
    let normal = match inspect::canonicalize(&draft.reader()?)? {
        Ok(normal) => normal,
        Err(finding) => return Ok(Err(finding.to_string())),
    };
    draft.file().set_len(normal.db_len)?;
    draft.file().write_all_at(&normal.metas, 0)?;
    Ok(Ok(normal))
}

/// What it reaches; 0 is before any revision.
fn revision(clone: &Taken) -> i64 {
    clone.as_ref().ok().and_then(|normal| normal.revision).unwrap_or(0)
}

/// Why the kernel does not clone, in the words of ioctl_ficlone(2).
fn explain(e: &io::Error, db: &Path, folder: &Path) -> Fault {
    let stream = "Use --method auto or stream: etcd then sends the snapshot.";
    match e.kind() {
        ErrorKind::CrossesDevices => refused(
            format!(
                "'{}' and '{}' are not on one file system, or are seen through two mounts (EXDEV)",
                db.display(),
                folder.display()
            ),
            "Name a folder on the file system of the database with --dir; in a unit, one ReadWritePaths= has to cover both. Or use --method auto or stream.",
        ),
        ErrorKind::Unsupported => refused(
            format!("the file system of '{}' cannot clone files (EOPNOTSUPP)", folder.display()),
            stream,
        ),
        ErrorKind::InvalidInput => refused(
            format!("the file system of '{}' does not clone '{}' (EINVAL)", folder.display(), db.display()),
            "On btrfs both have to be alike in their attribute C (no copy on write), see lsattr(1). Or use --method auto or stream.",
        ),
        ErrorKind::PermissionDenied => {
            refused(format!("no permission to clone '{}' ({e})", db.display()), "Run it as root.")
        }
        _ => Fault::new(
            Code::CloneFailed,
            format!("cloning '{}' to '{}': {e}", db.display(), folder.display()),
        )
        .hint(stream),
    }
}

fn refused(why: String, hint: &str) -> Fault {
    Fault::new(Code::CloneUnsupported, why).hint(hint)
}
