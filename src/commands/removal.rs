// SPDX-License-Identifier: Apache-2.0
//! Deleting files from a location, for prune and delete: nothing is deleted from a listing that may be incomplete.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use crate::error::{Code, Fault};
use crate::host::Progress;
use crate::model::report::Report;
use crate::model::snapshot::{Listing, Snapshot};
use crate::store::Store;

/// What the local location is called in sentences.
pub(super) const LOCAL_DIR: &str = "the snapshot directory";

/// A file that is to be deleted.
#[derive(Debug)]
pub(super) struct Deletion {
    /// The index of its row in the report.
    pub(super) row: usize,
    /// File name.
    pub(super) file: String,
}

/// Fails unless everything in `location` was listed and the manifests were read.
///
/// # Errors
/// [`Code::ListingIncomplete`].
pub(super) fn ensure_complete_listing(listing: &Listing, location: &str) -> Result<()> {
    let cause = match (listing.complete, listing.manifests_readable) {
        (true, true) => return Ok(()),
        (false, _) => format!("not everything in {location} could be listed"),
        (_, false) => format!("the manifests of {location} cannot be read"),
    };
    Err(Fault::new(Code::ListingIncomplete, format!("{cause}; nothing was deleted there"))
        .hint("Run 'k3s-snapshot list --debug' to see what cannot be read.")
        .into())
}

/// Deletes, and reports for each row whether it was deleted. The first failure is the error of the run.
pub(super) fn delete_all(
    deletions: &[Deletion],
    store: &dyn Store,
    location: &str,
    progress: &dyn Progress,
    report: &mut Report,
) {
    if deletions.is_empty() {
        return;
    }
    progress.step(&format!("deleting {} from {location}", count(deletions.len())), None);
    let rows: HashMap<&str, usize> = deletions.iter().map(|d| (d.file.as_str(), d.row)).collect();
    let files: Vec<&str> = deletions.iter().map(|d| d.file.as_str()).collect();
    let mut deleted = 0;
    for (file, result) in store.delete(&files) {
        let row = rows.get(file.as_str()).and_then(|row| report.snapshots.get_mut(*row));
        match result {
            Ok(existed) => {
                deleted += usize::from(existed);
                row.into_iter().for_each(|row| row.deleted = Some(true));
            }
            Err(e) => {
                if let Some(row) = row {
                    row.deleted = Some(false);
                    row.notes.push(format!("{e:#}"));
                }
                report.fail(&e);
            }
        }
    }
    log::debug!("{} deleted from {location}", count(deleted));
}

/// A number of files as text.
pub(super) fn count(n: usize) -> String {
    format!("{n} {}", if n == 1 { "file" } else { "files" })
}

/// The snapshots of a listing that were not deleted.
pub(super) fn not_deleted<'a>(
    listing: &'a Listing,
    deletions: &[Deletion],
    report: &Report,
) -> Vec<&'a Snapshot> {
    let is_gone = |d: &&Deletion| report.snapshots.get(d.row).is_some_and(|row| row.deleted == Some(true));
    let gone: HashSet<&str> = deletions.iter().filter(is_gone).map(|d| d.file.as_str()).collect();
    listing.snapshots.iter().filter(|s| !gone.contains(s.file.as_str())).collect()
}
