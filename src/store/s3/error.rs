// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a bucket: one kind, one code, one hint for each. A new way to fail is a row of the table.
//!
//! The text of a server is quoted, short and escaped. It is never passed on as it is.

use crate::error::{Code, Fault};

macro_rules! kinds {
    ($($name:ident $code:ident $hint:literal $doc:literal)*) => {
        /// The kind of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum S3ErrorKind { $(#[doc = $doc] $name),* }

        impl S3ErrorKind {
            /// The code of the error, and what to do. The hint is empty if there is nothing to advise.
            pub(super) fn code_and_hint(self) -> (Code, &'static str) {
                match self { $(S3ErrorKind::$name => (Code::$code, $hint)),* }
            }
        }
    };
}

kinds! {
    NameUnresolved S3NameUnresolved "Check --s3-endpoint and the name resolution of this machine; if the bucket is part of the host name, try '--s3-bucket-lookup-type path'."
        "The host name of the endpoint or of the proxy cannot be resolved."
    Unreachable S3Unreachable "Check --s3-endpoint, --s3-proxy and the firewall; use '--s3-proxy none' to connect without a proxy."
        "No process answers there, or a proxy refuses."
    Untrusted S3CertificateUntrusted "Set the authority that signed the certificate with --s3-endpoint-ca FILE."
        "The certificate is not trusted."
    OtherHost S3CertificateName "Use the host name of the certificate in --s3-endpoint; if the bucket is part of the host name, try '--s3-bucket-lookup-type path'."
        "The certificate is of another host."
    Expired S3CertificateExpired "Check the clock of this machine with 'timedatectl status'; if the clock is right, renew the certificate of the store."
        "The certificate is not valid now."
    Scheme S3Scheme "Check the port in --s3-endpoint, and use --s3-insecure for plain HTTP only."
        "The server does not speak TLS, or speaks it although plain HTTP is configured."
    SecretKeyWrong S3SecretKeyWrong "Check the origin of the secret key with --show-config: the secret key does not belong to the access key."
        "The secret key is wrong."
    AccessKeyUnknown S3AccessKeyUnknown "Check the access key and, for temporary keys, the session token; --show-config shows where they come from."
        "The access key or the token is not known."
    ClockSkew S3ClockSkew "Set the clock of this machine; see 'timedatectl status'."
        "The clock of this machine or of the store is wrong."
    Denied S3AccessDenied "Allow the operation in the policy of the bucket: s3:ListBucket on the bucket; s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects."
        "The keys are valid, but must not do this."
    Locked S3ObjectLocked "Delete the object after its retention has ended, or use a lifecycle rule of the bucket."
        "Object Lock protects the object."
    Archived S3ObjectArchived "Restore the object with the tools of the store (RestoreObject), then try again."
        "The object must be restored from an archive first."
    NoBucket S3BucketNotFound "Create the bucket, or check --s3-bucket, --s3-endpoint and --s3-bucket-lookup-type."
        "The bucket does not exist."
    Missing S3ObjectNotFound "Run 'k3s-snapshot list --s3' to see what exists."
        "The object, or the upload, does not exist."
    WrongRegion S3WrongRegion "Set the region of the bucket with --s3-region."
        "The bucket is in another region."
    Redirect S3Redirected "Set the address of the store with --s3-endpoint, or try the other --s3-bucket-lookup-type: redirects are not followed."
        "The store is at another address."
    Throttled S3Throttled "Try again later: the store limits the rate of requests."
        "The store limits the rate of requests."
    Timeout S3Timeout "Try again, or raise --s3-timeout, the longest time without progress."
        "Nothing moved for too long."
    Broken S3ConnectionBroken "Try again; if the error persists, ask the operator of the store."
        "The connection broke."
    Server S3ServerError "Try again; if the error persists, ask the operator of the store."
        "The store failed."
    Full S3QuotaExceeded "Delete objects that are not needed from the bucket, or ask for a larger quota."
        "The store or the quota is full."
    TooLarge S3BodyTooLarge "Raise the limit of the proxy in front of the store (client_max_body_size of nginx, proxy-body-size of its ingress), or set a smaller --s3-part-size."
        "The store, or a proxy in front of it, takes no request of this size."
    Exists S3ObjectExists "Choose another name with --name: an existing object is never overwritten."
        "There is an object of this name."
    Unsupported S3Unsupported "Run 'k3s-snapshot check-s3' to see what the store supports."
        "The store cannot do this."
    Digest S3DigestMismatch "Check the network and proxies between this machine and the store: they changed bytes."
        "The bytes that arrived are not those that were sent."
    Invalid S3InvalidResponse "Check that --s3-endpoint is the URL of an S3 store."
        "The response is not one of an S3 store, or a listing contradicts itself."
    TooManyObjects S3TooManyObjects "Set a separate prefix for the snapshots with --s3-folder PREFIX."
        "The prefix has more objects than this tool lists."
    Config S3InvalidConfig "Check the S3 options with --show-config."
        "The settings cannot be used."
    KeyExposed S3InvalidConfig "Use HTTPS with a certificate that is verified (--s3-endpoint-ca), or leave out --s3-customer-key-file."
        "The customer key would be readable on its way."
    SourceUnreadable Io "Check the disk of the snapshot directory; see 'dmesg'."
        "The snapshot that is to be uploaded cannot be read."
    SourceCorrupt SnapshotCorrupt "Run 'k3s-snapshot verify --all', then save a new snapshot."
        "The snapshot that is to be uploaded is not the one that was verified."
    Failed S3Error ""
        "Any other error."
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(super) struct S3Error {
    pub(super) kind: S3ErrorKind,
    /// Lower case, no full stop.
    pub(super) message: String,
    /// The error code of the store, if it answered with one.
    pub(super) code: String,
    /// Seconds that the store asks to wait.
    pub(super) retry_after: Option<u64>,
}

impl S3Error {
    pub(super) fn new(kind: S3ErrorKind, message: impl Into<String>) -> S3Error {
        S3Error { kind, message: message.into(), code: String::new(), retry_after: None }
    }

    /// Whether the same request may succeed later.
    pub(super) fn is_retryable(&self) -> bool {
        use S3ErrorKind::{Broken, Digest, NameUnresolved, Server, Throttled, Timeout, Unreachable};
        matches!(self.kind, Broken | Unreachable | Digest | NameUnresolved | Server | Timeout | Throttled)
    }

    /// Whether the store says that it does not know a header or a request. Each store has its own code for that.
    pub(super) fn is_unsupported(&self) -> bool {
        self.kind == S3ErrorKind::Unsupported
            || matches!(self.code.as_str(), "InvalidArgument" | "InvalidRequest" | "NotImplemented")
    }

    /// The error as a fault. `operation` is a gerund phrase with the bucket or object in it.
    pub(super) fn fault(self, operation: &str) -> Fault {
        let (code, hint) = self.kind.code_and_hint();
        let fault = Fault::new(code, format!("{operation}: {}", self.message));
        if hint.is_empty() { fault } else { fault.hint(hint) }
    }

    /// The same as an error.
    pub(super) fn error(self, operation: &str) -> anyhow::Error {
        self.fault(operation).into()
    }
}

impl std::fmt::Display for S3Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for S3Error {}

impl S3ErrorKind {
    /// The kind of an error code of a store. `None` if the code is not known.
    pub(super) fn from_code(code: &str) -> Option<S3ErrorKind> {
        Some(match code {
            "SignatureDoesNotMatch" => S3ErrorKind::SecretKeyWrong,
            "InvalidAccessKeyId"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "InvalidClientTokenId"
            | "NotSignedUp"
            | "InvalidSecurity"
            | "Unauthorized"
            | "NotAuthorized"
            | "UnrecognizedClientException" => S3ErrorKind::AccessKeyUnknown,
            "RequestTimeTooSkewed" | "RequestExpired" => S3ErrorKind::ClockSkew,
            "AccessDenied"
            | "AllAccessDisabled"
            | "AccountProblem"
            | "Forbidden"
            | "UnauthorizedAccess"
            | "KMS.AccessDeniedException" => S3ErrorKind::Denied,
            "ObjectLocked" | "InvalidRetentionPeriod" | "WORMProtected" => S3ErrorKind::Locked,
            "InvalidObjectState" => S3ErrorKind::Archived,
            "NoSuchBucket" | "InvalidBucketName" => S3ErrorKind::NoBucket,
            "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" => S3ErrorKind::Missing,
            "AuthorizationHeaderMalformed"
            | "AuthorizationQueryParametersError"
            | "IllegalLocationConstraintException"
            | "InvalidRegionName"
            | "InvalidRegion" => S3ErrorKind::WrongRegion,
            "PermanentRedirect" | "TemporaryRedirect" | "Redirect" | "SecondLevelDomainForbidden" => {
                S3ErrorKind::Redirect
            }
            "QuotaExceeded"
            | "InsufficientStorage"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded"
            | "StorageFull" => S3ErrorKind::Full,
            "EntityTooLarge" | "MaxMessageLengthExceeded" => S3ErrorKind::TooLarge,
            "SlowDown"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "BandwidthLimitExceeded"
            | "ServiceUnavailable"
            | "Busy" => S3ErrorKind::Throttled,
            "RequestTimeout" => S3ErrorKind::Timeout,
            "InternalError" | "OperationAborted" | "ConditionalRequestConflict" => S3ErrorKind::Server,
            "PreconditionFailed" => S3ErrorKind::Exists,
            "NotImplemented" | "MethodNotAllowed" => S3ErrorKind::Unsupported,
            "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody"
            | "InvalidDigest" => S3ErrorKind::Digest,
            _ => return None,
        })
    }

    /// The kind of an HTTP status, if the store sent no code that is known.
    pub(super) fn from_status(status: u16) -> S3ErrorKind {
        match status {
            300..=399 => S3ErrorKind::Redirect,
            401 => S3ErrorKind::AccessKeyUnknown,
            403 => S3ErrorKind::Denied,
            404 => S3ErrorKind::Missing,
            405 | 501 => S3ErrorKind::Unsupported,
            408 => S3ErrorKind::Timeout,
            409 | 500 | 502 | 504 => S3ErrorKind::Server,
            412 => S3ErrorKind::Exists,
            413 => S3ErrorKind::TooLarge,
            429 | 503 => S3ErrorKind::Throttled,
            507 => S3ErrorKind::Full,
            505..=599 => S3ErrorKind::Server,
            _ => S3ErrorKind::Failed,
        }
    }
}
