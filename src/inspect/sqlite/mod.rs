// SPDX-License-Identifier: Apache-2.0
//! A SQLite database of kine, the datastore of K3s without etcd: every page, every row, every entry of an index.
//!
//! The file is read here and not by SQLite: its bytes are not trusted, and they may be in an unnamed file or in a bucket.
//! The format is <https://www.sqlite.org/fileformat2.html>. The layers, from below: `header`, `pages` and `page` read pages;
//! `btree` walks a table or an index; `record` reads a row; `schema` and `index` read what tables and indexes there are;
//! `kine` knows what K3s stores, and `content` reduces that to what can be compared.

mod btree;
mod content;
mod freelist;
mod header;
mod index;
mod kine;
mod page;
mod pages;
mod record;
mod schema;
mod verify;

pub(super) use content::KineContent;
pub(super) use header::has_magic;
pub(super) use kine::KineFacts;
pub(super) use verify::walk;
