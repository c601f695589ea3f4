// SPDX-License-Identifier: Apache-2.0
//! What K3s is started with: the flags of its unit, its variables and its configuration, merged as K3s merges them.
//!
//! Weakest first: variables that K3s takes for flags (`Environment=`, then environment files), config.yaml and its
//! drop-ins, the arguments of ExecStart. Nothing here prints a value.

mod argv;
mod env_file;
mod environment;
mod quoting;
pub(super) mod unit_file;

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use super::layer::{Layer, OptionValue, Origin};
use super::options;
use crate::distribution::Distribution;
use crate::model::secret::Secret;
use crate::model::unit::Definition;
pub(super) use environment::CONFIG_FILE;
use environment::Variable;

/// What systemd gives a service that has no PATH of its own.
const SEARCH_PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// K3s's effective flags, by the long names that K3s gives them.
#[derive(Clone, Default)]
pub struct K3sFlags {
    unit: Option<String>,
    executable: Option<String>,
    command: Option<&'static str>,
    /// The configuration file that its variable names.
    config_file: Option<String>,
    environment: Vec<Variable>,
    variables: FlagLayer,
    files: FlagLayer,
    arguments: FlagLayer,
}

/// What a reset of K3s's cluster is to be run with, instead of K3s's own configuration. All of it may be secret.
#[derive(Debug, Clone)]
pub struct ResetInvocation {
    /// The text of a configuration file: JSON, which is YAML.
    pub config: Secret,
    /// The whole environment of the process; nothing of ours belongs in it.
    pub environment: Vec<(String, Secret)>,
}

/// What one kind of source says, in order; of two spellings of one option the later wins.
#[derive(Clone, Default)]
pub(super) struct FlagLayer(Vec<(String, OptionValue)>);

impl FlagLayer {
    fn get(&self, flag: &str) -> Option<&OptionValue> {
        self.0.iter().find(|(name, _)| name == flag).map(|(_, entry)| entry)
    }

    /// Sets a flag, replacing what was there.
    fn set(&mut self, flag: &str, values: Vec<String>, origin: Origin) {
        self.0.retain(|(name, _)| name != flag);
        self.0.push((flag.to_owned(), OptionValue { values, origin }));
    }

    /// Adds to a flag.
    fn append(&mut self, flag: &str, values: Vec<String>, origin: Origin) {
        let before = self.get(flag).map(|e| e.values.clone()).unwrap_or_default();
        self.set(flag, before.into_iter().chain(values).collect(), origin);
    }

    /// What of it is an option of ours too.
    pub(super) fn own_options(&self) -> Layer {
        let mut all = Layer::default();
        for (flag, entry) in &self.0 {
            if let Some(key) = options::by_k3s_spelling(flag) {
                all.set(key.name, entry.values.clone(), entry.origin.clone());
            }
        }
        all
    }
}

/// K3s's unit as its files say it, for who runs before systemd can be asked.
pub fn from_files(
    root: &Path,
    distribution: &Distribution,
    wanted: Option<&str>,
) -> Result<Option<Definition>> {
    unit_file::find(root, distribution, wanted)
}

impl K3sFlags {
    /// What the unit says by itself; its configuration files follow with [`Flags::file`].
    pub(super) fn new(definition: Option<&Definition>, root: &Path, distribution: &Distribution) -> K3sFlags {
        let Some(definition) = definition else { return K3sFlags::default() };
        let environment = environment::of(definition, root);
        let value = |name: &str| environment.iter().find(|v| v.name == name).map(|v| v.value.as_str());
        let argv = match definition.verbatim {
            true => definition.exec_start.clone(),
            false => argv::substitute(&definition.exec_start, &value),
        };
        let line = argv::read(&argv, distribution.program);
        let mut flags = K3sFlags {
            unit: Some(definition.name.clone()),
            executable: line.executable,
            command: line.command,
            config_file: value(&distribution.variable(CONFIG_FILE)).map(str::to_owned),
            ..K3sFlags::default()
        };
        for (name, flag) in environment::FLAGS {
            let name = distribution.variable(name);
            if let Some(v) = environment.iter().find(|v| v.name == name && !v.value.is_empty()) {
                flags.variables.set(flag, vec![v.value.clone()], v.origin.clone());
            }
        }
        for (flag, value) in line.flags {
            flags.arguments.append(&flag, vec![value], Origin::ExecStart(definition.name.clone()));
        }
        flags.environment = environment;
        flags
    }

