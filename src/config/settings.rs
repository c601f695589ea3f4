// SPDX-License-Identifier: Apache-2.0
//! The settings of a run: all layers merged, validated and typed. Each value keeps its origin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::k3s::{K3sConfig, K3sFlagsState, K3sSettings};
use super::layer::{Layer, Origin};
use super::load::Loaded;
use super::options::OptionId;
use super::paths::{PathRules, openable};
use super::unit::K3sFlags;
use super::{etcd, kit, retention, s3};
use crate::distribution::{self, Distribution};
use crate::model::method::Method;
use crate::model::name::check_part;
use crate::model::retention::{Location, Policies};
use crate::model::s3_config::S3Config;
pub(crate) use crate::model::secret::Secret;
use crate::model::warning::{Warning, WarningCode};

/// The settings of a run. Paths are below `root` already.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `/`, or the directory given with `--root`.
    pub(crate) root: PathBuf,
    /// The distribution.
    pub(crate) distribution: &'static Distribution,
    /// The data-dir of K3s.
    pub(crate) data_dir: PathBuf,
    /// The snapshot directory.
    pub(crate) dir: PathBuf,
    /// Whether the snapshot directory is the default one of K3s, which may be created.
    pub(crate) dir_is_default: bool,
    /// The base of new names.
    pub(crate) name: String,
    /// The node in new names, and whose snapshots are those of this node.
    pub(crate) node_name: String,
    /// Whether to store a zip.
    pub(crate) compress: bool,
    /// How to take a snapshot.
    pub(crate) method: Method,
    /// How long etcd may send nothing before the save gives up.
    pub(crate) stall_timeout: Duration,
    /// How many bytes of the database a save may read per second.
    pub(crate) rate_limit: Option<u64>,
    /// The addresses of etcd; empty if they are not set.
    pub(crate) etcd_endpoints: Vec<String>,
    /// The certificate authority of etcd.
    pub(crate) etcd_cacert: PathBuf,
    /// The client certificate for etcd.
    pub(crate) etcd_cert: PathBuf,
    /// The key of the client certificate.
    pub(crate) etcd_key: PathBuf,
    /// How old the newest verified snapshot may be.
    pub(crate) max_age: Option<Duration>,
    /// The public keys that recovery kits are sealed for, sorted; none if no kit is wanted.
    pub(crate) kit_recipients: Vec<String>,
    /// Where manifests are stored.
    pub(crate) state_dir: PathBuf,
    /// Where locks are stored.
    pub(crate) run_dir: PathBuf,
    /// Where the metrics of jobs are written; `None` if they are not.
    pub(crate) metrics_dir: Option<PathBuf>,
    /// How long to wait for another run to end.
    pub(crate) retry_lock: Option<Duration>,
    /// The server token, if a configuration sets it.
    pub(crate) token: Option<Secret>,
    /// The file that holds the server token.
    pub(crate) token_file: PathBuf,
    /// Whether the file is set and not the default one.
    pub(crate) token_file_is_named: bool,
    /// Whether the file is set for this program and not for K3s.
    pub(crate) token_file_is_ours: bool,
    /// The scheme of an external datastore; the rest of its URL may hold a password.
    pub(crate) datastore_scheme: Option<String>,
    /// The file of SQLite, if the configuration of K3s sets another one than the default.
    pub(crate) sqlite_file: Option<PathBuf>,
    /// The base of the scheduled snapshots of K3s.
    pub(crate) scheduled_base: String,
    /// The time zone of hours, days, weeks, months and years in the retention policy.
    pub(crate) timezone: TimeZone,
    /// Whether the bucket is used.
    pub s3: bool,
    /// Whether the bucket is switched on for this program and not for K3s alone: only then it may be deleted from.
    pub s3_enabled_here: bool,
    /// Whether pending uploads of earlier saves are sent after a new snapshot.
    pub s3_backlog: bool,
    /// The unit of K3s: the one that is set, or found.
    pub(crate) unit: Option<String>,
    /// What K3s is started with.
    pub(crate) flags: K3sFlags,
    /// Whether all flags of K3s are known. If not, its defaults may stand for values that K3s has.
    pub k3s_flags: K3sFlagsState,
    /// What K3s itself uses.
    pub(crate) k3s: K3sSettings,
    /// The port of the supervisor and the API server of K3s.
    pub(crate) https_port: u16,
    /// Whether K3s is configured to start a cluster with embedded etcd.
    pub(crate) cluster_init: bool,
    /// Whether K3s is configured to run no etcd on this server.
    pub(crate) disable_etcd: bool,
    /// Whether K3s is configured to make no scheduled snapshots.
    pub(crate) disable_snapshots: bool,
    /// The snapshot schedule of K3s, if it is set.
    pub(crate) schedule: Option<String>,
    /// Where K3s writes its kubeconfig.
    pub(crate) write_kubeconfig: PathBuf,
    /// What an operator should know of the configuration.
    pub(crate) warnings: Vec<Warning>,
    pub(super) merged: Layer,
    /// All numbers of the retention, including those that others replace.
    pub(super) raw_options: Layer,
    pub(super) paths: PathRules,
    /// The options that K3s has: the variables of its service, its files and its arguments.
    pub(super) k3s_options: Layer,
    /// The main file of the configuration of K3s, as the machine has it.
    pub(super) k3s_config: PathBuf,
}

