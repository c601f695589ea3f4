// SPDX-License-Identifier: Apache-2.0
//! The SQLite database of K3s, and the only importer of SQLite: it is saved, asked for what it contains, and changed at rest.

mod backup;
mod connection;
mod probe;
mod raise;
mod wal;

pub(crate) use backup::SqliteSource;
pub(crate) use probe::SqliteProbe;
pub(crate) use raise::raise_revision;
