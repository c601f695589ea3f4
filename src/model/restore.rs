// SPDX-License-Identifier: Apache-2.0
//! A restore as a value: the stages it goes through, what undoes each, and the record that a killed one leaves behind.
//!
//! The record is a file format: version 1, fields are only added. It is written before the deed that it speaks of, so that
//! whoever finds it knows the worst that can have happened.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::snapshot::Digest;

/// The version of [`Record`] that this code writes.
pub const RECORD_VERSION: u32 = 1;

/// Which of the three ways to another database it is. All of them go through the same stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// K3s makes a database of a snapshot.
    #[default]
    Restore,
    /// K3s makes the live database one of this server alone.
    ClusterReset,
    /// The database is moved aside, and K3s joins another server with an empty one.
    Rejoin,
}

impl Operation {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Restore => "restore",
            Operation::ClusterReset => "cluster-reset",
            Operation::Rejoin => "rejoin",
        }
    }

    /// What has happened where it came to its end.
    pub fn past(self) -> &'static str {
        match self {
            Operation::Restore => "restored",
            Operation::ClusterReset => "reset",
            Operation::Rejoin => "rejoined",
        }
    }

    /// Its steps, in order.
    pub fn steps(self) -> &'static [Step] {
        match self {
            Operation::Restore => STEPS,
            Operation::ClusterReset => RESET_STEPS,
            Operation::Rejoin => REJOIN_STEPS,
        }
    }
}

/// How far a restore has come. Written down before the deeds of that stage begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The gate is being closed. Nothing of K3s is touched.
    Closing,
    /// K3s is being stopped. Its files are as they were.
    Stopping,
    /// Copies of the files that K3s rewrites are being made.
    Keeping,
    /// K3s makes a new database of the snapshot: what lies in its folder now is not proven.
    Resetting,
    /// The new database holds what the snapshot holds. The gate is being opened, and K3s started on it.
    Starting,
    /// K3s serves the snapshot's data. There is no way back from here but another restore.
    Restored,
    /// Everything is being put back.
    Undoing,
    /// Everything is back; the gate is being opened, and K3s brought to where it was.
    Undone,
}

/// Where a restore that was cut off ends, by file work alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing of K3s was touched but that it was stopped: the gate is opened.
    Release,
    /// The files are put back, then the gate is opened.
    PutBack,
    /// The new database was proven: the gate is opened before it.
    Forward,
    /// It had ended; its own files are left to clear away.
    Clear,
}

impl Stage {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Closing => "closing",
            Stage::Stopping => "stopping",
            Stage::Keeping => "keeping",
            Stage::Resetting => "resetting",
            Stage::Starting => "starting",
            Stage::Restored => "restored",
            Stage::Undoing => "undoing",
            Stage::Undone => "undone",
        }
    }

    /// What to do where this is the last that was written down.
    pub fn way(self) -> Way {
        match self {
            Stage::Closing | Stage::Stopping | Stage::Keeping | Stage::Undone => Way::Release,
            Stage::Resetting | Stage::Undoing => Way::PutBack,
            Stage::Starting => Way::Forward,
            Stage::Restored => Way::Clear,
        }
    }
}

/// What K3s was doing before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriorState {
    /// It ran.
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

/// A file or folder, however it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Device number. Written down, not compared: it may change over a reboot.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

impl Identity {
    /// Whether both are the same file, as far as a reboot may have passed between.
    pub fn is(self, other: Identity) -> bool {
        self.ino == other.ino
    }
}

/// A process, told from a later one of the same number by when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in the kernel's ticks since the boot.
    pub start: u64,
    /// The boot it belongs to.
    pub boot: String,
}

/// One thing that K3s rewrites, and where it goes back from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEntry {
    /// Where it belongs.
    pub path: PathBuf,
    /// Where the copy lies: on the same file system.
    pub copy: PathBuf,
    /// The copy itself; `None` where there was nothing to keep.
    pub identity: Option<Identity>,
}

/// What etcd was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdBefore {
    /// The id of its member, where it answered.
    pub member: Option<u64>,
    /// Its revision, where it answered.
    pub revision: Option<i64>,
}

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Its file name; empty where no snapshot is restored.
    pub name: String,
    /// Where it lies, as a URL.
    pub location: String,
    /// SHA-256 of the plain snapshot that was proven.
    pub sha256: Digest,
    /// Bytes of it.
    pub size: u64,
    /// Its revision.
    pub revision: i64,
    /// Seconds since the epoch.
    pub created_at: u64,
}

