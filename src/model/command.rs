// SPDX-License-Identifier: Apache-2.0
//! The commands, and how a run of one can end.

use serde::{Serialize, Serializer};

use crate::error::Kind;

/// A command of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Save a snapshot.
    Save,
    /// List snapshots.
    List,
    /// Verify snapshots.
    Verify,
    /// Apply the retention policy.
    Prune,
    /// Delete named snapshots.
    Delete,
    /// Restore from a snapshot, or one of the other restore operations.
    Restore,
    /// Rebuild a server on a new machine.
    Rebuild,
    /// Make and verify recovery kits.
    Kit,
    /// Download a snapshot from the bucket.
    Fetch,
    /// Test access to the bucket.
    CheckS3,
    /// Show the state of the snapshots and the jobs.
    Status,
}

impl Command {
    /// The word of the command line, of reports and of the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Command::Save => "save",
            Command::List => "list",
            Command::Verify => "verify",
            Command::Prune => "prune",
            Command::Delete => "delete",
            Command::Restore => "restore",
            Command::Rebuild => "rebuild",
            Command::Kit => "kit",
            Command::Fetch => "fetch",
            Command::CheckS3 => "check-s3",
            Command::Status => "status",
        }
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Success.
    Done,
    /// There was nothing to do on this machine.
    Skipped,
    /// An error of this kind.
    Failed(Kind),
}

impl Outcome {
    /// The stable word: `done`, `skipped`, or the kind of the error.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Skipped => "skipped",
            Outcome::Failed(kind) => kind.as_str(),
        }
    }

    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Done | Outcome::Skipped => 0,
            Outcome::Failed(kind) => kind.exit_code(),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
