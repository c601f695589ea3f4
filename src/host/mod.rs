// SPDX-License-Identifier: Apache-2.0
//! The machine: files, locks, systemd, K3s. The rest of the program uses what this file exports.

pub mod aside;
pub mod copy;
pub mod datastore;
mod draft;
pub mod file_tree;
pub mod fs;
pub mod install;
mod interfaces;
pub mod k3s;
pub mod lock;
pub mod machine;
pub mod metrics_dir;
mod naming;
pub mod notify;
pub mod open_files;
pub mod ports;
pub(crate) mod private_file;
mod progress;
pub mod readyz;
pub mod server_files;
pub mod signals;
mod sleep;
pub mod space;
pub mod supervisor;
pub mod systemd;
mod unit;

pub use draft::{Draft, Published, PublishedFile};
pub use fs::FileAt;
pub use interfaces::{Host, JoinServer, K3s, ResetOutcome};
pub(crate) use naming::{is_temp_name, remove_replacements};
pub use ports::Listener;
pub use progress::{NoProgress, Progress, StepRecorder};
pub use readyz::Ready;
pub use server_files::{Scratch, ServerFiles};
pub use sleep::sleep_exactly;
pub use unit::{Active, Unit, UnitControl};
