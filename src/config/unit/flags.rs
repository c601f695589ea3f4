// SPDX-License-Identifier: Apache-2.0
//! The flags of K3s in effect. Lowest precedence first: variables of the service (`Environment=`, then environment files),
//! config.yaml and its drop-ins, the arguments of ExecStart.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::environment::{self, CONFIG_FILE, Environment};
use super::{argv, k3s_flags};
use crate::config::layer::{Layer, OptionValue, Origin};
use crate::config::options::{self, OPTIONS, OptionSpec};
use crate::config::value::parse_bool;
use crate::config::yaml::{YamlEntry, YamlValue};
use crate::distribution::Distribution;
use crate::model::unit::Definition;

/// The effective flags of K3s, by their long names.
#[derive(Clone, Default)]
pub struct K3sFlags {
    unit: Option<String>,
    executable: Option<String>,
    command: Option<&'static str>,
    /// The configuration file that the service names.
    config_file: Option<String>,
    /// Where the service starts; `None` for `/`.
    start_dir: Option<PathBuf>,
    pub(super) environment: Environment,
    pub(super) variables: FlagLayer,
    file_keys: Vec<FileKey>,
    pub(super) files: FlagLayer,
    pub(super) arguments: FlagLayer,
    argument_spellings: BTreeSet<String>,
    unknown: Option<String>,
    problems: Vec<String>,
}

/// A key of the configuration files of K3s, with what all files together make of it.
#[derive(Clone)]
struct FileKey {
    key: String,
    value: YamlValue,
    origin: Origin,
}

/// The flags that one kind of source sets, in order.
#[derive(Clone, Default)]
pub(super) struct FlagLayer(Vec<(String, OptionValue)>);

impl FlagLayer {
    pub(super) fn get(&self, flag: &str) -> Option<&OptionValue> {
        self.iter().find(|(name, _)| *name == flag).map(|(_, entry)| entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        self.0.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Adds values to a flag.
    fn add(&mut self, flag: &str, values: Vec<String>, origin: Origin) {
        match self.0.iter_mut().find(|(name, _)| name == flag) {
            Some((_, entry)) => {
                entry.values.extend(values);
                entry.origin = origin;
            }
            None => self.0.push((flag.to_owned(), OptionValue { values, origin })),
        }
    }

    /// The flags that are options of ours too. If several spellings of an option are set, the one of `k3s server` counts.
    fn own_options(&self) -> Layer {
        let mut layer = Layer::default();
        let spelling = |option: &OptionSpec, flag: &str| option.k3s.iter().position(|name| *name == flag);
        for (flag, entry) in self.iter() {
            let Some(option) = options::find_k3s(flag) else { continue };
            let better = option.k3s.iter().take(spelling(option, flag).unwrap_or_default());
            if !better.into_iter().any(|name| self.get(name).is_some()) {
                layer.set(option.id, entry.values.clone(), entry.origin.clone());
            }
        }
        layer
    }
}

impl K3sFlags {
    /// What the service sets by itself; its configuration files are added with [`K3sFlags::add_file`].
    pub(in crate::config) fn new(
        definition: Option<&Definition>,
        root: &Path,
        distribution: &Distribution,
    ) -> K3sFlags {
        let Some(definition) = definition else { return K3sFlags::default() };
        let environment = environment::read(definition, root);
        let value = |name: &str| environment.get(name);
        let argv = match definition.verbatim {
            true => definition.exec_start.clone(),
            false => argv::expand_variables(&definition.exec_start, &value),
        };
        let line = argv::read(&argv, distribution.program);
        let unit = definition.name.clone();
        let named_by_variable = value(&distribution.variable(CONFIG_FILE)).filter(|path| !path.is_empty());
        let mut flags = K3sFlags {
            config_file: named_by_variable.map(str::to_owned).or(line.config).filter(|path| !path.is_empty()),
            executable: line.executable,
            command: line.command,
            start_dir: definition.working_directory.clone(),
            ..K3sFlags::default()
        };
        flags.unknown = match (line.command, &flags.executable) {
            (None, Some(program)) => Some(format!(
                "{unit} runs '{program}', which starts {}: its arguments cannot be seen",
                distribution.name
            )),
            (None, None) => Some(format!("{unit} has no ExecStart= that can be read")),
            _ => environment.unknown.clone().or_else(|| definition.unknown.clone()),
        };
        for (name, flag) in environment::FLAGS {
            let name = distribution.variable(name);
            if let Some(v) = environment.variables.iter().find(|v| v.name == name && !v.value.is_empty()) {
                flags.variables.add(flag, vec![v.value.clone()], v.origin.clone());
            }
        }
        for (spelling, value) in line.flags {
            flags.arguments.add(
                k3s_flags::long_name(&spelling),
                vec![value],
                Origin::ExecStart(unit.clone()),
            );
            flags.argument_spellings.insert(spelling);
        }
        flags.problems.extend(line.problem.map(|problem| format!("the command line of {unit} {problem}")));
        flags.unit = Some(unit);
        flags.environment = environment;
        flags
    }

    /// The configuration file that the service names: by its variable, else by its argument.
    pub(in crate::config) fn config(&self) -> Option<&str> {
        self.config_file.as_deref()
    }

    /// The directory in which the service starts, as the machine has it.
    pub(in crate::config) fn start_dir(&self) -> &Path {
        self.start_dir.as_deref().unwrap_or(Path::new("/"))
    }

    /// A variable of the service that is not empty.
    pub(in crate::config) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).filter(|value| !value.is_empty())
    }

