// SPDX-License-Identifier: Apache-2.0
//! Looks at everything that could stand in the way of a restore, while nothing is touched and K3s still runs. What it finds
//! is the plan.

use anyhow::Result;

use super::find::Proven;
use super::others::{Member, orders};
use super::{Machine, Request, told};
use crate::error::{Code, Fault};
use crate::host::{Active, Listener, Unit};
use crate::inspect::{self, Content};
use crate::io::ReadAt;
use crate::model::report::Report;
use crate::model::restore::{EtcdBefore, PriorState};
use crate::model::restore_report::Restore;
use crate::model::snapshot::State;
use crate::model::version::Version;
use crate::model::warning::WarningCode;
use crate::model::{bootstrap, token};

/// etcd's log of a new database: two files of 64 MB.
pub(super) const WAL: u64 = 128 << 20;

/// What the deeds need to know.
pub(super) struct Plan {
    pub(super) was: PriorState,
    pub(super) before: EtcdBefore,
    /// The id of the cluster that lives here, as far as it is known.
    pub(super) cluster: Option<String>,
    /// Whether what is live can be saved first.
    pub(super) answers: bool,
}

/// Fails with the first reason not to.
pub(super) fn check(
    req: &Request,
    machine: &Machine,
    found: &super::find::Found,
    proven: &Proven,
    report: &mut Report,
) -> Result<Plan> {
    let (unit, was) = unit_of(machine)?;
    let old = report.restore.take();
    let mut plan = Restore::new(&unit.name, machine.site.data_dir.display().to_string(), was);
    plan.age_s = old.map_or(0, |o| o.age_s);
    report.restore = Some(plan);
    told(report).token = fits(req, &proven.content)?;
    version(req, machine, &proven.content, report)?;
    let cluster = live_cluster(machine, found);
    same_cluster(req, proven, cluster.as_deref())?;
    let live = machine.live.look();
    let (answers, mut before) = (live.is_ok(), EtcdBefore { member: None, revision: None });
    let mut others: Vec<Member> = Vec::new();
    match live {
        Ok(look) => {
            before = EtcdBefore { member: Some(look.member_id), revision: Some(look.revision) };
            let members = look.members.into_iter().filter(|m| m.id != look.member_id);
            others.extend(members.map(|m| other(m.id, m.name, m.client_urls, m.peer_urls)));
        }
        Err(e) => {
            if was == PriorState::Running {
                report.warn(
                    WarningCode::SafetySnapshotSkipped,
                    format!("K3s runs, but its etcd does not answer: {e:#}"),
                );
            }
            others = others_on_disk(machine)?;
        }
    }
    told(report).live_revision = before.revision;
    told(report).lost_revisions = before.revision.map(|r| r - proven.subject.revision);
    told(report).others = others.iter().map(|(name, urls)| format!("{name} ({})", urls.join(", "))).collect();
    told(report).runbook = orders(req, machine, Some(&proven.content), &others);
    stopped(req, machine, &others, report)?;
    nobody_else(req, machine, &unit)?;
    may_be_moved(machine)?;
    room(req, machine, proven, answers)?;
    if !req.safety {
        told(report).step("pre-restore-save", "skipped", None);
    } else if !answers {
        told(report).step("pre-restore-save", "skipped", None);
        if machine.site.database()?.is_some() {
            report.warn(
                WarningCode::SafetySnapshotSkipped,
                "what is live cannot be saved first, as etcd does not answer; K3s keeps it as etcd-old-<time>",
            );
        }
    }
    Ok(Plan { was, before, cluster, answers })
}

/// K3s's unit, and how K3s was: what every look begins with.
pub(super) fn unit_of(machine: &Machine) -> Result<(Unit, PriorState)> {
    machine.progress.step("looking at what could stand in the way", None);
    let unit = machine.service.unit()?;
    if !unit.loaded {
        return Err(Fault::new(Code::UnitNotFound, format!("systemd does not know the unit {}", unit.name))
            .hint("Name K3s's unit with --unit.")
            .into());
    }
    let was = state_of(&unit);
    Ok((unit, was))
}

