// SPDX-License-Identifier: Apache-2.0
//! The traits of a store, and the values that pass through them. Commands see these and no concrete store.

use anyhow::Result;

use super::kits::KitStore;
use crate::error::{Code, Fault};
use crate::host::{Draft, Progress};
use crate::io::ReadAt;
use crate::model::name::SnapshotName;
use crate::model::snapshot::{Digest, FileId, Leftover, Listing, Manifest, Snapshot};

/// A snapshot that is open for reading.
pub struct Opened {
    /// The bytes as stored.
    pub data: Box<dyn ReadAt>,
    /// The identity of the file when it was opened.
    pub id: FileId,
    /// The row that a listing would show.
    pub snapshot: Snapshot,
    /// The manifest of this name, even if it describes another version of the file.
    pub manifest: Option<Manifest>,
}

/// A snapshot that was just published.
pub struct PublishedSnapshot {
    /// Its row, with the manifest, whatever the file system tells of the identity of the file.
    pub snapshot: Snapshot,
    /// Whether the manifest was written.
    pub recorded: Result<()>,
    /// Remarks for the row in the report.
    pub notes: Vec<String>,
}

/// Data together with the digest that the verification of the whole file found.
///
/// [`RemoteStore::upload`] accepts nothing else and compares what it sends with the digest. An upload is therefore
/// never evidence about other bytes than those that were verified.
#[derive(Clone, Copy)]
pub struct VerifiedFile<'a> {
    data: &'a dyn ReadAt,
    manifest: &'a Manifest,
    sha256: Digest,
}

impl<'a> VerifiedFile<'a> {
    /// The data of the file that `manifest` describes.
    ///
    /// # Errors
    ///
    /// [`Code::SnapshotCorrupt`] if the manifest has a finding; [`Code::NotVerified`] if the file was never verified,
    /// so that the digest in the manifest is only what was read.
    pub fn new(data: &'a dyn ReadAt, manifest: &'a Manifest) -> Result<VerifiedFile<'a>> {
        let name = manifest.name.escape_debug();
        if let Some(finding) = manifest.findings.first() {
            let what = format!("'{name}' is corrupt: {finding}");
            return Err(Fault::new(Code::SnapshotCorrupt, what).into());
        }
        let Some(sha256) = manifest.verified_sha256() else {
            return Err(Fault::new(Code::NotVerified, format!("'{name}' was never verified"))
                .hint("Run 'k3s-snapshot verify' first.")
                .into());
        };
        Ok(VerifiedFile { data, manifest, sha256 })
    }

    /// The bytes, to be compared with [`VerifiedFile::sha256`] while they are read.
    pub fn data(&self) -> &'a dyn ReadAt {
        self.data
    }

    /// The SHA-256 of the whole file as stored, as the verification found it.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// What is known of the file.
    pub fn manifest(&self) -> &'a Manifest {
        self.manifest
    }
}

/// Who made an object, as its metadata says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Name of the node.
    pub node: Option<String>,
    /// UID of the namespace kube-system.
    pub cluster_id: Option<String>,
}

/// A location with snapshots.
pub trait Store {
    /// Lists everything in it, without opening a snapshot.
    ///
    /// # Errors
    ///
    /// If the location cannot be listed. A part that cannot be listed is no error, but [`Listing::complete`] is false.
    fn list(&self) -> Result<Listing>;

    /// Opens the file of this name.
    ///
    /// # Errors
    ///
    /// [`Code::SnapshotNotFound`] if there is none; others if it, or its manifest, cannot be read.
    fn open(&self, file: &str) -> Result<Opened>;

    /// Reads the manifest of a file now, lets `change` make the new one of it, and replaces it, durably. `change` is given
    /// `None` if there is no manifest; if it returns `None`, nothing is written. No other process changes the manifest in
    /// between, as far as the store has locks. There is no other way to write the manifest of a snapshot that exists: what
    /// another run has recorded in the meantime is never overwritten unseen. Returns what the manifest is now. The caller has
    /// read every byte of the snapshot; to change single fields of a manifest, use [`Store::amend`].
    ///
    /// # Errors
    ///
    /// If the manifest cannot be read or written.
    fn record(
        &self,
        file: &str,
        change: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
    ) -> Result<Option<Manifest>>;

