// SPDX-License-Identifier: Apache-2.0
//! Drop-ins that fit our units to a machine whose K3s has other directories or another schedule. This file makes the texts;
//! `app/generator.rs` writes them.

use std::path::{Path, PathBuf};

use super::calendar::{self, Calendar};
use super::command::Command;

/// The name of each file. A file of the administrator, such as `override.conf`, comes after it and overrides it.
const NAME: &str = "10-k3s-snapshot.conf";
/// The delay of our timers, in seconds.
const DELAY: u32 = 600;
/// The delay is at most this fraction of the time between two runs.
const DELAY_FRACTION: u32 = 4;
/// Directories that hold much else: too much to make writable in order to save one mount.
const SHARED_DIRS: &[&str] = &[
    "/",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
    "/var/local",
    "/var/tmp",
];

/// A part of the file system that the sandbox of our services hides.
struct Hidden {
    dirs: &'static [&'static str],
    /// The setting that shows all of it.
    show_all: &'static str,
    /// The setting that lets single files be shown, if one is needed.
    show_files: Option<&'static str>,
}

const SANDBOX_HIDDEN: [Hidden; 2] = [
    Hidden {
        dirs: &["/home", "/root", "/run/user"],
        show_all: "ProtectHome=read-only",
        show_files: Some("ProtectHome=tmpfs"),
    },
    Hidden { dirs: &["/tmp", "/var/tmp"], show_all: "PrivateTmp=no", show_files: None },
];

/// A file that a service reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadPath {
    /// The path that the settings have.
    pub(crate) path: PathBuf,
    /// The path with its links followed.
    pub(crate) target: PathBuf,
}

/// The paths that a service uses. Links are followed.
#[derive(Debug, Default)]
pub(crate) struct HostPaths {
    /// The directory of the database of etcd and, by default, of the snapshots.
    pub(crate) db: PathBuf,
    /// The snapshot directory.
    pub(crate) dir: PathBuf,
    /// The directory next to the snapshot directory in which K3s keeps the metadata of snapshots.
    pub(crate) metadata: PathBuf,
    /// Directories of ours that are written to and are not the default ones.
    pub(crate) written: Vec<PathBuf>,
    /// Files and directories that are only read.
    pub(crate) read: Vec<ReadPath>,
    /// Whether the database of etcd belongs, or may belong, to another user than root.
    pub(crate) other_owner: bool,
    /// Whether the service sends pings or reports.
    pub(crate) sends_reports: bool,
}

/// What a service needs to read the files of another user. Root without this capability, or with it in a user namespace that does
/// not have the other user, cannot.
const READ_OTHER_OWNER: [&str; 2] = ["CapabilityBoundingSet=CAP_DAC_READ_SEARCH", "PrivateUsers=no"];

/// What a service without a network needs to have one.
const NETWORK: [&str; 3] =
    ["PrivateNetwork=no", "IPAddressDeny=", "RestrictAddressFamilies=AF_INET AF_INET6"];

/// One of our services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// The name of its unit.
    pub(crate) unit: &'static str,
    /// Its command that is a job.
    pub(crate) command: Command,
    /// Whether it writes to the snapshot directory.
    pub(crate) writes_snapshots: bool,
    /// Whether the shipped unit has a network.
    pub(crate) has_network: bool,
}

/// Our services that run in a sandbox.
pub(crate) const SERVICES: [Service; 3] = [
    Service {
        unit: "k3s-snapshot-save.service",
        command: Command::Save,
        writes_snapshots: true,
        has_network: true,
    },
    Service {
        unit: "k3s-snapshot-prune.service",
        command: Command::Prune,
        writes_snapshots: true,
        has_network: true,
    },
    Service {
        unit: "k3s-snapshot-verify.service",
        command: Command::Verify,
        writes_snapshots: false,
        has_network: false,
    },
];
/// Our timers that follow the schedule of K3s.
const TIMERS: [&str; 2] = ["k3s-snapshot-save.timer", "k3s-snapshot-prune.timer"];

/// A drop-in: its path below the directory of a generator, and its text.
pub(crate) type DropIn = (PathBuf, String);

