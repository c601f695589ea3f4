// SPDX-License-Identifier: Apache-2.0
//! What a unit says of the process that it runs, whoever read it: systemd, or a reader of unit files.

use std::fmt;
use std::path::PathBuf;

/// The part of a service unit that decides what K3s is started with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The unit's name, with `.service`.
    pub name: String,
    /// The first command of `ExecStart=`: the program's path, then its arguments. Specifiers are replaced, variables
    /// are not.
    pub exec_start: Vec<String>,
    /// Whether systemd leaves `$VARIABLE` in the arguments alone, as `ExecStart=:` asks for.
    pub verbatim: bool,
    /// `Environment=`, in order.
    pub environment: Vec<(String, String)>,
    /// `EnvironmentFile=`, in order, and whether each may be missing.
    pub environment_files: Vec<(PathBuf, bool)>,
}

/// Arguments and variables may be secret.
impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.exec_start.first().map_or("nothing", String::as_str);
        write!(
            f,
            "{} runs {program} with {} argument(s), {} variable(s) and {} file(s)",
            self.name,
            self.exec_start.len().saturating_sub(1),
            self.environment.len(),
            self.environment_files.len()
        )
    }
}
