// SPDX-License-Identifier: Apache-2.0
//! The sealed recovery kits of this machine, in a directory of ours, and what is recorded of the one in force. None of these files
//! has a secret in plain text.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Code, Fault};
use crate::host::fs::{create_dir, path_error, sync_dir};
use crate::host::{Draft, remove_replacements};
use crate::model::kit::{KitName, KitNeeds, KitVerification, SealedKit, StoredKit};
use crate::model::snapshot::Manifest;

/// Bytes. A kit is far smaller.
pub(super) const MAX_SIZE: u64 = 16 << 20;
/// What is recorded of the kit in force.
const SEALED: &str = "sealed.json";
/// What is recorded of the verification.
const VERIFICATION: &str = "verified.json";

/// A location with kits.
pub trait KitStore {
    /// The kits in it.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn kits(&self) -> Result<Vec<StoredKit>>;

    /// The bytes of a kit; `None` if there is none of this name.
    ///
    /// # Errors
    /// [`Code::KitInvalid`] if they are not those that the name tells; others if it cannot be read.
    fn read_kit(&self, name: &KitName) -> Result<Option<Vec<u8>>>;

    /// Whether it has a kit of this name.
    ///
    /// # Errors
    /// If that is not known.
    fn has_kit(&self, name: &KitName) -> Result<bool>;

    /// Stores a kit, durably.
    ///
    /// # Errors
    /// If it cannot be written.
    fn write_kit(&self, name: &KitName, sealed: &[u8]) -> Result<()>;

    /// Deletes a kit. One that does not exist is no error.
    ///
    /// # Errors
    /// If it cannot be deleted.
    fn delete_kit(&self, name: &KitName) -> Result<()>;

    /// What the snapshots of the location need.
    ///
    /// # Errors
    /// If one of them could not be looked at: then it is not known which kits are needed.
    fn needs(&self) -> Result<KitNeeds>;
}

/// Fails if the bytes are not those of the kit with this name.
pub(super) fn ensure_bytes(name: &KitName, sealed: &[u8], place: &str) -> Result<()> {
    match name.is_of(sealed) {
        true => Ok(()),
        false => {
            let what =
                format!("the kit '{}' in '{place}' is not what was sealed", name.to_string().escape_debug());
            Err(Fault::new(Code::KitInvalid, what).hint("Use a copy of it from another place.").into())
        }
    }
}

/// The kits of this machine.
pub(crate) struct LocalKits {
    dir: PathBuf,
    manifests: PathBuf,
}

impl LocalKits {
    /// The kits below `state_dir`. Creates nothing.
    pub(crate) fn new(state_dir: &Path) -> LocalKits {
        LocalKits { dir: state_dir.join("kits"), manifests: state_dir.join("manifests") }
    }

    /// The kit in force; `None` if none was sealed.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(crate) fn sealed(&self) -> Result<Option<SealedKit>> {
        self.read_record(SEALED)
    }

    /// Records the kit in force.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn record_sealed(&self, sealed: &SealedKit) -> Result<()> {
        self.write_record(SEALED, sealed)
    }

    /// The verification that a kit can be opened; `None` if it was not given.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(crate) fn verification(&self) -> Result<Option<KitVerification>> {
        self.read_record(VERIFICATION)
    }

    /// Records the verification.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn record_verification(&self, verification: &KitVerification) -> Result<()> {
        self.write_record(VERIFICATION, verification)
    }

    fn read_record<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        let path = self.dir.join(file);
        let Some(text) = read(&path)? else { return Ok(None) };
        // One of another form is as none: the kit is sealed again, a verification is asked for again.
        Ok(serde_json::from_slice(&text)
            .inspect_err(|e| log::warn!("'{}' has a wrong form and is ignored: {e}", path.display()))
            .ok())
    }

    fn write_record<T: Serialize>(&self, file: &str, record: &T) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(record).with_context(|| format!("encoding '{file}'"))?;
        text.push(b'\n');
        self.write(file, &text)
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        create_dir(&self.dir)?;
        let draft = Draft::new(&self.dir)?;
        draft.append(bytes).with_context(|| format!("writing '{}'", self.dir.join(file).display()))?;
        draft.replace(file)
    }

    /// The entries of a directory; none if it does not exist.
    fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
        let error = |e| path_error(e, "reading the directory", dir);
        match std::fs::read_dir(dir) {
            Ok(entries) => entries.map(|entry| Ok(entry.map_err(error)?.path())).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(vec![]),
            Err(e) => Err(error(e)),
        }
    }
}

