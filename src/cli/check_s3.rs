// SPDX-License-Identifier: Apache-2.0
//! The arguments of check-s3.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::Parser;

use super::common::Common;
use super::s3::S3;

/// Test access to the S3 bucket and suggest fixes
///
/// Checks name resolution, TLS, credentials, clock, listing, writing, reading and deleting, in this order, with a hint
/// for every check that fails. Writes one small object and deletes it again.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot check-s3                             test the configured bucket
  k3s-snapshot check-s3 --s3-bucket backups         test another bucket
  k3s-snapshot check-s3 --report json               for programs

Exit codes: 0 all checks passed; 1 a check failed; 2 usage; 78 configuration.
See k3s-snapshot-check-s3(8).")]
pub struct CheckS3 {
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}
