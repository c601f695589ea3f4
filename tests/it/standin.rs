// SPDX-License-Identifier: Apache-2.0
//! Is the stand-in for K3s true? Everything that the restore is tested with stands on it.

use crate::support::host::Host;
use crate::support::require::require;

#[test]
fn the_stand_in_does_what_was_measured_on_a_real_k3s() {
    let host = require!(Host::new());
    let said = host.run("standin-is-true", &[]).succeeded();
    assert!(said.contains("the stand-in is true: "), "{said}");
}
