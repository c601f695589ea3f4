// SPDX-License-Identifier: Apache-2.0
//! Single objects of a Kubernetes cluster, as its etcd stores them: from a running etcd or from a snapshot. Changes nothing.

use anyhow::{Result, ensure};

use crate::inspect::{self, KeptObjects};
use crate::io::ReadAt;

/// A cluster that can be asked for single objects.
pub trait ClusterObjects {
    /// The newest value of a key; `None` if it does not exist.
    ///
    /// # Errors
    /// If that is not known.
    fn object(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
}

/// The objects in a verified snapshot.
pub struct SnapshotObjects<'a> {
    /// What its verification kept.
    pub kept: &'a KeptObjects,
    /// Its bytes, for objects that were not kept.
    pub data: &'a dyn ReadAt,
    /// Bytes of its database.
    pub db_len: u64,
}

impl ClusterObjects for SnapshotObjects<'_> {
    fn object(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(known) = self.kept.get(key) {
            return Ok(known.map(<[u8]>::to_vec));
        }
        let (result, kept) = inspect::verify_keeping(self.data, self.db_len, &[key.to_vec()])?;
        ensure!(result.is_clean(), "the snapshot is corrupt");
        Ok(kept.get(key).flatten().map(<[u8]>::to_vec))
    }
}
