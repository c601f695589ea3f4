// SPDX-License-Identifier: Apache-2.0
//! Whether a process has a file open. Under doubt the answer is yes: whoever asks wants to delete it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which of these files somebody has open or locked, or may have.
pub fn held(files: &[PathBuf]) -> Vec<bool> {
    let mut held: Vec<bool> = files.iter().map(|f| locked(f)).collect();
    if held.iter().any(|h| !h) && look(files, &mut held).is_err() {
        held.fill(true); // not all processes let us look: nobody knows
    }
    held
}

fn locked(file: &Path) -> bool {
    match File::open(file) {
        Ok(open) => open.try_lock().is_err(), // the lock goes with the handle
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    }
}

/// Looks at what every process has open. Goes by the name first: to ask for the file behind a handle may hang where
/// a network file system does.
fn look(files: &[PathBuf], held: &mut [bool]) -> io::Result<()> {
    let wanted: Vec<(&OsStr, Option<Metadata>)> =
        files.iter().map(|f| (f.file_name().unwrap_or_default(), std::fs::metadata(f).ok())).collect();
    for process in std::fs::read_dir("/proc")? {
        let process = process?;
        if !process.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let Some(handles) = unless_gone(std::fs::read_dir(process.path().join("fd")))? else { continue };
        for handle in handles {
            let Some(handle) = unless_gone(handle)? else { continue };
            let Some(target) = unless_gone(std::fs::read_link(handle.path()))? else { continue };
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

/// A process, and what it has open, may end while we look.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    const NO_SUCH_PROCESS: i32 = nix::errno::Errno::ESRCH as i32;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(NO_SUCH_PROCESS) => {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_held_and_a_closed_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: &str| dir.path().join(n);
        let open = File::create(path("open")).unwrap();
        std::fs::write(path("closed"), b"x").unwrap();
        let files = [path("open"), path("closed"), path("none")];
        let now = held(&files);
        assert!(now[0]);
        // Who is not root may not look at the processes of others: then all are held.
        if nix::unistd::Uid::effective().is_root() {
            assert_eq!(now, [true, false, false]);
            drop(open);
            assert_eq!(held(&files), [false, false, false]);
        }
    }
}