/// All layers merged, with what is derived from them.
struct Merged {
    options: Layer,
    raw_options: Layer,
    paths: PathRules,
    dir_is_default: bool,
    k3s: K3sSettings,
    k3s_options: Layer,
    k3s_config: PathBuf,
    warnings: Vec<Warning>,
}

impl Settings {
    /// Merges and validates: `over` is the command line, `host_name` that of this machine.
    ///
    /// # Errors
    /// If a value cannot be used.
    pub(crate) fn new(loaded: Loaded, over: Layer, root: &Path, host_name: &str) -> Result<Settings> {
        let Loaded { options: mut merged, flags, distribution, k3s, home, mut warnings } = loaded;
        merged.override_with(over);
        s3::choose_environment(&mut merged, &flags, home.as_deref());
        let host_name = host_name_of(root, host_name);
        set_node_name(&mut merged, &k3s, &host_name);
        derive_defaults(&mut merged, &flags, distribution, &k3s);
        let raw_options = merged.clone();
        retention::resolve_defaults(&mut merged);
        let dir_is_default = merged.effective(OptionId::Dir).is_none();
        derive_paths(&mut merged);
        let paths = path_rules(&merged, root, &flags)?;
        if let Some(reason) = flags.unknown() {
            let message = format!("not all flags of {} are known: {reason}", distribution.name);
            warnings.push(Warning { code: WarningCode::K3sFlagsUnknown, message });
        }
        let rejected =
            |message: &String| Warning { code: WarningCode::K3sConfigRejected, message: message.clone() };
        warnings.extend(k3s.problems.iter().map(rejected));
        let k3s_config = k3s.config.clone();
        let mut k3s_options = k3s.variable_options.clone();
        k3s_options.override_with(k3s.own_options.clone());
        let k3s = k3s_settings(&k3s, &flags, root, &host_name)?;
        let merged = Merged {
            options: merged,
            raw_options,
            paths,
            dir_is_default,
            k3s,
            k3s_options,
            k3s_config,
            warnings,
        };
        Settings::from_merged(merged, flags, distribution)
    }

