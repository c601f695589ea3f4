// SPDX-License-Identifier: Apache-2.0
//! Snapshots in the bucket, as a restore sees them: they are downloaded into the scratch directory and verified there like
//! any other.

use std::io;

use anyhow::{Context as _, Result};

use super::context::{Machine, RemoteSnapshots};
use crate::commands::verify;
use crate::error::{Code, Fault, Kind, hint_of, kind_of};
use crate::host::{Draft, Host, Scratch};
use crate::io::ReadAt;
use crate::model::snapshot::{Manifest, Snapshot};
use crate::store::Opened;

/// One snapshot in the bucket.
pub(super) struct RemoteSnapshot {
    data: Box<dyn ReadAt>,
    parallel: usize,
}

/// Everything in the bucket, which is opened. Without that it is not known which snapshot is the newest.
///
/// # Errors
/// If the bucket cannot be listed completely.
pub(super) fn list(remote: Result<RemoteSnapshots>) -> Result<(RemoteSnapshots, Vec<Snapshot>)> {
    let hint = "Give the name of a snapshot instead of 'latest', or ignore the bucket with --s3=false.";
    let listed = remote.and_then(|remote| remote.store.list().map(|listing| (remote, listing)));
    let (remote, listing) = listed.map_err(|e| {
        let hint = hint_of(&e).map_or(hint.to_owned(), |own| format!("{own} {hint}"));
        let fault = Fault::about(&e, "the newest snapshot may be in the bucket").hint(hint);
        e.context(fault)
    })?;
    if !listing.complete {
        return Err(Fault::new(Code::ListingIncomplete, "not everything in the bucket could be listed")
            .hint(hint)
            .into());
    }
    Ok((remote, listing.snapshots))
}

impl RemoteSnapshot {
    /// Opens the snapshot of this name; `not_local` is why it is not on this machine.
    ///
    /// # Errors
    /// If it does not exist or cannot be opened.
    pub(super) fn open(
        remote: RemoteSnapshots,
        file: &str,
        not_local: &anyhow::Error,
    ) -> Result<(Snapshot, Option<Manifest>, RemoteSnapshot)> {
        let Opened { data, snapshot, manifest, .. } =
            remote.store.open(file).map_err(|e| match kind_of(&e) {
                Kind::NotFound => Fault::new(Code::SnapshotNotFound, format!("{not_local}; {e}"))
                    .hint("Run 'k3s-snapshot list --s3' to see the names.")
                    .into(),
                _ => e,
            })?;
        Ok((snapshot, manifest, RemoteSnapshot { data, parallel: remote.parallel }))
    }

    /// Downloads it into an unnamed file of the scratch directory.
    ///
    /// # Errors
    /// If the download fails, or the process was asked to stop.
    pub(super) fn download(&self, file: &str, scratch: &Scratch, machine: &Machine) -> Result<Draft> {
        let data = Cancellable { data: &*self.data, host: machine.host };
        let draft = scratch.draft()?;
        verify::download_while(&data, file, (self.parallel, true), &draft, machine.progress, |_| Ok(()))
            .with_context(|| format!("downloading '{}'", file.escape_debug()))?;
        Ok(draft)
    }

    pub(super) fn data(&self) -> &dyn ReadAt {
        &*self.data
    }
}

/// Reads until the process is asked to stop.
struct Cancellable<'a> {
    data: &'a dyn ReadAt,
    host: &'a dyn Host,
}

impl ReadAt for Cancellable<'_> {
    fn size(&self) -> u64 {
        self.data.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if self.host.stop_requested() {
            return Err(io::Error::other(Fault::new(Code::Stopped, "asked to stop; nothing was touched")));
        }
        self.data.read_exact_at(buf, offset)
    }
}