/// What a restore leaves on the disk while it is at work, and when it is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreState {
    /// Version of this format: 1.
    pub version: u32,
    /// When it began: seconds since the epoch. Names what it leaves behind.
    pub id: u64,
    /// Which way it goes.
    #[serde(default)]
    pub operation: Operation,
    /// How far it has come.
    pub stage: Stage,
    /// K3s's unit.
    pub unit: String,
    /// K3s's data-dir.
    pub data_dir: PathBuf,
    /// What is restored.
    pub snapshot: SnapshotRef,
    /// The file that K3s is given: proven, and ours alone.
    pub pinned: PathBuf,
    /// What K3s was doing.
    pub previous_state: PriorState,
    /// What etcd was.
    pub before: EtcdBefore,
    /// The folder of the database that was live, wherever it is now; `None` where there was none.
    pub live_database: Option<Identity>,
    /// What K3s rewrites.
    pub backups: Vec<BackupEntry>,
    /// The process that resets, while it runs.
    pub reset: Option<Process>,
    /// Why it is being undone.
    #[serde(default)]
    pub rollback_reason: Option<String>,
}

/// A step of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// A stable word.
    pub name: &'static str,
    /// What is done.
    pub description: &'static str,
    /// What undoes it.
    pub undo: &'static str,
}

// The steps that several have in common.
const BLOCK: Step =
    Step { name: "block-start", description: "block the start of K3s", undo: "unblock the start" };
const STOP: Step = Step { name: "stop", description: "stop K3s", undo: "start K3s, if it was running" };
const KEEP: Step = Step {
    name: "backup",
    description: "copy the certificates, credentials and tokens that K3s rewrites",
    undo: "the copies are removed",
};
const START: Step = Step {
    name: "start",
    description: "remove the bar and start K3s",
    undo: "K3s is barred and stopped, then as for reset",
};
const READY: Step =
    Step { name: "wait-ready", description: "wait until the API server is ready", undo: "none" };

/// Every step of a restore, in order.
pub const STEPS: &[Step] = &[
    Step {
        name: "pre-restore-save",
        description: "save what is live now as pre-restore",
        undo: "the snapshot stays",
    },
    BLOCK,
    STOP,
    KEEP,
    Step {
        name: "reset",
        description: "let K3s make a new database of the snapshot; it moves the live one to etcd-old-<time>",
        undo: "the live database and the copies are moved back; what K3s made is kept as etcd-failed-<time>",
    },
    Step {
        name: "compare",
        description: "compare the new database with the snapshot, entry by entry",
        undo: "as for reset",
    },
    START,
    Step {
        name: "verify",
        description: "ask the running etcd for the snapshot's data; from here on nothing is undone",
        undo: "none",
    },
    READY,
];

/// Every step of a reset without a snapshot.
pub const RESET_STEPS: &[Step] = &[
    BLOCK,
    STOP,
    Step {
        name: "pre-restore-save",
        description: "save the database at rest as pre-restore",
        undo: "the snapshot stays",
    },
    KEEP,
    Step {
        name: "reset",
        description: "move the database to etcd-old-<time>, and let K3s make a copy of it one of this server alone",
        undo: "the database and the copies are moved back; what K3s made is kept as etcd-failed-<time>",
    },
    Step {
        name: "compare",
        description: "compare the new database with the old one, entry by entry",
        undo: "as for reset",
    },
    START,
    Step {
        name: "verify",
        description: "ask the running etcd for its data, and that it is alone; from here on nothing is undone",
        undo: "none",
    },
    READY,
];

/// Every step of joining again.
pub const REJOIN_STEPS: &[Step] = &[
    BLOCK,
    STOP,
    KEEP,
    Step {
        name: "move-database",
        description: "move the database to etcd-old-<time>, and nothing else",
        undo: "the database and the copies are moved back; what K3s made is kept as etcd-failed-<time>",
    },
    Step {
        name: "start",
        description: "remove the bar and start K3s, which joins with an empty database",
        undo: "K3s is barred and stopped, then as for move",
    },
    Step {
        name: "verify",
        description: "wait until the etcd here is a voting member; from here on nothing is undone",
        undo: "none",
    },
    READY,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What each stage promises about the disk decides where a killed restore ends.
    #[test]
    fn every_stage_has_its_way() {
        let rows = [
            (Stage::Closing, Way::Release),
            (Stage::Stopping, Way::Release),
            (Stage::Keeping, Way::Release),
            (Stage::Resetting, Way::PutBack),
            (Stage::Starting, Way::Forward),
            (Stage::Restored, Way::Clear),
            (Stage::Undoing, Way::PutBack),
            (Stage::Undone, Way::Release),
        ];
        for (stage, way) in rows {
            assert_eq!(stage.way(), way, "{stage:?}");
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.as_str());
        }
    }
}