/// The bytes of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let error = |e| path_error(e, "reading", path);
    let size = match std::fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(error(e)),
    };
    if size > MAX_SIZE {
        let what = format!("'{}' has {size} bytes, which no kit has", path.display());
        return Err(Fault::new(Code::KitInvalid, what).into());
    }
    std::fs::read(path).map(Some).map_err(error)
}

impl KitStore for LocalKits {
    fn kits(&self) -> Result<Vec<StoredKit>> {
        let mut kits = Vec::new();
        for path in LocalKits::entries(&self.dir)? {
            let name = path.file_name().and_then(|name| name.to_str()).and_then(KitName::parse);
            let Some(name) = name else { continue };
            match std::fs::metadata(&path) {
                Ok(meta) => kits.push(StoredKit {
                    name,
                    modified: u64::try_from(meta.mtime()).unwrap_or(0),
                    size: meta.len(),
                }),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(path_error(e, "reading", &path)),
            }
        }
        Ok(kits)
    }

    fn read_kit(&self, name: &KitName) -> Result<Option<Vec<u8>>> {
        let sealed = read(&self.dir.join(name.to_string()))?;
        if let Some(sealed) = &sealed {
            ensure_bytes(name, sealed, &self.dir.display().to_string())?;
        }
        Ok(sealed)
    }

    fn has_kit(&self, name: &KitName) -> Result<bool> {
        let path = self.dir.join(name.to_string());
        path.try_exists().map_err(|e| path_error(e, "reading", &path))
    }

    fn write_kit(&self, name: &KitName, sealed: &[u8]) -> Result<()> {
        self.write(&name.to_string(), sealed)
    }

    fn delete_kit(&self, name: &KitName) -> Result<()> {
        let path = self.dir.join(name.to_string());
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(path_error(e, "deleting the kit", &path)),
            _ => sync_dir(&self.dir).and_then(|()| {
                remove_replacements(&self.dir).map_err(|e| path_error(e, "reading", &self.dir))
            }),
        }
    }

    /// By the manifests of every snapshot directory of this machine.
    fn needs(&self) -> Result<KitNeeds> {
        let mut needs = KitNeeds::default();
        for dir in LocalKits::entries(&self.manifests)? {
            for path in LocalKits::entries(&dir)? {
                let is_manifest = path.extension().is_some_and(|extension| extension == "json");
                let Some(text) = is_manifest.then(|| read(&path)).transpose()?.flatten() else { continue };
                let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| {
                    let what = format!("the manifest '{}' has a wrong form: {e}", path.display());
                    Fault::new(Code::ListingIncomplete, what)
                })?;
                match manifest.kit {
                    Some(kit) => drop(needs.named.insert(kit)),
                    None => needs.unnamed.push(manifest.saved_at.unwrap_or(manifest.checked_at)),
                }
            }
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_kit_reads_back_and_a_changed_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let kits = LocalKits::new(dir.path());
        assert!(kits.kits().unwrap().is_empty() && kits.sealed().unwrap().is_none());
        let name = KitName::new("n", None, b"sealed");
        assert_eq!(kits.read_kit(&name).unwrap(), None);
        kits.write_kit(&name, b"sealed").unwrap();
        let path = dir.path().join("kits").join(name.to_string());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(kits.read_kit(&name).unwrap().unwrap(), b"sealed");
        assert_eq!(kits.kits().unwrap().iter().map(|k| &k.name).collect::<Vec<_>>(), [&name]);
        std::fs::write(&path, "Sealed").unwrap();
        assert_eq!(code_of(&kits.read_kit(&name).unwrap_err()), Code::KitInvalid);
        kits.delete_kit(&name).unwrap();
        kits.delete_kit(&name).unwrap();
        assert!(!kits.has_kit(&name).unwrap());
    }

    #[test]
    fn a_manifest_that_cannot_be_read_leaves_unknown_what_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let kits = LocalKits::new(dir.path());
        assert_eq!(kits.needs().unwrap(), KitNeeds::default());
        let manifests = dir.path().join("manifests/0");
        std::fs::create_dir_all(&manifests).unwrap();
        let manifest = Manifest { kit: Some("a".to_owned()), ..crate::model::manifest::tests::manifest() };
        std::fs::write(manifests.join("a.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        std::fs::write(manifests.join(".lock"), "").unwrap();
        assert_eq!(kits.needs().unwrap().named.into_iter().collect::<Vec<_>>(), ["a"]);
        std::fs::write(manifests.join("b.json"), "{").unwrap();
        assert_eq!(code_of(&kits.needs().unwrap_err()), Code::ListingIncomplete);
    }
}
