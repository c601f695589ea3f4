// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot-generator(8)

use std::process::ExitCode;

fn main() -> ExitCode {
    k3s_snapshot::app::generator::main()
}
