// SPDX-License-Identifier: Apache-2.0
//! prune: deletes what the retention policy does not keep. Everything is decided in `model/retention`; what is printed
//! by a dry run is what is done without one.
//!
//! Each place is pruned by itself: what cannot be looked at there stops everything there, and nothing elsewhere.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};

use super::upload::forgive;
use crate::error::{Code, Fault};
use crate::host::Progress;
use crate::model::report::{Report, Row};
use crate::model::retention::{Decision, Policies, PruneInput, Selection, judge};
use crate::model::snapshot::{Leftover, Listing};
use crate::store::{LocalStore, Remote, Store};

/// What the folder is called in sentences.
pub(super) const FOLDER: &str = "the snapshot folder";

/// What is to be pruned, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// Which snapshots it is about.
    pub selection: &'a Selection,
    /// Seconds since the epoch.
    pub now: u64,
    /// Whether a fall of the entries is meant.
    pub accept_drop: bool,
    /// Whether it is only shown.
    pub dry_run: bool,
    /// Hash of this server's token, where it is known.
    pub token: Option<&'a str>,
}

/// The bucket, and what is kept in it.
pub struct Bucket<'a> {
    /// Opens it. Where that fails, the folder is pruned all the same.
    pub open: &'a dyn Fn() -> Result<Box<dyn Remote>>,
    /// What is kept there.
    pub policies: &'a Policies,
}

/// Judges all that is in the folder, and deletes what goes, the oldest first; then the same in the bucket.
pub fn run(
    req: &Request,
    home: &dyn LocalStore,
    policies: &Policies,
    bucket: Option<&Bucket>,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let here = folder(req, home, policies, progress, report);
    let Some(bucket) = bucket else { return here };
    if let Err(e) = here {
        report.fail(&e);
    }
    there(req, home, bucket, progress, report)
}

fn folder(
    req: &Request,
    home: &dyn LocalStore,
    policies: &Policies,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let listing = home.list()?;
    certain(&listing, FOLDER)?;
    let leftovers = home.leftovers()?;
    let doomed = decide(req, req.selection, &listing, &leftovers, policies, report);
    if req.dry_run {
        log::info!("{} would be deleted from {FOLDER}", count(doomed.len()));
    } else {
        remove(&doomed, home, FOLDER, progress, report);
        forget(req, home, report);
    }
    Ok(())
}

fn there(
    req: &Request,
    home: &dyn LocalStore,
    bucket: &Bucket,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let (remote, listing, told) = look(req, bucket).context("nothing was deleted in the bucket")?;
    let place = format!("'{}'", remote.url());
    certain(&listing, &place)?;
    let selection = Selection { told: Some(told), ..req.selection.clone() };
    let doomed = decide(req, &selection, &listing, &[], bucket.policies, report);
    if req.dry_run {
        log::info!("{} would be deleted from {place}", count(doomed.len()));
    } else {
        forgive(home, &doomed);
        remove(&doomed, &*remote, &place, progress, report);
        forget(req, &*remote, report);
    }
    Ok(())
}

/// Stem to node.
type Told = BTreeMap<String, String>;

/// All that has to be known of the bucket: one list, and a look at one object of each stem that may be of another node.
fn look(req: &Request, bucket: &Bucket) -> Result<(Box<dyn Remote>, Listing, Told)> {
    let remote = (bucket.open)()?;
    let listing = remote.list()?;
    let mut told = Told::new();
    for (stem, file) in req.selection.asks(&listing.snapshots) {
        if let Some(node) = remote.node_of(file)? {
            told.insert(stem.to_owned(), node);
        }
    }
    Ok((remote, listing, told))
}

/// A file that goes, behind the number of its row in the report.
pub(super) type Doomed = (usize, String);

/// Judges, and reports a row for everything there. Gives back what goes, the oldest first.
fn decide(
    req: &Request,
    selection: &Selection,
    listing: &Listing,
    leftovers: &[Leftover],
    policies: &Policies,
    report: &mut Report,
) -> Vec<Doomed> {
    let ask = PruneInput { selection, policies, now: req.now, accept_drop: req.accept_drop };
    let judgement = judge(&listing.snapshots, leftovers, &ask);
    judgement.warnings.iter().for_each(|text| report.warn(text));
    let mut doomed = Vec::new();
    for verdict in &judgement.verdicts {
        if matches!(verdict.decision, Decision::Remove(_)) {
            doomed.push((report.snapshots.len(), verdict.snapshot.file.clone()));
        }
        report.snapshots.push(Row {
            action: verdict.decision.as_str(),
            reasons: verdict.decision.reasons(),
            ..Row::from_snapshot(verdict.snapshot, req.token)
        });
    }
    doomed
}

fn forget(req: &Request, store: &dyn Store, report: &mut Report) {
    match store.delete_orphan_manifests(req.now) {
        Ok(0) => {}
        Ok(n) => log::info!("{n} manifests of snapshots that are gone were deleted"),
        Err(e) => report.warn(format!("{e:#}")),
    }
}

