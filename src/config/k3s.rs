// SPDX-License-Identifier: Apache-2.0
//! What K3s itself uses, by the rules of K3s: its data-dir, its names, and what it does not accept.

use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::layer::Layer;
use super::options::{OPTIONS, OptionId, ValueKind};
use super::paths::{openable, read_error};
use super::unit::K3sFlags;
use super::value::{is_go_duration, parse_bool, parse_port};
use crate::distribution::{self, Distribution};

/// The configuration of K3s after its own rules were applied.
#[derive(Debug)]
pub(super) struct K3sConfig {
    /// The options that variables of its service set; the lowest layer.
    pub(super) variable_options: Layer,
    /// The options that its files and its arguments set.
    pub(super) own_options: Layer,
    /// Its data-dir, as the machine has it: absolute, `~` and `$HOME` expanded.
    pub(super) data_dir: String,
    /// Its kubeconfig, if it is not set.
    pub(super) default_kubeconfig: String,
    /// The main file of its configuration as the machine has it. It need not exist.
    pub(super) config: PathBuf,
    /// What it appends to its node name, if `with-node-id` is set.
    pub(super) node_id: Option<String>,
    /// What it does not accept, or does otherwise than its configuration seems to ask for.
    pub(super) problems: Vec<String>,
}

/// What K3s itself uses. Compare it with the settings before files of K3s are changed.
#[derive(Debug)]
#[allow(dead_code, reason = "a restore compares them, and prints them in its runbook")]
pub(crate) struct K3sSettings {
    /// Its data-dir.
    pub(crate) data_dir: PathBuf,
    /// The main file of its configuration, which need not exist; drop-ins are in a directory of this name with `.d`.
    pub(crate) config: PathBuf,
    /// Its name as a node, and in the names of its snapshots.
    pub(crate) node_name: String,
    /// Its name as a server: the name of its etcd member is this, a dash and eight hexadecimal digits.
    pub(crate) server_name: String,
    /// The sub-command that its service runs, `server` or `agent`; `None` if that is not known.
    pub(crate) command: Option<&'static str>,
    /// Values that K3s does not accept, so that it would not start, and flags that have no effect: one sentence each.
    pub(crate) problems: Vec<String>,
}

/// Whether all flags of K3s are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum K3sFlagsState {
    /// They are.
    Known,
    /// Some may be missing; the text is the reason.
    Unknown(String),
}

impl K3sConfig {
    /// Applies the rules of K3s to its flags. `config` is the main file.
    ///
    /// # Errors
    /// If the file with the id of the node cannot be read.
    pub(super) fn new(
        flags: &mut K3sFlags,
        config: PathBuf,
        root: &Path,
        distribution: &Distribution,
    ) -> Result<K3sConfig> {
        let mut problems = flags.problems();
        let mut variable_options = flags.variable_options(distribution);
        let mut own_options = flags.own_options();
        for layer in [&mut variable_options, &mut own_options] {
            problems.extend(remove_unaccepted(layer, distribution));
        }
        let home = flags.variable("HOME");
        let rootless = flags.is_on("rootless");
        let (default_dir, default_kubeconfig) = match rootless {
            true => (distribution::ROOTLESS_DATA_DIR, distribution::ROOTLESS_KUBECONFIG),
            false => (distribution.data_dir, distribution.kubeconfig),
        };
        let resolve = |text: &str| absolute(flags.start_dir(), &expand_home(text, home));
        let data_dir = resolve(flags.last("data-dir").map_or(default_dir, |(value, _)| value));
        for layer in [&mut variable_options, &mut own_options] {
            if let Some((text, origin)) = layer.effective(OptionId::DataDir) {
                let (text, origin) = (resolve(text), origin.clone());
                layer.set(OptionId::DataDir, vec![text], origin);
            }
        }
        let node_id = match flags.is_on("with-node-id") {
            true => {
                let path = match rootless {
                    true => format!("{data_dir}/{}{}", distribution::AGENT, distribution::NODE_ID),
                    false => distribution::NODE_ID.to_owned(),
                };
                let id = read_node_id(root, Path::new(&path))?;
                if id.is_none() {
                    flags.set_unknown(format!("with-node-id is set, and '{path}' does not exist"));
                }
                id
            }
            false => None,
        };
        let default_kubeconfig = expand_home(default_kubeconfig, flags.variable("HOME"));
        Ok(K3sConfig {
            variable_options,
            own_options,
            data_dir,
            default_kubeconfig,
            config,
            node_id,
            problems,
        })
    }

