// SPDX-License-Identifier: Apache-2.0
//! Loads the layers below the command line: the configuration of K3s, ours, and the environment. Root and environment are
//! arguments.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::files;
use super::k3s::K3sConfig;
use super::layer::{Layer, Origin};
use super::options::{ENV_PREFIX, OPTIONS, OptionId, OptionSpec};
use super::paths::{OUR_CONFIG, given_path, is_dangling_link, openable, read_error};
use super::unit::{self, K3sFlags};
use super::{detect, own_file};
use crate::distribution::Distribution;
use crate::error::{Code, Fault};
use crate::model::unit::{Definition, UnitAnswer};
use crate::model::warning::{Warning, WarningCode};

/// The environment, as a value.
pub type Environment = BTreeMap<String, String>;

/// How to look for the K3s service on this machine: the unit that is wanted, or the one that exists.
pub type UnitLookup<'a> = dyn Fn(&'static Distribution, Option<&str>) -> Result<UnitAnswer> + 'a;

/// What the command line decides before anything is loaded.
#[derive(Default)]
pub struct Selectors<'a> {
    /// The configuration file of K3s.
    pub config: Option<&'a str>,
    /// The unit of K3s.
    pub unit: Option<&'a str>,
    /// The distribution, and where it is set.
    pub distribution: Option<(&'a str, &'a Origin)>,
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// Everything below the command line.
    pub options: Layer,
    /// What K3s is started with.
    pub flags: K3sFlags,
    /// The distribution.
    pub distribution: &'static Distribution,
    /// The configuration of K3s after its own rules were applied.
    pub(super) k3s: K3sConfig,
    /// Our home directory.
    pub(super) home: Option<String>,
    /// What an operator should know of the configuration.
    pub warnings: Vec<Warning>,
}

/// Loads all layers below the command line, and what K3s is started with. On this machine `lookup` finds the K3s service;
/// below another root, and if systemd does not answer, its unit files are read.
///
/// # Errors
/// If a configuration file cannot be read or has a wrong form, or a unit or a distribution that is set does not exist.
pub fn load(root: &Path, selectors: &Selectors, env: &Environment, lookup: &UnitLookup) -> Result<Loaded> {
    let mut warnings = Vec::new();
    let mut ours = ours(root, env, &mut warnings)?;
    let named = selectors.distribution.or_else(|| ours.effective(OptionId::Distribution));
    let (distribution, origin) = detect::resolve(root, named)?;
    ours.set(OptionId::Distribution, vec![distribution.word.to_owned()], origin);
    let wanted = selectors.unit.or_else(|| ours.get_str(OptionId::Unit));
    let (definition, unknown) = find_unit(root, distribution, wanted, lookup)?;
    let mut flags = K3sFlags::new(definition.as_ref(), root, distribution);
    if let Some(reason) = unknown {
        flags.set_unknown(reason);
    }
    let config = k3s_config(root, selectors, env, &mut flags, distribution, &mut warnings)?;
    let k3s = K3sConfig::new(&mut flags, config, root, distribution)?;
    // K3s turns its files into flags, and flags override variables.
    let mut options = k3s.variable_options.clone();
    options.override_with(from_environment(env, |option| {
        option.k3s_env.iter().map(|name| distribution.variable(name)).collect()
    }));
    options.override_with(k3s.own_options.clone());
    options.override_with(ours);
    options.fill_defaults();
    for name in env.keys().filter(|name| name.starts_with(ENV_PREFIX)) {
        if !OPTIONS.iter().any(|option| option.is_ours && option.env() == *name) {
            let message = format!("environment variable {name} is not an option of k3s-snapshot");
            warnings.push(Warning { code: WarningCode::UnknownVariable, message });
        }
    }
    let home = env.get("HOME").filter(|home| !home.is_empty()).cloned();
    Ok(Loaded { options, flags, distribution, k3s, home, warnings })
}

