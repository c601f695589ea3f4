// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot, its links k3s-snapshot-save and so on, and k3s-snapshot-generator: one program with several names.

use std::process::ExitCode;

fn main() -> ExitCode {
    k3s_snapshot::app::dispatch::main()
}
