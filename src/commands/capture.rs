// SPDX-License-Identifier: Apache-2.0
//! Takes a snapshot from the first source that can give one, and proves it. Gives nothing a name.
//!
//! What does not pass the proof is thrown away, and taken anew as often as its source says.

use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow};

use super::check::words;
use crate::error::{Code, Fault, Kind};
use crate::host::{Draft, Progress};
use crate::inspect::{self, CheckResult};
use crate::model::method::Method;
use crate::model::report::Report;
use crate::model::snapshot::Digest;
use crate::source::{CaptureOutcome, Captured, Source};
use crate::store::LocalStore;

/// A proven draft, and how it came to be.
pub(super) struct Taken {
    /// The plain snapshot, trailer included.
    pub(super) draft: Draft,
    /// What the source knows of it.
    pub(super) captured: Captured,
    /// SHA-256 of all of it.
    pub(super) sha256: Digest,
    /// What the proof read in it.
    pub(super) proof: CheckResult,
    /// How it was taken.
    pub(super) method: Method,
    /// Why not by a method that comes before.
    pub(super) reason: Option<String>,
}

/// Goes through the sources until a draft passes the proof. What does not is thrown away, and told.
pub(super) fn take(
    sources: &[&dyn Source],
    home: &dyn LocalStore,
    compress: bool,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<Taken> {
    let (mut reason, mut last) = (None, anyhow!("no source to save from"));
    for (i, source) in sources.iter().enumerate() {
        let method = source.method();
        for n in 1..=source.max_attempts() {
            let draft = home.draft()?;
            let captured = match fill(compress, *source, &draft, progress)? {
                CaptureOutcome::Captured(captured) => captured,
                CaptureOutcome::Unavailable(fault) => {
                    let text = format!("no {} here: {fault}", method.as_str());
                    // That the file system cannot is of no concern; that the database cannot be read is.
                    if fault.kind() == Kind::Corrupt {
                        report.warn(text);
                    } else {
                        log::info!("{text}");
                    }
                    reason = Some(fault.to_string());
                    last = fault.into();
                    break;
                }
            };
            match prove(&draft, &captured, method, progress).and_then(|p| same_etcd(&captured, p)) {
                Ok((proof, sha256)) => return Ok(Taken { draft, captured, sha256, proof, method, reason }),
                Err(e) => {
                    if n < source.max_attempts() || i + 1 < sources.len() {
                        report
                            .warn(format!("a {} was thrown away and is taken anew: {e:#}", method.as_str()));
                    }
                    reason = Some(format!("the {} did not pass the proof: {e:#}", method.as_str()));
                    last = e;
                }
            }
        }
    }
    Err(last)
}

fn fill(
    compress: bool,
    source: &dyn Source,
    draft: &Draft,
    progress: &dyn Progress,
) -> Result<CaptureOutcome> {
    // A zip is written beside the plain draft; deflate does not grow what it cannot shrink by more than this.
    let factor = if compress { 2 } else { 1 };
    let room = |size: u64| {
        draft.ensure_free_space(
            size.saturating_mul(factor).saturating_add(size / 1000).saturating_add(1 << 20),
        )
    };
    source.fill(draft, &room, progress)
}

/// The walk runs while the disk is still writing, and while a clone is sealed.
fn prove(
    draft: &Draft,
    captured: &Captured,
    method: Method,
    progress: &dyn Progress,
) -> Result<(CheckResult, Digest)> {
    progress.step("proving the snapshot", None);
    let reader = draft.reader()?;
    let db_len = inspect::database_len(captured.bytes).map_err(|f| anyhow!("{f}"))?;
    let (sealed, synced, proof) = std::thread::scope(|scope| {
        let sync = captured.sha256.map(|_| scope.spawn(|| draft.sync()));
        let seal = scope.spawn(|| match captured.sha256 {
            // What was written is read back: the proof is of the file, not of the stream.
            Some(sent) => read_back(&reader, db_len, sent),
            None => seal(draft, db_len).and_then(|sha256| draft.sync().map(|()| sha256)),
        });
        let proof = inspect::verify(&reader, db_len);
        (seal.join(), sync.map(|s| s.join()), proof)
    });
    let died = |_| anyhow!("a thread died");
    let sha256 = sealed.map_err(died)??;
    synced.transpose().map_err(died)?.transpose()?;
    let proof = proof.context("proving the snapshot")?;
    if !proof.is_clean() {
        return Err(Fault::new(
            Code::DatabaseCorrupt,
            match method {
                Method::Clone => format!("the clone of etcd's database is damaged: {}", words(&proof).join("; ")),
                _ => format!("the database that etcd sent is damaged: {}", words(&proof).join("; ")),
            },
        )
        .hint("Nothing was kept. etcd's own database on this server is damaged: keep the older snapshots, try another server.")
        .into());
    }
    Ok((proof, sha256))
}

/// A file at the usual place may be another etcd's than the one that was asked: a database knows its members.
fn same_etcd(captured: &Captured, proven: (CheckResult, Digest)) -> Result<(CheckResult, Digest)> {
    let members = &proven.0.facts.members;
    match captured.member {
        Some(id) if !members.is_empty() && members.iter().all(|m| m.id != id) => Err(Fault::new(
            Code::EtcdMismatch,
            format!("the etcd at {} is no member of the cluster that this database is of", captured.endpoint),
        )
        .hint("Check --data-dir and --etcd-endpoints: they have to be of one server.")
        .into()),
        _ => Ok(proven),
    }
}

fn read_back(reader: &dyn crate::io::ReadAt, db_len: u64, sent: Digest) -> Result<Digest> {
    let digests = inspect::hash(reader, db_len, &mut |_| {})?;
    anyhow::ensure!(Digest(digests.file) == sent, "what was written is not what etcd sent; nothing was kept");
    Ok(sent)
}

/// Hashes what is in the draft and writes the trailer behind it.
fn seal(draft: &Draft, db_len: u64) -> Result<Digest> {
    let digests = inspect::seal(&draft.reader()?, db_len, &mut |_| {})?;
    draft
        .file()
        .write_all_at(&digests.database, db_len)
        .with_context(|| format!("writing the snapshot to '{}'", draft.folder().display()))?;
    Ok(Digest(digests.file))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write as _;

    use super::*;
    use crate::error::kind_of;
    use crate::host::NoProgress;
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
                bytes: bytes.len() as u64,
                sha256: (!clone).then(|| Digest(<sha2::Sha256 as sha2::Digest>::digest(&bytes).into())),
                version: None,
                endpoint: String::new(),
                asked: Ok(1),
                alarms: vec![],
                member: None,
                has_leader: true,
            }))
        }

        fn method(&self) -> Method {
            self.method
        }

        fn max_attempts(&self) -> u32 {
            if self.method == Method::Clone { 2 } else { 1 }
        }
    }

    /// What comes of it, and how many warnings with the finding there are.
    fn outcome(clone: &'static [Give], stream: &'static [Give]) -> (Result<(Method, Option<String>)>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let home = Local::new(dir.path(), &dir.path().join("state"), false);
        let (clone, stream) = (fake(Method::Clone, clone), fake(Method::Stream, stream));
        let all: Vec<&dyn Source> =
            [&clone, &stream].into_iter().filter(|f| !f.gives.is_empty()).map(|f| f as &dyn Source).collect();
        let mut report = Report::new("save", 0);
        let taken = take(&all, &home, false, &NoProgress, &mut report);
        for fake in [&clone, &stream] {
            assert_eq!(fake.next.get(), fake.gives.len(), "asked as often as meant");
        }
        assert!(
            report.warnings.iter().all(|w| w.contains("page 3") && w.contains("thrown away")),
            "{report:?}"
        );
        if let Ok(taken) = &taken
            && taken.method == Method::Clone
        {
            let mut bytes = vec![0; STREAMED.len()];
            crate::io::ReadAt::read_exact_at(&taken.draft.reader().unwrap(), &mut bytes, 0).unwrap();
            assert!(bytes == STREAMED, "sealed as etcd seals it");
            assert_eq!(taken.sha256.0, <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(STREAMED)));
        }
        (taken.map(|t| (t.method, t.reason)), report.warnings.len())
    }

    #[test]
    fn a_clone_that_is_not_proven_is_taken_again_and_then_streamed() {
        let (done, events) = outcome(&[Whole], &[]);
        assert_eq!((done.unwrap(), events), ((Method::Clone, None), 0));
        let (done, events) = outcome(&[Damaged, Whole], &[]);
        let (method, reason) = done.unwrap();
        assert_eq!((method, events), (Method::Clone, 1));
        assert!(reason.unwrap().contains("page 3"));
        let (done, events) = outcome(&[Damaged, Damaged], &[Whole]);
        let (method, reason) = done.unwrap();
        assert_eq!((method, events), (Method::Stream, 2));
        assert!(reason.unwrap().contains("did not pass the proof"));
        let (done, events) = outcome(&[Nothing], &[Whole]);
        assert_eq!((done.unwrap(), events), ((Method::Stream, Some("no such file system".into())), 0));
        let (done, events) = outcome(&[Damaged, Nothing], &[Whole]);
        assert_eq!((done.unwrap().0, events), (Method::Stream, 1));
    }

    #[test]
    fn what_no_source_gives_is_an_error_of_the_last() {
        let (done, events) = outcome(&[Damaged, Damaged], &[Damaged]);
        assert_eq!((kind_of(&done.unwrap_err()), events), (Kind::Corrupt, 2));
        let (done, events) = outcome(&[Damaged, Damaged], &[]);
        assert_eq!((kind_of(&done.unwrap_err()), events), (Kind::Corrupt, 1));
        let (done, events) = outcome(&[Nothing], &[]);
        assert_eq!((kind_of(&done.unwrap_err()), events), (Kind::Refused, 0));
    }
}
