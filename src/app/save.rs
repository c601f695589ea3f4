// SPDX-License-Identifier: Apache-2.0
//! Builds a save from the settings.

use std::path::Path;

use anyhow::Result;

use super::command::Command;
use super::context::{Context, StoppedEtcd};
use super::restore::{STATE_DIR, api_addresses};
use crate::cli::{self, Common};
use crate::commands;
use crate::commands::kit::Sealer;
use crate::commands::rejoined::warn_about_missing_servers;
use crate::distribution;
use crate::host::datastore::Found;
use crate::host::k3s::version_of_server;
use crate::host::server_files::load_last_restore;
use crate::model::command;
use crate::model::report::Report;
use crate::model::warning::WarningCode;
use crate::source::offline::OfflineCopy;
use crate::source::sqlite::SqliteSource;
use crate::source::{ClusterObjects, Datastore, Source};

/// The base name of the snapshots that the shipped timer saves.
pub(super) const TIMER_BASE: &str = "timer";
/// The base name of K3s's snapshots on demand, which K3s prunes by this prefix.
const ON_DEMAND: &str = "on-demand";

impl Command for cli::Save {
    const NAME: command::Command = command::Command::Save;

    fn common(&self) -> &Common {
        &self.common
    }

    fn locks(&self) -> bool {
        true
    }

    fn is_job(&self) -> bool {
        true
    }

    fn skips_without_etcd(&self) -> bool {
        self.skip_without_etcd
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let s = cx.settings;
        let found = cx.datastore()?;
        let is_etcd = matches!(found, Found::Etcd);
        // Holds the lock of the database until the end.
        let stopped = if self.offline && is_etcd { Some(cx.stopped_etcd()?) } else { None };
        let (datastore, sources) = sources(cx, found, stopped.as_ref())?;
        if datastore == Datastore::Etcd {
            warn_if_k3s_also_schedules(cx, report);
        }
        let sources: Vec<&dyn Source> = sources.iter().map(AsRef::as_ref).collect();
        let (token, keys) = (cx.token_hash()?, cx.keyring());
        let is_of_this_machine = s.etcd_endpoints.is_empty() && s.root == Path::new("/");
        let is_local_etcd = datastore == Datastore::Etcd && is_of_this_machine;
        let last_restore = if is_local_etcd { load_last_restore(Path::new(STATE_DIR)) } else { None };
        let ask_version = || match is_of_this_machine {
            true => version_of_server(&api_addresses(s), &s.data_dir.join(distribution::TLS)),
            false => None,
        };
        let (base, node) = s.new_name()?;
        let open = |objects: &dyn ClusterObjects| cx.bucket_from(objects);
        // A mistake in it is an error of the bucket, which is opened after the save.
        let secret = s.config_secret().ok().flatten().map(|secret| secret.name);
        let backlog = s.s3_backlog && !self.no_backlog;
        let bucket = commands::upload::Bucket { open: &open, secret, backlog };
        let (kits, content) = (cx.kits(), |facts| s.kit(facts));
        let sealer = Sealer { content: &content, recipients: &s.kit_recipients, store: &kits };
        let request = commands::save::Request {
            base,
            node,
            k8s_node: &s.k3s.node_name,
            datastore,
            now: cx.now,
            compress: s.compress,
            extra_metadata: &s.distribution.extra_metadata(),
            bases_of_k3s: &[&s.scheduled_base, ON_DEMAND],
            version_of_server: &ask_version,
            last_restore: last_restore.as_ref(),
            token: token.as_deref(),
            kit: (!s.kit_recipients.is_empty()).then_some(&sealer),
            keys: &keys,
            wal: stopped.as_ref().map(|etcd| etcd.wal.as_path()),
            bucket: s.s3.then_some(bucket),
        };
        commands::save::run(&request, &sources, &cx.local_store(), cx.progress, report)?;
        if let Some(last) = last_restore.filter(|last| !self.offline && !last.missing.is_empty()) {
            warn_about_missing_servers(Path::new(STATE_DIR), last, &cx.etcd()?, report);
        }
        Ok(())
    }
}

/// The datastore of this machine, and the sources of its snapshots, the preferred one first.
fn sources(
    cx: &Context,
    found: Found,
    stopped: Option<&StoppedEtcd>,
) -> Result<(Datastore, Vec<Box<dyn Source>>)> {
    if let Found::Sqlite(db) = found {
        // It needs no server: a save of a SQLite that K3s does not use is the same.
        return Ok((Datastore::Sqlite, vec![Box::new(SqliteSource { db })]));
    }
    let s = cx.settings;
    let sources: Vec<Box<dyn Source>> = match stopped {
        Some(etcd) => {
            let db = Ok(etcd.db.clone());
            vec![Box::new(OfflineCopy { db, rate_limit: s.rate_limit, reason: "etcd does not run" })]
        }
        None => cx.sources()?.into_sources_of(s.method),
    };
    Ok((Datastore::Etcd, sources))
}

/// Two schedules make twice the snapshots, and neither of them reports it by itself.
fn warn_if_k3s_also_schedules(cx: &Context, report: &mut Report) {
    let (s, k3s) = (cx.settings, cx.distribution);
    if s.name == TIMER_BASE && !s.disable_snapshots && s.etcd_endpoints.is_empty() {
        report.warn(
            WarningCode::AlsoScheduledByK3s,
            format!(
                "{} makes scheduled snapshots too: to use the timer alone, set 'etcd-disable-snapshots: true' in '{}' \
                 and restart {}. 'kubectl get etcdsnapshotfiles' is then updated only by '{} etcd-snapshot save', 'prune' \
                 and 'delete'",
                k3s.name, k3s.config, k3s.name, k3s.program
            ),
        );
    }
}
