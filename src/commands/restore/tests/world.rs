// SPDX-License-Identifier: Apache-2.0
//! A machine of files alone: real folders, a K3s that does to them what a real one does, and any call of it that fails.
#![cfg(test)]

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::super::*;
use crate::host::{Active, NoProgress, Ready, ResetOutcome, Unit, file_tree};
use crate::model::restore::{Operation, Process};
use crate::source::{Comparison, LiveMember, MemberStatus, Sample};
use crate::store::local::Local;

pub(super) const SNAPSHOT: &[u8] = include_bytes!("../../../../tests/fixtures/before-server-1-1795339215");
pub(super) const LIVE: &[u8] = include_bytes!("../../../../tests/fixtures/after-server-1-1795339218");
pub(super) const NAME: &str = "on-demand-server-1-1795339215";

/// Everything outside of the restore, counted: the call of this number fails.
pub(super) struct World {
    pub(super) root: tempfile::TempDir,
    pub(super) calls: Cell<usize>,
    pub(super) fails_at: Cell<usize>,
    /// From that call on somebody asks to stop.
    pub(super) asked_at: Cell<usize>,
    pub(super) active: Cell<Active>,
    /// What the reset does besides failing.
    pub(super) half_done: Cell<bool>,
    pub(super) log: RefCell<Vec<&'static str>>,
    pub(super) deed: Operation,
    /// Whether K3s is told a server to join, and what is wrong with that.
    pub(super) door: bool,
    pub(super) closed: Option<&'static str>,
    /// So many looks at the ports show a socket that is nobody's.
    pub(super) strangers: Cell<u32>,
    /// Whether etcd answers before.
    pub(super) answers: bool,
    /// Whether its cluster has no other members.
    pub(super) alone: bool,
    /// The snapshot that is asked for.
    pub(super) target: &'static str,
    /// What stands in for the bucket, where one is turned on.
    pub(super) far: Option<PathBuf>,
}

