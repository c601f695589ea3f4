// SPDX-License-Identifier: Apache-2.0
//! The snapshots in the bucket, as a restore sees them: one that does not lie in the folder is fetched straight into our own
//! folder beside the database, and proven there like any other.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Machine;
use super::find::unpack;
use crate::commands::verify;
use crate::error::{Code, Fault, Kind, hint_of, kind_of};
use crate::io::ReadAt;
use crate::model::snapshot::{FileId, Manifest, Snapshot};
use crate::store::{Opened, Store};

/// Where a bucket is turned on.
#[derive(Clone, Copy)]
pub struct Bucket<'a> {
    /// Opens it. Nothing is asked of it before somebody has to know.
    pub open: &'a dyn Fn() -> Result<Far>,
    /// Whether somebody asked us to stop: a fetch may take long.
    pub asked: fn() -> bool,
}

/// An opened bucket.
pub struct Far {
    /// Its snapshots.
    pub store: Box<dyn Store>,
    /// How many stretches of one are fetched at once.
    pub ways: usize,
}

/// One snapshot in it.
pub(super) struct Distant {
    data: Box<dyn ReadAt>,
    ways: usize,
    asked: fn() -> bool,
}

impl Bucket<'_> {
    /// The snapshot of this name; `here` is why it is not in the folder.
    pub(super) fn find(
        &self,
        file: &str,
        here: &anyhow::Error,
    ) -> Result<(Snapshot, Option<Manifest>, FileId, Distant)> {
        let far = (self.open)()?;
        let Opened { data, id, snapshot, manifest: recorded } =
            far.store.open(file).map_err(|e| match kind_of(&e) {
                Kind::NotFound => anyhow::Error::from(
                    Fault::new(Code::SnapshotNotFound, format!("{here}; {e}"))
                        .hint("k3s-snapshot-list --s3 shows what is there."),
                ),
                _ => e,
            })?;
        Ok((snapshot, recorded, id, Distant { data, ways: far.ways, asked: self.asked }))
    }

    /// Everything in it. Without that, nobody knows which is the newest.
    pub(super) fn list(&self) -> Result<Vec<Snapshot>> {
        let asked = (self.open)().and_then(|far| far.store.list());
        let hint = "Name a snapshot instead of 'latest', or pass over the bucket with --s3=false.";
        let listing = asked.map_err(|e| {
            let hint = hint_of(&e).map_or(hint.to_owned(), |own| format!("{own} {hint}"));
            let fault = Fault::about(&e, "the newest snapshot may lie in the bucket").hint(hint);
            e.context(fault)
        })?;
        if !listing.complete {
            return Err(Fault::new(
                Code::ListingIncomplete,
                "not everything in the bucket could be looked at",
            )
            .hint(hint)
            .into());
        }
        Ok(listing.snapshots)
    }
}

impl Distant {
    /// Fetches it, unpacks it where it is packed, and gives it its name in our own folder. It is not proven yet.
    pub(super) fn bring(
        &self,
        file: &str,
        zipped: bool,
        plain_name: &str,
        machine: &Machine,
    ) -> Result<PathBuf> {
        let data = Until { data: &*self.data, asked: self.asked };
        let draft = machine.site.draft()?;
        verify::download_while(&data, file, (self.ways, true), &draft, machine.progress, |_| Ok(()))
            .with_context(|| format!("fetching '{}'", file.escape_debug()))?;
        let near = draft.reader()?;
        match zipped {
            true => unpack(&near, file, plain_name, machine),
            false => machine.site.publish(draft, plain_name, near.size()),
        }
    }

    pub(super) fn data(&self) -> &dyn ReadAt {
        &*self.data
    }
}

/// Reads until somebody asks to stop.
struct Until<'a> {
    data: &'a dyn ReadAt,
    asked: fn() -> bool,
}

impl ReadAt for Until<'_> {
    fn size(&self) -> u64 {
        self.data.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if (self.asked)() {
            return Err(io::Error::other("asked to stop; nothing was touched"));
        }
        self.data.read_exact_at(buf, offset)
    }
}