    /// The environment files of the service, as the machine has them.
    pub(in crate::config) fn environment_files(&self) -> &[PathBuf] {
        &self.environment.files
    }

    /// Adds one more configuration file: a later file replaces the value of a key, a key that ends in `+` adds to it.
    pub(in crate::config) fn add_file(&mut self, path: &Path, entries: Vec<YamlEntry>) {
        for entry in entries {
            let (key, appends) = match entry.key.strip_suffix('+') {
                Some(key) => (key.to_owned(), true),
                None => (entry.key, false),
            };
            let origin = Origin::K3s(path.display().to_string(), entry.line);
            match self.file_keys.iter_mut().find(|known| known.key == key) {
                Some(known) => {
                    let before = std::mem::replace(&mut known.value, YamlValue::Null);
                    known.value = if appends { before.append(entry.value) } else { entry.value };
                    known.origin = origin;
                }
                None => self.file_keys.push(FileKey { key, value: entry.value, origin }),
            }
        }
        self.files = FlagLayer::default();
        for FileKey { key, value, origin } in &self.file_keys {
            let values = value.flag_values();
            if !values.is_empty() {
                self.files.add(k3s_flags::long_name(key), values, origin.clone());
            }
        }
    }

    /// The arguments that K3s makes of its configuration files, as it puts them in front of its other arguments.
    #[cfg(test)]
    pub(in crate::config) fn file_arguments(&self) -> Vec<String> {
        let flags = self
            .file_keys
            .iter()
            .flat_map(|k| k.value.flag_values().into_iter().map(|v| (k.key.as_str(), v)));
        flags
            .map(|(key, value)| format!("{}{key}={value}", if key.chars().count() == 1 { "-" } else { "--" }))
            .collect()
    }

    /// The options that the variables of the service set. Every other source of K3s overrides them.
    pub(in crate::config) fn variable_options(&self, distribution: &Distribution) -> Layer {
        let mut layer = self.variables.own_options();
        // Variables that set no flag: K3s, or a library of it, reads them itself.
        for option in OPTIONS.iter().filter(|o| o.k3s.is_empty()) {
            for name in option.k3s_env.iter().rev().map(|name| distribution.variable(name)) {
                let found = self.environment.variables.iter().find(|v| v.name == name && !v.value.is_empty());
                if let Some(v) = found {
                    layer.set(option.id, vec![v.value.clone()], v.origin.clone());
                }
            }
        }
        layer
    }

