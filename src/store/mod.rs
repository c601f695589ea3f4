// SPDX-License-Identifier: Apache-2.0
//! The stores of snapshots: a local directory, or a bucket. A store deals in snapshots, not in files or objects.

mod created_at;
mod directory;
mod extra_metadata;
mod kits;
pub mod local;
mod manifests;
mod removal;
pub mod s3;
mod traits;

pub use kits::KitStore;
pub(crate) use kits::LocalKits;
pub use traits::{LocalStore, Opened, Owner, PublishedSnapshot, RemoteStore, Store, VerifiedFile};
