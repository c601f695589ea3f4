// SPDX-License-Identifier: Apache-2.0
//! A reason for an administrator to act, with a stable code.
//!
//! A new code is a row in `reasons!` and a row in docs/report-format.md; a test compares the two.

use serde::Serialize;

macro_rules! reasons {
    ($($name:ident $word:literal $doc:literal)*) => {
        /// What a reason is about. The words are part of the public interface: they are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ReasonCode { $(#[doc = $doc] $name),* }

        impl ReasonCode {
            /// Every code, for tables and tests.
            pub const ALL: &[ReasonCode] = &[$(ReasonCode::$name),*];

            /// The stable word for reports.
            pub fn as_str(self) -> &'static str {
                match self { $(ReasonCode::$name => $word),* }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(ReasonCode::$name => $doc),* }
            }
        }
    };
}

reasons! {
    NotVisible "not-visible" "A fact that matters could not be seen."
    RestoreInterrupted "restore-interrupted" "A restore was interrupted and has not been recovered."
    NoVerifiedSnapshot "no-verified-snapshot" "No snapshot in the snapshot directory is verified and current."
    SnapshotTooOld "snapshot-too-old" "The newest verified snapshot in the snapshot directory is too old."
    NoVerifiedCopy "no-verified-copy" "No snapshot in the bucket is verified."
    CopyTooOld "copy-too-old" "The newest verified snapshot in the bucket is too old."
    UploadPending "upload-pending" "A snapshot was not uploaded."
    SnapshotCorrupt "snapshot-corrupt" "A snapshot is corrupt."
    JobFailed "job-failed" "The last run of a job failed."
    DatabaseNearlyFull "database-nearly-full" "The database of etcd is near its size limit."
    AlarmRaised "alarm-raised" "etcd raises an alarm."
    NoLeader "no-leader" "The etcd member has no leader."
    KitMissing "kit-missing" "Recovery kits are configured, and none was sealed."
    KitUnverified "kit-unverified" "It was not verified that the recovery kit can be opened."
    SpaceLow "space-low" "The file system of the snapshot directory has no room for the next snapshot."
}

impl Serialize for ReasonCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// A reason to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What it is about.
    pub code: ReasonCode,
    /// The sentence.
    pub message: String,
}
