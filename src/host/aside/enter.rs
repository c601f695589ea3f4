// SPDX-License-Identifier: Apache-2.0
//! The helper processes of a program that runs aside, both of them this program's own file under a hidden first argument.
//!
//! The outer one enters namespaces of its own and mounts the scratch directories. The inner one is process 1 of the new
//! process namespace: if it ends, for whatever reason, the kernel ends everything in it. It ends when its standard input
//! does, which is held open by the process that wants the result.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags};

use super::spec::{AsideSpec, BindMount};

use crate::util::mount_field;

/// The first argument of the outer helper.
pub(super) const OUTER: &str = "--exec-aside";
/// The first argument of the inner helper.
const INNER: &str = "--exec-aside-init";
/// The exit code of a helper that could not start the program.
pub(super) const NOT_STARTED: u8 = 126;
/// File systems that are not made read-only: they are of the kernel, and the program needs them.
const KERNEL_FILE_SYSTEMS: [&str; 12] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "mqueue",
    "cgroup",
    "cgroup2",
    "securityfs",
    "debugfs",
    "tracefs",
    "bpf",
    "hugetlbfs",
];

/// Runs a helper, if the arguments are those of one.
pub fn exec_helper(args: &[OsString]) -> Option<ExitCode> {
    let first = args.get(1)?;
    let result = if first == OUTER {
        outer()
    } else if first == INNER {
        inner(args.get(2..).unwrap_or_default())
    } else {
        return None;
    };
    Some(result.unwrap_or_else(|e| {
        // There is no log in this process: its standard error is read by the process that started it.
        let _ = writeln!(std::io::stderr(), "level=fatal msg=\"running K3s aside: {e:#}\"");
        ExitCode::from(NOT_STARTED)
    }))
}

fn outer() -> Result<ExitCode> {
    // Without a parent there is no one to take the result.
    set_pdeathsig(Signal::SIGKILL).context("asking for a signal at the end of the parent")?;
    let spec: AsideSpec = serde_json::from_str(&read_line()?).context("reading the specification")?;
    // If memory runs out, this process goes, not the live server.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWPID,
    )
    .context("entering namespaces")?;
    mount_all(&spec)?;
    spec.network.set_up()?;
    let mut child = Command::new("/proc/self/exe")
        .arg0("k3s-snapshot")
        .arg(INNER)
        .arg(&spec.program)
        .args(&spec.args)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .spawn()
        .context("starting the inner helper")?;
    Ok(ExitCode::from(code_of(wait(&mut child)?)))
}

/// The specification is one line; the pipe stays open behind it.
fn read_line() -> Result<String> {
    let mut stdin = std::io::stdin().lock();
    let mut line = Vec::new();
    let mut byte = [0u8; 1];
    loop {
        match stdin.read(&mut byte).context("reading the specification")? {
            0 => anyhow::bail!("the specification ends early"),
            _ if byte == *b"\n" => break,
            _ => line.extend_from_slice(&byte),
        }
    }
    String::from_utf8(line).context("reading the specification")
}

fn mount_all(spec: &AsideSpec) -> Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("making mounts private")?;
    // The mount table has paths without links.
    let mut writable: Vec<PathBuf> = Vec::new();
    // A source may be below another target: all are opened before the first mount hides one of them.
    let context =
        |bind: &BindMount| format!("mounting '{}' over '{}'", bind.source.display(), bind.target.display());
    let mut sources = Vec::new();
    for bind in &spec.binds {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        sources.push(rustix::fs::open(&bind.source, flags, Mode::empty()).with_context(|| context(bind))?);
    }
    for (bind, source) in spec.binds.iter().zip(&sources) {
        let source = format!("/proc/self/fd/{}", source.as_raw_fd());
        let target = bind.target.canonicalize().with_context(|| context(bind))?;
        mount(Some(source.as_str()), &target, none, MsFlags::MS_BIND, none).with_context(|| context(bind))?;
        writable.push(target);
    }
    for path in spec.tmpfs.iter().filter(|p| p.is_dir()) {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let context = || format!("mounting a private '{}'", path.display());
        let path = path.canonicalize().with_context(context)?;
        mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some("mode=1777,size=64m"))
            .with_context(context)?;
        writable.push(path);
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
    for entry in table.lines().filter_map(MountEntry::parse) {
        if entry.is_of_the_kernel() || writable.iter().any(|w| entry.point.starts_with(w)) {
            continue;
        }
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | entry.flags;
        // A mount that is hidden by another one, or that is gone, cannot be remounted; it cannot be reached either.
        let _ = mount(none, &entry.point, none, flags, none);
    }
    Ok(())
}

/// One line of /proc/self/mountinfo, as far as it is needed. Format: proc(5).
#[derive(Debug, PartialEq, Eq)]
struct MountEntry {
    point: PathBuf,
    flags: MsFlags,
    kind: String,
}

impl MountEntry {
    fn parse(line: &str) -> Option<MountEntry> {
        let (left, right) = line.split_once(" - ")?;
        let mut words = left.split(' ').skip(4);
        let point = mount_field(words.next()?);
        let flags = words.next()?.split(',').fold(MsFlags::empty(), |flags, word| {
            flags
                | match word {
                    "nosuid" => MsFlags::MS_NOSUID,
                    "nodev" => MsFlags::MS_NODEV,
                    "noexec" => MsFlags::MS_NOEXEC,
                    "noatime" => MsFlags::MS_NOATIME,
                    "nodiratime" => MsFlags::MS_NODIRATIME,
                    "relatime" => MsFlags::MS_RELATIME,
                    _ => MsFlags::empty(),
                }
        });
        Some(MountEntry { point, flags, kind: right.split(' ').next()?.to_owned() })
    }

    fn is_of_the_kernel(&self) -> bool {
        KERNEL_FILE_SYSTEMS.contains(&self.kind.as_str()) || self.point.starts_with("/dev")
    }
}

fn inner(command: &[OsString]) -> Result<ExitCode> {
    let (program, args) = command.split_first().context("there is no program to run")?;
    set_pdeathsig(Signal::SIGKILL).context("asking for a signal at the end of the parent")?;
    let none: Option<&str> = None;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, none).context("mounting /proc")?;
    let stop: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    stop.thread_block().context("blocking signals")?;
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().lock().read_to_end(&mut rest);
        std::process::exit(i32::from(NOT_STARTED));
    });
    let mut child = Command::new(program)
        .args(args)
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("running '{}'", program.display()))?;
    let group = Pid::from_raw(i32::try_from(child.id()).context("reading the process number")?);
    std::thread::spawn(move || {
        while let Ok(signal) = stop.wait() {
            let _ = killpg(group, signal);
        }
    });
    Ok(ExitCode::from(code_of(wait(&mut child)?)))
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    child.wait().context("waiting for the program")
}

/// As a shell counts: a signal is 128 and its number.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_line_of_the_mount_table_gives_path_flags_and_type() {
        let line =
            r"36 35 98:0 /mnt1 /mnt\0402 rw,nosuid,relatime master:1 - ext3 /dev/root rw,errors=continue";
        let entry = MountEntry::parse(line).unwrap();
        assert_eq!(entry.point, Path::new("/mnt 2"));
        assert_eq!(entry.flags, MsFlags::MS_NOSUID | MsFlags::MS_RELATIME);
        assert!(!entry.is_of_the_kernel());
        assert!(MountEntry::parse("1 2 0:3 / /proc rw - proc proc rw").unwrap().is_of_the_kernel());
        assert_eq!(MountEntry::parse("broken"), None);
    }
}