    /// Changes fields of the manifest of a file, as [`Store::record`] does. False if there is no manifest.
    ///
    /// # Errors
    ///
    /// As [`Store::record`].
    fn amend(&self, file: &str, change: &mut dyn FnMut(&mut Manifest)) -> Result<bool> {
        let amended = self.record(file, &mut |now| {
            let mut manifest = now?.clone();
            change(&mut manifest);
            Some(manifest)
        });
        Ok(amended?.is_some())
    }

    /// Deletes these files with everything that belongs to them, in this order as far as the store has one. One result
    /// for each file: false if it did not exist.
    fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)>;

    /// Deletes the manifests of snapshots that do not exist any more, and returns how many. A manifest that was
    /// written less than a day before `now` (seconds since the epoch) stays: its snapshot may be on its way. To be
    /// called after [`Store::list`].
    ///
    /// # Errors
    ///
    /// If the manifests cannot be listed or deleted.
    fn delete_orphan_manifests(&self, now: u64) -> Result<usize>;
}

/// The location where snapshots are made. A draft is published here after it was verified.
pub trait LocalStore: Store {
    /// Creates a file without a name in this location, for a new snapshot or as scratch space.
    ///
    /// # Errors
    ///
    /// If the directory does not exist or cannot be written.
    fn draft(&self) -> Result<Draft>;

    /// This name, or the same name with the next second that is free.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    fn unused_name(&self, name: &SnapshotName) -> Result<SnapshotName>;

    /// Gives a draft of `size` bytes its name, never over another file, and writes its manifest.
    ///
    /// # Errors
    ///
    /// [`Code::NameTaken`] if another file has the name; others if the draft cannot be published.
    fn publish(
        &self,
        draft: Draft,
        name: &SnapshotName,
        size: u64,
        manifest: Manifest,
    ) -> Result<PublishedSnapshot>;

    /// Stores the extra metadata of K3s for a file of this location, as K3s stores it. It replaces what is there.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn write_extra_metadata(&self, file: &str, json: &[u8]) -> Result<()>;

    /// The extra metadata of K3s for a file; `None` if it has none.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn extra_metadata(&self, file: &str) -> Result<Option<Vec<u8>>>;

    /// What interrupted saves have left, and whether a process still uses it. Not part of the list, because it looks
    /// at every process.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    fn leftovers(&self) -> Result<Vec<Leftover>>;
}

/// A location that others share, and in which a transfer can be left unfinished.
pub trait RemoteStore: Store {
    /// Uploads a snapshot under this name, never over another object. The result is verified as far as the store
    /// reports a checksum.
    ///
    /// # Errors
    ///
    /// [`Code::SnapshotCorrupt`] if the data is not what was verified, [`Code::Io`] if it cannot be read; all others
    /// are about the store. Nothing unfinished is left behind as far as the store lets itself be asked.
    fn upload(
        &self,
        name: &SnapshotName,
        file: &VerifiedFile<'_>,
        progress: &dyn Progress,
    ) -> Result<Snapshot>;

    /// Stores the extra metadata of K3s for the object that `manifest` describes, as K3s stores it. It replaces what is
    /// there.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn write_extra_metadata(&self, manifest: &Manifest, json: &[u8]) -> Result<()>;

    /// Aborts unfinished uploads: those for which `is_ours` is true (file name, and when the upload began in seconds
    /// since the epoch), and all of the files `pending`. Returns how many. Failures are logged.
    fn abort_stale_uploads(&self, is_ours: &dyn Fn(&str, u64) -> bool, pending: &[&str]) -> usize;

    /// The location as a URL for people.
    fn url(&self) -> String;

    /// Its recovery kits; `None` if it has no place for them.
    fn kits(&self) -> Option<&dyn KitStore> {
        None
    }

    /// Who made an object, in one request: a listing does not tell. `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked.
    fn owner_of(&self, file: &str) -> Result<Option<Owner>>;

    /// The node that made an object, if its metadata names one.
    ///
    /// # Errors
    ///
    /// As [`RemoteStore::owner_of`].
    fn node_of(&self, file: &str) -> Result<Option<String>> {
        Ok(self.owner_of(file)?.and_then(|owner| owner.node))
    }
}
