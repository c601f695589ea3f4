// SPDX-License-Identifier: Apache-2.0
//! Settings: the merged fragments, validated and typed. Each value can still tell where it was said.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::layer::{Layer, Origin};
use super::load::in_root;
use super::options::{ENV_PREFIX, OPTIONS};
use super::unit::K3sFlags;
use super::{retention, s3};
use crate::distribution::{self, Distribution};
use crate::error::{Code, Fault, Kind};
use crate::model::method::Method;
use crate::model::name::check_part;
use crate::model::retention::{Location, Policies};
use crate::model::s3_config::S3Config;
pub use crate::model::secret::Secret;

/// What the run goes by. Paths are below `root` already.
#[derive(Debug)]
pub struct Settings {
    /// `/`, or the foreign root.
    pub root: PathBuf,
    /// The distribution.
    pub distribution: &'static Distribution,
    /// K3s's data-dir.
    pub data_dir: PathBuf,
    /// The snapshot folder.
    pub dir: PathBuf,
    /// Whether the snapshot folder is K3s's default one, which may be created.
    pub dir_is_default: bool,
    /// The base of new names.
    pub name: String,
    /// The node in new names.
    pub node_name: String,
    /// Whether to store a zip.
    pub compress: bool,
    /// How to take a snapshot.
    pub method: Method,
    /// How long a stream may stand still.
    pub stall_timeout: Duration,
    /// Where etcd is said to listen; empty where nobody said it.
    pub etcd_endpoints: Vec<String>,
    /// etcd's certificate authority.
    pub etcd_cacert: PathBuf,
    /// The client certificate.
    pub etcd_cert: PathBuf,
    /// Its key.
    pub etcd_key: PathBuf,
    /// How old the newest proven snapshot may be.
    pub max_age: Option<Duration>,
    /// Where manifests are kept.
    pub state_dir: PathBuf,
    /// Where locks are kept.
    pub run_dir: PathBuf,
    /// How long to wait for another run to end.
    pub retry_lock: Option<Duration>,
    /// The server token, where the configuration says it.
    pub token: Option<Secret>,
    /// The file that holds the server token.
    pub token_file: PathBuf,
    /// Whether somebody named it.
    pub token_file_is_named: bool,
    /// Whether that was said to us and not to K3s.
    pub token_file_is_ours: bool,
    /// An external datastore: its scheme, the rest may hold a password.
    pub datastore_scheme: Option<String>,
    /// The base of K3s's scheduled snapshots.
    pub scheduled_base: String,
    /// Whose calendar counts.
    pub timezone: jiff::tz::TimeZone,
    /// Whether the bucket is used too.
    pub s3: bool,
    /// Whether that was said to us and not to K3s alone: then it may be deleted from.
    pub s3_by_us: bool,
    /// Whether what earlier saves could not send is sent after a new snapshot.
    pub s3_backlog: bool,
    /// K3s's unit: the one that was named, or found.
    pub unit: Option<String>,
    /// What K3s is started with.
    pub flags: K3sFlags,
    /// The port of K3s's supervisor and API server.
    pub https_port: u16,
    /// Whether K3s is told to begin a cluster with embedded etcd.
    pub cluster_init: bool,
    /// Whether K3s is told to run no etcd here.
    pub disable_etcd: bool,
    /// Whether K3s is told to save no snapshots on its own schedule.
    pub disable_snapshots: bool,
    /// The schedule that K3s is told, where it is told one.
    pub schedule: Option<String>,
    /// Where K3s writes its kubeconfig.
    pub write_kubeconfig: PathBuf,
    merged: Layer,
    /// The same with all numbers for the retention, those included that others replace.
    unsettled: Layer,
}

/// One line of `--explain`.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The option.
    pub option: String,
    /// Its effective value as text; a secret is hidden.
    pub value: String,
    /// Where it was said.
    pub origin: String,
}

