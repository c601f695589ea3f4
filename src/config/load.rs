// SPDX-License-Identifier: Apache-2.0
//! Gathers the fragments: K3s's configuration, ours, the environment. Flags come from `cli/` and are laid on top.
//!
//! Pure but for reading the files it is pointed at: root and environment are arguments.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layer::{Layer, OptionValue, Origin};
use super::options::{self, ENV_PREFIX, OPTIONS, OptionSpec};
use super::unit::{self, K3sFlags};
use super::{detect, retention, yaml};
use crate::distribution::Distribution;
use crate::error::{Code, Fault};
use crate::model::name::check_part;
use crate::model::unit::Definition;

/// Our own configuration file; drop-ins lie in `config.yaml.d` beside it.
pub const OUR_CONFIG: &str = "/etc/k3s-snapshot/config.yaml";

/// The environment, as a value.
pub type Environment = BTreeMap<String, String>;

/// How K3s's unit is asked for: the one that is wanted, or the one that there is.
pub type Ask<'a> = dyn Fn(&'static Distribution, Option<&str>) -> Result<Option<Definition>> + 'a;

/// What flags say that has to be known before anything is gathered.
#[derive(Default)]
pub struct Selectors<'a> {
    /// K3s's configuration file.
    pub config: Option<&'a str>,
    /// K3s's unit.
    pub unit: Option<&'a str>,
    /// The distribution, and where it was said.
    pub distribution: Option<(&'a str, &'a Origin)>,
}

/// What was gathered.
#[derive(Debug)]
pub struct Loaded {
    /// Everything below the flags.
    pub options: Layer,
    /// What K3s is started with.
    pub flags: K3sFlags,
    /// The distribution that all of it is of.
    pub distribution: &'static Distribution,
}

/// Everything below the flags, later over earlier, and what K3s is started with. On this machine, `ask` knows K3s's unit;
/// below another root its files are read.
pub fn gather(root: &Path, named: &Selectors, env: &Environment, ask: &Ask) -> Result<Loaded> {
    let mut all = Layer::default();
    for key in OPTIONS {
        if let Some(default) = key.default {
            all.set(key.name, vec![default.to_owned()], Origin::Default);
        }
    }
    let mut ours = Layer::default();
    for file in files(&in_root(root, Path::new(OUR_CONFIG)), false)? {
        read_ours(&mut ours, &file)?;
    }
    ours.overlay(from_credentials(env)?);
    ours.overlay(from_environment(env, |key| {
        // Keys in the environment are stronger than any file, as everywhere in the world of S3.
        let aws = key.k3s_env.iter().filter(|n| n.starts_with("AWS_")).map(|n| (*n).to_owned());
        aws.chain(key.ours.then(|| key.env())).collect()
    }));
    let (distribution, said) =
        detect::choose(root, named.distribution.or_else(|| ours.last(detect::OPTION)))?;
    ours.set(detect::OPTION, vec![distribution.word.to_owned()], said);
    let wanted = named.unit.or_else(|| ours.last("unit").map(|(name, _)| name));
    let definition = match root == Path::new("/") {
        true => ask(distribution, wanted)?,
        false => unit::unit_file::find(root, distribution, wanted)?,
    };
    let mut flags = K3sFlags::new(definition.as_ref(), root, distribution);
    let in_env =
        || env.get(&distribution.variable(unit::CONFIG_FILE)).map(String::as_str).filter(|c| !c.is_empty());
    let k3s =
        named.config.filter(|c| !c.is_empty()).or_else(in_env).or_else(|| flags.config()).map(str::to_owned);
    if let Some(url) = k3s.as_deref().filter(|c| c.starts_with("http://") || c.starts_with("https://")) {
        let scheme = url.split(':').next().unwrap_or_default();
        return Err(Fault::new(
            Code::ConfigUnreadable,
            format!("the {} configuration is an {scheme} URL, which is not read", distribution.name),
        )
        .hint("Save it to a file and name that with --config.")
        .into());
    }
    let main = in_root(root, Path::new(k3s.as_deref().unwrap_or(distribution.config)));
    read_k3s(&mut flags, &main, k3s.is_some())?;
    // K3s turns its file into flags, so its file is the stronger word than its own variables.
    all.overlay(flags.variables().own_options());
    all.overlay(from_environment(env, |key| key.k3s_env.iter().map(|n| distribution.variable(n)).collect()));
    all.overlay(flags.said());
    all.overlay(ours);
    for name in env.keys().filter(|n| n.starts_with(ENV_PREFIX)) {
        if !OPTIONS.iter().any(|k| k.ours && k.env() == *name) {
            log::warn!("environment variable {name} means nothing to k3s-snapshot");
        }
    }
    if let (None, Some(home)) =
        (all.get("aws-shared-credentials-file"), env.get("HOME").filter(|h| !h.is_empty()))
    {
        let path = format!("{home}/.aws/credentials");
        all.set("aws-shared-credentials-file", vec![path], Origin::Derived("HOME".to_owned()));
    }
    Ok(Loaded { options: all, flags, distribution })
}

