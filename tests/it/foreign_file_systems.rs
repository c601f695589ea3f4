// SPDX-License-Identifier: Apache-2.0
//! Snapshot directories on file systems that lack something, as those of a NAS do: every command works there, or it reports
//! what is wrong. The file system is real, its server is in `support/odd_fs.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use k3s_snapshot::error::Code;
use nix::errno::Errno;

use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::odd_fs::{Odd, OddFs};
use crate::support::require::{self, require};
use crate::support::volume::Volume;

fn etcd() -> Etcd {
    let etcd = Etcd::start();
    etcd.bootstrap("secret");
    etcd.fill(20, 500);
    etcd
}

/// A command on this snapshot directory.
fn tool(etcd: &Etcd, command: &str, dir: &Path) -> Tool {
    Tool::new(command).on(&etcd.root).arg("--dir").arg(dir)
}

fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

fn name_of(run: &Run) -> String {
    run.row()["name"].as_str().unwrap().to_owned()
}

#[test]
fn every_command_works_on_a_file_system_that_lacks_links_renames_syncs_sizes_or_modes() {
    require!(require::etcd_programs());
    let mounted = require!(OddFs::mount(Odd::default()));
    let etcd = etcd();
    let odd = Odd::default();
    let einval = Some(Errno::EINVAL);
    let rows = [
        ("nothing lacks", odd),
        ("link ENOSYS", Odd { link: Some(Errno::ENOSYS), ..odd }),
        ("link EPERM", Odd { link: Some(Errno::EPERM), ..odd }),
        ("link EOPNOTSUPP", Odd { link: Some(Errno::EOPNOTSUPP), ..odd }),
        ("no link, no RENAME_NOREPLACE", Odd { link: Some(Errno::EPERM), rename_noreplace: einval, ..odd }),
        ("no sync of directories, EINVAL", Odd { sync_dir: einval, ..odd }),
        ("no sync of directories, EOPNOTSUPP", Odd { sync_dir: Some(Errno::EOPNOTSUPP), ..odd }),
        ("no size", Odd { no_size: true, ..odd }),
        ("short writes", Odd { short_writes: Some(1000), ..odd }),
        ("no modes", Odd { no_modes: true, ..odd }),
    ];
    let dir = mounted.path();
    for (what, odd) in rows {
        mounted.set(odd);
        let saved = tool(&etcd, "save", &dir).report();
        assert_eq!(saved.code, Some(0), "{what}: {saved:#?}");
        assert_eq!(saved.row()["state"], "verified", "{what}: {saved:#?}");
        let packed = tool(&etcd, "save", &dir).args(&["--snapshot-compress", "--name", "packed"]).report();
        assert_eq!(packed.code, Some(0), "{what}: {packed:#?}");
        let (first, second) = (name_of(&saved), name_of(&packed));
        let listed = tool(&etcd, "list", &dir).report().expect(0);
        for name in [&first, &second] {
            assert_eq!(listed.row_of(name)["state"], "verified", "{what}: {listed:#?}");
        }
        let verified = tool(&etcd, "verify", &mounted.behind()).arg("--all").report();
        assert_eq!(verified.code, Some(0), "{what}, the directory behind it: {verified:#?}");
        tool(&etcd, "delete", &dir).args(&["--yes", "--force", &second]).report().expect(0);
        for _ in 0..2 {
            tool(&etcd, "save", &dir).report().expect(0);
        }
        let pruned = tool(&etcd, "prune", &dir).args(&["--snapshot-retention", "1"]).report();
        assert_eq!(pruned.code, Some(0), "{what}: {pruned:#?}");
        let left = names(&mounted.behind());
        assert_eq!(left.len(), 1, "{what}: {left:?}");
        fs::remove_file(mounted.behind().join(&left[0])).unwrap();
    }
}

#[test]
fn a_snapshot_whose_inode_number_does_not_last_is_saved_as_verified_and_never_lost() {
    require!(require::etcd_programs());
    let mounted = require!(OddFs::mount(Odd { no_lasting_inode: true, ..Odd::default() }));
    let etcd = etcd();
    let dir = mounted.path();
    let saved = tool(&etcd, "save", &dir).report().expect(0);
    let row = saved.row();
    assert_eq!(
        (&row["state"], row["revision"].as_i64()),
        (&"verified".into(), Some(etcd.revision())),
        "{row:#}"
    );
    assert!(
        !row["notes"].as_array().unwrap().is_empty(),
        "it is reported that a list may show it as unverified: {row:#}"
    );
    let name = name_of(&saved);
    let state = tool(&etcd, "list", &dir).report().expect(0).row_of(&name)["state"].clone();
    assert!(["verified", "unverified"].iter().any(|s| state == *s), "{state}");
    tool(&etcd, "verify", &dir).arg("--all").report().expect(0);
    tool(&etcd, "prune", &dir).args(&["--snapshot-retention", "1"]).report().expect(0);
    assert_eq!(names(&mounted.behind()), [name]);
}

