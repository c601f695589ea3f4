// SPDX-License-Identifier: Apache-2.0
//! The state file of a restore: what it leaves on the disk while it works, and when it is interrupted.
//!
//! The file is a format: version 1, fields are only added. It is written before the actions that it describes, so that the
//! process that finds it knows the worst that can have happened. People read it in an emergency: see
//! k3s-snapshot-restore(8), INTERRUPTED RESTORES.

use core::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::last::LastRestore;
use super::operation::Operation;
use crate::datastore::Datastore;
use crate::model::runbook::Task;
use crate::model::snapshot::Digest;

/// The version of [`RestoreState`] that this code writes.
pub const STATE_VERSION: u32 = 1;

/// How far a restore is. Written down before the actions of the stage begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The new database is being made aside. Nothing live is touched, except that K3s may be blocked and stopped.
    Preparing,
    /// The start of K3s is blocked, K3s is down, and files are being exchanged.
    Swapping,
    /// All files are exchanged. K3s is being started on them, or runs on them already.
    Starting,
    /// The start of K3s is blocked again, and the exchange is being reversed.
    RollingBack,
    /// The files are as they were. The start of K3s is being unblocked, and K3s is being started on them.
    Restarting,
}

/// What a later process does with the state file of an interrupted restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Deletes the scratch directory and unblocks the start.
    CleanUp,
    /// Reverses the exchange, then as for `CleanUp`.
    RollBack,
    /// Leaves the files as they are: K3s may have served them. Then as for `CleanUp`.
    RollForward,
}

impl Stage {
    /// Every stage, for tables and tests.
    pub const ALL: [Stage; 5] =
        [Stage::Preparing, Stage::Swapping, Stage::Starting, Stage::RollingBack, Stage::Restarting];

    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Preparing => "preparing",
            Stage::Swapping => "swapping",
            Stage::Starting => "starting",
            Stage::RollingBack => "rolling-back",
            Stage::Restarting => "restarting",
        }
    }

    /// What a later process does, if no other process has used the files since. From the start of K3s on, a later process
    /// never rolls back.
    pub fn recovery(self) -> Recovery {
        match self {
            Stage::Preparing | Stage::Restarting => Recovery::CleanUp,
            Stage::Swapping | Stage::RollingBack => Recovery::RollBack,
            Stage::Starting => Recovery::RollForward,
        }
    }
}

/// What K3s was doing before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriorState {
    /// It was running.
    Running,
    /// It was stopped, or had never run.
    Stopped,
    /// It failed, or was started again and again.
    Failing,
}

impl PriorState {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            PriorState::Running => "running",
            PriorState::Stopped => "stopped",
            PriorState::Failing => "failing",
        }
    }
}

/// A file or directory, however it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Device number. Written down, not compared: it may change over a reboot.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// When it was created, nanoseconds since the epoch, if the file system records that. An inode number alone is no
    /// identity: every subvolume of btrfs has the same.
    #[serde(default)]
    pub born_ns: Option<i64>,
}

impl Identity {
    /// Whether both are the same, as far as a reboot may be between them.
    pub fn is_same(self, other: Identity) -> bool {
        self.ino == other.ino
            && match (self.born_ns, other.born_ns) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
    }
}

/// What changes when a datastore has opened a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Inode number of the database file.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since the epoch.
    pub mtime_ns: i64,
}

/// A database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The directory of a database of etcd; of SQLite, the database file itself.
    pub directory: Identity,
    /// Its database file; `None` if there is none.
    pub file: Option<Fingerprint>,
    /// The write-ahead log of SQLite; `None` if it has no content.
    #[serde(default)]
    pub log: Option<Fingerprint>,
}

impl Database {
    /// Whether both exist and are the same database, whatever was written to it in between.
    pub fn is_same(now: Option<&Database>, was: Option<&Database>) -> bool {
        now.zip(was).is_some_and(|(now, was)| now.directory.is_same(was.directory))
    }

