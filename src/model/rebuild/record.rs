// SPDX-License-Identifier: Apache-2.0
//! The record of a rebuild that is not done yet: which files it writes. A later run may replace them, whatever kit it uses, and
//! finishes the rebuild.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::digest::Digest;

/// The version of [`RebuildRecord`] that this code writes.
const RECORD_VERSION: u32 = 1;

/// A rebuild that is not done yet. Only root can read it: a digest of a token is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RebuildRecord {
    /// Version of this format: 1.
    version: u32,
    /// When it began: seconds since the epoch.
    pub(crate) started_at: u64,
    /// The files that were written, or were about to be.
    files: Vec<WrittenFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenFile {
    path: PathBuf,
    sha256: Digest,
}

impl RebuildRecord {
    /// Of a rebuild that begins now.
    pub(crate) fn new(started_at: u64) -> RebuildRecord {
        RebuildRecord { version: RECORD_VERSION, started_at, files: vec![] }
    }

    /// Adds a file that is about to be written.
    pub(crate) fn add(&mut self, path: &Path, text: &str) {
        if !self.has(path, text) {
            self.files.push(WrittenFile { path: path.to_owned(), sha256: digest(text) });
        }
    }

    /// Whether this text at this path was written by the rebuild.
    pub(crate) fn has(&self, path: &Path, text: &str) -> bool {
        let sha256 = digest(text);
        self.files.iter().any(|file| file.path == path && file.sha256 == sha256)
    }

    /// Whether this program understands it.
    pub(crate) fn is_known(&self) -> bool {
        self.version == RECORD_VERSION
    }
}

fn digest(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_knows_its_files_and_reads_back() {
        let mut record = RebuildRecord::new(7);
        record.add(Path::new("/a"), "one");
        record.add(Path::new("/a"), "two");
        for (path, text, want) in
            [("/a", "one", true), ("/a", "two", true), ("/a", "three", false), ("/b", "one", false)]
        {
            assert_eq!(record.has(Path::new(path), text), want, "{path} {text}");
        }
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("one"));
        let read: RebuildRecord = serde_json::from_str(&text).unwrap();
        assert!(read == record && read.is_known());
    }
}
