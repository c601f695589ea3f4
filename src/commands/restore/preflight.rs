// SPDX-License-Identifier: Apache-2.0
//! Everything that is checked before anything live is touched, and while K3s still runs.

use anyhow::Result;

use super::context::Context;
use crate::error::{Code, Fault};
use crate::host::{Active, Listener, Ready, Unit};
use crate::inspect::Content;
use crate::model::report::Report;
use crate::model::restore::{Operation, PriorState};
use crate::model::restore_report::{Restore, TokenCheck};
use crate::model::snapshot::ALARM_NOSPACE;
use crate::model::version::Version;
use crate::model::warning::WarningCode;
use crate::model::{bootstrap, token};
use crate::source::MemberStatus;

/// The log of a new etcd database: two files of 64 MB.
pub(super) const WAL_RESERVE: u64 = 128 << 20;
/// A process must be seen on a port of K3s this many times before it counts as foreign.
const LISTENER_SAMPLES: u32 = 10;

/// What a plan is made from.
pub(super) struct Facts {
    pub(super) unit: Unit,
    pub(super) previous_state: PriorState,
    /// Whether the API server was ready.
    pub(super) was_ready: bool,
    /// What the live etcd answers; `None` if it does not.
    pub(super) live: Option<MemberStatus>,
}

/// Reasons against the plan. A dry run shows all of them; a run ends with the first.
#[derive(Default)]
pub(super) struct Refusals(Vec<anyhow::Error>);

impl Refusals {
    /// Keeps the error of a check.
    pub(super) fn add(&mut self, checked: Result<()>) {
        self.0.extend(checked.err());
    }

    /// Ends with the first reason. In a dry run the report has all of them.
    ///
    /// # Errors
    /// The first reason.
    pub(super) fn check(self, cx: &Context, report: &mut Report) -> Result<()> {
        if cx.options.dry_run {
            report.restore_mut().refusals = self.0.iter().map(|e| format!("{e:#}")).collect();
        }
        match self.0.into_iter().next() {
            Some(first) => Err(first),
            None => Ok(()),
        }
    }
}

/// Looks at the unit and the live etcd, and begins the plan of the report.
///
/// # Errors
/// If systemd does not know the unit.
pub(super) fn gather(cx: &Context, operation: Operation, report: &mut Report) -> Result<Facts> {
    cx.machine.progress.step("checking the preconditions", None);
    let unit = cx.machine.unit.unit()?;
    if !unit.loaded {
        return Err(Fault::new(Code::UnitNotFound, format!("systemd does not know the unit {}", unit.name))
            .hint("Set the unit of K3s with --unit NAME.service.")
            .into());
    }
    let previous_state = previous_state(&unit);
    let data_dir = cx.machine.files.data_dir.display().to_string();
    let mut plan = Restore::new(operation, cx.machine.files.datastore, &unit.name, data_dir, previous_state);
    plan.k3s_version = Some(cx.machine.k3s.version()?);
    let live = match cx.machine.etcd.look() {
        Ok(live) => Some(live),
        Err(e) => {
            log::info!("the datastore does not answer: {e:#}");
            None
        }
    };
    plan.live_revision = live.as_ref().map(|l| l.revision);
    report.restore = Some(plan);
    if !unit.dependents.is_empty() {
        let names = unit.dependents.join(" ");
        report.warn(
            WarningCode::DependentUnits,
            format!(
                "units that need {} are stopped with it and are not started again: {names}. After the restore, run 'systemctl \
                 start {names}'",
                unit.name
            ),
        );
    }
    // Without a quorum the API server is about to fail, and will not be ready after a start.
    let has_quorum = live.as_ref().is_none_or(|live| live.has_leader());
    let was_ready =
        previous_state == PriorState::Running && has_quorum && matches!(cx.machine.k3s.ready(), Ready::Yes);
    Ok(Facts { unit, previous_state, was_ready, live })
}

