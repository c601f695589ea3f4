// SPDX-License-Identifier: Apache-2.0
//! The generator on the files of a machine, and its calendars compared with what systemd makes of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k3s_snapshot::model::calendar;

use crate::support::cli::programs;
use crate::support::require::{self, require};

/// Runs the generator below a root with these files. The result is what it wrote and what it printed.
fn generated(files: &[(&str, &str)]) -> (Vec<(String, String)>, String) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    let mut generator = Command::new(programs().join("k3s-snapshot-generator"));
    generator.arg("--root").arg(root.path()).args([out.path(), out.path(), out.path()]);
    let began = Instant::now();
    let ran = generator.output().unwrap();
    // systemd waits for it; the limit allows for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(ran.status.success(), "a generator never fails: {ran:?}");
    let mut all = Vec::new();
    for dir in fs::read_dir(out.path()).unwrap() {
        for file in fs::read_dir(dir.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(out.path()).unwrap().display().to_string();
            all.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    all.sort();
    (all, String::from_utf8_lossy(&ran.stderr).into_owned())
}

const K3S: &str = "etc/rancher/k3s/config.yaml";

#[test]
fn a_machine_with_default_paths_needs_no_drop_in() {
    for files in
        [&[][..], &[(K3S, "cluster-init: true\n")], &[("etc/k3s-snapshot/config.yaml", "# all as shipped\n")]]
    {
        assert_eq!(generated(files), (vec![], String::new()));
    }
}

#[test]
fn directories_and_schedule_of_k3s_reach_the_units() {
    let config = "data-dir: /data/k3s\netcd-snapshot-schedule-cron: '0 */6 * * *'\ntoken: geheim\n";
    let (files, printed) = generated(&[(K3S, config)]);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let file = |unit: &str| format!("k3s-snapshot-{unit}.d/10-k3s-snapshot.conf");
    let want = ["prune.service", "prune.timer", "save.service", "save.timer"].map(file);
    assert_eq!(names, want);
    assert!(
        files[2].1.contains("\n[Service]\nReadWritePaths=\nReadWritePaths=-/data/k3s/server/db\n"),
        "{files:?}"
    );
    assert!(files[3].1.contains("\n[Timer]\nOnCalendar=\nOnCalendar=*-*-* 00/6:00:00\n"), "{files:?}");
    assert!(files[3].1.contains("config.yaml:2"), "{files:?}");
    assert!(printed.is_empty() && !format!("{files:?}").contains("geheim"));
}

/// The unit of K3s has flags, too; systemd cannot be asked while the generator runs.
#[test]
fn flags_in_the_unit_of_k3s_count() {
    let unit = "[Service]\nExecStart=/usr/local/bin/k3s server '--etcd-snapshot-dir' '/backups'\n";
    let (files, _) = generated(&[("etc/systemd/system/k3s.service", unit)]);
    assert!(files[1].1.contains("=-/var/lib/rancher/k3s/server/db\nReadWritePaths=-/backups\n"), "{files:?}");
}

#[test]
fn a_file_that_cannot_be_read_and_a_schedule_without_a_calendar_are_reported() {
    let (files, printed) = generated(&[(K3S, "etcd-snapshot-schedule-cron: '@every 6h'\n")]);
    assert!(printed.contains("warning: ") && printed.contains("@every 6h"), "{printed}");
    assert_eq!(files.len(), 1, "{files:?}");
    let (files, printed) = generated(&[(K3S, "a: b: c\n")]);
    assert!(files.is_empty() && printed.contains("config.yaml") && printed.contains("line 1"), "{printed}");
    let ran = Command::new(programs().join("k3s-snapshot-generator")).args(["--root", "/"]).output().unwrap();
    assert!(ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("usage"), "{ran:?}");
}

/// A time: minute, hour, day of the month, month, weekday with 0 for Sunday.
type Day = (u32, u32, u32, u32, u32);

/// Schedules, each with its meaning in cron as a function.
type Schedule = (&'static str, fn(Day) -> bool);
const SCHEDULES: &[Schedule] = &[
    ("0 */12 * * *", |(m, h, ..)| m == 0 && h % 12 == 0),
    ("0 */5 * * *", |(m, h, ..)| m == 0 && h % 5 == 0),
    ("30 2 * * *", |(m, h, ..)| (m, h) == (30, 2)),
    ("*/25 * * * *", |(m, ..)| m % 25 == 0),
    ("7/20 8-10 * * *", |(m, h, ..)| [7, 27, 47].contains(&m) && (8..=10).contains(&h)),
    ("0,1,2,30 4 * * *", |(m, h, ..)| [0, 1, 2, 30].contains(&m) && h == 4),
    ("0 9-17/3 * * mon-fri", |(m, h, _, _, w)| m == 0 && [9, 12, 15].contains(&h) && (1..=5).contains(&w)),
    ("15 0 * * 0,6", |(m, h, _, _, w)| (m, h) == (15, 0) && (w == 0 || w == 6)),
    ("0 0 1,15 * *", |(m, h, d, ..)| (m, h) == (0, 0) && (d == 1 || d == 15)),
    ("0 0 */2 * *", |(m, h, d, ..)| (m, h) == (0, 0) && d % 2 == 1),
    ("0 0 13 * 5", |(m, h, d, _, w)| (m, h) == (0, 0) && (d == 13 || w == 5)),
    ("0 0 */10 * 5", |(m, h, d, _, w)| (m, h) == (0, 0) && ([1, 11, 21, 31].contains(&d) || w == 5)),
    ("0 0 29-31 feb,apr *", |(m, h, d, o, _)| (m, h) == (0, 0) && d >= 29 && (o == 2 || o == 4)),
    ("0 0 * 12 *", |(m, h, _, o, _)| (m, h, o) == (0, 0, 12)),
    ("@weekly", |(m, h, _, _, w)| (m, h, w) == (0, 0, 0)),
    ("@hourly", |(m, ..)| m == 0),
];

#[test]
fn calendars_of_systemd_have_the_times_of_cron() {
    require!(require::program("systemd-analyze"));
    // A Sunday; 2028 has a 29th of February.
    let start: jiff::civil::DateTime = "2027-11-21T00:00:00".parse().unwrap();
    const RUNS: usize = 40;
    for (cron, meaning) in SCHEDULES {
        let mut next = start;
        let mut want = BTreeSet::new();
        while want.len() < RUNS && next < start.checked_add(jiff::Span::new().years(10)).unwrap() {
            next = next.checked_add(jiff::Span::new().minutes(1)).unwrap();
            let weekday = u32::from(next.weekday().to_sunday_zero_offset() as u8);
            let n = |v: i8| u32::from(v as u8);
            if meaning((n(next.minute()), n(next.hour()), n(next.day()), n(next.month()), weekday)) {
                want.insert(next.strftime("%Y-%m-%d %H:%M:%S").to_string());
            }
        }
        let mut got = BTreeSet::new();
        for spec in calendar::from_cron(cron, &|_| false).unwrap().specs {
            let mut analyze = Command::new("systemd-analyze");
            analyze.env("TZ", "UTC").args(["calendar", "--base-time=2027-11-21 00:00:00"]);
            let out = analyze.arg(format!("--iterations={RUNS}")).arg(&spec).output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            assert!(out.status.success(), "{cron}: {spec}: {}", String::from_utf8_lossy(&out.stderr));
            let times = text.lines().filter(|l| l.contains("Next elapse:") || l.contains("Iter")).map(|l| {
                l.split(": ").nth(1).unwrap().split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ")
            });
            got.extend(times);
        }
        assert!(want.len() > 10, "{cron}");
        let got: BTreeSet<String> = got.into_iter().take(want.len()).collect();
        assert_eq!(got, want, "{cron}");
    }
}

/// With the drop-ins in place, systemd prints no warning about the units.
#[test]
fn systemd_understands_what_is_generated() {
    require!(require::program("systemd-analyze"));
    let directories = "data-dir: '/data/k 3s'\netcd-snapshot-schedule-cron: '*/5 0 13 * 5'\netcd-snapshot-dir: /home/50%/x\n";
    understood(&[(K3S, directories)]);
    let files = "etcd-snapshot-schedule-cron: 'CRON_TZ=Asia/Tokyo 0 3 13 * 5'\netcd-s3-endpoint-ca: \"/root/a:b%/c.pem\"\n";
    understood(&[
        (K3S, files),
        ("usr/share/zoneinfo/Asia/Tokyo", ""),
        ("etc/k3s-snapshot/config.yaml", "etcd-key: /tmp/k\n"),
    ]);
}

/// Checks the shipped units with the drop-ins for these files.
fn understood(machine: &[(&str, &str)]) {
    let (files, printed) = generated(machine);
    assert!(files.len() == 5 && printed.is_empty(), "{files:?} {printed}");
    let units = tempfile::tempdir().unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    for entry in fs::read_dir(&top).unwrap().map(|e| e.unwrap().path()) {
        let text = fs::read_to_string(&entry).unwrap();
        let text = text.replace("=/usr/bin/k3s-snapshot", &format!("={}/k3s-snapshot", programs().display()));
        fs::write(units.path().join(entry.file_name().unwrap()), text).unwrap();
    }
    for (name, text) in &files {
        let path = units.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for unit in ["save.service", "save.timer", "prune.service", "prune.timer", "verify.service"] {
        let mut verify = Command::new("systemd-analyze");
        verify.env("SYSTEMD_UNIT_PATH", format!("{}:", units.path().display())).args(["verify", "--man=no"]);
        let out = verify.arg(units.path().join(format!("k3s-snapshot-{unit}"))).output().unwrap();
        let printed = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && printed.is_empty(), "{unit}: {printed} {files:?}");
    }
}
