// SPDX-License-Identifier: Apache-2.0
//! A machine of files alone for the operations of a restore: real directories, a K3s that does to its scratch directory what
//! a real one does, and any call of it that fails, asks to stop, or is the last one before the process is killed.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use anyhow::Result;
use k3s_snapshot::commands::restore::{
    Cluster, Context, Machine, Options, Rehearsal, RemoteSnapshots, SafetySnapshot, SafetySnapshots, Stores,
    Timeouts, cluster_reset, recover, recover_files, rejoin, restore,
};
use k3s_snapshot::datastore::Datastore;
use k3s_snapshot::host::server_files::load_state;
use k3s_snapshot::host::{
    Active, Host, JoinServer, K3s, Listener, NoProgress, Progress, Ready, ResetOutcome, Scratch, ServerFiles,
    Unit, UnitControl, file_tree,
};
use k3s_snapshot::inspect;
use k3s_snapshot::model::authenticity::Keyring;
use k3s_snapshot::model::command::Command;
use k3s_snapshot::model::report::Report;
use k3s_snapshot::model::restore::{Identity, Operation};
use k3s_snapshot::model::s3_config::S3Config;
use k3s_snapshot::model::secret::Secret;
use k3s_snapshot::source::{Comparison, DatastoreProbe, LiveMember, MemberStatus, Sample};
use k3s_snapshot::store::Store;
use k3s_snapshot::store::local::Local;
use k3s_snapshot::store::s3::S3;

use crate::sqlite_world;
use crate::support::kine::Kine;
use crate::wal_writer::{Writer, numbers};

/// A real snapshot of one server, and the database of the same server some revisions later.
pub(crate) const SNAPSHOT: &[u8] = include_bytes!("../fixtures/before-server-1-1795339215");
pub(crate) const LIVE: &[u8] = include_bytes!("../fixtures/after-server-1-1795339218");
pub(crate) const NAME: &str = "manual-server-1-1795339215";
pub(crate) const NOW: u64 = 1_795_400_000;
/// What the log of K3s has after a failed start.
pub(crate) const LAST_FATAL_MESSAGE: &str = "failed to start the server";
/// The files and directories of K3s that must be as before if nothing was restored.
const KEPT: [&str; 6] = ["tls", "cred", "token", "db/etcd", "db/etcd-old-5", "etc"];

/// What a call does in addition to its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails.
    Fail,
    /// The process is asked to stop.
    Stop,
    /// The process is killed before the call.
    Kill,
    /// From this call on, systemd does not answer.
    Silence,
}

/// The payload of the panic that simulates a kill.
struct Killed;

pub(crate) struct World {
    pub(crate) root: tempfile::TempDir,
    pub(crate) operation: Operation,
    pub(crate) datastore: Datastore,
    /// The connection of K3s to its database of SQLite, as long as it runs.
    pub(crate) kine: RefCell<Option<Kine>>,
    pub(crate) calls: Cell<usize>,
    /// What happens at which call.
    pub(crate) fault: Cell<Option<(usize, Fault)>>,
    pub(crate) log: RefCell<Vec<&'static str>>,
    pub(crate) active: Cell<Active>,
    pub(crate) restarts: Cell<u32>,
    pub(crate) machine: Facts,
    /// Whether etcd answers before the restore.
    pub(crate) answers: bool,
    /// URLs at which other members answer.
    pub(crate) running: Vec<String>,
    /// Other members that the live etcd lists.
    pub(crate) others: Vec<LiveMember>,
    /// What K3s does aside instead of a reset.
    pub(crate) reset: Reset,
    pub(crate) target: Option<String>,
    pub(crate) before: Option<u64>,
    pub(crate) tweak: fn(&mut Options),
    pub(crate) remote: Option<PathBuf>,
    /// A bucket on a real server instead of `remote`.
    pub(crate) bucket: Option<S3Config>,
    /// The tokens that are known in addition to the one of this server.
    pub(crate) older_tokens: Vec<Secret>,
    pub(crate) cluster_id: Option<String>,
    pub(crate) ca_hash: Option<String>,
    pub(crate) door: Door,
    /// The lock that etcd has on its database, as long as it runs.
    pub(crate) held: RefCell<Option<fs::File>>,
    /// Whether the API server of K3s is never ready.
    pub(crate) never_ready: Cell<bool>,
    /// Which datastore the disk shows, if that is not the one of K3s.
    pub(crate) shown: Cell<Option<Datastore>>,
    /// Whether there is a database before.
    pub(crate) has_datastore: bool,
    /// Whether the datastore of this server is known to be etcd.
    pub(crate) owns_etcd: bool,
    /// Whether K3s is set to start with embedded etcd.
    pub(crate) starts_etcd: bool,
    /// What happens in addition when K3s stops.
    pub(crate) at_stop: Cell<fn(&World)>,
    /// What happens in addition when K3s starts.
    pub(crate) at_start: fn(&World),
}

