// SPDX-License-Identifier: Apache-2.0
//! prune: deletes what the retention policy does not keep. Everything is decided in `model/retention`; what is printed
//! by a dry run is what is done without one.

use std::collections::HashMap;

use anyhow::Result;

use crate::error::{Fault, Kind};
use crate::host::Progress;
use crate::model::report::{Report, Row};
use crate::model::retention::{Ask, Decision, judge};
use crate::model::snapshot::Listing;
use crate::store::{Home, Store};

/// What is to be pruned, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the judgement is asked.
    pub ask: Ask<'a>,
    /// Whether it is only shown.
    pub dry_run: bool,
    /// Hash of this server's token, where it is known.
    pub token: Option<&'a str>,
}

/// Judges all that is in the store, and deletes what goes, the oldest first.
pub fn run(req: &Request, store: &dyn Home, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let listing = store.list()?;
    certain(&listing)?;
    let leftovers = store.leftovers()?;
    let judgement = judge(&listing.snapshots, &leftovers, &req.ask);
    judgement.warnings.iter().for_each(|text| report.warn(text));
    let mut doomed = Vec::new();
    for verdict in &judgement.verdicts {
        if matches!(verdict.decision, Decision::Remove(_)) {
            doomed.push(verdict.snapshot.file.as_str());
        }
        report.snapshots.push(Row {
            verdict: verdict.decision.label(),
            reasons: verdict.decision.reasons(),
            ..Row::of(verdict.snapshot, req.token)
        });
    }
    if req.dry_run {
        log::info!("{} would be deleted", count(doomed.len()));
        return Ok(());
    }
    remove(&doomed, store, progress, report);
    match store.sweep() {
        Ok(0) => {}
        Ok(n) => log::info!("{n} manifests of snapshots that are gone were deleted"),
        Err(e) => report.warn(format!("{e:#}")),
    }
    Ok(())
}

/// Fails unless everything was seen: who deletes has to know all.
pub(super) fn certain(listing: &Listing) -> Result<()> {
    let why = match (listing.complete, listing.informed) {
        (true, true) => return Ok(()),
        (false, _) => "not everything in the snapshot folder could be looked at",
        (_, false) => "the manifests cannot be read, so nobody knows which snapshots are proven",
    };
    Err(Fault::new(Kind::Failed, format!("{why}; nothing was deleted"))
        .hint("k3s-snapshot-list --debug shows what cannot be read.")
        .into())
}

/// Deletes, and says of each row how it went. The first failure is that of the run.
pub(super) fn remove(doomed: &[&str], store: &dyn Store, progress: &dyn Progress, report: &mut Report) {
    if doomed.is_empty() {
        return;
    }
    progress.step(&format!("deleting {}", count(doomed.len())), None);
    let mut rows: HashMap<String, &mut Row> = HashMap::new();
    let mut errors = Vec::new();
    let mut deleted = 0;
    rows.extend(report.snapshots.iter_mut().map(|row| (row.name.clone(), row)));
    for (file, result) in store.delete(doomed) {
        let done = match result {
            Ok(there) => {
                deleted += usize::from(there);
                true
            }
            Err(e) => {
                errors.push(e);
                false
            }
        };
        if let Some(row) = rows.get_mut(&file) {
            row.deleted = Some(done);
        }
    }
    log::info!("{} deleted", count(deleted));
    errors.iter().for_each(|e| report.fail(e));
}

fn count(n: usize) -> String {
    format!("{n} {}", if n == 1 { "file" } else { "files" })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::error::kind_of;
    use crate::host::{Draft, Silent};
    use crate::inspect::ReadAt;
    use crate::model::name::SnapshotName;
    use crate::model::retention::{Policy, Selection};
    use crate::model::snapshot::{Leftover, Manifest, Snapshot, State};
    use crate::store::{Kept, Opened};

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
                state: State::Unchecked,
                manifest: None,
            };
            let snapshots = vec![row("on-demand-n-1"), row("on-demand-n-2")];
            Ok(Listing { snapshots, complete: self.0, informed: self.1 })
        }
        fn open(&self, _: &str) -> Result<Opened> {
            unimplemented!()
        }
        fn record(&self, _: &Manifest) -> Result<()> {
            unimplemented!()
        }
        fn draft(&self) -> Result<Draft> {
            unimplemented!()
        }
        fn put(&self, _: &SnapshotName, _: &dyn ReadAt, _: &Manifest, _: &dyn Progress) -> Result<Snapshot> {
            unimplemented!()
        }
        fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
            panic!("deletes {files:?}")
        }
    }

    impl Home for Doubtful {
        fn free(&self, _: &SnapshotName) -> Result<SnapshotName> {
            unimplemented!()
        }
        fn publish(&self, _: Draft, _: &SnapshotName, _: u64, _: Manifest) -> Result<Kept> {
            unimplemented!()
        }
        fn leftovers(&self) -> Result<Vec<Leftover>> {
            Ok(vec![])
        }
        fn sweep(&self) -> Result<usize> {
            panic!("sweeps")
        }
    }

    #[test]
    fn an_incomplete_listing_deletes_nothing() {
        let selection = Selection { bases: vec!["on-demand".into()], node: "n".into(), ..Default::default() };
        let policy = Policy { last: Some(1), ..Policy::none(TimeZone::UTC) };
        for (complete, informed) in [(false, true), (true, false), (false, false)] {
            for dry_run in [false, true] {
                let ask = Ask { selection: &selection, policy: &policy, now: 9, accept_drop: false };
                let mut report = Report::new("prune", 9);
                let req = Request { ask, dry_run, token: None };
                let e = run(&req, &Doubtful(complete, informed), &Silent, &mut report).unwrap_err();
                assert_eq!(kind_of(&e), Kind::Failed);
                assert!(e.to_string().contains("nothing was deleted"));
            }
        }
    }
}
