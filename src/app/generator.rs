// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot-generator(8): fits our units to the machine. systemd runs it at boot and at each reload, before anything else:
//! it reads files of this machine, contacts no service, looks at no network file system, and never fails the boot.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
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

/// The name by which systemd calls the program.
pub(super) const PROGRAM: &str = "k3s-snapshot-generator";
/// The identity for k3s-snapshot-rebuild.service.
const REBUILD_IDENTITY: &str = "/etc/k3s-snapshot/rebuild.key";
/// The longest time that systemd waits for us. At each reload of systemd nothing else is done in that time.
const LIMIT: Duration = Duration::from_secs(10);

/// Writes the drop-ins. The arguments are the three directories of systemd, of which the first is used. Before them, `--root`
/// and a directory read the files of another machine.
pub(super) fn main(mut args: Vec<PathBuf>) -> ExitCode {
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
    let rebuild = for_rebuild(&root);
    // K3s must not create an empty datastore because a configuration file of ours is wrong.
    let ours = match (for_our_units(&root), &rebuild) {
        (Err(e), Some(_)) => {
            log::warn!("the units stay as they are shipped: {e:#}");
            vec![]
        }
        (ours, _) => ours?,
    };
    Ok(rebuild.into_iter().chain(ours).collect())
}

/// The drop-ins of our own units.
fn for_our_units(root: &Path) -> Result<Vec<DropIn>> {
    let mounts = Mounts::parse(&mountinfo(root)?);
    let mut all = Vec::new();
    let mut warnings = Vec::new();
    let mut schedule = None;
    for service in SERVICES {
        let settings = settings_of(service, root)?;
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
        let is_zone = |zone: &str| in_root(root, Path::new("/usr/share/zoneinfo")).join(zone).is_file();
        let (timers, warning) = drop_in::for_timers(&cron, &origin, &is_zone);
        all.extend(timers);
        warnings.extend(warning);
    }
    warnings.iter().for_each(|text| log::warn!("{text}"));
    Ok(all)
}

/// The drop-in of the K3s service, if a rebuild is expected on this machine. Without the settings, those of a K3s that is not
/// configured count.
fn for_rebuild(root: &Path) -> Option<DropIn> {
    match in_root(root, Path::new(REBUILD_IDENTITY)).symlink_metadata() {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return None,
        _ => {}
    }
    let lookup = |distribution, wanted: Option<&str>| unit::find_in_files(root, distribution, wanted);
    let settings = || {
        let loaded = load::load(root, &Selectors::default(), &Environment::new(), &lookup)?;
        let settings = Settings::new(loaded, Default::default(), root, "localhost")?;
        let data_dir = settings.machine_paths()?.data_dir;
        Ok::<_, anyhow::Error>((data_dir, settings.unit))
    };
    let (data_dir, unit) = settings().unwrap_or_else(|_| (PathBuf::from(distribution::K3S.data_dir), None));
    let databases = [distribution::ETCD_WAL, distribution::SQLITE].map(|path| data_dir.join(path));
    let unit = unit.unwrap_or_else(|| distribution::K3S.unit.to_owned());
    Some(drop_in::for_rebuild(&unit, &databases, REBUILD_IDENTITY))
}

/// The mounts of this machine. Below another root there need not be any.
///
/// # Errors
/// If they cannot be read: without them a look at a file system could block systemd.
fn mountinfo(root: &Path) -> Result<String> {
    let path = in_root(root, Path::new("/proc/self/mountinfo"));
    match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound && root != Path::new("/") => Ok(String::new()),
        text => text.with_context(|| format!("reading '{}'", path.display())),
    }
}

/// The settings that a service will have: also its own environment can set options.
fn settings_of(service: Service, root: &Path) -> Result<Settings> {
    let env: Environment = unit::variables_in_files(root, service.unit)?.into_iter().collect();
    let lookup = |distribution, wanted: Option<&str>| unit::find_in_files(root, distribution, wanted);
    let loaded = load::load(root, &Selectors::default(), &env, &lookup)?;
    Settings::new(loaded, Default::default(), root, "localhost")
}