    /// The options that the configuration files, and over them the arguments of the service set.
    pub(in crate::config) fn own_options(&self) -> Layer {
        let mut layer = self.files.own_options();
        layer.override_with(self.arguments.own_options());
        layer
    }

    /// Why flags of K3s may be missing here; `None` if all are known.
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Notes why flags of K3s may be missing.
    pub(in crate::config) fn set_unknown(&mut self, reason: String) {
        self.unknown = Some(reason);
    }

    /// What K3s does not accept, or does not do as its configuration seems to request.
    pub(in crate::config) fn problems(&self) -> Vec<String> {
        let in_files =
            self.file_keys.iter().filter(|k| !k.value.flag_values().is_empty()).map(|k| k.key.as_str());
        let spellings: BTreeSet<&str> =
            in_files.chain(self.argument_spellings.iter().map(String::as_str)).collect();
        let twice = k3s_flags::SHORT
            .iter()
            .filter(|(short, long)| spellings.contains(short) && spellings.contains(long))
            .map(|(short, long)| {
                format!("the flags '{short}' and '{long}' are both set, which K3s does not accept")
            });
        self.problems.iter().cloned().chain(twice).collect()
    }

    /// The unit of the K3s service; `None` if there is none and only files were read.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// The program of K3s, as the unit names it.
    pub fn executable(&self) -> Option<&Path> {
        self.executable.as_deref().map(Path::new)
    }

    /// The sub-command that the unit runs: `server` or `agent`; `None` if the unit does not run K3s directly.
    pub fn command(&self) -> Option<&'static str> {
        self.command
    }

    /// All values of a flag in the order in which K3s gets them: a flag that is a list has all of them. `flag` is the long
    /// name: `data-dir`, not `d`.
    pub fn all(&self, flag: &str) -> Vec<&str> {
        let given: Vec<&OptionValue> =
            [&self.files, &self.arguments].into_iter().filter_map(|l| l.get(flag)).collect();
        let sources = if given.is_empty() { self.variables.get(flag).into_iter().collect() } else { given };
        sources.into_iter().flat_map(|entry| entry.values.iter().map(String::as_str)).collect()
    }

    /// Whether a switch is on, by the words for true that K3s accepts.
    pub(crate) fn is_on(&self, flag: &str) -> bool {
        self.last(flag).is_some_and(|(value, _)| parse_bool(value) == Some(true))
    }

    /// The value of a flag that takes one: the last one counts. `None` if the flag is not set, or set to an empty text.
    pub fn last(&self, flag: &str) -> Option<(&str, &Origin)> {
        let entry =
            [&self.arguments, &self.files, &self.variables].into_iter().find_map(|layer| layer.get(flag))?;
        Some((entry.values.last()?.as_str(), &entry.origin)).filter(|(value, _)| !value.is_empty())
    }
}

