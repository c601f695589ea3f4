// SPDX-License-Identifier: Apache-2.0
//! The files that an installation puts on a machine: the units and their sandbox. Booted hosts are in `support/host.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::cli::programs;
use crate::support::require::{self, require};

/// Services that run by a timer, each with the limit of the exposure that `systemd-analyze security` reports, in tenths.
const TIMED: &[(&str, u32)] = &[("save", 15), ("prune", 15), ("verify", 8)];

/// What a timed service adds to the common sandbox.
const BEYOND: &[(&str, &[&str])] = &[
    ("save", &["RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"]),
    ("prune", &["RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"]),
    ("verify", &["PrivateNetwork=yes", "IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX"]),
];

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn unit(name: &str) -> String {
    std::fs::read_to_string(dir().join(name)).unwrap_or_else(|e| panic!("systemd/{name}: {e}"))
}

fn units() -> Vec<PathBuf> {
    let is_unit = |p: &PathBuf| p.extension().is_some_and(|e| e == "service" || e == "timer");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(dir()).unwrap().map(|e| e.unwrap().path()).filter(is_unit).collect();
    all.sort();
    assert!(all.len() >= 7, "{all:?}");
    all
}

fn printed(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// systemd ignores a setting that it does not know, with a line on stderr and exit code 0.
#[test]
fn systemd_knows_every_setting_of_every_unit() {
    require!(require::program("systemd-analyze"));
    let root = tempfile::tempdir().unwrap();
    for path in units() {
        // The programs are where cargo put them.
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("=/usr/bin/k3s-snapshot", &format!("={}/k3s-snapshot", programs().display()));
        std::fs::write(root.path().join(path.file_name().unwrap()), text).unwrap();
    }
    for entry in std::fs::read_dir(root.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut verify = Command::new("systemd-analyze");
        verify.env("SYSTEMD_UNIT_PATH", format!("{}:", root.path().display()));
        let out = verify.args(["verify", "--man=no"]).arg(&path).output().unwrap();
        assert!(out.status.success() && printed(&out).is_empty(), "{}: {}", path.display(), printed(&out));
    }
}

#[test]
fn services_of_timers_are_sandboxed() {
    require!(require::program("systemd-analyze"));
    for (command, most) in TIMED {
        let path = dir().join(format!("k3s-snapshot-{command}.service"));
        let limit = most.to_string();
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager", "--threshold", &limit]).arg(path);
        let out = security.output().unwrap();
        assert!(out.status.success(), "{command}: {}", printed(&out));
    }
}

/// The lines after the heading of the sandbox.
fn sandbox(command: &str) -> BTreeSet<String> {
    let text = unit(&format!("k3s-snapshot-{command}.service"));
    let (_, lines) = text.split_once("# The sandbox").unwrap();
    lines.lines().skip(1).filter(|l| !l.starts_with('#') && !l.is_empty()).map(str::to_owned).collect()
}

#[test]
fn services_of_timers_have_the_same_sandbox() {
    let common = |(command, beyond): &(&str, &[&str])| {
        let mut lines = sandbox(command);
        for line in *beyond {
            assert!(lines.remove(*line), "{command} lacks {line}");
        }
        lines
    };
    let all: BTreeSet<_> = BEYOND.iter().map(common).collect();
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn a_service_of_a_timer_starts_nothing_else_and_has_a_failure_hook() {
    for (command, _) in TIMED {
        let text = unit(&format!("k3s-snapshot-{command}.service"));
        for line in [
            "Type=oneshot",
            "NotifyAccess=main",
            "OnFailure=k3s-snapshot-failed@%n.service",
            "StateDirectory=k3s-snapshot",
            "StateDirectoryMode=0700",
            "IOSchedulingClass=best-effort",
        ] {
            assert!(text.lines().any(|l| l == line), "{command} lacks {line}");
        }
        assert!(text.lines().any(|l| l.starts_with("After=") && l.contains("k3s.service")), "{command}");
        assert!(text.lines().any(|l| l.starts_with("TimeoutStartSec=")), "{command}");
        // With Restart=, OnFailure= is not triggered; with the others, a timer would start K3s, or never save.
        for word in ["Restart=", "Requires=", "Wants=", "BindsTo=", "Condition", "Assert"] {
            assert!(!text.lines().any(|l| l.starts_with(word)), "{command} has {word}");
        }
        for command in text.lines().filter(|l| l.starts_with("ExecStart")) {
            assert!(command.contains("--skip-without-etcd"), "{command}");
        }
        let timer = unit(&format!("k3s-snapshot-{command}.timer"));
        for line in ["Persistent=yes", "FixedRandomDelay=yes", "WantedBy=timers.target"] {
            assert!(timer.lines().any(|l| l == line), "{command}.timer lacks {line}");
        }
        for word in ["OnCalendar=", "RandomizedDelaySec=", "AccuracySec="] {
            assert!(timer.lines().any(|l| l.starts_with(word)), "{command}.timer lacks {word}");
        }
        let preset = unit("k3s-snapshot.preset");
        assert!(preset.lines().any(|l| l == format!("disable k3s-snapshot-{command}.timer")), "{command}");
    }
    // The timer of the save enables and starts that of the prune.
    for word in ["Also", "Wants"] {
        assert!(unit("k3s-snapshot-save.timer").contains(&format!("\n{word}=k3s-snapshot-prune.timer\n")));
    }
}

/// The paths and settings on which the recovery of a restore relies.
#[test]
fn units_of_a_restore_find_its_state_keep_its_secrets_and_delay_no_boot() {
    let path = "src/app/restore/recovery.rs";
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let constant = |name: &str| {
        let line = source.lines().find(|l| l.contains(&format!(" {name}: &str = ")));
        line.and_then(|l| l.split('"').nth(1)).unwrap_or_else(|| panic!("{path} has no {name}")).to_owned()
    };
    let (state, lock) = (constant("STATE_DIR"), constant("LOCK_DIR"));
    let condition = format!("ConditionPathExists={state}/state.json");
    let runtime = format!("RuntimeDirectory={}", lock.strip_prefix("/run/").unwrap());
    for name in ["recover.service", "recover-finish.service", "restore@.service", "rebuild.service"] {
        let text = unit(&format!("k3s-snapshot-{name}"));
        let has = |line: &str| text.lines().any(|l| l == line);
        // Memory and cores hold the token and the keys of the cluster.
        for line in ["LimitCORE=0", "UMask=0077", "RuntimeDirectoryMode=0700", &runtime] {
            assert!(has(line), "{name} lacks {line}");
        }
        assert!(has("OnFailure=k3s-snapshot-failed@%n.service"), "{name} fails without a notification");
        assert_eq!(has(&condition), name.starts_with("recover"), "{name}");
    }
    // Its order holds at every boot: mounts of a network, or mounts that need K3s, must not be waited for.
    let text = unit("k3s-snapshot-recover.service");
    let order: Vec<&str> = text
        .lines()
        .filter(|l| ["After=", "Before=", "Wants=", "Requires"].iter().any(|w| l.starts_with(w)))
        .collect();
    assert_eq!(order, ["After=local-fs.target", "Before=k3s.service"]);
}

/// The restore in it starts K3s and waits for it: with an order between the two, each would wait for the other.
#[test]
fn the_unit_of_a_rebuild_has_no_order_to_k3s_and_needs_its_identity() {
    let text = unit("k3s-snapshot-rebuild.service");
    let order = ["Before=", "Requires=", "RequiredBy=", "PartOf="];
    assert!(!text.lines().any(|line| order.iter().any(|word| line.starts_with(word))));
    assert!(!text.lines().any(|line| line.starts_with("After=") && line.contains("k3s.service")));
    let generator =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/app/generator.rs"));
    let line = generator
        .unwrap()
        .lines()
        .find_map(|l| l.strip_prefix("const REBUILD_IDENTITY: &str = \"").map(str::to_owned));
    let identity = line.unwrap().trim_end_matches("\";").to_owned();
    for line in [format!("ConditionPathExists={identity}"), format!("LoadCredential=identity:{identity}")] {
        assert!(text.lines().any(|l| l == line), "the unit lacks {line}");
    }
}

/// Older versions of systemd are supported, too: they would ignore newer settings with a warning.
#[test]
fn units_use_nothing_newer_than_systemd_247() {
    const NEWER: &[&str] = &[
        "ImportCredential=",
        "LoadCredentialEncrypted=",
        "OnSuccess=",
        "PrivateIPC=",
        "RestartSteps=",
        "RestrictFileSystems=",
        "UpheldBy=",
        "ExitType=",
        "MemoryKSM=",
        "ConditionCredential=",
    ];
    for path in units() {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in NEWER {
            assert!(!text.lines().any(|l| l.starts_with(word)), "{}: {word}", path.display());
        }
    }
}

#[test]
fn units_name_manual_pages_that_exist() {
    for path in units() {
        let text = std::fs::read_to_string(&path).unwrap();
        let pages = text.lines().find_map(|l| l.strip_prefix("Documentation=")).unwrap_or_default();
        assert!(!pages.is_empty(), "{} names no page", path.display());
        for page in pages.split(' ') {
            let page = page.strip_prefix("man:").and_then(|p| p.strip_suffix(')')).unwrap();
            let file = format!("man/{}", page.replace('(', "."));
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).exists(), "{}: {file}", path.display());
        }
    }
}
