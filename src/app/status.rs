// SPDX-License-Identifier: Apache-2.0
//! Builds a status from the settings. A fact that this user may not see is unknown; nothing else of it fails.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::command::Command;
use super::context::Context;
use super::live_datastore::own_cluster;
use super::restore::STATE_DIR;
use crate::cli::{self, Common};
use crate::commands::status;
use crate::config::paths::in_root;
use crate::config::settings::Settings;
use crate::error::{Code, code_of};
use crate::host::datastore::Found;
use crate::host::server_files::load_state;
use crate::host::{space, systemd};
use crate::model::command;
use crate::model::drop_in::SERVICES;
use crate::model::report::Report;
use crate::model::retention::Location;
use crate::model::status::{Job, KitStatus, Limits, policy_rules};
use crate::model::time::rfc3339;
use crate::source::DatastoreProbe;
use crate::source::sqlite::SqliteSource;
use crate::store::{RemoteStore, Store};

/// The greatest age of the newest verified snapshot, if none is set: as in k3s-snapshot-verify.service.
pub(super) const MAX_AGE: Duration = Duration::from_secs(25 * 3600);
/// The schedule of K3s, if none is set.
const K3S_SCHEDULE: &str = "0 */12 * * *";

impl Command for cli::Status {
    const NAME: command::Command = command::Command::Status;

    fn common(&self) -> &Common {
        &self.common
    }

    fn run_without_permission(&self, why: anyhow::Error, now: u64, report: &mut Report) -> Result<()> {
        let limits = Limits { now, max_age: MAX_AGE.as_secs(), uploads: false };
        status::run_without_settings(&why, &jobs, limits, report)
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let s = cx.settings;
        match cx.should_skip(self.skip_without_etcd, report) {
            Ok(true) => return Ok(()),
            Err(e) if code_of(&e) != Code::PermissionDenied => return Err(e),
            _ => {}
        }
        if !s.s3 {
            cx.require_local_store()?;
        }
        let store = cx.has_local_store().then(|| cx.local_store());
        let is_local = s.root == Path::new("/");
        let elsewhere = || "it is not looked at with --root";
        let sqlite = sqlite(cx);
        let of_sqlite = || sqlite.as_ref().context("no SQLite")?.look();
        let of_etcd = || {
            // A server with an external datastore has no etcd that could answer.
            cx.datastore()?;
            cx.etcd()?.look()
        };
        let open = || -> Result<Box<dyn RemoteStore>> { Ok(Box::new(cx.bucket()?)) };
        let cluster = own_cluster(cx, store.as_ref());
        let request = status::Request {
            cluster: cluster.as_deref(),
            limits: Limits { now: cx.now, max_age: max_age(s).as_secs(), uploads: s.s3 },
            local: store.as_ref().map(|store| store as &dyn Store),
            remote: if s.s3 { Some(&open) } else { None },
            keeps: [keeps(s, Location::Local), keeps(s, Location::S3)],
            datastore: match sqlite {
                Some(_) => status::Live::Sqlite(&of_sqlite),
                None => status::Live::Etcd(&of_etcd),
            },
            quota: s.etcd_quota(),
            jobs: &|| if is_local { jobs() } else { bail!(elsewhere()) },
            restore: &|| Ok(load_state(&in_root(&s.root, Path::new(STATE_DIR)))?.map(|state| state.stage)),
            kit: &|| kit(cx),
            free_bytes: &|| if s.dir.exists() { space::free_bytes(&s.dir) } else { Ok(None) },
            // K3s saves no SQLite.
            k3s_schedule: (!s.disable_snapshots && sqlite.is_none())
                .then(|| s.schedule.clone().unwrap_or_else(|| K3S_SCHEDULE.to_owned())),
        };
        status::run(&request, report)
    }
}

/// The database of a server with SQLite.
fn sqlite(cx: &Context) -> Option<SqliteSource> {
    match cx.datastore() {
        Ok(Found::Sqlite(db)) => Some(SqliteSource { db }),
        _ => None,
    }
}

/// The recovery kit in force; `None` if no recipients are configured.
fn kit(cx: &Context) -> Result<Option<KitStatus>> {
    let recipients = &cx.settings.kit_recipients;
    if recipients.is_empty() {
        return Ok(None);
    }
    let kits = cx.kits();
    let sealed = kits.sealed()?.filter(|sealed| sealed.recipients == *recipients);
    let verification = kits.verification()?.filter(|verification| verification.recipients == *recipients);
    Ok(Some(KitStatus {
        name: sealed.as_ref().map(|sealed| sealed.name.clone()),
        sealed_at: sealed.map(|sealed| rfc3339(sealed.sealed_at)),
        verified_at: verification.map(|verification| rfc3339(verification.at)),
    }))
}

fn jobs() -> Result<Vec<Job>> {
    systemd::jobs(&SERVICES.map(|service| service.unit))
}

/// The greatest age of the newest verified snapshot.
pub(super) fn max_age(s: &Settings) -> Duration {
    s.max_age.unwrap_or(MAX_AGE)
}

/// The rules of a policy; none if the settings of the retention cannot be used, which prune reports.
fn keeps(s: &Settings, location: Location) -> Vec<String> {
    s.policies(location).map(|policies| policy_rules(&policies.all)).unwrap_or_default()
}