/// Our configuration files, credentials of systemd and our environment.
fn ours(root: &Path, env: &Environment, warnings: &mut Vec<Warning>) -> Result<Layer> {
    let mut ours = Layer::default();
    for file in files::with_drop_ins(&openable(root, Path::new(OUR_CONFIG))?, false)? {
        own_file::read(&mut ours, &file, warnings)?;
    }
    ours.override_with(from_credentials(env)?);
    ours.override_with(from_environment(env, |option| {
        // Keys in the environment override every file, as in all programs for S3.
        let aws =
            option.k3s_env.iter().filter(|name| name.starts_with("AWS_")).map(|name| (*name).to_owned());
        option.is_ours.then(|| option.env()).into_iter().chain(aws).collect()
    }));
    Ok(ours)
}

/// The K3s service, and why its flags may not be known.
fn find_unit(
    root: &Path,
    distribution: &'static Distribution,
    wanted: Option<&str>,
    lookup: &UnitLookup,
) -> Result<(Option<Definition>, Option<String>)> {
    let in_files = || unit::find_in_files(root, distribution, wanted);
    let answer = match root == Path::new("/") {
        true => lookup(distribution, wanted)?,
        false => UnitAnswer::NoSystemd,
    };
    let answer = match answer {
        UnitAnswer::NoSystemd => in_files()?,
        // systemd lists only the units that it has loaded, and cannot follow a link to a disk that is not mounted.
        UnitAnswer::Absent => match in_files() {
            Ok(UnitAnswer::NoSystemd) => UnitAnswer::Absent,
            Ok(answer) => answer,
            Err(e) => UnitAnswer::Unknown(format!("{e:#}")),
        },
        // systemd did not answer, or several units run K3s: the files may tell.
        UnitAnswer::Unknown(reason) => {
            log::debug!("the K3s service is not known ({reason}): reading unit files");
            match in_files() {
                Ok(UnitAnswer::Found(definition)) => UnitAnswer::Found(definition),
                Err(e) if wanted.is_some() => return Err(e),
                _ => UnitAnswer::Unknown(reason),
            }
        }
        answer => answer,
    };
    Ok(match answer {
        UnitAnswer::Found(definition) => (Some(definition), None),
        UnitAnswer::Unknown(reason) => (None, Some(reason)),
        // OpenRC starts K3s by a script of its own.
        UnitAnswer::Absent | UnitAnswer::NoSystemd => {
            let exists = |path: &&str| match openable(root, Path::new(path)).map(|path| path.metadata()) {
                Ok(Ok(meta)) => meta.is_file(),
                Ok(Err(e)) => !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
                Err(_) => true,
            };
            let reason =
                |path: &str| format!("'{path}' starts {}, and its arguments are not read", distribution.name);
            (None, distribution.init_script.filter(exists).map(reason))
        }
    })
}

/// Reads the configuration of K3s into its flags. The result is its main file as the machine has it, which need not exist.
fn k3s_config(
    root: &Path,
    selectors: &Selectors,
    env: &Environment,
    flags: &mut K3sFlags,
    distribution: &Distribution,
    warnings: &mut Vec<Warning>,
) -> Result<PathBuf> {
    let of_env = env.get(&distribution.variable(unit::CONFIG_FILE)).map(String::as_str);
    let ours = selectors.config.filter(|path| !path.is_empty()).or(of_env.filter(|path| !path.is_empty()));
    let named = ours.or(flags.config());
    if let Some(url) = named.filter(|path| path.starts_with("http://") || path.starts_with("https://")) {
        let scheme = url.split(':').next().unwrap_or_default();
        let message =
            format!("the {} configuration is an {scheme} URL, which is not read", distribution.name);
        return Err(Fault::new(Code::ConfigUnreadable, message)
            .hint("Save it to a file and name the file with --config.")
            .into());
    }
    let machine_path = match (ours, flags.config()) {
        (Some(path), _) => given_path(root, Path::new(path))?,
        (None, Some(path)) => flags.start_dir().join(path),
        (None, None) => PathBuf::from(distribution.config),
    };
    let main = openable(root, &machine_path)?;
    // K3s starts without the file that its service names; a file that was named here must exist.
    if ours.is_none() && named.is_some() && !main.exists() {
        let (path, name) = (main.display(), distribution.name);
        let message = format!("the configuration '{path}' that the {name} service names does not exist");
        warnings.push(Warning { code: WarningCode::ConfigFileMissing, message });
    }
    if is_dangling_link(root, &machine_path) {
        let path = machine_path.display();
        flags.set_unknown(format!("the configuration '{path}' is a link to a file that does not exist"));
    }
    for file in files::with_drop_ins(&main, ours.is_some())? {
        let entries = files::read_yaml(&file)?;
        for entry in &entries {
            own_file::warn_of_number(
                warnings,
                &file,
                entry,
                super::options::find_k3s(entry.key.trim_end_matches('+')),
            );
        }
        flags.add_file(&file, entries);
    }
    Ok(machine_path)
}

