// SPDX-License-Identifier: Apache-2.0
//! The snapshots of a restore: where they are, and how the present state becomes one.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::app::context::Context;
use crate::commands::restore::{RemoteSnapshots, SafetySnapshot, SafetySnapshots, Stores};
use crate::commands::save;
use crate::host::datastore::Found;
use crate::model::command::Command;
use crate::model::report::Report;
use crate::model::warning::WarningCode;
use crate::source::offline::OfflineCopy;
use crate::source::reflink::ReflinkSource;
use crate::source::sqlite::SqliteSource;
use crate::source::{Datastore, Source};
use crate::store::Store;
use crate::store::local::Local;

/// The base name of the snapshots of the state before a restore.
pub(in crate::app) const SAFETY_BASE: &str = "pre-restore";

/// The locations of snapshots, by the settings.
pub(super) struct Snapshots<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) local: Local,
}

impl Stores for Snapshots<'_> {
    fn local(&self) -> &dyn Store {
        &self.local
    }

    fn directory(&self, dir: &Path) -> Box<dyn Store> {
        Box::new(self.cx.store_of(dir))
    }

    fn remote(&self) -> Option<Result<RemoteSnapshots>> {
        self.cx.settings.s3.then(|| {
            let bucket = self.cx.bucket()?;
            Ok(RemoteSnapshots { parallel: bucket.readers(), store: Box::new(bucket) })
        })
    }
}

impl SafetySnapshots for Snapshots<'_> {
    fn save_live(&self, report: &mut Report) -> Result<SafetySnapshot> {
        if let Some(sqlite) = self.sqlite()? {
            return self.save(Datastore::Sqlite, &[&sqlite], report);
        }
        let sources = self.cx.sources()?;
        let sources = sources.into_sources_of(self.cx.settings.method);
        let sources: Vec<&dyn Source> = sources.iter().map(AsRef::as_ref).collect();
        self.save(Datastore::Etcd, &sources, report)
    }

    fn save_offline(&self, report: &mut Report) -> Result<SafetySnapshot> {
        if let Some(sqlite) = self.sqlite()? {
            return self.save(Datastore::Sqlite, &[&sqlite], report);
        }
        let clone = self.cx.sources()?.clone;
        let copy = OfflineCopy { db: clone.db.clone(), rate_limit: None, reason: "K3s is stopped" };
        let clone = ReflinkSource { only: true, ..clone };
        self.save(Datastore::Etcd, &[&clone, &copy], report)
    }
}

impl Snapshots<'_> {
    /// The database of SQLite, if that is what this server has.
    fn sqlite(&self) -> Result<Option<SqliteSource>> {
        Ok(match self.cx.datastore()? {
            Found::Sqlite(db) => Some(SqliteSource { db }),
            _ => None,
        })
    }

    fn save(
        &self,
        datastore: Datastore,
        sources: &[&dyn Source],
        report: &mut Report,
    ) -> Result<SafetySnapshot> {
        let (_, node) = self.cx.settings.new_name()?;
        let request = save::Request {
            base: SAFETY_BASE,
            node,
            k8s_node: &self.cx.settings.k3s.node_name,
            datastore,
            now: self.cx.now,
            compress: false,
            extra_metadata: &self.cx.distribution.extra_metadata(),
            bases_of_k3s: &[],
            version_of_server: &|| None,
            last_restore: None,
            token: None,
            // It is for this machine, which has what a kit holds.
            kit: None,
            keys: &self.cx.keyring(),
            wal: None,
            bucket: None,
        };
        let mut saved = Report::new(Command::Save, self.cx.now);
        save::run(&request, sources, &self.local, self.cx.progress, &mut saved)?;
        report.warnings.append(&mut saved.warnings);
        // Kept, but behind or under an alarm: better than nothing, and all there is.
        if let Some(error) = saved.error {
            report.warn(
                WarningCode::SafetySnapshotDegraded,
                format!("the present state was saved, but: {}", error.message),
            );
        }
        let row = saved.snapshots.into_iter().next().context("the save reported no snapshot")?;
        Ok(SafetySnapshot { name: row.name })
    }
}
