// SPDX-License-Identifier: Apache-2.0
//! Changes to the files of an etcd member that no process has open: its revision, and the id of its cluster.
//!
//! A restore makes these changes to the database that it has prepared, before that database is served. The functions
//! on bytes ([`plan_raise`], [`Fence`]) compute what to write and write nothing; [`raise_revision`], [`fence`] and
//! [`wal_info`] work on files. Nothing here starts etcd or asks it anything.

mod apply;
mod bolt_format;
mod bolt_meta;
mod bolt_page;
mod bolt_write;
mod crc32c;
mod fence;
mod proto;
mod raise_revision;
mod wal;
mod wal_name;

pub use apply::{Fenced, fence, raise_revision, wal_info};
pub use bolt_write::{Commit, PageWrite};
pub use fence::Fence;
pub use raise_revision::{RaisePlan, Raised, plan_raise};
pub use wal::{WalInfo, WalScan};