impl Settings {
    /// Validates what was merged. `host_name` is this machine's.
    pub fn new(
        mut merged: Layer,
        flags: K3sFlags,
        distribution: &'static Distribution,
        root: &Path,
        host_name: &str,
    ) -> Result<Settings> {
        let mut derive = |key: &'static str, value: String, from: &str| {
            if merged.get(key).is_none() {
                merged.set(key, vec![value], Origin::Derived(from.to_owned()));
            }
        };
        derive(
            "data-dir",
            distribution.data_dir.to_owned(),
            &format!("the default of {}", distribution.name),
        );
        derive("node-name", host_name.to_ascii_lowercase(), "the host name");
        derive(
            "etcd-snapshot-name",
            distribution.scheduled_base.to_owned(),
            &format!("the default of {}", distribution.name),
        );
        let k3s = format!("the default of {}", distribution.name);
        if let Some(unit) = flags.unit() {
            derive("unit", unit.to_owned(), "the unit that runs it");
        }
        derive("write-kubeconfig", distribution.kubeconfig.to_owned(), &k3s);
        let system = jiff::tz::TimeZone::system();
        derive("timezone", system.iana_name().unwrap_or("local").to_owned(), "the system");
        let unsettled = merged.clone();
        retention::settle(&mut merged);
        let dir_is_default = merged.get("dir").is_none();
        let data_dir = text(&merged, "data-dir").unwrap_or_default();
        for (key, below) in [
            ("dir", distribution::SNAPSHOTS),
            ("etcd-cacert", distribution::ETCD_CA),
            ("etcd-cert", distribution::ETCD_CERT),
            ("etcd-key", distribution::ETCD_KEY),
            ("token-file", distribution::TOKEN),
        ] {
            if merged.get(key).is_none() {
                let path = Path::new(&data_dir).join(below).display().to_string();
                merged.set(key, vec![path], Origin::Derived("data-dir".to_owned()));
            }
        }
        let path = |key: &str| -> Result<PathBuf> {
            let text = text(&merged, key).unwrap_or_default();
            let path = Path::new(&text);
            // K3s works in its own folder.
            if path.is_relative() && merged.last(key).is_some_and(|(_, origin)| origin.is_k3s()) {
                return inside(
                    root,
                    in_root(root, &Path::new(&data_dir).join(distribution::SERVER).join(path)),
                );
            }
            // A relative path is the caller's on this machine, and below the root on a foreign one.
            if path.is_relative() && root == Path::new("/") {
                return std::path::absolute(path).map_err(|e| bad(&merged, key, &e.to_string()));
            }
            inside(root, in_root(root, path))
        };
        Ok(Settings {
            root: root.to_owned(),
            distribution,
            data_dir: path("data-dir")?,
            dir: path("dir")?,
            dir_is_default,
            name: text(&merged, "name").unwrap_or_default(),
            node_name: text(&merged, "node-name").unwrap_or_default(),
            compress: boolean(&merged, "snapshot-compress")?,
            method: method(&merged)?,
            stall_timeout: duration(&merged, "stall-timeout")?.unwrap_or(Duration::from_secs(30)),
            etcd_endpoints: endpoints(&merged)?,
            etcd_cacert: path("etcd-cacert")?,
            etcd_cert: path("etcd-cert")?,
            etcd_key: path("etcd-key")?,
            max_age: duration(&merged, "max-age")?,
            state_dir: path("state-dir")?,
            run_dir: path("run-dir")?,
            retry_lock: duration(&merged, "retry-lock")?,
            token: text(&merged, "token").map(Secret::new),
            token_file_is_named: !matches!(merged.last("token-file"), Some((_, Origin::Derived(_)))),
            token_file_is_ours: matches!(
                merged.last("token-file"),
                Some((_, Origin::Flag(_) | Origin::File(..)))
            ) || matches!(merged.last("token-file"), Some((_, Origin::Env(name))) if name.starts_with(ENV_PREFIX)),
            token_file: path("token-file")?,
            datastore_scheme: text(&merged, "datastore-endpoint").map(|url| {
                url.split_once("://").map_or("unknown".to_owned(), |(scheme, _)| scheme.to_owned())
            }),
            scheduled_base: text(&merged, "etcd-snapshot-name").unwrap_or_default(),
            timezone: retention::zone(&merged)?,
            s3: boolean(&merged, "s3")?,
            s3_by_us: s3::on_by_us(&merged),
            s3_backlog: boolean(&merged, "s3-backlog")?,
            unit: text(&merged, "unit"),
            flags,
            https_port: port(&merged, "https-listen-port")?,
            cluster_init: boolean(&merged, "cluster-init")?,
            disable_etcd: boolean(&merged, "disable-etcd")?,
            disable_snapshots: boolean(&merged, "etcd-disable-snapshots")?,
            schedule: text(&merged, "etcd-snapshot-schedule-cron"),
            write_kubeconfig: path("write-kubeconfig")?,
            merged,
            unsettled,
        })
    }

    /// What is kept of the snapshots in a place, for those who prune; an error where that is nothing.
    pub fn policies(&self, place: Location) -> Result<Policies> {
        retention::policies(&self.unsettled, &self.timezone, place)
    }

    /// Base and node of a new name, checked: only a save needs them, and a rescue system has no proper host name.
    pub fn new_name(&self) -> Result<(&str, &str)> {
        for (key, value) in [("name", &self.name), ("node-name", &self.node_name)] {
            check_part(value).map_err(|why| bad(&self.merged, key, &why))?;
        }
        Ok((&self.name, &self.node_name))
    }

    /// The bucket. Files that it names are read now, so that a save without one never needs them.
    pub fn bucket(&self) -> Result<S3Config> {
        s3::bucket(&self.merged, &self.root, self.distribution.word)
    }

    /// Every option with its effective value and where that was said; secrets hidden.
    pub fn explain(&self) -> Vec<Explained> {
        let of_bases = self.merged.bases().iter().flat_map(|(base, options)| {
            options.iter().map(move |(key, entry)| Explained {
                option: format!("{}.{base}.{key}", retention::OF_BASES),
                value: entry.values.join(","),
                origin: entry.origin.to_string(),
            })
        });
        OPTIONS
            .iter()
            .map(|key| {
                let (value, origin) = match self.merged.get(key.name) {
                    None => ("-".to_owned(), "not set".to_owned()),
                    Some(e) if key.secret => ("(hidden)".to_owned(), e.origin.to_string()),
                    Some(e) if key.list => (e.values.join(","), e.origin.to_string()),
                    Some(e) => (e.values.last().cloned().unwrap_or_default(), e.origin.to_string()),
                };
                Explained { option: key.name.to_owned(), value, origin }
            })
            .chain(of_bases)
            .collect()
    }
}

