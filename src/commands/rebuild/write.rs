// SPDX-License-Identifier: Apache-2.0
//! Writes the planned files. All of them are looked at before the first is written; each is whole, or not there.

use anyhow::Result;

use super::record::RecordFile;
use crate::error::{Code, Fault};
use crate::host::private_file;
use crate::model::rebuild::{FileFound, RebuildPlan, RebuildRecord};

/// Fails if a file exists with another content, and must not be replaced.
///
/// # Errors
/// [`Code::FileDiffers`].
pub(super) fn ensure_writable(plan: &RebuildPlan, overwrite: bool) -> Result<()> {
    let differs = plan.files.iter().filter(|file| file.found == FileFound::Differs);
    let paths: Vec<String> = differs.map(|file| format!("'{}'", file.path.display())).collect();
    if overwrite || paths.is_empty() {
        return Ok(());
    }
    let what = format!("files of this machine differ from the recovery kit: {}", paths.join(", "));
    Err(Fault::new(Code::FileDiffers, what)
        .hint("Move them away, or replace them with --overwrite. Nothing was written.")
        .into())
}

/// Writes the files, durably, in their order. Only root can read them.
///
/// # Errors
/// If a file cannot be written. What was written before stays; the record has it.
pub(super) fn write(plan: &RebuildPlan, mut record: RebuildRecord, record_file: &RecordFile) -> Result<()> {
    plan.files.iter().for_each(|file| record.add(&file.path, file.text.expose()));
    record_file.save(&record)?;
    let changed = plan.files.iter().filter(|file| file.found != FileFound::Same);
    changed.into_iter().try_for_each(|file| private_file::write(&file.path, file.text.expose().as_bytes()))
}
