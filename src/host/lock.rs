// SPDX-License-Identifier: Apache-2.0
//! One lock per data-dir, held by whoever changes something. The kernel lets go of it when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::fs::{denied, make_folder};
use crate::error::{Fault, Kind};

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Takes the lock of `data_dir`, or answers busy at once.
    pub fn take(run_dir: &Path, data_dir: &Path) -> Result<Lock> {
        make_folder(run_dir)?;
        let real = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
        let hash = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let hash: String = hash.iter().take(6).map(|b| format!("{b:02x}")).collect();
        let path = run_dir.join(format!("{hash}.lock"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| denied(e, format!("opening the lock '{}'", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => {
                Err(Fault::new(Kind::Busy, format!("another run is at work on '{}'", data_dir.display()))
                    .hint("Wait until it has ended, then try again.")
                    .into())
            }
            Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("locking '{}'", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_busy_until_the_first_is_gone() {
        let run = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        let first = Lock::take(run.path(), data.path()).unwrap();
        let e = Lock::take(run.path(), &data.path().join(".")).unwrap_err();
        assert_eq!(crate::error::kind_of(&e), Kind::Busy);
        assert!(Lock::take(run.path(), run.path()).is_ok(), "another data-dir is another lock");
        drop(first);
        assert!(Lock::take(run.path(), data.path()).is_ok());
    }
}
