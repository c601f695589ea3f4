// SPDX-License-Identifier: Apache-2.0
//! Verification: reads a snapshot and trusts none of its bytes. Nothing here opens a file or knows a path.
//!
//! A snapshot is a bbolt file followed by its SHA-256. `digest` checks that the bytes are those that were written, and
//! `verify` that they are a whole database of etcd. The layers below `verify`: `meta`, `page`, `page_map`, `freelist` and
//! `bbolt` read the file format; `mvcc`, `facts`, `proto`, `nodes` and `objects` read what etcd, K3s and Kubernetes store in it.
//! `content` reduces a database to what can be compared. `canonical` and `offline_db` read the file of an etcd that did not
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
mod sample;
mod verify;

pub(crate) use canonical::{CanonicalImage, canonicalize};
pub use content::{Bootstrap, Comparison, Content, read_content};
pub(crate) use digest::hash_with_trailer;
pub use digest::{Digests, TRAILER, check_trailer, database_len, hash, trailer};
pub use facts::{Facts, Member};
pub(crate) use facts::{KUBE_SYSTEM, uid};
pub use finding::{Check, Finding};
pub use meta::has_magic;
pub use nodes::{Address, AddressKind, Node};
pub use objects::{KeptObjects, ObjectData, ObjectKind, Unreadable};
pub use offline_db::{OfflineDb, open_offline};
pub use sample::Sample;
pub use verify::{CheckResult, verify, verify_keeping};
