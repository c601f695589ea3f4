// SPDX-License-Identifier: Apache-2.0
//! Errors as an operator and a script see them: a stable code, a kind with its exit code, a message and a hint.
//!
//! Errors travel as `anyhow` with context along the path. A [`Fault`] in the chain carries the code; its kind decides
//! the exit code. A new code is a row in `codes!` and a row in docs/report-format.md; a test compares the two.

use std::fmt;

/// The class of a failure. Its exit code is part of the public interface, see k3s-snapshot(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An operation failed: a system call, a server, a peer.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// A snapshot was kept, but it is not uploaded, or not known to be current.
    Degraded,
    /// There is no such snapshot.
    NotFound,
    /// A restore failed and was rolled back.
    RolledBack,
    /// The data is restored, but K3s is not ready.
    NotReady,
    /// A restore failed, and so did its rollback: the start of K3s is blocked.
    RollbackFailed,
    /// A snapshot, or the database itself, is corrupt.
    Corrupt,
    /// Another run holds the lock; try again later.
    Busy,
    /// Refused: unsafe, unsupported on this machine, or insufficient privileges.
    Refused,
    /// The configuration, or the set-up of the machine, does not allow it.
    Config,
}

impl Kind {
    /// Every kind, for tables and tests.
    pub const ALL: [Kind; 11] = [
        Kind::Failed,
        Kind::Usage,
        Kind::Degraded,
        Kind::NotFound,
        Kind::RolledBack,
        Kind::NotReady,
        Kind::RollbackFailed,
        Kind::Corrupt,
        Kind::Busy,
        Kind::Refused,
        Kind::Config,
    ];

    /// The exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Degraded => 3,
            Kind::NotFound => 4,
            // Free of the names that systemd knows for exit codes below 10.
            Kind::RolledBack => 10,
            Kind::NotReady => 11,
            Kind::RollbackFailed => 12,
            Kind::Corrupt => 65,
            Kind::Busy => 75,
            Kind::Refused => 77,
            Kind::Config => 78,
        }
    }

    /// The stable word for reports and the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Degraded => "degraded",
            Kind::NotFound => "not-found",
            Kind::RolledBack => "rolled-back",
            Kind::NotReady => "not-ready",
            Kind::RollbackFailed => "rollback-failed",
            Kind::Corrupt => "corrupt",
            Kind::Busy => "busy",
            Kind::Refused => "refused",
            Kind::Config => "config",
        }
    }
}

macro_rules! codes {
    ($($name:ident $word:literal $kind:ident $doc:literal)*) => {
        /// What exactly went wrong. The words are part of the public interface: they are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $(#[doc = $doc] $name),* }

        impl Code {
            /// Every code, for tables and tests.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The stable word for reports.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word),* }
            }

            /// The kind of an error with this code, unless the fault says otherwise.
            pub fn kind(self) -> Kind {
                match self { $(Code::$name => Kind::$kind),* }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $doc),* }
            }
        }
    };
}

