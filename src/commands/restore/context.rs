// SPDX-License-Identifier: Apache-2.0
//! What a restore is given: the machine behind traits, the options of the operator, and facts about the cluster.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::host::{Host, JoinServer, K3s, Progress, ServerFiles, UnitControl};
use crate::model::report::Report;
use crate::model::restore_report::Restore;
use crate::model::secret::Secret;
use crate::source::EtcdProbe;
use crate::store::Store;

/// The machine, behind traits.
pub struct Deps<'a> {
    /// The files of the K3s server.
    pub files: &'a ServerFiles,
    /// The K3s unit.
    pub unit: &'a dyn UnitControl,
    /// The K3s program.
    pub k3s: &'a dyn K3s,
    /// The local etcd.
    pub etcd: &'a dyn EtcdProbe,
    /// Where snapshots are stored.
    pub stores: &'a dyn Stores,
    /// Saves the present state.
    pub safety: &'a dyn SafetySnapshots,
    /// The rest of the machine: ports, memory, clock, signals.
    pub host: &'a dyn Host,
    /// Receives the progress.
    pub progress: &'a dyn Progress,
}

/// Where snapshots are stored.
pub trait Stores {
    /// The snapshot directory.
    fn local(&self) -> &dyn Store;
    /// The store of any other directory.
    fn directory(&self, dir: &Path) -> Box<dyn Store>;
    /// The bucket; `None` if none is enabled. Nothing is asked of it before it is needed.
    ///
    /// # Errors
    /// If its settings cannot be used.
    fn remote(&self) -> Option<Result<RemoteSnapshots>>;
}

/// An opened bucket.
pub struct RemoteSnapshots {
    /// Its snapshots.
    pub store: Box<dyn Store>,
    /// How many requests a download may have in flight.
    pub parallel: usize,
}

/// Saves the present state before it is replaced.
pub trait SafetySnapshots {
    /// Saves the live etcd.
    ///
    /// # Errors
    /// If no snapshot was kept.
    fn save_live(&self, report: &mut Report) -> Result<SafetySnapshot>;
    /// Saves the database at rest.
    ///
    /// # Errors
    /// If no snapshot was kept.
    fn save_offline(&self, report: &mut Report) -> Result<SafetySnapshot>;
}

/// A snapshot of the present state.
#[derive(Debug)]
pub struct SafetySnapshot {
    /// File name.
    pub name: String,
}

/// Whether K3s is started aside on the new database before the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rehearsal {
    /// If memory allows.
    Auto,
    /// Always; a rehearsal that is impossible is an error.
    Always,
    /// Never.
    Never,
}

/// What the operator set.
pub struct Options<'a> {
    /// A name, a path, or `latest`; `None` if only a time was given.
    pub target: Option<&'a str>,
    /// Only snapshots before this time: seconds since the epoch.
    pub before: Option<u64>,
    /// Whether only the plan is made.
    pub dry_run: bool,
    /// Whether a snapshot of another cluster or of a newer K3s is accepted.
    pub force: bool,
    /// Whether the present state is saved first.
    pub safety_snapshot: bool,
    /// Whether the other servers are stopped, whatever they answer.
    pub assume_others_stopped: bool,
    /// Whether revisions stay as they are in the snapshot.
    pub keep_revisions: bool,
    /// Whether K3s is started aside first.
    pub rehearsal: Rehearsal,
    /// The server to rejoin, if it was given.
    pub server: Option<&'a str>,
    /// Asks whether the plan may be carried out.
    pub confirm: &'a dyn Fn(&Report) -> Result<bool>,
}

/// Time limits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For K3s to stop.
    pub stop: Duration,
    /// For K3s to serve again.
    pub ready: Duration,
    /// How long K3s must stay ready until that counts.
    pub stable: Duration,
    /// For the database to be closed after K3s is down.
    pub idle: Duration,
    /// Between two looks.
    pub poll: Duration,
}

/// Facts about this server and its cluster.
pub struct Cluster<'a> {
    /// Seconds since the epoch, when the run began.
    pub now: u64,
    /// The server token that K3s uses.
    pub token: Option<&'a Secret>,
    /// The hash of the certificate authority of this server's cluster, if something here tells it.
    pub ca_hash: Option<&'a str>,
    /// The name of this node by the rules of K3s.
    pub node: &'a str,
    /// The port of the API server.
    pub https_port: u16,
    /// The ports that K3s and its etcd need.
    pub ports: &'a [u16],
    /// The unit of K3s on an agent.
    pub agent_unit: &'a str,
    /// The configuration file of K3s.
    pub config: &'a str,
    /// The base name of the snapshots of the present state, which are not what `latest` means.
    pub safety_base: &'a str,
    /// The size limit of the etcd database, in bytes.
    pub quota: u64,
    /// The server that the configuration of K3s joins.
    pub join_server: Option<&'a dyn JoinServer>,
    /// Opens any other server.
    pub open_server: &'a dyn Fn(&str) -> Box<dyn JoinServer>,
}

/// Everything that an operation is given.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) deps: &'a Deps<'a>,
    pub(super) options: &'a Options<'a>,
    pub(super) timeouts: Timeouts,
    pub(super) cluster: &'a Cluster<'a>,
}

impl Context<'_> {
    /// Fails if the process was asked to stop.
    pub(super) fn ensure_not_stopped(&self, what: &str) -> Result<()> {
        ensure_not_stopped(self.deps, what)
    }

    /// Waits until the answer is yes; false if it is not in time.
    pub(super) fn poll_until(&self, limit: Duration, ask: impl FnMut() -> bool) -> bool {
        poll_until(self.deps, limit, self.timeouts.poll, ask)
    }
}

/// Fails if the process was asked to stop.
pub(super) fn ensure_not_stopped(deps: &Deps, what: &str) -> Result<()> {
    use crate::error::{Code, Fault};
    match deps.host.stop_requested() {
        true => Err(Fault::new(Code::Stopped, format!("asked to stop {what}")).into()),
        false => Ok(()),
    }
}

/// Waits until the answer is yes; false if it is not in time.
pub(super) fn poll_until(deps: &Deps, limit: Duration, poll: Duration, mut ask: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if ask() {
            return true;
        }
        if started.elapsed() >= limit {
            return false;
        }
        deps.progress.advance(0);
        std::thread::sleep(poll);
    }
}

/// A duration in whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Report {
    /// The part of the report that is the restore. It exists from the moment the plan is made.
    pub(super) fn restore_mut(&mut self) -> &mut Restore {
        use crate::model::restore::{Operation, PriorState};
        self.restore
            .get_or_insert_with(|| Restore::new(Operation::Restore, "", String::new(), PriorState::Stopped))
    }
}
