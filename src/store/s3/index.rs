// SPDX-License-Identifier: Apache-2.0
//! The rows of a bucket, made of two listings and nothing else: the objects of the prefix, then the metadata directory.
//! No request for each object.
//!
//! Objects in prefixes below belong to others. They are neither listed nor kept, so a bucket that is shared with other
//! programs costs no memory.

use std::collections::HashMap;

use super::client::S3Client;
use super::error::{S3Error, S3ErrorKind};
use super::layout::{METADATA_DIR, is_plain, parse_manifest_name};
use super::list::{ListedObject, for_each_object};
use super::manifest::precedence;
use super::object::id_of;
use crate::model::name::SnapshotName;
use crate::model::snapshot::{FileId, Listing, Snapshot, State, plausible_size};
use crate::store::created_at::created_at;

/// Snapshots that are listed: one an hour for eleven years.
const MAX_SNAPSHOTS: usize = 100_000;
/// Rows for objects that are no snapshots. Those beyond are only counted.
const MAX_FOREIGN: usize = 1_000;
/// Files in the metadata directory: that of K3s and that of this tool for each snapshot, and some to spare.
const MAX_METADATA: usize = 3 * MAX_SNAPSHOTS;

/// An object of the last listing.
#[derive(Debug)]
pub(super) struct IndexedObject {
    size: u64,
    modified: u64,
    etag: String,
}

impl IndexedObject {
    /// Whether this is the object that a manifest describes. Not every store lists entity tags.
    pub(super) fn is(&self, file: &FileId) -> bool {
        let id = id_of(self.size, self.modified, &self.etag);
        id.size == file.size && id.mtime_ns == file.mtime_ns && (self.etag.is_empty() || id.ino == file.ino)
    }
}

/// A file in the metadata directory.
#[derive(Debug, Clone)]
pub(super) struct MetadataObject {
    pub(super) key: String,
    /// Seconds since the epoch.
    pub(super) modified: u64,
    /// What the name of a manifest of this tool tells. `None` for the metadata of K3s.
    pub(super) manifest: Option<ManifestFacts>,
}

/// What the name of a manifest tells.
#[derive(Debug, Clone)]
pub(super) struct ManifestFacts {
    pub(super) state: State,
    key_revisions: Option<u64>,
    cluster: Option<String>,
}

/// What the last listing showed, by file name of the snapshot.
#[derive(Debug, Default)]
pub(super) struct BucketIndex {
    objects: HashMap<String, IndexedObject>,
    /// What belongs to a snapshot, whether the snapshot exists or not.
    metadata: HashMap<String, Vec<MetadataObject>>,
}

impl BucketIndex {
    pub(super) fn object(&self, file: &str) -> Option<&IndexedObject> {
        self.objects.get(file)
    }

    /// The keys of everything that belongs to a snapshot.
    pub(super) fn metadata_keys(&self, file: &str) -> Vec<String> {
        self.metadata.get(file).into_iter().flatten().map(|m| m.key.clone()).collect()
    }

    /// The manifest that counts, and what its name tells.
    pub(super) fn manifest(&self, file: &str) -> Option<(&MetadataObject, &ManifestFacts)> {
        let all = self.metadata.get(file)?.iter();
        let manifests = all.filter_map(|object| Some((object, object.manifest.as_ref()?)));
        manifests.max_by_key(|(object, facts)| precedence(object.modified, facts.state))
    }

    /// The keys of manifests whose snapshots do not exist, if they were not written after `before` (seconds since the
    /// epoch): a save may have written its snapshot after the listing.
    pub(super) fn orphans(&self, before: u64) -> Vec<String> {
        let orphaned = self.metadata.iter().filter(|(file, _)| {
            !self.objects.contains_key(*file) && is_plain(file) && SnapshotName::parse(file).is_some()
        });
        let all = orphaned.flat_map(|(_, metadata)| metadata);
        let mut keys: Vec<String> =
            all.filter(|m| m.manifest.is_some() && m.modified <= before).map(|m| m.key.clone()).collect();
        keys.sort();
        keys
    }

    fn add_metadata(&mut self, key: String, file: &str, modified: u64) {
        let parsed = parse_manifest_name(file);
        let manifest = parsed.map(|p| ManifestFacts {
            state: p.state,
            key_revisions: p.key_revisions,
            cluster: p.cluster.map(str::to_owned),
        });
        let snapshot = parsed.map_or(file, |p| p.snapshot).to_owned();
        self.metadata.entry(snapshot).or_default().push(MetadataObject { key, modified, manifest });
    }

    /// The row of an object. Its state is that of the newest manifest, if that is not older than the object.
    fn row(&self, url: &str, file: &str, object: &ListedObject) -> Snapshot {
        let name = SnapshotName::parse(file);
        let manifest =
            self.manifest(file).filter(|(m, _)| m.modified >= object.modified).map(|(_, facts)| facts);
        let state = match &name {
            None => State::Foreign,
            Some(_) if object.size == 0 => State::Corrupt,
            Some(n) if !n.suffix.is_zip() && !plausible_size(object.size) => State::Corrupt,
            Some(_) => manifest.map_or(State::Unverified, |m| m.state),
        };
        Snapshot {
            location: format!("{url}/{file}"),
            size: object.size,
            created_at: created_at(name.as_ref(), object.modified),
            name,
            state,
            manifest: None,
            key_revisions: manifest.and_then(|m| m.key_revisions).filter(|_| state == State::Verified),
            cluster_id: manifest.and_then(|m| m.cluster.clone()),
            file: file.to_owned(),
        }
    }
}

