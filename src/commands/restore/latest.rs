// SPDX-License-Identifier: Apache-2.0
//! `latest`: the newest snapshot that may be good, here or in the bucket, of the cluster of this server. A directory or a bucket
//! may hold snapshots of several clusters with the same names; what is of another cluster is never taken.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::context::{Context, RemoteSnapshots};
use super::identity::live_cluster_id;
use crate::datastore::Datastore;
use crate::error::{Code, Fault};
use crate::model::authenticity::Authenticity;
use crate::model::report::{Report, rfc3339};
use crate::model::retention::last_saved_cluster;
use crate::model::snapshot::{Snapshot, State};
use crate::model::warning::WarningCode;

/// A snapshot that is dated further ahead than this is not `latest`, in seconds.
const MAX_CLOCK_SKEW: u64 = 300;

/// The snapshot that `latest` means.
pub(super) struct Latest {
    pub(super) snapshot: Snapshot,
    /// Whether it is in the bucket.
    pub(super) is_remote: bool,
    /// The id, or its first digits, that its content must have, if it has one.
    pub(super) cluster: Option<String>,
}

/// A snapshot that may be good, of any cluster.
struct Candidate {
    snapshot: Snapshot,
    is_remote: bool,
}

/// The cluster of this server.
enum Own {
    /// It is the one that etcd serves, or that its database at rest is of.
    Live(String),
    /// There is no database, or it cannot be read: it is the one of the last save on this machine.
    LastSave(String),
    Unknown,
}

/// Finds it. Snapshots of the state before a restore, and those dated in the future, are not what an operator means.
///
/// # Errors
/// If a location cannot be listed, there is no such snapshot, or more than one may be meant.
pub(super) fn find(cx: &Context, report: &mut Report) -> Result<Latest> {
    let (mut all, own, remote) = candidates(cx)?;
    let when = cx.options.before.map(|t| format!(" before {}", rfc3339(t))).unwrap_or_default();
    let none = || Fault::new(Code::SnapshotNotFound, format!("there is no snapshot{when} to restore"));
    if all.is_empty() {
        let hint = "Run 'k3s-snapshot list' to see the snapshots, or give the path of one.";
        return Err(none().hint(hint).into());
    }
    find_clusters(&mut all, &own, remote.as_ref())?;
    let is_other = |c: &Candidate, id: &str| c.snapshot.is_of_cluster(id) == Some(false);
    let chosen = match &own {
        Own::Live(id) | Own::LastSave(id) => all.iter().position(|c| !is_other(c, id)),
        Own::Unknown => None,
    };
    let cluster = match (&own, chosen) {
        (Own::Live(id) | Own::LastSave(id), Some(_)) => Some(id.clone()),
        // K3s was started on an empty database: whether the snapshots are of this server is decided by its certificates.
        (Own::Live(_), None) | (Own::Unknown, None) => only_cluster(&all)?,
        (Own::LastSave(_), None) if cx.options.force => only_cluster(&all)?,
        (Own::LastSave(id), None) => {
            return Err(none()
                .hint(format!(
                    "All snapshots are of other clusters than {id}, the one of the last save here. Give the name of one."
                ))
                .into());
        }
        (Own::Unknown, Some(_)) => None,
    };
    let at = chosen.unwrap_or(0);
    warn_about_skipped(&all, at, report);
    let newest = all.get(at).context("no snapshot was found")?;
    let twin = all.iter().enumerate().find(|(i, c)| {
        let may_be_meant = cluster.as_deref().is_none_or(|id| !is_other(c, id));
        *i != at && may_be_meant && c.snapshot.created_at == newest.snapshot.created_at
    });
    if let Some((_, twin)) = twin {
        let (a, b) = (newest.snapshot.file.escape_debug(), twin.snapshot.file.escape_debug());
        return Err(Fault::new(Code::SnapshotAmbiguous, format!("'{a}' and '{b}' are of the same second"))
            .hint("Give the name of one of them.")
            .into());
    }
    ensure_authentic(cx, &all, at, cluster.as_deref(), remote.as_ref())?;
    let Candidate { snapshot, is_remote } = all.swap_remove(at);
    Ok(Latest { snapshot, is_remote, cluster: cluster.filter(|_| !cx.options.force) })
}

