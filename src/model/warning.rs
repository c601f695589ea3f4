// SPDX-License-Identifier: Apache-2.0
//! Warnings: what an operator should know and can mend, each with a stable code.
//!
//! A new code is a row in `warnings!` and a row in docs/report-format.md; a test compares the two.

use serde::Serialize;

macro_rules! warnings {
    ($($name:ident $word:literal $doc:literal)*) => {
        /// What a warning is about. The words are part of the public interface: they are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum WarningCode { $(#[doc = $doc] $name),* }

        impl WarningCode {
            /// Every code, for tables and tests.
            pub const ALL: &[WarningCode] = &[$(WarningCode::$name),*];

            /// The stable word for reports.
            pub fn as_str(self) -> &'static str {
                match self { $(WarningCode::$name => $word),* }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(WarningCode::$name => $doc),* }
            }
        }
    };
}

warnings! {
    AlarmRaised "alarm-raised" "etcd raises an alarm."
    AlsoScheduledByK3s "also-scheduled-by-k3s" "K3s makes scheduled snapshots in addition to the timer."
    AuthenticityUnverified "authenticity-unverified" "A snapshot from the bucket is not known to be authentic."
    BootstrapDataMissing "bootstrap-data-missing" "The snapshot holds no bootstrap data of K3s."
    BucketNotPruned "bucket-not-pruned" "No program prunes the snapshots that are uploaded to the bucket."
    CaptureRetried "capture-retried" "A captured snapshot failed verification and was discarded."
    ConfigFileMissing "config-file-missing" "The configuration file that the K3s service names does not exist."
    ClusterChanged "cluster-changed" "The snapshot is of another cluster than the newest snapshot before it."
    ClockJump "clock-jump" "The times of the snapshots have a gap; no snapshot is removed by its age."
    DependentUnits "dependent-units" "Units that need K3s are stopped with it, and are not started again."
    ExtraMetadataNotWritten "extra-metadata-not-written" "The extra metadata of K3s could not be stored with a snapshot."
    FutureDate "future-date" "Snapshots are dated in the future; they are kept and not counted."
    KeyRevisionsDropped "key-revisions-dropped" "The number of key revisions dropped by more than half; older snapshots are kept."
    JoinServerUnverified "join-server-unverified" "The certificate authority of the other server cannot be verified."
    K3sConfigRejected "k3s-config-rejected" "K3s does not accept a value of its configuration, or a flag has no effect."
    K3sFlagsUnknown "k3s-flags-unknown" "The flags of the K3s service could not be read."
    K3sTooOld "k3s-too-old" "The installed K3s is older than the K3s of the snapshot."
    KitFilesNotWritten "kit-files-not-written" "Files of the recovery kit were not written on the new machine."
    ListingIncomplete "listing-incomplete" "Not everything in a location could be listed."
    ManifestNotWritten "manifest-not-written" "What is known of a snapshot could not be written down."
    MetricsNotWritten "metrics-not-written" "The metrics of the run could not be written."
    MembersUnknown "members-unknown" "The members of the other cluster are not known."
    NameOfK3s "name-of-k3s" "The base name is one that K3s prunes by itself."
    NoLeader "no-leader" "The etcd member has no leader."
    NumberNotQuoted "number-not-quoted" "A number without quotes is not read as it is written."
    OldAddressInUse "old-address-in-use" "A flag of K3s still has an address of the old machine."
    OtherServersRunning "other-servers-running" "Other servers of the cluster still run."
    OtherClusterSkipped "other-cluster-skipped" "Newer snapshots of another cluster were not considered."
    OwnClusterUnknown "own-cluster-unknown" "The cluster of this server is not known, so no snapshot is removed."
    PingFailed "ping-failed" "A ping of the run could not be sent."
    PolicyWarning "policy-warning" "The retention policy needs attention."
    PreviousStateKept "previous-state-kept" "K3s did not run properly before the restore; it was started again on its previous database."
    ReportNotSent "report-not-sent" "The report of the run could not be sent to its URL."
    RestoreInterrupted "restore-interrupted" "An earlier restore was interrupted and has not been recovered."
    ResetNotConfirmed "reset-not-confirmed" "K3s did not print its usual success message; the files show that the reset succeeded."
    RevisionsTakenBack "revisions-taken-back" "K3s ran with raised revisions before the rollback: other machines may wait for these."
    RevisionWentBack "revision-went-back" "etcd is at a lower revision than in the newest snapshot before this one."
    SafetySnapshotDegraded "safety-snapshot-degraded" "The snapshot of the current state was saved, but it has a defect."
    SafetySnapshotSkipped "safety-snapshot-skipped" "The current state could not be saved before the restore."
    SecretOnCommandLine "secret-on-command-line" "A secret was given on the command line, where the process list shows it."
    ServersNotRejoined "servers-not-rejoined" "Servers that were members before a restore have not rejoined."
    SnapshotGone "snapshot-gone" "A snapshot was deleted while the command ran."
    SnapshotNotCurrent "snapshot-not-current" "It is not known that the snapshot held everything when it was saved."
    TokenChanged "token-changed" "The restore changed the server token that is in force."
    VariablesNotSet "variables-not-set" "The new K3s service lacks variables that the old one had."
    TidyFailed "tidy-failed" "Files that are no longer needed could not be removed."
    TokenMismatch "token-mismatch" "The server token does not open the snapshot."
    UnknownVariable "unknown-variable" "An environment variable of k3s-snapshot is no option."
    UnknownCluster "unknown-cluster" "Snapshots of an unknown cluster are kept and not counted by the retention policy."
    UploadSkipped "upload-skipped" "A pending upload was skipped."
    WalCorrupt "wal-corrupt" "The write-ahead log of SQLite is corrupt."
    WalEntriesMissing "wal-entries-missing" "The write-ahead log of etcd has entries that are not in the snapshot."
    WalUnreadable "wal-unreadable" "The write-ahead log of etcd cannot be read: it is not known what is missing in the snapshot."
    UploadUnverified "upload-unverified" "The store reports no checksum for an uploaded snapshot."
}

impl Serialize for WarningCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// One warning of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Warning {
    /// What it is about.
    pub code: WarningCode,
    /// The sentence.
    pub message: String,
}
