// SPDX-License-Identifier: Apache-2.0
//! The store of a bucket, or of a prefix in one.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::capabilities::Capabilities;
use super::client::S3Client;
use super::error::{S3Error, S3ErrorKind};
use super::index::{self, BucketIndex};
use super::integrity::{Evidence, set_evidence, state_of};
use super::layout::is_plain;
use super::object::{Head, Object, head, head_or_none, id_of};
use super::{delete, manifest, probe, unfinished, upload};
use crate::error::{Code, Fault};
use crate::host::Progress;
use crate::model::name::SnapshotName;
use crate::model::report::Check;
use crate::model::s3_config::S3Config;
use crate::model::snapshot::{Listing, Manifest, Snapshot, State, plausible_size};
use crate::store::created_at::created_at;
use crate::store::kits::KitStore;
use crate::store::traits::{Opened, Owner, RemoteStore, Store, VerifiedFile};
use crate::util::DAY;

/// A bucket, or a prefix in one.
pub struct S3 {
    pub(super) client: Arc<S3Client>,
    capabilities: Capabilities,
    reads_manifests: bool,
    /// What the last listing showed, so that a deletion knows what belongs to a snapshot. `None` after a change.
    index: Mutex<Option<BucketIndex>>,
}

impl S3 {
    /// The snapshots of a bucket. Makes no request, except for the keys if the role of the machine gives them.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used, or the role gives no keys.
    pub fn new(bucket: S3Config) -> Result<S3> {
        let operation = format!("using the bucket '{}'", bucket.url());
        let client = Arc::new(S3Client::new(bucket).map_err(|e| e.error(&operation))?);
        Ok(S3 {
            client,
            capabilities: Capabilities::default(),
            reads_manifests: false,
            index: Mutex::new(None),
        })
    }

    /// The same, but a listing also reads the manifests, several at once.
    pub fn with_details(self, details: bool) -> S3 {
        S3 { reads_manifests: details, ..self }
    }

    /// How many ranges of a download may be in flight at once.
    pub fn readers(&self) -> usize {
        self.client.bucket.readers()
    }

    /// Checks what works with a bucket, step by step.
    pub fn probe(bucket: S3Config) -> Vec<Check> {
        probe::probe(bucket)
    }

    pub(super) fn operation(&self, gerund: &str, file: &str) -> String {
        format!("{gerund} '{}/{}'", self.client.bucket.url(), file.escape_debug())
    }

    fn index(&self) -> MutexGuard<'_, Option<BucketIndex>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the last listing: something was written.
    pub(super) fn forget_index(&self) {
        *self.index() = None;
    }

    /// Lists the bucket and reads every manifest.
    ///
    /// # Errors
    ///
    /// If the bucket cannot be listed.
    pub(super) fn list_with_manifests(&self) -> Result<Listing> {
        let operation = format!("listing '{}'", self.client.bucket.url());
        let (mut listing, index) = index::list(&self.client).map_err(|e| e.error(&operation))?;
        self.read_manifests(&mut listing, &index);
        Ok(listing)
    }

    /// The row of an object. `manifest` must describe this version of the object.
    fn row(&self, file: &str, head: &Head, manifest: Option<Manifest>) -> Snapshot {
        let name = SnapshotName::parse(file);
        let state = match (&name, &manifest) {
            (None, _) => State::Foreign,
            _ if head.size == 0 => State::Corrupt,
            (_, Some(m)) => state_of(m),
            (Some(n), None) if !n.suffix.is_zip() && !plausible_size(head.size) => State::Corrupt,
            (Some(_), None) => State::Unverified,
        };
        Snapshot {
            location: format!("{}/{file}", self.client.bucket.url()),
            size: head.size,
            created_at: created_at(name.as_ref(), head.modified),
            name,
            state,
            manifest,
            key_revisions: None,
            cluster_id: Some(head.cluster_id.clone()).filter(|id| !id.is_empty()),
            file: file.to_owned(),
        }
    }

