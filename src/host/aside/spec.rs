// SPDX-License-Identifier: Apache-2.0
//! What is to run aside, as a value. It is passed to the helper process over a pipe: it may hold secrets.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::network::HostNetwork;

/// A directory that is mounted over another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// The scratch directory.
    pub source: PathBuf,
    /// The directory of the live system that it hides.
    pub target: PathBuf,
}

/// What runs aside.
#[derive(Clone, Serialize, Deserialize)]
pub struct AsideSpec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments. Nothing secret: every user can see them.
    pub args: Vec<String>,
    /// Its whole environment. May be secret.
    pub environment: Vec<(String, String)>,
    /// Scratch directories, mounted in this order. Every other file system is read-only.
    pub binds: Vec<BindMount>,
    /// Directories that are empty and private, in memory.
    pub tmpfs: Vec<PathBuf>,
    /// Interfaces and addresses that the program finds.
    pub network: HostNetwork,
}

/// Names and paths only: the environment may be secret.
impl std::fmt::Debug for AsideSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsideSpec")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("binds", &self.binds)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}
