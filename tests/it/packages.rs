// SPDX-License-Identifier: Apache-2.0
//! The packages as code: the list of what is installed, the shipped configuration, the completions, and the packages that
//! are built from them: of the programs as cargo made them for the tests, by the same scripts as the real ones.
//! `UPDATE=1` writes the completions again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use clap_complete::Shell;
use k3s_snapshot::app::dispatch::command_line;
use k3s_snapshot::config::options::OPTIONS;

use crate::documents::files_below;
use crate::support::bucket::{self, Bucket};
use crate::support::cli::{Tool, programs};
use crate::support::host::Host;
use crate::support::require::{self, require};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// The commands that have a link of their own, which the units use.
const LINKS: [&str; 7] = ["save", "list", "verify", "prune", "delete", "restore", "rebuild"];

fn top(file: &str) -> PathBuf {
    Path::new(TOP).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(top(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// A line of install.list.
struct Item {
    from: String,
    to: String,
    mode: u32,
    only: Option<String>,
}

fn list() -> Vec<Item> {
    let text = read("packaging/install.list");
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.len() == 3 || words.len() == 4, "{line}");
        let mode = u32::from_str_radix(words[2], 8).unwrap();
        let only = words.get(3).map(|w| (*w).to_owned());
        assert!(only.as_deref().is_none_or(|w| w == "deb" || w == "rpm"), "{line}");
        Item { from: words[0].to_owned(), to: words[1].to_owned(), mode, only }
    };
    text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(row).collect()
}

/// Path in the system and mode, of what one kind of package holds.
fn expected(kind: &str) -> BTreeMap<String, u32> {
    let here = |i: &Item| i.only.as_deref().is_none_or(|only| only == kind);
    list().into_iter().filter(here).map(|i| (i.to, i.mode)).collect()
}

#[test]
fn everything_that_belongs_to_the_product_is_installed() {
    let list = list();
    let from: BTreeSet<&str> = list.iter().map(|i| i.from.as_str()).collect();
    let mut wanted = BTreeSet::new();
    let manifest = read("Cargo.toml");
    for part in manifest.split("[[bin]]\nname = \"").skip(1) {
        wanted.insert(format!("target/release/{}", part.split('"').next().unwrap()));
    }
    for directory in ["systemd", "man", "completions", "packaging/examples", "packaging/monitoring"] {
        for entry in fs::read_dir(top(directory)).unwrap() {
            wanted.insert(format!("{directory}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    wanted.extend(files_below("docs", ""));
    for path in &wanted {
        assert!(from.contains(path.as_str()), "packaging/install.list lacks {path}");
    }
    for item in &list {
        let made = item.from == "target/NOTICES.gz"
            || item.from.starts_with("target/release/") && wanted.contains(&item.from);
        assert!(made || top(&item.from).is_file(), "packaging/install.list: there is no {}", item.from);
    }
    let to: BTreeSet<&str> = list.iter().map(|i| i.to.as_str()).collect();
    assert_eq!(to.len(), list.len(), "something is installed twice");
    for name in std::iter::once("k3s-snapshot".to_owned()).chain(LINKS.map(|c| format!("k3s-snapshot-{c}"))) {
        assert!(to.contains(format!("/usr/bin/{name}").as_str()), "packaging/install.list lacks {name}");
    }
}

/// Each option of the shipped configuration, without its `#`.
fn shipped_options() -> Vec<(String, String)> {
    let text = read("packaging/config.yaml");
    let is_option =
        |l: &&str| l.strip_prefix('#').is_some_and(|l| l.starts_with(|c: char| c.is_ascii_lowercase()));
    let option = |l: &str| {
        let (key, value) = l[1..].split_once(": ").unwrap_or_else(|| panic!("{l}"));
        (key.to_owned(), value.to_owned())
    };
    let all: Vec<_> = text.lines().filter(is_option).map(option).collect();
    assert!(text.lines().all(|l| l.starts_with('#') || l.is_empty()), "something is set");
    all
}

#[test]
fn the_shipped_configuration_has_every_option_with_its_default() {
    let options = shipped_options();
    let names: BTreeSet<&str> = options.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, OPTIONS.iter().filter(|k| k.is_ours).map(|k| k.name).collect());
    assert_eq!(names.len(), options.len(), "an option is in the file twice");
    for (name, value) in &options {
        let key = OPTIONS.iter().find(|k| k.name == name).unwrap();
        assert!(key.default.is_none_or(|default| default == value), "{name}: {value} is not the default");
        // Each may be uncommented as it is.
        let root = tempfile::tempdir().unwrap();
        let config = root.path().join("etc/k3s-snapshot/config.yaml");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(config, format!("{name}: {value}\n")).unwrap();
        let tool =
            Tool::new("list").arg("--root").arg(root.path()).args(&["--show-config", "--report", "json"]);
        let run = tool.run();
        if name == "unit" {
            run.expect(78); // there is no such unit below this root
            continue;
        }
        let rows = run.expect(0).json();
        let row = rows.as_array().unwrap().iter().find(|r| r["option"] == **name).unwrap().clone();
        assert!(row["origin"].as_str().unwrap().ends_with("config.yaml:1"), "{row}");
    }
}

#[test]
fn the_policies_that_the_shipped_configuration_shows_may_be_uncommented() {
    let text = read("packaging/config.yaml");
    let shown = text.lines().skip_while(|l| *l != "# retention:").take_while(|l| !l.is_empty());
    let shown: Vec<&str> = shown.map(|l| l.strip_prefix("# ").unwrap()).collect();
    assert!(shown.len() > 3, "{shown:?}");
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("etc/k3s-snapshot/config.yaml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(config, shown.join("\n")).unwrap();
    let run = Tool::new("prune").arg("--root").arg(root.path()).arg("--show-config").run().expect(0);
    for option in ["retention.timer.keep-daily", "retention.before-upgrade.snapshot-retention"] {
        assert!(run.stdout.contains(option), "{}", run.stdout);
    }
}

#[test]
fn completions_are_those_of_the_command_lines() {
    for (shell, file) in [
        (Shell::Bash, "completions/k3s-snapshot.bash"),
        (Shell::Fish, "completions/k3s-snapshot.fish"),
        (Shell::Zsh, "completions/_k3s-snapshot"),
    ] {
        let mut made = Vec::new();
        clap_complete::generate(shell, &mut command_line(), "k3s-snapshot", &mut made);
        // clap_complete 4.6 spells the dash of a program's name in two ways, so that no command would be completed.
        let made = String::from_utf8(made).unwrap().replace("k3s__subcmd__snapshot", "k3s__snapshot");
        if std::env::var_os("UPDATE").is_some_and(|v| v == "1") {
            fs::create_dir_all(top("completions")).unwrap();
            fs::write(top(file), &made).unwrap();
        }
        let stored = fs::read_to_string(top(file)).unwrap_or_default();
        assert!(stored == made, "{file} is outdated: UPDATE=1 cargo test --test it completions");
    }
}

#[test]
fn shells_take_the_completions_and_scripts_are_sound() {
    let shellcheck = require!(require::program("shellcheck"));
    let file = top("completions/k3s-snapshot.bash");
    let bash = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(bash.status.success() && bash.stderr.is_empty(), "{bash:?}");
    for (typed, offered) in [("che", "check-s3"), ("save --show-c", "--show-config")] {
        let words: Vec<&str> = typed.split(' ').collect();
        let (at, last) = (words.len(), words[words.len() - 1]);
        let script = format!(
            "source {}; COMP_WORDS=(k3s-snapshot {typed}); COMP_CWORD={at}; \
             $(complete -p k3s-snapshot | sed 's/.*-F \\([^ ]*\\).*/\\1/') k3s-snapshot {last} x; echo ${{COMPREPLY[@]}}",
            file.display(),
        );
        let out = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), offered, "{out:?}");
    }
    let mut scripts: Vec<PathBuf> = Vec::new();
    for directory in [
        "packaging",
        "packaging/deb",
        "packaging/deb/debian",
        "packaging/rpm",
        "packaging/examples",
        "scripts",
        "benches",
        "tests/host",
        "tests/host/cluster",
        "tests/host/package",
        "tests/host/real",
        "tests/host/real/scenarios",
        "tests/host/restore",
        ".ci",
    ] {
        for entry in fs::read_dir(top(directory)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file())
        {
            let text = fs::read(&entry).unwrap();
            if text.starts_with(b"#!/bin/sh")
                || text.starts_with(b"#!/bin/bash")
                || text.starts_with(b"#!/usr/bin/env bash")
            {
                scripts.push(entry);
            }
        }
    }
    assert!(scripts.len() > 8, "{scripts:?}");
    let out = Command::new(shellcheck)
        .args(["--external-sources", "--severity", "warning"])
        .args(&scripts)
        .current_dir(TOP)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

/// The files below a directory, with their modes.
fn files(directory: &Path) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().map(|e| e.unwrap()) {
            let meta = entry.path().symlink_metadata().unwrap();
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                let path = Path::new("/").join(entry.path().strip_prefix(directory).unwrap());
                all.insert(path.display().to_string(), meta.permissions().mode() & 0o7777);
            }
        }
    }
    all
}

/// Who passes the programs on passes on the licences of what is in them.
#[test]
fn the_licences_of_every_part_are_told() {
    let told = ran(&mut Command::new(top("packaging/notices")));
    for part in [
        "rustls 0.",
        "tokio 1.",
        "zip 9.",
        "ring 0.",
        "(MIT)",
        "Apache License",
        "Permission is hereby granted",
    ] {
        assert!(told.contains(part), "no {part}");
    }
    assert!(!told.contains("proptest"), "that is of tests alone");
}

#[test]
fn what_is_installed_is_what_the_list_says() {
    let dest = tempfile::tempdir().unwrap();
    let mut install = Command::new(top("packaging/install"));
    install.args(["--for", "rpm", "--programs"]).arg(programs()).arg(dest.path());
    let out = install.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(files(dest.path()), expected("rpm"));
    let (save, list) =
        (dest.path().join("usr/bin/k3s-snapshot-save"), dest.path().join("usr/bin/k3s-snapshot-list"));
    let inode = |path: &Path| path.metadata().unwrap().ino();
    assert_eq!(inode(&save), inode(&list), "each name is a file of its own");
    // The name that it is called by selects the command, whatever the file is called.
    let other = dest.path().join("usr/bin/other");
    fs::hard_link(&list, &other).unwrap();
    let call =
        |path: &Path, called: &str, arg: &str| Command::new(path).arg0(called).arg(arg).output().unwrap();
    let (links, programs) =
        (["k3s-snapshot-save", "/x/k3s-snapshot-list"], ["k3s-snapshot", "/x/k3s-snapshot"]);
    let help = |called: &str| {
        let shown = call(&other, called, "--help");
        assert!(shown.status.success(), "{shown:?}");
        String::from_utf8_lossy(&shown.stdout).into_owned()
    };
    for called in links {
        let command = called.rsplit('-').next().unwrap();
        let help = help(called);
        assert!(help.contains(&format!("Usage: k3s-snapshot {command} ")), "{called}: {help}");
    }
    for called in programs {
        let help = help(called);
        assert!(help.contains("Usage: k3s-snapshot <COMMAND>"), "{called}: {help}");
    }
    let version = call(&other, "k3s-snapshot", "--version").stdout;
    assert_eq!(String::from_utf8_lossy(&version), format!("k3s-snapshot {}\n", env!("CARGO_PKG_VERSION")));
}

/// Packages are built once for all tests: kind and version.
fn built(kind: &str, version: Option<&str>) -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOCK.lock().unwrap_or_else(|e| e.into_inner());
    static DONE: Mutex<BTreeMap<(String, Option<String>), PathBuf>> = Mutex::new(BTreeMap::new());
    let key = (kind.to_owned(), version.map(str::to_owned));
    if let Some(path) = DONE.lock().unwrap().get(&key) {
        return path.clone();
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages").join(kind);
    fs::create_dir_all(&out).unwrap();
    let mut build = Command::new(top(&format!("packaging/{kind}/build")));
    build.args(["--quick", "--programs"]).arg(programs()).arg("--out").arg(&out);
    build.args(version.map(|v| ["--version", v]).into_iter().flatten());
    let ran = build.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let path = PathBuf::from(String::from_utf8(ran.stdout).unwrap().trim());
    assert!(path.is_file(), "{path:?}");
    DONE.lock().unwrap().insert(key, path.clone());
    path
}

/// The packages of this version and of a later one, for `tests/host/package/life`.
fn debs() -> Result<PathBuf, String> {
    for program in ["dh", "dpkg-buildpackage"] {
        require::program(program)?;
    }
    built("deb", Some("9.9.9"));
    Ok(built("deb", None).parent().unwrap().to_owned())
}

fn ran(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let output = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {output}");
    output
}

/// Pages are compressed in packages, and Debian adds its changelog and the copyright.
fn as_packaged(kind: &str) -> BTreeMap<String, u32> {
    let compressed = |(path, mode): (String, u32)| {
        let page = path.starts_with("/usr/share/man/");
        (if page { format!("{path}.gz") } else { path }, mode)
    };
    let mut all: BTreeMap<String, u32> = expected(kind).into_iter().map(compressed).collect();
    if kind == "deb" {
        for name in ["changelog.gz", "changelog.Debian.gz", "copyright"] {
            all.insert(format!("/usr/share/doc/k3s-snapshot/{name}"), 0o644);
        }
        all.insert("/usr/share/lintian/overrides/k3s-snapshot".to_owned(), 0o644);
    }
    all
}

#[test]
fn the_deb_holds_what_the_list_says_and_lintian_is_content() {
    require!(require::program("dh"));
    let lintian = require!(require::program("lintian"));
    let deb = built("deb", None);
    let root = tempfile::tempdir().unwrap();
    ran(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(root.path()));
    // Older debhelpers want units in /lib, which is /usr/lib.
    let merged = |(path, mode): (String, u32)| {
        (if path.starts_with("/lib/") { format!("/usr{path}") } else { path }, mode)
    };
    let found: BTreeMap<String, u32> = files(root.path()).into_iter().map(merged).collect();
    assert_eq!(found, as_packaged("deb"));
    let conffiles = ran(Command::new("dpkg-deb").args(["--info"]).arg(&deb).arg("conffiles"));
    assert_eq!(conffiles, "/etc/k3s-snapshot/config.yaml\n");
    let depends = ran(Command::new("dpkg-deb").args(["--field"]).arg(&deb).arg("Depends"));
    assert!(depends.contains("libc6 (>= 2.34)"), "{depends}");
    let mut check = Command::new(lintian);
    let output = ran(check.args(["--allow-root", "--fail-on", "error,warning"]).arg(&deb));
    assert!(!output.contains("E: ") && !output.contains("W: "), "{output}");
}

#[test]
fn the_rpm_holds_what_the_list_says_and_rpmlint_is_content() {
    require!(require::program("rpmbuild"));
    let rpmlint = require!(require::program("rpmlint"));
    let rpm = built("rpm", None);
    let format = "[%{FILEMODES:octal} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILENAMES}\n]";
    let listed = ran(Command::new("rpm").args(["-qp", "--queryformat", format]).arg(&rpm));
    let mut found = BTreeMap::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (mode, path) = (u32::from_str_radix(words[0], 8).unwrap(), words[words.len() - 1]);
        assert_eq!(words[1..3], ["root", "root"], "{line}");
        // Directories are left out: only those that belong to the package are listed.
        if mode & 0o170_000 != 0o040_000 {
            let config = words[3].contains('c') && words[3].contains('n');
            assert_eq!(config, path.starts_with("/etc/"), "{line}");
            found.insert(path.to_owned(), mode & 0o7777);
        }
    }
    assert_eq!(found, as_packaged("rpm"));
    let mut check = Command::new(rpmlint);
    let output = ran(check.arg("-c").arg(top("packaging/rpm/rpmlint.toml")).arg(&rpm));
    assert!(output.contains("0 errors, 0 warnings"), "{output}");
}

