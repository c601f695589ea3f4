// SPDX-License-Identifier: Apache-2.0
//! Paths of the configured machine: this one, or one below `--root`. Below a root, links are followed as that machine
//! follows them, so that no file of this machine is ever taken for one of that machine.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use crate::error::{Code, Fault};

/// Our configuration file; its drop-ins are in `config.yaml.d` next to it.
pub(crate) const OUR_CONFIG: &str = "/etc/k3s-snapshot/config.yaml";

/// The limit of links that follow one another, as in Linux.
const MAX_SYMLINKS: usize = 40;

/// A path of the machine as seen below a root. Links are not followed.
pub(crate) fn in_root(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A path of the machine as a process of this machine can open it: below a root with all links followed, on this machine
/// unchanged.
///
/// # Errors
/// If more than 40 links follow one another.
pub(crate) fn openable(root: &Path, path: &Path) -> Result<PathBuf> {
    if root == Path::new("/") {
        return Ok(in_root(root, path));
    }
    let target = follow_links(path, &|link| link_target(root, link)).ok_or_else(|| {
        Fault::new(
            Code::LeavesRoot,
            format!(
                "following '{}' below --root '{}': too many symbolic links",
                path.display(),
                root.display()
            ),
        )
    })?;
    Ok(in_root(root, &target))
}

/// What one component of a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathEntry {
    /// A symbolic link with this target.
    Link(PathBuf),
    /// Anything else, or nothing.
    Other,
    /// It must not be examined, and nothing below it.
    Skipped,
}

/// Whether a path of the machine is a link whose target does not exist: the file system of the target may not be mounted, so
/// what is behind the link is not known.
pub(crate) fn is_dangling_link(root: &Path, path: &Path) -> bool {
    let is_link = in_root(root, path).symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    let target = follow_links(path, &|link| link_target(root, link));
    // A link to /dev/null hides a file on purpose; below another root, the device need not exist.
    is_link
        && target.is_none_or(|target| {
            target != Path::new("/dev/null") && in_root(root, &target).metadata().is_err()
        })
}

/// The entry at this path of the machine below `root`.
pub(crate) fn link_target(root: &Path, path: &Path) -> PathEntry {
    std::fs::read_link(in_root(root, path)).map_or(PathEntry::Other, PathEntry::Link)
}

/// The target of a path, as the machine itself follows links: an absolute target starts at its root, and `..` never leaves that
/// root. Components that do not exist stay as they are. `entry` examines one path. `None` if more than 40 links follow one
/// another.
pub(crate) fn follow_links(path: &Path, entry: &dyn Fn(&Path) -> PathEntry) -> Option<PathBuf> {
    let mut at = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = components(path).collect();
    let (mut links, mut examine) = (0, true);
    while let Some(component) = rest.pop_front() {
        if component == ".." {
            at.pop();
            continue;
        }
        at.push(component);
        match if examine { entry(&at) } else { PathEntry::Other } {
            PathEntry::Other => {}
            PathEntry::Skipped => examine = false,
            PathEntry::Link(_) if links == MAX_SYMLINKS => return None,
            PathEntry::Link(target) => {
                links += 1;
                at.pop();
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for component in components(&target).rev() {
                    rest.push_front(component);
                }
            }
        }
    }
    Some(at)
}

fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The error for a configuration file that cannot be read.
pub(super) fn read_error(path: &Path, e: io::Error) -> anyhow::Error {
    let (code, hint) = match e.kind() {
        io::ErrorKind::PermissionDenied => (Code::PermissionDenied, "Run the command as root."),
        _ => (Code::ConfigUnreadable, "Check the path."),
    };
    anyhow::Error::from(e)
        .context(Fault::new(code, format!("reading configuration '{}'", path.display())).hint(hint))
}

/// Where relative paths start.
#[derive(Debug, Clone)]
pub(super) struct PathRules {
    /// `/`, or the directory given with `--root`.
    pub(super) root: PathBuf,
    /// The working directory of K3s after its start, in which it opens most of its paths: `server` below its data-dir.
    pub(super) k3s_server: PathBuf,
    /// The directory in which the K3s service starts, and in which it opens its token file and its configuration.
    pub(super) k3s_start: PathBuf,
}

