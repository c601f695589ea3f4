// SPDX-License-Identifier: Apache-2.0
//! Captures a snapshot from the first source that can give one, and verifies it. Gives nothing a name.
//!
//! What fails verification is discarded and captured again, as often as its source allows.

use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow};

use super::check::{records, summarize};
use super::zipped::{Tee, Zipping};
use crate::error::{Code, Fault, Kind};
use crate::host::{Draft, Progress};
use crate::inspect::{self, CheckResult, KeptObjects};
use crate::io::ReadAt;
use crate::model::method::Method;
use crate::model::name::SnapshotName;
use crate::model::report::Report;
use crate::model::snapshot::Digest;
use crate::model::warning::WarningCode;
use crate::source::{CaptureOutcome, Captured, Resting, Source};
use crate::store::LocalStore;

const CORRUPT_ETCD: &str = "Nothing was kept. The etcd database on this server is corrupt: keep the older snapshots, and \
                            save on another server.";
const CORRUPT_SQLITE: &str = "Nothing was kept. The database of K3s on this server is corrupt: keep the older snapshots, \
                              and check the disk and the memory of this server.";

/// A verified draft, and how it was captured.
pub(super) struct CapturedSnapshot {
    /// The plain snapshot, trailer included.
    pub(super) draft: Draft,
    /// What the source knows of it.
    pub(super) captured: Captured,
    /// SHA-256 of the whole draft.
    pub(super) sha256: Digest,
    /// What verification read.
    pub(super) structure: CheckResult,
    /// The objects of the cluster that were asked for.
    pub(super) objects: KeptObjects,
    /// Why a preferred method was not used.
    pub(super) reason: Option<String>,
    /// The zip of the draft and its SHA-256, if one was asked for.
    pub(super) zip: Option<(Draft, Digest)>,
}

