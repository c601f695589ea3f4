// SPDX-License-Identifier: Apache-2.0
//! K3s's own program: asked for its version, and run aside for a cluster reset and for a rehearsal.
//!
//! Nothing secret is on its command line: its settings are in a file that only root can read.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::aside::{self, AsideSpec, HostNetwork, LogTail, RunningAside};
use super::interfaces::{K3s, ResetOutcome};
use super::progress::Progress;
use super::readyz::{self, Ready};
use super::server_files::{RESET_LOG, Scratch};
use super::{signals, systemd};
use crate::error::{Code, Fault};
use crate::model::secret::Secret;

const POLL: Duration = Duration::from_millis(100);
/// For `k3s --version`, which unpacks K3s's programs at its first run.
const VERSION_LIMIT: Duration = Duration::from_secs(30);
const READYZ_LIMIT: Duration = Duration::from_secs(3);
/// The PATH that systemd gives its services.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Directories that are private to a run aside.
pub(crate) const PRIVATE: [&str; 3] = ["/tmp", "/var/tmp", "/var/log"];
/// In the state directory, next to that of the reset.
const REHEARSAL_LOG: &str = "k3s-rehearsal.log";

/// How K3s is run aside: its configuration and its environment. All of it may be secret.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// The text of the configuration file.
    pub config: Option<Secret>,
    /// The whole environment, without the name of that file.
    pub environment: Vec<(String, Secret)>,
}

/// K3s as it is installed on this machine.
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// This program's own file, which becomes the helper process.
    pub helper: PathBuf,
    /// For the cluster reset.
    pub reset: Invocation,
    /// For the rehearsal.
    pub rehearsal: Invocation,
    /// The reset is ended if it makes no progress for this long.
    pub stall: Duration,
    /// Addresses of the API server; empty if this server runs none.
    pub api: Vec<SocketAddr>,
    /// The directory of K3s's certificates.
    pub tls: PathBuf,
    /// The directory for the output of K3s.
    pub logs: PathBuf,
}

/// The first line that `k3s --version` prints.
///
/// # Errors
/// [`Code::K3sNotFound`] if there is no such program; if it does not answer.
pub(crate) fn program_version(path: &Path) -> Result<String> {
    let context = || format!("asking '{}' for its version", path.display());
    let mut child = Command::new(path)
        .arg("--version")
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Fault::new(Code::K3sNotFound, format!("{}: there is no such file", context()))
                    .hint("Install K3s first, or name its program with --k3s-binary PATH.")
                    .into()
            }
            _ => anyhow::Error::from(e).context(context()),
        })?;
    let started = Instant::now();
    while child.try_wait().with_context(context)?.is_none() {
        if started.elapsed() > VERSION_LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(anyhow!("{}: no answer within {} s", context(), VERSION_LIMIT.as_secs()));
        }
        std::thread::sleep(POLL);
    }
    let out = child.wait_with_output().with_context(context)?;
    anyhow::ensure!(out.status.success(), "{}: {}", context(), out.status);
    Ok(String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned())
}

impl K3s for Program {
    fn version(&self) -> Result<String> {
        program_version(&self.path)
    }

    fn reset_aside(
        &self,
        scratch: &Scratch,
        from_snapshot: bool,
        progress: &dyn Progress,
    ) -> Result<ResetOutcome> {
        let mut args = vec!["server".to_owned(), "--cluster-reset".to_owned()];
        if from_snapshot {
            scratch.expose_snapshot()?;
            args.push(format!("--cluster-reset-restore-path={}", scratch.snapshot_aside().display()));
        }
        let mut running = self.start(scratch, false, args, RESET_LOG)?;
        let database = scratch.new_database_dir().join(crate::distribution::ETCD_DB_FILE);
        let mut stall = Stall::new(self.stall);
        let exit = running.wait(&mut |tail| {
            progress.advance(0);
            if signals::stop_requested() {
                return Err(Fault::new(Code::Stopped, "asked to stop during the reset of K3s").into());
            }
            stall.check(tail, &database)
        })?;
        let tail = running.tail();
        Ok(ResetOutcome {
            success: exit.success,
            how: exit.how,
            reason: tail.reason(),
            confirmed: tail.confirmed(),
        })
    }

