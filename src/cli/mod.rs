// SPDX-License-Identifier: Apache-2.0
//! The arguments of all commands, one file each. No logic: what an option means is decided in `config`.
//!
//! An argument whose id is a row of `config/options.rs` (with `_` for `-`) is a setting like any other.

mod check_s3;
mod common;
mod delete;
mod fetch;
mod kit;
mod list;
mod prune;
mod rebuild;
mod restore;
mod s3;
mod save;
mod status;
mod verify;

pub use check_s3::CheckS3;
pub use common::{Common, ReportFormat};
pub use delete::Delete;
pub use fetch::Fetch;
pub use kit::{Kit, KitAction};
pub use list::{List, Output};
pub use prune::Prune;
pub use rebuild::Rebuild;
pub use restore::Restore;
pub use s3::S3;
pub use save::Save;
pub use status::Status;
pub use verify::Verify;
