// SPDX-License-Identifier: Apache-2.0
//! Wires the recovery of an interrupted restore. It needs no settings: everything is in the state file, at one fixed path.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::cli;
use crate::commands::restore::{Machine, Timeouts, recover, recover_files};
use crate::config::etcd;
use crate::datastore::Datastore;
use crate::distribution::{self, K3S};
use crate::error::{Code, Fault};
use crate::host::k3s::{Invocation, Program};
use crate::host::lock::Lock;
use crate::host::server_files::load_state;
use crate::host::systemd::Systemd;
use crate::host::{Progress, ServerFiles, machine, signals};
use crate::model::report::Report;
use crate::model::restore::RestoreState;
use crate::source::DatastoreProbe;
use crate::source::etcd::EtcdStream;
use crate::source::sqlite::SqliteProbe;

use super::arguments::duration;

/// The directory of the state file and of the marker that blocks the start of K3s. No setting changes it.
pub(in crate::app) const STATE_DIR: &str = "/var/lib/k3s-snapshot/restore";
/// The directory of the lock. No setting changes it.
const LOCK_DIR: &str = "/run/k3s-snapshot";
/// The directory of an administrator's units and drop-ins.
pub(super) const UNITS: &str = "/etc/systemd/system";
/// The unit that waits for the end of a restore waits this long at most.
const LONGEST_RESTORE: Duration = Duration::from_secs(24 * 3600);
/// Before a start of K3s: a restore that holds the lock starts K3s itself, and must not wait for this process.
const NO_WAIT: Duration = Duration::ZERO;

/// Only one restore or recovery at a time.
///
/// # Errors
/// [`Code::Locked`] if another one runs for longer than `wait`.
pub(super) fn lock(wait: Duration, progress: &dyn Progress) -> Result<Lock> {
    Lock::acquire(Path::new(LOCK_DIR), Path::new(STATE_DIR), wait, progress)
}

/// Fails unless this process is root.
///
/// # Errors
/// [`Code::NotRoot`].
pub(in crate::app) fn require_root() -> Result<()> {
    if signals::is_root() {
        return Ok(());
    }
    Err(Fault::new(Code::NotRoot, "a restore needs root: it stops K3s and changes its files")
        .hint("Run this command as root.")
        .into())
}

/// The time limits of a restore.
///
/// # Errors
/// If an argument is not a duration.
pub(in crate::app) fn timeouts(args: &cli::Restore) -> Result<Timeouts> {
    Ok(Timeouts {
        stop: Duration::from_secs(180),
        ready: duration(args.ready_timeout.as_deref(), "ready-timeout", 600)?,
        stable: Duration::from_secs(1),
        idle: Duration::from_secs(30),
        poll: Duration::from_millis(100),
    })
}

/// Finishes an interrupted restore; nothing to do is a success.
///
/// # Errors
/// If it cannot be finished, or had to be rolled back.
pub(in crate::app) fn run(args: &cli::Restore, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    require_root()?;
    let wait = if args.recover_files_only { NO_WAIT } else { LONGEST_RESTORE };
    // A signal ends the wait for the lock, and nothing more.
    let _lock = lock(wait, progress)?;
    signals::listen()?;
    let (directory, units) = (Path::new(STATE_DIR), Path::new(UNITS));
    let state = load_state(directory)?;
    let files = match &state {
        Some(state) => ServerFiles::from_state(directory, units, state),
        None => ServerFiles {
            state: directory.to_owned(),
            data_dir: PathBuf::from(K3S.data_dir),
            units: units.to_owned(),
            unit: K3S.unit.to_owned(),
            kubeconfig: PathBuf::new(),
            datastore: Datastore::default(),
        },
    };
    let unit = Systemd::new(&files.unit);
    let k3s = program(&files, state.as_ref());
    let machine = Machine {
        files: &files,
        unit: &unit,
        k3s: &k3s,
        etcd: &*local_datastore(&files),
        host: &machine::Machine,
        progress,
        timeouts: timeouts(args)?,
    };
    if args.recover_files_only { recover_files(&machine, report) } else { recover(&machine, report) }
}

/// K3s, only to be asked whether it is ready.
fn program(files: &ServerFiles, state: Option<&RestoreState>) -> Program {
    Program {
        path: PathBuf::new(),
        helper: PathBuf::new(),
        reset: Invocation::default(),
        rehearsal: Invocation::default(),
        stall: Duration::ZERO,
        api: state.map(|s| s.api.clone()).unwrap_or_default(),
        tls: files.data_dir.join(distribution::TLS),
        logs: files.state.clone(),
    }
}

/// The datastore of this server.
fn local_datastore(files: &ServerFiles) -> Box<dyn DatastoreProbe> {
    match files.datastore {
        Datastore::Etcd => Box::new(local_etcd(files)),
        Datastore::Sqlite => Box::new(SqliteProbe { db: files.database_path() }),
    }
}

/// The etcd of this server, by what K3s wrote for it.
fn local_etcd(files: &ServerFiles) -> EtcdStream {
    let text = std::fs::read_to_string(files.data_dir.join(distribution::ETCD_CONFIG)).unwrap_or_default();
    let configured = etcd::parse(&text).map(|config| config.client_urls).unwrap_or_default();
    let endpoints = match configured.is_empty() {
        true => distribution::ETCD_ENDPOINTS.map(str::to_owned).to_vec(),
        false => configured,
    };
    let tls = files.data_dir.join(distribution::TLS).join("etcd");
    EtcdStream {
        endpoints,
        cacert: tls.join("server-ca.crt"),
        cert: tls.join("client.crt"),
        key: tls.join("client.key"),
        stall: Duration::from_secs(30),
        rate_limit: None,
        unit: files.unit.clone(),
    }
}
