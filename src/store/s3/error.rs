// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a bucket, in words: one sentence, one exit code, one hint for each.
//!
//! What a server says is quoted, short and escaped, never passed on raw. A new way to fail is a row of [`Class`].

use crate::error::{Code, Fault};

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
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
pub(super) struct Trouble {
    pub(super) class: Class,
    /// Lower case, no full stop.
    pub(super) message: String,
    /// The store's word for it, where it answered.
    pub(super) code: String,
    /// How long the store wants to be left alone, in seconds.
    pub(super) after: Option<u64>,
}

impl Trouble {
    pub(super) fn of(class: Class, message: impl Into<String>) -> Trouble {
        Trouble { class, message: message.into(), code: String::new(), after: None }
    }

    /// Whether the same request may succeed when it is made again.
    pub(super) fn may_pass(&self) -> bool {
        use Class::{Broken, Connect, Digest, Name, Server, Stalled, Throttled};
        matches!(self.class, Broken | Connect | Digest | Name | Server | Stalled | Throttled)
    }

    /// As a fault: `doing` is what was tried, a gerund phrase with the bucket or object in it.
    pub(super) fn fault(self, doing: &str) -> Fault {
        let (code, hint) = self.class.ending();
        let fault = Fault::new(code, format!("{doing}: {}", self.message));
        if hint.is_empty() { fault } else { fault.hint(hint) }
    }

    /// The same as an error.
    pub(super) fn error(self, doing: &str) -> anyhow::Error {
        self.fault(doing).into()
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}

impl Class {
    /// The exit code, and what to do.
    pub(super) fn ending(self) -> (Code, &'static str) {
        match self {
            Class::Name => (
                Code::S3NameUnresolved,
                "Check --s3-endpoint and this machine's name resolution; with the bucket in the host name, try --s3-bucket-lookup-type path.",
            ),
            Class::Connect => (
                Code::S3Unreachable,
                "Check --s3-endpoint, --s3-proxy and the firewall; 's3-proxy: none' goes straight.",
            ),
            Class::Certificate => {
                (Code::S3CertificateUntrusted, "Name the authority that signed it with --s3-endpoint-ca.")
            }
            Class::OtherName => (
                Code::S3CertificateName,
                "Name the store with --s3-endpoint as the certificate does; with the bucket in the host name, try --s3-bucket-lookup-type path.",
            ),
            Class::Expired => (
                Code::S3CertificateExpired,
                "Check this machine's clock with 'timedatectl status'; else the store needs a new certificate.",
            ),
            Class::Scheme => (
                Code::S3Scheme,
                "For plain HTTP say --s3-insecure, for HTTPS leave it out; check the port in --s3-endpoint.",
            ),
            Class::Signature => (
                Code::S3SecretKeyWrong,
                "The secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY, or where --explain says it comes from.",
            ),
            Class::Key => (
                Code::S3AccessKeyUnknown,
                "Check the access key and, with temporary keys, the session token; --explain says where they come from.",
            ),
            Class::Skew => (Code::S3ClockSkew, "Set this machine's clock; see 'timedatectl status'."),
            Class::Denied => (
                Code::S3AccessDenied,
                "Allow it in the bucket's policy: s3:ListBucket on the bucket; s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects.",
            ),
            Class::Locked => (
                Code::S3ObjectLocked,
                "Object Lock keeps it until its retention ends; delete it then, or let a lifecycle rule of the bucket do it.",
            ),
            Class::Archived => (
                Code::S3ObjectArchived,
                "Bring it back with the store's own tools (RestoreObject), then try again.",
            ),
            Class::NoBucket => (
                Code::S3BucketNotFound,
                "Create it, or check --s3-bucket, --s3-endpoint and --s3-bucket-lookup-type.",
            ),
            Class::Missing => (Code::S3ObjectNotFound, "k3s-snapshot-list --s3 shows what is there."),
            Class::Region => (Code::S3WrongRegion, "Name its region with --s3-region."),
            Class::Redirect => (
                Code::S3Redirected,
                "Redirects are not followed: name the right address with --s3-endpoint, or the other --s3-bucket-lookup-type.",
            ),
            Class::Throttled => (Code::S3Throttled, "The store asks to come later."),
            Class::Stalled => (
                Code::S3Timeout,
                "Try again, or raise --s3-timeout: it counts the time in which nothing moves.",
            ),
            Class::Broken => {
                (Code::S3ConnectionBroken, "Try again; if it stays, ask whoever runs the store.")
            }
            Class::Server => (Code::S3ServerError, "Try again; if it stays, ask whoever runs the store."),
            Class::Full => {
                (Code::S3QuotaExceeded, "Delete what is not needed in the bucket, or ask for a larger quota.")
            }
            Class::Exists => (Code::S3ObjectExists, "Nothing in a bucket is overwritten."),
            Class::Unsupported => (Code::S3Unsupported, ""),
            Class::Digest => (Code::S3DigestMismatch, "Something between here and the store changes bytes."),
            Class::Nonsense => (Code::S3InvalidResponse, "Is this an S3 endpoint? Check --s3-endpoint."),
            Class::Config => (Code::S3InvalidConfig, ""),
            Class::Failed => (Code::S3Error, ""),
        }
    }