/// Fails unless everything was seen: who deletes has to know all. `place` is where that was, in words.
pub(super) fn certain(listing: &Listing, place: &str) -> Result<()> {
    let why = match (listing.complete, listing.manifests_readable) {
        (true, true) => return Ok(()),
        (false, _) => format!("not everything in {place} could be looked at"),
        (_, false) => {
            format!("the manifests of {place} cannot be read, so nobody knows which snapshots are proven")
        }
    };
    Err(Fault::new(Code::ListingIncomplete, format!("{why}; nothing was deleted there"))
        .hint("k3s-snapshot-list --debug shows what cannot be read.")
        .into())
}

/// Deletes, and says of each row how it went. The first failure is that of the run.
pub(super) fn remove(
    doomed: &[Doomed],
    store: &dyn Store,
    place: &str,
    progress: &dyn Progress,
    report: &mut Report,
) {
    if doomed.is_empty() {
        return;
    }
    progress.step(&format!("deleting {} from {place}", count(doomed.len())), None);
    let rows: HashMap<&str, usize> = doomed.iter().map(|(row, file)| (file.as_str(), *row)).collect();
    let files: Vec<&str> = doomed.iter().map(|(_, file)| file.as_str()).collect();
    let mut deleted = 0;
    for (file, result) in store.delete(&files) {
        let row = rows.get(file.as_str()).and_then(|row| report.snapshots.get_mut(*row));
        match result {
            Ok(there) => {
                deleted += usize::from(there);
                row.into_iter().for_each(|row| row.deleted = Some(true));
            }
            Err(e) => {
                if let Some(row) = row {
                    row.deleted = Some(false);
                    row.notes.push(format!("{e:#}"));
                }
                report.fail(&e);
            }
        }
    }
    log::info!("{} deleted from {place}", count(deleted));
}

fn count(n: usize) -> String {
    format!("{n} {}", if n == 1 { "file" } else { "files" })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::error::Kind;
    use crate::error::kind_of;
    use crate::host::{Draft, NoProgress};
    use crate::io::ReadAt;
    use crate::model::name::SnapshotName;
    use crate::model::retention::Policy;
    use crate::model::snapshot::{Manifest, Snapshot, State};
    use crate::store::{Opened, PublishedSnapshot};

    /// Two snapshots, of a list that may be incomplete. Whoever deletes is wrong.
    struct Doubtful(bool, bool);

    impl Store for Doubtful {
        fn list(&self) -> Result<Listing> {
            let row = |file: &str| Snapshot {
                file: file.into(),
                name: SnapshotName::parse(file),
                location: format!("file:///x/{file}"),
                size: 544,
                created_at: 1,
                state: State::Unverified,
                manifest: None,
                key_revisions: None,
            };
            let snapshots = vec![row("on-demand-n-1"), row("on-demand-n-2")];
            Ok(Listing { snapshots, complete: self.0, manifests_readable: self.1 })
        }
        fn open(&self, _: &str) -> Result<Opened> {
            panic!("opens")
        }
        fn write_manifest(&self, _: &Manifest) -> Result<()> {
            panic!("records")
        }
        fn draft(&self) -> Result<Draft> {
            panic!("drafts")
        }
        fn upload(
            &self,
            _: &SnapshotName,
            _: &dyn ReadAt,
            _: &Manifest,
            _: &dyn Progress,
        ) -> Result<Snapshot> {
            panic!("puts")
        }
        fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
            panic!("deletes {files:?}")
        }
        fn delete_orphan_manifests(&self, _: u64) -> Result<usize> {
            panic!("forgets")
        }
    }

    impl LocalStore for Doubtful {
        fn unused_name(&self, _: &SnapshotName) -> Result<SnapshotName> {
            panic!("looks for a name")
        }
        fn publish(&self, _: Draft, _: &SnapshotName, _: u64, _: Manifest) -> Result<PublishedSnapshot> {
            panic!("publishes")
        }
        fn leftovers(&self) -> Result<Vec<Leftover>> {
            Ok(vec![])
        }
    }

    impl Remote for Doubtful {
        fn abort_stale_uploads(&self, _: &dyn Fn(&str, u64) -> bool, _: &[&str]) -> usize {
            panic!("sweeps")
        }
        fn url(&self) -> String {
            "s3://b".to_owned()
        }
        fn node_of(&self, _: &str) -> Result<Option<String>> {
            Ok(None)
        }
    }

    #[test]
    fn an_incomplete_listing_deletes_nothing() {
        let selection = Selection { bases: vec!["on-demand".into()], node: "n".into(), ..Default::default() };
        let policies = &Policies::from(Policy { last: Some(1), ..Policy::none(TimeZone::UTC) });
        for (complete, informed) in [(false, true), (true, false), (false, false)] {
            for dry_run in [false, true] {
                let home = Doubtful(complete, informed);
                let open = || Ok(Box::new(Doubtful(complete, informed)) as Box<dyn Remote>);
                let bucket = Bucket { open: &open, policies };
                let req = Request { selection: &selection, now: 9, accept_drop: false, dry_run, token: None };
                for bucket in [None, Some(&bucket)] {
                    let mut report = Report::new("prune", 9);
                    let e = run(&req, &home, policies, bucket, &NoProgress, &mut report).unwrap_err();
                    assert_eq!(kind_of(&e), Kind::Failed);
                    assert!(e.to_string().contains("nothing was deleted"));
                    assert_eq!(report.error.is_some(), bucket.is_some(), "each place has its word");
                }
            }
        }
    }
}
