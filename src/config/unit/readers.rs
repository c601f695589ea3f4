// SPDX-License-Identifier: Apache-2.0
//! The readers of unit files as one function of a text, for `crate::readers`.

use super::{argv, env_file, quoting, unit_file};

/// Reads a text as a unit file with its command line, as an environment file, and as words in quotes.
pub(crate) fn read_text(text: &str) {
    let unit = unit_file::from_text("unit.service", text);
    let value = |_: &str| Some("value");
    let _ = argv::read(&argv::expand_variables(&unit.exec_start, &value), "k3s");
    let _ = env_file::parse(text);
    let _ = quoting::split(text);
}