impl World {
    pub(super) fn new() -> World {
        let root = tempfile::tempdir().unwrap();
        let world = World {
            root,
            calls: Cell::new(0),
            fails_at: Cell::new(usize::MAX),
            asked_at: Cell::new(usize::MAX),
            active: Cell::new(Active::Active),
            half_done: Cell::new(false),
            log: RefCell::default(),
            deed: Operation::Restore,
            door: false,
            closed: None,
            strangers: Cell::new(0),
            answers: true,
            alone: false,
            target: NAME,
            far: None,
        };
        for (file, text) in [
            ("server/tls/server-ca.crt", &b"ca before"[..]),
            ("server/cred/passwd", b"passwd before"),
            ("server/token", b"labtoken\n"),
            ("server/db/etcd/name", b"server-1-aaaa"),
            ("server/db/etcd/member/wal/0.wal", b"wal"),
            ("server/db/etcd/member/snap/db", &LIVE[..LIVE.len() - 32]),
            ("server/db/etcd-old-5/member/snap/db", b"an older one"),
            (&format!("server/db/snapshots/{NAME}"), SNAPSHOT),
        ] {
            let path = world.data().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(world.root.path().join("units")).unwrap();
        world
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(super) fn db(&self) -> PathBuf {
        self.data().join("server/db")
    }

    pub(super) fn site(&self) -> ServerFiles {
        ServerFiles {
            state: self.root.path().join("state/restore"),
            data_dir: self.data(),
            units: self.root.path().join("units"),
            unit: "k3s.service".to_owned(),
            kubeconfig: self.root.path().join("k3s.yaml"),
        }
    }

    pub(super) fn call(&self, what: &'static str) -> Result<()> {
        self.log.borrow_mut().push(what);
        self.calls.set(self.calls.get() + 1);
        anyhow::ensure!(self.calls.get() != self.fails_at.get(), "{what} was made to fail");
        Ok(())
    }

    /// Starts of K3s while the gate is closed are what must never be.
    pub(super) fn serves(&self) -> bool {
        self.active.get() == Active::Active
    }

    pub(super) fn restored(&self) -> bool {
        fs::read(self.db().join("etcd/name")).is_ok_and(|n| n == b"server-1-bbbb")
    }

    pub(super) fn run(&self, conclude_only: bool) -> Result<()> {
        self.run_into(conclude_only, &mut Report::new(crate::model::command::Command::Restore, 0))
    }

    pub(super) fn run_into(&self, conclude_only: bool, report: &mut Report) -> Result<()> {
        let site = self.site();
        let state = self.root.path().join("state");
        let home = Local::new(&self.db().join("snapshots"), &state, true);
        let machine = Machine {
            site: &site,
            service: self,
            k3s: self,
            live: self,
            home: &home,
            elsewhere: &|folder| Box::new(Local::new(folder, &state, false)),
            save: &|_| {
                self.call("save")?;
                Ok(Saved { name: "pre-restore-server-1-1".into(), cluster: None })
            },
            save_at_rest: &|_| {
                self.call("save-at-rest")?;
                assert!(!self.serves() && self.site().is_closed().unwrap());
                Ok(Saved { name: "pre-restore-server-1-2".into(), cluster: None })
            },
            listeners: &|_| {
                let left = self.strangers.get();
                self.strangers.set(left.saturating_sub(1));
                let (program, control_group) = (String::new(), String::new());
                let nobody = Listener { port: 6443, pid: None, program, control_group };
                Ok(Vec::from_iter((left > 0).then_some(nobody)))
            },
            asked: &|| self.calls.get() >= self.asked_at.get(),
            clock: &|| 1_800_000_000,
            progress: &NoProgress,
        };
        let open = || {
            self.call("open-bucket")?;
            let folder = self.far.clone().unwrap_or_default();
            Ok(Far { store: Box::new(Local::new(&folder, &state, false)), ways: 2 })
        };
        let (token, config) = (Secret::new("labtoken"), Secret::new("{}"));
        let request = Request {
            target: Some(self.target),
            before: None,
            bucket: self.far.as_ref().map(|_| Bucket { open: &open, asked: || false }),
            dry_run: false,
            force: false,
            safety: true,
            others_stopped: false,
            stop_timeout: Duration::from_millis(50),
            ready_timeout: Duration::from_millis(50),
            steady: Duration::ZERO,
            poll: Duration::from_millis(1),
            now: 1_795_400_000,
            token: Some(&token),
            config: &config,
            door: self.door.then_some(self as &dyn JoinServer),
            authority: Some("the authority"),
            safety_base: "pre-restore",
            node: "server-1",
            agent_unit: "k3s-agent.service",
            ports: &[],
            confirm: &|_| Ok(true),
        };
        match (conclude_only, self.deed) {
            (true, _) => conclude(&request, &machine, report),
            (_, Operation::Restore) => run(&request, &machine, report),
            (_, Operation::ClusterReset) => reset_only(&request, &machine, report),
            (_, Operation::Rejoin) => rejoin(&request, &machine, report),
        }
    }
}

impl UnitControl for World {
    fn unit(&self) -> Result<Unit> {
        Ok(Unit {
            name: "k3s.service".into(),
            loaded: true,
            active: self.active.get(),
            sub: "running".into(),
            main_pid: 1,
            restarts: 0,
            result: "success".into(),
            control_group: "/system.slice/k3s.service".into(),
            fragment: None,
            outdated: false,
            assert_failed: false,
            has_job: false,
            definition: Default::default(),
        })
    }

    fn stop(&self, _: Duration) -> Result<()> {
        self.call("stop")?;
        self.active.set(Active::Inactive);
        Ok(())
    }

    fn start(&self) -> Result<()> {
        self.call("start")?;
        assert!(!self.site().is_closed().unwrap(), "K3s is started while it is barred");
        self.active.set(Active::Active);
        Ok(())
    }

    fn reload(&self) -> Result<()> {
        self.call("reload")
    }

    fn reset_failed(&self) -> Result<()> {
        self.call("reset-failed")
    }
}

impl K3s for World {
    fn version(&self) -> Result<String> {
        self.call("version")?;
        Ok("k3s version v1.30.4+k3s1 (x)".into())
    }

    /// Moves first, looks later; a failure leaves it half done.
    fn reset(
        &self,
        snapshot: Option<&Path>,
        begun: &mut dyn FnMut(Process) -> Result<()>,
        _: &dyn Progress,
    ) -> Result<ResetOutcome> {
        assert!(!self.serves() && self.site().is_closed().unwrap());
        begun(Process { pid: 1, start: 1, boot: "x".into() })?;
        let etcd = self.db().join("etcd");
        if let Some(snapshot) = snapshot {
            fs::rename(&etcd, self.db().join("etcd-old-1800000000")).unwrap();
            fs::create_dir_all(etcd.join("member/snap")).unwrap();
            let bytes = fs::read(snapshot).unwrap();
            fs::write(etcd.join("member/snap/db"), &bytes[..bytes.len() - 32]).unwrap();
        } else {
            assert!(!self.db().join("reset-flag").exists(), "K3s refuses that");
            fs::write(etcd.join("member/wal/0.wal"), b"another wal").unwrap();
        }
        fs::write(self.data().join("server/tls/server-ca.crt"), b"ca after").unwrap();
        fs::write(self.data().join("server/token"), b"another").unwrap();
        let said = Some("its last words".to_owned());
        let end = |success| ResetOutcome { success, how: "x".into(), said: said.clone(), announced: success };
        self.call("reset")?;
        if self.half_done.get() {
            return Ok(end(true));
        }
        fs::create_dir_all(etcd.join("member/wal")).unwrap();
        fs::write(etcd.join("name"), b"server-1-bbbb").unwrap();
        fs::write(self.db().join("reset-flag"), b"").unwrap();
        Ok(end(true))
    }

    fn end(&self, _: &Process) -> Result<()> {
        Ok(())
    }

    fn ready(&self) -> Ready {
        match self.call("ready") {
            Ok(()) => Ready::Yes,
            Err(e) => Ready::NoAnswer(e.to_string()),
        }
    }
}

impl EtcdProbe for World {
    fn look(&self) -> Result<MemberStatus> {
        anyhow::ensure!(self.serves(), "down");
        let began = self.log.borrow().contains(&"stop");
        anyhow::ensure!(self.answers || began, "no leader, no answer");
        let name = fs::read_to_string(self.db().join("etcd/name")).unwrap_or_default();
        let member = LiveMember { id: 7, name, peer_urls: vec![], client_urls: vec![], learner: false };
        let mut members = vec![member];
        // Before a reset the others are known, but gone; after a rejoin they are there.
        let others = match self.deed {
            Operation::Restore => false,
            Operation::ClusterReset => !self.restored(),
            Operation::Rejoin => true,
        };
        if others && !self.alone {
            members.push(LiveMember { id: 8, name: "server-2-cccc".into(), ..members[0].clone() });
        }
        Ok(MemberStatus {
            revision: if self.restored() { 340 } else { 348 },
            member_id: 7,
            learner: false,
            members,
            db_size: 0,
            leader: true,
            alarms: vec![],
            version: "3.5".into(),
        })
    }

    fn answers(&self, _: &[String]) -> Vec<(String, bool)> {
        vec![]
    }

    fn holds(&self, _: i64, _: u64, _: &[Sample]) -> Result<Comparison> {
        Ok(match self.call("holds") {
            Ok(()) => Comparison::Equal,
            Err(e) => Comparison::Differs(e.to_string()),
        })
    }
}

/// A copy of K3s's files, to compare them with later. The live database is known by its inode too.
pub(super) struct Before {
    pub(super) copy: tempfile::TempDir,
    pub(super) etcd: crate::model::restore::Identity,
}

impl Before {
    pub(super) fn of(world: &World) -> Before {
        let copy = tempfile::tempdir().unwrap();
        for name in ["tls", "cred", "token", "db/etcd", "db/etcd-old-5"] {
            file_tree::copy(
                &world.data().join("server").join(name),
                &copy.path().join(name.replace('/', "-")),
            )
            .unwrap();
        }
        Before { etcd: file_tree::inode_id(&world.db().join("etcd")).unwrap().unwrap(), copy }
    }

    /// Nothing of K3s's is other than it was, and nobody bars it.
    #[track_caller]
    pub(super) fn holds(&self, world: &World, what: &str) {
        for name in ["tls", "cred", "token", "db/etcd", "db/etcd-old-5"] {
            let (now, was) =
                (world.data().join("server").join(name), self.copy.path().join(name.replace('/', "-")));
            assert!(file_tree::is_identical(&now, &was).unwrap(), "{what}: {name} is not as it was");
        }
        assert!(
            file_tree::inode_id(&world.db().join("etcd")).unwrap().unwrap().is(self.etcd),
            "{what}: another database"
        );
        assert!(!world.db().join("etcd-old-1800000000").exists(), "{what}");
        free(world, what);
    }
}

#[track_caller]
pub(super) fn free(world: &World, what: &str) {
    let site = world.site();
    assert!(!site.is_closed().unwrap(), "{what}: barred");
    assert_eq!(
        fs::read_dir(world.root.path().join("units")).unwrap().count(),
        0,
        "{what}: a drop-in is left"
    );
    assert!(site.record().unwrap().is_none(), "{what}: a record is left");
    assert!(!world.db().join(".k3s-snapshot-restore").exists(), "{what}: our folder is left");
    assert!(!world.data().join("server/.k3s-snapshot-restore").exists(), "{what}: our folder is left");
}