    fn not_found(&self, file: &str) -> anyhow::Error {
        let what = format!("no snapshot '{}' in '{}'", file.escape_debug(), self.client.bucket.url());
        Fault::new(Code::SnapshotNotFound, what)
            .hint("Run 'k3s-snapshot list --s3' to see the snapshots.")
            .into()
    }

    /// Reads the manifests of the snapshots that have one, several at once.
    fn read_manifests(&self, listing: &mut Listing, index: &BucketIndex) {
        let snapshots = listing.snapshots.iter_mut().filter(|s| s.state != State::Foreign);
        let with_manifest: Vec<(&mut Snapshot, &str)> = snapshots
            .filter_map(|s| index.manifest(&s.file).map(|(object, _)| (s, object.key.as_str())))
            .collect();
        let jobs = Mutex::new(with_manifest.into_iter());
        let failed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.client.bucket.readers() {
                scope.spawn(|| {
                    while failed.load(Relaxed) == 0 {
                        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((snapshot, key)) = next else { return };
                        if let Err(e) = self.read_manifest(snapshot, key, index)
                            && failed.fetch_add(1, Relaxed) == 0
                        {
                            log::warn!("reading manifests in '{}': {e}", self.client.bucket.url());
                        }
                    }
                });
            }
        });
        listing.complete &= failed.into_inner() == 0;
    }

    fn read_manifest(&self, snapshot: &mut Snapshot, key: &str, index: &BucketIndex) -> Result<(), S3Error> {
        let Some(found) = manifest::read_key(&self.client, key, &snapshot.file)? else { return Ok(()) };
        if index.object(&snapshot.file).is_some_and(|object| object.is(&found.file)) {
            if snapshot.state != State::Corrupt {
                snapshot.state = state_of(&found);
            }
            snapshot.manifest = Some(found);
        } else if snapshot.state == State::Verified {
            // The manifest describes another object.
            snapshot.state = State::Unverified;
        }
        Ok(())
    }

    fn write(&self, manifest: &Manifest, replace: bool) -> Result<(), S3Error> {
        *self.index() = None;
        manifest::write(&self.client, manifest, replace)
    }

    /// Reads the manifest, lets `change` make the new one of it, and replaces it.
    fn change_manifest(
        &self,
        file: &str,
        change: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
    ) -> Result<Option<Manifest>> {
        let now = manifest::read(&self.client, file)
            .map_err(|e| e.error(&self.operation("reading the manifest of", file)))?;
        let Some(new) = change(now.as_ref()) else { return Ok(now) };
        if now.as_ref() != Some(&new) {
            self.write(&new, true).map_err(|e| e.error(&self.operation("writing the manifest of", file)))?;
        }
        Ok(Some(new))
    }
}

impl Store for S3 {
    fn list(&self) -> Result<Listing> {
        let operation = format!("listing '{}'", self.client.bucket.url());
        let (mut listing, index) = index::list(&self.client).map_err(|e| e.error(&operation))?;
        if self.reads_manifests {
            self.read_manifests(&mut listing, &index);
        }
        *self.index() = Some(index);
        Ok(listing)
    }

    fn open(&self, file: &str) -> Result<Opened> {
        if !is_plain(file) {
            return Err(self.not_found(file));
        }
        let key = self.client.bucket.key(file);
        let head = head(&self.client, &key).map_err(|e| match e.kind {
            S3ErrorKind::Missing => self.not_found(file),
            _ => e.error(&self.operation("opening", file)),
        })?;
        let id = id_of(head.size, head.modified, &head.etag);
        let recorded = manifest::read(&self.client, file)
            .map_err(|e| e.error(&self.operation("reading the manifest of", file)))?;
        let current = recorded.clone().filter(|m| m.file == id);
        let snapshot = self.row(file, &head, current);
        let data = Box::new(Object::new(Arc::clone(&self.client), key, &head));
        Ok(Opened { data, id, snapshot, manifest: recorded })
    }

    fn record(
        &self,
        file: &str,
        change: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
    ) -> Result<Option<Manifest>> {
        self.change_manifest(file, &mut |now| {
            let mut manifest = change(now)?;
            set_evidence(&mut manifest, Evidence::Read, "");
            Some(manifest)
        })
    }