    /// Whether no datastore has used it in between: the same database with the same file, or none both times.
    pub fn is_unchanged(now: Option<&Database>, was: Option<&Database>) -> bool {
        match (now, was) {
            (Some(n), Some(w)) => Database::is_same(now, was) && n.file == w.file,
            (None, None) => true,
            _ => false,
        }
    }
}

/// One file that K3s rewrites, and the copy from which it is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The file itself, links resolved.
    pub path: PathBuf,
    /// The copy, on the same file system if possible; `None` if the file did not exist.
    pub copy: Option<PathBuf>,
}

/// The snapshot that is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// File name; empty if no snapshot is restored.
    pub name: String,
    /// URL.
    pub location: String,
    /// SHA-256 of the plain snapshot that was verified.
    pub sha256: Digest,
    /// Bytes of the plain snapshot.
    pub size: u64,
    /// Its revision.
    pub revision: i64,
    /// Seconds since the epoch.
    pub created_at: u64,
}

/// The state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreState {
    /// Version of this format: 1.
    pub version: u32,
    /// When the restore began: seconds since the epoch. Part of the names that it leaves.
    pub id: u64,
    /// Which operation it is.
    pub operation: Operation,
    /// The datastore of this server.
    #[serde(default)]
    pub datastore: Datastore,
    /// How far it is.
    pub stage: Stage,
    /// The K3s unit.
    pub unit: String,
    /// Data directory of K3s.
    pub data_dir: PathBuf,
    /// The kubeconfig that K3s writes.
    pub kubeconfig: PathBuf,
    /// What K3s was doing.
    pub previous_state: PriorState,
    /// Whether its API server was ready.
    #[serde(default)]
    pub was_ready: bool,
    /// Where the API server is asked whether it is ready.
    #[serde(default)]
    pub api: Vec<SocketAddr>,
    /// What is restored.
    pub snapshot: SnapshotRef,
    /// The directory of databases, links followed. As long as its disk is not mounted, another directory has this path.
    #[serde(default)]
    pub databases: Option<Identity>,
    /// The database that is live before the exchange; `None` if there is none.
    pub live_database: Option<Database>,
    /// Its name after the exchange, in the directory of databases.
    pub old_name: String,
    /// The database that takes its place; `None` if none does.
    pub new_database: Option<Database>,
    /// Files that K3s rewrites, with their copies.
    pub backups: Vec<Backup>,
    /// Directories whose files are all in `backups`: every other file in them is new.
    pub backed_up_directories: Vec<PathBuf>,
    /// Directories that did not exist before, the deepest last.
    pub created: Vec<PathBuf>,
    /// What is to be done on the other machines.
    #[serde(default)]
    pub runbook: Vec<Task>,
    /// Why the exchange is reversed.
    #[serde(default)]
    pub rollback_reason: Option<String>,
    /// What is left for later runs if the restore is not reversed.
    #[serde(default)]
    pub last: Option<LastRestore>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_start_of_k3s_on_a_later_process_never_rolls_back() {
        let rows = [
            (Stage::Preparing, Recovery::CleanUp),
            (Stage::Swapping, Recovery::RollBack),
            (Stage::Starting, Recovery::RollForward),
            (Stage::RollingBack, Recovery::RollBack),
            (Stage::Restarting, Recovery::CleanUp),
        ];
        assert_eq!(rows.map(|(stage, _)| stage), Stage::ALL);
        for (stage, recovery) in rows {
            assert_eq!(stage.recovery(), recovery, "{stage:?}");
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.as_str());
        }
    }

    #[test]
    fn an_inode_number_alone_is_no_identity() {
        let subvolume = |born| Identity { dev: 1, ino: 256, born_ns: born };
        assert!(!subvolume(Some(1)).is_same(subvolume(Some(2))));
        assert!(subvolume(Some(1)).is_same(Identity { dev: 2, ..subvolume(Some(1)) }), "over a reboot");
        assert!(subvolume(None).is_same(subvolume(Some(2))), "a file system without birth times");
    }
}
