// SPDX-License-Identifier: Apache-2.0
//! The command: which operation is meant, and what it is given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::arguments::{confirm, duration, time};
use super::recovery::{self, STATE_DIR, UNITS};
use super::server::{api_addresses, program, require_restorable, service};
use super::snapshots::{SAFETY_BASE, Snapshots};
use super::token::{authority_hash, token_in_force};
use crate::app::command::Command;
use crate::app::context::Context;
use crate::app::live_datastore::LiveDatastore;
use crate::app::manual_restore;
use crate::cli::{self, Common};
use crate::commands::restore::{self as operation, Cluster, Machine, Options, Rehearsal};
use crate::config::settings::Settings;
use crate::datastore::Datastore;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::host::supervisor::SupervisorClient;
use crate::host::{JoinServer, Progress, ServerFiles, machine, signals};
use crate::model::command;
use crate::model::report::Report;
use crate::model::secret::Secret;

/// The ports of etcd: for clients and for peers.
const ETCD_PORTS: [u16; 2] = [2379, 2380];
/// The shortest wait for the lock.
const LOCK_WAIT: Duration = Duration::from_secs(2);

impl Command for cli::Restore {
    const NAME: command::Command = command::Command::Restore;

    fn common(&self) -> &Common {
        &self.common
    }

    fn locks(&self) -> bool {
        true
    }

    fn is_job(&self) -> bool {
        !self.dry_run && self.prune_old_databases.is_none()
    }

    fn run_without_settings(&self, progress: &dyn Progress, report: &mut Report) -> Option<Result<()>> {
        (self.recover || self.recover_files_only).then(|| recovery::run(self, progress, report))
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        run(self, cx, report)
    }
}

fn run(args: &cli::Restore, cx: &Context, report: &mut Report) -> Result<()> {
    let s = cx.settings;
    manual_restore::refuse(s, args.snapshot.as_deref())?;
    if s.root != Path::new("/") {
        return Err(Fault::new(
            Code::RootUnsupported,
            "a restore works on the running machine, not below --root",
        )
        .hint("Start the machine of --root, and run the restore there without --root.")
        .into());
    }
    recovery::require_root()?;
    signals::listen()?;
    // The unit that watched the restore before this one holds the lock for a moment.
    let _lock = recovery::lock(s.retry_lock.unwrap_or_default().max(LOCK_WAIT), cx.progress)?;
    let unit = service(cx)?;
    let files = ServerFiles {
        state: PathBuf::from(STATE_DIR),
        data_dir: s.data_dir.clone(),
        units: PathBuf::from(UNITS),
        unit: unit.name().to_owned(),
        kubeconfig: s.write_kubeconfig.clone(),
        datastore: Datastore::default(),
    };
    if let Some(keep) = args.prune_old_databases {
        let confirm = |report: &Report| confirm(args.yes, report);
        return operation::prune_old_databases(&files, keep, args.dry_run, &confirm, report);
    }
    let datastore = require_restorable(cx, args.cluster_reset || args.rejoin)?;
    let files = ServerFiles { datastore: datastore.unwrap_or_default(), ..files };
    let token = token_in_force(s)?;
    let stall = duration(args.reset_timeout.as_deref(), "reset-timeout", 300)?;
    let k3s = program(cx, args.k3s_binary.as_deref(), token.as_ref(), stall, &files.state)?;
    let machine = Machine {
        files: &files,
        unit: &unit,
        k3s: &k3s,
        etcd: &LiveDatastore(cx),
        host: &machine::Machine,
        progress: cx.progress,
        timeouts: recovery::timeouts(args)?,
    };
    operate(args, cx, &machine, datastore, token.as_ref(), report)
}

/// Runs the operation that is meant.
fn operate(
    args: &cli::Restore,
    cx: &Context,
    machine: &Machine,
    datastore: Option<Datastore>,
    token: Option<&Secret>,
    report: &mut Report,
) -> Result<()> {
    let s = cx.settings;
    let confirm = |report: &Report| confirm(args.yes, report);
    let options = options(args, s, &confirm)?;
    let ca_hash = authority_hash(s, token);
    let config = args.common.config.as_deref().unwrap_or(cx.distribution.config);
    let ports: &[u16] = match datastore {
        Some(Datastore::Sqlite) => &[s.https_port],
        _ => &[s.https_port, ETCD_PORTS[0], ETCD_PORTS[1]],
    };
    let cluster = Cluster {
        datastore,
        starts_etcd: cx.datastore_config().cluster_init,
        now: cx.now,
        token,
        keys: &cx.keyring(),
        ca_hash: ca_hash.as_deref(),
        node: &s.node_name,
        https_port: s.https_port,
        ports,
        api: &api_addresses(s),
        agent_unit: distribution::AGENT_UNIT,
        config,
        safety_base: SAFETY_BASE,
        quota: s.etcd_quota(),
        configured_server: s.flags.last("server").map(|(url, _)| url).filter(|url| !url.is_empty()),
        open_server: &|url| Box::new(SupervisorClient::new(url)) as Box<dyn JoinServer>,
    };
    let snapshots = Snapshots { cx, local: cx.local_store() };
    let given = operation::Context {
        machine,
        stores: &snapshots,
        safety: &snapshots,
        options: &options,
        cluster: &cluster,
    };
    match args {
        _ if args.cluster_reset => operation::cluster_reset(given, report),
        _ if args.rejoin => operation::rejoin(given, report),
        _ => operation::restore(given, report),
    }
}

fn options<'a>(
    args: &'a cli::Restore,
    s: &Settings,
    confirm: &'a dyn Fn(&Report) -> Result<bool>,
) -> Result<Options<'a>> {
    Ok(Options {
        target: args.snapshot.as_deref(),
        before: args.before.as_deref().map(|text| time(text, s)).transpose()?,
        dry_run: args.dry_run,
        force: args.force,
        safety_snapshot: !args.no_safety_snapshot,
        assume_others_stopped: args.assume_others_stopped,
        keep_revisions: args.keep_revisions,
        rehearsal: match (args.rehearse, args.no_rehearse) {
            (true, _) => Rehearsal::Always,
            (_, true) => Rehearsal::Never,
            _ => Rehearsal::Auto,
        },
        server: args.server.as_deref(),
        confirm,
    })
}