/// A path of the machine as seen below a root.
pub fn in_root(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The file and its drop-ins (`<file>.d/*.yaml`, `*.yml`), in K3s's order. Drop-ins count even without the file.
fn files(main: &Path, must_exist: bool) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    match std::fs::metadata(main) {
        Ok(_) => all.push(main.to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !must_exist => {}
        Err(e) => return Err(unreadable(main, e)),
    }
    let mut folder = main.as_os_str().to_owned();
    folder.push(".d");
    let mut drop_ins = Vec::new();
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(|e| unreadable(Path::new(&folder), e))?.path();
                let ext = path.extension().unwrap_or_default().to_ascii_lowercase();
                if (ext == "yaml" || ext == "yml") && !path.is_dir() {
                    drop_ins.push(path);
                }
            }
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(e) => return Err(unreadable(Path::new(&folder), e)),
    }
    drop_ins.sort();
    all.extend(drop_ins);
    Ok(all)
}

pub(super) fn unreadable(path: &Path, e: io::Error) -> anyhow::Error {
    let (code, hint) = match e.kind() {
        io::ErrorKind::PermissionDenied => (Code::PermissionDenied, "Run it as root."),
        _ => (Code::ConfigUnreadable, "Check the path."),
    };
    anyhow::Error::from(e)
        .context(Fault::new(code, format!("reading configuration '{}'", path.display())).hint(hint))
}

fn lines(path: &Path) -> Result<Vec<yaml::YamlEntry>> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("not UTF-8 text"))
        .with_context(|| broken(path))?;
    yaml::parse(&text).map_err(anyhow::Error::msg).with_context(|| broken(path))
}

fn broken(path: &Path) -> Fault {
    Fault::new(Code::ConfigInvalid, format!("reading configuration '{}'", path.display()))
        .hint("The file must be a mapping like 'data-dir: /path'.")
}

/// K3s's rules: a later file replaces, `key+` appends, a one-letter key is the short flag.
fn read_k3s(flags: &mut K3sFlags, main: &Path, must_exist: bool) -> Result<()> {
    for file in files(main, must_exist)? {
        for line in lines(&file)? {
            let values = match options::by_k3s_spelling(line.key.strip_suffix('+').unwrap_or(&line.key)) {
                Some(key) => texts(&file, &line, key)?,
                // What means nothing to us may be whatever K3s makes of it.
                None => match line.values {
                    Some(values) => values,
                    None => continue,
                },
            };
            flags.file(&line.key, values, Origin::K3s(file.display().to_string(), line.line));
        }
    }
    Ok(())
}

