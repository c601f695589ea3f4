// SPDX-License-Identifier: Apache-2.0
//! prune: deletes what the retention policy does not keep. Every decision is made in `model/retention`; a dry run prints
//! exactly what a run without it does.
//!
//! Each location is pruned by itself: what cannot be listed stops everything there, and nothing elsewhere.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result};

use super::kit::{prune_local, prune_remote};
use super::pending::clear_pending_uploads;
use super::removal::{Deletion, LOCAL_DIR, count, delete_all, ensure_complete_listing, not_deleted};
use super::upload::OpenRemote;
use crate::host::Progress;
use crate::model::report::{Report, Row};
use crate::model::retention::{ClusterScope, Decision, Policies, PruneInput, Selection, apply_policy};
use crate::model::snapshot::{Leftover, Listing, Snapshot};
use crate::model::warning::WarningCode;
use crate::store::{LocalKits, LocalStore, RemoteStore, Store};

/// What is to be pruned, and how.
pub struct Request<'a> {
    /// Which snapshots are selected.
    pub selection: &'a Selection,
    /// Of which clusters they are deleted.
    pub clusters: ClusterScope<'a>,
    /// Seconds since the epoch.
    pub now: u64,
    /// Whether a drop of the key revisions is intended.
    pub accept_drop: bool,
    /// Whether nothing is deleted.
    pub dry_run: bool,
    /// Hash of the token of this server, if it is known.
    pub token: Option<&'a str>,
    /// The recovery kits of this machine.
    pub(crate) kits: Option<&'a LocalKits>,
}

/// The local location, with its policies.
pub struct Local<'a> {
    /// The snapshot directory.
    pub store: &'a dyn LocalStore,
    /// What is kept there.
    pub policies: &'a Policies,
}

/// The bucket, with its policies.
pub struct Bucket<'a> {
    /// Opens it. If that fails, the snapshot directory is pruned anyway.
    pub open: OpenRemote<'a>,
    /// Which snapshots are selected in it.
    pub selection: &'a Selection,
    /// What is kept there.
    pub policies: &'a Policies,
}

/// Applies the policies to the snapshot directory, then to the bucket, and deletes the oldest first.
///
/// # Errors
/// If a location cannot be listed completely. Failed deletions are errors in the report.
pub fn run(
    req: &Request,
    local: Option<&Local>,
    bucket: Option<&Bucket>,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let pruned = local.map_or(Ok(()), |local| prune_directory(req, local, progress, report));
    let Some(bucket) = bucket else { return pruned };
    if let Err(e) = pruned {
        report.fail(&e);
    }
    prune_bucket(req, local.map(|l| l.store), bucket, progress, report)
}

fn prune_directory(req: &Request, local: &Local, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let listing = local.store.list()?;
    ensure_complete_listing(&listing, LOCAL_DIR)?;
    let leftovers = local.store.leftovers()?;
    let deletions = plan(req, req.selection, &listing, &leftovers, local.policies, report);
    if req.dry_run {
        log::info!("{} would be deleted from {LOCAL_DIR}", count(deletions.len()));
    } else {
        delete_all(&deletions, local.store, LOCAL_DIR, progress, report);
        drop_orphan_manifests(req, local.store, report);
        if let Some(kits) = req.kits {
            let left: Vec<&Snapshot> = not_deleted(&listing, &deletions, report);
            prune_local(kits, &left, req.now, report);
        }
    }
    Ok(())
}

fn prune_bucket(
    req: &Request,
    local: Option<&dyn LocalStore>,
    bucket: &Bucket,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let (remote, listing, owners) =
        list_bucket(req, bucket).context("listing the bucket; nothing was deleted there")?;
    let location = format!("'{}'", remote.url());
    ensure_complete_listing(&listing, &location)?;
    let selection = Selection { owners: Some(owners), ..bucket.selection.clone() };
    let deletions = plan(req, &selection, &listing, &[], bucket.policies, report);
    if req.dry_run {
        log::info!("{} would be deleted from {location}", count(deletions.len()));
    } else {
        if let Some(local) = local {
            clear_pending_uploads(local, &deletions, report);
        }
        delete_all(&deletions, &*remote, &location, progress, report);
        drop_orphan_manifests(req, &*remote, report);
        // A store that fails is not asked for more.
        let row = |d: &Deletion| report.snapshots.get(d.row);
        if deletions.iter().filter_map(row).all(|row| row.deleted != Some(false)) {
            prune_remote(&*remote, req.clusters, req.now, report);
        }
    }
    Ok(())
}

/// The node of each stem that another node may have written.
type NodeOwners = BTreeMap<String, String>;

/// The listing of the bucket with the cluster of each selected snapshot, and the owner of each stem whose name alone does not
/// tell it.
fn list_bucket(req: &Request, bucket: &Bucket) -> Result<(Box<dyn RemoteStore>, Listing, NodeOwners)> {
    let remote = (bucket.open)()?;
    let mut listing = remote.list()?;
    if let ClusterScope::Own(_) = req.clusters {
        find_clusters(&*remote, bucket.selection, &mut listing)?;
    }
    let mut owners = NodeOwners::new();
    for (stem, file) in bucket.selection.ambiguous_stems(&listing.snapshots) {
        if let Some(node) = remote.node_of(file)? {
            owners.insert(stem.to_owned(), node);
        }
    }
    Ok((remote, listing, owners))
}

