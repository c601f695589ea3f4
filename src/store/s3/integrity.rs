// SPDX-License-Identifier: Apache-2.0
//! What shows that an object is the file that was uploaded, and how strong that evidence is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object::Head;
use crate::model::snapshot::{Manifest, State};

/// The field of a manifest about its object.
const OBJECT_FIELD: &str = "object";

/// How an object was shown to be what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Evidence {
    /// The store reports the SHA-256 of the object.
    #[serde(rename = "sha256")]
    Sha256,
    /// The store reports the MD5 of the object, as its entity tag.
    #[serde(rename = "etag")]
    Etag,
    /// Every byte was read back.
    #[serde(rename = "read")]
    Read,
    /// Only the size is known to be right. This verifies nothing.
    #[serde(rename = "size only")]
    Size,
}

/// What a manifest in a bucket says of its object.
#[derive(Serialize, Deserialize)]
struct ObjectRecord {
    evidence: Evidence,
    #[serde(default)]
    etag: String,
}

/// What an object looks like to the store, if it is the file that was sent.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// Bytes.
    pub(super) size: u64,
    /// Its SHA-256 as the store writes it: base64, followed by `-<parts>` if it was sent in parts.
    pub(super) checksum: String,
    /// The SHA-256 of the whole. Some stores report this also for an object in parts.
    pub(super) whole: String,
    /// Its entity tag, if the store computes that from MD5 digests.
    pub(super) etag: String,
}

impl Expected {
    /// What the report of the store shows. `None` if it shows nothing, or another object.
    pub(super) fn evidence(&self, found: &Head) -> Option<Evidence> {
        if found.size != self.size {
            return None;
        }
        if !found.checksum.is_empty() {
            let bare = self.checksum.split('-').next().unwrap_or_default();
            let fits = [&self.checksum, &self.whole, bare].contains(&found.checksum.as_str());
            return fits.then_some(Evidence::Sha256);
        }
        (self.etag == found.etag).then_some(Evidence::Etag)
    }
}

/// Writes into a manifest what is known of its object.
pub(super) fn set_evidence(manifest: &mut Manifest, evidence: Evidence, etag: &str) {
    let record = ObjectRecord { evidence, etag: etag.to_owned() };
    let value = serde_json::to_value(record).unwrap_or(Value::Null);
    manifest.other.insert(OBJECT_FIELD.to_owned(), value);
}

fn evidence_of(manifest: &Manifest) -> Option<Evidence> {
    let record = manifest.other.get(OBJECT_FIELD)?;
    serde_json::from_value::<ObjectRecord>(record.clone()).ok().map(|r| r.evidence)
}

/// The state that a manifest gives its object.
pub(super) fn state_of(manifest: &Manifest) -> State {
    match manifest.state() {
        State::Verified
            if evidence_of(manifest) == Some(Evidence::Size) || manifest.verified_at.is_none() =>
        {
            State::Unverified
        }
        state => state,
    }
}