    fn rehearse(&self, scratch: &Scratch, limit: Duration, progress: &dyn Progress) -> Result<bool> {
        if self.api.is_empty() {
            return Ok(false);
        }
        let mut running = self.start(scratch, true, vec!["server".to_owned()], REHEARSAL_LOG)?;
        let (started, tls) = (Instant::now(), scratch.tls(true));
        loop {
            progress.advance(0);
            if signals::stop_requested() {
                return Err(Fault::new(Code::Stopped, "asked to stop during the rehearsal").into());
            }
            if let Some(exit) = running.exit()? {
                return Err(anyhow!("K3s ended with {}: {}", exit.how, running.tail().reason()));
            }
            let ready = running.in_network(|| ask_all(&self.api, &tls))?;
            match ready.unwrap_or_else(|| Ready::NoAnswer("it has not started yet".to_owned())) {
                Ready::Yes => return Ok(true),
                _ if started.elapsed() < limit => std::thread::sleep(POLL),
                other => {
                    return Err(anyhow!(
                        "its API server is not ready within {} s: {}; the last message is: {}",
                        limit.as_secs(),
                        other.describe(),
                        running.tail().reason()
                    ));
                }
            }
        }
    }

    fn ready(&self) -> Ready {
        ask_all(&self.api, &self.tls)
    }
}

impl Program {
    fn start(
        &self,
        scratch: &Scratch,
        rehearsal: bool,
        args: Vec<String>,
        log: &str,
    ) -> Result<RunningAside> {
        let invocation = if rehearsal { &self.rehearsal } else { &self.reset };
        let config = invocation.config.as_ref().context("K3s has no configuration for a run aside")?;
        scratch.write_config(config, rehearsal)?;
        let mut environment: Vec<(String, String)> = invocation
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect();
        environment.push(("K3S_CONFIG_FILE".to_owned(), scratch.config_aside().display().to_string()));
        let spec = AsideSpec {
            program: self.path.clone(),
            args,
            environment,
            binds: scratch.binds(rehearsal),
            tmpfs: PRIVATE.map(PathBuf::from).to_vec(),
            network: HostNetwork::read()?,
        };
        let (path, file) = Scratch::log_file(&self.logs, log)?;
        log::debug!("the output of K3s is in '{}'", path.display());
        aside::start(&self.helper, &spec, Some(file), &|pid| {
            // A control group of its own keeps its memory apart from that of this process; without one it works as well.
            if let Err(e) = systemd::move_to_scope(pid) {
                log::debug!("{e:#}");
            }
            Ok(())
        })
    }
}

/// The version that an API server at one of these addresses tells; `None` if there is no answer.
pub(crate) fn version_of_server(api: &[SocketAddr], tls: &Path) -> Option<String> {
    let [cert, key, ca] = admin_files(tls);
    api.iter().find_map(|at| {
        let answer = readyz::version(*at, &cert, &key, &ca, READYZ_LIMIT);
        answer.inspect_err(|e| log::debug!("the version of K3s is not known: {e:#}")).ok()
    })
}

/// The files with which the administrator of K3s asks its API server: certificate, key and CA.
fn admin_files(tls: &Path) -> [PathBuf; 3] {
    ["client-admin.crt", "client-admin.key", "server-ca.crt"].map(|name| tls.join(name))
}

/// Whether an API server at one of these addresses is ready; yes if there is none to ask.
fn ask_all(api: &[SocketAddr], tls: &Path) -> Ready {
    let [cert, key, ca] = admin_files(tls);
    let mut last = Ready::Yes;
    for at in api {
        last = readyz::readyz(*at, &cert, &key, &ca, READYZ_LIMIT)
            .unwrap_or_else(|e| Ready::NoAnswer(format!("{e:#}")));
        if !matches!(last, Ready::NoAnswer(_)) {
            break;
        }
    }
    last
}

/// Ends a reset that makes no progress: no line of a new kind, and no growth of the database.
struct Stall {
    limit: Duration,
    size: u64,
    grown: Instant,
}

impl Stall {
    fn new(limit: Duration) -> Stall {
        Stall { limit, size: 0, grown: Instant::now() }
    }

    fn check(&mut self, tail: &LogTail, database: &Path) -> Result<()> {
        let size = std::fs::metadata(database).map_or(0, |m| m.len());
        if size != self.size {
            (self.size, self.grown) = (size, Instant::now());
        }
        if self.grown.max(tail.moved()).elapsed() <= self.limit {
            return Ok(());
        }
        Err(Fault::new(
            Code::K3sResetStalled,
            format!(
                "the reset of K3s made no progress for {} s; its last message is: {}",
                self.limit.as_secs(),
                tail.reason()
            ),
        )
        .hint("Give it more time with --reset-timeout.")
        .into())
    }
}
