// SPDX-License-Identifier: Apache-2.0
//! The refusal to restore a distribution that this program does not restore, with the distribution's own commands.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::settings::Settings;
use crate::error::{Code, Fault};
use crate::util::shell_quote;

/// Fails, with the manual steps, if the distribution must be restored by hand. `target` is the snapshot that was given.
///
/// # Errors
/// [`Code::DistributionUnsupported`].
pub(super) fn refuse(s: &Settings, target: Option<&str>) -> Result<()> {
    let (name, steps) = (s.distribution.name, s.distribution.by_hand);
    if steps.is_empty() {
        return Ok(());
    }
    let snapshot = match target {
        Some(path) if path.contains('/') => PathBuf::from(path),
        Some(file) if file != "latest" => s.dir.join(file),
        _ => s.dir.join("NAME"),
    };
    let (snapshot, data_dir) = (typed(&snapshot), typed(&s.data_dir));
    let steps =
        steps.iter().map(|step| step.replace("{snapshot}", &snapshot).replace("{data-dir}", &data_dir));
    let first = format!("Use the commands of {name} itself (they are not tested by this program):");
    let hint: Vec<String> = std::iter::once(first).chain(steps).collect();
    Err(Fault::new(
        Code::DistributionUnsupported,
        format!("this program does not restore {name}; nothing was touched"),
    )
    .hint(hint.join("\n"))
    .into())
}

/// A path as a shell takes it.
fn typed(path: &Path) -> String {
    shell_quote(&path.display().to_string())
}
