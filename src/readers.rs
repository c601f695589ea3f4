// SPDX-License-Identifier: Apache-2.0
//! Every reader of bytes that others write, as a function of bytes. Only the fuzz targets in `fuzz/` and `tests/it/readers.rs` use
//! this file. A new reader of foreign bytes is a new row, and a directory in `fuzz/seeds`.

use crate::archive::zip;
use crate::config;
use crate::etcd_files::WalScan;
use crate::inspect;
use crate::model;
use crate::model::secret::Secret;
use crate::store::s3;

/// A reader. It returns, whatever the bytes are.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// The name of its directory in `fuzz/seeds`.
    pub name: &'static str,
    /// Reads, and forgets what it has read.
    pub read: fn(&[u8]),
}

/// All readers.
pub const READERS: &[Reader] = &[
    Reader { name: "snapshot", read: snapshot },
    Reader { name: "node", read: node },
    Reader { name: "object", read: object },
    Reader { name: "zip", read: archive },
    Reader { name: "xml", read: s3::read_response },
    Reader { name: "manifest", read: json::<model::snapshot::Manifest> },
    Reader { name: "yaml", read: yaml },
    Reader { name: "unit", read: |bytes| config::unit::read_text(&String::from_utf8_lossy(bytes)) },
    Reader { name: "wal", read: wal },
    Reader { name: "token", read: token },
    Reader { name: "bootstrap", read: bootstrap },
    Reader { name: "state", read: json::<model::restore::RestoreState> },
    Reader { name: "last-restore", read: json::<model::restore::LastRestore> },
    Reader {
        name: "mountinfo",
        read: |bytes| drop(model::mounts::Mounts::parse(&String::from_utf8_lossy(bytes))),
    },
    Reader { name: "file-name", read: file_name },
];

/// The database as it is, and with the checksums of both meta pages of bbolt as they must be: no mutation guesses them, and the
/// walk starts only after them.
fn snapshot(bytes: &[u8]) {
    verify(bytes);
    let mut valid = bytes.to_vec();
    for at in [16, 4096 + 16] {
        let record = valid.get_mut(at..at + 64).and_then(<[u8]>::split_last_chunk_mut::<8>);
        let Some((fields, checksum)) = record else { return };
        *checksum = inspect::fnv1a(fields.iter()).to_le_bytes();
    }
    verify(&valid);
}

fn verify(bytes: &[u8]) {
    let _ = inspect::datastore_of(&bytes);
    let length = inspect::database_len(bytes.len() as u64).unwrap_or(bytes.len() as u64);
    let _ = inspect::verify(&bytes, length);
    let _ = inspect::read_content(&bytes, length, None);
    let _ = inspect::open_offline(bytes);
}

fn node(bytes: &[u8]) {
    inspect::read_node("node".to_owned(), bytes);
    let _ = inspect::node_name(bytes);
}

fn object(bytes: &[u8]) {
    for kind in [inspect::ObjectKind::Secret, inspect::ObjectKind::ConfigMap] {
        let _ = kind.read("name", bytes);
    }
}

fn archive(bytes: &[u8]) {
    let _ = zip::is_zip(&bytes);
    let _ = zip::claimed_size(&bytes);
    let enough = |size: u64| match size {
        0..=1_000_000 => Ok(()),
        _ => Err(anyhow::anyhow!("too large for this test")),
    };
    let _ = zip::unpack(&bytes, &enough, &mut std::io::sink());
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) {
    let _ = serde_json::from_slice::<T>(bytes);
}

fn yaml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = config::parse_yaml(text);
    }
}

fn wal(bytes: &[u8]) {
    let mut scan = WalScan::new();
    let _ = scan.file(&bytes);
    let _ = scan.finish();
}

fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = model::token::parse(&Secret::new(&*text));
    let _ = model::token::hash(&text);
}

fn bootstrap(bytes: &[u8]) {
    let _ = model::bootstrap::open(bytes, &Secret::new("password"));
}

fn file_name(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = model::name::SnapshotName::parse(text);
        let _ = model::name::SnapshotName::parse_partial(text);
        s3::read_name(text);
    }
}