    fn amend(&self, file: &str, change: &mut dyn FnMut(&mut Manifest)) -> Result<bool> {
        let amended = self.change_manifest(file, &mut |now| {
            let mut manifest = now?.clone();
            change(&mut manifest);
            Some(manifest)
        });
        Ok(amended?.is_some())
    }

    fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
        let is_listed = self.index().is_some();
        if let Err(e) = if is_listed { Ok(()) } else { self.list().map(drop) } {
            let why = format!("{e:#}");
            let fault = || Fault::about(&e, why.clone());
            return files.iter().map(|f| ((*f).to_owned(), Err(fault().into()))).collect();
        }
        let index = self.index();
        let metadata = |file: &str| index.as_ref().map(|i| i.metadata_keys(file)).unwrap_or_default();
        let existed = |file: &str| index.as_ref().is_some_and(|i| i.object(file).is_some());
        let all = files.iter().map(|f| (*f).to_owned());
        let (plain, odd): (Vec<String>, Vec<String>) = all.partition(|f| is_plain(f));
        let refused = odd.into_iter().map(|f| {
            let what = format!("'{}' is not the name of a snapshot", f.escape_debug());
            (f, Err(Fault::new(Code::InvalidName, what).into()))
        });
        let deleted = delete::delete(&self.client, &plain, &metadata).into_iter().map(|(file, result)| {
            // A store does not say whether there was something to delete.
            let result = result.map(|()| existed(&file));
            let result = result.map_err(|e| e.error(&self.operation("deleting", &file)));
            (file, result)
        });
        deleted.chain(refused).collect()
    }

    fn delete_orphan_manifests(&self, now: u64) -> Result<usize> {
        let orphans = self.index().as_ref().map(|i| i.orphans(now.saturating_sub(DAY))).unwrap_or_default();
        let operation = || format!("deleting manifests without a snapshot from '{}'", self.url());
        delete::delete_keys(&self.client, &orphans).map_err(|e| e.error(&operation()))
    }
}

impl RemoteStore for S3 {
    fn upload(
        &self,
        name: &SnapshotName,
        file: &VerifiedFile<'_>,
        progress: &dyn Progress,
    ) -> Result<Snapshot> {
        *self.index() = None;
        let object = name.to_string();
        let (head, evidence) = upload::upload(&self.client, &self.capabilities, &object, file, progress)
            .map_err(|e| e.error(&self.operation("uploading", &object)))?;
        let mut manifest = Manifest {
            name: object.clone(),
            directory: self.client.bucket.url(),
            file: id_of(head.size, head.modified, &head.etag),
            ..file.manifest().clone()
        };
        set_evidence(&mut manifest, evidence, &head.etag);
        // Without its manifest the object is only unverified, so this is no error of the upload.
        if let Err(e) = self.write(&manifest, false) {
            let operation = self.operation("writing the manifest of", &object);
            log::warn!("{operation}: {e}; the object is kept and listed as unverified");
        }
        Ok(self.row(&object, &head, Some(manifest)))
    }

    fn write_extra_metadata(&self, manifest: &Manifest, json: &[u8]) -> Result<()> {
        *self.index() = None;
        let operation = || self.operation("writing the extra metadata of", &manifest.name);
        manifest::write_extra_metadata(&self.client, manifest, json).map_err(|e| e.error(&operation()))
    }

    fn abort_stale_uploads(&self, is_ours: &dyn Fn(&str, u64) -> bool, pending: &[&str]) -> usize {
        unfinished::abort_stale(&self.client, is_ours, pending)
    }

    fn url(&self) -> String {
        self.client.bucket.url()
    }

    fn kits(&self) -> Option<&dyn KitStore> {
        Some(self)
    }

    fn owner_of(&self, file: &str) -> Result<Option<Owner>> {
        let head = head_or_none(&self.client, &self.client.bucket.key(file))
            .map_err(|e| e.error(&self.operation("looking at", file)))?;
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(head.map(|head| Owner { node: text(head.node), cluster_id: text(head.cluster_id) }))
    }
}
