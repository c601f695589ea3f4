// SPDX-License-Identifier: Apache-2.0
//! The arguments of kit.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{Parser, ValueEnum};

use super::common::Common;
use super::s3::S3;

/// Make the keys of recovery kits, and verify that a kit can be opened
///
/// A recovery kit has what a new machine needs and a snapshot lacks: the tokens and the configuration of K3s. With
/// kit-recipients set, each save seals one with age for these public keys. The private key is the identity.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  k3s-snapshot kit init                          make a pair of keys, print the private key once
  k3s-snapshot kit verify --identity /mnt/key    the kit of the newest snapshot on this server
  k3s-snapshot kit verify --identity - </mnt/key the same, without the key on this server's disk
  k3s-snapshot kit verify --s3 --identity key    the newest snapshot and its kit in the bucket
  k3s-snapshot kit show --identity key KIT       what is in a kit; no secret is shown

Exit codes: 0 done; 1 failed; 2 usage; 4 no such kit or snapshot; 65 the kit is corrupt; 77 the
identity does not open the kit, or the token of the kit not the snapshot; 78 configuration.
See k3s-snapshot-kit(8).")]
pub struct Kit {
    /// What to do
    #[arg(value_name = "ACTION", required_unless_present = "show_config")]
    pub action: Option<KitAction>,
    /// Name of a kit, or a path (anything with a slash) [default: the kit of the newest snapshot]
    #[arg(value_name = "KIT|PATH")]
    pub kit: Option<String>,
    /// File with the private key, of age or of SSH; - for standard input. With init: the file to write
    #[arg(long, value_name = "FILE")]
    pub identity: Option<String>,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub common: Common,
}

/// Values of ACTION.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KitAction {
    /// Make a pair of keys
    Init,
    /// Open a kit and verify that its token opens the newest snapshot
    Verify,
    /// Show what is in a kit, without its secrets
    Show,
}
