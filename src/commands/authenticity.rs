// SPDX-License-Identifier: Apache-2.0
//! Whether snapshots are those that a holder of the server token saved: compares the authentication code of a manifest with what
//! was found. Without a known token, nothing is checked.

use crate::error::{Code, Fault};
use crate::inspect::Facts;
use crate::model::authenticity::{Authenticity, CoveredFacts, Keyring};
use crate::model::snapshot::{Digest, FindingRecord, Manifest, Snapshot, State};

/// The check whose finding a snapshot has that is not authentic.
const CHECK: &str = "authenticity";
/// The check whose finding it has if its digest is not the recorded one, too.
pub(super) const CHANGED: &str = "changed";

/// What was found of a whole snapshot, to be compared with its manifest.
pub(super) struct Found<'a> {
    /// The file name under which it was found.
    pub(super) file: &'a str,
    /// SHA-256 and bytes of the file as stored, if it was hashed.
    pub(super) stored: Option<(Digest, u64)>,
    /// SHA-256 and bytes of the plain snapshot, if it was unpacked.
    pub(super) plain: Option<(Digest, u64)>,
    /// What was read in it, if it was read.
    pub(super) facts: Option<&'a Facts>,
}

impl Found<'_> {
    /// Whether this is what the code in the manifest was made for. `None` if no token is known.
    pub(super) fn authenticity(&self, keys: &Keyring, recorded: Option<&Manifest>) -> Option<Authenticity> {
        let Some(m) = recorded else { return (!keys.is_empty()).then_some(Authenticity::Missing) };
        let mut covered = CoveredFacts { name: self.file, ..m.covered_facts() };
        if let Some((sha256, size)) = self.stored {
            (covered.stored_sha256, covered.stored_size) = (sha256, size);
        }
        if let Some((sha256, size)) = self.plain {
            (covered.plain_sha256, covered.plain_size) = (sha256, size);
        }
        if let Some(facts) = self.facts {
            (covered.revision, covered.cluster_id) = (facts.revision, facts.cluster_id.as_deref());
        }
        keys.check(m.authentication.as_ref(), &covered)
    }

    /// The same, and a finding if this is something else.
    pub(super) fn check(
        &self,
        keys: &Keyring,
        recorded: Option<&Manifest>,
        findings: &mut Vec<FindingRecord>,
    ) -> Option<Authenticity> {
        let authenticity = self.authenticity(keys, recorded);
        findings.extend(finding(authenticity));
        authenticity
    }
}

/// Corrects the state of a listed snapshot by its manifest, without a look at the snapshot. Everyone who can write to a bucket
/// can write a manifest that calls a snapshot verified; with a known token, only those count that are authentic.
pub(super) fn check_listed(keys: &Keyring, snapshot: &mut Snapshot) -> Option<Authenticity> {
    // What is known to be corrupt stays so, and its digests are not those that the code was made for.
    let manifest = snapshot.manifest.as_ref().filter(|m| m.findings.is_empty())?;
    let authenticity = keys.check(manifest.authentication.as_ref(), &manifest.covered_facts())?;
    match (authenticity, snapshot.state) {
        (Authenticity::NotAuthentic, State::Verified | State::Unverified) => snapshot.state = State::Corrupt,
        (Authenticity::UnknownKey | Authenticity::Missing, State::Verified) if is_remote(snapshot) => {
            snapshot.state = State::Unverified;
        }
        _ => {}
    }
    Some(authenticity)
}

/// The finding of a snapshot that is not authentic.
pub(super) fn finding(authenticity: Option<Authenticity>) -> Option<FindingRecord> {
    let problem = authenticity.filter(|a| *a == Authenticity::NotAuthentic)?.problem()?;
    Some(FindingRecord::new(CHECK, problem))
}

/// Whether a snapshot is corrupt only because it is another one than the one that was saved.
pub(super) fn is_only_finding(findings: &[FindingRecord]) -> bool {
    findings.iter().any(|f| f.check == CHECK)
        && findings.iter().all(|f| [CHECK, CHANGED].contains(&&*f.check))
}

/// The error of a snapshot that is not authentic; `None` if it is, or if that is not known.
pub(super) fn error(authenticity: Option<Authenticity>, file: &str) -> Option<Fault> {
    let problem = finding(authenticity)?.message;
    Some(Fault::new(Code::NotAuthentic, format!("'{}' is not authentic: {problem}", file.escape_debug())))
}

/// Whether everyone who can write to a bucket can have put it there. A file on this machine is protected by its owner: if it is
/// not the recorded one, it is another file of that name.
pub(super) fn is_remote(snapshot: &Snapshot) -> bool {
    snapshot.location.starts_with("s3:")
}
