// SPDX-License-Identifier: Apache-2.0
//! The fake K3s behaves as a real K3s was measured. All tests of the restore depend on that.

use crate::support::host::Host;
use crate::support::require::require;

#[test]
fn the_fake_k3s_agrees_with_the_measurements() {
    let host = require!(Host::new()).seconds(300);
    let output = host.run("fake-k3s-contract", &[]).succeeded();
    assert!(output.contains("fake K3s agrees with the measurements: "), "{output}");
}
