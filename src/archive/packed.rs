// SPDX-License-Identifier: Apache-2.0
//! Packed files that are not snapshots themselves, recognized by their first bytes: operators pack what they store elsewhere.

use std::io;

use crate::io::ReadAt;

/// Formats: name, offset and bytes of the magic number.
const FORMATS: &[(&str, usize, &[u8])] = &[
    ("gzip", 0, &[0x1f, 0x8b]),
    ("zstd", 0, &[0x28, 0xb5, 0x2f, 0xfd]),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("bzip2", 0, b"BZh"),
    ("lz4", 0, &[0x04, 0x22, 0x4d, 0x18]),
    ("7z", 0, &[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]),
    ("tar", 257, b"ustar"),
];

/// The name of the format that a file is packed with, for instance `gzip`. `None` for a zip, which is a form of snapshots, and
/// for everything else.
///
/// # Errors
/// If the first bytes cannot be read.
pub(crate) fn packed_with(data: &dyn ReadAt) -> io::Result<Option<&'static str>> {
    let mut head = vec![0; usize::try_from(data.size()).unwrap_or(512).min(512)];
    data.read_exact_at(&mut head, 0)?;
    let fits = |(_, at, magic): &&(&str, usize, &[u8])| head.get(*at..).is_some_and(|b| b.starts_with(magic));
    Ok(FORMATS.iter().find(fits).map(|(name, ..)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_files_are_recognized_by_their_first_bytes() {
        let mut tar = vec![0; 1024];
        tar[257..262].copy_from_slice(b"ustar");
        let snapshot = include_bytes!("../../tests/fixtures/before-server-1-1795339215");
        let rows: [(&[u8], Option<&str>); 8] = [
            (b"\x1f\x8b\x08\x00", Some("gzip")),
            (b"\x28\xb5\x2f\xfd\x04", Some("zstd")),
            (b"\xfd7zXZ\x00\x00", Some("xz")),
            (&tar, Some("tar")),
            (b"", None),
            (b"\x1f", None),
            (b"PK\x03\x04", None),
            (snapshot, None),
        ];
        for (bytes, wanted) in rows {
            assert_eq!(packed_with(&bytes).unwrap(), wanted);
        }
    }
}