/// A path below a foreign root, unless a link leads out of it: that would be the files of this machine.
fn inside(root: &Path, path: PathBuf) -> Result<PathBuf> {
    let real = path.ancestors().take_while(|p| p.starts_with(root)).find_map(|p| p.canonicalize().ok());
    if real.is_some_and(|real| !real.starts_with(root)) {
        return Err(Fault::new(
            Code::LeavesRoot,
            format!("'{}' leads out of --root '{}' by a link", path.display(), root.display()),
        )
        .hint("Name the folder that is meant, as seen below the root.")
        .into());
    }
    Ok(path)
}

pub(super) fn text(merged: &Layer, key: &str) -> Option<String> {
    merged.last(key).map(|(value, _)| value.to_owned())
}

pub(super) fn bad(merged: &Layer, key: &str, why: &str) -> anyhow::Error {
    let Some((value, origin)) = merged.last(key) else {
        return Fault::new(Code::InvalidSetting, format!("option '{key}' {why}")).into();
    };
    let kind = if matches!(origin, Origin::Flag(_)) { Kind::Usage } else { Kind::Config };
    let fault = Fault::new(
        Code::InvalidSetting,
        format!("option '{key}' (value '{}', {origin}) {why}", value.escape_debug()),
    )
    .of_kind(kind);
    match key {
        "node-name" => fault.hint("Set one with --node-name."),
        _ => fault,
    }
    .into()
}

/// As Go's ParseBool, which K3s uses, and the other words that YAML knows.
pub(super) fn boolean(merged: &Layer, key: &str) -> Result<bool> {
    let Some((value, _)) = merged.last(key) else { return Ok(false) };
    match value.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "yes" | "on" => Ok(true),
        "0" | "f" | "false" | "no" | "off" => Ok(false),
        _ => Err(bad(merged, key, "is not true or false")),
    }
}

fn port(merged: &Layer, key: &str) -> Result<u16> {
    match merged.last(key).map(|(value, _)| value.parse()) {
        Some(Ok(port @ 1..)) => Ok(port),
        _ => Err(bad(merged, key, "is not a port from 1 to 65535")),
    }
}

fn method(merged: &Layer) -> Result<Method> {
    let Some((word, _)) = merged.last("method") else { return Ok(Method::Auto) };
    word.parse().map_err(|why| bad(merged, "method", why))
}