/// The drop-in of a service; `None` if the unit as shipped fits. `default_db_dir` is the directory that the shipped units name.
pub(crate) fn for_service(service: Service, paths: &HostPaths, default_db_dir: &Path) -> Option<DropIn> {
    let mut lines = Vec::new();
    if service.writes_snapshots {
        let dirs = covering_paths(&paths.db, &paths.dir, &paths.metadata);
        if dirs != [default_db_dir] {
            lines.push("ReadWritePaths=".to_owned());
            lines.extend(dirs.iter().map(|dir| rw_path_entry(dir)));
        }
    }
    lines.extend(paths.written.iter().map(|dir| rw_path_entry(dir)));
    for hidden in &SANDBOX_HIDDEN {
        lines.extend(shown_again(hidden, paths));
    }
    if paths.other_owner {
        lines.extend(READ_OTHER_OWNER.map(str::to_owned));
    }
    if paths.sends_reports && !service.has_network {
        lines.extend(NETWORK.map(str::to_owned));
    }
    (!lines.is_empty()).then(|| drop_in(service.unit, "the paths of the configuration", "Service", &lines))
}

/// The drop-in of the K3s service as long as `identity` exists: a rebuild is expected, and K3s must not start without a datastore,
/// because it would create an empty one. `databases` are the files of which one exists if there is a datastore.
pub(crate) fn for_rebuild(unit: &str, databases: &[PathBuf], identity: &str) -> DropIn {
    let condition = |what: &str| format!("ConditionPathExists=|{}", what.replace('%', "%%"));
    let lines: Vec<String> = databases
        .iter()
        .map(|path| condition(&path.display().to_string()))
        .chain([condition(&format!("!{identity}"))])
        .collect();
    drop_in(unit, "a rebuild is expected, so K3s starts only if there is a datastore", "Unit", &lines)
}

/// The drop-ins of the timers for the schedule of K3s, and why the schedule cannot be followed. `origin` is where the schedule
/// is set, `is_zone` whether systemd knows a time zone.
pub(crate) fn for_timers(
    cron: &str,
    origin: &str,
    is_zone: &dyn Fn(&str) -> bool,
) -> (Vec<DropIn>, Option<String>) {
    let shown =
        format!("etcd-snapshot-schedule-cron of K3s, '{}' ({})", cron.escape_debug(), origin.escape_debug());
    match calendar::from_cron(cron, is_zone) {
        Ok(calendar) => {
            let lines = timer_lines(&calendar);
            (TIMERS.iter().map(|unit| drop_in(unit, &shown, "Timer", &lines)).collect(), None)
        }
        Err(reason) => {
            let reason = format!("{shown} {reason}: the timers keep their own times");
            (vec![drop_in("k3s-snapshot-save.timer", &reason, "Timer", &[])], Some(reason))
        }
    }
}

fn drop_in(unit: &str, reason: &str, section: &str, lines: &[String]) -> DropIn {
    let text =
        format!("# Written by k3s-snapshot-generator(8) at each boot and reload: {reason}.\n[{section}]\n");
    let text = lines.iter().fold(text, |text, line| format!("{text}{line}\n"));
    (Path::new(&format!("{unit}.d")).join(NAME), text)
}

fn timer_lines(calendar: &Calendar) -> Vec<String> {
    let mut lines = vec!["OnCalendar=".to_owned()];
    lines.extend(calendar.specs.iter().map(|spec| format!("OnCalendar={spec}")));
    // A delay longer than the time between two runs would skip every second run.
    let longest = calendar.min_interval * 60 / DELAY_FRACTION;
    if longest < DELAY {
        lines.push(format!("RandomizedDelaySec={longest}s"));
        lines.push("AccuracySec=1s".to_owned());
    }
    lines
}

/// The directories to make writable. One that covers both is better, if it does not hold much else: each entry is a mount of
/// its own, and Linux before 5.18 cannot clone a file from one mount to another.
fn covering_paths(db: &Path, dir: &Path, metadata: &Path) -> Vec<PathBuf> {
    let is_shared = |path: &Path| SHARED_DIRS.iter().any(|shared| path == Path::new(shared));
    let both = db.ancestors().find(|path| dir.starts_with(path)).filter(|path| !is_shared(path));
    let mut all = match both {
        Some(one) => vec![one.to_owned()],
        None => vec![db.to_owned(), dir.to_owned()],
    };
    if !all.iter().any(|path| metadata.starts_with(path)) {
        all.push(metadata.to_owned());
    }
    all
}