/// Ours: like K3s's, but an unknown key is a mistake that somebody wants to know of.
fn read_ours(all: &mut Layer, file: &Path) -> Result<()> {
    for line in lines(file)? {
        let spelling = line.key.strip_suffix('+').unwrap_or(&line.key);
        if line.key == retention::OF_BASES {
            for base in line.children.iter().flatten() {
                all.set_base(base.key.clone(), of_base(file, base)?);
            }
            if line.children.is_none() {
                return Err(no_mapping(file, &line));
            }
            continue;
        }
        let Some(key) = options::by_our_spelling(spelling) else {
            let known = OPTIONS.iter().filter(|k| k.ours).map(|k| k.name).chain([retention::OF_BASES]);
            return Err(unknown(file, &line, &known.collect::<Vec<_>>()));
        };
        let values = texts(file, &line, key)?;
        let origin = Origin::File(file.display().to_string(), line.line);
        if line.key.ends_with('+') {
            all.append(key.name, values, origin);
        } else {
            all.set(key.name, values, origin);
        }
    }
    Ok(())
}

/// What our file says of the retention of one base.
fn of_base(file: &Path, base: &yaml::YamlEntry) -> Result<BTreeMap<&'static str, OptionValue>> {
    let place = || format!("'{}', line {}", file.display(), base.line);
    check_part(&base.key).map_err(|why| {
        Fault::new(
            Code::ConfigInvalid,
            format!("the base '{}' in {} {why}", base.key.escape_debug(), place()),
        )
    })?;
    let Some(options) = &base.children else { return Err(no_mapping(file, base)) };
    let mut all = BTreeMap::new();
    for line in options {
        let key = options::by_our_spelling(&line.key).filter(|k| retention::KEYS.contains(&k.name));
        let Some(key) = key else { return Err(unknown(file, line, &retention::KEYS)) };
        let (values, origin) = (texts(file, line, key)?, Origin::File(file.display().to_string(), line.line));
        all.insert(key.name, OptionValue { values, origin });
    }
    Ok(all)
}

fn no_mapping(file: &Path, line: &yaml::YamlEntry) -> anyhow::Error {
    let (key, line) = (line.key.escape_debug(), line.line);
    Fault::new(Code::ConfigInvalid, format!("'{key}' in '{}', line {line}, is not a mapping", file.display()))
        .hint(
            "Below 'retention:' stand bases of names, and below each its options; see k3s-snapshot.conf(5).",
        )
        .into()
}

fn unknown(file: &Path, line: &yaml::YamlEntry, known: &[&str]) -> anyhow::Error {
    let key = line.key.strip_suffix('+').unwrap_or(&line.key).escape_debug();
    let what = format!("unknown option '{key}' in '{}', line {}", file.display(), line.line);
    let hint = format!("Known are: {}. See k3s-snapshot.conf(5).", known.join(", "));
    Fault::new(Code::ConfigInvalid, what).hint(hint).into()
}

fn texts(file: &Path, line: &yaml::YamlEntry, key: &OptionSpec) -> Result<Vec<String>> {
    line.values.clone().ok_or_else(|| {
        Fault::new(
            Code::ConfigInvalid,
            format!("option '{}' in '{}', line {}, is not a text", key.name, file.display(), line.line),
        )
        .into()
    })
}

/// What systemd hands over as files, each named like its option: secrets, and the certificate for etcd.
fn from_credentials(env: &Environment) -> Result<Layer> {
    let mut all = Layer::default();
    let Some(folder) = env.get("CREDENTIALS_DIRECTORY").filter(|f| !f.is_empty()) else { return Ok(all) };
    for key in OPTIONS.iter().filter(|k| k.secret) {
        let path = Path::new(folder).join(key.name);
        match std::fs::read_to_string(&path) {
            Ok(text) => all.set(
                key.name,
                vec![text.trim_end_matches(['\n', '\r']).to_owned()],
                Origin::Credential(path.display().to_string()),
            ),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(unreadable(&path, e)),
        }
    }
    // What an option names by its path is the credential itself.
    for key in ["etcd-cacert", "etcd-cert", "etcd-key"] {
        let path = Path::new(folder).join(key);
        if path.exists() {
            let path = path.display().to_string();
            all.set(key, vec![path.clone()], Origin::Credential(path));
        }
    }
    Ok(all)
}

