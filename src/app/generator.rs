// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot-generator(8): fits our units to the machine. systemd runs it at boot and at each reload, before anything else:
//! it reads files of this machine, contacts no service, looks at no network file system, and never fails the boot.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::load::{self, Environment, Selectors};
use crate::config::options;
use crate::config::paths::{PathEntry, follow_links, in_root, link_target};
use crate::config::settings::Settings;
use crate::config::unit;
use crate::distribution;
use crate::model::drop_in::{self, DropIn, HostPaths, ReadPath, SERVICES, Service};
use crate::model::mounts::Mounts;
use crate::output::{kmsg, log as stderr};

/// The name of the program.
const PROGRAM: &str = "k3s-snapshot-generator";
/// The longest time that systemd waits for us. At each reload of systemd nothing else is done in that time.
const LIMIT: Duration = Duration::from_secs(10);

/// Writes the drop-ins. The arguments are the three directories of systemd, of which the first is used. Before them, `--root`
/// and a directory read the files of another machine.
pub fn main() -> ExitCode {
    let mut args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut root = PathBuf::from("/");
    if args.first().is_some_and(|a| a == Path::new("--root")) && args.len() > 1 {
        root = args.remove(1);
        args.remove(0);
        stderr::start(PROGRAM, true, false);
    } else {
        kmsg::start(PROGRAM);
    }
    match args.first() {
        Some(dir) if dir.is_absolute() => {
            if let Err(e) = generate_in_time(root).and_then(|all| write(dir, &all)) {
                log::warn!("the units stay as they are shipped: {e:#}");
            }
        }
        _ => log::error!("usage: {PROGRAM} [--root DIR] DIR [DIR DIR], by systemd; see {PROGRAM}(8)"),
    }
    ExitCode::SUCCESS
}

/// Makes the drop-ins, and gives up if a file system does not answer.
fn generate_in_time(root: PathBuf) -> Result<Vec<DropIn>> {
    let (sender, receiver) = mpsc::channel();
    // The end of the process ends this thread, too.
    std::thread::spawn(move || sender.send(generate(&root)));
    receiver.recv_timeout(LIMIT).context("a file system does not answer")?
}

fn generate(root: &Path) -> Result<Vec<DropIn>> {
    let root = root.canonicalize().with_context(|| format!("opening '{}'", root.display()))?;
    let mountinfo =
        std::fs::read_to_string(in_root(&root, Path::new("/proc/self/mountinfo"))).unwrap_or_default();
    let mounts = Mounts::parse(&mountinfo);
    let mut all = Vec::new();
    let mut warnings = Vec::new();
    let mut schedule = None;
    for service in SERVICES {
        let settings = settings_of(service, &root)?;
        let paths = host_paths(service, &settings, &mounts)?;
        // The units are shipped for K3s; another distribution is another directory.
        let shipped = Path::new(distribution::K3S.data_dir).join(distribution::DB);
        all.extend(drop_in::for_service(service, &paths, &shipped));
        for warning in &settings.warnings {
            if !warnings.contains(&warning.message) {
                warnings.push(warning.message.clone());
            }
        }
        schedule = schedule.or_else(|| {
            let origin =
                settings.show_config().into_iter().find(|row| row.option == "etcd-snapshot-schedule-cron");
            Some((settings.schedule.clone()?, origin.map(|row| row.origin).unwrap_or_default()))
        });
    }
    if let Some((cron, origin)) = schedule {
        let is_zone = |zone: &str| in_root(&root, Path::new("/usr/share/zoneinfo")).join(zone).is_file();
        let (timers, warning) = drop_in::for_timers(&cron, &origin, &is_zone);
        all.extend(timers);
        warnings.extend(warning);
    }
    warnings.iter().for_each(|text| log::warn!("{text}"));
    Ok(all)
}

/// The settings that a service will have: also its own environment can set options.
fn settings_of(service: Service, root: &Path) -> Result<Settings> {
    let env: Environment = unit::variables_in_files(root, service.unit)?.into_iter().collect();
    let lookup = |distribution, wanted: Option<&str>| unit::find_in_files(root, distribution, wanted);
    let loaded = load::load(root, &Selectors::default(), &env, &lookup)?;
    Settings::new(loaded, Default::default(), root, "localhost")
}

fn host_paths(service: Service, s: &Settings, mounts: &Mounts) -> Result<HostPaths> {
    // A path as the machine has it, and with its links followed as far as that is safe.
    let machine_path = |path: &Path| Path::new("/").join(path.strip_prefix(&s.root).unwrap_or(path));
    let entry = |path: &Path| match mounts.may_block(path) {
        true => PathEntry::Skipped,
        false => link_target(&s.root, path),
    };
    let target = |path: &Path| {
        let path = machine_path(path);
        follow_links(&path, &entry).unwrap_or(path)
    };
    let own = [(&s.state_dir, options::STATE_DIR), (&s.run_dir, options::RUN_DIR)];
    let metadata = s.dir.parent().unwrap_or(&s.dir).join(distribution::METADATA);
    let mut read = s.read_paths()?;
    if service.writes_snapshots {
        read.extend(s.bucket_files()?);
    }
    Ok(HostPaths {
        db: target(&s.data_dir.join(distribution::DB)),
        dir: target(&s.dir),
        metadata: target(&metadata),
        written: own
            .iter()
            .map(|(path, default)| (target(path), *default))
            .filter(|(path, default)| path != Path::new(default))
            .map(|(path, _)| path)
            .collect(),
        read: read.iter().map(|path| ReadPath { path: machine_path(path), target: target(path) }).collect(),
    })
}

fn write(dir: &Path, all: &[DropIn]) -> Result<()> {
    for (path, text) in all {
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(parent).with_context(|| format!("creating '{}'", parent.display()))?;
        std::fs::write(&path, text).with_context(|| format!("writing '{}'", path.display()))?;
    }
    Ok(())
}
