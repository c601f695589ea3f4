// SPDX-License-Identifier: Apache-2.0
//! Where snapshots are kept. A store speaks of snapshots, not of files or objects.

pub mod local;
pub mod manifests;
mod removal;
pub mod s3;

use anyhow::Result;

use crate::host::{Draft, Progress};
use crate::io::ReadAt;
use crate::model::name::SnapshotName;
use crate::model::snapshot::{FileId, Leftover, Listing, Manifest, Snapshot};

/// A snapshot opened for reading.
pub struct Opened {
    /// Its bytes as stored.
    pub data: Box<dyn ReadAt>,
    /// Which file it was when it was opened.
    pub id: FileId,
    /// What the list knows of it.
    pub snapshot: Snapshot,
    /// A manifest under its name, valid or not: what it once was.
    pub manifest: Option<Manifest>,
}

/// A snapshot that now has its name.
pub struct PublishedSnapshot {
    /// It.
    pub snapshot: Snapshot,
    /// Whether what is known of it could be written down.
    pub recorded: Result<()>,
}

/// A place that can be looked through.
pub trait Store {
    /// Everything in it; opens no snapshot.
    fn list(&self) -> Result<Listing>;
    /// Opens the file of this name.
    fn open(&self, file: &str) -> Result<Opened>;
    /// Writes down what was found out about a snapshot.
    fn write_manifest(&self, manifest: &Manifest) -> Result<()>;
    /// An unnamed file in this place, for a snapshot to come or for scratch.
    fn draft(&self) -> Result<Draft>;
    /// Changes the manifest of this file: reads it, applies `change` and writes it back. False if there is none.
    ///
    /// # Errors
    /// If the manifest cannot be read or written.
    fn amend(&self, file: &str, change: &mut dyn FnMut(&mut Manifest)) -> Result<bool> {
        let Some(mut manifest) = self.open(file)?.manifest else { return Ok(false) };
        change(&mut manifest);
        self.write_manifest(&manifest).map(|()| true)
    }
    /// Puts a snapshot here under this name, never over another. What comes back is proven as far as the place can
    /// prove it.
    fn upload(
        &self,
        name: &SnapshotName,
        data: &dyn ReadAt,
        manifest: &Manifest,
        progress: &dyn Progress,
    ) -> Result<Snapshot>;
    /// Deletes these files with all that belongs to them, the first ones first as far as the place knows an order. One
    /// result each: true where it was there.
    fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)>;
    /// Forgets what is written down of snapshots that are gone; gives back of how many. What was written within a day
    /// before `now` may be of one that is just coming. Called after a list.
    fn delete_orphan_manifests(&self, now: u64) -> Result<usize>;
}

/// The place where snapshots are made: a draft gets its name here once it is proven.
pub trait LocalStore: Store {
    /// This name, or that of the next second that is free.
    fn unused_name(&self, name: &SnapshotName) -> Result<SnapshotName>;
    /// Names the draft of `size` bytes, never over another file, and records it. Fails as busy where the name was taken
    /// meanwhile.
    fn publish(
        &self,
        draft: Draft,
        name: &SnapshotName,
        size: u64,
        manifest: Manifest,
    ) -> Result<PublishedSnapshot>;
    /// What cut-off runs left in it, and whether that is still in use. Apart from the list, as it takes a look at every
    /// process.
    fn leftovers(&self) -> Result<Vec<Leftover>>;
}

/// A place that others share and that a transfer can leave unfinished.
pub trait RemoteStore: Store {
    /// Removes transfers that were left unfinished, where `ours` says so of a file name and when it began (seconds
    /// since the epoch), and those of the files `owed`. Returns how many; never fails, since it is done on the side.
    fn abort_stale_uploads(&self, ours: &dyn Fn(&str, u64) -> bool, owed: &[&str]) -> usize;
    /// Where it is, for people.
    fn url(&self) -> String;
    /// The node that a file is of, where whoever put it there wrote that beside it: one request, as no list tells.
    fn node_of(&self, file: &str) -> Result<Option<String>>;
}