/// What a relative path of the configuration of K3s starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum K3sOpens {
    /// K3s opens it when it starts, in the working directory of its service.
    AtStart,
    /// K3s opens it later, in `server` below its data-dir.
    Later,
}

impl PathRules {
    /// A path of the configuration as the machine has it: absolute, its links not followed. `of_k3s` tells that the
    /// configuration of K3s has it.
    ///
    /// # Errors
    /// If the working directory does not exist.
    pub(super) fn machine_path(&self, path: &Path, of_k3s: Option<K3sOpens>) -> Result<PathBuf> {
        let base = match of_k3s {
            Some(K3sOpens::AtStart) => &self.k3s_start,
            Some(K3sOpens::Later) => &self.k3s_server,
            None => return given_path(&self.root, path),
        };
        Ok(base.join(path))
    }
}

/// A path that was given to us, by a flag, a variable or a file of ours, as the machine has it. A relative path starts in the
/// working directory, with `--root` in the root.
///
/// # Errors
/// If the working directory does not exist.
pub(super) fn given_path(root: &Path, path: &Path) -> Result<PathBuf> {
    match root == Path::new("/") {
        true => std::path::absolute(path).map_err(|e| read_error(path, e)),
        false => Ok(Path::new("/").join(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_as_the_machine_itself_follows_them() {
        let links: BTreeMap<&str, &str> = [
            ("/var/lib/rancher", "/data/rancher"),
            ("/data/rancher/k3s", "../k3s-real"),
            ("/up", "../../../../etc"),
            ("/loop", "/loop2"),
            ("/loop2", "loop"),
            ("/self", "."),
            ("/nfs/link", "/never/asked"),
        ]
        .into();
        let entry = |path: &Path| match (path.starts_with("/nfs"), links.get(path.to_str().unwrap())) {
            (true, _) => PathEntry::Skipped,
            (false, Some(target)) => PathEntry::Link(PathBuf::from(target)),
            (false, None) => PathEntry::Other,
        };
        for (path, want) in [
            ("/plain/file", Some("/plain/file")),
            ("/var/lib/rancher/x", Some("/data/rancher/x")),
            ("/var/lib/rancher/k3s/server/../db", Some("/data/k3s-real/db")),
            ("/up/passwd", Some("/etc/passwd")),
            ("/self/a", Some("/a")),
            ("/loop/a", None),
            ("/../a/./b/", Some("/a/b")),
            ("/nfs/link/../x", Some("/nfs/x")),
            ("relative/x", Some("/relative/x")),
        ] {
            assert_eq!(follow_links(Path::new(path), &entry), want.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn below_a_root_a_link_never_leads_to_a_file_of_this_machine() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), root.path().join("absolute")).unwrap();
        symlink(
            "../".repeat(20) + outside.path().strip_prefix("/").unwrap().to_str().unwrap(),
            root.path().join("up"),
        )
        .unwrap();
        for link in ["/absolute/x", "/up/x"] {
            let found = openable(root.path(), Path::new(link)).unwrap();
            assert_eq!(found, in_root(root.path(), &outside.path().join("x")), "{link}");
        }
        assert_eq!(openable(Path::new("/"), Path::new("/x")).unwrap(), Path::new("/x"));
    }

    #[test]
    fn a_relative_path_starts_where_its_owner_works() {
        let rules = |root: &str| PathRules {
            root: root.into(),
            k3s_server: "/d/server".into(),
            k3s_start: "/start".into(),
        };
        let here = std::env::current_dir().unwrap();
        for (root, path, of_k3s, want) in [
            ("/", "a/b", None, here.join("a/b")),
            ("/r", "a/b", None, "/a/b".into()),
            ("/", "a/b", Some(K3sOpens::Later), "/d/server/a/b".into()),
            ("/r", "a/b", Some(K3sOpens::AtStart), "/start/a/b".into()),
            ("/r", "/x", Some(K3sOpens::AtStart), "/x".into()),
            ("/", "/x", None, "/x".into()),
        ] {
            assert_eq!(rules(root).machine_path(Path::new(path), of_k3s).unwrap(), want, "{root} {path}");
        }
        assert_eq!(openable(Path::new("/r"), Path::new("/a")).unwrap(), Path::new("/r/a"));
    }
}
