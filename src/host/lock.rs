// SPDX-License-Identifier: Apache-2.0
//! One lock per data-dir, held by a run that changes something. The kernel releases the lock when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::fs::{create_dir, path_error};
use super::progress::Progress;
use crate::error::{Code, Fault};
use crate::util::hex;

/// The pause between two tries. The kernel has no call that waits for a lock with a timeout.
const PAUSE: Duration = Duration::from_millis(200);

/// A lock, held as long as the value lives.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Acquires the lock of `data_dir`. While another run holds the lock, waits for `patience` at most.
    ///
    /// # Errors
    /// [`Code::Locked`] if another run still holds the lock; or if the file of the lock cannot be opened.
    pub fn acquire(
        run_dir: &Path,
        data_dir: &Path,
        patience: Duration,
        progress: &dyn Progress,
    ) -> Result<Lock> {
        create_dir(run_dir)?;
        let real = real_path(data_dir);
        let hash = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let hash = hex(hash.get(..6).unwrap_or_default());
        let path = run_dir.join(format!("{hash}.lock"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| path_error(e, "opening the lock", &path))?;
        let began = Instant::now();
        let mut logged = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                    if !logged {
                        progress.step("waiting for another run to end", None);
                        log::info!("another run uses '{}'; waiting until it ends", data_dir.display());
                        logged = true;
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let what = format!("locking '{}': another run holds the lock", data_dir.display());
                    let hint = "Wait until the other run has ended, or wait for it with --retry-lock TIME.";
                    return Err(Fault::new(Code::Locked, what).hint(hint).into());
                }
                Err(TryLockError::Error(e)) => {
                    return Err(e).with_context(|| format!("locking '{}'", path.display()));
                }
            }
        }
    }
}

/// The path with its links followed, as far as it exists: the lock is the same one before the directory is created and after.
fn real_path(path: &Path) -> PathBuf {
    let resolved = path.ancestors().find_map(|existing| {
        let rest = path.strip_prefix(existing).ok()?;
        // Without `components`, a path that exists as a whole would end with a slash, and have another lock.
        Some(existing.canonicalize().ok()?.components().chain(rest.components()).collect())
    });
    resolved.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::host::progress::NoProgress;

    #[test]
    fn the_lock_of_a_directory_behind_a_link_is_the_same_before_and_after_it_is_created() {
        let (run, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let take = |data: &Path| Lock::acquire(run.path(), data, Duration::ZERO, &NoProgress);
        let link = run.path().join("link");
        std::os::unix::fs::symlink(data.path(), &link).unwrap();
        let _first = take(&link.join("a/b")).unwrap();
        std::fs::create_dir_all(data.path().join("a/b")).unwrap();
        for path in [link.join("a/b"), data.path().join("a/b")] {
            assert_eq!(crate::error::kind_of(&take(&path).unwrap_err()), Kind::Busy);
        }
        assert!(take(&link.join("a")).is_ok(), "another directory is another lock");
    }

    #[test]
    fn the_second_is_told_busy_until_the_first_is_gone() {
        let run = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        let take = |data: &Path, ms| Lock::acquire(run.path(), data, Duration::from_millis(ms), &NoProgress);
        let first = take(data.path(), 0).unwrap();
        let e = take(&data.path().join("."), 0).unwrap_err();
        assert_eq!(crate::error::kind_of(&e), Kind::Busy);
        assert!(take(run.path(), 0).is_ok(), "another data-dir is another lock");
        let began = Instant::now();
        assert!(take(data.path(), 300).is_err());
        assert!(began.elapsed() >= Duration::from_millis(300), "did not wait");
        let end = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(first);
        });
        assert!(take(data.path(), 10_000).is_ok());
        end.join().unwrap();
    }
}