    fn from_merged(merged: Merged, flags: K3sFlags, distribution: &'static Distribution) -> Result<Settings> {
        let Merged { options, raw_options, paths, dir_is_default, k3s, k3s_options, k3s_config, warnings } =
            merged;
        let path = |id| options.path(&paths, id);
        let token_origin = options.effective(OptionId::TokenFile).map(|(_, origin)| origin);
        let unknown = flags.unknown().map(str::to_owned);
        Ok(Settings {
            root: paths.root.clone(),
            distribution,
            data_dir: path(OptionId::DataDir)?,
            dir: path(OptionId::Dir)?,
            dir_is_default,
            name: options.text(OptionId::Name).unwrap_or_default(),
            node_name: options.text(OptionId::NodeName).unwrap_or_default(),
            compress: options.bool(OptionId::Compress)?,
            method: method(&options)?,
            stall_timeout: options.duration(OptionId::StallTimeout)?.unwrap_or(Duration::from_secs(30)),
            rate_limit: rate_limit(&options)?,
            etcd_endpoints: etcd::endpoints(&options)?,
            etcd_cacert: path(OptionId::EtcdCacert)?,
            etcd_cert: path(OptionId::EtcdCert)?,
            etcd_key: path(OptionId::EtcdKey)?,
            max_age: options.duration(OptionId::MaxAge)?,
            kit_recipients: kit::recipients(&options)?,
            state_dir: path(OptionId::StateDir)?,
            run_dir: path(OptionId::RunDir)?,
            metrics_dir: Some(path(OptionId::MetricsDir)?).filter(|dir| dir != Path::new("")),
            retry_lock: options.duration(OptionId::RetryLock)?,
            token: options.text(OptionId::Token).map(Secret::new),
            token_file_is_named: !matches!(token_origin, Some(Origin::Derived(_))),
            token_file_is_ours: token_origin.is_some_and(Origin::set_only_here),
            token_file: path(OptionId::TokenFile)?,
            datastore_scheme: datastore_scheme(&options),
            sqlite_file: sqlite_file(&options, &paths.root, &path(OptionId::DataDir)?)?,
            scheduled_base: options.text(OptionId::ScheduledName).unwrap_or_default(),
            timezone: retention::zone(&options)?,
            s3: options.bool(OptionId::S3)?,
            s3_enabled_here: s3::is_enabled_here(&options),
            s3_backlog: options.bool(OptionId::S3Backlog)?,
            unit: options.text(OptionId::Unit),
            k3s,
            flags,
            k3s_flags: unknown.map_or(K3sFlagsState::Known, K3sFlagsState::Unknown),
            https_port: options.port(OptionId::HttpsListenPort)?,
            cluster_init: options.bool(OptionId::ClusterInit)?,
            disable_etcd: options.bool(OptionId::DisableEtcd)?,
            disable_snapshots: options.bool(OptionId::DisableSnapshots)?,
            schedule: options.text(OptionId::Schedule),
            write_kubeconfig: path(OptionId::WriteKubeconfig)?,
            warnings,
            merged: options,
            raw_options,
            paths,
            k3s_options,
            k3s_config,
        })
    }

    /// The retention policies of a location.
    ///
    /// # Errors
    /// If a number is wrong, or a policy would keep nothing.
    pub(crate) fn policies(&self, location: Location) -> Result<Policies> {
        retention::policies(&self.raw_options, &self.timezone, location)
    }

    /// Base and node of a new name. Only a save checks them: a rescue system may have a host name that is no node name.
    ///
    /// # Errors
    /// If one of them cannot be part of a name.
    pub(crate) fn new_name(&self) -> Result<(&str, &str)> {
        for (id, value) in [(OptionId::Name, &self.name), (OptionId::NodeName, &self.node_name)] {
            check_part(value).map_err(|reason| self.merged.invalid_value(id, &reason))?;
        }
        Ok((&self.name, &self.node_name))
    }

    /// The bucket, if no Secret must be read for it ([`Settings::config_secret`]). Files that its options name are read now, so
    /// that a run without the bucket does not need them.
    ///
    /// # Errors
    /// If an option of the bucket is missing or wrong, or a file cannot be read.
    pub(crate) fn bucket(&self) -> Result<S3Config> {
        s3::bucket(&self.merged, &self.paths, self.distribution)
    }

    /// Whether an option is set for this program.
    pub(super) fn is_set_here(&self, id: OptionId) -> bool {
        self.merged.effective(id).is_some_and(|(_, origin)| origin.set_here())
    }
}

/// The host name of the configured machine: below a root, the one in its files.
fn host_name_of(root: &Path, host_name: &str) -> String {
    let of_root = || {
        let text = std::fs::read_to_string(openable(root, Path::new(distribution::HOST_NAME)).ok()?).ok()?;
        let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
        Some(name.to_owned())
    };
    match root == Path::new("/") {
        true => host_name.to_owned(),
        false => of_root().unwrap_or_else(|| host_name.to_owned()),
    }
}

/// The node in the names of snapshots, by the rules of K3s: lower case, and with the id of the node unless the name is set
/// for this program.
fn set_node_name(merged: &mut Layer, k3s: &K3sConfig, host_name: &str) {
    let (name, origin) = match merged.effective(OptionId::NodeName) {
        Some((name, origin)) if origin.set_only_here() => (K3sConfig::server_name(name), origin.clone()),
        Some((name, origin)) => (k3s.node_name(name), origin.clone()),
        None => (k3s.node_name(host_name), Origin::Derived("the host name".to_owned())),
    };
    merged.set(OptionId::NodeName, vec![name], origin);
}