fn previous_state(unit: &Unit) -> PriorState {
    match unit.active {
        Active::Active | Active::Reloading => PriorState::Running,
        // Between two starts by systemd itself.
        Active::Activating if unit.sub.starts_with("auto-restart") || unit.restarts > 0 => {
            PriorState::Failing
        }
        Active::Activating => PriorState::Running,
        Active::Failed => PriorState::Failing,
        Active::Deactivating | Active::Inactive | Active::Other => PriorState::Stopped,
    }
}

/// The token that K3s will use must open the bootstrap data: a restore with another one ruins the files of the server.
///
/// # Errors
/// If it does not open it, or names another certificate authority.
pub(super) fn check_token(cx: &Context, content: &Content) -> Result<TokenCheck> {
    let needs: Vec<&str> = content.bootstrap.iter().map(|b| b.hash.as_str()).collect();
    if needs.is_empty() {
        // As early K3s left it: the certificates on this disk are used.
        return Ok(TokenCheck::NotNeeded);
    }
    let refuse = |code, what: String| {
        Fault::new(code, what).hint(
            "Set --token-file to a file with the token that was in force when the snapshot was saved. If the configuration \
             of K3s has another token, change it there first.",
        )
    };
    let Some(secret) = cx.cluster.token else {
        return Err(refuse(
            Code::TokenMissing,
            "the snapshot needs a server token, and none is known here".into(),
        )
        .into());
    };
    let parsed = token::parse(secret)
        .map_err(|why| Fault::new(Code::TokenInvalid, format!("the server token cannot be used: {why}")))?;
    let hash = token::hash(secret.expose());
    let Some(sealed) = content.bootstrap.iter().find(|b| b.hash == hash) else {
        let what = format!(
            "the snapshot needs the server token with the hash {}, the token of this server has {hash}",
            needs.join(" or ")
        );
        return Err(refuse(Code::TokenMismatch, what).into());
    };
    let opened = bootstrap::open(&sealed.value, &parsed.password).map_err(|why| {
        Fault::new(
            Code::BootstrapDataUnreadable,
            format!("opening the bootstrap data of the snapshot: {why}"),
        )
        .hint("K3s could not start on it. Restore another snapshot.")
    })?;
    if parsed.ca_hash.as_ref().is_some_and(|own| opened.matches_ca(own) == Some(false)) {
        let what = "the server token names another certificate authority than the snapshot".to_owned();
        return Err(refuse(Code::TokenMismatch, what).into());
    }
    Ok(TokenCheck::Verified)
}

/// A database may be served by the K3s that wrote it, or by a later one.
///
/// # Errors
/// [`Code::K3sTooOld`].
pub(super) fn check_version(cx: &Context, content: &Content, report: &mut Report) -> Result<()> {
    let own = report.restore_mut().k3s_version.clone().unwrap_or_default();
    let newest = content
        .nodes
        .iter()
        .filter_map(|n| Version::parse(n.version.as_deref()?))
        .max_by_key(Version::minor_version);
    report.restore_mut().snapshot_version = newest.as_ref().map(ToString::to_string);
    // A cluster without agents has no nodes.
    let newest = newest.or_else(|| Version::oldest_with_storage(content.facts.storage_version.as_deref()?));
    let (Some(newest), Some(mine)) = (newest, Version::parse(&own)) else { return Ok(()) };
    match mine.ensure_reads(&newest) {
        Err(fault) if cx.options.force => report.warn(WarningCode::K3sTooOld, fault.to_string()),
        outcome => outcome?,
    }
    Ok(())
}

