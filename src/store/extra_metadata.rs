// SPDX-License-Identifier: Apache-2.0
//! The extra metadata of K3s for the files of a snapshot directory: `.metadata/NAME` next to that directory.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::removal::check_name;
use crate::distribution::METADATA;
use crate::host::Draft;
use crate::host::fs::{create_dir, path_error};

/// The mode with which K3s writes these files.
const MODE: u32 = 0o700;
/// The longest metadata that is read, in bytes. An object of Kubernetes is smaller.
const MAX_SIZE: u64 = 4 << 20;

/// The directory of the metadata of a snapshot directory, as K3s finds it: links in the path are not followed.
pub(super) fn dir_of(snapshots: &Path) -> Option<PathBuf> {
    snapshots.parent().map(|parent| parent.join(METADATA))
}

/// Writes the metadata of a file, over what is there.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(dir: &Path, file: &str, json: &[u8]) -> Result<()> {
    check_name(file)?;
    if !dir.is_dir() {
        create_dir(dir)?;
    }
    let draft = Draft::new(dir)?;
    draft.append(json)?;
    let set_mode = draft.file().set_permissions(Permissions::from_mode(MODE));
    set_mode.with_context(|| format!("setting the mode of a file in '{}'", dir.display()))?;
    draft.replace(file)
}

/// Reads the metadata of a file; `None` if it has none.
///
/// # Errors
/// If it cannot be read, or is not a regular file of a usual size.
pub(super) fn read(dir: &Path, file: &str) -> Result<Option<Vec<u8>>> {
    check_name(file)?;
    let path = dir.join(file);
    let error = |e| path_error(e, "reading", &path);
    match path.symlink_metadata() {
        Ok(meta) if meta.is_file() && meta.len() <= MAX_SIZE => std::fs::read(&path).map(Some).map_err(error),
        Ok(_) => Err(error(io::Error::from(io::ErrorKind::InvalidData))),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(error(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_written_with_the_mode_of_k3s_and_over_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let dir = dir_of(&root.path().join("snapshots")).unwrap();
        assert_eq!(dir, root.path().join(".metadata"));
        assert_eq!(read(&dir, "a-n-1").unwrap(), None);
        for text in ["{\"a\":\"1\"}", "{}"] {
            write(&dir, "a-n-1", text.as_bytes()).unwrap();
            assert_eq!(read(&dir, "a-n-1").unwrap().as_deref(), Some(text.as_bytes()));
        }
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&dir), mode(&dir.join("a-n-1"))), (0o700, 0o700));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "no other file is left");
        std::os::unix::fs::symlink("/etc/hostname", dir.join("b-n-1")).unwrap();
        assert!(read(&dir, "b-n-1").is_err() && write(&dir, "../x", b"").is_err());
    }
}
