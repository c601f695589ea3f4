// SPDX-License-Identifier: Apache-2.0
//! The datastore of this server, whichever it is, for questions.

use anyhow::Result;

use super::context::Context;
use crate::error::kind_of;
use crate::host::datastore::Found;
use crate::model::retention::last_saved_cluster;
use crate::source::sqlite::SqliteProbe;
use crate::source::{Comparison, DatastoreProbe, MemberStatus, Sample};
use crate::store::Store;
use crate::store::local::Local;

/// The datastore of this server. Its address or file is looked up for each question: a restore changes what is known of it.
pub(super) struct LiveDatastore<'a>(pub(super) &'a Context<'a>);

impl LiveDatastore<'_> {
    fn probe(&self) -> Result<Box<dyn DatastoreProbe>> {
        Ok(match self.0.datastore() {
            Ok(Found::Sqlite(db)) => Box::new(SqliteProbe { db }),
            _ => Box::new(self.0.etcd()?),
        })
    }
}

impl DatastoreProbe for LiveDatastore<'_> {
    fn look(&self) -> Result<MemberStatus> {
        self.probe()?.look()
    }

    fn cluster_id(&self) -> Result<Option<String>> {
        self.probe()?.cluster_id()
    }

    fn answers(&self, urls: &[String]) -> Vec<(String, bool)> {
        match self.probe() {
            Ok(probe) => probe.answers(urls),
            Err(e) => {
                log::warn!("asking other members: {e:#} ({})", kind_of(&e).as_str());
                // What cannot be asked may be running.
                urls.iter().map(|u| (u.clone(), true)).collect()
            }
        }
    }

    fn holds(&self, revision: i64, live: u64, sample: &[Sample]) -> Result<Comparison> {
        self.probe()?.holds(revision, live, sample)
    }
}

/// The cluster of this server: the one in its datastore, else the one of the last save on this machine. `None` if it is not
/// known. The answer of the datastore counts: the last save may be of a cluster that is lost.
pub(super) fn own_cluster(cx: &Context, store: Option<&Local>) -> Option<String> {
    match LiveDatastore(cx).cluster_id() {
        Ok(Some(id)) => return Some(id),
        Ok(None) => {
            log::info!("the datastore holds no cluster yet: it has no namespace kube-system");
            return None;
        }
        Err(e) => log::debug!("asking the datastore for its cluster: {e:#}"),
    }
    let listing = store?.list().inspect_err(|e| log::debug!("looking for the last save: {e:#}")).ok()?;
    let last = last_saved_cluster(&listing.snapshots).map(str::to_owned);
    last.inspect(|id| {
        log::info!("the datastore does not answer: the cluster of this server is that of the last save, {id}")
    })
}
