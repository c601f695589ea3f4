// SPDX-License-Identifier: Apache-2.0
//! What a restore is given: the machine behind traits, the options of the operator, and facts about the cluster.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::datastore::Datastore;
use crate::error::{Code, Fault};
use crate::host::{Host, JoinServer, K3s, Progress, ServerFiles, UnitControl};
use crate::model::authenticity::Keyring;
use crate::model::report::Report;
use crate::model::restore_report::Restore;
use crate::model::secret::Secret;
use crate::source::DatastoreProbe;
use crate::store::Store;

/// The machine, behind traits: all that is needed to finish an interrupted restore.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// The files of the K3s server.
    pub files: &'a ServerFiles,
    /// The K3s unit.
    pub unit: &'a dyn UnitControl,
    /// The K3s program.
    pub k3s: &'a dyn K3s,
    /// The local datastore: etcd, or what is asked in its place.
    pub etcd: &'a dyn DatastoreProbe,
    /// The rest of the machine: ports, memory, signals.
    pub host: &'a dyn Host,
    /// Receives the progress.
    pub progress: &'a dyn Progress,
    /// Time limits.
    pub timeouts: Timeouts,
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
    /// The datastore that is on this server; `None` if there is none yet.
    pub datastore: Option<Datastore>,
    /// Whether K3s is set to start with embedded etcd.
    pub starts_etcd: bool,
    /// The keys of all tokens that are known here.
    pub keys: &'a Keyring,
    /// The hash of the certificate authority of this server's cluster, if something here tells it.
    pub ca_hash: Option<&'a str>,
    /// The name of this node by the rules of K3s.
    pub node: &'a str,
    /// The port of the API server.
    pub https_port: u16,
    /// The ports that K3s and its etcd need.
    pub ports: &'a [u16],
    /// Where the API server is asked whether it is ready; empty if this server runs none.
    pub api: &'a [SocketAddr],
    /// The unit of K3s on an agent.
    pub agent_unit: &'a str,
    /// The configuration file of K3s.
    pub config: &'a str,
    /// The base name of the snapshots of the present state, which are not what `latest` means.
    pub safety_base: &'a str,
    /// The size limit of the etcd database, in bytes.
    pub quota: u64,
    /// The URL of the server that the configuration of K3s joins.
    pub configured_server: Option<&'a str>,
    /// Opens a server at a URL.
    pub open_server: &'a dyn Fn(&str) -> Box<dyn JoinServer>,
}

/// Everything that an operation is given.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The machine.
    pub machine: &'a Machine<'a>,
    /// Where snapshots are stored.
    pub stores: &'a dyn Stores,
    /// Saves the present state.
    pub safety: &'a dyn SafetySnapshots,
    /// What the operator set.
    pub options: &'a Options<'a>,
    /// Facts about this server and its cluster.
    pub cluster: &'a Cluster<'a>,
}

impl Machine<'_> {
    /// Fails if the process was asked to stop.
    pub(super) fn ensure_not_stopped(&self) -> Result<()> {
        match self.host.stop_requested() {
            true => Err(Fault::new(Code::Stopped, "asked to stop").into()),
            false => Ok(()),
        }
    }

    /// Waits until the answer is yes; false if it is not in time.
    pub(super) fn poll_until(&self, limit: Duration, mut ask: impl FnMut() -> bool) -> bool {
        let started = Instant::now();
        loop {
            if ask() {
                return true;
            }
            if started.elapsed() >= limit {
                return false;
            }
            self.progress.advance(0);
            std::thread::sleep(self.timeouts.poll);
        }
    }

    /// Whether the datastore serves, though the API server may not.
    pub(super) fn is_serving(&self) -> bool {
        // A database of SQLite can be read by any process: it is not enough that it can be asked.
        let is_used =
            self.files.datastore == Datastore::Etcd || matches!(self.files.is_database_open(), Ok(true));
        is_used && self.etcd.look().is_ok()
    }

    /// Waits until no process has the database open.
    pub(super) fn wait_until_idle(&self) -> Result<()> {
        let mut last = Ok(true);
        let idle = self.poll_until(self.timeouts.idle, || {
            last = self.files.is_database_open();
            matches!(last, Ok(false))
        });
        if idle {
            return Ok(());
        }
        last?;
        let what = format!("a process has the database in '{}' open", self.files.database_path().display());
        let hint = format!("Find the process with 'fuser -v {}'.", self.files.open_file().display());
        Err(Fault::new(Code::DatabaseInUse, what).hint(hint).into())
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
        self.restore.get_or_insert_with(|| {
            let datastore = Datastore::default();
            Restore::new(Operation::Restore, datastore, "", String::new(), PriorState::Stopped)
        })
    }
}