/// All candidates, the newest first; the cluster of this server; the bucket if there is one.
fn candidates(cx: &Context) -> Result<(Vec<Candidate>, Own, Option<RemoteSnapshots>)> {
    let (options, cluster) = (cx.options, cx.cluster);
    let is_safety = |s: &Snapshot| {
        s.file.starts_with(&format!("{}-", cluster.safety_base))
            || s.manifest.as_ref().is_some_and(|m| m.base.as_deref() == Some(cluster.safety_base))
    };
    let good = |s: &Snapshot| matches!(s.state, State::Verified | State::Unverified);
    let local = cx.stores.local().list()?.snapshots;
    let own = own_cluster(cx, &local);
    let mut all: Vec<Candidate> =
        local.into_iter().map(|snapshot| Candidate { snapshot, is_remote: false }).collect();
    let mut bucket = None;
    if let Some(remote) = cx.stores.remote() {
        let (remote, listed) = super::remote::list(remote)?;
        bucket = Some(remote);
        // The same snapshot in both locations is taken from here, unless it is known to be corrupt or of another cluster.
        let is_here = |r: &Snapshot| {
            let same = |s: &Snapshot| match (s.cluster_id(), r.cluster_id()) {
                (Some(a), Some(_)) => r.is_of_cluster(a) != Some(false),
                _ => true,
            };
            all.iter().any(|c| c.snapshot.file == r.file && good(&c.snapshot) && same(&c.snapshot))
        };
        let more: Vec<Snapshot> = listed.into_iter().filter(|r| !is_here(r)).collect();
        all.extend(more.into_iter().map(|snapshot| Candidate { snapshot, is_remote: true }));
    }
    let is_usable =
        |is_sqlite: bool| cluster.datastore.is_none_or(|own| (own == Datastore::Sqlite) == is_sqlite);
    let limit = cluster.now.saturating_add(MAX_CLOCK_SKEW);
    all.retain(|Candidate { snapshot: s, .. }| {
        good(s)
            && s.name.as_ref().is_some_and(|name| is_usable(name.suffix.is_sqlite()))
            && !is_safety(s)
            && s.created_at <= limit
            && options.before.is_none_or(|t| s.created_at < t)
    });
    all.sort_by_key(|c| std::cmp::Reverse(c.snapshot.created_at));
    Ok((all, own, bucket))
}