    /// The configuration file that the unit names. The variable wins, as in K3s.
    pub(super) fn config(&self) -> Option<&str> {
        let argument = || self.arguments.get("config").and_then(|e| e.values.last()).map(String::as_str);
        self.config_file.as_deref().filter(|v| !v.is_empty()).or_else(argument).filter(|v| !v.is_empty())
    }

    /// One line of a configuration file. `key` is as written, with its `+` where it has one.
    pub(super) fn file(&mut self, key: &str, values: Vec<String>, origin: Origin) {
        match key.strip_suffix('+') {
            Some(bare) => self.files.append(argv::long(bare), values, origin),
            None => self.files.set(argv::long(key), values, origin),
        }
    }

    /// What the variables say, which is weaker than any file.
    pub(super) fn variables(&self) -> &FlagLayer {
        &self.variables
    }

    /// What the files and then the arguments say.
    pub(super) fn said(&self) -> Layer {
        let mut all = self.files.own_options();
        all.overlay(self.arguments.own_options());
        all
    }

    /// The unit they are from; `None` where no unit was found and only files were read.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// K3s's program, as the unit names it.
    pub fn executable(&self) -> Option<&Path> {
        self.executable.as_deref().map(Path::new)
    }

    /// The sub-command that the unit runs: `server` or `agent`; `None` where it does not run K3s.
    pub fn command(&self) -> Option<&'static str> {
        self.command
    }

    /// All values of a flag. `flag` is the long name: `data-dir`, not `d`.
    pub fn get(&self, flag: &str) -> Option<&OptionValue> {
        [&self.arguments, &self.files, &self.variables].into_iter().find_map(|layer| layer.get(flag))
    }

    /// The one value of a flag; of several the last, as K3s takes it.
    pub fn last(&self, flag: &str) -> Option<(&str, &Origin)> {
        let entry = self.get(flag)?;
        Some((entry.values.last()?.as_str(), &entry.origin))
    }

    /// What a reset is to be run with: the flags of the files and of ExecStart without those that would lead it elsewhere
    /// (`server`, `cluster-reset*`, `etcd-s3*`, `config`, and `log`, which would hide what it says), `overrides` laid
    /// over them; and the unit's variables without those. What K3s takes from variables it takes from there.
    pub fn reset_invocation(&self, overrides: &[(&str, Secret)]) -> ResetInvocation {
        let token = overrides.iter().any(|(flag, _)| *flag == "token");
        let astray = |flag: &str| {
            ["server", "config", "log", "alsologtostderr", "s3"].contains(&flag)
                || ["cluster-reset", "etcd-s3", "s3-"].iter().any(|b| flag.starts_with(b))
                || token && flag == "token-file"
        };
        let mut config = Map::new();
        for (flag, entry) in self.files.0.iter().chain(&self.arguments.0).filter(|(flag, _)| !astray(flag)) {
            let value = match entry.values.as_slice() {
                [] => Value::from(""),
                [one] => Value::from(one.as_str()),
                several => Value::from(several),
            };
            config.insert(flag.clone(), value);
        }
        // A bucket would be asked for the snapshot even where the path is a local one.
        config.insert("etcd-s3".to_owned(), Value::from("false"));
        for (flag, value) in overrides {
            config.insert((*flag).to_owned(), Value::from(value.expose()));
        }
        let mut environment: Vec<(String, Secret)> = self
            .environment
            .iter()
            .filter(|v| !(environment::leads_astray(&v.name) || token && v.name == "K3S_TOKEN_FILE"))
            .map(|v| (v.name.clone(), Secret::new(v.value.as_str())))
            .collect();
        let (path, folders) = SEARCH_PATH;
        if !environment.iter().any(|(name, _)| name == path) {
            environment.push((path.to_owned(), Secret::new(folders)));
        }
        ResetInvocation { config: Secret::new(Value::Object(config).to_string()), environment }
    }

    /// Every place that makes K3s reset its cluster at each start, as an operator would look for it: flag and place.
    /// Must be empty before K3s is started again: with a restore path it would restore for ever.
    pub fn resets(&self) -> Vec<String> {
        let off =
            |value: &str| ["", "0", "f", "false", "no", "off"].contains(&value.to_ascii_lowercase().as_str());
        let place = |flag: &str, counts: &dyn Fn(&str) -> bool| {
            let (_, origin) = self.last(flag).filter(|(value, _)| counts(value))?;
            Some(format!("{flag} in {origin}"))
        };
        let path = place("cluster-reset-restore-path", &|value| !value.is_empty());
        place("cluster-reset", &|value| !off(value)).into_iter().chain(path).collect()
    }
}

