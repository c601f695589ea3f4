// SPDX-License-Identifier: Apache-2.0
//! Wires a restore: this machine with its systemd, its K3s, its etcd and its files.

mod arguments;
mod command;
mod recovery;
mod server;
mod snapshots;
mod token;

pub(super) use arguments::confirm;
pub(super) use recovery::{STATE_DIR, require_root, run as recover, timeouts};
pub(super) use server::{api_addresses, program, require_restorable, service};
pub(super) use snapshots::SAFETY_BASE;
pub(super) use token::read_token;
