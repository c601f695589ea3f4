// SPDX-License-Identifier: Apache-2.0
//! Where a snapshot comes from. Another datastore, or another method to read one, is another file here.

mod capture;
mod database_file;
pub mod etcd;
mod handshake;
mod objects;
pub mod offline;
mod pace;
pub mod pinned;
mod probe;
pub mod reflink;
mod rest;
pub mod sqlite;
pub mod trailer_hasher;

pub use capture::{CaptureOutcome, Captured, Source};
pub use objects::{ClusterObjects, SnapshotObjects};
pub use probe::{DatastoreProbe, LiveMember, MemberStatus};
pub use rest::Resting;

pub use crate::inspect::{Comparison, Datastore, ObjectKind, Sample, Unreadable};
