// SPDX-License-Identifier: Apache-2.0
//! How a clone of the database file of a running etcd becomes equal to bbolt's own copy of that database.
//!
//! The file differs from a snapshot in three ways: one of its meta pages is older, it has unused space at the end, and it has no
//! trailer. Nothing is verified here.

use std::io;

use super::cursor::{Cursor, SeekTarget};
use super::finding::{Check, Finding, Findings, PageError};
use super::meta::{self, Meta};
use super::mvcc::{main_revision, main_revision_or_zero};
use crate::io::ReadAt;

/// The changes that make a clone byte by byte equal to bbolt's own copy.
#[derive(Debug)]
pub(crate) struct CanonicalImage {
    /// The length to truncate it to: the pages after the high-water mark are unused.
    pub(crate) db_len: u64,
    /// The bytes to write at its start: both meta pages.
    pub(crate) metas: Vec<u8>,
    /// etcd's revision, from a few page reads instead of a walk. `None` if the path to it is corrupt.
    pub(crate) revision: Option<i64>,
}

/// Computes the canonical image of a clone of a live file.
///
/// # Errors
/// Outside: the bytes cannot be read. Inside, a finding: neither meta page is valid, or pages are missing.
pub(crate) fn canonicalize(data: &dyn ReadAt) -> io::Result<Result<CanonicalImage, Finding>> {
    let mut findings = Findings::default();
    let Some(meta) = meta::newest(data, &mut findings)? else {
        let none = || Finding::new(Check::MetaMagic, "neither meta page is valid");
        return Ok(Err(findings.kept.into_iter().next().unwrap_or_else(none)));
    };
    let db_len = meta.pages.saturating_mul(meta.page_size.into());
    if db_len > data.size() {
        let text = format!(
            "the file has {} bytes, but {} pages of {} bytes are in use",
            data.size(),
            meta.pages,
            meta.page_size
        );
        return Ok(Err(Finding::new(Check::Length, text)));
    }
    let revision = match revision(data, &meta) {
        Ok(revision) => revision,
        Err(PageError::Found(_)) => None,
        Err(PageError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof => None,
        Err(PageError::Io(e)) => return Err(e),
    };
    Ok(Ok(CanonicalImage { db_len, metas: meta::meta_pages(data, &meta)?, revision }))
}

/// The revision as etcd computes it on start: the last key of the bucket `key`, or the compacted revision if that is later.
fn revision(data: &dyn ReadAt, meta: &Meta) -> Result<Option<i64>, PageError> {
    let mut cursor = Cursor::new(data, meta);
    let Some(bucket) = cursor.bucket(b"key")? else { return Ok(None) };
    let last = cursor.seek(bucket, SeekTarget::Last)?.map(|found| found.key).unwrap_or_default();
    let newest = main_revision(last.get(..17).unwrap_or(&last));
    let Some(bucket) = cursor.bucket(b"meta")? else { return Ok(None) };
    let mut revision = newest.unwrap_or(0);
    for key in [&b"finishedCompactRev"[..], b"scheduledCompactRev"] {
        let found = cursor.seek(bucket, SeekTarget::Key(key))?;
        let compacted = found.and_then(|found| main_revision_or_zero(&found.value));
        revision = revision.max(compacted.unwrap_or(0));
    }
    // A store that was never written to is at revision 1, which no key shows.
    Ok(Some(revision.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{TRAILER, verify};

    const STREAMED: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");

    fn database() -> Vec<u8> {
        STREAMED[..STREAMED.len() - TRAILER as usize].to_vec()
    }

    #[test]
    fn a_streamed_database_is_canonical_and_has_the_revision_that_verify_finds() {
        let mut file = database();
        let len = file.len() as u64;
        let verified = verify(&&file[..], len).unwrap().facts.revision;
        // The space that bbolt allocates in advance.
        file.resize(file.len() + 65536, 0xEE);
        let image = canonicalize(&&file[..]).unwrap().unwrap();
        assert_eq!((image.db_len, image.revision), (len, Some(verified)));
        assert_eq!(image.metas, file[..8192]);
    }

    #[test]
    fn a_damaged_byte_never_panics_and_never_invents_a_revision() {
        let file = database();
        let mut without = 0;
        for at in (0..file.len()).step_by(61) {
            let mut file = file.clone();
            file[at] ^= 0xFF;
            without += u32::from(canonicalize(&&file[..]).unwrap().is_ok_and(|n| n.revision.is_none()));
        }
        assert!(canonicalize(&&file[..4096]).unwrap().is_err());
        assert!(canonicalize(&&b""[..]).unwrap().is_err());
        assert!(canonicalize(&&file[..file.len() - 4096]).unwrap().is_err());
        assert!(without > 0);
    }
}
