// SPDX-License-Identifier: Apache-2.0
//! The upload state of local snapshots: pending or uploaded.
//!
//! The state is a field of the local manifest, so it ends with the local snapshot: what was pruned or deleted here is
//! never uploaded later, and what was uploaded once is never uploaded twice.

use std::collections::HashSet;

use super::removal::Deletion;
use crate::model::snapshot::{Snapshot, State, Upload};
use crate::store::Store;

/// Changes the upload state in the manifest of a local snapshot. Other fields stay as another run may have set them
/// since. A failure is logged: the snapshot itself is not affected.
pub(super) fn set_upload_state(local: &dyn Store, file: &str, state: Upload) {
    let amended = local.amend(file, &mut |manifest| manifest.upload = Some(state.clone()));
    match amended {
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
pub(super) fn clear_pending_uploads(local: &dyn Store, deletions: &[Deletion]) {
    if deletions.is_empty() {
        return;
    }
    let names: HashSet<&str> = deletions.iter().map(|d| d.file.as_str()).collect();
    let listing = match local.list() {
        Ok(listing) => listing,
        Err(e) => return log::warn!("{e:#}; a later save may upload again what is deleted now"),
    };
    for snapshot in listing.snapshots {
        let pending = snapshot.manifest.as_ref().is_some_and(|m| m.is_upload_pending());
        if pending && names.contains(snapshot.file.as_str()) {
            set_upload_state(local, &snapshot.file, Upload::Uploaded { location: None, at: None });
        }
    }
}

/// Local snapshots whose upload is pending, the oldest first, without `except`.
pub(super) fn pending_uploads(local: &dyn Store, except: &str) -> Vec<Snapshot> {
    let listing = match local.list() {
        Ok(listing) => listing,
        Err(e) => {
            log::warn!("looking for pending uploads: {e:#}");
            return Vec::new();
        }
    };
    let mut all = listing.sorted();
    all.retain(|s| {
        let pending = s.manifest.as_ref().is_some_and(|m| m.is_upload_pending());
        pending && s.state != State::Corrupt && s.file != except
    });
    all
}
