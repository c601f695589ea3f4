// SPDX-License-Identifier: Apache-2.0
//! Puts a restore together: the machine with its systemd, its K3s, its etcd and its files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::command::Command;
use super::context::Context;
use super::manual_restore;
use crate::cli::{self, Common};
use crate::commands::restore::{Bucket, Far, Machine, Request, Saved};
use crate::commands::{restore, save};
use crate::config::paths::in_root;
use crate::config::settings::{Secret, Settings};
use crate::config::value::parse_duration;
use crate::distribution;
use crate::error::{Code, Fault, kind_of};
use crate::host::k3s::{self, Program};
use crate::host::lock::Lock;
use crate::host::supervisor::SupervisorClient;
use crate::host::systemd::{self, Systemd};
use crate::host::{JoinServer, ServerFiles, datastore, ports, process};
use crate::model::command;
use crate::model::method::Method;
use crate::model::report::Report;
use crate::model::token;
use crate::model::warning::WarningCode;
use crate::output::{plan, prompt};
use crate::source::offline::OfflineCopy;
use crate::source::reflink::ReflinkSource;
use crate::source::{Comparison, EtcdProbe, MemberStatus, Sample, Source};
use crate::store::local::Local;

/// The base of what is saved before a restore.
pub(super) const SAFETY_BASE: &str = "pre-restore";
/// Where an administrator's units lie.
const UNITS: &str = "/etc/systemd/system";
/// Where peers of etcd meet.
const PEERS: u16 = 2380;
const CLIENTS: u16 = 2379;

/// The process that is to become K3s; `None` if this process is another one.
pub(super) fn exec_helper(_: &[std::ffi::OsString]) -> Option<ExitCode> {
    k3s::child()
}

impl Command for cli::Restore {
    const NAME: command::Command = command::Command::Restore;

    fn common(&self) -> &Common {
        &self.common
    }

    fn locks(&self) -> bool {
        true
    }

    fn distribution(&self) -> Option<&'static distribution::Distribution> {
        // An interrupted restore can only have been one of K3s, and must be recovered whatever is installed by now.
        (self.recover || self.recover_files_only).then_some(&distribution::K3S)
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        run(self, cx, report)
    }
}

fn run(args: &cli::Restore, run: &Context, report: &mut Report) -> Result<()> {
    let s = run.settings;
    manual_restore::refuse(s, args.snapshot.as_deref())?;
    if s.root != Path::new("/") {
        return Err(Fault::new(
            Code::RootUnsupported,
            "a restore works on the machine that runs, not below --root",
        )
        .hint("Start that machine, and restore there.")
        .into());
    }
    if !process::is_root() {
        return Err(Fault::new(Code::NotRoot, "a restore stops K3s and changes its files")
            .hint("Run it as root.")
            .into());
    }
    process::listen()?;
    // Beside the lock on the data-dir: where that is cannot always be told when a restore that was cut off is ended at boot.
    let _lock = Lock::acquire(&s.run_dir, &s.state_dir, s.retry_lock.unwrap_or_default(), run.progress)?;
    let mut site = ServerFiles {
        state: s.state_dir.join("restore"),
        data_dir: s.data_dir.clone(),
        units: in_root(&s.root, Path::new(UNITS)),
        unit: String::new(),
        kubeconfig: s.write_kubeconfig.clone(),
    };
    let cut_off = site.record()?;
    let service = match (&cut_off, &s.unit) {
        (Some(record), _) => Systemd::new(&record.unit),
        (None, Some(unit)) => Systemd::new(unit),
        (None, None) if args.recover_files_only => Systemd::new(run.distribution.unit),
        (None, None) => systemd::find(run.distribution, None)?,
    };
    site.unit = service.name().to_owned();
    if let Some(record) = cut_off {
        site.data_dir = record.data_dir;
    }
    let place = Place { cx: run };
    if args.prune_old_databases.is_none() && !args.recover && !args.recover_files_only {
        place.suits()?;
    }
    let token = place.token()?;
    let overrides: Vec<(&str, Secret)> = match &token {
        Some(token) if s.token_file_is_ours => vec![("token", token.clone())],
        _ => vec![],
    };
    let reset = s.flags.reset_invocation(&overrides);
    let program = Program {
        path: if args.recover_files_only { PathBuf::new() } else { place.executable()? },
        config: site.config_path(),
        environment: reset.environment,
        stall: duration(args.reset_timeout.as_deref(), "reset-timeout", 300)?,
        grows: site.data_dir.join(distribution::ETCD_DB),
        api: place.api(),
        tls: site.data_dir.join(distribution::TLS),
    };
    let home = run.local_store();
    let machine = Machine {
        site: &site,
        service: &service,
        k3s: &program,
        live: &place,
        home: &home,
        elsewhere: &|folder| Box::new(Local::new(folder, &s.state_dir, false)),
        save: &|report| place.save(false, report),
        save_at_rest: &|report| place.save(true, report),
        listeners: &ports::listeners,
        asked: &process::asked,
        clock: &|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        progress: run.progress,
    };
    if args.recover_files_only {
        return restore::recover(&machine, report);
    }
    let confirm = |report: &Report| confirm(args.yes, report);
    if let Some(keep) = args.prune_old_databases {
        return restore::clean(keep, args.dry_run, &machine, &confirm, report);
    }
    let open = || {
        let far = run.bucket()?;
        Ok(Far { ways: far.readers(), store: Box::new(far) })
    };
    let door =
        s.flags.last("server").filter(|(url, _)| !url.is_empty()).map(|(url, _)| SupervisorClient::new(url));
    let authority = place.authority(token.as_ref());
    let needed = [s.https_port, CLIENTS, PEERS];
    let request = Request {
        target: args.snapshot.as_deref(),
        before: args.before.as_deref().map(|text| moment(text, s)).transpose()?,
        bucket: s.s3.then_some(Bucket { open: &open, asked: process::asked }),
        dry_run: args.dry_run,
        force: args.force,
        safety: !args.no_safety_snapshot,
        others_stopped: args.assume_others_stopped,
        stop_timeout: Duration::from_secs(180),
        ready_timeout: duration(args.ready_timeout.as_deref(), "ready-timeout", 600)?,
        steady: Duration::from_secs(1),
        poll: Duration::from_millis(100),
        now: run.now,
        token: token.as_ref(),
        config: &reset.config,
        door: door.as_ref().map(|d| d as &dyn JoinServer),
        authority: authority.as_deref(),
        safety_base: SAFETY_BASE,
        node: &s.node_name,
        agent_unit: distribution::AGENT_UNIT,
        ports: &needed,
        confirm: &confirm,
    };
    let deed = match args {
        _ if args.recover => restore::conclude,
        _ if args.cluster_reset => restore::reset_only,
        _ if args.rejoin => restore::rejoin,
        _ => restore::run,
    };
    deed(&request, &machine, report)
}

