// SPDX-License-Identifier: Apache-2.0
//! The free space of a file system.

use std::path::Path;

use anyhow::Result;

use super::fs::path_error;

/// Bytes that are free for this program in the file system of a path; `None` if the file system does not report them, as some
/// network file systems do.
///
/// # Errors
/// If the path does not exist or may not be looked at.
pub fn free_bytes(path: &Path) -> Result<Option<u64>> {
    let stat = nix::sys::statvfs::statvfs(path)
        .map_err(|e| path_error(e.into(), "reading the free space of", path))?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    Ok((stat.blocks() > 0).then_some(free))
}