#[test]
fn a_file_system_that_cannot_name_sync_or_answer_is_reported_and_nothing_is_left() {
    require!(require::etcd_programs());
    let mounted = require!(OddFs::mount(Odd::default()));
    let etcd = etcd();
    let dir = mounted.path();
    let odd = Odd::default();
    let eperm = Some(Errno::EPERM);
    let nothing = Odd { link: eperm, rename_noreplace: Some(Errno::EINVAL), rename: eperm, ..odd };
    let rows = [
        (nothing, Code::FileSystemUnsupported),
        (Odd { sync_file: Some(Errno::EIO), ..odd }, Code::Io),
        (Odd { sync_file: Some(Errno::ENOSPC), ..odd }, Code::NoSpace),
        (Odd { sync_file: Some(Errno::EROFS), ..odd }, Code::ReadOnly),
    ];
    for (odd, code) in rows {
        mounted.set(odd);
        let run = tool(&etcd, "save", &dir).report().fails(code);
        assert!(code == Code::Io || run.json()["error"]["hint"].is_string(), "{run:#?}");
        assert_eq!(names(&mounted.behind()), Vec::<String>::new(), "{odd:?}");
    }
    // Our own state is on such a file system, too.
    mounted.set(Odd { link: eperm, rename_noreplace: Some(Errno::EINVAL), ..odd });
    for command in ["save", "list"] {
        let tool = Tool::new(command).arg("--data-dir").arg(etcd.root.data_dir());
        let run =
            tool.arg("--state-dir").arg(dir.join("state")).arg("--run-dir").arg(dir.join("run")).report();
        assert_eq!(run.expect(0).row()["state"], "verified");
    }
    let name = names(&etcd.root.snapshots()).remove(0);
    fs::copy(etcd.root.snapshots().join(&name), mounted.behind().join(&name)).unwrap();
    // Its server is gone.
    mounted.abort();
    for command in ["list", "save", "prune", "verify"] {
        let all: &[&str] = if command == "verify" { &["--all"] } else { &[] };
        tool(&etcd, command, &dir).args(all).report().fails(Code::DirectoryUnavailable).with_hint();
    }
    assert_eq!(names(&mounted.behind()).iter().filter(|n| **n == name).count(), 1);
}

#[test]
fn a_link_without_a_target_is_no_empty_directory_for_any_command() {
    require!(require::etcd_programs());
    let etcd = etcd();
    let link = etcd.root.path().join("nas");
    std::os::unix::fs::symlink("/nonexistent/snapshots", &link).unwrap();
    for command in ["list", "save", "prune", "verify"] {
        let all: &[&str] = if command == "verify" { &["--all"] } else { &[] };
        tool(&etcd, command, &link).args(all).report().fails(Code::DirectoryUnavailable).with_hint();
    }
    assert!(!Path::new("/nonexistent").exists());
}

#[test]
fn an_immutable_file_or_directory_is_reported_as_such_to_root() {
    require!(require::etcd_programs());
    require!(require::program("chattr"));
    let volume = require!(Volume::mount("ext4"));
    let etcd = etcd();
    let dir = volume.path().join("snapshots");
    fs::create_dir(&dir).unwrap();
    let first = name_of(&tool(&etcd, "save", &dir).report().expect(0));
    tool(&etcd, "save", &dir).report().expect(0);
    let chattr = |flag: &str, path: &Path| {
        let done = Command::new("chattr").arg(flag).arg(path).status().unwrap();
        assert!(done.success(), "chattr {flag}: {done}");
    };
    chattr("+i", &dir.join(&first));
    let delete = || tool(&etcd, "delete", &dir).args(&["--yes", "--force", &first]).report();
    let run = delete().fails(Code::PermissionDenied).with_hint();
    assert_eq!(run.row_of(&first)["deleted"], false, "{run:#?}");
    assert!(run.json()["error"]["hint"].as_str().unwrap().contains("chattr -i"), "{run:#?}");
    chattr("-i", &dir.join(&first));
    chattr("+i", &dir);
    for run in [delete(), tool(&etcd, "save", &dir).report()] {
        let run = run.fails(Code::PermissionDenied).with_hint();
        assert!(run.json()["error"]["hint"].as_str().unwrap().contains("chattr -i"), "{run:#?}");
    }
    tool(&etcd, "list", &dir).report().expect(0);
    assert_eq!(names(&dir).len(), 2);
    chattr("-i", &dir);
    delete().expect(0);
    assert_eq!(names(&dir).len(), 1);
}
