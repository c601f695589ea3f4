// SPDX-License-Identifier: Apache-2.0
//! K3s's own program run aside: in namespaces of its own for mounts, network and processes, on scratch directories that
//! are mounted over those of the live server. It cannot reach the live files, ports or peers.
//!
//! The service knows nothing of restores: it takes a specification and runs a program. A restore uses it for the cluster
//! reset and for the rehearsal.

mod enter;
mod network;
mod output;
mod process;
mod spec;

pub use enter::exec_helper;
pub use network::HostNetwork;
pub use output::LogTail;
pub use process::{Exit, RunningAside, start};
pub use spec::{AsideSpec, BindMount};
