// SPDX-License-Identifier: Apache-2.0
//! What a rebuild writes on the new machine, from a recovery kit.

use std::path::PathBuf;

use crate::model::secret::Secret;

/// What is known of the new machine.
#[derive(Debug)]
pub(crate) struct NewMachine<'a> {
    /// The name of its node, if one was given.
    pub(crate) node_name: Option<&'a str>,
    /// The addresses of its node, if they were given.
    pub(crate) node_ips: &'a [String],
    /// Every address of its interfaces.
    pub(crate) addresses: &'a [String],
}

/// What is at the path of a planned file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFound {
    /// Nothing.
    Absent,
    /// The same text.
    Same,
    /// Another text, which an interrupted rebuild has written.
    Ours,
    /// Another text.
    Differs,
}

/// A file that a rebuild writes.
#[derive(Debug)]
pub(crate) struct PlannedFile {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: Secret,
    /// What is at this path now.
    pub(crate) found: FileFound,
}

/// What a rebuild writes, in the order in which it is written.
#[derive(Debug, Default)]
pub(crate) struct RebuildPlan {
    /// The files.
    pub(crate) files: Vec<PlannedFile>,
    /// The file of K3s for its token, if it is among them.
    pub(crate) token_file: Option<PathBuf>,
    /// Flags of K3s that are of the old machine and do not apply to the new one, sorted.
    pub(crate) dropped: Vec<String>,
    /// Flags of K3s that still have an address of the old machine, sorted.
    pub(crate) old_addresses: Vec<String>,
    /// Files of the kit that are not written, sorted.
    pub(crate) not_written: Vec<String>,
    /// Variables of the old service that no configuration file of K3s can set and the new service does not have, sorted.
    pub(crate) variables: Vec<String>,
}