/// Everyone who can write to the bucket can put a newer snapshot there. It is not what an operator means if this cluster saves
/// snapshots with an authentication code and the newest one has none that is known; a wrong code is found when it is verified.
///
/// # Errors
/// [`Code::AuthenticityUnverified`], or if the bucket cannot be read.
fn ensure_authentic(
    cx: &Context,
    all: &[Candidate],
    at: usize,
    cluster: Option<&str>,
    remote: Option<&RemoteSnapshots>,
) -> Result<()> {
    let (Some(newest), Some(remote)) = (all.get(at).filter(|c| c.is_remote), remote) else { return Ok(()) };
    let keys = cx.cluster.keys;
    if keys.is_empty() || cx.options.force {
        return Ok(());
    }
    let authenticity = |c: &Candidate| -> Result<Option<Authenticity>> {
        let opened = match (c.is_remote, c.snapshot.state) {
            (false, _) => None,
            // The listing shows that there is no manifest that calls it verified.
            (true, state) if state != State::Verified => return Ok(Some(Authenticity::Missing)),
            (true, _) => Some(remote.store.open(&c.snapshot.file).context("finding the newest snapshot")?),
        };
        let manifest = opened.as_ref().map_or(&c.snapshot.manifest, |opened| &opened.manifest).as_ref();
        Ok(manifest.and_then(|m| keys.check(m.authentication.as_ref(), &m.covered_facts())))
    };
    let problem = match authenticity(newest)?.unwrap_or(Authenticity::Missing) {
        Authenticity::Authentic | Authenticity::NotAuthentic => return Ok(()),
        unknown => unknown.problem().unwrap_or_default(),
    };
    let older = all.get(at.saturating_add(1)..).unwrap_or_default();
    let is_own = |c: &&Candidate| cluster.is_none_or(|id| c.snapshot.is_of_cluster(id) != Some(false));
    for candidate in older.iter().filter(is_own) {
        if authenticity(candidate)? == Some(Authenticity::Authentic) {
            let (new, old) = (newest.snapshot.file.escape_debug(), candidate.snapshot.file.escape_debug());
            let what = format!("it is not known whether the newest snapshot '{new}' is authentic: {problem}");
            let hint = format!(
                "Give a name: '{old}' is the newest authentic snapshot. Use '{new}' only if you know who saved it."
            );
            return Err(Fault::new(Code::AuthenticityUnverified, what).hint(hint).into());
        }
    }
    Ok(())
}

fn own_cluster(cx: &Context, local: &[Snapshot]) -> Own {
    match live_cluster_id(cx) {
        Ok(Some(id)) => return Own::Live(id),
        Ok(None) => {}
        Err(e) => log::info!("it is not known which cluster is live: {e:#}"),
    }
    last_saved_cluster(local).map_or(Own::Unknown, |id| Own::LastSave(id.to_owned()))
}

/// Asks the bucket for the clusters that the listing does not show: of all candidates, or up to the newest that is of `own`.
fn find_clusters(all: &mut [Candidate], own: &Own, remote: Option<&RemoteSnapshots>) -> Result<()> {
    let Some(remote) = remote else { return Ok(()) };
    for candidate in all {
        let snapshot = &mut candidate.snapshot;
        if candidate.is_remote && snapshot.cluster_id().is_none() {
            let opened = remote.store.open(&snapshot.file).context("finding the newest snapshot")?;
            snapshot.cluster_id = opened.snapshot.cluster_id().map(str::to_owned);
        }
        match own {
            Own::Live(id) | Own::LastSave(id) if snapshot.is_of_cluster(id) == Some(true) => break,
            _ => {}
        }
    }
    Ok(())
}

/// The one cluster that all candidates of a known cluster are of; `None` if no cluster is known.
///
/// # Errors
/// [`Code::SnapshotAmbiguous`] if there are several.
fn only_cluster(all: &[Candidate]) -> Result<Option<String>> {
    let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
    for candidate in all {
        let snapshot = &candidate.snapshot;
        let Some(id) = snapshot.cluster_id().and_then(|id| id.get(..8)) else { continue };
        newest.entry(id).or_insert(&snapshot.file);
    }
    match newest.len() {
        0 | 1 => Ok(newest.into_keys().next().map(str::to_owned)),
        _ => {
            let each: Vec<String> = newest
                .iter()
                .map(|(id, file)| format!("'{}' of cluster {id}", file.escape_debug()))
                .collect();
            let what =
                format!("there are snapshots of several clusters, the newest are {}", each.join(" and "));
            Err(Fault::new(Code::SnapshotAmbiguous, what).hint("Give the name of one of them.").into())
        }
    }
}

/// What is newer than the selected snapshot, and of another cluster.
fn warn_about_skipped(all: &[Candidate], at: usize, report: &mut Report) {
    if let Some(newest) = all.first().filter(|_| at > 0) {
        let message = format!(
            "{at} newer snapshots are of another cluster and are not considered; the newest is '{}'",
            newest.snapshot.file.escape_debug()
        );
        report.warn(WarningCode::OtherClusterSkipped, message);
    }
}