/// A database that is at its size limit raises the NOSPACE alarm at once. K3s disarms the alarm of the snapshot when it
/// starts; etcd raises it again if the database is still full.
///
/// # Errors
/// [`Code::DatabaseTooLarge`].
pub(super) fn check_quota(cx: &Context, size: u64, alarms: &[String], report: &mut Report) -> Result<()> {
    if alarms.iter().any(|alarm| alarm == ALARM_NOSPACE) {
        let message = "the snapshot was saved while etcd raised the NOSPACE alarm: its database was full";
        report.warn(WarningCode::AlarmRaised, message);
    }
    if size < cx.cluster.quota || cx.options.force {
        return Ok(());
    }
    Err(Fault::new(
        Code::DatabaseTooLarge,
        format!("the database has {size} bytes, the limit of etcd is {}", cx.cluster.quota),
    )
    .hint("Raise the limit in the configuration of K3s: etcd-arg: [\"quota-backend-bytes=...\"].")
    .into())
}

/// No process but K3s may use the ports of K3s, or have the database open: K3s could not start, or would lose data.
///
/// # Errors
/// [`Code::PortInUse`] or [`Code::DatabaseInUse`].
pub(super) fn check_exclusive(cx: &Context, unit: &Unit) -> Result<()> {
    if let Some(other) = find_foreign_listener(cx, unit)? {
        let who = match other.pid {
            Some(pid) => format!("'{}' (process {pid})", other.program.escape_debug()),
            None => "an unknown process".to_owned(),
        };
        return Err(Fault::new(
            Code::PortInUse,
            format!("port {} is in use by {who}, which does not belong to {}", other.port, unit.name),
        )
        .hint("Stop the process first, or set its unit with --unit NAME.service if it is K3s.")
        .into());
    }
    if unit.active.is_down() && cx.machine.files.is_database_open()? {
        let files = cx.machine.files;
        let path = files.database_path();
        let what =
            format!("{} is stopped, but a process has the database in '{}' open", unit.name, path.display());
        let hint =
            format!("Find the process with 'fuser -v {}' and stop it first.", files.open_file().display());
        return Err(Fault::new(Code::DatabaseInUse, what).hint(hint).into());
    }
    Ok(())
}

/// A process that is foreign in every sample. A K3s that ends and is started again and again leaves sockets without an
/// owner, and processes in a control group that did not exist a moment ago.
fn find_foreign_listener(cx: &Context, unit: &Unit) -> Result<Option<Listener>> {
    let sample = |group: &str| -> Result<Option<Listener>> {
        Ok(cx.machine.host.listeners(cx.cluster.ports)?.into_iter().find(|l| !l.is_in(group)))
    };
    let mut foreign = sample(&unit.control_group)?;
    for _ in 1..LISTENER_SAMPLES {
        if foreign.is_none() {
            break;
        }
        std::thread::sleep(cx.machine.timeouts.poll);
        foreign = sample(&cx.machine.unit.unit()?.control_group)?;
    }
    Ok(foreign)
}

/// Fails unless the disk has room.
///
/// # Errors
/// [`Code::NoSpace`].
pub(super) fn check_space(cx: &Context, bytes: u64) -> Result<()> {
    cx.machine.files.ensure_free_space(bytes).map_err(|e| {
        let mut hint = "Free some space, for example with 'k3s-snapshot restore --prune-old-databases 0', which deletes databases of earlier restores.".to_owned();
        if cx.options.safety_snapshot {
            hint.push_str(" With --no-safety-snapshot less is needed.");
        }
        let fault = Fault::about(&e, "not enough space for the new database").hint(hint);
        e.context(fault)
    })
}

/// Ends a dry run with the plan, or asks for the confirmation. True if the plan may be carried out.
///
/// # Errors
/// [`Code::NotConfirmed`].
pub(super) fn confirm(cx: &Context, operation: Operation, report: &mut Report) -> Result<bool> {
    if cx.options.dry_run {
        return Ok(false);
    }
    if !(cx.options.confirm)(report)? {
        let what = format!("canceled; nothing was {}", operation.past_participle());
        return Err(Fault::new(Code::NotConfirmed, what).into());
    }
    cx.machine.ensure_not_stopped()?;
    Ok(true)
}