/// The files that systemd provides as credentials, each named like its option: secrets, and the certificate for etcd.
fn from_credentials(env: &Environment) -> Result<Layer> {
    let mut layer = Layer::default();
    let Some(dir) = env.get("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty()) else { return Ok(layer) };
    for option in OPTIONS.iter().filter(|option| option.is_secret) {
        let path = Path::new(dir).join(option.name);
        match std::fs::read_to_string(&path) {
            Ok(text) => layer.set(
                option.id,
                vec![text.trim_end_matches(['\n', '\r']).to_owned()],
                Origin::Credential(path.display().to_string()),
            ),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(read_error(&path, e)),
        }
    }
    // The option is a path, and the credential is the file itself.
    for id in [OptionId::EtcdCacert, OptionId::EtcdCert, OptionId::EtcdKey] {
        let path = Path::new(dir).join(id.name());
        if path.exists() {
            let path = path.display().to_string();
            layer.set(id, vec![path.clone()], Origin::Credential(path));
        }
    }
    Ok(layer)
}

fn from_environment(env: &Environment, names: impl Fn(&OptionSpec) -> Vec<String>) -> Layer {
    let mut layer = Layer::default();
    for option in OPTIONS {
        // The first name wins.
        for name in names(option).into_iter().rev() {
            if let Some(value) = env.get(&name).filter(|value| !value.is_empty()) {
                layer.set(option.id, vec![value.clone()], Origin::Env(name));
            }
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::paths::in_root;
    use crate::error::{Kind, code_of, hint_of, kind_of};
    use std::fs;

    /// A root with these files, and what is loaded from it.
    fn loaded(files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Loaded> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = in_root(root.path(), Path::new(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        load(root.path(), &Selectors::default(), &env, &|_, _| Ok(UnitAnswer::Absent))
    }

    fn options(files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Layer> {
        loaded(files, env).map(|loaded| loaded.options)
    }

    fn value(layer: &Layer, id: OptionId) -> String {
        layer.text(id).unwrap_or_default()
    }

    const K3S_FILE: &str = "/etc/rancher/k3s/config.yaml";
    const K3S_D: &str = "/etc/rancher/k3s/config.yaml.d";

    #[test]
    fn later_sources_override_earlier_ones() {
        let all = [
            (K3S_FILE, "node-name: k3s-file\n"),
            (&format!("{K3S_D}/10.yaml"), "node-name: k3s-10\n"),
            (&format!("{K3S_D}/20.YML"), "node-name: k3s-20\n"),
            (OUR_CONFIG, "node-name: our-file\n"),
            ("/etc/k3s-snapshot/config.yaml.d/10.yaml", "node-name: our-10\n"),
        ];
        let env = [("K3S_NODE_NAME", "k3s-env"), ("K3S_SNAPSHOT_NODE_NAME", "our-env")];
        let name = |files: usize, env: &[(&str, &str)]| {
            value(&options(&all[..files], env).unwrap(), OptionId::NodeName)
        };
        assert_eq!(name(0, &[]), "");
        assert_eq!(name(0, &env[..1]), "k3s-env");
        for (files, want) in [(1, "k3s-file"), (2, "k3s-10"), (3, "k3s-20"), (4, "our-file"), (5, "our-10")] {
            assert_eq!(name(files, &env[..1]), want);
        }
        assert_eq!(name(5, &env), "our-env");
    }

    #[test]
    fn keys_of_k3s_are_merged_by_its_rules_and_unknown_ones_ignored() {
        let all = options(
            &[
                (K3S_FILE, "d: /short\netcd-snapshot-dir: /a\ntls-san: [x]\nkubelet-arg:\n  - a: b\n"),
                (&format!("{K3S_D}/a.yaml"), "etcd-snapshot-dir+: /b\n"),
                (&format!("{K3S_D}/ignored.txt"), "data-dir: /no\n"),
                (&format!("{K3S_D}/sub/b.yaml"), "data-dir: /no\n"),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(value(&all, OptionId::DataDir), "/short");
        assert_eq!(all.get(OptionId::Dir).unwrap().values, ["/a", "/b"]);
        assert_eq!(value(&all, OptionId::Dir), "/b", "of several values the last, as for the flags of K3s");
        // The spelling of `k3s server` counts, wherever it is.
        let both = options(&[(K3S_FILE, "etcd-s3-bucket: server\ns3-bucket: command\n")], &[]).unwrap();
        assert_eq!(value(&both, OptionId::S3Bucket), "server");
    }

    #[test]
    fn an_empty_value_of_k3s_hides_its_variable_and_leaves_the_default() {
        let env = [("K3S_NODE_NAME", "variable")];
        for empty in ["node-name:", "node-name: ''", "node-name: ~", "node-name: [a, '']"] {
            assert_eq!(
                value(&options(&[(K3S_FILE, empty)], &env).unwrap(), OptionId::NodeName),
                "",
                "{empty}"
            );
        }
        let not_set = options(&[(K3S_FILE, "node-name: []")], &env).unwrap();
        assert_eq!(value(&not_set, OptionId::NodeName), "variable");
        let all = loaded(
            &[(
                K3S_FILE,
                "etcd-s3-region:\netcd-snapshot-retention:\nhttps-listen-port:\netcd-s3-endpoint: ''\n",
            )],
            &[],
        )
        .unwrap();
        for (id, want) in [
            (OptionId::S3Region, "us-east-1"),
            (OptionId::SnapshotRetention, "5"),
            (OptionId::HttpsListenPort, "6443"),
            (OptionId::S3Endpoint, ""),
        ] {
            assert_eq!(value(&all.options, id), want, "{id:?}");
        }
        assert_eq!(
            all.k3s.problems.len(),
            2,
            "K3s does not start with an empty number: {:?}",
            all.k3s.problems
        );
    }

    #[test]
    fn a_value_that_k3s_does_not_accept_is_reported_and_not_used() {
        let text = "etcd-s3: maybe\nhttps-listen-port: x\netcd-snapshot-retention: many\n";
        let all = loaded(&[(K3S_FILE, text)], &[]).unwrap();
        assert_eq!(all.k3s.problems.len(), 2, "{:?}", all.k3s.problems);
        assert_eq!(value(&all.options, OptionId::S3), "false");
        assert_eq!(value(&all.options, OptionId::HttpsListenPort), "6443");
        assert_eq!(
            value(&all.options, OptionId::SnapshotRetention),
            "many",
            "nothing is deleted by a default"
        );
    }

    #[test]
    fn a_later_file_replaces_all_options_of_a_base_and_no_other_base() {
        let all = options(
            &[
                (
                    OUR_CONFIG,
                    "retention:\n  timer:\n    keep-daily: 7\n    keep-last: 2\n  nightly: {keep-weekly: 4}\n",
                ),
                ("/etc/k3s-snapshot/config.yaml.d/a.yaml", "retention:\n  timer:\n    keep-daily: 9\n"),
            ],
            &[],
        )
        .unwrap();
        let of = |base: &str, id: OptionId| value(&all.for_base(base), id);
        assert_eq!(of("timer", OptionId::KeepDaily), "9");
        assert_eq!(of("timer", OptionId::SnapshotRetention), "5", "the default");
        assert_eq!(of("nightly", OptionId::KeepWeekly), "4");
        assert_eq!(value(&all, OptionId::KeepDaily), "");
    }

    #[test]
    fn drop_ins_count_without_the_main_file() {
        let all = options(&[(&format!("{K3S_D}/a.yaml"), "data-dir: /d\n")], &[]).unwrap();
        assert_eq!(value(&all, OptionId::DataDir), "/d");
    }

    #[test]
    fn an_unknown_key_of_ours_and_a_wrong_form_are_errors_with_file_and_line() {
        let e = options(&[(OUR_CONFIG, "name: x\n\nstal-timeout: 5s\n")], &[]).unwrap_err();
        assert_eq!(code_of(&e), Code::ConfigInvalid);
        let message = e.to_string();
        assert!(message.contains("stal-timeout") && message.contains("config.yaml', line 3"), "{message}");
        assert!(hint_of(&e).unwrap().contains("stall-timeout"));
        for (file, text, line, word) in [
            (OUR_CONFIG, "name: {a: b}\n", 1, "name"),
            (OUR_CONFIG, "name: [[a]]\n", 1, "name"),
            (K3S_FILE, "a: b: c\n", 1, "config"),
            (OUR_CONFIG, "retention: 5\n", 1, "retention"),
            (OUR_CONFIG, "retention:\n  timer: 5\n", 2, "timer"),
            (OUR_CONFIG, "retention:\n  timer:\n", 2, "timer"),
            (OUR_CONFIG, "retention:\n  a/b: {keep-daily: 1}\n", 2, "a/b"),
            (OUR_CONFIG, "retention:\n  timer:\n    keep-dayly: 1\n", 3, "keep-dayly"),
            (OUR_CONFIG, "retention:\n  timer:\n    timezone: UTC\n", 3, "timezone"),
            (OUR_CONFIG, "retention:\n  timer:\n    keep-daily: {a: b}\n", 3, "keep-daily"),
            (OUR_CONFIG, "token: secret\n", 1, "token"),
        ] {
            let e = options(&[(file, text)], &[]).unwrap_err();
            assert_eq!((code_of(&e), kind_of(&e)), (Code::ConfigInvalid, Kind::Config), "{text}");
            let message = format!("{e:#}");
            assert!(message.contains(&format!("line {line}")) && message.contains(word), "{message}");
        }
        assert!(
            options(&[(K3S_FILE, "retention:\n  timer: 5\n")], &[]).is_ok(),
            "the file of K3s may have any key"
        );
    }

    #[test]
    fn a_number_that_is_not_read_as_written_is_warned_about_unless_its_option_is_a_number() {
        let warnings = |file: &str, text: &str| loaded(&[(file, text)], &[]).unwrap().warnings;
        let secret = warnings(K3S_FILE, "token: 0755\n");
        assert!(
            secret.len() == 1 && secret[0].message.contains("token") && !secret[0].message.contains("755"),
            "{secret:?}"
        );
        let name = warnings(OUR_CONFIG, "name: 0x10\n");
        assert!(
            name.len() == 1 && name[0].message.contains("0x10") && name[0].message.contains("16"),
            "{name:?}"
        );
        for (file, text) in [
            (K3S_FILE, "token: '0755'\nnode-name: 12\n"),
            (K3S_FILE, "etcd-snapshot-retention: 0x10\nunknown: 0755\n"),
            (OUR_CONFIG, "s3: yes\nkeep-daily: 07\n"),
        ] {
            assert!(warnings(file, text).is_empty(), "{text}");
        }
    }

    const UNIT: &str = "/etc/systemd/system/k3s.service";
    const ENV_FILE: &str = "/etc/systemd/system/k3s.service.env";

    #[test]
    fn the_k3s_service_counts_as_its_configuration() {
        let unit =
            format!("[Service]\nEnvironmentFile={ENV_FILE}\nExecStart=/k3s server --node-name=argument\n");
        let all = [
            (UNIT, "[Service]\nEnvironment=K3S_NODE_NAME=environment\nExecStart=/k3s server\n"),
            (
                UNIT,
                &format!(
                    "[Service]\nEnvironment=K3S_NODE_NAME=x\nEnvironmentFile={ENV_FILE}\nExecStart=/k3s server\n"
                ),
            ),
            (ENV_FILE, "K3S_NODE_NAME=env-file\n"),
            (K3S_FILE, "node-name: k3s-file\n"),
            (UNIT, &unit),
            (OUR_CONFIG, "node-name: our-file\n"),
        ];
        let name = |files: usize, env: &[(&str, &str)]| {
            value(&options(&all[..files], env).unwrap(), OptionId::NodeName)
        };
        let env = [("K3S_NODE_NAME", "our-process")];
        assert_eq!(name(1, &[]), "environment");
        assert_eq!(name(3, &[]), "env-file");
        assert_eq!(name(3, &env), "our-process", "a variable of our own environment is set on purpose");
        assert_eq!(name(4, &env), "k3s-file");
        assert_eq!(name(5, &env), "argument");
        assert_eq!(name(6, &env), "our-file");
    }

    #[test]
    fn the_unit_may_be_named_and_names_the_configuration_of_k3s() {
        let other = "/usr/lib/systemd/system/blue.service";
        let files = [
            (UNIT, "[Service]\nExecStart=/k3s server -d /k3s\n"),
            (other, "[Service]\nExecStart=/k3s server -c /blue.yaml\n"),
            ("/blue.yaml", "data-dir: /blue\n"),
            (K3S_FILE, "data-dir: /file\n"),
        ];
        let dir = |files: &[(&str, &str)], env: &[(&str, &str)]| {
            options(files, env).map(|all| value(&all, OptionId::DataDir))
        };
        assert_eq!(dir(&files, &[]).unwrap(), "/k3s");
        assert_eq!(dir(&files, &[("K3S_SNAPSHOT_UNIT", "blue")]).unwrap(), "/blue");
        let ours = [&files[..], &[(OUR_CONFIG, "unit: blue.service\n")]].concat();
        assert_eq!(dir(&ours, &[]).unwrap(), "/blue");
        assert_eq!(dir(&ours, &[("K3S_SNAPSHOT_UNIT", "k3s")]).unwrap(), "/k3s");
        let e = dir(&files, &[("K3S_SNAPSHOT_UNIT", "red")]).unwrap_err();
        assert_eq!(code_of(&e), Code::UnitNotFound);
        // K3s starts without the file that its service names.
        let missing = loaded(&files[1..2], &[]).unwrap();
        assert_eq!((value(&missing.options, OptionId::DataDir).as_str(), missing.warnings.len()), ("", 1));
        // A relative path starts where the service starts.
        let unit = "[Service]\nWorkingDirectory=/srv\nExecStart=/k3s server -c conf/k3s.yaml -d data\n";
        let files = [(UNIT, unit), ("/srv/conf/k3s.yaml", "token-file: secret\n")];
        let all = options(&files, &[]).unwrap();
        assert_eq!(value(&all, OptionId::DataDir), "/srv/data");
        assert_eq!(value(&all, OptionId::TokenFile), "secret");
    }

    #[test]
    fn the_home_directory_of_the_service_is_put_into_its_data_dir() {
        let unit = "[Service]\nEnvironment=HOME=/root\nExecStart=/k3s server --data-dir=~/k3s\n";
        let all = loaded(&[(UNIT, unit)], &[]).unwrap();
        assert_eq!(
            (value(&all.options, OptionId::DataDir).as_str(), all.k3s.data_dir.as_str()),
            ("/root/k3s", "/root/k3s")
        );
        let unit = "[Service]\nEnvironment=HOME=/home/me\nExecStart=/k3s server --rootless\n";
        assert_eq!(loaded(&[(UNIT, unit)], &[]).unwrap().k3s.data_dir, "/home/me/.rancher/k3s");
    }

    #[test]
    fn flags_that_cannot_be_seen_are_unknown_and_not_absent() {
        let unknown = |files: &[(&str, &str)]| loaded(files, &[]).unwrap().flags.unknown().map(str::to_owned);
        let shell = "[Service]\nExecStart=/bin/bash -c \"exec /usr/local/bin/k3s server --data-dir /data\"\n";
        for (what, files, known) in [
            ("no K3s", vec![], true),
            ("a usual service", vec![(UNIT, "[Service]\nExecStart=/k3s server\n")], true),
            ("a shell", vec![(UNIT, shell)], false),
            ("a service of another name with a shell", vec![("/etc/systemd/system/x.service", shell)], false),
            (
                "two services",
                vec![
                    ("/etc/systemd/system/a.service", "[Service]\nExecStart=/k3s server\n"),
                    ("/etc/systemd/system/b.service", "[Service]\nExecStart=/k3s server\n"),
                ],
                false,
            ),
            ("OpenRC", vec![("/etc/init.d/k3s", "command_args=server")], false),
            (
                "an environment file that cannot be read",
                vec![
                    (UNIT, "[Service]\nEnvironmentFile=/env\nExecStart=/k3s server\n"),
                    ("/env/is/a/directory", ""),
                ],
                false,
            ),
            (
                "an environment file that does not exist",
                vec![(UNIT, "[Service]\nEnvironmentFile=-/none\nExecStart=/k3s server\n")],
                true,
            ),
            ("no id of the node", vec![(K3S_FILE, "with-node-id: true\n")], false),
        ] {
            assert_eq!(unknown(&files).is_none(), known, "{what}: {:?}", unknown(&files));
        }
    }

    #[test]
    fn a_link_to_a_disk_that_is_not_mounted_makes_the_flags_unknown() {
        let unit = "[Service]\nEnvironmentFile=-/etc/default/k3s\nExecStart=/k3s server\n";
        let unknown = |link: &str, target: &str| {
            let root = tempfile::tempdir().unwrap();
            let root = root.path().canonicalize().unwrap();
            let put = |path: &str| {
                let path = in_root(&root, Path::new(path));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                path
            };
            fs::write(put("/usr/lib/systemd/system/k3s.service"), unit).unwrap();
            let link = put(link);
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(target, link).unwrap();
            let lookup: &UnitLookup = &|_, _| Ok(UnitAnswer::Absent);
            load(&root, &Selectors::default(), &Environment::new(), lookup).unwrap().flags.unknown().is_some()
        };
        for link in [K3S_FILE, "/etc/default/k3s", "/usr/lib/systemd/system/k3s.service"] {
            assert!(unknown(link, "/mnt/disk/file"), "{link}");
        }
        let drop_in = "/etc/systemd/system/k3s.service.d/10.conf";
        assert!(unknown(drop_in, "/mnt/disk/file"));
        assert!(!unknown(drop_in, "/dev/null"), "hidden on purpose");
        assert!(!unknown("/etc/systemd/system/other.service", "/mnt/disk/file"), "of another service");
    }

    #[test]
    fn what_systemd_does_not_find_may_be_in_the_unit_files_and_what_cannot_be_read_is_unknown() {
        let absent: &UnitLookup = &|_, _| Ok(UnitAnswer::Absent);
        let (unit, reason) = find_unit(Path::new("/"), &crate::distribution::K3S, None, absent).unwrap();
        let files = unit::find_in_files(Path::new("/"), &crate::distribution::K3S, None).unwrap();
        match files {
            UnitAnswer::Found(of_files) => assert_eq!(unit, Some(of_files)),
            UnitAnswer::Unknown(_) => assert!(unit.is_none() && reason.is_some()),
            UnitAnswer::Absent | UnitAnswer::NoSystemd => assert!(unit.is_none()),
        }
    }

    /// On this machine systemd is asked. The test answers in its place, and finds no unit files of K3s.
    #[test]
    fn no_answer_of_systemd_is_an_unknown_service() {
        let silent: &UnitLookup = &|_, _| Ok(UnitAnswer::Unknown("no answer".to_owned()));
        let (unit, reason) = find_unit(Path::new("/"), &crate::distribution::K3S, None, silent).unwrap();
        if unit.is_none() {
            assert_eq!(reason.as_deref(), Some("no answer"));
        }
    }

    #[test]
    fn keys_of_a_bucket_in_the_k3s_service_are_those_of_k3s() {
        let unit = "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=k3s\nExecStart=/k3s server --etcd-s3\n";
        let all = options(&[(UNIT, unit), (OUR_CONFIG, "s3-secret-key: x\n")], &[]).unwrap();
        let from_k3s = |id| all.effective(id).unwrap().1.is_from_k3s();
        assert!(
            from_k3s(OptionId::S3) && from_k3s(OptionId::S3AccessKey) && !from_k3s(OptionId::S3SecretKey)
        );
        let all = options(&[(UNIT, unit)], &[("AWS_ACCESS_KEY_ID", "ours")]).unwrap();
        assert_eq!(value(&all, OptionId::S3AccessKey), "ours");
    }

    #[test]
    fn rke2_has_its_own_files_unit_and_variables() {
        let unit = "/usr/lib/systemd/system/rke2-server.service";
        let start = |more: &str| format!("[Service]\n{more}ExecStart=/usr/bin/rke2 server --debug\n");
        let (plain, named) = (start(""), start("Environment=RKE2_CONFIG_FILE=/unit.yaml\n"));
        let with_name = start("Environment=RKE2_NODE_NAME=unit K3S_NODE_NAME=no\n");
        let file = |path: &'static str, name: &'static str| (path, format!("node-name: {name}\n"));
        let (main, by_env, by_unit) = (
            file("/etc/rancher/rke2/config.yaml", "file"),
            file("/env.yaml", "env"),
            file("/unit.yaml", "unit-file"),
        );
        let k3s = [("K3S_NODE_NAME", "no"), ("K3S_CONFIG_FILE", "/none.yaml")];
        let name = |files: &[(&str, &str)], env: &[(&str, &str)]| {
            let all = options(files, &[&k3s, env].concat()).unwrap();
            assert_eq!(value(&all, OptionId::Distribution), "rke2");
            value(&all, OptionId::NodeName)
        };
        assert_eq!(name(&[(unit, &plain)], &[]), "");
        assert_eq!(name(&[(unit, &plain)], &[("RKE2_NODE_NAME", "variable")]), "variable");
        assert_eq!(name(&[(unit, &with_name)], &[]), "unit");
        assert_eq!(name(&[(unit, &with_name), (main.0, &main.1)], &[("RKE2_NODE_NAME", "variable")]), "file");
        let files =
            [(unit, named.as_str()), (main.0, &main.1), (by_env.0, &by_env.1), (by_unit.0, &by_unit.1)];
        assert_eq!(name(&files, &[]), "unit-file");
        assert_eq!(name(&files, &[("RKE2_CONFIG_FILE", "/env.yaml")]), "env");
        assert_eq!(name(&files, &[("K3S_SNAPSHOT_NODE_NAME", "ours")]), "ours");
    }
}