codes! {
    Unexpected "unexpected" Failed "An operation failed for a reason that has no code of its own; the message has the cause."
    Io "io-error" Failed "A file or directory cannot be read or written."
    NoMemory "no-memory" Refused "There is not enough memory for a rehearsal."
    NoSpace "no-space" Failed "There is not enough free space."
    ReadOnly "read-only" Failed "The file system, or the sandbox of the unit, does not allow writing."
    PermissionDenied "permission-denied" Refused "The user may not do this."
    FileSystemUnsupported "file-system-unsupported" Config "The file system lacks a call that is needed to keep snapshots."
    Stopped "stopped" Failed "The run was asked to stop by a signal."
    Locked "locked" Busy "Another run holds the lock."
    InvalidArgument "invalid-argument" Usage "A value on the command line cannot be used."
    MissingArgument "missing-argument" Usage "The command line lacks an argument."
    InvalidName "invalid-name" Usage "A name cannot be the name of a snapshot."
    InvalidSetting "invalid-setting" Config "A value of the configuration, the environment or the command line cannot be used."
    SettingFileUnreadable "setting-file-unreadable" Config "A file that a setting names cannot be read."
    ConfigUnreadable "config-unreadable" Config "A configuration file cannot be read."
    ConfigInvalid "config-invalid" Config "A configuration file has a wrong form or an unknown key."
    DataDirNotFound "data-dir-not-found" Config "The data directory is not that of a K3s server."
    DataDirConflict "data-dir-conflict" Config "The data-dir of the settings is not the one that K3s uses."
    DistributionAmbiguous "distribution-ambiguous" Config "K3s and RKE2 are both installed."
    DistributionUnsupported "distribution-unsupported" Refused "This command does not support the distribution."
    LeavesRoot "leaves-root" Refused "A link leads out of --root."
    RootUnsupported "root-unsupported" Refused "The command works only on the running machine, not below --root."
    NotRoot "not-root" Refused "The command needs root."
    NotATerminal "not-a-terminal" Refused "A confirmation is needed and standard input is not a terminal."
    NotConfirmed "not-confirmed" Refused "The confirmation was declined."
    RetentionKeepsNothing "retention-keeps-nothing" Config "The retention policy would keep no snapshot."
    SnapshotNotFound "snapshot-not-found" NotFound "There is no such snapshot."
    SnapshotAmbiguous "snapshot-ambiguous" Usage "More than one snapshot fits."
    SnapshotCorrupt "snapshot-corrupt" Corrupt "A snapshot failed verification."
    SnapshotChanged "snapshot-changed" Failed "A snapshot changed while it was read."
    NotVerified "not-verified" Refused "The snapshot must be verified first."
    SnapshotTooOld "snapshot-too-old" Failed "The newest verified snapshot is older than allowed."
    StatusReasons "status-reasons" Failed "The status has at least one reason to act."
    SnapshotNotCurrent "snapshot-not-current" Degraded "The snapshot was kept, but it is not known to be up to date."
    LastGoodSnapshot "last-good-snapshot" Refused "The last good snapshot of its name would be deleted."
    NotASnapshot "not-a-snapshot" Refused "The file or object is not a snapshot."
    ListingIncomplete "listing-incomplete" Failed "Not everything in a location could be listed."
    DirectoryUnavailable "directory-unavailable" Config "The snapshot directory does not exist or cannot be opened."
    FileExists "file-exists" Refused "The target exists."
    FileDiffers "file-differs" Refused "A file that would be written exists with another content."
    DatastoreExists "datastore-exists" Refused "This machine already has a datastore."
    DatastoreUnknown "datastore-unknown" Refused "It cannot be found out whether this machine has a datastore."
    ClusterAmbiguous "cluster-ambiguous" Usage "The bucket holds snapshots of several clusters."
    ClusterNotFound "cluster-not-found" NotFound "There is no verified snapshot of this cluster."
    NameTaken "name-taken" Busy "Another program has just created a snapshot of this name."
    UploadFailed "upload-failed" Degraded "The snapshot was kept here, but it was not uploaded."
    KitNotSealed "kit-not-sealed" Degraded "The snapshot was kept, but no recovery kit could be sealed for it."
    KitNotUploaded "kit-not-uploaded" Degraded "The snapshot was kept, but its recovery kit is not in the bucket."
    KitNotFound "kit-not-found" NotFound "There is no such recovery kit."
    KitNotOpened "kit-not-opened" Refused "The recovery kit was sealed for other recipients."
    KitInvalid "kit-invalid" Corrupt "The recovery kit is corrupt, or not one of this format."
    IdentityUnusable "identity-unusable" Config "The identity file has no private key that can be used."
    NotAuthentic "not-authentic" Corrupt "The snapshot or its manifest was changed or exchanged after it was saved."
    AuthenticityUnverified "authenticity-unverified" Refused "The newest snapshot in the bucket is not known to be authentic, but older ones are."
    DatabaseCorrupt "database-corrupt" Corrupt "The database of etcd or SQLite failed verification."
    DatabaseLocked "database-locked" Busy "Another process locks the SQLite database."
    DatabaseInUse "database-in-use" Refused "A process has the database open."
    DatabaseTooLarge "database-too-large" Refused "The database has reached the size limit of etcd."
    DatabaseNotFound "database-not-found" Refused "There is no database."
    DatabaseUnavailable "database-unavailable" Refused "The database file cannot be read directly."
    CorruptAlarm "etcd-corrupt-alarm" Corrupt "etcd raises its CORRUPT alarm."
    NoEmbeddedEtcd "no-embedded-etcd" Config "This machine has neither embedded etcd nor SQLite of K3s."
    EtcdDisabled "etcd-disabled" Refused "K3s runs no etcd on this server (disable-etcd)."
    IsAgent "is-agent" Refused "This machine is an agent and has no datastore."
    OtherDatastore "other-datastore" Refused "K3s uses another datastore here."
    EtcdEndpointRequired "etcd-endpoint-required" Refused "etcd must be named by --etcd-endpoints here."
    EtcdConfigUnreadable "etcd-config-unreadable" Config "The configuration that K3s wrote for etcd cannot be read."
    EtcdUnreachable "etcd-unreachable" Failed "No process listens at the address of etcd."
    EtcdNoAnswer "etcd-no-answer" Failed "etcd does not answer in time."
    EtcdStalled "etcd-stalled" Failed "etcd stopped sending the snapshot."
    EtcdStreamBroken "etcd-stream-broken" Failed "The stream from etcd ended early."
    EtcdConnectionBroken "etcd-connection-broken" Failed "The connection to etcd was closed during a request."
    EtcdChecksumMismatch "etcd-checksum-mismatch" Corrupt "The snapshot that arrived does not match the checksum of etcd."
    EtcdNoQuorum "etcd-no-quorum" Failed "etcd has no quorum."
    EtcdLearner "etcd-learner" Refused "The member is a learner and cannot give a snapshot."
    EtcdMismatch "etcd-mismatch" Failed "The etcd that answers and the database are of different clusters."
    EtcdCertificateUntrusted "etcd-certificate-untrusted" Config "The certificate of etcd is not signed by the expected authority."
    EtcdCertificateExpired "etcd-certificate-expired" Config "The certificate of etcd is not valid now."
    EtcdClientCertificateRefused "etcd-client-certificate-refused" Config "etcd refused the client certificate."
    EtcdNoTls "etcd-no-tls" Config "The address of etcd does not speak plain gRPC."
    EtcdError "etcd-error" Failed "etcd answered with an error."
    NotEtcd "not-etcd" Config "The server at the address of etcd is another datastore."
    CertificateUnusable "certificate-unusable" Config "A certificate or key cannot be used."
    CloneUnsupported "clone-unsupported" Refused "The file system or the machine cannot clone the database file."
    CloneFailed "clone-failed" Failed "Cloning the database file failed."
    CloneBehind "clone-behind" Failed "The database file does not reach the revision that etcd acknowledged."
    CopyUnsupported "copy-unsupported" Refused "The database file of this etcd cannot be read here."
    CopyFailed "copy-failed" Failed "Copying the database file failed."
    CopyInterrupted "copy-interrupted" Failed "etcd closed the snapshot, or replaced the database file, during the copy."
    TokenFileUnreadable "token-file-unreadable" Config "The token file cannot be read."
    TokenInvalid "token-invalid" Config "The server token has a wrong form."
    TokenMissing "token-missing" Refused "No server token is known."
    TokenMismatch "token-mismatch" Refused "The snapshot needs another server token."
    TokenConflict "token-conflict" Config "--token-file and the configuration of K3s have different tokens."
    TokenRejected "token-rejected" Refused "The other server does not accept the token."
    BootstrapDataUnreadable "bootstrap-data-unreadable" Corrupt "The bootstrap data in the snapshot cannot be decrypted."
    K3sFlagsUnknown "k3s-flags-unknown" Refused "Not all flags of K3s are known, and one of them may matter."
    K3sNotFound "k3s-not-found" Config "The K3s program cannot be found."
    K3sTooOld "k3s-too-old" Refused "The installed K3s is older than the K3s of the snapshot."
    NewDatabaseDiffers "new-database-differs" Failed "The new database does not have the content of the snapshot."
    RehearsalFailed "rehearsal-failed" Failed "K3s does not start on the restored database in the rehearsal; nothing was changed."
    K3sResetFailed "k3s-reset-failed" Failed "The reset of K3s failed."
    K3sResetStalled "k3s-reset-stalled" Failed "The reset of K3s made no progress."
    ClusterResetConfigured "cluster-reset-configured" Config "The configuration of K3s has cluster-reset set permanently."
    OtherCluster "other-cluster" Refused "The snapshot is of another cluster."
    OtherServersRunning "other-servers-running" Refused "Other servers of the cluster still run."
    PortInUse "port-in-use" Refused "A process that does not belong to K3s uses one of its ports."
    UnsupportedLayout "unsupported-layout" Refused "A mount point or a link is where files must be renamed."
    NothingToReset "nothing-to-reset" Refused "etcd has a leader and no other members."
    JoinServerNotConfigured "join-server-not-configured" Refused "The configuration of K3s names no server to join."
    JoinServerIsSelf "join-server-is-self" Refused "The server to join is this server itself."
    JoinServerMismatch "join-server-mismatch" Refused "The other server is of another cluster."
    JoinServerUnreachable "join-server-unreachable" Refused "The other server does not answer."
    AlreadyAMember "already-a-member" Refused "The cluster already has a member of this server."
    StartBlockFailed "start-block-failed" Refused "The start of the K3s service cannot be blocked."
    RestoreInterrupted "restore-interrupted" Busy "An earlier restore was interrupted."
    RestoreStateMissing "restore-state-missing" RollbackFailed "The start of K3s is blocked, but the state file of the restore is missing."
    RestoreStateUnreadable "restore-state-unreadable" Failed "The state file of an interrupted restore cannot be read."
    RolledBack "rolled-back" RolledBack "A restore failed and was rolled back."
    RollbackFailed "rollback-failed" RollbackFailed "A restore failed, and so did its rollback."
    NotReady "not-ready" NotReady "The data is restored, but the API server is not ready."
    SystemdUnavailable "systemd-unavailable" Config "systemd cannot be asked over D-Bus."
    SystemdTimeout "systemd-timeout" Failed "systemd did not finish in time."
    SystemdError "systemd-error" Failed "systemd answered with an error."
    SystemdJobConflict "systemd-job-conflict" Busy "Another job of systemd, perhaps a shutdown, conflicts with this one."
    UnitNotFound "unit-not-found" Config "There is no such unit."
    UnitAmbiguous "unit-ambiguous" Config "No unit, or more than one, runs K3s."
    UnitMasked "unit-masked" Config "The unit is masked."
    UnitInvalid "unit-invalid" Config "systemd cannot read the unit."
    UnitNotStopped "unit-not-stopped" Failed "The unit did not stop."
    UnitRestarted "unit-restarted" Busy "The unit was started again by something else."
    S3CheckFailed "s3-check-failed" Failed "A check of the bucket failed."
    S3ConfigSecret "s3-config-secret" Config "The Kubernetes Secret with the settings of the bucket cannot be read."
    S3ConfigSecretMissing "s3-config-secret-missing" Config "The Kubernetes Secret with the settings of the bucket does not exist."
    S3ConfigSecretEncrypted "s3-config-secret-encrypted" Config "The Kubernetes Secret with the settings of the bucket is encrypted (`secrets-encryption`)."
    S3BucketMissing "s3-bucket-missing" Config "No bucket is configured."
    S3CredentialsMissing "s3-credentials-missing" Config "The access key or the secret key is missing."
    S3NameUnresolved "s3-name-unresolved" Failed "The host name of the endpoint or the proxy cannot be resolved."
    S3Unreachable "s3-unreachable" Failed "The store, or the proxy in front of it, cannot be reached."
    S3CertificateUntrusted "s3-certificate-untrusted" Config "The certificate of the store is not trusted."
    S3CertificateName "s3-certificate-name" Config "The certificate is of another host."
    S3CertificateExpired "s3-certificate-expired" Config "The certificate is not valid now."
    S3Scheme "s3-scheme" Config "The store speaks TLS where plain HTTP is configured, or the other way round."
    S3SecretKeyWrong "s3-secret-key-wrong" Config "The secret key does not belong to the access key."
    S3AccessKeyUnknown "s3-access-key-unknown" Config "The access key or the session token is not known to the store."
    S3ClockSkew "s3-clock-skew" Config "The clocks of this machine and of the store differ too much."
    S3AccessDenied "s3-access-denied" Refused "The credentials do not allow this."
    S3ObjectLocked "s3-object-locked" Refused "Object Lock protects the object."
    S3ObjectArchived "s3-object-archived" Refused "The object is in an archive and must be restored first."
    S3BucketNotFound "s3-bucket-not-found" Config "The bucket does not exist."
    S3ObjectNotFound "s3-object-not-found" NotFound "The object or upload does not exist."
    S3WrongRegion "s3-wrong-region" Config "The bucket is in another region."
    S3Redirected "s3-redirected" Config "The store answers with a redirect."
    S3Throttled "s3-throttled" Busy "The store limits the rate of requests."
    S3Timeout "s3-timeout" Failed "The connection made no progress in time."
    S3ConnectionBroken "s3-connection-broken" Failed "The connection broke."
    S3ServerError "s3-server-error" Failed "The store failed."
    S3QuotaExceeded "s3-quota-exceeded" Failed "The store or the quota is full."
    S3BodyTooLarge "s3-body-too-large" Config "The store, or a proxy in front of it, does not accept a request of this size."
    S3TooManyObjects "s3-too-many-objects" Config "The prefix of the bucket has more objects than this tool lists."
    S3ObjectExists "s3-object-exists" Refused "An object of this name exists; nothing is overwritten."
    S3Unsupported "s3-unsupported" Config "The store does not support this."
    S3DigestMismatch "s3-digest-mismatch" Failed "The bytes that arrived are not those that were sent."
    S3InvalidResponse "s3-invalid-response" Failed "The response is not one of an S3 store."
    S3InvalidConfig "s3-invalid-config" Config "The settings of the bucket cannot be used."
    S3Error "s3-error" Failed "The store answered with an error."
}