/// Asks for the cluster of each selected object without a manifest of ours: K3s writes the cluster into the metadata of its
/// objects, and a save that was interrupted after the upload leaves such an object, too.
fn find_clusters(remote: &dyn RemoteStore, selection: &Selection, listing: &mut Listing) -> Result<()> {
    let unknown: HashSet<String> =
        selection.unknown_clusters(&listing.snapshots).into_iter().map(str::to_owned).collect();
    for snapshot in listing.snapshots.iter_mut().filter(|s| unknown.contains(&s.file)) {
        snapshot.cluster_id = remote.owner_of(&snapshot.file)?.and_then(|owner| owner.cluster_id);
    }
    Ok(())
}

/// Applies the policies and reports a row for everything listed. Returns what is to be deleted, the oldest first.
fn plan(
    req: &Request,
    selection: &Selection,
    listing: &Listing,
    leftovers: &[Leftover],
    policies: &Policies,
    report: &mut Report,
) -> Vec<Deletion> {
    let input = PruneInput {
        selection,
        policies,
        clusters: req.clusters,
        now: req.now,
        accept_drop: req.accept_drop,
    };
    let plan = apply_policy(&listing.snapshots, leftovers, &input);
    plan.warnings.iter().for_each(|w| report.warn(w.code, &w.message));
    let mut deletions = Vec::new();
    for action in &plan.actions {
        if matches!(action.decision, Decision::Remove(_)) {
            deletions.push(Deletion { row: report.snapshots.len(), file: action.snapshot.file.clone() });
        }
        report.snapshots.push(Row::from_decision(action.snapshot, &action.decision, req.token));
    }
    deletions
}

fn drop_orphan_manifests(req: &Request, store: &dyn Store, report: &mut Report) {
    match store.delete_orphan_manifests(req.now) {
        Ok(0) => {}
        Ok(n) => log::debug!("{n} manifests of deleted snapshots removed"),
        Err(e) => report.warn(WarningCode::TidyFailed, format!("{e:#}")),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::error::Kind;
    use crate::error::{Code, code_of, kind_of};
    use crate::host::{Draft, NoProgress};
    use crate::model::command::Command;
    use crate::model::name::SnapshotName;
    use crate::model::retention::Policy;
    use crate::model::snapshot::{Manifest, State};
    use crate::store::{Opened, Owner, PublishedSnapshot, VerifiedFile};

    /// Two snapshots, of a list that may be incomplete. Any deletion is an error.
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
                cluster_id: None,
            };
            let snapshots = vec![row("on-demand-n-1"), row("on-demand-n-2")];
            Ok(Listing { snapshots, complete: self.0, manifests_readable: self.1 })
        }
        fn open(&self, _: &str) -> Result<Opened> {
            panic!("opens")
        }
        fn record(
            &self,
            _: &str,
            _: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
        ) -> Result<Option<Manifest>> {
            panic!("records")
        }
        fn delete(&self, files: &[&str]) -> Vec<(String, Result<bool>)> {
            panic!("deletes {files:?}")
        }
        fn delete_orphan_manifests(&self, _: u64) -> Result<usize> {
            panic!("forgets")
        }
    }

    impl LocalStore for Doubtful {
        fn draft(&self) -> Result<Draft> {
            panic!("drafts")
        }
        fn unused_name(&self, _: &SnapshotName) -> Result<SnapshotName> {
            panic!("looks for a name")
        }
        fn publish(&self, _: Draft, _: &SnapshotName, _: u64, _: Manifest) -> Result<PublishedSnapshot> {
            panic!("publishes")
        }
        fn write_extra_metadata(&self, _: &str, _: &[u8]) -> Result<()> {
            panic!("writes")
        }
        fn extra_metadata(&self, _: &str) -> Result<Option<Vec<u8>>> {
            panic!("reads")
        }
        fn leftovers(&self) -> Result<Vec<Leftover>> {
            Ok(vec![])
        }
    }

    impl RemoteStore for Doubtful {
        fn upload(&self, _: &SnapshotName, _: &VerifiedFile<'_>, _: &dyn Progress) -> Result<Snapshot> {
            panic!("puts")
        }
        fn write_extra_metadata(&self, _: &Manifest, _: &[u8]) -> Result<()> {
            panic!("writes")
        }
        fn abort_stale_uploads(&self, _: &dyn Fn(&str, u64) -> bool, _: &[&str]) -> usize {
            panic!("sweeps")
        }
        fn url(&self) -> String {
            "s3://b".to_owned()
        }
        fn owner_of(&self, _: &str) -> Result<Option<Owner>> {
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
                let open = || Ok(Box::new(Doubtful(complete, informed)) as Box<dyn RemoteStore>);
                let local = Local { store: &home, policies };
                let bucket = Bucket { open: &open, selection: &selection, policies };
                let clusters = ClusterScope::All;
                let req = Request {
                    selection: &selection,
                    clusters,
                    now: 9,
                    accept_drop: false,
                    dry_run,
                    token: None,
                    kits: None,
                };
                for bucket in [None, Some(&bucket)] {
                    let mut report = Report::new(Command::Prune, 9);
                    let e = run(&req, Some(&local), bucket, &NoProgress, &mut report).unwrap_err();
                    assert_eq!(kind_of(&e), Kind::Failed);
                    assert_eq!(code_of(&e), Code::ListingIncomplete);
                    assert_eq!(report.error.is_some(), bucket.is_some(), "each place has its word");
                }
            }
        }
    }
}