fn host_paths(service: Service, s: &Settings, mounts: &Mounts) -> Result<HostPaths> {
    // Links are followed as far as that is safe.
    let entry = |path: &Path| match mounts.may_block(path) {
        true => PathEntry::Skipped,
        false => link_target(&s.root, path),
    };
    let target = |path: &Path| follow_links(path, &entry).unwrap_or_else(|| path.to_owned());
    let paths = s.machine_paths()?;
    let own = [(&paths.state_dir, options::STATE_DIR), (&paths.run_dir, options::RUN_DIR)];
    let bucket = if service.writes_snapshots { paths.bucket.as_slice() } else { &[] };
    // RKE2 with a CIS profile gives the directory of etcd to a user of its own, when it starts for the first time.
    let etcd = target(&paths.data_dir.join(distribution::ETCD));
    let is_of_other = || match mounts.may_block(&etcd) {
        true => true,
        false => in_root(&s.root, &etcd).metadata().is_ok_and(|meta| meta.uid() != 0),
    };
    Ok(HostPaths {
        sends_reports: s.sends_reports(service.command),
        other_owner: s.distribution.etcd_has_own_user || is_of_other(),
        db: target(&paths.data_dir.join(distribution::DB)),
        dir: target(&paths.dir),
        metadata: target(&paths.dir.parent().unwrap_or(&paths.dir).join(distribution::METADATA)),
        written: own
            .iter()
            .map(|(path, default)| (target(path), *default))
            .filter(|(path, default)| path != Path::new(default))
            .map(|(path, _)| path)
            .chain(paths.metrics_dir.iter().map(|dir| target(dir)))
            .collect(),
        read: paths
            .read
            .iter()
            .chain(bucket)
            .map(|path| ReadPath { path: path.clone(), target: target(path) })
            .collect(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::{OPTIONS, ValueKind};
    use std::collections::BTreeMap;

    const OURS: &str = "/etc/k3s-snapshot/config.yaml";
    const K3S: &str = "/etc/rancher/k3s/config.yaml";
    const SNAPSHOTS: &str = "/var/lib/rancher/k3s/server/db/snapshots";

    /// The lines of each drop-in, by the name of its unit, on a machine with these files. A text that begins with `->` is a link.
    fn generated(files: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = in_root(root.path(), Path::new(path));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        let all = generate(root.path()).unwrap().into_iter().map(|(path, text)| {
            let unit = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            (unit.trim_end_matches(".d").to_owned(), text.lines().skip(2).map(str::to_owned).collect())
        });
        all.collect()
    }

    fn has(all: &BTreeMap<String, Vec<String>>, unit: &str, line: &str) -> bool {
        all.get(&format!("k3s-snapshot-{unit}.service")).is_some_and(|lines| lines.iter().any(|l| l == line))
    }

    /// A new option with a path fails here until its drop-ins are made.
    #[test]
    fn every_option_with_a_path_reaches_the_services_that_need_it() {
        for option in OPTIONS.iter().filter(|o| matches!(o.kind, ValueKind::File | ValueKind::Directory)) {
            let name = option.name;
            let (set, path) = match option.kind {
                ValueKind::File => (format!("/root/of-{name}"), format!("/root/of-{name}")),
                _ if name == "data-dir" => ("/srv/data".to_owned(), "/srv/data/server/db".to_owned()),
                _ => (format!("/srv/of-{name}"), format!("/srv/of-{name}")),
            };
            // Only a restore writes the kubeconfig, and no sandbox is around it.
            let (line, units): (String, &[&str]) = match name {
                "write-kubeconfig" => continue,
                "data-dir" | "dir" => (format!("ReadWritePaths=-{path}"), &["save", "prune"]),
                "state-dir" | "run-dir" | "metrics-dir" => {
                    (format!("ReadWritePaths=-{path}"), &["save", "prune", "verify"])
                }
                name if name.starts_with("etcd-") || name == "token-file" || name.contains("-url") => {
                    (format!("BindReadOnlyPaths=-{path}"), &["save", "prune", "verify"])
                }
                _ => (format!("BindReadOnlyPaths=-{path}"), &["save", "prune"]),
            };
            let unit = format!("[Service]\nEnvironment={}={set}\n", option.k3s_env.first().unwrap_or(&""));
            let units_dir = "/usr/lib/systemd/system/k3s-snapshot";
            let files = match option.is_ours {
                true => vec![(OURS.to_owned(), format!("{name}: {set}\n"))],
                false => {
                    ["save", "prune"].map(|u| (format!("{units_dir}-{u}.service"), unit.clone())).to_vec()
                }
            };
            let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
            let all = generated(&files);
            for unit in ["save", "prune", "verify"] {
                assert_eq!(has(&all, unit, &line), units.contains(&unit), "{name}, {unit}: {all:?}");
            }
            if option.kind == ValueKind::File {
                assert!(units.iter().all(|unit| has(&all, unit, "ProtectHome=tmpfs")), "{name}: {all:?}");
            }
        }
    }

    /// K3s that is enabled would create an empty datastore before the rebuild has read the bucket.
    #[test]
    fn k3s_does_not_start_without_a_datastore_while_a_rebuild_is_expected() {
        let key = ("/etc/k3s-snapshot/rebuild.key", "geheim");
        let default = "ConditionPathExists=|/var/lib/rancher/k3s/server/db/etcd/member/wal";
        for (config, database) in
            [("", default), ("data-dir: /srv/k3s", "ConditionPathExists=|/srv/k3s/server/db/state.db")]
        {
            let all = generated(&[key, (K3S, config)]);
            let lines = &all["k3s.service"];
            assert_eq!(lines.len(), 3, "{lines:?}");
            assert!(lines.iter().any(|line| line == database), "{lines:?}");
            assert!(
                lines.contains(&"ConditionPathExists=|!/etc/k3s-snapshot/rebuild.key".to_owned()),
                "{lines:?}"
            );
        }
        assert!(
            generated(&[key, (OURS, "s3: [")]).contains_key("k3s.service"),
            "whatever our configuration is"
        );
        assert!(generated(&[(K3S, "")]).is_empty());
    }

    #[test]
    fn files_that_k3s_names_reach_the_services_too() {
        let unit = "[Service]\nEnvironmentFile=/root/k3s.env\nExecStart=/k3s server -c /root/k3s.yaml\n";
        let all = generated(&[
            ("/etc/systemd/system/k3s.service", unit),
            ("/root/k3s.env", "HOME=/root\n"),
            ("/root/k3s.yaml", "etcd-s3: true\netcd-s3-bucket: b\netcd-s3-endpoint-ca: /tmp/ca.pem\n"),
        ]);
        for path in ["/root/k3s.env", "/root/k3s.yaml", "/root/k3s.yaml.d"] {
            for unit in ["save", "prune", "verify"] {
                assert!(has(&all, unit, &format!("BindReadOnlyPaths=-{path}")), "{path}, {unit}: {all:?}");
            }
        }
        for path in ["/tmp/ca.pem", "/root/.aws/credentials"] {
            assert!(has(&all, "save", &format!("BindReadOnlyPaths=-{path}")), "{path}: {all:?}");
            assert!(!has(&all, "verify", &format!("BindReadOnlyPaths=-{path}")), "{path}: {all:?}");
        }
        // Certificates in the option itself are no files.
        let pem = "-----BEGIN CERTIFICATE-----\n  eA==\n  -----END CERTIFICATE-----";
        assert!(generated(&[(OURS, &format!("s3-endpoint-ca: |\n  {pem}\n"))]).is_empty());
    }

    #[test]
    fn a_service_without_a_network_gets_one_if_it_sends_a_ping_or_a_report() {
        let network = "PrivateNetwork=no";
        for option in ["ping-url-verify", "ping-url-verify-file", "notify-url", "notify-url-file"] {
            let all = generated(&[(OURS, &format!("{option}: /etc/k3s-snapshot/geheim\n"))]);
            assert!(
                has(&all, "verify", network) && has(&all, "verify", "IPAddressDeny="),
                "{option}: {all:?}"
            );
            assert!(!has(&all, "save", network), "{option}: {all:?}");
            assert!(!format!("{all:?}").contains("geheim"), "{option}: {all:?}");
        }
        assert!(generated(&[(OURS, "ping-url-save: https://hc.example/geheim\n")]).is_empty());
    }

    #[test]
    fn options_in_the_environment_of_a_service_count_for_this_service() {
        let all = generated(&[
            (
                "/usr/lib/systemd/system/k3s-snapshot-save.service",
                "[Service]\nEnvironment=K3S_SNAPSHOT_NAME=timer\n",
            ),
            (
                "/etc/systemd/system/k3s-snapshot-save.service.d/override.conf",
                "[Service]\nEnvironment=K3S_SNAPSHOT_DIR=/srv/snaps\n",
            ),
        ]);
        assert!(has(&all, "save", "ReadWritePaths=-/srv/snaps"), "{all:?}");
        assert!(has(&all, "save", "ReadWritePaths=-/srv/.metadata"), "K3s keeps its metadata there: {all:?}");
        assert_eq!(all.len(), 1, "{all:?}");
    }

    #[test]
    fn a_link_to_a_disk_that_is_not_mounted_yet_is_followed() {
        let all = generated(&[(SNAPSHOTS, "->/mnt/nas/snaps")]);
        assert!(has(&all, "save", "ReadWritePaths=-/mnt/nas/snaps"), "{all:?}");
        // The directory of the metadata is next to the link.
        assert!(!has(&all, "save", "ReadWritePaths=-/mnt/nas/.metadata"), "{all:?}");
        let home = generated(&[("/var/lib/rancher", "->/home/rancher"), (K3S, "")]);
        assert!(has(&home, "verify", "ProtectHome=read-only"), "{home:?}");
        assert!(has(&home, "save", "ReadWritePaths=-/home/rancher/k3s/server/db"), "{home:?}");
    }

    /// A look at a network file system whose server is gone would block systemd. The link on it must not be followed: nothing
    /// on it may be examined.
    #[test]
    fn nothing_on_a_network_file_system_is_examined() {
        let mounts = "30 1 0:5 / /mnt/nas rw - nfs4 server:/x rw,hard\n";
        let links = [(SNAPSHOTS, "->/mnt/nas/snaps"), ("/mnt/nas/snaps", "->/elsewhere")];
        let all = generated(&[&links[..], &[("/proc/self/mountinfo", mounts)]].concat());
        assert!(has(&all, "save", "ReadWritePaths=-/mnt/nas/snaps"), "{all:?}");
        let local = generated(&links);
        assert!(
            has(&local, "save", "ReadWritePaths=-/elsewhere"),
            "without the mount it is followed: {local:?}"
        );
    }
}