    /// By the store's word for it.
    pub(super) fn of_code(code: &str) -> Option<Class> {
        Some(match code {
            "SignatureDoesNotMatch" => Class::Signature,
            "InvalidAccessKeyId"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "InvalidClientTokenId"
            | "NotSignedUp"
            | "InvalidSecurity"
            | "Unauthorized"
            | "NotAuthorized"
            | "UnrecognizedClientException" => Class::Key,
            "RequestTimeTooSkewed" | "RequestExpired" => Class::Skew,
            "AccessDenied"
            | "AllAccessDisabled"
            | "AccountProblem"
            | "Forbidden"
            | "UnauthorizedAccess"
            | "KMS.AccessDeniedException" => Class::Denied,
            "ObjectLocked" | "InvalidRetentionPeriod" | "WORMProtected" => Class::Locked,
            "InvalidObjectState" => Class::Archived,
            "NoSuchBucket" | "InvalidBucketName" => Class::NoBucket,
            "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" => Class::Missing,
            "AuthorizationHeaderMalformed"
            | "AuthorizationQueryParametersError"
            | "IllegalLocationConstraintException" => Class::Region,
            "PermanentRedirect" | "TemporaryRedirect" | "Redirect" | "SecondLevelDomainForbidden" => {
                Class::Redirect
            }
            "QuotaExceeded"
            | "InsufficientStorage"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded"
            | "StorageFull" => Class::Full,
            "SlowDown"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "BandwidthLimitExceeded"
            | "ServiceUnavailable"
            | "Busy" => Class::Throttled,
            "RequestTimeout" => Class::Stalled,
            "InternalError" | "OperationAborted" | "ConditionalRequestConflict" => Class::Server,
            "PreconditionFailed" => Class::Exists,
            "NotImplemented" | "MethodNotAllowed" => Class::Unsupported,
            "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody"
            | "InvalidDigest" => Class::Digest,
            _ => return None,
        })
    }

    /// By the status alone, where the store gave no word that is known.
    pub(super) fn of_status(status: u16) -> Class {
        match status {
            300..=399 => Class::Redirect,
            401 => Class::Key,
            403 => Class::Denied,
            404 => Class::Missing,
            405 | 501 => Class::Unsupported,
            408 => Class::Stalled,
            409 | 500 | 502 | 504 => Class::Server,
            412 => Class::Exists,
            429 | 503 => Class::Throttled,
            507 => Class::Full,
            505..=599 => Class::Server,
            _ => Class::Failed,
        }
    }
}
