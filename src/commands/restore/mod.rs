// SPDX-License-Identifier: Apache-2.0
//! restore: the new database is prepared aside, exchanged for the live one, and verified; or the exchange is reversed.
//!
//! docs/design/restore.md has the stages and the reasons. A restore goes through the files in this order: `restore` (or
//! `cluster_reset`, `rejoin`), `select`, `preflight`, `peers`, `prepare`, `transaction`, `verify`, `rollback`. What an
//! interrupted restore leaves is finished by `recover`.

mod cluster_reset;
mod context;
mod failure;
mod identity;
mod latest;
mod old_databases;
mod peers;
mod preflight;
mod prepare;
mod prepare_sqlite;
mod prepared;
mod recover;
mod rejoin;
mod remote;
#[allow(clippy::module_inception, reason = "the operation has the name of the command")]
mod restore;
mod rollback;
mod select;
mod transaction;
mod verify;

pub use cluster_reset::cluster_reset;
pub use context::{
    Cluster, Context, Machine, Options, Rehearsal, RemoteSnapshots, SafetySnapshot, SafetySnapshots, Stores,
    Timeouts,
};
pub use old_databases::prune_old_databases;
pub use recover::{recover, recover_files};
pub use rejoin::rejoin;
pub use restore::restore;