fn duration(text: Option<&str>, option: &str, default: u64) -> Result<Duration> {
    let Some(text) = text else { return Ok(Duration::from_secs(default)) };
    parse_duration(text).ok_or_else(|| {
        Fault::new(
            Code::InvalidArgument,
            format!(
                "option '{option}' (value '{}') is not a duration like 30s, 10m or 1h",
                text.escape_debug()
            ),
        )
        .into()
    })
}

/// A moment as people write it, in the zone of the settings.
fn moment(text: &str, s: &Settings) -> Result<u64> {
    let seconds = text
        .parse::<i64>()
        .ok()
        .or_else(|| text.parse::<jiff::Timestamp>().ok().map(|t| t.as_second()))
        .or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            civil.to_zoned(s.timezone.clone()).ok().map(|z| z.timestamp().as_second())
        });
    seconds.and_then(|t| u64::try_from(t).ok()).ok_or_else(|| {
        Fault::new(
            Code::InvalidArgument,
            format!("option 'before' (value '{}') is not a time", text.escape_debug()),
        )
        .hint("Write it like '2026-11-22 08:00', 2026-11-22T08:00:00Z, or as seconds since the epoch.")
        .into()
    })
}

/// Whether the plan may be carried out, or the old databases deleted: somebody said so in advance, or does now.
fn confirm(yes: bool, report: &Report) -> Result<bool> {
    if yes && report.restore.is_none() {
        return Ok(true);
    }
    // Before the deeds, whoever said yes in advance: the journal tells what was known then.
    for line in plan::plan(report).lines() {
        log::info!("{line}");
    }
    if yes {
        return Ok(true);
    }
    let question = match report.restore.as_ref().map(|r| r.operation) {
        None => "Delete those?",
        Some("cluster-reset") => "Reset?",
        Some("rejoin") => "Rejoin?",
        Some(_) => "Restore?",
    };
    prompt::confirm(question).context("asking for a confirmation")?.ok_or_else(|| {
        Fault::new(Code::NotATerminal, "nobody is at a terminal to be asked; nothing was done")
            .hint("Look at the plan with --dry-run, then say --yes.")
            .into()
    })
}

/// This machine, as the settings describe it.
struct Place<'a> {
    cx: &'a Context<'a>,
}