/// Lists a bucket.
pub(super) fn list(client: &S3Client) -> Result<(Listing, BucketIndex), S3Error> {
    let prefix = client.bucket.prefix();
    let metadata_prefix = format!("{prefix}{METADATA_DIR}/");
    let mut objects: Vec<ListedObject> = Vec::new();
    let (mut foreign, mut below, mut has_metadata) = (0usize, 0usize, false);
    let prefixes = for_each_object(client, &prefix, Some(&metadata_prefix), &mut |object| {
        let file = object.key.get(prefix.len()..).unwrap_or_default();
        if file.is_empty() {
            return Ok(()); // the prefix itself, as some tools create it
        }
        if file.contains('/') {
            // A store that does not know the delimiter.
            has_metadata |= object.key.starts_with(&metadata_prefix);
            below += 1;
            return Ok(());
        }
        if SnapshotName::parse(file).is_none() {
            foreign += 1;
            if foreign > MAX_FOREIGN {
                return Ok(());
            }
        }
        objects.push(object);
        ensure_count(client, objects.len(), MAX_SNAPSHOTS + MAX_FOREIGN)
    })?;
    if below + prefixes.count > 0 {
        log::debug!("prefixes below '{}' are not listed", client.bucket.url());
    }
    if foreign > MAX_FOREIGN {
        log::warn!("{} objects that are no snapshots are not listed", foreign - MAX_FOREIGN);
    }
    let mut index = BucketIndex::default();
    let mut listing = Listing { snapshots: vec![], complete: true, manifests_readable: true };
    if has_metadata || prefixes.has_wanted {
        match list_metadata(client, &metadata_prefix, &mut index) {
            Ok(()) => {}
            // A policy may allow to list the prefix and nothing below it.
            Err(e) if e.kind == S3ErrorKind::Denied => {
                log::warn!("listing the manifests in '{}': {e}", client.bucket.url());
                listing.manifests_readable = false;
            }
            Err(e) => return Err(e),
        }
    }
    let url = client.bucket.url();
    for object in objects {
        let file = object.key.get(prefix.len()..).unwrap_or_default();
        listing.snapshots.push(index.row(&url, file, &object));
        let (file, ListedObject { size, modified, etag, .. }) = (file.to_owned(), object);
        index.objects.insert(file, IndexedObject { size, modified, etag });
    }
    Ok((listing, index))
}

fn list_metadata(client: &S3Client, prefix: &str, index: &mut BucketIndex) -> Result<(), S3Error> {
    let mut count = 0;
    for_each_object(client, prefix, None, &mut |object| {
        let file = object.key.get(prefix.len()..).unwrap_or_default().to_owned();
        if is_plain(&file) {
            index.add_metadata(object.key, &file, object.modified);
            count += 1;
        }
        ensure_count(client, count, MAX_METADATA)
    })
    .map(drop)
}

fn ensure_count(client: &S3Client, count: usize, max: usize) -> Result<(), S3Error> {
    if count <= max {
        return Ok(());
    }
    let message = format!("'{}' has more than {max} objects", client.bucket.url());
    Err(S3Error::new(S3ErrorKind::TooManyObjects, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(files: &[(&str, u64)]) -> BucketIndex {
        let mut index = BucketIndex::default();
        for (file, modified) in files {
            index.add_metadata(format!("x/.metadata/{file}"), file, *modified);
        }
        index
    }

    #[test]
    fn only_old_manifests_of_snapshots_that_do_not_exist_are_orphans() {
        let mut index = index(&[
            ("here-n-5.7.-.json", 1),
            ("gone-n-5.7.-.json", 1),
            ("old-n-5.7.json", 1),
            ("young-n-5.7.-.json", 3),
            ("k3s-n-5", 1),
            ("odd.7.-.json", 1),
        ]);
        let object = IndexedObject { size: 1, modified: 1, etag: String::new() };
        index.objects.insert("here-n-5".into(), object);
        assert_eq!(index.orphans(2), ["x/.metadata/gone-n-5.7.-.json", "x/.metadata/old-n-5.7.json"]);
    }

    #[test]
    fn a_row_takes_state_key_revisions_and_cluster_from_the_newest_manifest_that_is_not_older() {
        let index = index(&[
            ("a-5.corrupt.-.json", 1),
            ("a-5.7.6f9c1f0e.json", 2),
            ("b-5.7.6f9c1f0e.json", 2),
            ("c-5.unverified.0badcafe.json", 9),
            ("d-5.7.json", 9),
        ]);
        let row = |file: &str| {
            let object = ListedObject { key: file.into(), size: 544, modified: 2, etag: String::new() };
            let row = index.row(
                "s3://b",
                file,
                &ListedObject { modified: if file == "b-5" { 3 } else { 2 }, ..object },
            );
            (row.state, row.key_revisions, row.cluster_id)
        };
        assert_eq!(row("a-5"), (State::Verified, Some(7), Some("6f9c1f0e".into())));
        assert_eq!(row("b-5"), (State::Unverified, None, None));
        assert_eq!(row("c-5"), (State::Unverified, None, Some("0badcafe".into())));
        assert_eq!(row("d-5"), (State::Verified, Some(7), None));
        assert_eq!(row("e-5"), (State::Unverified, None, None));
    }
}
