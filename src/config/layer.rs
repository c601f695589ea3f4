// SPDX-License-Identifier: Apache-2.0
//! A layer: the values that one source sets, each with its origin. A higher layer overrides a lower one.

use std::collections::BTreeMap;
use std::fmt;

use super::options::{ENV_PREFIX, OPTIONS, OptionId};
use crate::error::Kind;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// Derived from something else, named here.
    Derived(String),
    /// A configuration file of K3s, and the line.
    K3s(String, u64),
    /// A variable in the `Environment=` of the K3s service.
    Environment {
        /// The unit.
        unit: String,
        /// The variable.
        name: String,
    },
    /// A variable in an environment file of the K3s service.
    EnvironmentFile {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// The variable.
        name: String,
    },
    /// An argument in the `ExecStart=` of the K3s service, whose unit is named here.
    ExecStart(String),
    /// The Kubernetes Secret with the settings of K3s for its bucket, whose name is given here.
    Secret(String),
    /// Our configuration file, and the line.
    File(String, u64),
    /// A file in the credentials directory of systemd.
    Credential(String),
    /// A variable in our environment.
    Env(String),
    /// A flag on our command line.
    Flag(String),
}

impl Origin {
    /// Whether the value was set for this program: in its configuration, its environment or on its command line.
    pub(crate) fn set_here(&self) -> bool {
        match self {
            Origin::File(..) | Origin::Credential(_) | Origin::Env(_) | Origin::Flag(_) => true,
            Origin::Default
            | Origin::Derived(_)
            | Origin::K3s(..)
            | Origin::Environment { .. }
            | Origin::EnvironmentFile { .. }
            | Origin::ExecStart(_)
            | Origin::Secret(_) => false,
        }
    }

    /// Whether the value is set in the configuration of K3s: a file, the K3s service, or a Secret. Then the rules of K3s apply to it.
    pub(crate) fn is_from_k3s(&self) -> bool {
        match self {
            Origin::K3s(..)
            | Origin::Environment { .. }
            | Origin::EnvironmentFile { .. }
            | Origin::ExecStart(_)
            | Origin::Secret(_) => true,
            Origin::Default
            | Origin::Derived(_)
            | Origin::File(..)
            | Origin::Credential(_)
            | Origin::Env(_)
            | Origin::Flag(_) => false,
        }
    }

    /// Whether the value was set for this program and no program of K3s reads it there: not a variable of K3s or of AWS.
    pub(super) fn set_only_here(&self) -> bool {
        match self {
            Origin::Env(name) => name.starts_with(ENV_PREFIX),
            other => other.set_here(),
        }
    }

    /// The kind of an error about the value.
    pub(super) fn error_kind(&self) -> Kind {
        if matches!(self, Origin::Flag(_)) { Kind::Usage } else { Kind::Config }
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
            Origin::Secret(name) => write!(f, "Kubernetes Secret '{}'", name.escape_debug()),
            Origin::Credential(path) => write!(f, "credential {path}"),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// The values of one option, all from one place; several if the option is a list.
#[derive(Clone, PartialEq, Eq)]
pub struct OptionValue {
    /// The texts, in order.
    pub values: Vec<String>,
    /// Where the last of them is set.
    pub origin: Origin,
}

/// Prints no value: a value may be secret.
impl fmt::Debug for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} value(s) from {}", self.values.len(), self.origin)
    }
}

/// The options of one base of names.
pub(crate) type BaseOptions = BTreeMap<OptionId, OptionValue>;

/// Options and their values, and the options of single bases of names.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    options: BTreeMap<OptionId, OptionValue>,
    /// By base: what overrides the options for all bases.
    bases: BTreeMap<String, BaseOptions>,
}

impl Layer {
    /// Sets an option. Its earlier values are gone.
    pub(crate) fn set(&mut self, id: OptionId, values: Vec<String>, origin: Origin) {
        self.options.insert(id, OptionValue { values, origin });
    }

    /// Sets all options of a base. Its earlier options are gone.
    pub(super) fn set_base(&mut self, base: String, options: BaseOptions) {
        self.bases.insert(base, options);
    }

    /// The options of single bases.
    pub(super) fn bases(&self) -> &BTreeMap<String, BaseOptions> {
        &self.bases
    }

    /// The options in effect for a base: its own ones override those of files, not those of the environment and of flags.
    pub(super) fn for_base(&self, base: &str) -> Layer {
        let mut options = self.options.clone();
        for (id, value) in self.bases.get(base).into_iter().flatten() {
            if !options.get(id).is_some_and(|v| matches!(v.origin, Origin::Env(_) | Origin::Flag(_))) {
                options.insert(*id, value.clone());
            }
        }
        Layer { options, bases: BTreeMap::new() }
    }

    /// Adds values to an option, as a key that ends in `+` does.
    pub(super) fn append(&mut self, id: OptionId, values: Vec<String>, origin: Origin) {
        let entry =
            self.options.entry(id).or_insert_with(|| OptionValue { values: vec![], origin: origin.clone() });
        entry.values.extend(values);
        entry.origin = origin;
    }

    /// Removes an option.
    pub(super) fn remove(&mut self, id: OptionId) {
        self.options.remove(&id);
    }

    /// Lays `over` on top: its options replace those of this layer.
    pub(crate) fn override_with(&mut self, over: Layer) {
        self.options.extend(over.options);
        self.bases.extend(over.bases);
    }

    /// Sets every option that has no value to its built-in default. An empty value counts as none: K3s also uses its default
    /// then. The exception is the endpoint, because an empty one must not send a request to AWS.
    pub(super) fn fill_defaults(&mut self) {
        for option in OPTIONS {
            let is_empty_endpoint =
                option.id == OptionId::S3Endpoint && self.options.contains_key(&option.id);
            if let (Some(default), None, false) =
                (option.default, self.effective(option.id), is_empty_endpoint)
            {
                self.set(option.id, vec![default.to_owned()], Origin::Default);
            }
        }
    }

    /// The values of an option; `None` if none of them has a text.
    pub(crate) fn get(&self, id: OptionId) -> Option<&OptionValue> {
        self.options.get(&id).filter(|v| v.values.iter().any(|text| !text.is_empty()))
    }

    /// The value of an option and its origin. Of several values the last one counts, as for the flags of K3s. `None` if the
    /// option is not set, or set to an empty text.
    pub(crate) fn effective(&self, id: OptionId) -> Option<(&str, &Origin)> {
        let entry = self.options.get(&id)?;
        Some((entry.values.last()?.as_str(), &entry.origin)).filter(|(text, _)| !text.is_empty())
    }

    /// Every option that is set, also to an empty text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (OptionId, &OptionValue)> {
        self.options.iter().map(|(id, value)| (*id, value))
    }
}