/// In a booted host; there is no Fedora to be had, but a systemd that the scripts talk to.
#[test]
fn the_scripts_of_the_rpm_do_what_they_should() {
    require!(require::program("rpmbuild"));
    let host = require!(Host::new());
    let packages = built("rpm", None).parent().unwrap().to_owned();
    built("rpm", Some("9.9.9"));
    let output = host.bind("-B", &packages, "/opt/packages").run("package/rpm", &[]).succeeded();
    assert!(output.contains("the rpm was installed, upgraded and removed"), "{output}");
}

/// What is built on a newer machine must still run on the oldest that is served.
#[test]
fn no_program_needs_a_newer_c_library_than_2_34() {
    let objdump = require!(require::program("objdump"));
    for item in list().iter().filter(|i| i.from.starts_with("target/release/")) {
        let program = programs().join(item.to.rsplit('/').next().unwrap());
        let symbols = ran(Command::new(&objdump).arg("-T").arg(&program));
        let mut seen = 0;
        for version in symbols.split("GLIBC_").skip(1) {
            let version = version.split([')', ' ', '\n']).next().unwrap();
            let parts: Vec<u32> = version.split('.').filter_map(|p| p.parse().ok()).collect();
            assert!(parts <= vec![2, 34], "{} needs GLIBC_{version}", program.display());
            seen += 1;
        }
        assert!(seen > 10, "{}", program.display());
    }
}

