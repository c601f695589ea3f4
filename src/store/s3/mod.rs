// SPDX-License-Identifier: Apache-2.0
//! Snapshots in a bucket. K3s's layout: `<folder>/<name>`, our manifests beside it in `.metadata/`.
//!
//! `sign` signs, `send` sends and tries again, `answer` and `trouble` put failures into words; the rest says what is
//! sent. Nothing outside this folder knows HTTP, XML or a signature.

mod client;
mod delete;
mod error;
mod imds;
mod list;
mod manifest;
mod multipart;
mod object;
mod probe;
mod proxy;
mod put;
mod response;
mod sign;
mod tls;
mod tls_verifier;
mod xml;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::{Opened, RemoteStore, Store};
use crate::error::{Code, Fault};
use crate::host::{Draft, Progress};
use crate::io::ReadAt;
use crate::model::name::{SnapshotName, Suffix};
use crate::model::report::Check;
use crate::model::s3_config::S3Config;
use crate::model::snapshot::{Listing, Manifest, Snapshot, State, plausible_size};

use client::S3Client;
use error::{S3Error, S3ErrorKind};
use list::BucketIndex;
use manifest::Evidence;
use object::{Head, Object, head, id_of};
use put::Capabilities;

/// Seconds in which a manifest is too young to be called left over.
const DAY: u64 = 86_400;

/// A bucket, or a folder in one.
pub struct S3 {
    wire: Arc<S3Client>,
    manners: Capabilities,
    details: bool,
    scratch: PathBuf,
    /// What the last list showed, so that a deletion knows what belongs to a snapshot without asking again. Nothing
    /// once something was written.
    shown: Mutex<Option<BucketIndex>>,
}

impl S3 {
    /// The snapshots of a bucket. Nothing is asked yet, but for the keys where the machine's own role gives them.
    /// What must be unpacked or proven lies in `scratch` meanwhile, without a name.
    pub fn new(bucket: S3Config, scratch: PathBuf) -> Result<S3> {
        let doing = format!("using the bucket '{}'", bucket.url());
        let wire = Arc::new(S3Client::new(bucket).map_err(|t| t.error(&doing))?);
        Ok(S3 { wire, manners: Capabilities::default(), details: false, scratch, shown: Mutex::new(None) })
    }

    /// The same, but a list reads the manifests too, several at once.
    pub fn with_details(self, details: bool) -> S3 {
        S3 { details, ..self }
    }

    /// How many ranges of a download may be in flight at once.
    pub fn readers(&self) -> usize {
        self.wire.bucket.readers()
    }

    /// Looks what works of a bucket, step by step.
    pub fn probe(bucket: S3Config) -> Vec<Check> {
        probe::probe(bucket)
    }

    fn doing(&self, verb: &str, file: &str) -> String {
        format!("{verb} '{}/{}'", self.wire.bucket.url(), file.escape_debug())
    }

    fn row(&self, file: &str, head: &Head, manifest: Option<Manifest>) -> Snapshot {
        let name = SnapshotName::parse(file);
        let state = match (&name, &manifest) {
            (None, _) => State::Foreign,
            _ if head.size == 0 => State::Corrupt,
            (_, Some(m)) => manifest::verdict(m),
            (Some(n), None) if n.suffix == Suffix::Plain && !plausible_size(head.size) => State::Corrupt,
            (Some(_), None) => State::Unverified,
        };
        Snapshot {
            location: format!("{}/{file}", self.wire.bucket.url()),
            size: head.size,
            created_at: name.as_ref().map_or(head.modified, |n| n.at),
            name,
            state,
            manifest,
            key_revisions: None,
            file: file.to_owned(),
        }
    }

    /// Reads the manifests of those that have one, several at once.
    fn read_details(&self, listing: &mut Listing, shown: &BucketIndex) {
        let snapshots = listing.snapshots.iter_mut().filter(|s| s.state != State::Foreign);
        let wanted: Vec<(&mut Snapshot, &str)> =
            snapshots.filter_map(|s| shown.manifest(&s.file).map(|m| (s, m.key.as_str()))).collect();
        let jobs = Mutex::new(wanted.into_iter());
        let failed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.wire.bucket.readers() {
                scope.spawn(|| {
                    loop {
                        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((snapshot, key)) = next else { return };
                        if failed.load(Relaxed) > 0 {
                            return;
                        }
                        let object = shown.objects.get(&snapshot.file);
                        match manifest::read_from(&self.wire, key, &snapshot.file) {
                            Ok(Some(m)) if object.is_some_and(|e| e.is(&m.file)) => {
                                if snapshot.state != State::Corrupt {
                                    snapshot.state = manifest::verdict(&m);
                                }
                                snapshot.manifest = Some(m);
                            }
                            // It speaks of another object.
                            Ok(Some(_)) if snapshot.state == State::Verified => {
                                snapshot.state = State::Unverified
                            }
                            Ok(_) => {}
                            Err(t) => {
                                if failed.fetch_add(1, Relaxed) == 0 {
                                    log::warn!("reading manifests in {}: {t}", self.wire.bucket.url());
                                }
                            }
                        }
                    }
                });
            }
        });
        listing.complete &= failed.into_inner() == 0;
    }

    fn shown(&self) -> MutexGuard<'_, Option<BucketIndex>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(t: S3Error, doing: &str, file: &str, url: &str) -> anyhow::Error {
    match t.class {
        S3ErrorKind::Missing => {
            Fault::new(Code::SnapshotNotFound, format!("no snapshot '{}' in '{url}'", file.escape_debug()))
                .hint("k3s-snapshot-list --s3 shows what is there.")
                .into()
        }
        _ => t.error(doing),
    }
}