/// Sets what is not set and does not depend on the data-dir.
fn derive_defaults(merged: &mut Layer, flags: &K3sFlags, distribution: &Distribution, k3s: &K3sConfig) {
    let of_distribution = format!("the default of {}", distribution.name);
    let system = TimeZone::system();
    let defaults = [
        (OptionId::DataDir, Some(k3s.data_dir.as_str()), of_distribution.as_str()),
        (OptionId::ScheduledName, Some(distribution.scheduled_base), &of_distribution),
        (OptionId::WriteKubeconfig, Some(&k3s.default_kubeconfig), &of_distribution),
        (OptionId::Unit, flags.unit(), "the unit that runs it"),
        (OptionId::Timezone, Some(system.iana_name().unwrap_or("local")), "the system"),
    ];
    for (id, value, from) in defaults {
        if let (Some(value), None) = (value, merged.effective(id)) {
            merged.set(id, vec![value.to_owned()], Origin::Derived(from.to_owned()));
        }
    }
}

/// Where relative paths start. K3s works below the data-dir, also if that is set for this program.
fn path_rules(merged: &Layer, root: &Path, flags: &K3sFlags) -> Result<PathRules> {
    let mut rules = PathRules {
        root: root.to_owned(),
        k3s_server: PathBuf::new(),
        k3s_start: flags.start_dir().to_owned(),
    };
    let data_dir = merged.get_str(OptionId::DataDir).unwrap_or_default();
    let data_dir = merged.machine_path(&rules, OptionId::DataDir, data_dir)?;
    rules.k3s_server = data_dir.join(distribution::SERVER);
    Ok(rules)
}

/// Sets the paths that are not set and are below the data-dir.
fn derive_paths(merged: &mut Layer) {
    let data_dir = PathBuf::from(merged.get_str(OptionId::DataDir).unwrap_or_default());
    for (id, below) in [
        (OptionId::Dir, distribution::SNAPSHOTS),
        (OptionId::EtcdCacert, distribution::ETCD_CA),
        (OptionId::EtcdCert, distribution::ETCD_CERT),
        (OptionId::EtcdKey, distribution::ETCD_KEY),
        (OptionId::TokenFile, distribution::TOKEN),
    ] {
        if merged.effective(id).is_none() {
            let path = data_dir.join(below).display().to_string();
            merged.set(id, vec![path], Origin::Derived("data-dir".to_owned()));
        }
    }
}

fn k3s_settings(k3s: &K3sConfig, flags: &K3sFlags, root: &Path, host_name: &str) -> Result<K3sSettings> {
    let name = flags.last("node-name").map_or(host_name, |(name, _)| name);
    Ok(K3sSettings {
        data_dir: openable(root, Path::new(&k3s.data_dir))?,
        config: openable(root, &k3s.config)?,
        node_name: k3s.node_name(name),
        server_name: K3sConfig::server_name(name),
        command: flags.command(),
        problems: k3s.problems.clone(),
    })
}

/// The scheme of the URL of an external datastore. SQLite is none.
fn datastore_scheme(merged: &Layer) -> Option<String> {
    let url = merged.get_str(OptionId::DatastoreEndpoint)?;
    let scheme = url.split_once("://").map_or("unknown", |(scheme, _)| scheme);
    (!url.is_empty() && url != SQLITE && scheme != SQLITE).then(|| scheme.to_owned())
}

/// At least 1 MiB per second: with less, no save of a usual database ends.
fn rate_limit(merged: &Layer) -> Result<Option<u64>> {
    let Some(text) = merged.get_str(OptionId::RateLimit) else { return Ok(None) };
    match s3::size(text) {
        Some(rate) if rate >= 1 << 20 => Ok(Some(rate)),
        _ => Err(merged.invalid_value(OptionId::RateLimit, "is not a size from 1MiB, like 20MiB")),
    }
}

