// SPDX-License-Identifier: Apache-2.0
//! Drop-ins that adapt the units of this project to a machine whose K3s uses other directories or another schedule. Only
//! texts; `app/generator.rs` writes the files.

use std::path::{Path, PathBuf};

use super::calendar::{self, Calendar};

/// The name of each file. A drop-in of the administrator, such as `override.conf`, sorts after it and wins.
const NAME: &str = "10-k3s-snapshot.conf";
/// The random delay of the shipped timers, in seconds. It is at most this part of the time between two runs.
const DELAY: u32 = 600;
const PART: u32 = 4;
/// Directories with many other files. They do not become writable only to save a mount.
const SHARED: &[&str] = &[
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
/// What the sandbox hides, and the setting that shows it again.
const HIDDEN: &[(&[&str], &str)] =
    &[(&["/home", "/root", "/run/user"], "ProtectHome=read-only"), (&["/tmp", "/var/tmp"], "PrivateTmp=no")];

/// What differs from machine to machine.
#[derive(Debug, Default)]
pub struct HostPaths {
    /// The directory of the etcd database and, by default, of the snapshots.
    pub db: PathBuf,
    /// The snapshot directory.
    pub dir: PathBuf,
    /// Other writable directories of this program, if they are not the default ones.
    pub written: Vec<PathBuf>,
    /// Other files and directories that are only read.
    pub read: Vec<PathBuf>,
    /// The schedule of K3s, and where it is set.
    pub schedule: Option<(String, String)>,
}

/// The files, with paths relative to the output directory of the generator, and the warnings for the operator.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DropIns {
    /// Path and text.
    pub files: Vec<(PathBuf, String)>,
    /// Warnings for the operator.
    pub warnings: Vec<String>,
}

/// The drop-ins for this machine. `usual` is the directory that the shipped units contain.
pub fn of(machine: &HostPaths, usual: &Path) -> DropIns {
    let mut all = DropIns::default();
    let mut add = |unit: &str, why: &str, section: &str, lines: &[String]| {
        let text =
            format!("# Written by k3s-snapshot-generator(8) at each boot and reload: {why}.\n[{section}]\n");
        let text = lines.iter().fold(text, |text, line| format!("{text}{line}\n"));
        all.files.push((Path::new(&format!("k3s-snapshot-{unit}.d")).join(NAME), text));
    };
    let folders = cover(&machine.db, &machine.dir);
    let visible = [&machine.db, &machine.dir].into_iter().chain(&machine.read).chain(&machine.written);
    let visible: Vec<&PathBuf> = visible.collect();
    let shown =
        HIDDEN.iter().filter(|(below, _)| below.iter().any(|b| visible.iter().any(|p| p.starts_with(b))));
    let shown: Vec<String> = shown.map(|(_, line)| (*line).to_owned()).collect();
    let ours: Vec<String> = machine.written.iter().map(|p| entry(p)).collect();
    let mut writers = Vec::new();
    if folders != [usual] {
        writers.push("ReadWritePaths=".to_owned());
        writers.extend(folders.iter().map(|p| entry(p)));
    }
    let writers: Vec<String> = writers.iter().chain(&ours).chain(&shown).cloned().collect();
    let readers: Vec<String> = ours.iter().chain(&shown).cloned().collect();
    let why = "the directories of the settings";
    for (unit, lines) in
        [("save.service", &writers), ("prune.service", &writers), ("verify.service", &readers)]
    {
        if !lines.is_empty() {
            add(unit, why, "Service", lines);
        }
    }
    let mut warnings = Vec::new();
    if let Some((cron, origin)) = &machine.schedule {
        let shown = format!(
            "etcd-snapshot-schedule-cron of K3s '{}' ({})",
            cron.escape_debug(),
            origin.escape_debug()
        );
        match calendar::convert(cron) {
            Ok(calendar) => {
                for unit in ["save.timer", "prune.timer"] {
                    add(unit, &shown, "Timer", &timer(&calendar));
                }
            }
            Err(why) => {
                let why = format!("{shown} {why}; the timer keeps its default times");
                add("save.timer", &why, "Timer", &[]);
                warnings.push(why);
            }
        }
    }
    all.warnings = warnings;
    all
}

fn timer(calendar: &Calendar) -> Vec<String> {
    let mut lines = vec!["OnCalendar=".to_owned()];
    lines.extend(calendar.specs.iter().map(|spec| format!("OnCalendar={spec}")));
    // A delay longer than the time between two runs would skip every second run.
    let most = calendar.gap * 60 / PART;
    if most < DELAY {
        lines.push(format!("RandomizedDelaySec={most}s"));
        lines.push("AccuracySec=1s".to_owned());
    }
    lines
}

