// SPDX-License-Identifier: Apache-2.0
//! What a report tells of a rebuild: paths and names, and no secret.

use serde::Serialize;

use super::plan::{FileFound, PlannedFile, RebuildPlan};

/// A rebuild, planned or done.
#[derive(Debug, Default, Serialize)]
pub struct RebuildReport {
    /// UID of the namespace kube-system of the snapshot, if it is known.
    pub cluster_id: Option<String>,
    /// The snapshot that is restored.
    pub snapshot: Option<String>,
    /// The node that saved it, if it is known.
    pub old_node: Option<String>,
    /// The recovery kit that is used; `None` if the token was given.
    pub kit: Option<String>,
    /// The files of K3s that are written, in this order.
    pub files: Vec<RebuildFile>,
    /// Flags of K3s that are of the old machine and were dropped or replaced.
    pub dropped: Vec<String>,
    /// Flags of K3s that still have an address of the old machine.
    pub old_addresses: Vec<String>,
    /// Files of the kit that are not written.
    pub not_written: Vec<String>,
    /// Variables of the old service that the new service does not have.
    pub variables: Vec<String>,
    /// Whether an interrupted rebuild was finished by this run.
    pub resumed: bool,
}

/// A file that is written.
#[derive(Debug, Serialize)]
pub struct RebuildFile {
    /// Its path.
    pub path: String,
    /// What is done.
    pub action: FileAction,
}

/// What a rebuild does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileAction {
    /// It does not exist yet.
    Create,
    /// It exists with the same text.
    Keep,
    /// It exists with another text.
    Replace,
}

impl FileAction {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            FileAction::Create => "create",
            FileAction::Keep => "keep",
            FileAction::Replace => "replace",
        }
    }
}

impl From<&PlannedFile> for RebuildFile {
    fn from(file: &PlannedFile) -> RebuildFile {
        let action = match file.found {
            FileFound::Absent => FileAction::Create,
            FileFound::Same => FileAction::Keep,
            FileFound::Ours | FileFound::Differs => FileAction::Replace,
        };
        RebuildFile { path: file.path.display().to_string(), action }
    }
}

impl RebuildReport {
    /// Adds what is written.
    pub(crate) fn set_plan(&mut self, plan: &RebuildPlan) {
        self.files = plan.files.iter().map(RebuildFile::from).collect();
        self.dropped.clone_from(&plan.dropped);
        self.old_addresses.clone_from(&plan.old_addresses);
        self.not_written.clone_from(&plan.not_written);
        self.variables.clone_from(&plan.variables);
    }
}