/// The file of SQLite, if it is set: `sqlite://<path>?<options>`. K3s runs in the directory of the server.
fn sqlite_file(merged: &Layer, root: &Path, data_dir: &Path) -> Result<Option<PathBuf>> {
    let url = merged.get_str(OptionId::DatastoreEndpoint).unwrap_or_default();
    let (scheme, path) = url.split_once("://").unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = Path::new(path.strip_prefix("file:").unwrap_or(path));
    let is_set = scheme == SQLITE && !path.as_os_str().is_empty();
    if !is_set {
        return Ok(None);
    }
    match path.is_absolute() {
        true => openable(root, path).map(Some),
        false => Ok(Some(data_dir.join(distribution::SERVER).join(path))),
    }
}

/// The scheme, and the word, of SQLite.
const SQLITE: &str = "sqlite";

fn method(merged: &Layer) -> Result<Method> {
    let Some(word) = merged.get_str(OptionId::Method) else { return Ok(Method::Auto) };
    word.parse().map_err(|reason| merged.invalid_value(OptionId::Method, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Environment, Selectors, load};
    use crate::config::paths::{OUR_CONFIG, in_root};
    use crate::error::{Code, Kind, code_of, hint_of, kind_of};
    use crate::model::s3_config::Proxy;
    use crate::model::unit::UnitAnswer;

    /// A machine with these files; a text that begins with `->` is a link.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = in_root(root.path(), Path::new(path));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        root
    }

    /// The settings of a machine with this environment and these flags of ours. The root is the real path.
    fn settings_of(root: &Path, env: &[(&str, &str)], flags: &[(OptionId, &str)]) -> Result<Settings> {
        let mut over = Layer::default();
        for (id, value) in flags {
            over.set(*id, vec![(*value).to_owned()], Origin::Flag(id.name().to_owned()));
        }
        let env: Environment = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let lookup = |_: &'static Distribution, _: Option<&str>| Ok(UnitAnswer::Absent);
        let root = root.canonicalize().unwrap();
        Settings::new(load(&root, &Selectors::default(), &env, &lookup)?, over, &root, "Host-1.Lan")
    }

    /// The settings of an empty machine with these flags of ours.
    fn settings(flags: &[(OptionId, &str)]) -> Result<Settings> {
        settings_of(machine(&[]).path(), &[], flags)
    }

    const K3S_FILE: &str = "/etc/rancher/k3s/config.yaml";
    const UNIT: &str = "/etc/systemd/system/k3s.service";
    const ENV_FILE: &str = "/etc/systemd/system/k3s.service.env";
    const SERVICE: &str = "[Service]\nEnvironmentFile=-/etc/systemd/system/k3s.service.env\nExecStart=/usr/local/bin/k3s server\n";

    #[test]
    fn paths_follow_the_data_dir_and_the_root() {
        let s = settings(&[(OptionId::DataDir, "/d")]).unwrap();
        assert_eq!(s.dir, s.root.join("d/server/db/snapshots"));
        assert!(s.dir_is_default);
        assert_eq!(s.etcd_key, s.root.join("d/server/tls/etcd/client.key"));
        assert_eq!(s.node_name, "host-1.lan");
        assert_eq!(s.k3s.data_dir, s.root.join("var/lib/rancher/k3s"));
        let s = settings(&[(OptionId::Dir, "backups")]).unwrap();
        assert_eq!((s.dir, s.dir_is_default), (s.root.join("backups"), false));
    }

    #[test]
    fn a_name_of_k3s_is_the_one_that_k3s_uses_and_one_of_ours_is_complete() {
        let id = ("/etc/rancher/node/id", "1a2b3c4d\n");
        let with_id = [(K3S_FILE, "with-node-id: true\nnode-name: Srv1\n"), id];
        let root = machine(&with_id);
        let names = |env: &[(&str, &str)], flags: &[(OptionId, &str)]| {
            let s = settings_of(root.path(), env, flags).unwrap();
            (s.node_name, s.k3s.node_name, s.k3s.server_name)
        };
        let own = |name: &str| (name.to_owned(), "srv1-1a2b3c4d".to_owned(), "srv1".to_owned());
        assert_eq!(names(&[], &[]), own("srv1-1a2b3c4d"));
        assert_eq!(names(&[], &[(OptionId::NodeName, "Other")]), own("other"));
        // A variable of K3s in our environment is a name of K3s, but no configuration of its service.
        let root = machine(&[(K3S_FILE, "with-node-id: true\n"), id]);
        let s = settings_of(root.path(), &[("K3S_NODE_NAME", "NEW-1")], &[]).unwrap();
        assert_eq!(
            (s.node_name.as_str(), s.k3s.node_name.as_str()),
            ("new-1-1a2b3c4d", "host-1.lan-1a2b3c4d")
        );
        // Below a root, the host name is that of its files.
        let root = machine(&[("/etc/hostname", "# set by hand\nOther-Host\n")]);
        assert_eq!(settings_of(root.path(), &[], &[]).unwrap().node_name, "other-host");
    }

    #[test]
    fn links_below_a_root_are_followed_as_that_machine_follows_them() {
        let root = machine(&[
            (K3S_FILE, "->/opt/x.yaml"),
            ("/opt/x.yaml", "etcd-snapshot-retention: 8\n"),
            ("/var/lib/rancher", "->/data/rancher"),
            ("/data/rancher/k3s/server/token", "x"),
            ("/data/rancher/k3s/server/db/snapshots", "->/backup/snaps"),
            ("/backup/snaps/snapshot", ""),
        ]);
        let s = settings_of(root.path(), &[], &[]).unwrap();
        let real = root.path().canonicalize().unwrap();
        assert_eq!(s.data_dir, real.join("data/rancher/k3s"));
        assert_eq!(s.dir, real.join("backup/snaps"));
        assert!(s.token_file.exists());
        assert_eq!(s.policies(Location::Local).unwrap().all.last, Some(8));
        // A file that only this machine has is not that machine's.
        let host = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(host.path(), "etcd-snapshot-retention: 9\n").unwrap();
        let root = machine(&[(K3S_FILE, &format!("->{}", host.path().display()))]);
        let s = settings_of(root.path(), &[], &[]).unwrap();
        assert_eq!(s.policies(Location::Local).unwrap().all.last, Some(5));
        let root = machine(&[(K3S_FILE, "->/loop"), ("/loop", "->loop")]);
        assert_eq!(code_of(&settings_of(root.path(), &[], &[]).unwrap_err()), Code::LeavesRoot);
    }

    #[test]
    fn the_settings_of_k3s_itself_are_there_to_compare() {
        let unit = "[Service]\nExecStart=/k3s server -d /k3s -c /k3s.yaml\n";
        let root = machine(&[(UNIT, unit), ("/k3s.yaml", "node-name: a\n")]);
        let flags = [(OptionId::DataDir, "/other"), (OptionId::NodeName, "b")];
        let s = settings_of(root.path(), &[], &flags).unwrap();
        let real = root.path().canonicalize().unwrap();
        assert_eq!((&s.data_dir, &s.k3s.data_dir), (&real.join("other"), &real.join("k3s")));
        assert_eq!((s.node_name.as_str(), s.k3s.node_name.as_str()), ("b", "a"));
        assert_eq!((&s.k3s.config, s.k3s.command), (&real.join("k3s.yaml"), Some("server")));
        assert_eq!(code_of(&s.require_agreement_for_restore().unwrap_err()), Code::DataDirConflict);
        // A link to the same directory is no other one.
        let root = machine(&[(UNIT, unit), ("/k3s/server/token", ""), ("/other", "->/k3s")]);
        let s = settings_of(root.path(), &[], &flags).unwrap();
        assert!(s.require_agreement_for_restore().is_ok());
    }

    #[test]
    fn unknown_flags_stop_what_deletes_unless_their_options_are_set_here() {
        let shell = "[Service]\nExecStart=/bin/bash -c 'exec k3s server --etcd-snapshot-retention=50'\n";
        let root = machine(&[(UNIT, shell)]);
        let prune = |flags: &[(OptionId, &str)]| {
            settings_of(root.path(), &[], flags).unwrap().require_known_for_prune(false)
        };
        let e = prune(&[]).unwrap_err();
        assert_eq!((code_of(&e), kind_of(&e)), (Code::K3sFlagsUnknown, Kind::Refused));
        let hint = hint_of(&e).unwrap();
        assert!(["--dir", "--node-name", "--snapshot-retention"].iter().all(|o| hint.contains(o)), "{hint}");
        let ours = [(OptionId::Dir, "/d"), (OptionId::NodeName, "n"), (OptionId::KeepDaily, "7")];
        assert!(prune(&ours).is_ok());
        let restore = settings_of(root.path(), &[], &ours).unwrap().require_agreement_for_restore();
        assert_eq!(code_of(&restore.unwrap_err()), Code::K3sFlagsUnknown);
        let s = settings_of(root.path(), &[], &[]).unwrap();
        assert!(
            matches!(s.k3s_flags, K3sFlagsState::Unknown(_)) && s.warnings.len() == 1,
            "{:?}",
            s.warnings
        );
        let known = settings_of(machine(&[(UNIT, SERVICE)]).path(), &[], &[]).unwrap();
        assert_eq!((known.k3s_flags.clone(), known.warnings.len()), (K3sFlagsState::Known, 0));
        assert!(known.require_known_for_prune(false).is_ok());
    }

    #[test]
    fn the_environment_of_the_k3s_service_counts_for_its_own_bucket_only() {
        let of_k3s = "etcd-s3: true\netcd-s3-bucket: b\n";
        let env_file = "HOME=/root\nAWS_PROFILE=work\nHTTPS_PROXY=http://unit:1\nNO_PROXY=10.0.0.0/8\n";
        let root = machine(&[(UNIT, SERVICE), (ENV_FILE, env_file), (K3S_FILE, of_k3s)]);
        let shown = |env: &[(&str, &str)], flags: &[(OptionId, &str)], id: OptionId| {
            settings_of(root.path(), env, flags).unwrap().merged.text(id).unwrap_or_default()
        };
        let ours = [("HOME", "/home/me"), ("HTTPS_PROXY", "http://ours:1")];
        for (env, id, want) in [
            (&[][..], OptionId::AwsSharedCredentialsFile, "/root/.aws/credentials"),
            (&ours[..1], OptionId::AwsSharedCredentialsFile, "/root/.aws/credentials"),
            (&[("AWS_SHARED_CREDENTIALS_FILE", "/c")], OptionId::AwsSharedCredentialsFile, "/c"),
            (&[], OptionId::AwsProfile, "work"),
            (&[("AWS_PROFILE", "mine")], OptionId::AwsProfile, "mine"),
            (&[], OptionId::HttpsProxy, "http://unit:1"),
            (&[], OptionId::NoProxy, "10.0.0.0/8"),
            (&ours, OptionId::HttpsProxy, "http://ours:1"),
            (&[("https_proxy", "http://lower:1")], OptionId::HttpsProxy, "http://lower:1"),
            (&[("https_proxy", "http://lower:1"), ours[1]], OptionId::HttpsProxy, "http://ours:1"),
        ] {
            assert_eq!(shown(env, &[], id), want, "{env:?} {id:?}");
        }
        // A bucket of ours is reached by our own environment.
        let bucket = [(OptionId::S3Bucket, "mine")];
        for (id, want) in [
            (OptionId::AwsSharedCredentialsFile, "/home/me/.aws/credentials"),
            (OptionId::AwsProfile, "default"),
            (OptionId::HttpsProxy, ""),
        ] {
            assert_eq!(shown(&ours[..1], &bucket, id), want, "{id:?}");
        }
        let s = settings_of(root.path(), &[], &[]).unwrap();
        let Proxy::Variables(variables) = s.bucket().unwrap().proxy else { panic!() };
        assert_eq!(variables.https.map(|url| url.expose().to_owned()).as_deref(), Some("http://unit:1"));
    }

    #[test]
    fn mistakes_in_a_bucket_have_the_way_out_as_a_hint() {
        let root = machine(&[("/der.crt", "0\u{82}"), ("/not-pem", "x")]);
        std::fs::write(root.path().join("der.crt"), [0x30, 0x82, 1, 2]).unwrap();
        std::fs::write(root.path().join("key"), [7; 32]).unwrap();
        let error = |flags: &[(OptionId, &str)]| {
            let e = settings_of(root.path(), &[], flags).unwrap().bucket().unwrap_err();
            (code_of(&e), format!("{e:#} hint: {}", hint_of(&e).unwrap_or_default()))
        };
        let bucket = (OptionId::S3Bucket, "b");
        let ca = |file: &'static str| vec![bucket, (OptionId::S3EndpointCa, file)];
        for (flags, code, words) in [
            (
                vec![(OptionId::S3Bucket, "b/prod")],
                Code::InvalidSetting,
                "--s3-bucket b and --s3-folder prod",
            ),
            (
                vec![(OptionId::S3Bucket, "s3://b/a/c")],
                Code::InvalidSetting,
                "--s3-bucket b and --s3-folder a/c",
            ),
            (vec![(OptionId::S3Bucket, "s3://b")], Code::InvalidSetting, "without 's3://'"),
            (vec![], Code::S3BucketMissing, "--s3-bucket"),
            (ca("/der.crt"), Code::InvalidSetting, "openssl x509 -inform der"),
            (ca("/not-pem"), Code::InvalidSetting, "not a certificate in PEM"),
            (ca("/none"), Code::SettingFileUnreadable, "/none"),
            (vec![bucket, (OptionId::S3Folder, "../x")], Code::InvalidSetting, "s3-folder"),
            (
                vec![bucket, (OptionId::S3CustomerKeyFile, "/key"), (OptionId::S3Insecure, "true")],
                Code::InvalidSetting,
                "https",
            ),
        ] {
            let (got, text) = error(&flags);
            assert!(got == code && text.contains(words), "{flags:?}: {text}");
        }
        // The certificates themselves, as a block of a YAML file.
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        let text = format!("s3-bucket: b\ns3-endpoint-ca: |\n  {}\n", pem.replace('\n', "\n  "));
        let root = machine(&[(OUR_CONFIG, &text)]);
        let s = settings_of(root.path(), &[], &[]).unwrap();
        assert_eq!(s.bucket().unwrap().authorities.as_deref().map(str::trim), Some(pem));
        assert!(s.machine_paths().unwrap().bucket.is_empty());
        let secret = machine(&[(K3S_FILE, "etcd-s3: true\netcd-s3-config-secret: s\n")]);
        assert_eq!(settings_of(secret.path(), &[], &[]).unwrap().config_secret().unwrap().unwrap().name, "s");
    }

    #[test]
    fn a_wrong_value_is_an_error_with_the_option_the_value_and_the_origin() {
        for (id, value) in [
            (OptionId::Name, "a/b"),
            (OptionId::NodeName, "a b"),
            (OptionId::Compress, "maybe"),
            (OptionId::Method, "rsync"),
            (OptionId::StallTimeout, "soon"),
            (OptionId::RateLimit, "20MB"),
            (OptionId::MaxAge, "-1h"),
            (OptionId::EtcdEndpoints, "127.0.0.1:2379"),
        ] {
            let e = settings(&[(id, value)]).and_then(|s| s.new_name().map(drop)).unwrap_err();
            let message = e.to_string();
            let parts = [id.name(), value, "flag"];
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
            assert_eq!((code_of(&e), kind_of(&e)), (Code::InvalidSetting, Kind::Usage));
        }
    }

    #[test]
    fn sqlite_is_no_external_datastore_and_may_have_another_file() {
        let parts = |value| {
            let s = settings(&[(OptionId::DatastoreEndpoint, value)]).unwrap();
            let file = s.sqlite_file.map(|p| p.strip_prefix(&s.data_dir).unwrap_or(&p).display().to_string());
            (s.datastore_scheme, file)
        };
        let file = |path: &str| (None, Some(path.to_owned()));
        for default in ["sqlite", "sqlite://", "sqlite://?_journal=WAL"] {
            assert_eq!(parts(default), (None, None), "{default}");
        }
        assert_eq!(parts("sqlite://db/x.db?_journal=WAL"), file("server/db/x.db"));
        assert!(parts("sqlite://file:/mnt/x.db").1.is_some_and(|path| path.ends_with("/mnt/x.db")));
        assert_eq!(parts("mysql://u:p@tcp(h)/db"), (Some("mysql".into()), None));
    }

    #[test]
    fn no_secret_is_shown() {
        let rows = [(OptionId::Token, "pssst"), (OptionId::DatastoreEndpoint, "postgres://u:pssst@h/db")];
        let s = settings(&rows).unwrap();
        assert_eq!(s.datastore_scheme.as_deref(), Some("postgres"));
        let shown = format!("{s:?} {:?}", s.show_config());
        assert!(!shown.contains("pssst"), "{shown}");
        assert!(s.show_config().iter().any(|row| row.option == "token" && row.value == "(hidden)"));
    }
}