/// Tries the sources in order until a draft passes verification, which keeps the values of the keys `keep`. With the name of a
/// zip, verification also compresses the draft.
///
/// # Errors
/// The last failure, if no source gives a snapshot that passes.
pub(super) fn capture(
    sources: &[&dyn Source],
    local: &dyn LocalStore,
    zip: Option<&SnapshotName>,
    keep: &[Vec<u8>],
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<CapturedSnapshot> {
    let (mut reasons, mut last) = (Vec::new(), anyhow!("no source to save from"));
    for (i, source) in sources.iter().enumerate() {
        let method = source.method();
        for attempt in 1..=source.max_attempts() {
            let draft = local.draft()?;
            let captured = match capture_into(zip.is_some(), *source, &draft, progress)? {
                CaptureOutcome::Captured(captured) => captured,
                CaptureOutcome::Unavailable(fault) => {
                    let text = format!("cannot {} the database: {fault}", method.as_str());
                    // A file system that cannot clone is normal; a database that cannot be read is not.
                    if fault.kind() == Kind::Corrupt {
                        report.warn(WarningCode::CaptureRetried, text);
                    } else {
                        log::debug!("{text}");
                    }
                    reasons.push(fault.to_string());
                    last = fault.into();
                    break;
                }
            };
            let zipping =
                zip.map(|name| Zipping::start(local, name, captured.bytes, progress)).transpose()?;
            let verified = verify(&draft, &captured, keep, zipping.as_ref(), progress)
                .and_then(|v| ensure_same_member(&captured, v));
            match verified {
                Ok(Verified { structure, objects, sha256 }) => {
                    reasons.extend(captured.method_reason.clone());
                    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
                    let zip = zipping.map(|zip| zip.finish((captured.bytes, sha256))).transpose()?;
                    return Ok(CapturedSnapshot { draft, captured, sha256, structure, objects, reason, zip });
                }
                Err(e) => {
                    if attempt < source.max_attempts() || i + 1 < sources.len() {
                        report.warn(
                            WarningCode::CaptureRetried,
                            format!("{} failed verification, retrying: {e:#}", method.as_str()),
                        );
                    }
                    reasons.push(format!("{} failed verification: {e:#}", method.as_str()));
                    last = e;
                }
            }
        }
    }
    Err(last)
}

fn capture_into(
    compress: bool,
    source: &dyn Source,
    draft: &Draft,
    progress: &dyn Progress,
) -> Result<CaptureOutcome> {
    // A zip is written next to the plain draft; deflate does not grow incompressible data by more than this.
    let factor = if compress { 2 } else { 1 };
    let ensure_space = |size: u64| {
        let needed = size.saturating_mul(factor).saturating_add(size / 1000).saturating_add(1 << 20);
        draft.ensure_free_space(needed)
    };
    source.fill(draft, &ensure_space, progress)
}

/// What verification found.
struct Verified {
    structure: CheckResult,
    objects: KeptObjects,
    sha256: Digest,
}

/// The structure is checked while the disk is still writing, and while what was not received as a stream gets its trailer,
/// which is synced when the draft gets its name. While etcd runs, both rest again and again. The pass that hashes also fills
/// the zip. If there is one, the draft itself is not kept and need not reach the disk.
fn verify(
    draft: &Draft,
    captured: &Captured,
    keep: &[Vec<u8>],
    zipping: Option<&Zipping<'_>>,
    progress: &dyn Progress,
) -> Result<Verified> {
    progress.step("verifying the snapshot", zipping.map(|_| captured.bytes));
    let reader = draft.reader()?;
    let tee: Option<Tee> = zipping.map(|zipping| zipping.tee(&reader));
    let plain: &dyn ReadAt = tee.as_ref().map_or(&reader, |tee| tee);
    let (resting_in_order, resting) = (Resting::new(plain), Resting::new(&reader));
    let (in_order, pages): (&dyn ReadAt, &dyn ReadAt) = match captured.version {
        Some(_) => (&resting_in_order, &resting),
        None => (plain, &reader),
    };
    let sync_draft = || if zipping.is_none() { draft.sync() } else { Ok(()) };
    let db_len = inspect::database_len(captured.bytes).map_err(|f| anyhow!("{f}"))?;
    let (hashed, synced, structure) = std::thread::scope(|scope| {
        let sync = scope.spawn(sync_draft);
        let hash = scope.spawn(|| match captured.sha256 {
            // What was written is read back: the file is verified, not the stream.
            Some(sent) => compare_with_sent(in_order, db_len, sent),
            None => append_trailer(draft, in_order, db_len, zipping),
        });
        let structure = inspect::verify_keeping(&pages, db_len, keep);
        (hash.join(), sync.join(), structure)
    });
    let failed = |_| anyhow!("the hashing thread failed");
    let sha256 = hashed.map_err(failed)??;
    synced.map_err(failed)??;
    let (structure, objects) = structure.context("verifying the snapshot")?;
    if !structure.is_clean() {
        let (what, hint) = match captured.method {
            Method::Clone => ("the clone of the etcd database is corrupt", CORRUPT_ETCD),
            Method::Copy => ("the copy of the etcd database is corrupt", CORRUPT_ETCD),
            Method::Offline => ("the database file of etcd is corrupt", CORRUPT_ETCD),
            Method::Backup => ("the SQLite database is corrupt", CORRUPT_SQLITE),
            _ => ("the database that etcd sent is corrupt", CORRUPT_ETCD),
        };
        let found = summarize(&records(&structure));
        return Err(Fault::new(Code::DatabaseCorrupt, format!("{what}: {found}")).hint(hint).into());
    }
    Ok(Verified { structure, objects, sha256 })
}

/// The file at the usual path may belong to another etcd than the one that answered: a database lists its members.
fn ensure_same_member(captured: &Captured, verified: Verified) -> Result<Verified> {
    let members = &verified.structure.facts.members;
    match captured.member {
        Some(id) if !members.is_empty() && members.iter().all(|m| m.id != id) => Err(Fault::new(
            Code::EtcdMismatch,
            format!("the etcd at {} is not a member of the cluster in the database file", captured.endpoint),
        )
        .hint("Check that --data-dir and --etcd-endpoints belong to the same server.")
        .into()),
        _ => Ok(verified),
    }
}

fn compare_with_sent(reader: &dyn ReadAt, db_len: u64, sent: Digest) -> Result<Digest> {
    let digests = inspect::hash(reader, db_len, &mut |_| {})?;
    anyhow::ensure!(
        Digest(digests.file) == sent,
        "the written file differs from what was received; nothing was kept"
    );
    Ok(sent)
}

/// Hashes the database in the draft and appends the trailer.
fn append_trailer(
    draft: &Draft,
    data: &dyn ReadAt,
    db_len: u64,
    zipping: Option<&Zipping<'_>>,
) -> Result<Digest> {
    let digests = inspect::hash_with_trailer(data, db_len, &mut |_| {})?;
    draft
        .file()
        .write_all_at(&digests.database, db_len)
        .with_context(|| format!("writing the snapshot to '{}'", draft.folder().display()))?;
    zipping.iter().for_each(|zipping| zipping.add(&digests.database, db_len));
    Ok(Digest(digests.file))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write as _;

    use super::*;
    use crate::error::kind_of;
    use crate::host::NoProgress;
    use crate::model::command::Command;
    use crate::model::name::Suffix;
    use crate::model::warning::WarningCode;
    use crate::store::local::Local;

    const STREAMED: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");

    /// A source that gives what its list says, one after the other.
    struct Fake {
        method: Method,
        gives: &'static [Give],
        next: Cell<usize>,
    }

    enum Give {
        Whole,
        Damaged,
        Nothing,
    }
    use Give::{Damaged, Nothing, Whole};

    fn fake(method: Method, gives: &'static [Give]) -> Fake {
        Fake { method, gives, next: Cell::new(0) }
    }

    impl Source for Fake {
        fn fill(
            &self,
            draft: &Draft,
            _: &dyn Fn(u64) -> Result<()>,
            _: &dyn Progress,
        ) -> Result<CaptureOutcome> {
            let give = &self.gives[self.next.replace(self.next.get() + 1)];
            let mut bytes = STREAMED.to_vec();
            match give {
                Nothing => {
                    return Ok(CaptureOutcome::Unavailable(Fault::new(
                        Code::CloneUnsupported,
                        "no such file system",
                    )));
                }
                Damaged => bytes[3 * 4096] ^= 1,
                Whole => {}
            }
            let clone = self.method == Method::Clone;
            let len = if clone { bytes.len() - 32 } else { bytes.len() };
            (&mut &*draft).write_all(&bytes[..len])?;
            Ok(CaptureOutcome::Captured(Captured {
                method: self.method,
                method_reason: None,
                bytes: bytes.len() as u64,
                sha256: (!clone).then(|| Digest(<sha2::Sha256 as sha2::Digest>::digest(&bytes).into())),
                version: None,
                endpoint: String::new(),
                asked: Ok(1),
                alarms: vec![],
                member: None,
                has_leader: true,
                log_damage: None,
            }))
        }

        fn method(&self) -> Method {
            self.method
        }

        fn max_attempts(&self) -> u32 {
            if self.method == Method::Clone { 2 } else { 1 }
        }
    }

    fn zip_name() -> SnapshotName {
        SnapshotName::new("manual", "server-1", 1_795_339_215, Suffix::Zip)
    }

    /// What comes of it, and how many warnings with the finding there are.
    fn outcome(clone: &'static [Give], stream: &'static [Give]) -> (Result<(Method, Option<String>)>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let home = Local::new(dir.path(), &dir.path().join("state"), false);
        let (clone, stream) = (fake(Method::Clone, clone), fake(Method::Stream, stream));
        let all: Vec<&dyn Source> =
            [&clone, &stream].into_iter().filter(|f| !f.gives.is_empty()).map(|f| f as &dyn Source).collect();
        let mut report = Report::new(Command::Save, 0);
        let taken = capture(&all, &home, Some(&zip_name()), &[], &NoProgress, &mut report);
        for fake in [&clone, &stream] {
            assert_eq!(fake.next.get(), fake.gives.len(), "asked as often as meant");
        }
        assert!(
            report
                .warnings
                .iter()
                .all(|w| w.code == WarningCode::CaptureRetried && w.message.contains("page 3")),
            "{report:?}"
        );
        if let Ok(taken) = &taken
            && taken.captured.method == Method::Clone
        {
            let mut bytes = vec![0; STREAMED.len()];
            ReadAt::read_exact_at(&taken.draft.reader().unwrap(), &mut bytes, 0).unwrap();
            assert!(bytes == STREAMED, "sealed as etcd seals it");
            assert_eq!(taken.sha256.0, <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(STREAMED)));
        }
        if let Ok(taken) = &taken {
            let (zip, mut bytes) = (&taken.zip.as_ref().unwrap().0, Vec::new());
            let unpacked =
                crate::archive::zip::unpack(&zip.reader().unwrap(), &|_| Ok(()), &mut bytes).unwrap();
            assert!(matches!(unpacked, crate::archive::zip::Unpacked::Whole(_)) && bytes == STREAMED);
        }
        (taken.map(|t| (t.captured.method, t.reason)), report.warnings.len())
    }

    #[test]
    fn a_clone_that_fails_verification_is_retried_and_then_streamed() {
        let (done, events) = outcome(&[Whole], &[]);
        assert_eq!((done.unwrap(), events), ((Method::Clone, None), 0));
        let (done, events) = outcome(&[Damaged, Whole], &[]);
        let (method, reason) = done.unwrap();
        assert_eq!((method, events), (Method::Clone, 1));
        assert!(reason.unwrap().contains("page 3"));
        let (done, events) = outcome(&[Damaged, Damaged], &[Whole]);
        let (method, reason) = done.unwrap();
        assert_eq!((method, events), (Method::Stream, 2));
        assert!(reason.is_some());
        let (done, events) = outcome(&[Nothing], &[Whole]);
        assert_eq!((done.unwrap(), events), ((Method::Stream, Some("no such file system".into())), 0));
        let (done, events) = outcome(&[Damaged, Nothing], &[Whole]);
        assert_eq!((done.unwrap().0, events), (Method::Stream, 1));
    }

    #[test]
    fn the_error_of_the_last_source_is_reported_if_none_gives_a_snapshot() {
        let (done, events) = outcome(&[Damaged, Damaged], &[Damaged]);
        assert_eq!((kind_of(&done.unwrap_err()), events), (Kind::Corrupt, 2));
        let (done, events) = outcome(&[Damaged, Damaged], &[]);
        assert_eq!((kind_of(&done.unwrap_err()), events), (Kind::Corrupt, 1));
        let (done, events) = outcome(&[Nothing], &[]);
        assert_eq!((kind_of(&done.unwrap_err()), events), (Kind::Refused, 0));
    }
}
