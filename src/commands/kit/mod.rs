// SPDX-License-Identifier: Apache-2.0
//! Recovery kits: sealed by a save, uploaded with its snapshot, kept as long as a snapshot needs them.

mod open;
mod prune;
mod seal;
mod upload;
mod verify;

pub(crate) use open::open_kit;
pub(super) use prune::{prune_local, prune_remote};
pub(crate) use seal::Sealer;
pub(super) use seal::{ServerFacts, seal};
pub(super) use upload::KitUploads;
pub(crate) use verify::{Reading, VerifyRequest, ensure_opens, read_kit, verify};
