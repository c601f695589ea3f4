// SPDX-License-Identifier: Apache-2.0
//! Where snapshots are kept. A store speaks of snapshots, not of files or objects.

pub mod local;
pub mod manifests;
pub mod s3;

use anyhow::Result;

use crate::host::{Draft, Progress};
use crate::inspect::ReadAt;
use crate::model::name::SnapshotName;
use crate::model::snapshot::{FileId, Listing, Manifest, Snapshot};

/// A snapshot opened for reading.
pub struct Opened {
    /// Its bytes as stored.
    pub data: Box<dyn ReadAt>,
    /// Which file it was when it was opened.
    pub id: FileId,
    /// What the list knows of it.
    pub snapshot: Snapshot,
    /// A manifest under its name, valid or not: what it once was.
    pub recorded: Option<Manifest>,
}

/// A place that can be looked through.
pub trait Store {
    /// Everything in it; opens no snapshot.
    fn list(&self) -> Result<Listing>;
    /// Opens the file of this name.
    fn open(&self, file: &str) -> Result<Opened>;
    /// Writes down what was found out about a snapshot.
    fn record(&self, manifest: &Manifest) -> Result<()>;
    /// An unnamed file in this place, for a snapshot to come or for scratch.
    fn draft(&self) -> Result<Draft>;
    /// Puts a snapshot here under this name, never over another. What comes back is proven as far as the place can
    /// prove it.
    fn put(&self, name: &SnapshotName, data: &dyn ReadAt, manifest: &Manifest, progress: &dyn Progress) -> Result<Snapshot>;
    /// Deletes files with what belongs to them, and says of each how it went. One that is not there counts as gone.
    fn delete(&self, files: &[String]) -> Vec<(String, Result<()>)>;
}

/// The place where snapshots are made: a draft gets its name here once it is proven.
pub trait Home: Store {
    /// This name, or that of the next second that is free.
    fn free(&self, name: &SnapshotName) -> Result<SnapshotName>;
    /// Names the draft, never over another file, and records it. Fails as busy where the name was taken meanwhile.
    fn publish(&self, draft: Draft, name: &SnapshotName, manifest: Manifest) -> Result<Snapshot>;
}

/// A place that others share and that a transfer can leave unfinished.
pub trait Remote: Store {
    /// Removes transfers that were left unfinished, where `ours` says so of a file name and when it began (seconds
    /// since the epoch). Returns how many; never fails, since it is done on the side.
    fn sweep(&self, ours: &dyn Fn(&str, u64) -> bool) -> usize;
    /// Where it is, for people.
    fn url(&self) -> String;
}