/// The lines that show what this part of the sandbox hides. Directories need all of it; for files the files are enough.
fn shown_again(hidden: &Hidden, paths: &HostPaths) -> Vec<String> {
    let is_hidden = |path: &Path| hidden.dirs.iter().any(|dir| path.starts_with(dir));
    let dirs = [&paths.db, &paths.dir].into_iter().chain(&paths.written);
    if dirs.into_iter().any(|dir| is_hidden(dir)) {
        return vec![hidden.show_all.to_owned()];
    }
    let mut binds = Vec::new();
    for ReadPath { path, target } in &paths.read {
        if is_hidden(target) {
            binds.push(format!("BindReadOnlyPaths={}", quoted("-", target)));
        }
        if path != target && is_hidden(path) {
            binds.push(format!("BindReadOnlyPaths={}:{}", quoted("-", target), quoted("", path)));
        }
    }
    binds.sort();
    binds.dedup();
    match hidden.show_files {
        Some(setting) if !binds.is_empty() => [vec![setting.to_owned()], binds].concat(),
        _ => binds,
    }
}

/// The line that makes a directory writable. The directory need not exist yet.
fn rw_path_entry(path: &Path) -> String {
    format!("ReadWritePaths={}", quoted("-", path))
}

/// A path after a sign, in quotes if systemd would take a character of it for its own.
fn quoted(sign: &str, path: &Path) -> String {
    let text = path.display().to_string();
    let escaped: String = text
        .chars()
        .flat_map(|c| match c {
            '%' => vec!['%', '%'],
            '"' | '\\' => vec!['\\', c],
            '\n' => vec!['\\', 'n'],
            c => vec![c],
        })
        .collect();
    match escaped == text && !text.contains([' ', '\t', '\'', ':']) {
        true => format!("{sign}{text}"),
        false => format!("\"{sign}{escaped}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "/u/k3s/server/db";
    const SAVE: Service = SERVICES[0];
    const VERIFY: Service = SERVICES[2];

    fn paths(db: &str, dir: &str) -> HostPaths {
        let metadata = Path::new(dir).with_file_name(".metadata");
        HostPaths { db: db.into(), dir: dir.into(), metadata, ..HostPaths::default() }
    }

    /// The lines of the drop-in of a service, without comment and section.
    fn lines(service: Service, paths: &HostPaths) -> Vec<String> {
        let drop_in = for_service(service, paths, Path::new(DEFAULT));
        drop_in.map(|(_, text)| text.lines().skip(2).map(str::to_owned).collect()).unwrap_or_default()
    }

    fn read(path: &str, target: &str) -> ReadPath {
        ReadPath { path: path.into(), target: target.into() }
    }

    #[test]
    fn the_default_directories_need_no_drop_in() {
        let paths = paths(DEFAULT, &format!("{DEFAULT}/snapshots"));
        assert!(SERVICES.iter().all(|service| for_service(*service, &paths, Path::new(DEFAULT)).is_none()));
    }

    #[test]
    fn a_database_of_another_user_needs_the_capability_to_read_it_in_every_service() {
        let paths = HostPaths { other_owner: true, ..paths(DEFAULT, &format!("{DEFAULT}/snapshots")) };
        assert!(SERVICES.iter().all(|service| lines(*service, &paths) == READ_OTHER_OWNER));
    }

    #[test]
    fn one_entry_covers_both_directories_unless_it_would_cover_too_much() {
        for (db, dir, want) in [
            ("/data/server/db", "/data/server/db/snapshots", &["-/data/server/db"][..]),
            (DEFAULT, "/u/k3s/backups", &["-/u/k3s"]),
            ("/data/k3s/server/db", "/data/snapshots", &["-/data"]),
            (DEFAULT, "/backups", &["-/u/k3s/server/db", "-/backups", "-/.metadata"]),
            (DEFAULT, "/srv/snaps", &["-/u/k3s/server/db", "-/srv/snaps", "-/srv/.metadata"]),
            (
                "/var/lib/k3s/server/db",
                "/var/lib/backups",
                &["-/var/lib/k3s/server/db", "-/var/lib/backups", "-/var/lib/.metadata"],
            ),
            ("/data/a b/db", "/data/a b/db/x", &["\"-/data/a b/db\""]),
            ("/data/50%\"\\", "/data/50%\"\\/x", &["\"-/data/50%%\\\"\\\\\""]),
        ] {
            let mut expected = vec!["ReadWritePaths=".to_owned()];
            expected.extend(want.iter().map(|w| format!("ReadWritePaths={w}")));
            assert_eq!(lines(SAVE, &paths(db, dir)), expected, "{db} {dir}");
            assert!(lines(VERIFY, &paths(db, dir)).is_empty(), "verify writes to no snapshot directory");
        }
    }

    #[test]
    fn hidden_directories_are_shown_and_our_own_can_be_written_to() {
        let home = paths("/home/k3s/server/db", "/home/k3s/server/db/snapshots");
        assert_eq!(lines(VERIFY, &home), ["ProtectHome=read-only"]);
        assert!(lines(SAVE, &home).contains(&"ProtectHome=read-only".to_owned()));
        let mut tmp = paths(DEFAULT, "/var/tmp/snapshots");
        tmp.written = vec!["/state".into()];
        assert_eq!(lines(VERIFY, &tmp), ["ReadWritePaths=-/state", "PrivateTmp=no"]);
    }

    #[test]
    fn hidden_files_are_shown_without_the_rest_of_their_directory() {
        let mut all = paths(DEFAULT, DEFAULT);
        all.read = vec![
            read("/etc/ca.pem", "/etc/ca.pem"),
            read("/root/ca.pem", "/root/ca.pem"),
            read("/etc/key", "/root/a key"),
            read("/home/link", "/srv/x"),
            read("/tmp/a:b", "/tmp/a:b"),
        ];
        let want = [
            "ProtectHome=tmpfs",
            "BindReadOnlyPaths=\"-/root/a key\"",
            "BindReadOnlyPaths=-/root/ca.pem",
            "BindReadOnlyPaths=-/srv/x:/home/link",
            "BindReadOnlyPaths=\"-/tmp/a:b\"",
        ];
        assert_eq!(lines(VERIFY, &all), want);
        // Directories show everything anyway.
        all.written = vec!["/root/state".into()];
        assert_eq!(
            lines(VERIFY, &all),
            ["ReadWritePaths=-/root/state", "ProtectHome=read-only", "BindReadOnlyPaths=\"-/tmp/a:b\""]
        );
    }

    #[test]
    fn timers_follow_the_schedule_of_k3s_or_keep_their_own() {
        let with = |cron: &str| for_timers(cron, "config.yaml:3", &|zone| zone == "Asia/Tokyo");
        let lines = |all: &[DropIn], at: usize| -> Vec<String> {
            all[at].1.lines().skip(2).map(str::to_owned).collect()
        };
        let (all, warning) = with("0 */6 * * *");
        assert_eq!(lines(&all, 0), ["OnCalendar=", "OnCalendar=*-*-* 00/6:00:00"]);
        assert_eq!(lines(&all, 1), lines(&all, 0));
        assert!(warning.is_none() && all[0].1.contains("'0 */6 * * *' (config.yaml:3)"));
        let (all, _) = with("*/5 * * * *");
        let soon = ["OnCalendar=", "OnCalendar=*-*-* *:00/5:00", "RandomizedDelaySec=75s", "AccuracySec=1s"];
        assert_eq!(lines(&all, 0), soon);
        let (all, _) = with("CRON_TZ=Asia/Tokyo 0 3 * * *");
        assert_eq!(lines(&all, 0), ["OnCalendar=", "OnCalendar=*-*-* 03:00:00 Asia/Tokyo"]);
        let (all, warning) = with("@every 6h\n");
        assert!(all.len() == 1 && lines(&all, 0).is_empty() && warning.is_some());
        assert_eq!(all[0].1.lines().count(), 2, "the schedule adds no line: {all:?}");
    }
}
