// SPDX-License-Identifier: Apache-2.0
//! A fragment: what one source says, each value with where it was said. Fragments are laid over one another.

use std::collections::BTreeMap;
use std::fmt;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// Worked out from something else, named here.
    Derived(String),
    /// A file of K3s's and a line.
    K3s(String, u64),
    /// A variable in the `Environment=` of K3s's unit.
    Environment {
        /// The unit.
        unit: String,
        /// The variable.
        name: String,
    },
    /// A variable in an environment file of K3s's unit.
    EnvironmentFile {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// The variable.
        name: String,
    },
    /// An argument in the `ExecStart=` of K3s's unit, which is named here.
    ExecStart(String),
    /// A file of ours and a line.
    File(String, u64),
    /// A file in systemd's folder of credentials.
    Credential(String),
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag(String),
}

impl Origin {
    /// Whether somebody said it to us, not only to K3s, and it was not worked out.
    pub fn is_ours(&self) -> bool {
        !self.is_k3s() && !matches!(self, Origin::Default | Origin::Derived(_))
    }

    /// Whether K3s said it, wherever: then it was not said to us, and K3s's rules count for it.
    pub fn is_k3s(&self) -> bool {
        match self {
            Origin::K3s(..)
            | Origin::Environment { .. }
            | Origin::EnvironmentFile { .. }
            | Origin::ExecStart(_) => true,
            Origin::Default
            | Origin::Derived(_)
            | Origin::File(..)
            | Origin::Credential(_)
            | Origin::Env(_)
            | Origin::Flag(_) => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("built-in default"),
            Origin::Derived(from) => write!(f, "from {from}"),
            Origin::K3s(path, line) | Origin::File(path, line) => write!(f, "{path}:{line}"),
            Origin::Environment { unit, name } => write!(f, "Environment of {unit} ({name})"),
            Origin::EnvironmentFile { path, line, name } => write!(f, "{path}:{line} ({name})"),
            Origin::ExecStart(unit) => write!(f, "ExecStart of {unit}"),
            Origin::Credential(path) => write!(f, "credential {path}"),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// The values of one option, all from one place; several where the option is a list.
#[derive(Clone, PartialEq, Eq)]
pub struct OptionValue {
    /// As text, in order.
    pub values: Vec<String>,
    /// Where the last of them was said.
    pub origin: Origin,
}

/// Values may be secret, so none is printed by accident.
impl fmt::Debug for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} value(s) from {}", self.values.len(), self.origin)
    }
}

/// Option name to its values, and the same for single bases of names.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    all: BTreeMap<&'static str, OptionValue>,
    /// By base: what lies over the options for all.
    bases: BTreeMap<String, BTreeMap<&'static str, OptionValue>>,
}

impl Layer {
    /// Sets an option, replacing what was there.
    pub fn set(&mut self, key: &'static str, values: Vec<String>, origin: Origin) {
        self.all.insert(key, OptionValue { values, origin });
    }

    /// Says all there is to say of a base, replacing what was said of it before.
    pub fn set_base(&mut self, base: String, options: BTreeMap<&'static str, OptionValue>) {
        self.bases.insert(base, options);
    }

    /// What is said of single bases.
    pub fn bases(&self) -> &BTreeMap<String, BTreeMap<&'static str, OptionValue>> {
        &self.bases
    }

    /// What holds for a base: its own options over those for all, but below what the environment and flags say.
    pub fn of_base(&self, base: &str) -> Layer {
        let mut all = self.all.clone();
        for (key, entry) in self.bases.get(base).into_iter().flatten() {
            if !all.get(key).is_some_and(|e| matches!(e.origin, Origin::Env(_) | Origin::Flag(_))) {
                all.insert(key, entry.clone());
            }
        }
        Layer { all, bases: BTreeMap::new() }
    }

    /// Adds to an option, as K3s's `key+` does.
    pub fn append(&mut self, key: &'static str, values: Vec<String>, origin: Origin) {
        let entry =
            self.all.entry(key).or_insert_with(|| OptionValue { values: vec![], origin: origin.clone() });
        entry.values.extend(values);
        entry.origin = origin;
    }

    /// Lays `over` on top: what it says wins, whole.
    pub fn overlay(&mut self, over: Layer) {
        self.all.extend(over.all);
        self.bases.extend(over.bases);
    }

    /// The entry of an option. An empty text counts as not said.
    pub fn get(&self, key: &str) -> Option<&OptionValue> {
        self.all.get(key).filter(|e| e.values.iter().any(|v| !v.is_empty()))
    }

    /// The one value of an option; of several the last, as K3s's flags do.
    pub fn last(&self, key: &str) -> Option<(&str, &Origin)> {
        let entry = self.get(key)?;
        Some((entry.values.last()?.as_str(), &entry.origin))
    }
}
