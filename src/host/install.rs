// SPDX-License-Identifier: Apache-2.0
//! Replaces single files, atomically and with their owner, mode and attributes, and copies small trees with their links
//! resolved.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::file_tree;
use super::fs::sync_dir;
use crate::error::{Code, Fault};

/// The most files and directories that are copied as one small tree.
const MAX_ENTRIES: usize = 10_000;

/// Copies a small tree. A link is replaced by its target, so that the copy is complete by itself. A link without a target, a
/// link to a directory that contains the link or the copy, and a file of more than `max` bytes are left out.
///
/// # Errors
/// If a file cannot be read or written, or the tree is not small: then a link leads out of it.
pub fn copy_following_links(from: &Path, to: &Path, max: u64) -> Result<()> {
    TreeCopy { max, open: Vec::new(), entries: 0 }.copy(from, to)
}

/// A copy of a tree that is being made.
struct TreeCopy {
    max: u64,
    /// The directories that are being copied, and their copies: device and inode number.
    open: Vec<(u64, u64)>,
    entries: usize,
}

impl TreeCopy {
    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let Ok(real) = from.canonicalize() else { return Ok(()) };
        let context = || format!("reading '{}'", real.display());
        let meta = fs::metadata(&real).with_context(context)?;
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            let hint =
                "Replace the link in that directory that leads to a large directory by what K3s needs of it.";
            let what = format!("copying '{}': more than {MAX_ENTRIES} files", from.display());
            return Err(Fault::new(Code::UnsupportedLayout, what).hint(hint).into());
        }
        if !meta.is_dir() {
            return if meta.is_file() && meta.len() <= self.max {
                file_tree::copy(&real, to)
            } else {
                Ok(())
            };
        }
        let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
        if self.open.contains(&identity(&meta)) {
            return Ok(());
        }
        fs::create_dir(to).with_context(|| format!("creating '{}'", to.display()))?;
        let created = fs::metadata(to).with_context(|| format!("examining '{}'", to.display()))?;
        self.open.extend([identity(&meta), identity(&created)]);
        for entry in fs::read_dir(&real).with_context(context)? {
            let name = entry.with_context(context)?.file_name();
            self.copy(&real.join(&name), &to.join(&name))?;
        }
        self.open.truncate(self.open.len() - 2);
        fs::set_permissions(to, meta.permissions())
            .with_context(|| format!("setting the mode of '{}'", to.display()))
    }
}

/// Replaces the file `to` by a copy of `from`, atomically and durably. `to` need not exist.
///
/// # Errors
/// If the copy cannot be written or renamed.
pub fn file(from: &Path, to: &Path) -> Result<()> {
    let dir = to.parent().context("a file without a directory")?;
    let temp = temp_name(to)?;
    file_tree::remove(&temp)?;
    let result = file_tree::copy(from, &temp)
        .and_then(|()| {
            let open = fs::File::open(&temp).with_context(|| format!("opening '{}'", temp.display()))?;
            open.sync_all().with_context(|| format!("writing '{}' to the disk", temp.display()))
        })
        .and_then(|()| fs::rename(&temp, to).with_context(|| format!("replacing '{}'", to.display())));
    if result.is_err() {
        let _ = file_tree::remove(&temp);
    }
    result?;
    sync_dir(dir)
}

/// Makes `to` the same symbolic link as `from`, unless it is one already.
///
/// # Errors
/// If the link cannot be made.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    let target = fs::read_link(from).with_context(|| format!("reading the link '{}'", from.display()))?;
    if fs::read_link(to).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let temp = temp_name(to)?;
    file_tree::remove(&temp)?;
    let context = || format!("creating the link '{}'", to.display());
    std::os::unix::fs::symlink(&target, &temp).with_context(context)?;
    fs::rename(&temp, to).with_context(context)?;
    sync_dir(to.parent().unwrap_or(to))
}

/// Whether both files exist and hold the same bytes.
///
/// # Errors
/// If one of them cannot be read.
pub fn has_same_content(a: &Path, b: &Path) -> Result<bool> {
    let size = |p: &Path| fs::metadata(p).map(|m| m.len()).ok();
    if size(b).is_none() || size(a) != size(b) {
        return Ok(false);
    }
    let read = |p: &Path| fs::read(p).with_context(|| format!("reading '{}'", p.display()));
    Ok(read(a)? == read(b)?)
}

/// A hidden name next to a file; a later run of the same action uses the same one.
fn temp_name(to: &Path) -> Result<std::path::PathBuf> {
    let name = to.file_name().context("a file without a name")?.to_string_lossy().into_owned();
    Ok(to.with_file_name(format!(".{name}.k3s-snapshot")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_a_link_by_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: &str| dir.path().join(n);
        fs::write(path("new"), b"new").unwrap();
        fs::set_permissions(path("new"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path("old"), b"old").unwrap();
        assert!(!has_same_content(&path("new"), &path("old")).unwrap());
        file(&path("new"), &path("old")).unwrap();
        assert!(has_same_content(&path("new"), &path("old")).unwrap());
        assert_eq!(fs::metadata(path("old")).unwrap().permissions().mode() & 0o777, 0o600);
        symlink("token", path("a")).unwrap();
        link(&path("a"), &path("old")).unwrap();
        link(&path("a"), &path("old")).unwrap();
        assert_eq!(fs::read_link(path("old")).unwrap(), Path::new("token"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing temporary is left");
    }

    #[test]
    fn a_copy_that_follows_links_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: &str| dir.path().join(n);
        fs::create_dir_all(path("from/sub")).unwrap();
        fs::write(path("secret"), b"key").unwrap();
        symlink(path("secret"), path("from/sub/link")).unwrap();
        symlink("nowhere", path("from/broken")).unwrap();
        fs::write(path("from/large"), vec![0; 100]).unwrap();
        copy_following_links(&path("from"), &path("to"), 50).unwrap();
        assert!(fs::symlink_metadata(path("to/sub/link")).unwrap().is_file());
        assert_eq!(fs::read_dir(path("to")).unwrap().count(), 1);
    }

    #[test]
    fn a_link_to_a_directory_around_it_or_around_the_copy_is_not_followed_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: &str| dir.path().join(n);
        fs::create_dir_all(path("data/scratch")).unwrap();
        fs::create_dir_all(path("etc/k3s")).unwrap();
        fs::write(path("etc/k3s/config.yaml"), b"a: b").unwrap();
        fs::write(path("data/token"), b"token").unwrap();
        symlink(path("etc"), path("etc/k3s/around")).unwrap();
        symlink(path("data"), path("etc/data")).unwrap();
        copy_following_links(&path("etc"), &path("data/scratch/etc"), 50).unwrap();
        let copy = path("data/scratch/etc");
        assert!(copy.join("k3s/config.yaml").is_file() && copy.join("data/token").is_file());
        assert!(!copy.join("k3s/around").exists() && !copy.join("data/scratch/etc").exists());
    }

    #[test]
    fn a_link_to_a_large_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        fs::create_dir(&large).unwrap();
        for n in 0..=MAX_ENTRIES {
            fs::File::create(large.join(n.to_string())).unwrap();
        }
        let refused = copy_following_links(&large, &dir.path().join("to"), 50).unwrap_err();
        assert_eq!(crate::error::code_of(&refused), Code::UnsupportedLayout);
    }
}