/// A failure with a code, and with what to do next where there is something to do.
#[derive(Debug, Clone)]
pub struct Fault {
    code: Code,
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Fault {
    /// A fault with a message: operation, object, cause; lower case, no full stop.
    pub fn new(code: Code, message: impl Into<String>) -> Fault {
        Fault { code, kind: code.kind(), message: message.into(), hint: None }
    }

    /// A fault that says more about `cause` and keeps its code and kind.
    pub fn about(cause: &anyhow::Error, message: impl Into<String>) -> Fault {
        Fault { code: code_of(cause), kind: kind_of(cause), message: message.into(), hint: None }
    }

    /// The same fault with another kind than its code usually has.
    pub fn of_kind(mut self, kind: Kind) -> Fault {
        self.kind = kind;
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds the next step: one imperative sentence for the operator, with the exact command.
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The kind of an error: that of the outermost fault in the chain, [`Kind::Failed`] without one.
pub fn kind_of(error: &anyhow::Error) -> Kind {
    fault_in(error).map_or(Kind::Failed, |f| f.kind)
}

/// The code of an error: that of the outermost fault in the chain; without one, [`Code::Io`] for an error of the
/// operating system and [`Code::Unexpected`] for all else.
pub fn code_of(error: &anyhow::Error) -> Code {
    match fault_in(error) {
        Some(fault) => fault.code,
        None if error.chain().any(|e| e.is::<std::io::Error>()) => Code::Io,
        None => Code::Unexpected,
    }
}

/// The outermost fault, also one that travelled inside an [`std::io::Error`].
fn fault_in(error: &anyhow::Error) -> Option<&Fault> {
    error.downcast_ref::<Fault>().or_else(|| {
        error.chain().find_map(|e| e.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<Fault>())
    })
}

/// The hint of an error, if it carries one.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    fault_in(error).and_then(|f| f.hint.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_fault_is_found_as_root_and_as_context_below_other_context() {
        let root = anyhow::Error::from(Fault::new(Code::Locked, "locked").hint("wait")).context("saving");
        assert_eq!(
            (kind_of(&root), code_of(&root), hint_of(&root)),
            (Kind::Busy, Code::Locked, Some("wait"))
        );
        let io: std::io::Result<()> = Err(std::io::Error::other("eio"));
        let ctx =
            io.context(Fault::new(Code::ConfigUnreadable, "reading 'x'")).context("starting").unwrap_err();
        assert_eq!((kind_of(&ctx), hint_of(&ctx)), (Kind::Config, None));
        assert_eq!(format!("{ctx:#}"), "starting: reading 'x': eio");
        let plain = anyhow::anyhow!("plain");
        assert_eq!((kind_of(&plain), code_of(&plain)), (Kind::Failed, Code::Unexpected));
        let io = anyhow::Error::from(std::io::Error::other("eio")).context("reading");
        assert_eq!((kind_of(&io), code_of(&io)), (Kind::Failed, Code::Io));
    }

    #[test]
    fn a_fault_about_another_error_keeps_its_code_and_kind() {
        let inner = Fault::new(Code::InvalidSetting, "x").of_kind(Kind::Usage).into();
        let outer = Fault::about(&inner, "y");
        assert_eq!((outer.code(), outer.kind()), (Code::InvalidSetting, Kind::Usage));
    }

    #[test]
    fn exit_codes_and_words_are_distinct() {
        let codes: Vec<u8> = Kind::ALL.iter().map(|k| k.exit_code()).collect();
        assert_eq!(codes, [1, 2, 3, 4, 10, 11, 12, 65, 75, 77, 78]);
        let mut words: Vec<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        for word in words {
            assert!(word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{word}");
        }
    }
}
