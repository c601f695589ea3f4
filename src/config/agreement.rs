// SPDX-License-Identifier: Apache-2.0
//! What must be known of K3s before files of K3s are deleted or replaced: all of its flags, and that the settings and K3s mean
//! the same data-dir.

use std::path::Path;

use anyhow::Result;

use super::k3s::K3sFlagsState;
use super::options::OptionId;
use super::retention;
use super::settings::Settings;
use crate::error::{Code, Fault};
use crate::model::warning::{Warning, WarningCode};

impl Settings {
    /// Fails if not all flags of K3s are known and one of them may decide what a prune deletes. `node_is_given` tells that the
    /// command line names the node.
    ///
    /// # Errors
    /// [`Code::K3sFlagsUnknown`], with the options to set so that the flags do not matter.
    pub(crate) fn require_known_for_prune(&self, node_is_given: bool) -> Result<()> {
        let decided = [
            (OptionId::Dir.name(), self.is_set_here(OptionId::Dir)),
            (OptionId::NodeName.name(), node_is_given || self.is_set_here(OptionId::NodeName)),
            (OptionId::SnapshotRetention.name(), retention::is_set_here(&self.raw_options)),
        ];
        // The bucket in which is deleted is decided by these.
        let of_bucket = [OptionId::S3Endpoint, OptionId::S3Bucket, OptionId::S3Folder];
        let of_bucket = of_bucket.into_iter().filter(|_| self.s3).map(|id| (id.name(), self.is_set_here(id)));
        let decided: Vec<(&str, bool)> = decided.into_iter().chain(of_bucket).collect();
        let missing: Vec<String> =
            decided.iter().filter(|(_, is_set)| !is_set).map(|(name, _)| format!("--{name}")).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => {
                let hint = format!("Try again when they can be read, or set {}.", missing.join(", "));
                // K3s starts without this file, but the K3s that runs may have read it.
                let is_missing = |w: &&Warning| w.code == WarningCode::ConfigFileMissing;
                if let Some(warning) = self.warnings.iter().find(is_missing) {
                    return Err(self.not_known(&warning.message, &hint));
                }
                self.require_known(&hint)
            }
        }
    }

    /// Fails if a restore could work on other files than K3s does.
    ///
    /// # Errors
    /// [`Code::K3sFlagsUnknown`] if not all flags of K3s are known: its reset would run with others.
    /// [`Code::DataDirConflict`] if the data-dir of the settings is not the one that K3s uses.
    pub(crate) fn require_agreement_for_restore(&self) -> Result<()> {
        self.require_known(
            "Start K3s by a unit whose ExecStart= runs it directly, or name the unit with --unit.",
        )?;
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (ours, theirs) = (&self.data_dir, &self.k3s.data_dir);
        if real(ours) == real(theirs) {
            return Ok(());
        }
        let (name, origin) = (self.distribution.name, self.merged.effective(OptionId::DataDir));
        let origin = origin.map(|(_, origin)| origin.to_string()).unwrap_or_default();
        let message = format!(
            "the data-dir is '{}' ({origin}), but {name} uses '{}'",
            ours.display(),
            theirs.display()
        );
        Err(Fault::new(Code::DataDirConflict, message)
            .hint(format!(
                "Remove data-dir from the configuration of k3s-snapshot, or set it for {name}, too."
            ))
            .into())
    }

    fn require_known(&self, hint: &str) -> Result<()> {
        let K3sFlagsState::Unknown(reason) = &self.k3s_flags else { return Ok(()) };
        Err(self.not_known(reason, hint))
    }

    fn not_known(&self, reason: &str, hint: &str) -> anyhow::Error {
        let message = format!("not all flags of {} are known: {reason}", self.distribution.name);
        Fault::new(Code::K3sFlagsUnknown, message).hint(hint).into()
    }
}