    /// The name that K3s gives a server of this name: in lower case.
    pub(super) fn server_name(name: &str) -> String {
        name.to_lowercase()
    }

    /// The name that K3s gives a node of this name: in lower case, with its id if it has one.
    pub(super) fn node_name(&self, name: &str) -> String {
        let name = K3sConfig::server_name(name);
        match &self.node_id {
            Some(id) => format!("{name}-{id}"),
            None => name,
        }
    }
}

/// The id that K3s appends to the node name; `None` if K3s has not yet made it.
fn read_node_id(root: &Path, path: &Path) -> Result<Option<String>> {
    let path = openable(root, path)?;
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|id| !id.is_empty())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(read_error(&path, e)),
    }
}

/// Removes the values with which K3s does not start, and reports them. Its defaults apply then; only a wrong number of
/// snapshots to keep stays, so that nothing is deleted by a default.
fn remove_unaccepted(layer: &mut Layer, distribution: &Distribution) -> Vec<String> {
    let unaccepted = |id: OptionId, text: &str| match OPTIONS.iter().find(|o| o.id == id).map(|o| o.kind) {
        Some(ValueKind::Bool) => parse_bool(text).is_none(),
        Some(ValueKind::Number) if id == OptionId::HttpsListenPort => parse_port(text).is_none(),
        Some(ValueKind::Duration) => !is_go_duration(text),
        Some(ValueKind::Number) => text.is_empty(),
        _ => false,
    };
    let mut problems = Vec::new();
    let mut removed = Vec::new();
    for (id, value) in layer.iter() {
        let text = value.values.last().map_or("", String::as_str);
        if unaccepted(id, text) {
            problems.push(format!(
                "{} does not accept the value '{}' of the option '{}' ({}) and does not start with it",
                distribution.name,
                text.escape_debug(),
                id.name(),
                value.origin
            ));
            removed.push(id);
        }
    }
    removed.into_iter().for_each(|id| layer.remove(id));
    problems
}

/// `~`, `$HOME` and `${HOME}` as K3s replaces them, anywhere in the text.
fn expand_home(text: &str, home: Option<&str>) -> String {
    match home {
        Some(home) => {
            ["$HOME", "${HOME}", "~"].iter().fold(text.to_owned(), |text, word| text.replace(word, home))
        }
        None => text.to_owned(),
    }
}

/// A path as `filepath.Abs` of Go makes it: absolute, without `.`, `..` and a slash at its end.
fn absolute(base: &Path, text: &str) -> String {
    let mut all = PathBuf::from("/");
    for component in base.join(text).components() {
        match component {
            Component::Normal(name) => all.push(name),
            Component::ParentDir => drop(all.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    all.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_dir_is_made_absolute_as_k3s_does_it() {
        for (base, text, want) in [
            ("/", "/var/lib/x/", "/var/lib/x"),
            ("/", "rel/../x", "/x"),
            ("/srv", "rel", "/srv/rel"),
            ("/", "/../a/./b", "/a/b"),
        ] {
            assert_eq!(absolute(Path::new(base), text), want, "{text}");
        }
        assert_eq!(expand_home("~/k3s:$HOME:${HOME}", Some("/root")), "/root/k3s:/root:/root");
        assert_eq!(expand_home("~/k3s", None), "~/k3s");
    }
}
