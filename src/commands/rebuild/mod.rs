// SPDX-License-Identifier: Apache-2.0
//! rebuild: a server on a new machine, from a bucket and one private key.
//!
//! `select` finds the snapshot and its kit, `write` writes the configuration of K3s, `finish` waits for a K3s that a rebuild has
//! started before it was interrupted. The restore itself is that of `restore`.

mod finish;
#[allow(clippy::module_inception, reason = "the operation has the name of the command")]
mod rebuild;
mod record;
mod select;
mod write;

pub(crate) use finish::{FinishRequest, finish};
pub(crate) use rebuild::{RebuildRequest, rebuild};
pub(crate) use record::RecordFile;
pub(crate) use select::Keys;