/// Prints names and places, never a value.
impl fmt::Debug for K3sFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = [&self.variables, &self.files, &self.arguments];
        let entries = layers.iter().flat_map(|l| l.iter()).map(|(name, entry)| (name, &entry.origin));
        write!(f, "{:?} of {:?}: ", self.command, self.unit)?;
        f.debug_map().entries(entries).finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::distribution::K3S;

    /// A service with these arguments, `Environment=` and environment files (their texts).
    pub(in crate::config::unit) fn flags(
        arguments: &[&str],
        environment: &[(&str, &str)],
        files: &[&str],
    ) -> K3sFlags {
        let root = tempfile::tempdir().unwrap();
        let mut definition = Definition {
            name: "k3s.service".to_owned(),
            exec_start: ["/usr/local/bin/k3s", "server"]
                .iter()
                .chain(arguments)
                .map(|w| (*w).to_owned())
                .collect(),
            environment: environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            ..Definition::default()
        };
        for (i, text) in files.iter().enumerate() {
            std::fs::write(root.path().join(format!("{i}.env")), text).unwrap();
            definition.environment_files.push((PathBuf::from(format!("/{i}.env")), false));
        }
        definition.environment_files.push((PathBuf::from("/none.env"), false));
        K3sFlags::new(Some(&definition), root.path(), &K3S)
    }

    pub(in crate::config::unit) fn add_file(flags: &mut K3sFlags, text: &str) {
        flags.add_file(Path::new("/c.yaml"), yaml::parse(text).unwrap());
    }

    #[test]
    fn later_sources_override_earlier_ones() {
        type Row<'a> =
            (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str], &'a str);
        let env: &[(&str, &str)] = &[("K3S_DATA_DIR", "/env")];
        #[rustfmt::skip]
        let rows: [Row; 7] = [
            ("Environment", &[], env, &[], &[], "/env Environment of k3s.service (K3S_DATA_DIR)"),
            ("a file over Environment", &[], env, &["K3S_DATA_DIR=/file"], &[], "/file /0.env:1 (K3S_DATA_DIR)"),
            ("a later file over an earlier one", &[], env, &["K3S_DATA_DIR=/file", "\nK3S_DATA_DIR=/2"], &[], "/2 /1.env:2 (K3S_DATA_DIR)"),
            ("config.yaml over variables", &[], env, &[], &["d: /yaml"], "/yaml /c.yaml:1"),
            ("a drop-in over config.yaml", &[], env, &[], &["data-dir: /a", "data-dir: /b"], "/b /c.yaml:1"),
            ("ExecStart over config.yaml", &["-d", "/arg"], env, &[], &["data-dir: /yaml"], "/arg ExecStart of k3s.service"),
            ("the last argument", &["-d=/1", "--data-dir=/2"], &[], &[], &[], "/2 ExecStart of k3s.service"),
        ];
        for (name, arguments, environment, files, yaml, want) in rows {
            let mut flags = flags(arguments, environment, files);
            yaml.iter().for_each(|text| add_file(&mut flags, text));
            let (value, origin) = flags.last("data-dir").unwrap();
            let (place, want) = (origin.to_string(), want.split_once(' ').unwrap());
            assert!(value == want.0 && place.ends_with(want.1), "{name}: {value} {place}");
        }
    }

    #[test]
    fn a_list_has_the_values_of_the_files_and_then_those_of_the_arguments() {
        let mut flags = flags(&["--tls-san=a", "--tls-san", "b"], &[], &[]);
        add_file(&mut flags, "tls-san: [x]\nnode-label: l=1\n");
        add_file(&mut flags, "node-label+: [l=2]\n");
        assert_eq!(flags.all("tls-san"), ["x", "a", "b"]);
        assert_eq!(flags.all("node-label"), ["l=1", "l=2"]);
        assert_eq!(flags.all("etcd-arg"), Vec::<&str>::new());
    }

    #[test]
    fn variables_are_expanded_in_arguments_and_name_the_configuration() {
        let f = flags(&["--data-dir=${DIR}", "$MORE"], &[("DIR", "/no"), ("MORE", "-t x")], &["DIR=/a b"]);
        assert_eq!(f.last("data-dir").unwrap().0, "/a b");
        assert_eq!(f.last("token").unwrap().0, "x");
        assert_eq!((f.command(), f.executable()), (Some("server"), Some(Path::new("/usr/local/bin/k3s"))));
        assert_eq!(f.config(), None);
        assert_eq!(flags(&["-c", "/arg.yaml"], &[], &[]).config(), Some("/arg.yaml"));
        let both = flags(&["--config=/arg.yaml"], &[("K3S_CONFIG_FILE", "/env.yaml")], &[]);
        assert_eq!(both.config(), Some("/env.yaml"), "as in K3s, the variable wins");
    }

    #[test]
    fn an_empty_value_is_none_and_hides_a_variable() {
        let mut f = flags(&["--token="], &[("K3S_TOKEN", "x"), ("K3S_URL", "https://a")], &[]);
        assert_eq!((f.last("token"), f.last("server").unwrap().0), (None, "https://a"));
        add_file(&mut f, "server:\n");
        assert_eq!(f.last("server"), None);
    }
}