impl Store for S3 {
    fn list(&self) -> Result<Listing> {
        let (mut listing, shown) =
            list::rows(&self.wire).map_err(|t| t.error(&format!("listing '{}'", self.wire.bucket.url())))?;
        if self.details {
            self.read_details(&mut listing, &shown);
        }
        *self.shown() = Some(shown);
        Ok(listing)
    }

    fn open(&self, file: &str) -> Result<Opened> {
        let (doing, url) = (self.doing("opening", file), self.wire.bucket.url());
        if !list::is_plain(file) {
            return Err(missing(S3Error::of(S3ErrorKind::Missing, ""), &doing, file, &url));
        }
        let key = self.wire.bucket.key(file);
        let head = head(&self.wire, &key).map_err(|t| missing(t, &doing, file, &url))?;
        let id = id_of(head.size, head.modified, &head.etag);
        let recorded = manifest::read(&self.wire, file)
            .map_err(|t| t.error(&self.doing("reading the manifest of", file)))?;
        let valid = recorded.clone().filter(|m| m.file == id);
        let snapshot = self.row(file, &head, valid);
        let data = Box::new(Object::new(Arc::clone(&self.wire), key, &head));
        Ok(Opened { data, id, snapshot, manifest: recorded })
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        *self.shown() = None;
        let mut manifest = manifest.clone();
        manifest::note(&mut manifest, Evidence::Read, "");
        manifest::write(&self.wire, &manifest, true)
            .map_err(|t| t.error(&self.doing("writing the manifest of", &manifest.name)))
    }

    fn draft(&self) -> Result<Draft> {
        Draft::new(&self.scratch)
    }

    fn upload(
        &self,
        name: &SnapshotName,
        data: &dyn ReadAt,
        manifest: &Manifest,
        progress: &dyn Progress,
    ) -> Result<Snapshot> {
        *self.shown() = None;
        let file = name.to_string();
        let doing = self.doing("sending", &file);
        let (head, evidence) = put::put(&self.wire, &self.manners, &file, data, manifest, progress)
            .map_err(|t| t.error(&doing))?;
        let mut manifest = Manifest {
            name: file.clone(),
            directory: self.wire.bucket.url(),
            file: id_of(head.size, head.modified, &head.etag),
            ..manifest.clone()
        };
        manifest::note(&mut manifest, evidence, &head.etag);
        // Without it the object is only "unchecked", but it is there: told, not fatal.
        if let Err(t) = manifest::write(&self.wire, &manifest, false) {
            log::warn!(
                "{}: {t}; the object is kept and will be listed as unchecked",
                self.doing("writing the manifest of", &file)
            );
        }
        Ok(self.row(&file, &head, Some(manifest)))
    }

    fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
        let listed = self.shown().is_some();
        if let Err(e) = if listed { Ok(()) } else { self.list().map(drop) } {
            let why = format!("{e:#}");
            let fault = || Fault::about(&e, why.clone());
            return files.iter().map(|f| ((*f).to_owned(), Err(fault().into()))).collect();
        }
        let shown = self.shown();
        let beside = |file: &str| -> Vec<String> {
            let all = shown.as_ref().and_then(|s| s.companions.get(file)).into_iter().flatten();
            all.map(|c| c.key.clone()).collect()
        };
        let there = |file: &str| shown.as_ref().is_some_and(|s| s.objects.contains_key(file));
        let all = files.iter().map(|f| (*f).to_owned());
        let (good, bad): (Vec<String>, Vec<String>) = all.partition(|f| list::is_plain(f));
        let refused = bad.into_iter().map(|f| {
            let fault = Fault::new(
                Code::InvalidName,
                format!("'{}' is not the name of a snapshot", f.escape_debug()),
            );
            (f, Err(fault.into()))
        });
        let done = delete::delete(&self.wire, &good, &beside).into_iter().map(|(file, result)| {
            let result = result.map_err(|t| t.error(&self.doing("deleting", &file)));
            // A store does not say whether there was something to delete.
            let result = result.map(|()| there(&file));
            (file, result)
        });
        done.chain(refused).collect()
    }

    fn delete_orphan_manifests(&self, now: u64) -> Result<usize> {
        let orphans = self.shown().as_ref().map(|s| s.orphans(now.saturating_sub(DAY))).unwrap_or_default();
        delete::delete_keys(&self.wire, &orphans).map_err(|t| {
            t.error(&format!("deleting manifests of snapshots that are gone from '{}'", self.url()))
        })
    }
}

impl RemoteStore for S3 {
    fn abort_stale_uploads(&self, ours: &dyn Fn(&str, u64) -> bool, owed: &[&str]) -> usize {
        multipart::sweep(&self.wire, ours, owed)
    }

    fn url(&self) -> String {
        self.wire.bucket.url()
    }

    fn node_of(&self, file: &str) -> Result<Option<String>> {
        let doing = self.doing("looking at", file);
        match object::head_or_none(&self.wire, &self.wire.bucket.key(file)) {
            Ok(head) => Ok(head.map(|h| h.node).filter(|node| !node.is_empty())),
            Err(t) => Err(t.error(&doing)),
        }
    }
}
