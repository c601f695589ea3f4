// SPDX-License-Identifier: Apache-2.0
//! What K3s is started with: the flags of its service, its variables and its configuration files, merged as K3s merges them.

mod argv;
mod env_file;
mod environment;
mod flags;
mod k3s_flags;
mod kit;
mod quoting;
mod readers;
mod reset;
mod unit_file;

pub(super) use environment::CONFIG_FILE;
pub(crate) use environment::variables_in_files;
pub use flags::K3sFlags;
pub(super) use k3s_flags::long_name;
pub(crate) use readers::read_text;
pub use reset::ResetInvocation;
pub(super) use unit_file::UNIT_DIRS;
pub(crate) use unit_file::find as find_in_files;
