// SPDX-License-Identifier: Apache-2.0
//! The K3s service in a real systemd: its properties, stop, start. In a booted host, in which this program runs a second
//! time and makes the requests.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k3s_snapshot::config::load::{self, Environment, Selectors};
use k3s_snapshot::config::unit::K3sFlags;
use k3s_snapshot::distribution::{Distribution, K3S};
use k3s_snapshot::error::{Code, Kind, code_of, hint_of, kind_of};
use k3s_snapshot::host::ports::listeners;
use k3s_snapshot::host::systemd::{self, Systemd};
use k3s_snapshot::host::{Active, Unit, UnitControl};
use k3s_snapshot::model::unit::{Definition, UnitAnswer};

use crate::support::cli::{Tool, programs};
use crate::support::require::{self, require};

/// The variable by which this program knows that it runs in the host that it has booted, and as which user.
const INSIDE: &str = "INSIDE_A_BOOTED_HOST";

#[test]
fn requests_to_a_real_systemd_have_their_effect() {
    match std::env::var(INSIDE).as_deref() {
        Ok("nobody") => return as_unprivileged_user(),
        Ok(_) => return as_root(),
        Err(_) => {}
    }
    require!(require::program("systemd-nspawn"));
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::env::current_exe().unwrap();
    let inside = Path::new("/opt/tests").join(own.file_name().unwrap());
    let mut boot = Command::new(top.join("tests/host/boot"));
    boot.args(["-H", "-t", "120", "-B"]).arg(format!("{}:/opt/programs", programs().display()));
    boot.arg("-B").arg(format!("{}:/opt/k3s-snapshot", top.display()));
    boot.arg("-B").arg(format!("{}:/opt/tests", own.parent().unwrap().display()));
    let out = boot.arg("--").arg(top.join("tests/host/ask-systemd")).arg(inside).output().unwrap();
    let output = [out.stdout, out.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(out.status.success() && output.contains("systemd was asked"), "{}: {output}", out.status);
    output.lines().filter(|l| l.contains("took")).for_each(|l| println!("{l}"));
}

#[track_caller]
fn wait_until(what: &str, mut come: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !come() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} has not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process of this number exists and has not ended.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X', 'x']))
}

fn unit(name: &str) -> Unit {
    Systemd::new(name).unit().unwrap()
}

fn systemctl(args: &[&str]) {
    assert!(Command::new("systemctl").args(args).status().unwrap().success(), "systemctl {args:?}");
}

fn flags() -> K3sFlags {
    let loaded =
        load::load(Path::new("/"), &Selectors::default(), &Environment::new(), &systemd::definition).unwrap();
    assert_eq!(loaded.distribution.word, "k3s", "its unit shows it");
    loaded.flags
}