/// Facts about the machine.
pub(crate) struct Facts {
    pub(crate) memory: u64,
    pub(crate) addresses: Vec<String>,
    pub(crate) listeners: Mutex<Vec<Listener>>,
    stop: AtomicBool,
}

/// How the reset aside ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    /// As it should.
    Good,
    /// With exit code 1.
    Fails,
    /// With exit code 0 and no database.
    Nothing,
    /// With exit code 0 and another database.
    Other,
    /// With exit code 0 and without the mark of a reset.
    Unmarked,
}

/// The server that is joined.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door {
    pub(crate) configured: Option<&'static str>,
    pub(crate) given: Option<&'static str>,
    pub(crate) authority: &'static str,
    pub(crate) refuses_token: bool,
    pub(crate) members: Vec<String>,
}

impl World {
    pub(crate) fn new(operation: Operation) -> World {
        // In memory: a restore syncs a lot.
        World::new_in(operation, tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    pub(crate) fn new_in(operation: Operation, root: tempfile::TempDir) -> World {
        let len = inspect::database_len(SNAPSHOT.len() as u64).unwrap();
        let facts = inspect::verify(&SNAPSHOT, len).unwrap().facts;
        let own = facts.members[0].peer_urls.iter().filter_map(|u| k3s_snapshot::model::runbook::host_of(u));
        let world = World {
            operation,
            datastore: Datastore::Etcd,
            kine: RefCell::default(),
            calls: Cell::new(0),
            fault: Cell::new(None),
            log: RefCell::default(),
            active: Cell::new(Active::Active),
            restarts: Cell::new(0),
            machine: Facts {
                memory: 8 << 30,
                addresses: own.map(str::to_owned).collect(),
                listeners: Mutex::default(),
                stop: AtomicBool::new(false),
            },
            answers: true,
            running: vec![],
            others: vec![],
            reset: Reset::Good,
            target: Some(NAME.to_owned()),
            before: None,
            tweak: |_| {},
            remote: None,
            bucket: None,
            older_tokens: vec![],
            cluster_id: facts.cluster_id,
            ca_hash: Some("the authority".to_owned()),
            door: Door { authority: "the authority", ..Door::default() },
            held: RefCell::default(),
            never_ready: Cell::new(false),
            has_datastore: true,
            shown: Cell::new(None),
            owns_etcd: false,
            starts_etcd: false,
            at_stop: Cell::new(|_| {}),
            at_start: |_| {},
            root,
        };
        for (file, content) in [
            ("server/tls/server-ca.crt", &b"ca before"[..]),
            ("server/cred/passwd", b"passwd before"),
            ("server/token", b"labtoken\n"),
            ("server/etc/egress", b"etc before"),
            ("server/db/etcd/name", b"fixture-node-aaaaaaaa"),
            ("server/db/etcd/member/wal/0000000000000000-0000000000000000.wal", b"wal"),
            ("server/db/etcd/member/snap/db", &LIVE[..LIVE.len() - 32]),
            ("server/db/etcd-old-5/member/snap/db", b"an older one"),
            (&format!("server/db/snapshots/{NAME}"), SNAPSHOT),
        ] {
            let path = world.data().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::create_dir_all(world.root.path().join("units")).unwrap();
        world
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.data().join("server/db")
    }

    pub(crate) fn files(&self) -> ServerFiles {
        ServerFiles {
            state: self.root.path().join("state/restore"),
            data_dir: self.data(),
            units: self.root.path().join("units"),
            unit: "k3s.service".to_owned(),
            kubeconfig: self.root.path().join("k3s.yaml"),
            datastore: self.shown.get().unwrap_or(self.datastore),
        }
    }

    /// Every call from outside of the operation goes through here, in order.
    fn call(&self, what: &'static str) -> Result<()> {
        self.log.borrow_mut().push(what);
        self.calls.set(self.calls.get() + 1);
        match self.fault.get() {
            Some((at, fault)) if at == self.calls.get() => match fault {
                Fault::Fail => anyhow::bail!("'{what}' was made to fail"),
                Fault::Stop => self.machine.stop.store(true, SeqCst),
                Fault::Kill => resume_unwind(Box::new(Killed)),
                Fault::Silence => {}
            },
            _ => {}
        }
        if ["stop", "start", "reload", "reset-failed", "watch"].contains(&what) {
            self.hear()
        } else {
            Ok(())
        }
    }

    /// Fails while systemd does not answer.
    fn hear(&self) -> Result<()> {
        match self.fault.get() {
            Some((at, Fault::Silence)) if at <= self.calls.get() => anyhow::bail!("systemd does not answer"),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.active.get() == Active::Active
    }

    pub(crate) fn member(&self) -> String {
        fs::read_to_string(self.db().join("etcd/name")).unwrap_or_default()
    }

    /// Whether the new database is live.
    pub(crate) fn is_restored(&self) -> bool {
        if self.datastore == Datastore::Sqlite {
            return sqlite_world::is_restored(self);
        }
        match self.operation {
            Operation::Rejoin => self.member() == "joined",
            _ => self.member() == "fixture-node-bbbbbbbb",
        }
    }

    pub(crate) fn run(&self) -> (Result<()>, Report) {
        let mut report = Report::new(Command::Restore, NOW);
        let result = self.with_context(|cx| match self.operation {
            Operation::Restore => restore(cx, &mut report),
            Operation::ClusterReset => cluster_reset(cx, &mut report),
            Operation::Rejoin => rejoin(cx, &mut report),
        });
        (result, report)
    }

    /// Runs the operation up to the kill that was set; true if it was killed.
    pub(crate) fn run_to_kill(&self) -> bool {
        self.is_killed(|| drop(self.run()))
    }

    /// Whether the process is killed, as it was set, during `work`.
    pub(crate) fn is_killed(&self, work: impl FnOnce()) -> bool {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(()) => false,
            Err(payload) if payload.is::<Killed>() => {
                self.machine.stop.store(false, SeqCst);
                true
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    pub(crate) fn recover_files(&self) -> (Result<()>, Report) {
        let mut report = Report::new(Command::Restore, NOW);
        let result = self.with_machine(|machine| recover_files(machine, &mut report));
        (result, report)
    }

    pub(crate) fn recover(&self) -> (Result<()>, Report) {
        let mut report = Report::new(Command::Restore, NOW);
        let result = self.with_machine(|machine| recover(machine, &mut report));
        (result, report)
    }

    fn with_machine<T>(&self, work: impl FnOnce(&Machine) -> T) -> T {
        let files = self.files();
        let short = Duration::from_millis(15);
        work(&Machine {
            files: &files,
            unit: self,
            k3s: self,
            etcd: self,
            host: &self.machine,
            progress: &NoProgress,
            timeouts: Timeouts {
                stop: short,
                ready: short,
                stable: Duration::ZERO,
                // A process that another test forks has every file of this one open until it executes its program.
                idle: match self.datastore {
                    Datastore::Etcd => short,
                    Datastore::Sqlite => Duration::from_secs(5),
                },
                poll: Duration::from_millis(1),
            },
        })
    }

    fn with_context<T>(&self, work: impl FnOnce(Context) -> T) -> T {
        let token = Secret::new("labtoken");
        let keys = Keyring::new([&token].into_iter().chain(&self.older_tokens));
        let cluster = Cluster {
            now: NOW,
            datastore: match self.datastore {
                Datastore::Etcd => self.owns_etcd.then_some(Datastore::Etcd),
                Datastore::Sqlite => self.has_datastore.then_some(Datastore::Sqlite),
            },
            starts_etcd: self.starts_etcd,
            token: Some(&token),
            keys: &keys,
            ca_hash: self.ca_hash.as_deref(),
            node: "fixture-node",
            https_port: 6443,
            ports: &[6443],
            api: &[],
            agent_unit: "k3s-agent.service",
            config: "/etc/rancher/k3s/config.yaml",
            safety_base: "pre-restore",
            quota: 2 << 30,
            configured_server: self.door.configured,
            open_server: &|url| {
                let door = self.door.clone();
                Box::new(OtherServer { door, url: url.to_owned(), trusted: Cell::new(false) })
                    as Box<dyn JoinServer>
            },
        };
        let mut options = Options {
            target: self.target.as_deref(),
            before: self.before,
            dry_run: false,
            force: false,
            safety_snapshot: true,
            assume_others_stopped: false,
            keep_revisions: false,
            rehearsal: Rehearsal::Auto,
            server: self.door.given,
            confirm: &|_| Ok(true),
        };
        (self.tweak)(&mut options);
        let snapshots = Snapshots { world: self, local: self.store(&self.db().join("snapshots")) };
        self.with_machine(|machine| {
            work(Context {
                machine,
                stores: &snapshots,
                safety: &snapshots,
                options: &options,
                cluster: &cluster,
            })
        })
    }

    /// Lets etcd have its database open, and answer no request.
    pub(crate) fn hold_database(&self) {
        let file = fs::File::open(self.db().join("etcd/member/snap/db")).unwrap();
        file.try_lock().unwrap();
        self.held.replace(Some(file));
    }

    pub(crate) fn store(&self, directory: &Path) -> Local {
        Local::new(directory, &self.root.path().join("manifests"), true)
    }

    /// No trace of a restore is left, and the start of K3s is not blocked.
    #[track_caller]
    pub(crate) fn assert_clean(&self, what: &str) {
        let files = self.files();
        assert!(!files.is_start_blocked().unwrap(), "{what}: the start is blocked");
        assert_eq!(fs::read_dir(&files.units).unwrap().count(), 0, "{what}: a drop-in is left");
        assert!(load_state(&files.state).unwrap().is_none(), "{what}: a state file is left");
        for dir in [self.db(), self.data().join("server"), self.root.path().to_owned()] {
            let hidden = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let hidden: Vec<String> =
                hidden.filter(|n| n.starts_with('.') && n.contains("snapshot")).collect();
            assert!(hidden.is_empty(), "{what}: {hidden:?} in {}", dir.display());
        }
    }

    /// The new database is live with the files that belong to it, and the previous database is kept.
    #[track_caller]
    pub(crate) fn assert_restored(&self, what: &str) {
        assert!(self.is_restored(), "{what}: the member is '{}'", self.member());
        if self.datastore == Datastore::Etcd && self.operation != Operation::Rejoin {
            assert_eq!(
                fs::read(self.data().join("server/tls/server-ca.crt")).unwrap(),
                b"ca after",
                "{what}"
            );
            assert_eq!(fs::read(self.data().join("server/token")).unwrap(), b"labtoken\n", "{what}");
        }
        if self.datastore == Datastore::Sqlite {
            sqlite_world::assert_previous_is_kept(self, what);
            return self.assert_clean(what);
        }
        let old = self.db().join(format!("etcd-old-{NOW}"));
        assert_eq!(fs::read(old.join("member/snap/db")).unwrap(), LIVE[..LIVE.len() - 32], "{what}");
        self.assert_clean(what);
    }
}

/// A copy of the files of K3s, to compare them with later. The live database is known by its identity too.
pub(crate) struct Before {
    copy: tempfile::TempDir,
    etcd: Option<Identity>,
    state_db: Option<Identity>,
}

impl Before {
    pub(crate) fn of(world: &World) -> Before {
        let copy = tempfile::tempdir().unwrap();
        for name in KEPT {
            let from = world.data().join("server").join(name);
            if from.exists() {
                file_tree::copy(&from, &copy.path().join(name.replace('/', "-"))).unwrap();
            }
        }
        let id = |name: &str| file_tree::inode_id(&world.db().join(name)).unwrap();
        Before { etcd: id("etcd"), state_db: id("state.db"), copy }
    }

    /// Everything is as it was.
    #[track_caller]
    pub(crate) fn assert_same(&self, world: &World, what: &str) {
        for name in KEPT {
            let (now, was) =
                (world.data().join("server").join(name), self.copy.path().join(name.replace('/', "-")));
            assert_eq!(now.exists(), was.exists(), "{what}: {name}");
            if was.exists() {
                assert_same_tree(&now, &was, what);
            }
        }
        if world.datastore == Datastore::Sqlite {
            sqlite_world::assert_same(world, self.state_db, what);
        }
        let etcd = file_tree::inode_id(&world.db().join("etcd")).unwrap();
        assert_eq!(etcd.map(|e| e.ino), self.etcd.map(|e| e.ino), "{what}: another database");
        assert!(!world.db().join(format!("etcd-old-{NOW}")).exists(), "{what}: a renamed database is left");
        world.assert_clean(what);
    }
}

/// Both trees have the same files with the same content, owner, mode and time. Times of directories may differ.
#[track_caller]
fn assert_same_tree(now: &Path, was: &Path, what: &str) {
    let meta = |path: &Path| fs::symlink_metadata(path).unwrap();
    let (a, b) = (meta(now), meta(was));
    assert_eq!((a.mode(), a.uid(), a.gid()), (b.mode(), b.uid(), b.gid()), "{what}: {}", now.display());
    if !a.is_dir() {
        assert!(file_tree::is_identical(now, was).unwrap(), "{what}: {} is not as it was", now.display());
        return;
    }
    let names = |dir: &Path| {
        let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        all.sort();
        all
    };
    assert_eq!(names(now), names(was), "{what}: {}", now.display());
    names(now).iter().for_each(|name| assert_same_tree(&now.join(name), &was.join(name), what));
}

impl UnitControl for World {
    fn unit(&self) -> Result<Unit> {
        self.hear()?;
        Ok(Unit {
            name: "k3s.service".into(),
            loaded: true,
            active: self.active.get(),
            sub: "running".into(),
            main_pid: 1,
            restarts: self.restarts.get(),
            result: "success".into(),
            control_group: "/system.slice/k3s.service".into(),
            fragment: None,
            outdated: false,
            assert_failed: false,
            has_job: false,
            dependents: vec![],
            definition: Default::default(),
        })
    }

    fn stop(&self, _: Duration) -> Result<()> {
        self.call("stop")?;
        self.held.take();
        self.kine.take();
        (self.at_stop.get())(self);
        self.active.set(Active::Inactive);
        Ok(())
    }

    fn start(&self) -> Result<()> {
        self.call("start")?;
        assert!(!self.files().is_start_blocked().unwrap(), "K3s is started while that is blocked");
        self.active.set(Active::Active);
        if self.datastore == Datastore::Sqlite {
            sqlite_world::start(self);
            (self.at_start)(self);
            return Ok(());
        }
        let etcd = self.db().join("etcd");
        if self.operation == Operation::Rejoin && !etcd.exists() {
            fs::create_dir_all(etcd.join("member/snap")).unwrap();
            fs::write(etcd.join("member/snap/db"), b"of the other server").unwrap();
            fs::write(etcd.join("name"), "joined").unwrap();
        }
        if self.member() != "fixture-node-aaaaaaaa" {
            // A K3s that runs writes.
            fs::write(etcd.join("member/written"), b"by K3s").unwrap();
        }
        (self.at_start)(self);
        Ok(())
    }

    fn reload(&self) -> Result<()> {
        self.call("reload")
    }

    fn reset_failed(&self) -> Result<()> {
        self.call("reset-failed")
    }

    fn fatal_message(&self, _: u64) -> Option<String> {
        Some(LAST_FATAL_MESSAGE.to_owned())
    }

    fn watch_restore(&self) -> Result<()> {
        self.call("watch")
    }
}

impl K3s for World {
    fn version(&self) -> Result<String> {
        self.call("version")?;
        Ok("k3s version v1.30.4+k3s1 (x)".into())
    }

    fn reset_aside(&self, scratch: &Scratch, from_snapshot: bool, _: &dyn Progress) -> Result<ResetOutcome> {
        let server = scratch.root().join("server");
        let etcd = scratch.new_database_dir();
        assert_eq!(scratch.snapshot().exists(), from_snapshot);
        self.call("reset")?;
        if self.machine.stop.load(SeqCst) {
            return Err(
                k3s_snapshot::error::Fault::new(k3s_snapshot::error::Code::Stopped, "asked to stop").into()
            );
        }
        if from_snapshot {
            fs::create_dir_all(etcd.join("member/snap")).unwrap();
            let mut bytes = fs::read(scratch.snapshot()).unwrap();
            if self.reset == Reset::Other {
                // A value that K3s would serve with another content.
                let at = bytes.windows(9).position(|w| w == b"configmap").unwrap();
                bytes[at..at + 9].copy_from_slice(b"CONFIGMAP");
            }
            fs::write(etcd.join("member/snap/db"), &bytes[..bytes.len() - 32]).unwrap();
        } else {
            assert!(etcd.join("member/snap/db").exists(), "a reset needs the copy of the database");
        }
        for dir in ["tls", "cred"] {
            fs::create_dir_all(server.join(dir)).unwrap();
        }
        fs::write(server.join("token"), b"labtoken\n").unwrap();
        fs::write(server.join("tls/server-ca.crt"), b"ca after").unwrap();
        fs::write(server.join("cred/passwd"), b"passwd after").unwrap();
        fs::create_dir_all(server.join("tls-1795400001")).unwrap();
        let _ = fs::remove_dir_all(etcd.join("member/wal"));
        fs::create_dir_all(etcd.join("member/wal")).unwrap();
        let log = Writer::new(0, &numbers(&[7, 77]));
        fs::write(etcd.join("member/wal/0000000000000000-0000000000000000.wal"), log.file).unwrap();
        fs::write(etcd.join("name"), b"fixture-node-bbbbbbbb").unwrap();
        if self.reset != Reset::Unmarked {
            fs::write(server.join("db/reset-flag"), b"").unwrap();
        }
        if self.reset == Reset::Nothing {
            fs::remove_dir_all(&etcd).unwrap();
        }
        let success = self.reset != Reset::Fails;
        Ok(ResetOutcome {
            success,
            how: "exit code".into(),
            reason: "its last message".into(),
            confirmed: success,
        })
    }

    fn rehearse(&self, scratch: &Scratch, _: Duration, _: &dyn Progress) -> Result<bool> {
        let database = match self.datastore {
            Datastore::Etcd => "rehearsal/db/etcd/member/snap/db",
            Datastore::Sqlite => "rehearsal/db/state.db",
        };
        assert!(scratch.root().join(database).exists());
        self.call("rehearse")?;
        Ok(true)
    }

    fn ready(&self) -> Ready {
        match self.call("ready") {
            Ok(()) if self.is_up() && !self.never_ready.get() => Ready::Yes,
            Ok(()) => Ready::NoAnswer("it is down".to_owned()),
            Err(e) => Ready::NoAnswer(e.to_string()),
        }
    }
}

impl DatastoreProbe for World {
    fn look(&self) -> Result<MemberStatus> {
        if self.datastore == Datastore::Sqlite {
            return sqlite_world::look(self);
        }
        anyhow::ensure!(self.is_up(), "it is down");
        anyhow::ensure!(self.answers || self.is_restored(), "it does not answer");
        let own =
            LiveMember { id: 7, name: self.member(), peer_urls: vec![], client_urls: vec![], learner: false };
        let alone = self.is_restored() && self.operation != Operation::Rejoin;
        let others = if alone { vec![] } else { self.others.clone() };
        Ok(MemberStatus {
            revision: if self.is_restored() { 340 } else { 348 },
            member_id: 7,
            learner: false,
            members: std::iter::once(own).chain(others).collect(),
            db_size: 0,
            leader_id: 1,
            alarms: vec![],
            version: "3.5".into(),
        })
    }

    fn cluster_id(&self) -> Result<Option<String>> {
        self.call("cluster-id")?;
        anyhow::ensure!(self.is_up() && self.answers, "it does not answer");
        Ok(self.cluster_id.clone())
    }

    fn answers(&self, urls: &[String]) -> Vec<(String, bool)> {
        urls.iter().map(|url| (url.clone(), self.running.contains(url))).collect()
    }

    fn holds(&self, revision: i64, live: u64, sample: &[Sample]) -> Result<Comparison> {
        assert!(revision > 0 && live > 0 && !sample.is_empty());
        Ok(match self.call("holds") {
            Ok(()) => Comparison::Equal,
            Err(e) => Comparison::Differs(e.to_string()),
        })
    }
}

impl Host for Facts {
    fn listeners(&self, _: &[u16]) -> Result<Vec<Listener>> {
        Ok(self.listeners.lock().unwrap().clone())
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(SeqCst)
    }

    fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    fn available_memory(&self) -> u64 {
        self.memory
    }

    fn random_id(&self) -> Result<u64> {
        Ok(0x1234_5678_9ABC_DEF0)
    }
}

struct Snapshots<'a> {
    world: &'a World,
    local: Local,
}

impl Stores for Snapshots<'_> {
    fn local(&self) -> &dyn Store {
        &self.local
    }

    fn directory(&self, dir: &Path) -> Box<dyn Store> {
        Box::new(self.world.store(dir))
    }

    fn remote(&self) -> Option<Result<RemoteSnapshots>> {
        if let Some(bucket) = &self.world.bucket {
            let open = |store: S3| RemoteSnapshots { parallel: store.readers(), store: Box::new(store) };
            return Some(S3::new(bucket.clone()).map(open));
        }
        self.world.remote.as_ref().map(|dir| {
            self.world.call("open-remote")?;
            Ok(RemoteSnapshots { store: Box::new(self.world.store(dir)), parallel: 2 })
        })
    }
}

impl SafetySnapshots for Snapshots<'_> {
    fn save_live(&self, _: &mut Report) -> Result<SafetySnapshot> {
        self.world.call("save-live")?;
        anyhow::ensure!(self.world.answers, "it does not answer");
        Ok(SafetySnapshot { name: "pre-restore-server-1-1".into() })
    }

    fn save_offline(&self, _: &mut Report) -> Result<SafetySnapshot> {
        self.world.call("save-offline")?;
        assert!(!self.world.is_up() && self.world.files().is_start_blocked().unwrap());
        Ok(SafetySnapshot { name: "pre-restore-server-1-2".into() })
    }
}

struct OtherServer {
    door: Door,
    url: String,
    trusted: Cell<bool>,
}

impl JoinServer for OtherServer {
    fn url(&self) -> &str {
        &self.url
    }

    fn authority(&self) -> Result<String> {
        Ok(self.door.authority.to_owned())
    }

    fn has_authority(&self, hash: &str) -> Result<bool> {
        self.trusted.set(self.door.authority == hash);
        Ok(self.trusted.get())
    }

    fn lets_in(&self, _: &Secret) -> Result<bool> {
        assert!(self.trusted.get(), "a password is sent to a server that is not verified");
        Ok(!self.door.refuses_token)
    }

    fn members(&self, _: &Secret) -> Result<Vec<String>> {
        assert!(self.trusted.get(), "a password is sent to a server that is not verified");
        Ok(self.door.members.clone())
    }
}
