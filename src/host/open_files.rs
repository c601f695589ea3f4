// SPDX-License-Identifier: Apache-2.0
//! Whether a process has a file open. The caller wants to delete the file, so an error counts as "open". A process whose open
//! files cannot be read is skipped: a caller must not rely on this check alone.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// For each of these files, whether a process has it open or locked.
pub fn held(files: &[PathBuf]) -> Vec<bool> {
    let mut held: Vec<bool> = files.iter().map(|f| locked(f)).collect();
    if held.iter().any(|h| !h) && look(files, &mut held).is_err() {
        held.fill(true);
    }
    held
}

fn locked(file: &Path) -> bool {
    match File::open(file) {
        Ok(open) => open.try_lock().is_err(), // the lock is released with the handle
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    }
}

/// Reads the open files of every process. Compares names first: reading the metadata behind a handle can hang if a network
/// file system hangs.
fn look(files: &[PathBuf], held: &mut [bool]) -> io::Result<()> {
    let wanted: Vec<(&OsStr, Option<Metadata>)> =
        files.iter().map(|f| (f.file_name().unwrap_or_default(), std::fs::metadata(f).ok())).collect();
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        if !process.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let Some(handles) = if_shown(std::fs::read_dir(process.path().join("fd")))? else { continue };
        for handle in handles {
            let Some(handle) = if_shown(handle)? else { continue };
            let Some(target) = if_shown(std::fs::read_link(handle.path()))? else { continue };
            let Some(name) = target.file_name() else { continue };
            for ((_, file), held) in wanted.iter().zip(held.iter_mut()).filter(|((w, _), _)| *w == name) {
                *held |= match (std::fs::metadata(handle.path()), file) {
                    (Ok(open), Some(file)) => (open.dev(), open.ino()) == (file.dev(), file.ino()),
                    _ => true,
                };
            }
        }
    }
    Ok(())
}

/// `None` if the process or the handle is gone, or if reading it is not permitted. In a container or a sandboxed unit, even
/// root cannot read every process.
pub(super) fn if_shown<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) => match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
            _ => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_held_and_a_closed_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: &str| dir.path().join(n);
        let open = File::create(path("open-here")).unwrap();
        std::fs::write(path("closed"), b"x").unwrap();
        let files = [path("open-here"), path("closed"), path("none")];
        assert_eq!(held(&files), [true, false, false]);
        drop(open);
        assert_eq!(held(&files), [false, false, false]);
        let locked = File::open(path("closed")).unwrap();
        locked.lock().unwrap();
        assert_eq!(held(&files), [false, true, false]);
    }
}
