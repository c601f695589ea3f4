// SPDX-License-Identifier: Apache-2.0
//! Changes to the files of an etcd member that does not run: the revision of its database, and the id of its cluster.
//!
//! A restore makes these changes to the database that it has prepared, before etcd serves the database.
//! [`plan_raise`], [`Fence`] and [`WalScan`] are pure: they read through `ReadAt`. [`raise_revision`], [`fence`] and
//! [`wal_info`] work on files. Nothing here starts etcd or connects to it.

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

pub use apply::{Fenced, WalEnd, fence, raise_revision, wal_end, wal_info};
pub use bolt_write::{Commit, PageWrite};
pub use fence::Fence;
pub use raise_revision::{RaisePlan, Raised, plan_raise};
pub use wal::{WalInfo, WalScan};
