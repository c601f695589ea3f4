// SPDX-License-Identifier: Apache-2.0
//! Compresses a snapshot in the pass that hashes it: its bytes are read once for both. The zip is kept only if the snapshot
//! passes verification.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};

use crate::archive::zip::{self, Packer};
use crate::host::{Draft, Progress};
use crate::inspect;
use crate::io::ReadAt;
use crate::model::name::SnapshotName;
use crate::model::snapshot::Digest;
use crate::source::trailer_hasher::TrailerHasher;
use crate::store::LocalStore;

/// A zip in the making.
pub(super) struct Zipping<'a> {
    draft: Draft,
    written: Mutex<Written>,
    progress: &'a dyn Progress,
}

struct Written {
    packer: Packer<File>,
    bytes: u64,
    result: Result<()>,
}

/// A snapshot whose bytes go into a zip as they are read, in order.
pub(super) struct Tee<'a> {
    data: &'a dyn ReadAt,
    into: &'a Zipping<'a>,
}

impl<'a> Zipping<'a> {
    /// Begins the zip of a snapshot of `bytes` bytes.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn start(
        local: &dyn LocalStore,
        name: &SnapshotName,
        bytes: u64,
        progress: &'a dyn Progress,
    ) -> Result<Zipping<'a>> {
        let draft = local.draft()?;
        // A clone has taken no space yet.
        draft.ensure_free_space(bytes.saturating_add(bytes / 1000))?;
        let file = draft.file().try_clone().context("opening the zip")?;
        let packer = Packer::new(&name.plain().to_string(), name.at, bytes, file)?;
        let written = Mutex::new(Written { packer, bytes: 0, result: Ok(()) });
        Ok(Zipping { draft, written, progress })
    }

    /// The snapshot as a reader that fills the zip.
    pub(super) fn tee(&'a self, data: &'a dyn ReadAt) -> Tee<'a> {
        Tee { data, into: self }
    }

    /// Adds bytes that begin at this offset of the snapshot.
    pub(super) fn add(&self, bytes: &[u8], offset: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.result.is_err() {
            return;
        }
        written.result = match written.bytes == offset {
            true => written.packer.write(bytes),
            false => Err(anyhow!("byte {offset} follows byte {} in the zip", written.bytes)),
        };
        written.bytes = written.bytes.saturating_add(bytes.len() as u64);
        self.progress.advance(bytes.len() as u64);
    }

    /// Ends the zip and reads it back: what is published is what was read. `original` is size and digest of the snapshot.
    ///
    /// # Errors
    /// If the zip cannot be written or read, or is not the snapshot.
    pub(super) fn finish(self, original: (u64, Digest)) -> Result<(Draft, Digest)> {
        let Zipping { draft, written, progress } = self;
        progress.step("reading the zip", None);
        let Written { packer, result, .. } = written.into_inner().unwrap_or_else(PoisonError::into_inner);
        result
            .and_then(|()| packer.finish())
            .with_context(|| format!("compressing into '{}'", draft.folder().display()))?
            .map_err(|e| draft.write_error(e))?;
        let packed = draft.reader()?;
        let stored = inspect::hash(&packed, packed.size(), &mut |_| {})?;
        let mut roundtrip = TrailerHasher::default();
        let unpacked = zip::unpack(&packed, &|_| Ok(()), &mut roundtrip)?;
        let matches =
            matches!(&unpacked, zip::Unpacked::Whole(_)) && roundtrip.finish().ok() == Some(original);
        if !matches {
            return Err(anyhow!("the compressed snapshot does not match the original; nothing was kept"));
        }
        Ok((draft, Digest(stored.file)))
    }
}

impl ReadAt for Tee<'_> {
    fn size(&self) -> u64 {
        self.data.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.data.read_exact_at(buf, offset)?;
        self.into.add(buf, offset);
        Ok(())
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.data.will_need(offset, len);
    }
}
