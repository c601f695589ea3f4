// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a bucket, in words: one sentence, one exit code, one hint for each.
//!
//! What a server says is quoted, short and escaped, never passed on raw. A new way to fail is a row of [`Class`].

use crate::error::{Code, Fault};

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum S3ErrorKind {
    /// The name of the endpoint or the proxy means nothing.
    Name,
    /// Nobody answers there, or a proxy refuses.
    Connect,
    /// The certificate is not believed.
    Certificate,
    /// The certificate is another host's.
    OtherName,
    /// The certificate does not hold today.
    Expired,
    /// What answers does not speak TLS, or speaks it where it should not.
    Scheme,
    /// The secret key is wrong.
    Signature,
    /// The access key or the token is not known.
    Key,
    /// Our clock or the store's is wrong.
    Skew,
    /// The keys are good, but may not do this.
    Denied,
    /// It may not be deleted or changed by anybody before its time.
    Locked,
    /// It must be brought back from an archive first.
    Archived,
    /// No such bucket.
    NoBucket,
    /// No such object, or no such upload.
    Missing,
    /// The bucket is in another region.
    Region,
    /// It is somewhere else.
    Redirect,
    /// The store wants us to come later.
    Throttled,
    /// Nothing moved for too long.
    Stalled,
    /// The connection broke.
    Broken,
    /// The store failed.
    Server,
    /// The store, or our share of it, is full.
    Full,
    /// There is such an object already.
    Exists,
    /// The store cannot do this.
    Unsupported,
    /// The bytes that arrived are not those that were sent.
    Digest,
    /// An answer that makes no sense, or a listing that lies.
    Nonsense,
    /// Our own settings cannot be used.
    Config,
    /// Anything else.
    Failed,
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(super) struct S3Error {
    pub(super) class: S3ErrorKind,
    /// Lower case, no full stop.
    pub(super) message: String,
    /// The store's word for it, where it answered.
    pub(super) code: String,
    /// How long the store wants to be left alone, in seconds.
    pub(super) after: Option<u64>,
}

impl S3Error {
    pub(super) fn of(class: S3ErrorKind, message: impl Into<String>) -> S3Error {
        S3Error { class, message: message.into(), code: String::new(), after: None }
    }

    /// Whether the same request may succeed when it is made again.
    pub(super) fn is_retryable(&self) -> bool {
        use S3ErrorKind::{Broken, Connect, Digest, Name, Server, Stalled, Throttled};
        matches!(self.class, Broken | Connect | Digest | Name | Server | Stalled | Throttled)
    }

    /// As a fault: `doing` is what was tried, a gerund phrase with the bucket or object in it.
    pub(super) fn fault(self, doing: &str) -> Fault {
        let (code, hint) = self.class.code_and_hint();
        let fault = Fault::new(code, format!("{doing}: {}", self.message));
        if hint.is_empty() { fault } else { fault.hint(hint) }
    }

    /// The same as an error.
    pub(super) fn error(self, doing: &str) -> anyhow::Error {
        self.fault(doing).into()
    }
}

impl std::fmt::Display for S3Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for S3Error {}

impl S3ErrorKind {
    /// The exit code, and what to do.
    pub(super) fn code_and_hint(self) -> (Code, &'static str) {
        match self {
            S3ErrorKind::Name => (
                Code::S3NameUnresolved,
                "Check --s3-endpoint and this machine's name resolution; with the bucket in the host name, try --s3-bucket-lookup-type path.",
            ),
            S3ErrorKind::Connect => (
                Code::S3Unreachable,
                "Check --s3-endpoint, --s3-proxy and the firewall; 's3-proxy: none' goes straight.",
            ),
            S3ErrorKind::Certificate => {
                (Code::S3CertificateUntrusted, "Name the authority that signed it with --s3-endpoint-ca.")
            }
            S3ErrorKind::OtherName => (
                Code::S3CertificateName,
                "Name the store with --s3-endpoint as the certificate does; with the bucket in the host name, try --s3-bucket-lookup-type path.",
            ),
            S3ErrorKind::Expired => (
                Code::S3CertificateExpired,
                "Check this machine's clock with 'timedatectl status'; else the store needs a new certificate.",
            ),
            S3ErrorKind::Scheme => (
                Code::S3Scheme,
                "For plain HTTP say --s3-insecure, for HTTPS leave it out; check the port in --s3-endpoint.",
            ),
            S3ErrorKind::Signature => (
                Code::S3SecretKeyWrong,
                "The secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY, or where --explain says it comes from.",
            ),
            S3ErrorKind::Key => (
                Code::S3AccessKeyUnknown,
                "Check the access key and, with temporary keys, the session token; --explain says where they come from.",
            ),
            S3ErrorKind::Skew => (Code::S3ClockSkew, "Set this machine's clock; see 'timedatectl status'."),
            S3ErrorKind::Denied => (
                Code::S3AccessDenied,
                "Allow it in the bucket's policy: s3:ListBucket on the bucket; s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects.",
            ),
            S3ErrorKind::Locked => (
                Code::S3ObjectLocked,
                "Object Lock keeps it until its retention ends; delete it then, or let a lifecycle rule of the bucket do it.",
            ),
            S3ErrorKind::Archived => (
                Code::S3ObjectArchived,
                "Bring it back with the store's own tools (RestoreObject), then try again.",
            ),
            S3ErrorKind::NoBucket => (
                Code::S3BucketNotFound,
                "Create it, or check --s3-bucket, --s3-endpoint and --s3-bucket-lookup-type.",
            ),
            S3ErrorKind::Missing => (Code::S3ObjectNotFound, "k3s-snapshot-list --s3 shows what is there."),
            S3ErrorKind::Region => (Code::S3WrongRegion, "Name its region with --s3-region."),
            S3ErrorKind::Redirect => (
                Code::S3Redirected,
                "Redirects are not followed: name the right address with --s3-endpoint, or the other --s3-bucket-lookup-type.",
            ),
            S3ErrorKind::Throttled => (Code::S3Throttled, "The store asks to come later."),
            S3ErrorKind::Stalled => (
                Code::S3Timeout,
                "Try again, or raise --s3-timeout: it counts the time in which nothing moves.",
            ),
            S3ErrorKind::Broken => {
                (Code::S3ConnectionBroken, "Try again; if it stays, ask whoever runs the store.")
            }
            S3ErrorKind::Server => {
                (Code::S3ServerError, "Try again; if it stays, ask whoever runs the store.")
            }
            S3ErrorKind::Full => {
                (Code::S3QuotaExceeded, "Delete what is not needed in the bucket, or ask for a larger quota.")
            }
            S3ErrorKind::Exists => (Code::S3ObjectExists, "Nothing in a bucket is overwritten."),
            S3ErrorKind::Unsupported => (Code::S3Unsupported, ""),
            S3ErrorKind::Digest => {
                (Code::S3DigestMismatch, "Something between here and the store changes bytes.")
            }
            S3ErrorKind::Nonsense => {
                (Code::S3InvalidResponse, "Is this an S3 endpoint? Check --s3-endpoint.")
            }
            S3ErrorKind::Config => (Code::S3InvalidConfig, ""),
            S3ErrorKind::Failed => (Code::S3Error, ""),
        }
    }

    /// By the store's word for it.
    pub(super) fn from_code(code: &str) -> Option<S3ErrorKind> {
        Some(match code {
            "SignatureDoesNotMatch" => S3ErrorKind::Signature,
            "InvalidAccessKeyId"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "InvalidClientTokenId"
            | "NotSignedUp"
            | "InvalidSecurity"
            | "Unauthorized"
            | "NotAuthorized"
            | "UnrecognizedClientException" => S3ErrorKind::Key,
            "RequestTimeTooSkewed" | "RequestExpired" => S3ErrorKind::Skew,
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
            | "IllegalLocationConstraintException" => S3ErrorKind::Region,
            "PermanentRedirect" | "TemporaryRedirect" | "Redirect" | "SecondLevelDomainForbidden" => {
                S3ErrorKind::Redirect
            }
            "QuotaExceeded"
            | "InsufficientStorage"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded"
            | "StorageFull" => S3ErrorKind::Full,
            "SlowDown"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "BandwidthLimitExceeded"
            | "ServiceUnavailable"
            | "Busy" => S3ErrorKind::Throttled,
            "RequestTimeout" => S3ErrorKind::Stalled,
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

    /// By the status alone, where the store gave no word that is known.
    pub(super) fn of_status(status: u16) -> S3ErrorKind {
        match status {
            300..=399 => S3ErrorKind::Redirect,
            401 => S3ErrorKind::Key,
            403 => S3ErrorKind::Denied,
            404 => S3ErrorKind::Missing,
            405 | 501 => S3ErrorKind::Unsupported,
            408 => S3ErrorKind::Stalled,
            409 | 500 | 502 | 504 => S3ErrorKind::Server,
            412 => S3ErrorKind::Exists,
            429 | 503 => S3ErrorKind::Throttled,
            507 => S3ErrorKind::Full,
            505..=599 => S3ErrorKind::Server,
            _ => S3ErrorKind::Failed,
        }
    }
}
