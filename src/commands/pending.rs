// SPDX-License-Identifier: Apache-2.0
//! The upload state of local snapshots: pending or uploaded.
//!
//! The state is a field of the local manifest, so it ends with the local snapshot: what was pruned or deleted here is
//! never uploaded later, and what was uploaded once is never uploaded twice.

use std::collections::HashSet;

use super::removal::{Deletion, LOCAL_DIR};
use crate::model::report::Report;
use crate::model::snapshot::{FileId, Manifest, Snapshot, State, Upload};
use crate::model::warning::WarningCode;
use crate::store::Store;

/// Changes the upload state in the manifest of a local snapshot. Other fields stay as another run may have set them
/// since. A failure is logged: the snapshot itself is not affected.
pub(super) fn set_upload_state(local: &dyn Store, file: &str, state: Upload) {
    change(local, file, &mut |manifest| manifest.upload = Some(state.clone()));
}

/// The same for a snapshot that was uploaded. The upload has compared the content of the file `id` with the digest of the
/// verification, so the manifest is of this version of the file.
pub(super) fn record_upload(local: &dyn Store, file: &str, id: FileId, state: Upload) {
    change(local, file, &mut |manifest| {
        manifest.file = id;
        manifest.upload = Some(state.clone());
    });
}

fn change(local: &dyn Store, file: &str, change: &mut dyn FnMut(&mut Manifest)) {
    match local.amend(file, change) {
        Ok(true) => {}
        Ok(false) => log::debug!("no manifest of '{}' to record the upload in", file.escape_debug()),
        Err(e) => log::warn!(
            "{e:#}; cannot record the upload of '{}', the next save may upload it again",
            file.escape_debug()
        ),
    }
}

/// Ends pending uploads of snapshots that are about to be deleted from the bucket: a save may have been killed before it
/// recorded that they are there, and they must not be uploaded again. Called before the deletion, so that a kill leaves
/// no pending upload either.
pub(super) fn clear_pending_uploads(local: &dyn Store, deletions: &[Deletion], report: &mut Report) {
    if deletions.is_empty() {
        return;
    }
    let names: HashSet<&str> = deletions.iter().map(|d| d.file.as_str()).collect();
    for snapshot in all_pending(local, "a later save may upload again what is deleted now", report) {
        if names.contains(snapshot.file.as_str()) {
            set_upload_state(local, &snapshot.file, Upload::Uploaded { location: None, at: None });
        }
    }
}

/// Local snapshots whose upload is pending, the oldest first, without `except` and without those that are known to be
/// corrupt.
pub(super) fn pending_uploads(local: &dyn Store, except: &str, report: &mut Report) -> Vec<Snapshot> {
    let mut all = all_pending(local, "pending uploads may be missing", report);
    all.retain(|s| s.state != State::Corrupt && s.file != except);
    all
}

/// All local snapshots whose upload is pending, the oldest first. What cannot be looked at is a warning that ends in
/// `consequence`.
fn all_pending(local: &dyn Store, consequence: &str, report: &mut Report) -> Vec<Snapshot> {
    let listing = match local.list() {
        Ok(listing) => listing,
        Err(e) => {
            report.warn(WarningCode::ListingIncomplete, format!("{e:#}; {consequence}"));
            return Vec::new();
        }
    };
    if !listing.complete || !listing.manifests_readable {
        let message = format!("not everything in {LOCAL_DIR} could be listed; {consequence}");
        report.warn(WarningCode::ListingIncomplete, message);
    }
    let mut all = listing.sorted();
    all.retain(|s| match &s.manifest {
        Some(manifest) => manifest.is_upload_pending(),
        None => s.name.is_some() && s.state != State::Incomplete && is_recorded_as_pending(local, &s.file),
    });
    all
}

/// Whether the manifest says so that describes another version of the file, which a listing does not show. The file was
/// changed, or only its mode or its owner: an upload compares the content.
fn is_recorded_as_pending(local: &dyn Store, file: &str) -> bool {
    match local.open(file) {
        Ok(opened) => opened.manifest.is_some_and(|m| m.is_upload_pending() && m.findings.is_empty()),
        Err(e) => {
            log::debug!("{e:#}");
            false
        }
    }
}
