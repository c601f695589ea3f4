// SPDX-License-Identifier: Apache-2.0
//! A systemd that does not answer: every command, and a restore in the middle.

use crate::support::host::Host;
use crate::support::require::require;

/// In a booted host. A bus that hangs costs each call its whole time limit: that is tried with `LONG=1`.
#[test]
fn a_systemd_that_does_not_answer_loses_nothing() {
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    let faults = if long { &["bus-stopped", "bus-hangs", "pid-1-frozen"][..] } else { &["bus-stopped"] };
    let host = require!(Host::new()).seconds(3600);
    let output = host.run("silent-systemd", faults).succeeded();
    assert!(output.contains(&format!("{} rows of faults, losses 0", faults.len() * 10)), "{output}");
    for line in output.lines().filter(|line| line.contains(" ms ")) {
        use std::io::Write;
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
}
