// SPDX-License-Identifier: Apache-2.0
//! Verification: reads a snapshot and trusts none of its bytes. Nothing here opens a file or knows a path.
//!
//! A snapshot is a database followed by its SHA-256: the bbolt file of etcd, or the SQLite file of kine. `digest` checks that
//! the bytes are those that were written, and `verify` that they are a whole database. `sqlite` reads a database of kine. The
//! other layers below `verify`: `meta`, `page`, `page_map`, `freelist` and
//! `bbolt` read the file format; `mvcc`, `facts`, `proto`, `nodes` and `objects` read what etcd, K3s and Kubernetes store in it.
//! `read_content` reduces a database to `content`, which can be compared. `canonical` and `offline_db` read the file of an etcd that did not
//! send it.

mod bbolt;
mod canonical;
mod content;
mod cursor;
mod digest;
mod facts;
mod finding;
mod freelist;
mod meta;
mod mvcc;
mod nodes;
mod objects;
mod offline_db;
mod page;
mod page_map;
mod page_set;
mod proto;
mod read_ahead;
mod read_content;
mod sample;
mod sqlite;
mod verify;

pub(crate) use canonical::{CanonicalImage, canonicalize};
pub use content::{Bootstrap, Comparison, Content};
pub(crate) use digest::hash_with_trailer;
pub use digest::{Digests, TRAILER, check_trailer, database_len, hash, trailer};
pub use facts::{Facts, Member};
pub(crate) use facts::{KUBE_SYSTEM, uid};
pub use finding::{Check, Finding};
pub(crate) use meta::fnv1a;
pub use nodes::{Address, AddressKind, Node};
pub(crate) use nodes::{node_key, node_name, read_node};
pub use objects::{KeptObjects, ObjectData, ObjectKind, Unreadable};
pub use offline_db::{OfflineDb, open_offline};
pub use read_content::read_content;
pub use sample::Sample;
pub use verify::{CheckResult, datastore_of, verify, verify_keeping};

pub use crate::datastore::Datastore;