/// The texts between the zero bytes of a file.
fn records(path: &str) -> Vec<String> {
    let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn as_root() {
    properties();
    the_flags_are_what_the_process_was_given();
    without_an_answer_the_unit_files_count();
    stops();
    starts_and_assertions();
    reloads_and_failures();
    names();
    let begun = Instant::now();
    (0..20).for_each(|_| assert!(matches!(systemd::definition(&K3S, None), Ok(UnitAnswer::Found(_)))));
    println!("one question for the settings took {:?}", begun.elapsed() / 20);
}

fn properties() {
    let k3s = unit("k3s");
    assert_eq!((k3s.name.as_str(), k3s.loaded, k3s.active), ("k3s.service", true, Active::Active));
    assert_eq!((k3s.sub.as_str(), k3s.result.as_str(), k3s.restarts), ("running", "success", 0));
    assert!(!k3s.outdated && !k3s.assert_failed && !k3s.has_job);
    assert!(k3s.control_group.ends_with("/k3s.service"), "{}", k3s.control_group);
    assert_eq!(k3s.fragment.as_deref(), Some(Path::new("/etc/systemd/system/k3s.service")));
    assert!(runs(k3s.main_pid));
    let d = &k3s.definition;
    assert_eq!(d.exec_start[..4], ["/usr/local/bin/k3s", "server", "--data-dir", "/srv/k3s of k3s"]);
    assert!(d.environment.contains(&("SHOWN".to_owned(), "yes".to_owned())), "{d:?}");
    assert_eq!(d.environment_files.len(), 3);
    let (path, may_be_missing) = &d.environment_files[2];
    assert_eq!((path.to_str(), *may_be_missing), (Some("/etc/systemd/system/k3s.service.env"), true));
    // The process that listens belongs to its unit, and to no other.
    let mut found = Vec::new();
    wait_until("the port", || {
        found = listeners(&[7443, 7444]).unwrap();
        !found.is_empty()
    });
    let [one] = found.as_slice() else { panic!("{found:?}") };
    let listening = unit("listening");
    assert_eq!((one.port, one.pid, one.program.as_str()), (7443, Some(listening.main_pid), "python3"));
    assert!(one.is_in(&listening.control_group) && !one.is_in(&k3s.control_group), "{one:?}");
}

/// A bus that is silent must not make K3s's flags look as if there were none.
fn without_an_answer_the_unit_files_count() {
    let silent = |_: &'static Distribution, _: Option<&str>| Ok(UnitAnswer::Unknown("no answer".to_owned()));
    let loaded = load::load(Path::new("/"), &Selectors::default(), &Environment::new(), &silent).unwrap();
    let known = flags();
    for flag in ["data-dir", "node-ip", "node-label", "kubelet-arg", "escaped", "node-name", "token"] {
        assert_eq!(loaded.flags.all(flag), known.all(flag), "--{flag}");
        assert!(!known.all(flag).is_empty(), "--{flag}");
    }
    assert_eq!((loaded.flags.unit(), loaded.flags.unknown()), (known.unit(), None));
}

fn the_flags_are_what_the_process_was_given() {
    let flags = flags();
    let definition = Definition {
        name: "k3s.service".to_owned(),
        exec_start: records("/run/k3s.argv"),
        verbatim: true,
        ..Definition::default()
    };
    let given = |_: &'static Distribution, _: Option<&str>| Ok(UnitAnswer::Found(definition.clone()));
    let real = load::load(Path::new("/"), &Selectors::default(), &Environment::new(), &given).unwrap().flags;
    for flag in
        ["data-dir", "node-ip", "node-label", "x", "percent", "kube-apiserver-arg", "kubelet-arg", "escaped"]
    {
        assert_eq!(flags.all(flag), real.all(flag), "--{flag}");
        assert!(!real.all(flag).is_empty(), "--{flag}");
    }
    assert_eq!(flags.all("node-label"), ["a=1 2", "b=2"], "the test tests something");
    assert_eq!(flags.last("node-ip").unwrap().0, "10.0.0.1", "a later file wins");
    // Every variable that we would hand on has the value that systemd gave it.
    let real: Vec<String> = records("/run/k3s.environ");
    let ours = flags.reset_invocation(&[]).environment;
    assert!(ours.len() > 14, "{ours:?}");
    for (name, value) in ours.iter().filter(|(name, _)| name != "PATH") {
        let line = format!("{name}={}", value.expose());
        assert!(real.contains(&line), "{line:?} is not in {real:#?}");
    }
    let names: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
    let set = |line: &&String| {
        let name = line.split('=').next().unwrap();
        ![
            "PWD",
            "SHLVL",
            "_",
            "LANG",
            "NOTIFY_SOCKET",
            "INVOCATION_ID",
            "JOURNAL_STREAM",
            "SYSTEMD_EXEC_PID",
            "USER",
            "HOME",
            "LOGNAME",
            "SHELL",
        ]
        .contains(&name)
    };
    for line in real.iter().filter(set) {
        assert!(names.contains(&line.split('=').next().unwrap()), "{line} is lost");
    }
}

fn stops() {
    for name in ["slow", "stubborn"] {
        wait_until(name, || Path::new("/run").join(name).exists());
    }
    let slow = Systemd::new("slow");
    let main = slow.unit().unwrap().main_pid;
    slow.stop(Duration::from_secs(20)).unwrap();
    assert!(!runs(main), "a stop is over when the process is gone");
    assert!(slow.unit().unwrap().active.is_down());
    let begun = Instant::now();
    slow.stop(Duration::from_secs(20)).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "it is stopped already");

    let stubborn = Systemd::new("stubborn");
    let begun = Instant::now();
    let e = stubborn.stop(Duration::from_secs(1)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(3), "our own deadline");
    assert_eq!((code_of(&e), stubborn.unit().unwrap().active), (Code::UnitNotStopped, Active::Deactivating));
    assert!(hint_of(&e).is_some());
    // A start by another program cancels the stop.
    let waiting = std::thread::spawn({
        let stubborn = stubborn.clone();
        move || stubborn.stop(Duration::from_secs(20))
    });
    wait_until("the stop", || stubborn.unit().unwrap().has_job);
    std::thread::sleep(Duration::from_millis(300));
    systemctl(&["start", "--no-block", "stubborn"]);
    let e = waiting.join().unwrap().unwrap_err();
    assert_eq!(kind_of(&e), Kind::Busy, "{e:#}");
    systemctl(&["stop", "--no-block", "stubborn"]);
    systemctl(&["kill", "-s", "KILL", "stubborn"]);
    stubborn.stop(Duration::from_secs(20)).unwrap();

    // A unit that waits for its next start is not stopped: it would start again.
    let crashing = Systemd::new("crashing");
    crashing.start().unwrap();
    wait_until("the crash", || crashing.unit().unwrap().sub == "auto-restart");
    let seen = crashing.unit().unwrap();
    assert_eq!((seen.active, seen.result.as_str()), (Active::Activating, "exit-code"));
    assert!(!seen.active.is_down());
    crashing.stop(Duration::from_secs(20)).unwrap();
    assert!(crashing.unit().unwrap().active.is_down());
}

