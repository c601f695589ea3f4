// SPDX-License-Identifier: Apache-2.0
//! A real etcd member on the data directory of a K3s server, with mutual TLS as K3s has it. Writes do not reach the disk
//! (`unsafe-no-fsync`) unless a test asks for it. Dropping it kills it. What is put into it is in `objects.rs`, what is
//! asked through etcdctl in `ctl.rs`, more than one member in `cluster.rs`.

use super::k3s_root::{K3sRoot, Layout};
use super::ports::Ports;
use super::process::{self, Running};
use super::{eventually, require};
use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, ConnectOptions, Error, TlsOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a member may take to come up on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(40);

/// The member; it may be stopped and started again.
#[derive(Debug)]
pub(crate) struct Etcd {
    pub(crate) root: K3sRoot,
    child: Option<Running>,
}

impl Etcd {
    /// A server of its own, up and healthy.
    pub(crate) fn start() -> Etcd {
        Etcd::start_with(Layout::default())
    }

    /// The same, with another layout.
    pub(crate) fn start_with(layout: Layout) -> Etcd {
        for _ in 0..5 {
            let mut etcd = Etcd::prepare(&layout, Ports::free());
            if etcd.launch(&etcd.root.etcd_config()) {
                etcd.wait_healthy();
                return etcd;
            }
        }
        panic!("five times in a row another process took a port of etcd's")
    }

    /// The directory of a member on these ports; not running.
    pub(crate) fn prepare(layout: &Layout, ports: Ports) -> Etcd {
        let mut layout = layout.clone();
        if !layout.etcd_args.iter().any(|(key, _)| key == "unsafe-no-fsync") {
            // etcd 3.4 then leaves the newest entries of its log in its memory.
            let fsync = require::etcd_version().starts_with("3.4.");
            layout = layout.etcd_arg("unsafe-no-fsync", if fsync { "false" } else { "true" });
        }
        Etcd { root: K3sRoot::new(&layout, ports), child: None }
    }

    /// Starts the process with this configuration. Yes once its client port answers or it waits for its peers, no if
    /// it ended because a port was taken.
    pub(crate) fn launch(&mut self, config: &Path) -> bool {
        assert!(self.child.is_none(), "etcd runs already");
        let program = require::etcd_programs().unwrap_or_else(|why| panic!("{why}")).join("etcd");
        let log = std::fs::File::create(self.log_file()).unwrap();
        let mut command = process::tied(program);
        command.arg("--config-file").arg(config).stdout(log.try_clone().unwrap()).stderr(log);
        // etcd takes its settings from the environment too.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|n| n.starts_with("ETCD_")) {
                command.env_remove(name);
            }
        }
        let mut child = process::spawn(command);
        let mut taken = false;
        eventually("etcd listens to its peers", START, || {
            if let Some(status) = child.ended() {
                taken = self.log().contains("address already in use");
                assert!(taken, "etcd ended with {status}:\n{}", self.log());
            }
            taken || TcpStream::connect(("127.0.0.1", self.root.ports.peer)).is_ok()
        });
        // A port that is taken shows within this time: the client port is bound right after the peers'.
        if !taken && child.wait(Duration::from_millis(50)).is_some() {
            taken = self.log().contains("address already in use");
            assert!(taken, "etcd ended:\n{}", self.log());
        }
        self.child = (!taken).then_some(child);
        !taken
    }

    /// Starts it again on its own configuration and waits until it is healthy.
    pub(crate) fn restart(&mut self) {
        assert!(self.launch(&self.root.etcd_config()), "another process took a port:\n{}", self.log());
        self.wait_healthy();
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("etcd runs");
        child.signal("TERM");
        assert!(child.wait(Duration::from_secs(20)).is_some(), "etcd does not stop:\n{}", self.log());
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.take().expect("etcd runs").kill();
    }

    /// The process, to send a signal to it.
    pub(crate) fn process(&self) -> &Running {
        self.child.as_ref().expect("etcd runs")
    }

    /// Waits until it has a leader and can read.
    pub(crate) fn wait_healthy(&self) {
        eventually(&format!("etcd is healthy:\n{}", self.log()), START, || self.healthy());
    }

    /// Does it have a leader, can it read, and is there no alarm?
    pub(crate) fn healthy(&self) -> bool {
        self.get_plain("/health").is_some_and(|answer| answer.contains(r#""health":"true""#))
    }

    /// The answer of its port for metrics.
    pub(crate) fn get_plain(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.root.ports.metrics)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Its address for clients.
    pub(crate) fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.root.ports.client)
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.root.path().join("etcd.log")
    }

    /// Does something with a client of this member; panics on its error.
    pub(crate) fn client<T>(&self, call: impl AsyncFnOnce(&mut Client) -> Result<T, Error>) -> T {
        self.try_client(self.root.certs().mutual(), call).unwrap()
    }

    /// The same with other certificates, and the error as it comes. Neither the way to the member nor a single call
    /// may take longer than ten seconds.
    pub(crate) fn try_client<T>(
        &self,
        tls: TlsOptions,
        call: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let limit = Duration::from_secs(10);
        let options = ConnectOptions::new().with_tls(tls).with_timeout(limit);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            // The client's own limits do not cover a server that accepts and then says nothing.
            let reached = tokio::time::timeout(limit, async {
                let mut client = Client::connect([self.endpoint()], Some(options)).await?;
                client.status().await?;
                Ok(client)
            });
            let silent = |_| Err(Error::IoError(std::io::ErrorKind::TimedOut.into()));
            let mut client = reached.await.unwrap_or_else(silent)?;
            call(&mut client).await
        })
    }

    /// Its member id.
    pub(crate) fn member_id(&self) -> u64 {
        self.client(async |c| c.status().await).header().unwrap().member_id()
    }

    /// The revision it has applied.
    pub(crate) fn revision(&self) -> i64 {
        self.client(async |c| c.status().await).header().unwrap().revision()
    }

    /// Raises the alarm that the database is corrupt.
    pub(crate) fn raise_corrupt(&self) {
        let mut options = AlarmOptions::new();
        options.with_member(self.member_id());
        self.client(async |c| c.alarm(AlarmAction::Activate, AlarmType::Corrupt, Some(options)).await);
    }
}