/// Names and places, never a value.
impl fmt::Debug for K3sFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = [&self.variables, &self.files, &self.arguments];
        let entries = layers.iter().flat_map(|l| &l.0).map(|(name, entry)| (name, &entry.origin));
        write!(f, "{:?} of {:?}: ", self.command, self.unit)?;
        f.debug_map().entries(entries).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::K3S;
    use std::path::PathBuf;

    /// A unit with these arguments, `Environment=` and files of variables (their texts).
    fn flags(arguments: &[&str], environment: &[(&str, &str)], files: &[&str]) -> K3sFlags {
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

    fn config(flags: &mut K3sFlags, lines: &[(&str, &[&str])]) {
        for (key, values) in lines {
            let values = values.iter().map(|v| (*v).to_owned()).collect();
            flags.file(key, values, Origin::K3s("/c.yaml".to_owned(), 1));
        }
    }

    #[test]
    fn later_sources_win() {
        type Row<'a> = (
            &'a str,
            &'a [&'a str],
            &'a [(&'a str, &'a str)],
            &'a [&'a str],
            &'a [(&'a str, &'a [&'a str])],
            &'a str,
        );
        let env: &[(&str, &str)] = &[("K3S_DATA_DIR", "/env")];
        #[rustfmt::skip]
        let rows: [Row; 7] = [
            ("Environment", &[], env, &[], &[], "/env Environment of k3s.service (K3S_DATA_DIR)"),
            ("a file over Environment", &[], env, &["K3S_DATA_DIR=/file"], &[], "/file /0.env:1 (K3S_DATA_DIR)"),
            ("a later file over an earlier", &[], env, &["K3S_DATA_DIR=/file", "\nK3S_DATA_DIR=/2"], &[], "/2 /1.env:2 (K3S_DATA_DIR)"),
            ("config.yaml over variables", &[], env, &[], &[("d", &["/yaml"])], "/yaml /c.yaml:1"),
            ("a later file of it over an earlier", &[], env, &[], &[("data-dir", &["/a"]), ("data-dir", &["/b"])], "/b /c.yaml:1"),
            ("ExecStart over config.yaml", &["-d", "/arg"], env, &[], &[("data-dir", &["/yaml"])], "/arg ExecStart of k3s.service"),
            ("the last argument", &["-d=/1", "--data-dir=/2"], &[], &[], &[], "/2 ExecStart of k3s.service"),
        ];
        for (name, arguments, environment, files, yaml, want) in rows {
            let mut flags = flags(arguments, environment, files);
            config(&mut flags, yaml);
            let (value, origin) = flags.last("data-dir").unwrap();
            let (place, want) = (origin.to_string(), want.split_once(' ').unwrap());
            assert!(value == want.0 && place.ends_with(want.1), "{name}: {value} {place}");
        }
    }

    #[test]
    fn lists_are_added_to_in_files_and_replaced_by_arguments() {
        let mut flags = flags(&["--tls-san=a", "--tls-san", "b"], &[], &[]);
        config(&mut flags, &[("tls-san", &["x"]), ("node-label", &["l=1"]), ("node-label+", &["l=2"])]);
        assert_eq!(flags.get("tls-san").unwrap().values, ["a", "b"]);
        assert_eq!(flags.get("node-label").unwrap().values, ["l=1", "l=2"]);
    }

    #[test]
    fn variables_go_into_arguments_and_name_the_configuration() {
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
    fn a_reset_is_led_nowhere_else_and_keeps_the_rest() {
        let mut flags = flags(
            &[
                "--server=https://a",
                "--token=old",
                "--cluster-reset",
                "--cluster-init",
                "--log=/l",
                "--node-label=a=1",
                "--node-label=b=2",
            ],
            &[
                ("K3S_URL", "https://b"),
                ("K3S_CLUSTER_RESET", "true"),
                ("K3S_CONFIG_FILE", "/c"),
                ("K3S_TOKEN_FILE", "/t"),
                ("AWS_ACCESS_KEY_ID", "geheim"),
                ("NOTIFY_SOCKET", "/n"),
                ("CREDENTIALS_DIRECTORY", "/d"),
                ("LISTEN_FDS", "1"),
                ("WATCHDOG_USEC", "1"),
                ("HTTPS_PROXY", "http://p"),
                ("K3S_NODE_NAME", "n"),
            ],
            &[],
        );
        config(
            &mut flags,
            &[
                ("etcd-s3", &["true"]),
                ("etcd-s3-bucket", &["b"]),
                ("s3-region", &["r"]),
                ("cluster-reset-restore-path", &["/x"]),
                ("token-file", &["/t"]),
                ("data-dir", &["/d"]),
                ("secrets-encryption", &["true"]),
                ("o", &["/k"]),
            ],
        );
        let reset = flags.reset_invocation(&[("token", Secret::new("new"))]);
        let got: Value = serde_json::from_str(reset.config.expose()).unwrap();
        let want = serde_json::json!({
            "token": "new", "cluster-init": "true", "node-label": ["a=1", "b=2"], "etcd-s3": "false", "data-dir": "/d",
            "secrets-encryption": "true", "write-kubeconfig": "/k",
        });
        assert_eq!(got, want);
        let names: Vec<&str> = reset.environment.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["HTTPS_PROXY", "K3S_NODE_NAME", "PATH"]);
        assert!(crate::config::yaml::parse(reset.config.expose()).is_ok(), "K3s reads YAML");
        let shown = format!("{flags:?} {reset:?}");
        assert!(!["old", "new", "geheim", "http://p"].iter().any(|s| shown.contains(s)), "{shown}");
        // Without a token of its own, K3s finds it where it is said.
        let plain = flags.reset_invocation(&[]);
        assert!(plain.config.expose().contains("\"token-file\":\"/t\""), "{}", plain.config.expose());
        assert!(plain.environment.iter().any(|(n, _)| n == "K3S_TOKEN_FILE"));
        let own = tests::flags(&[], &[("PATH", "/p")], &[]).reset_invocation(&[]);
        assert_eq!(
            own.environment.iter().map(|(n, v)| (n.as_str(), v.expose())).collect::<Vec<_>>(),
            [("PATH", "/p")]
        );
    }

    #[test]
    fn what_would_reset_again_is_found_where_it_stands() {
        assert!(flags(&["--cluster-init"], &[], &[]).resets().is_empty());
        assert_eq!(
            flags(&["--cluster-reset"], &[], &[]).resets(),
            ["cluster-reset in ExecStart of k3s.service"]
        );
        let by_file = flags(&[], &[], &["A=b\nK3S_CLUSTER_RESET=1\n"]).resets();
        assert!(by_file.len() == 1 && by_file[0].ends_with("/0.env:2 (K3S_CLUSTER_RESET)"), "{by_file:?}");
        let mut both = flags(&[], &[], &[]);
        config(&mut both, &[("cluster-reset", &["true"]), ("cluster-reset-restore-path", &["/x"])]);
        assert_eq!(both.resets(), ["cluster-reset in /c.yaml:1", "cluster-reset-restore-path in /c.yaml:1"]);
        let mut off = flags(&["--cluster-reset=false"], &[], &[]);
        config(&mut off, &[("cluster-reset", &["true"])]);
        assert!(off.resets().is_empty(), "the argument wins");
    }
}