fn starts_and_assertions() {
    let unready = Systemd::new("unready");
    let begun = Instant::now();
    unready.start().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "a start does not wait");
    wait_until("the start", || unready.unit().unwrap().active == Active::Activating);
    assert_eq!(unready.unit().unwrap().sub, "start");
    unready.stop(Duration::from_secs(20)).unwrap();

    let k3s = Systemd::new("k3s.service");
    fs::write("/run/start-blocked", "").unwrap();
    let drop_in = "/etc/systemd/system/k3s.service.d/block.conf";
    fs::write(drop_in, "[Unit]\nAssertPathExists=!/run/start-blocked\n").unwrap();
    let other = "/etc/systemd/system/k3s.service.d/10-a.conf";
    fs::write(other, fs::read_to_string(other).unwrap()).unwrap();
    assert!(k3s.unit().unwrap().outdated, "a file has changed");
    k3s.reload().unwrap();
    let seen = k3s.unit().unwrap();
    assert!(!seen.outdated && !seen.assert_failed && seen.active == Active::Active, "{seen:?}");
    k3s.stop(Duration::from_secs(20)).unwrap();
    k3s.start().unwrap();
    wait_until("the refusal", || k3s.unit().unwrap().assert_failed);
    assert!(k3s.unit().unwrap().active.is_down());
    fs::remove_file("/run/start-blocked").unwrap();
    k3s.start().unwrap();
    wait_until("the start", || k3s.unit().unwrap().active == Active::Active);
    assert!(!k3s.unit().unwrap().assert_failed, "that was the last start but one");
    fs::remove_file(drop_in).unwrap();
    k3s.reload().unwrap();
}

