// SPDX-License-Identifier: Apache-2.0
//! The arguments of fetch.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::common::Common;
use super::s3::S3;

/// Download a snapshot from the bucket and verify it
///
/// The file gets its name in DIRECTORY only after every byte was checked. Existing files are not replaced. Works on any
/// machine: K3s is not needed.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot fetch timer-server-1-1795339215 /tmp    download into /tmp
  k3s-snapshot fetch --s3-bucket backups NAME .        with the bucket on the command line

Exit codes: 0 downloaded and verified; 1 failed; 2 usage; 4 no such snapshot; 65 the snapshot is
corrupt, nothing was kept; 77 refused; 78 configuration. See k3s-snapshot-fetch(8).")]
pub struct Fetch {
    /// Name of the snapshot in the bucket
    #[arg(
        value_name = "NAME",
        required_unless_present = "show_config",
        default_value = "",
        hide_default_value = true
    )]
    pub snapshot: String,
    /// Directory for the snapshot
    #[arg(
        value_name = "DIRECTORY",
        required_unless_present = "show_config",
        default_value = "",
        hide_default_value = true
    )]
    pub directory: String,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