fn state_of(unit: &Unit) -> PriorState {
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

/// The token that K3s will go by must open what is in the snapshot: a restore with another one ruins the server's files.
pub(super) fn fits(req: &Request, content: &Content) -> Result<String> {
    let needs: Vec<&str> = content.bootstrap.iter().map(|b| b.hash.as_str()).collect();
    if needs.is_empty() {
        // As early K3s left it: the certificates on this disk are used.
        return Ok(
            "not needed: the snapshot holds no bootstrap data, and this server's own certificates are used"
                .to_owned(),
        );
    }
    let refuse = |what: String| {
        Fault::new(Code::TokenMismatch, what).hint(
            "Name the file with the token that was in force when the snapshot was saved: --token-file. If K3s's \
             configuration says another token, change it there first.",
        )
    };
    let Some(secret) = req.token else {
        return Err(refuse("no server token is known here, and the snapshot needs one".to_owned()).into());
    };
    let parsed = token::parse(secret)
        .map_err(|why| Fault::new(Code::TokenInvalid, format!("the server token cannot be used: {why}")))?;
    let hash = token::hash(secret.expose());
    let Some(sealed) = content.bootstrap.iter().find(|b| b.hash == hash) else {
        return Err(refuse(format!(
            "the snapshot needs another server token: that with the hash {}, this server's has {hash}",
            needs.join(" or ")
        ))
        .into());
    };
    let opened = bootstrap::open(&sealed.value, &parsed.password).map_err(|why| {
        Fault::new(
            Code::BootstrapDataUnreadable,
            format!("the snapshot's bootstrap data cannot be opened: {why}"),
        )
        .hint("K3s could not start on it. Restore another snapshot.")
    })?;
    if parsed.ca_hash.as_ref().is_some_and(|own| opened.matches_ca(own) == Some(false)) {
        return Err(refuse(
            "the server token names another certificate authority than the snapshot's".to_owned(),
        )
        .into());
    }
    if needs.len() > 1 {
        log::info!(
            "the snapshot holds bootstrap data for {} tokens; this server's is one of them",
            needs.len()
        );
    }
    Ok("proven: it opens the snapshot's bootstrap data".to_owned())
}

/// A database may be served by the K3s that wrote it, or a later one.
fn version(req: &Request, machine: &Machine, content: &Content, report: &mut Report) -> Result<()> {
    let own = machine.k3s.version()?;
    let newest = content
        .nodes
        .iter()
        .filter_map(|n| Version::parse(n.version.as_deref()?))
        .max_by_key(Version::minor_version);
    told(report).k3s_version = Some(own.clone());
    told(report).snapshot_version = newest.as_ref().map(ToString::to_string);
    let (Some(newest), Some(mine)) = (newest, Version::parse(&own)) else { return Ok(()) };
    if mine.minor_version() < newest.minor_version() {
        let what = format!("this K3s ({mine}) is older than the one that the snapshot is of ({newest})");
        if !req.force {
            return Err(Fault::new(Code::K3sTooOld, what)
                .hint("Install that version or a later one first. --force tries it all the same.")
                .into());
        }
        report.warn(WarningCode::K3sTooOld, what);
    }
    Ok(())
}

/// Whose data lives here, as far as proven snapshots of our own making tell.
fn live_cluster(machine: &Machine, found: &super::find::Found) -> Option<String> {
    let listing = machine.home.list().ok()?;
    listing
        .snapshots
        .into_iter()
        .filter(|s| s.state == State::Verified && !found.is(s))
        .filter_map(|s| {
            let m = s.manifest?;
            // Who only looked at a snapshot that came from elsewhere knows nothing of this cluster.
            Some((s.created_at, m.base.as_ref().and(m.cluster_id)?))
        })
        .max_by_key(|(at, _)| *at)
        .map(|(_, id)| id)
}

/// Whether it is the snapshot of the cluster with this id, where both are known.
pub(super) fn same_cluster(req: &Request, proven: &Proven, here: Option<&str>) -> Result<()> {
    let (Some(here), Some(its)) = (here, proven.content.facts.cluster_id.as_deref()) else { return Ok(()) };
    if here != its && !req.force {
        return Err(Fault::new(
            Code::OtherCluster,
            format!("the snapshot is of another cluster: its id is {its}, this one's {here}"),
        )
        .hint("If it is what you want all the same, say --force.")
        .into());
    }
    Ok(())
}

/// The other members that the database on the disk knows.
pub(super) fn others_on_disk(machine: &Machine) -> Result<Vec<Member>> {
    let Some(file) = machine.site.database()? else { return Ok(vec![]) };
    if machine.site.held()? {
        return Ok(vec![]);
    }
    // A database that cannot be read has no members to ask; that it is damaged may be the reason for the restore.
    let Ok(Ok((data, db_len))) = inspect::open_offline(file) else { return Ok(vec![]) };
    let Ok(proof) = inspect::verify(&data as &dyn ReadAt, db_len) else { return Ok(vec![]) };
    let own = machine.site.member_name();
    let members = proof.facts.members.into_iter().filter(|m| Some(&m.name) != own.as_ref());
    Ok(members.map(|m| other(m.id, m.name, m.client_urls, m.peer_urls)).collect())
}

/// What a member is called, and every address of it. Name and clients' addresses of one that joined later are not in the
/// database of each etcd; where its peers reach it always is.
pub(super) fn other(id: u64, name: String, mut urls: Vec<String>, peer_urls: Vec<String>) -> Member {
    urls.extend(peer_urls);
    (if name.is_empty() { format!("the member {id:x}") } else { name }, urls)
}

/// Members that still run would go on with their own data, as another cluster of the same name.
pub(super) fn stopped(
    req: &Request,
    machine: &Machine,
    others: &[Member],
    report: &mut Report,
) -> Result<()> {
    let urls: Vec<String> = others.iter().flat_map(|(_, urls)| urls.clone()).collect();
    if urls.is_empty() {
        return Ok(());
    }
    let answers: Vec<String> =
        machine.live.answers(&urls).into_iter().filter(|(_, yes)| *yes).map(|(url, _)| url).collect();
    if answers.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = others
        .iter()
        .filter(|(_, urls)| urls.iter().any(|u| answers.contains(u)))
        .map(|(name, urls)| format!("{} ({})", name.escape_debug(), urls.join(", ").escape_debug()))
        .collect();
    let what = format!("other servers of this cluster still run: {}", names.join(", "));
    if !req.others_stopped {
        return Err(Fault::new(Code::OtherServersRunning, what)
            .hint(format!(
                "Stop K3s on each of them first: 'systemctl stop {}'. They join again after the restore, with an empty \
                 database. --others-stopped overrides this.",
                machine.site.unit
            ))
            .into());
    }
    report.warn(WarningCode::OtherServersRunning, what);
    Ok(())
}

/// So often somebody has to be seen on one of K3s's ports before it is a stranger.
const LOOKS: u32 = 10;

/// Who is a stranger at every look. A K3s that ends and is started again and again shows sockets that nobody has any more,
/// and processes in a control group that was not there a moment ago.
fn stranger(req: &Request, machine: &Machine, unit: &Unit) -> Result<Option<Listener>> {
    let look = |group: &str| -> Result<Option<Listener>> {
        Ok((machine.listeners)(req.ports)?.into_iter().find(|l| !l.is_in(group)))
    };
    let mut other = look(&unit.control_group)?;
    for _ in 1..LOOKS {
        if other.is_none() {
            break;
        }
        std::thread::sleep(req.poll);
        other = look(&machine.service.unit()?.control_group)?;
    }
    Ok(other)
}

/// Nobody but the unit's own processes may have the ports or the database.
pub(super) fn nobody_else(req: &Request, machine: &Machine, unit: &Unit) -> Result<()> {
    if let Some(other) = stranger(req, machine, unit)? {
        let who = match other.pid {
            Some(pid) => format!("'{}' (process {pid})", other.program.escape_debug()),
            None => "an unknown process".to_owned(),
        };
        return Err(Fault::new(
            Code::PortInUse,
            format!("port {} is in use by {who}, which does not belong to {}", other.port, unit.name),
        )
        .hint("Stop it first. Name the right unit with --unit if K3s runs under another one.")
        .into());
    }
    if unit.active.is_down() && machine.site.held()? {
        return Err(Fault::new(
            Code::DatabaseInUse,
            format!(
                "{} is down, but some process has the database in '{}' open",
                unit.name,
                machine.site.etcd().display()
            ),
        )
        .hint("Stop it first; 'fuser -v' on member/snap/db in that folder names it.")
        .into());
    }
    Ok(())
}

/// The new database, the copy of it that K3s makes at each start, its log; and a snapshot of what is live.
fn room(req: &Request, machine: &Machine, proven: &Proven, answers: bool) -> Result<()> {
    let live = machine.site.database()?.map_or(0, |d| d.size());
    let safety = if req.safety && answers { live } else { 0 };
    room_for(machine, proven.subject.size.saturating_mul(2).saturating_add(WAL).saturating_add(safety))
}

/// A folder that is a mount point cannot be renamed.
pub(super) fn may_be_moved(machine: &Machine) -> Result<()> {
    if !machine.site.etcd_is_a_mount()? {
        return Ok(());
    }
    let etcd = machine.site.etcd();
    Err(Fault::new(
        Code::UnsupportedLayout,
        format!("'{}' is a file system of its own, which cannot be moved aside", etcd.display()),
    )
    .hint("Mount that disk one folder higher, on server/db, or make it a folder of the disk.")
    .into())
}

pub(super) fn room_for(machine: &Machine, bytes: u64) -> Result<()> {
    machine.site.room_for(bytes).map_err(|e| {
        Fault::new(Code::NoSpace, e.to_string())
            .hint("Free some space there; 'k3s-snapshot-restore --clean-old 0' deletes what earlier restores have left.")
            .into()
    })
}
