// SPDX-License-Identifier: Apache-2.0
//! Every file of the K3s server that a restore reads or changes, and the only code that changes them. File work alone: no
//! process is started here and no unit is asked. Each action can be repeated by the process that finds it half done.

mod backup;
mod database;
mod last_restore;
mod layout;
mod old_databases;
mod scratch;
mod sqlite;
mod start_block;
mod state_file;
mod swap;

pub use last_restore::{load_last_restore, save_last_restore};
pub(crate) use layout::RESET_LOG;
pub use layout::ServerFiles;
pub use scratch::Scratch;
pub use state_file::load_state;