#[test]
fn another_machine_than_the_usual_one_gets_what_is_right_for_it() {
    let host = require!(Host::clean("bookworm"));
    let debs = require!(debs());
    let output = host.bind("-B", &debs, "/opt/packages").run("package/machines", &[]).succeeded();
    assert!(output.contains("the package works on every machine"), "{output}");
}

/// The bucket inside of a booted host is this very program.
#[test]
#[ignore = "a part of the next test, not one by itself"]
fn bucket_of_the_host() {
    let directory = PathBuf::from(std::env::var_os("BUCKET_OF_THE_HOST").unwrap());
    let bucket = Bucket::start();
    let says = [("s3-access-key", bucket::ACCESS), ("s3-secret-key", bucket::SECRET), ("name", bucket::NAME)];
    says.iter().for_each(|(file, text)| fs::write(directory.join(file), text).unwrap());
    fs::write(directory.join("endpoint"), bucket.settings().endpoint).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn the_readme_leads_from_installation_to_a_restore() {
    let host = require!(Host::clean("bookworm"));
    let debs = require!(debs());
    let this = std::env::current_exe().unwrap();
    let inside = format!("/opt/tests/{}", this.file_name().unwrap().to_str().unwrap());
    let host = host.bind("-B", &debs, "/opt/packages").bind("-B", this.parent().unwrap(), "/opt/tests");
    let output = host.run("package/journey", &[&inside, "packages::bucket_of_the_host"]).succeeded();
    assert!(output.contains("the commands of the documents work"), "{output}");
}

/// On Debian 12, and with `LONG=1` on Debian 13, whose root takes two minutes to make.
#[test]
fn a_package_lives_and_leaves() {
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    for release in ["bookworm", "trixie"].into_iter().take(if long { 2 } else { 1 }) {
        let host = require!(Host::clean(release));
        let debs = require!(debs());
        let output = host.bind("-B", &debs, "/opt/packages").run("package/life", &[]).succeeded();
        assert!(
            output.contains("the package was installed, upgraded, removed and purged"),
            "{release}: {output}"
        );
    }
}