fn reloads_and_failures() {
    let failing = Systemd::new("failing");
    failing.start().unwrap();
    wait_until("the failure", || failing.unit().unwrap().active == Active::Failed);
    failing.stop(Duration::from_secs(5)).unwrap();
    failing.reset_failed().unwrap();
    Systemd::new("nowhere").reset_failed().unwrap();
    assert_eq!(failing.unit().unwrap().active, Active::Inactive);
    let units =
        [("nowhere", Code::UnitNotFound), ("masked", Code::UnitMasked), ("broken", Code::UnitInvalid)];
    for (name, code) in units {
        let systemd = Systemd::new(name);
        let seen = systemd.unit().unwrap();
        assert!(!seen.loaded && seen.active == Active::Inactive, "{name}: {seen:?}");
        let e = systemd.start().unwrap_err();
        assert_eq!(code_of(&e), code, "{e:#}");
        assert!(e.to_string().contains(&format!("{name}.service")), "{e:#}");
        assert!(hint_of(&e).is_some());
        // A unit that does not exist is stopped.
        systemd.stop(Duration::from_secs(5)).unwrap();
    }
    for (name, code) in units {
        let found = systemd::find(&K3S, Some(name)).map(drop);
        for e in [found, systemd::definition(&K3S, Some(name)).map(drop)].map(Result::unwrap_err) {
            assert_eq!((kind_of(&e), code_of(&e)), (Kind::Config, code), "{e:#}");
        }
    }
}

/// The unit is found by its name, by the usual name, and by the program that it runs.
fn names() {
    let found = |wanted| systemd::find(&K3S, wanted).map(|s| s.name().to_owned());
    assert_eq!(found(None).unwrap(), "k3s.service");
    assert_eq!(found(Some("slow")).unwrap(), "slow.service");
    systemctl(&["disable", "-q", "--now", "k3s"]);
    fs::rename("/etc/systemd/system/k3s.service", "/etc/systemd/system/k3s-blue.service").unwrap();
    systemctl(&["daemon-reload"]);
    systemctl(&["start", "k3s-blue"]);
    assert_eq!(found(None).unwrap(), "k3s-blue.service");
    let begun = Instant::now();
    assert_eq!(flags().unit(), Some("k3s-blue.service"));
    println!("one search among all units took {:?}", begun.elapsed());
    let other = "[Service]\nExecStart=/usr/local/bin/k3s server\n";
    fs::write("/etc/systemd/system/red.service", other).unwrap();
    systemctl(&["daemon-reload"]);
    systemctl(&["start", "red"]);
    let e = found(None).unwrap_err();
    assert_eq!(code_of(&e), Code::UnitAmbiguous);
    assert!(["k3s-blue.service", "red.service"].iter().all(|unit| e.to_string().contains(unit)), "{e:#}");
    assert!(hint_of(&e).unwrap().contains("--unit"));
    assert_eq!(flags().unit(), None);
    systemctl(&["stop", "red", "k3s-blue"]);
    fs::remove_file("/etc/systemd/system/red.service").unwrap();
    fs::rename("/etc/systemd/system/k3s-blue.service", "/etc/systemd/system/k3s.service").unwrap();
    systemctl(&["daemon-reload"]);
}

fn as_unprivileged_user() {
    let slow = Systemd::new("slow");
    assert!(slow.unit().unwrap().loaded, "reading needs no privilege");
    for done in [
        slow.start(),
        slow.reload(),
        Systemd::new("listening").reset_failed(),
        Systemd::new("listening").stop(Duration::from_secs(5)),
    ] {
        let e = done.unwrap_err();
        assert_eq!(code_of(&e), Code::PermissionDenied, "{e:#}");
        assert!(hint_of(&e).is_some());
    }
}

#[test]
fn bus_that_is_silent_or_missing_costs_little_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let _silent = UnixListener::bind(&path).unwrap();
    let show = |bus: String, args: &[&str], code: i32| {
        let tool = Tool::new("list").env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        tool.args(&[&["--show-config"], args].concat()).run().expect(code)
    };
    let missing = || format!("unix:path={}/none", dir.path().display());
    let run = show(format!("unix:path={}", path.display()), &[], 0);
    assert!(run.wall < Duration::from_secs(5), "{run:?}");
    let run = show(missing(), &[], 0);
    assert!(run.wall < Duration::from_secs(3), "{run:?}");
    // On a machine without systemd, a missing bus is no problem.
    assert!(run.stderr.is_empty() || Path::new("/run/systemd/system").is_dir(), "{run:?}");
    // A unit that is set must exist, also if only unit files can tell.
    let run = show(missing(), &["--unit", "nowhere"], 78);
    assert!(run.stderr.contains("nowhere.service"), "{run:?}");
}
