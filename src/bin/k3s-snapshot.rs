// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot-save, -list, -verify, -prune, -delete and -restore: one file, which has all these names.

use std::process::ExitCode;

fn main() -> ExitCode {
    k3s_snapshot::app::dispatch::main()
}
