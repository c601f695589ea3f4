// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot-restore: see `cmd/restore`.

use std::process::ExitCode;

use k3s_snapshot::app;
use k3s_snapshot::wire::restore::{RESTORE, child};

fn main() -> ExitCode {
    // The process that is to become K3s begins as one of ours.
    child().unwrap_or_else(|| app::main(&RESTORE))
}