fn from_environment(env: &Environment, names: impl Fn(&OptionSpec) -> Vec<String>) -> Layer {
    let mut all = Layer::default();
    for key in OPTIONS {
        for name in names(key) {
            if let Some(value) = env.get(&name).filter(|v| !v.is_empty()) {
                all.set(key.name, vec![value.clone()], Origin::Env(name));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::error::{hint_of, kind_of};
    use std::fs;

    /// A root with these files, and what is gathered from it.
    fn gathered(files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Layer> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = in_root(root.path(), Path::new(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        gather(root.path(), &Selectors::default(), &env, &|_, _| Ok(None)).map(|all| all.options)
    }

    const K3S_FILE: &str = "/etc/rancher/k3s/config.yaml";
    const K3S_D: &str = "/etc/rancher/k3s/config.yaml.d";

    #[test]
    fn later_sources_win() {
        let all = [
            (K3S_FILE, "node-name: k3s-file\n"),
            (&format!("{K3S_D}/10.yaml"), "node-name: k3s-10\n"),
            (&format!("{K3S_D}/20.YML"), "node-name: k3s-20\n"),
            (OUR_CONFIG, "node-name: our-file\n"),
            ("/etc/k3s-snapshot/config.yaml.d/10.yaml", "node-name: our-10\n"),
        ];
        let env = [("K3S_NODE_NAME", "k3s-env"), ("K3S_SNAPSHOT_NODE_NAME", "our-env")];
        let last = |files: usize, env: &[(&str, &str)]| {
            let all = gathered(&all[..files], env).unwrap();
            all.last("node-name").map(|(v, _)| v.to_owned())
        };
        assert_eq!(last(0, &[]), None);
        assert_eq!(last(0, &env[..1]).as_deref(), Some("k3s-env"));
        for (files, want) in [(1, "k3s-file"), (2, "k3s-10"), (3, "k3s-20"), (4, "our-file"), (5, "our-10")] {
            assert_eq!(last(files, &env[..1]).as_deref(), Some(want));
        }
        assert_eq!(last(5, &env).as_deref(), Some("our-env"));
    }

    #[test]
    fn k3s_s_keys_are_merged_by_k3s_s_rules_and_others_passed_over() {
        let all = gathered(
            &[
                (K3S_FILE, "d: /short\netcd-snapshot-dir: /a\ntls-san: [x]\nkubelet-arg:\n  - a: b\n"),
                (&format!("{K3S_D}/a.yaml"), "etcd-snapshot-dir+: /b\n"),
                (&format!("{K3S_D}/ignored.txt"), "data-dir: /no\n"),
                (&format!("{K3S_D}/sub/b.yaml"), "data-dir: /no\n"),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(all.last("data-dir").unwrap().0, "/short");
        assert_eq!(all.get("dir").unwrap().values, ["/a", "/b"]);
        assert_eq!(all.last("dir").unwrap().0, "/b", "of several the last, as for K3s's flags");
    }

    #[test]
    fn a_later_file_says_all_of_a_base_anew_and_nothing_of_the_others() {
        let all = gathered(
            &[
                (OUR_CONFIG, "retention:\n  timer:\n    keep-daily: 7\n    keep-last: 2\n  nightly: {keep-weekly: 4}\n"),
                ("/etc/k3s-snapshot/config.yaml.d/a.yaml", "retention:\n  timer:\n    keep-daily: 9\n"),
            ],
            &[],
        )
        .unwrap();
        let of = |base: &str, key: &str| all.of_base(base).last(key).map(|(v, _)| v.to_owned());
        assert_eq!(of("timer", "keep-daily").as_deref(), Some("9"));
        assert_eq!(of("timer", "snapshot-retention").as_deref(), Some("5"), "the default");
        assert_eq!(of("nightly", "keep-weekly").as_deref(), Some("4"));
        assert_eq!(all.last("keep-daily"), None);
    }

    #[test]
    fn drop_ins_count_without_the_file_itself() {
        let all = gathered(&[(&format!("{K3S_D}/a.yaml"), "data-dir: /d\n")], &[]).unwrap();
        assert_eq!(all.last("data-dir").unwrap().0, "/d");
    }

    #[test]
    fn an_unknown_key_of_ours_and_a_broken_file_name_file_and_line() {
        let e = gathered(&[(OUR_CONFIG, "name: x\n\nstal-timeout: 5s\n")], &[]).unwrap_err();
        assert_eq!(kind_of(&e), Kind::Config);
        let said = e.to_string();
        assert!(said.contains("stal-timeout") && said.contains("config.yaml', line 3"), "{said}");
        assert!(hint_of(&e).unwrap().contains("stall-timeout"));
        for (file, text) in
            [(OUR_CONFIG, "name: {a: b}\n"), (K3S_FILE, "data-dir: {a: b}\n"), (K3S_FILE, "a: b: c\n")]
        {
            let e = gathered(&[(file, text)], &[]).unwrap_err();
            assert_eq!(kind_of(&e), Kind::Config);
            assert!(format!("{e:#}").contains("line 1"), "{e:#}");
        }
        // What is said of single bases.
        for (text, line, word) in [
            ("retention: 5\n", 1, "retention"),
            ("retention:\n  timer: 5\n", 2, "timer"),
            ("retention:\n  timer:\n", 2, "timer"),
            ("retention:\n  a/b: {keep-daily: 1}\n", 2, "a/b"),
            ("retention:\n  timer:\n    keep-dayly: 1\n", 3, "keep-dayly"),
            ("retention:\n  timer:\n    timezone: UTC\n", 3, "timezone"),
            ("retention:\n  timer:\n    keep-daily: {a: b}\n", 3, "keep-daily"),
        ] {
            let e = gathered(&[(OUR_CONFIG, text)], &[]).unwrap_err();
            assert_eq!(kind_of(&e), Kind::Config, "{text}");
            let said = format!("{e:#}");
            assert!(said.contains(&format!("line {line}")) && said.contains(word), "{said}");
        }
        assert!(gathered(&[(K3S_FILE, "retention:\n  timer: 5\n")], &[]).is_ok(), "K3s's file is K3s's");
        // What only K3s may say is not ours to set.
        assert!(gathered(&[(OUR_CONFIG, "token: geheim\n")], &[]).is_err());
    }

    const UNIT: &str = "/etc/systemd/system/k3s.service";
    const ENV_FILE: &str = "/etc/systemd/system/k3s.service.env";

    #[test]
    fn k3s_s_unit_counts_as_its_configuration_does() {
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
        let last = |files: usize, env: &[(&str, &str)]| {
            gathered(&all[..files], env).unwrap().last("node-name").map(|(v, _)| v.to_owned()).unwrap()
        };
        let env = [("K3S_NODE_NAME", "our-process")];
        assert_eq!(last(1, &[]), "environment");
        assert_eq!(last(3, &[]), "env-file");
        assert_eq!(last(3, &env), "our-process", "who calls us with a variable means it");
        assert_eq!(last(4, &env), "k3s-file");
        assert_eq!(last(5, &env), "argument");
        assert_eq!(last(6, &env), "our-file");
    }

    #[test]
    fn the_unit_may_be_named_and_names_k3s_s_configuration() {
        let other = "/usr/lib/systemd/system/blue.service";
        let files = [
            (UNIT, "[Service]\nExecStart=/k3s server -d /k3s\n"),
            (other, "[Service]\nExecStart=/k3s server -c /blue.yaml\n"),
            ("/blue.yaml", "data-dir: /blue\n"),
            (K3S_FILE, "data-dir: /file\n"),
        ];
        let dir = |files: &[(&str, &str)], env: &[(&str, &str)]| {
            gathered(files, env).map(|all| all.last("data-dir").unwrap().0.to_owned())
        };
        assert_eq!(dir(&files, &[]).unwrap(), "/k3s");
        assert_eq!(dir(&files, &[("K3S_SNAPSHOT_UNIT", "blue")]).unwrap(), "/blue");
        let ours = [&files[..], &[(OUR_CONFIG, "unit: blue.service\n")]].concat();
        assert_eq!(dir(&ours, &[]).unwrap(), "/blue");
        assert_eq!(dir(&ours, &[("K3S_SNAPSHOT_UNIT", "k3s")]).unwrap(), "/k3s");
        let e = dir(&files, &[("K3S_SNAPSHOT_UNIT", "red")]).unwrap_err();
        assert!(kind_of(&e) == Kind::Config && e.to_string().contains("'red.service'"), "{e}");
        // A file that the unit names must be there; the usual one need not.
        assert_eq!(kind_of(&dir(&files[1..2], &[]).unwrap_err()), Kind::Config);
    }

    #[test]
    fn keys_of_the_bucket_in_k3s_s_unit_are_k3s_s() {
        let unit = "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=k3s\nExecStart=/k3s server --etcd-s3 --etcd-snapshot-dir=rel\n";
        let all = gathered(&[(UNIT, unit), (OUR_CONFIG, "s3-secret-key: x\n")], &[]).unwrap();
        assert!(all.get("s3").unwrap().origin.is_k3s() && all.get("s3-access-key").unwrap().origin.is_k3s());
        let all = gathered(&[(UNIT, unit)], &[("AWS_ACCESS_KEY_ID", "ours")]).unwrap();
        assert_eq!(all.last("s3-access-key").unwrap().0, "ours");
    }

    #[test]
    fn rke2_has_its_own_files_unit_and_variables() {
        let unit = "/usr/lib/systemd/system/rke2-server.service";
        let start = |more: &str| format!("[Service]\n{more}ExecStart=/usr/bin/rke2 server --debug\n");
        let (plain, named) = (start(""), start("Environment=RKE2_CONFIG_FILE=/unit.yaml\n"));
        let told = start("Environment=RKE2_NODE_NAME=unit K3S_NODE_NAME=no\n");
        let file = |path: &'static str, name: &'static str| (path, format!("node-name: {name}\n"));
        let (main, by_env, by_unit) = (
            file("/etc/rancher/rke2/config.yaml", "file"),
            file("/env.yaml", "env"),
            file("/unit.yaml", "unit-file"),
        );
        let k3s = [("K3S_NODE_NAME", "no"), ("K3S_CONFIG_FILE", "/none.yaml")];
        let name = |files: &[(&str, &str)], env: &[(&str, &str)]| {
            let all = gathered(files, &[&k3s, env].concat()).unwrap();
            assert_eq!(all.last("distribution").unwrap().0, "rke2");
            all.last("node-name").map_or_else(String::new, |(name, _)| name.to_owned())
        };
        assert_eq!(name(&[(unit, &plain)], &[]), "");
        assert_eq!(name(&[(unit, &plain)], &[("RKE2_NODE_NAME", "variable")]), "variable");
        assert_eq!(name(&[(unit, &told)], &[]), "unit");
        assert_eq!(name(&[(unit, &told), (main.0, &main.1)], &[("RKE2_NODE_NAME", "variable")]), "file");
        let files =
            [(unit, named.as_str()), (main.0, &main.1), (by_env.0, &by_env.1), (by_unit.0, &by_unit.1)];
        assert_eq!(name(&files, &[]), "unit-file");
        assert_eq!(name(&files, &[("RKE2_CONFIG_FILE", "/env.yaml")]), "env");
        assert_eq!(name(&files, &[("K3S_SNAPSHOT_NODE_NAME", "ours")]), "ours");
    }
}