impl Place<'_> {
    /// Whether a restore makes sense here at all.
    fn suits(&self) -> Result<()> {
        let s = self.cx.settings;
        if s.flags.command() == Some("agent") {
            return Err(Fault::new(Code::IsAgent, "this machine runs a K3s agent, which has no datastore")
                .hint("Restore on a server.")
                .into());
        }
        if s.disable_etcd {
            return Err(Fault::new(Code::EtcdDisabled, "K3s runs no etcd on this server (disable-etcd)")
                .hint("Restore on a server with etcd.")
                .into());
        }
        s.require_agreement_for_restore()?;
        datastore::may_be_etcd(&s.data_dir, s.datastore_scheme.as_deref())?;
        let resets = s.flags.persistent_reset_flags();
        if !resets.is_empty() {
            return Err(Fault::new(
                Code::ClusterResetConfigured,
                format!("K3s is told to reset its cluster at every start: {}", resets.join(", ")),
            )
            .hint("Remove that first: K3s would restore for ever, or refuse to start.")
            .into());
        }
        Ok(())
    }

    /// Where to ask whether the API server is ready. A server with etcd alone has none: there, systemd's word counts.
    fn api(&self) -> Vec<SocketAddr> {
        let s = self.cx.settings;
        let said = |flag: &str| s.flags.last(flag).map(|(value, _)| value);
        if said("disable-apiserver").is_some_and(|v| !matches!(v, "false" | "0" | "f" | "F")) {
            return vec![];
        }
        let everywhere = || [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)].to_vec();
        let hosts = match said("bind-address").map(str::parse::<IpAddr>) {
            Some(Ok(one)) if !one.is_unspecified() => vec![one],
            _ => everywhere(),
        };
        hosts.into_iter().map(|host| (host, s.https_port).into()).collect()
    }

    fn executable(&self) -> Result<PathBuf> {
        self.cx.settings.flags.executable().map(Path::to_owned).ok_or_else(|| {
            Fault::new(
                Code::K3sNotFound,
                format!("it is not known where the program of {} is", self.cx.distribution.name),
            )
            .hint("Name the unit that runs it with --unit.")
            .into()
        })
    }

    /// The token that K3s goes by: ours if one is named, else as K3s itself finds it.
    fn token(&self) -> Result<Option<Secret>> {
        let s = self.cx.settings;
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).with_context(|| {
                Fault::new(Code::TokenFileUnreadable, format!("reading the token file '{}'", path.display()))
            })?;
            Ok::<Secret, anyhow::Error>(Secret::new(text.trim()))
        };
        let named = if s.token_file_is_ours { Some(read(&s.token_file)?) } else { None };
        if let (Some(named), Some(configured)) = (&named, &s.token)
            && token::hash(named.expose()) != token::hash(configured.expose())
        {
            return Err(Fault::new(
                Code::TokenConflict,
                "K3s's configuration says another token than --token-file: it would not start after the restore",
            )
            .hint("Write the token that the snapshot needs into K3s's configuration first.")
            .into());
        }
        match (named, &s.token) {
            (Some(named), _) => Ok(Some(named)),
            (None, Some(configured)) => Ok(Some(configured.clone())),
            (None, None) if s.token_file_is_named || s.token_file.exists() => read(&s.token_file).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The authority of the cluster that this server is of: as the token in force names it, else the one that K3s keeps.
    fn authority(&self, token: Option<&Secret>) -> Option<String> {
        let of = |token: &Secret| token::parse(token).ok().and_then(|t| t.ca_hash);
        token.and_then(of).or_else(|| {
            let kept = std::fs::read_to_string(self.cx.settings.data_dir.join(distribution::TOKEN)).ok()?;
            of(&Secret::new(kept.trim()))
        })
    }

    /// Saves what is live, or lies at rest, under a name of its own.
    fn save(&self, at_rest: bool, report: &mut Report) -> Result<Saved> {
        let s = self.cx.settings;
        let (clone, stream) = self.cx.sources()?;
        let (cold_clone, cold) =
            (ReflinkSource { only: true, ..clone.clone() }, OfflineCopy { db: clone.db.clone() });
        let sources: &[&dyn Source] = match s.method {
            _ if at_rest => &[&cold_clone, &cold],
            Method::Auto => &[&clone, &stream],
            Method::Clone => &[&clone],
            Method::Stream => &[&stream],
        };
        let (_, node) = s.new_name()?;
        let request = save::Request {
            base: SAFETY_BASE,
            node,
            now: self.cx.now,
            compress: false,
            bases_of_k3s: &[],
            restored_to: None,
            token: None,
            bucket: None,
        };
        let mut saved = Report::new(command::Command::Save, self.cx.now);
        save::run(&request, sources, &self.cx.local_store(), self.cx.progress, &mut saved)?;
        report.warnings.append(&mut saved.warnings);
        // Kept, but behind or under an alarm: better than nothing, and all there is.
        if let Some(error) = saved.error {
            report.warn(
                WarningCode::SafetySnapshotDegraded,
                format!("what is live was saved, but: {}", error.message),
            );
        }
        let row = saved.snapshots.into_iter().next().context("saving gave no snapshot")?;
        Ok(Saved { name: row.name, cluster: row.cluster_id })
    }
}

/// The etcd of this machine, looked up anew each time: a restore changes what is known of it.
impl EtcdProbe for Place<'_> {
    fn look(&self) -> Result<MemberStatus> {
        self.cx.etcd()?.look()
    }

    fn answers(&self, urls: &[String]) -> Vec<(String, bool)> {
        match self.cx.etcd() {
            Ok(etcd) => etcd.answers(urls),
            Err(e) => {
                log::warn!("asking other members: {e:#} ({})", kind_of(&e).as_str());
                urls.iter().map(|u| (u.clone(), false)).collect()
            }
        }
    }

    fn holds(&self, revision: i64, live: u64, sample: &[Sample]) -> Result<Comparison> {
        self.cx.etcd()?.holds(revision, live, sample)
    }
}
