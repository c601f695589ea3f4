// SPDX-License-Identifier: Apache-2.0
//! The datastore of this server, whichever it is, for questions.

use anyhow::Result;

use super::context::Context;
use crate::error::kind_of;
use crate::host::datastore::Found;
use crate::source::sqlite::SqliteProbe;
use crate::source::{Comparison, DatastoreProbe, MemberStatus, Sample};

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
