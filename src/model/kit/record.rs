// SPDX-License-Identifier: Apache-2.0
//! What is recorded of the kit in force, and of the verification that it can be opened. No secret.

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;

/// The kit in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedKit {
    /// Its name.
    pub(crate) name: String,
    /// The digest of its content, which depends on the server token.
    pub(crate) content: Digest,
    /// The public keys that it is sealed for.
    pub(crate) recipients: Vec<String>,
    /// When it was sealed, seconds since the epoch.
    pub(crate) sealed_at: u64,
}

/// The verification that a kit was opened, and that its token decrypts the bootstrap data of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitVerification {
    /// The kit.
    pub(crate) kit: String,
    /// The snapshot.
    pub(crate) snapshot: String,
    /// The public keys that were configured then.
    pub(crate) recipients: Vec<String>,
    /// When, seconds since the epoch.
    pub(crate) at: u64,
}

impl SealedKit {
    /// Whether a content with this digest must be sealed again for these recipients.
    pub(crate) fn is_outdated(&self, content: Digest, recipients: &[String]) -> bool {
        self.content != content || self.recipients != recipients
    }
}
