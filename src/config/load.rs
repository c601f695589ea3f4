// SPDX-License-Identifier: Apache-2.0
//! Gathers the fragments: K3s's configuration, ours, the environment. Flags come from `cli.rs` and are laid on top.
//!
//! Pure but for reading the files it is pointed at: root and environment are arguments.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::fragment::{Fragment, Origin};
use super::key::{self, ENV_PREFIX, KEYS, Key};
use super::yaml;
use crate::error::{Fault, Kind};
use crate::host::flavour::Flavour;

/// Our own configuration file; drop-ins lie in `config.yaml.d` beside it.
pub const OUR_CONFIG: &str = "/etc/k3s-snapshot/config.yaml";

/// The environment, as a value.
pub type Environment = BTreeMap<String, String>;

/// Everything below the flags, later over earlier. `config` is K3s's configuration file where a flag names it.
pub fn gather(flavour: &Flavour, root: &Path, config: Option<&str>, env: &Environment) -> Result<Fragment> {
    let mut all = Fragment::default();
    for key in KEYS {
        if let Some(default) = key.default {
            all.set(key.name, vec![default.to_owned()], Origin::Default);
        }
    }
    let k3s = config.or_else(|| env.get("K3S_CONFIG_FILE").map(String::as_str)).filter(|c| !c.is_empty());
    if let Some(url) = k3s.filter(|c| c.starts_with("http://") || c.starts_with("https://")) {
        let scheme = url.split(':').next().unwrap_or_default();
        return Err(Fault::new(
            Kind::Config,
            format!("the K3s configuration is an {scheme} URL, which is not read"),
        )
        .hint("Save it to a file and name that with --config.")
        .into());
    }
    read_k3s(&mut all, &under(root, Path::new(k3s.unwrap_or(flavour.config))), k3s.is_some())?;
    let mut ours = Fragment::default();
    let path = under(root, Path::new(OUR_CONFIG));
    for file in files(&path, false)? {
        read_ours(&mut ours, &file)?;
    }
    all.overlay(ours);
    all.overlay(from_credentials(env)?);
    all.overlay(from_environment(env));
    if let (None, Some(home)) = (all.get("aws-shared-credentials-file"), env.get("HOME").filter(|h| !h.is_empty())) {
        let path = format!("{home}/.aws/credentials");
        all.set("aws-shared-credentials-file", vec![path], Origin::Derived("HOME".to_owned()));
    }
    Ok(all)
}

/// A path of the machine as seen below a root.
pub fn under(root: &Path, path: &Path) -> PathBuf {
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

fn unreadable(path: &Path, e: io::Error) -> anyhow::Error {
    let hint = match e.kind() {
        io::ErrorKind::PermissionDenied => "Run it as root.",
        _ => "Check the path.",
    };
    anyhow::Error::from(e)
        .context(Fault::new(Kind::Config, format!("reading configuration '{}'", path.display())).hint(hint))
}

fn lines(path: &Path) -> Result<Vec<yaml::Line>> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("not UTF-8 text"))
        .with_context(|| broken(path))?;
    yaml::parse(&text).map_err(anyhow::Error::msg).with_context(|| broken(path))
}

fn broken(path: &Path) -> Fault {
    Fault::new(Kind::Config, format!("reading configuration '{}'", path.display()))
        .hint("The file must be a mapping like 'data-dir: /path'.")
}

/// K3s's rules: a later file replaces, `key+` appends, a one-letter key is the short flag. Keys that mean nothing
/// to us are passed over in silence.
fn read_k3s(all: &mut Fragment, main: &Path, must_exist: bool) -> Result<()> {
    for file in files(main, must_exist)? {
        for line in lines(&file)? {
            let (spelling, append) = match line.key.strip_suffix('+') {
                Some(bare) => (bare, true),
                None => (line.key.as_str(), false),
            };
            let Some(key) = key::by_k3s_spelling(spelling) else { continue };
            let values = texts(&file, &line, key)?;
            let origin = Origin::File(file.display().to_string(), line.line);
            if append {
                all.append(key.name, values, origin);
            } else {
                all.set(key.name, values, origin);
            }
        }
    }
    Ok(())
}

/// Ours: like K3s's, but an unknown key is a mistake that somebody wants to know of.
fn read_ours(all: &mut Fragment, file: &Path) -> Result<()> {
    for line in lines(file)? {
        let spelling = line.key.strip_suffix('+').unwrap_or(&line.key);
        let Some(key) = key::by_our_spelling(spelling) else {
            let known: Vec<&str> = KEYS.iter().filter(|k| k.ours).map(|k| k.name).collect();
            return Err(Fault::new(
                Kind::Config,
                format!(
                    "unknown option '{}' in '{}', line {}",
                    spelling.escape_debug(),
                    file.display(),
                    line.line
                ),
            )
            .hint(format!("Known are: {}. See k3s-snapshot.conf(5).", known.join(", ")))
            .into());
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

fn texts(file: &Path, line: &yaml::Line, key: &Key) -> Result<Vec<String>> {
    line.values.clone().ok_or_else(|| {
        Fault::new(
            Kind::Config,
            format!("option '{}' in '{}', line {}, is not a text", key.name, file.display(), line.line),
        )
        .into()
    })
}

/// Secrets that systemd hands over as files, each named like its option.
fn from_credentials(env: &Environment) -> Result<Fragment> {
    let mut all = Fragment::default();
    let Some(folder) = env.get("CREDENTIALS_DIRECTORY").filter(|f| !f.is_empty()) else { return Ok(all) };
    for key in KEYS.iter().filter(|k| k.secret) {
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
    Ok(all)
}

fn from_environment(env: &Environment) -> Fragment {
    let mut all = Fragment::default();
    for key in KEYS {
        // K3s's own variables are the weaker word.
        let names = key.k3s_env.iter().map(|n| (*n).to_owned()).chain(key.ours.then(|| key.env()));
        for name in names {
            if let Some(value) = env.get(&name).filter(|v| !v.is_empty()) {
                all.set(key.name, vec![value.clone()], Origin::Env(name));
            }
        }
    }
    for name in env.keys().filter(|n| n.starts_with(ENV_PREFIX)) {
        if !KEYS.iter().any(|k| k.ours && k.env() == *name) {
            log::warn!("environment variable {name} means nothing to k3s-snapshot");
        }
    }
    all
}