pub(super) fn duration(merged: &Layer, key: &str) -> Result<Option<Duration>> {
    let Some((value, _)) = merged.last(key) else { return Ok(None) };
    match parse_duration(value) {
        Some(d) => Ok(Some(d)),
        None => Err(bad(merged, key, "is not a duration like 30s, 90m, 25h, 7d or 1h30m, longer than none")),
    }
}

/// Go's durations (`1h30m`) and, beyond them, days and weeks. Days are 24 hours.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    Duration::try_from(span.to_duration(relative).ok()?).ok().filter(|d| !d.is_zero())
}

fn endpoints(merged: &Layer) -> Result<Vec<String>> {
    let Some(entry) = merged.get("etcd-endpoints") else { return Ok(vec![]) };
    let list: Vec<String> = entry
        .values
        .iter()
        .flat_map(|v| v.split(','))
        .map(|v| v.trim().trim_end_matches('/').to_owned())
        .filter(|v| !v.is_empty())
        .collect();
    for url in &list {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "2379"));
        let bracketed = host.starts_with('[') == host.ends_with(']');
        if host.is_empty()
            || !bracketed
            || host.contains(['/', '@', ' ', '?', '#'])
            || port.parse::<u16>().is_err()
        {
            let kind = if matches!(entry.origin, Origin::Flag(_)) { Kind::Usage } else { Kind::Config };
            // What stands before an @ may be a password.
            let shown =
                url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host).escape_debug().to_string();
            return Err(Fault::new(
                Code::InvalidSetting,
                format!(
                    "option 'etcd-endpoints' ({}): '{shown}' is not a URL like https://127.0.0.1:2379",
                    entry.origin
                ),
            )
            .of_kind(kind)
            .into());
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    fn settings(rows: &[(&'static str, &str)]) -> Result<Settings> {
        let mut f = Layer::default();
        for (key, value) in rows {
            f.set(key, vec![(*value).to_owned()], Origin::Flag((*key).to_owned()));
        }
        if f.get("name").is_none() {
            f.set("name", vec!["on-demand".into()], Origin::Default);
        }
        f.set("https-listen-port", vec!["6443".into()], Origin::Default);
        Settings::new(f, K3sFlags::default(), &distribution::K3S, Path::new("/r"), "Host-1.Lan")
    }

    #[test]
    fn paths_follow_the_data_dir_and_the_root() {
        let s = settings(&[("data-dir", "/d")]).unwrap();
        assert_eq!(s.dir, Path::new("/r/d/server/db/snapshots"));
        assert!(s.dir_is_default);
        assert_eq!(s.etcd_key, Path::new("/r/d/server/tls/etcd/client.key"));
        assert_eq!(s.node_name, "host-1.lan");
        let s = settings(&[("dir", "backups")]).unwrap();
        assert_eq!((s.dir.as_path(), s.dir_is_default), (Path::new("/r/backups"), false));
    }

    #[test]
    fn durations_are_go_s_and_days() {
        for (text, seconds) in [("30s", 30), ("1h30m", 5400), ("25h", 90000), ("7d", 604800), ("1w", 604800)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "-5m", "5", "soon", "1mo"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn bad_values_name_the_option_the_value_and_the_origin() {
        for (key, value) in [
            ("name", "a/b"),
            ("node-name", "a b"),
            ("snapshot-compress", "maybe"),
            ("method", "copy"),
            ("stall-timeout", "soon"),
            ("max-age", "-1h"),
            ("etcd-endpoints", "127.0.0.1:2379"),
        ] {
            let e = settings(&[(key, value)]).and_then(|s| s.new_name().map(drop)).unwrap_err();
            let said = e.to_string();
            assert!(said.contains(key) && said.contains(value) && said.contains("flag"), "{said}");
            assert_eq!(kind_of(&e), Kind::Usage);
        }
    }

    #[test]
    fn secrets_are_hidden_everywhere() {
        let s = settings(&[("token", "geheim"), ("datastore-endpoint", "postgres://u:geheim@h/db")]).unwrap();
        assert_eq!(s.datastore_scheme.as_deref(), Some("postgres"));
        let shown = format!("{s:?} {:?}", s.explain());
        assert!(!shown.contains("geheim"), "{shown}");
        assert!(s.explain().iter().any(|r| r.option == "token" && r.value == "(hidden)"));
    }
}