/// The writable directories: one that contains both, unless it is in [`SHARED`]. Each entry is a mount of its own, and Linux
/// before 5.18 cannot clone a file from one mount to another.
fn cover(db: &Path, dir: &Path) -> Vec<PathBuf> {
    let both =
        db.ancestors().find(|a| dir.starts_with(a)).filter(|a| !SHARED.iter().any(|s| *a == Path::new(s)));
    match both {
        Some(one) => vec![one.to_owned()],
        None => vec![db.to_owned(), dir.to_owned()],
    }
}

/// The line for one directory. The directory need not exist. Characters that are special to systemd are escaped.
fn entry(path: &Path) -> String {
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
    match escaped == text && !text.contains([' ', '\t', '\'']) {
        true => format!("ReadWritePaths=-{text}"),
        false => format!("ReadWritePaths=\"-{escaped}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "/u/k3s/server/db";

    fn drop_ins(machine: &HostPaths) -> DropIns {
        of(machine, Path::new(USUAL))
    }

    fn machine(db: &str, dir: &str) -> HostPaths {
        HostPaths { db: db.into(), dir: dir.into(), ..HostPaths::default() }
    }

    /// The lines of a unit's drop-in, without comment and section.
    fn lines<'a>(all: &'a DropIns, unit: &str) -> Vec<&'a str> {
        let path = Path::new(&format!("k3s-snapshot-{unit}.d")).join(NAME);
        let text = all.files.iter().find(|(p, _)| *p == path).map_or("", |(_, text)| text);
        text.lines().skip(2).collect()
    }

    #[test]
    fn nothing_is_written_for_the_usual_folders() {
        assert_eq!(drop_ins(&machine(USUAL, &format!("{USUAL}/snapshots"))), DropIns::default());
    }

    #[test]
    fn one_entry_covers_both_folders_unless_it_covered_too_much() {
        for (db, dir, want) in [
            ("/data/server/db", "/data/server/db/snapshots", &["-/data/server/db"][..]),
            (USUAL, "/u/k3s/backups", &["-/u/k3s"]),
            ("/data/k3s/server/db", "/data/snapshots", &["-/data"]),
            (USUAL, "/backups", &["-/u/k3s/server/db", "-/backups"]),
            ("/var/lib/k3s/server/db", "/var/lib/backups", &["-/var/lib/k3s/server/db", "-/var/lib/backups"]),
            ("/data/a b/db", "/data/a b/db/x", &["\"-/data/a b/db\""]),
            ("/data/50%\"\\", "/data/50%\"\\/x", &["\"-/data/50%%\\\"\\\\\""]),
        ] {
            let all = drop_ins(&machine(db, dir));
            let mut expected = vec!["ReadWritePaths=".to_owned()];
            expected.extend(want.iter().map(|w| format!("ReadWritePaths={w}")));
            assert_eq!(lines(&all, "save.service"), expected, "{db} {dir}");
            assert_eq!(lines(&all, "prune.service"), expected, "{db} {dir}");
            assert!(lines(&all, "verify.service").is_empty(), "verify writes to no snapshot directory");
        }
    }

    #[test]
    fn what_the_sandbox_hides_is_shown_again_and_our_own_folders_can_be_written_to() {
        let all = drop_ins(&machine("/home/k3s/server/db", "/home/k3s/server/db/snapshots"));
        assert_eq!(lines(&all, "verify.service"), ["ProtectHome=read-only"]);
        assert!(lines(&all, "save.service").contains(&"ProtectHome=read-only"));
        let mut tmp = machine(USUAL, "/var/tmp/snapshots");
        tmp.written = vec!["/state".into()];
        let all = drop_ins(&tmp);
        assert_eq!(lines(&all, "verify.service"), ["ReadWritePaths=-/state", "PrivateTmp=no"]);
    }

    #[test]
    fn timers_follow_the_schedule_of_k3s_and_keep_their_own_where_that_cannot_be() {
        let with = |cron: &str| {
            let mut machine = machine(USUAL, USUAL);
            machine.schedule = Some((cron.to_owned(), "config.yaml:3".to_owned()));
            drop_ins(&machine)
        };
        let all = with("0 */6 * * *");
        assert_eq!(lines(&all, "save.timer"), ["OnCalendar=", "OnCalendar=*-*-* 00/6:00:00"]);
        assert_eq!(lines(&all, "prune.timer"), lines(&all, "save.timer"));
        assert!(all.warnings.is_empty() && all.files[0].1.contains("'0 */6 * * *' (config.yaml:3)"));
        let all = with("*/5 * * * *");
        let soon = ["OnCalendar=", "OnCalendar=*-*-* *:00/5:00", "RandomizedDelaySec=75s", "AccuracySec=1s"];
        assert_eq!(lines(&all, "save.timer"), soon);
        let all = with("@every 6h\n");
        assert!(lines(&all, "save.timer").is_empty() && lines(&all, "prune.timer").is_empty());
        assert!(all.warnings[0].contains("@every 6h"), "{all:?}");
        assert_eq!(all.files[0].1.lines().count(), 2, "the line end of the schedule adds no line: {all:?}");
    }
}
