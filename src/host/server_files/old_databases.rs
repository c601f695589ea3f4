// SPDX-License-Identifier: Apache-2.0
//! What restores and resets have left: previous databases, discarded ones, and certificates that K3s set aside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::ServerFiles;
use crate::distribution;
use crate::host::file_tree;
use crate::host::fs::sync_dir;

impl ServerFiles {
    /// The databases and certificates that restores have left: kind, path, bytes; the newest first.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn old_databases(&self) -> Result<Vec<(&'static str, PathBuf, u64)>> {
        let mut all = Vec::new();
        for (dir, kinds) in [
            (
                self.db(),
                [
                    distribution::ETCD_OLD,
                    distribution::ETCD_FAILED,
                    distribution::SQLITE_OLD,
                    distribution::SQLITE_FAILED,
                ]
                .as_slice(),
            ),
            (self.server(), [distribution::TLS_OLD].as_slice()),
        ] {
            let context = || format!("reading '{}'", dir.display());
            for entry in fs::read_dir(&dir).with_context(context)? {
                let entry = entry.with_context(context)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                for kind in kinds {
                    // Only names that K3s or this program gives: a number, and perhaps another one behind a dash.
                    let numbers =
                        name.strip_prefix(kind).map(|n| n.split('-').map(str::parse::<u64>).collect());
                    if let Some(Ok::<Vec<u64>, _>(numbers)) = numbers
                        && entry.file_type().with_context(context)?.is_dir()
                    {
                        all.push((numbers, *kind, entry.path()));
                    }
                }
            }
        }
        all.sort();
        all.into_iter()
            .rev()
            .map(|(_, kind, path)| file_tree::size(&path).map(|bytes| (kind, path, bytes)))
            .collect()
    }

    /// Deletes one of them.
    ///
    /// # Errors
    /// If it cannot be deleted completely.
    pub fn delete_old_database(&self, old: &Path) -> Result<()> {
        file_tree::remove(old)?;
        sync_dir(old.parent().unwrap_or(old))
    }
}
