// SPDX-License-Identifier: Apache-2.0
//! Whose data is live here: asked of the running etcd, else read in the database at rest. Never guessed from snapshots.

use anyhow::{Result, anyhow};

use super::context::Context;
use crate::datastore::Datastore;
use crate::error::{Code, Fault};
use crate::host::FileAt;
use crate::inspect::{self, Content};
use crate::io::ReadAt;
use crate::source::MemberStatus;

/// The content of a database at rest, up to a revision.
///
/// # Errors
/// If it cannot be read, or is corrupt.
pub(super) fn read_offline(file: FileAt, max_revision: Option<i64>) -> Result<Content> {
    let (data, db_len) = inspect::open_offline(file)?.map_err(|f| anyhow!("the database is corrupt: {f}"))?;
    inspect::read_content(&data as &dyn ReadAt, db_len, max_revision)?.map_err(|all| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        anyhow!("the database is corrupt: {}", all.join("; "))
    })
}

/// The newest revision in a database at rest, found without reading all of it; `None` if it cannot be found.
pub(super) fn offline_revision(file: &FileAt) -> Option<i64> {
    inspect::canonicalize(file).ok()?.ok()?.revision
}

/// The id of the live Kubernetes cluster: `Ok(None)` if the data has none, an error if it cannot be found out.
pub(super) fn live_cluster_id(cx: &Context) -> Result<Option<String>> {
    // The file of SQLite can always be asked, if there is one.
    if cx.machine.files.datastore == Datastore::Sqlite {
        let live = cx.machine.files.live_database()?;
        return live.map_or(Ok(None), |_| cx.machine.etcd.cluster_id());
    }
    let asked = cx.machine.etcd.cluster_id();
    let Err(e) = asked else { return asked };
    if cx.machine.files.is_database_open()? {
        return Err(e.context("etcd has the database open and does not answer"));
    }
    match cx.machine.files.database_file()? {
        None => Ok(None),
        Some(file) => Ok(read_offline(file, None)?.facts.cluster_id),
    }
}

/// The revision of the cluster that the snapshot is of, if the datastore that answers knows it: it is of the same cluster, and
/// has a leader. A server that was cut off, or that K3s has started on an empty database since, knows less than the clients.
pub(super) fn highest_revision(cx: &Context, live: Option<&MemberStatus>, content: &Content) -> Option<i64> {
    let live = live?;
    let of_snapshot = content.facts.cluster_id.as_deref()?;
    let has_leader = live.has_leader() || cx.machine.files.datastore == Datastore::Sqlite;
    let of_live = live_cluster_id(cx).ok().flatten()?;
    (has_leader && of_live == of_snapshot).then_some(live.revision)
}

/// Fails if the snapshot is of another cluster than the live one, unless the live one is an empty cluster that K3s started
/// with this server's own certificates.
///
/// # Errors
/// [`Code::OtherCluster`].
pub(super) fn ensure_same_cluster(cx: &Context, content: &Content) -> Result<()> {
    let live = match live_cluster_id(cx) {
        Ok(live) => live,
        Err(e) => {
            // The database is broken, or etcd hangs: the usual reason for a restore.
            log::info!("it is not known which cluster is live: {e:#}");
            return Ok(());
        }
    };
    let (Some(live), Some(other)) = (live, content.facts.cluster_id.as_deref()) else { return Ok(()) };
    if live == other || cx.options.force {
        return Ok(());
    }
    if has_own_authority(cx, content) {
        log::info!(
            "K3s was started on an empty database since: its cluster has another id, but the certificate authority of this \
             server is that of the snapshot"
        );
        return Ok(());
    }
    Err(Fault::new(
        Code::OtherCluster,
        format!("the snapshot is of another cluster: its id is {other}, the live one is {live}"),
    )
    .hint("Check the name of the snapshot. To restore it anyway, use --force.")
    .into())
}

/// Whether the bootstrap data of the snapshot holds the certificate authority that this server uses.
fn has_own_authority(cx: &Context, content: &Content) -> bool {
    let Some(own) = cx.cluster.ca_hash else { return false };
    let Some(token) = cx.cluster.token.and_then(|t| crate::model::token::parse(t).ok()) else { return false };
    content.bootstrap.iter().any(|sealed| {
        crate::model::bootstrap::open(&sealed.value, &token.password)
            .is_ok_and(|c| c.matches_ca(own) == Some(true))
    })
}
