// SPDX-License-Identifier: Apache-2.0
//! A store in memory: the least that the conformance suite accepts.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context, Result};
use k3s_snapshot::error::{Code, Fault};
use k3s_snapshot::io::ReadAt;
use k3s_snapshot::model::name::SnapshotName;
use k3s_snapshot::model::snapshot::{Digest, FileId, Listing, Manifest, Snapshot, State};
use k3s_snapshot::store::{Opened, Store, VerifiedFile};
use sha2::Digest as _;

#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Content>>);

type Content = (Vec<u8>, Option<Manifest>);

/// Bytes that can be read by position.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.as_slice().read_exact_at(buf, offset)
    }
}

impl Memory {
    pub(crate) fn plant(&self, file: &str, bytes: &[u8]) {
        self.0.lock().unwrap().insert(file.to_owned(), (bytes.to_vec(), None));
    }
}

fn id(bytes: &[u8]) -> FileId {
    FileId { dev: 0, ino: 0, size: bytes.len() as u64, mtime_ns: 0, ctime_ns: 0 }
}

fn row(file: &str, bytes: &[u8], manifest: &Option<Manifest>) -> Snapshot {
    let name = SnapshotName::parse(file);
    let state = match (&name, manifest) {
        (None, _) => State::Foreign,
        (_, Some(m)) => m.state(),
        (Some(_), None) if bytes.is_empty() => State::Corrupt,
        (Some(_), None) => State::Unverified,
    };
    Snapshot {
        location: format!("memory:{file}"),
        size: bytes.len() as u64,
        created_at: name.as_ref().map_or(0, |n| n.at),
        name,
        state,
        manifest: manifest.clone(),
        key_revisions: None,
        cluster_id: None,
        file: file.to_owned(),
    }
}

impl Memory {
    /// Puts what was verified under this name, never over another.
    pub(crate) fn put(&self, name: &SnapshotName, file: &VerifiedFile<'_>) -> Result<Snapshot> {
        let object = name.to_string();
        let mut bytes = vec![0; file.data().size() as usize];
        file.data().read_exact_at(&mut bytes, 0)?;
        if Digest(sha2::Sha256::digest(&bytes).into()) != file.sha256() {
            return Err(Fault::new(Code::SnapshotCorrupt, format!("'{object}' was changed")).into());
        }
        let mut all = self.0.lock().unwrap();
        if all.contains_key(&object) {
            return Err(Fault::new(Code::FileExists, format!("'{object}' exists")).into());
        }
        let manifest = Some(Manifest { name: object.clone(), file: id(&bytes), ..file.manifest().clone() });
        let snapshot = row(&object, &bytes, &manifest);
        all.insert(object, (bytes, manifest));
        Ok(snapshot)
    }
}

impl Store for Memory {
    fn list(&self) -> Result<Listing> {
        let all = self.0.lock().unwrap();
        Ok(Listing {
            snapshots: all.iter().map(|(f, (b, m))| row(f, b, m)).collect(),
            complete: true,
            manifests_readable: true,
        })
    }

    fn open(&self, file: &str) -> Result<Opened> {
        let all = self.0.lock().unwrap();
        let (bytes, manifest) =
            all.get(file).context(Fault::new(Code::SnapshotNotFound, format!("no '{file}'")))?;
        Ok(Opened {
            id: id(bytes),
            data: Box::new(Bytes(bytes.clone())),
            snapshot: row(file, bytes, manifest),
            manifest: manifest.clone(),
        })
    }

    fn record(
        &self,
        file: &str,
        change: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
    ) -> Result<Option<Manifest>> {
        let mut all = self.0.lock().unwrap();
        let Some((_, manifest)) = all.get_mut(file) else { return Ok(None) };
        if let Some(new) = change(manifest.as_ref()) {
            *manifest = Some(new);
        }
        Ok(manifest.clone())
    }

    fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
        let mut all = self.0.lock().unwrap();
        files.iter().map(|f| ((*f).to_owned(), Ok(all.remove(*f).is_some()))).collect()
    }

    fn delete_orphan_manifests(&self, _: u64) -> Result<usize> {
        Ok(0)
    }
}
