// SPDX-License-Identifier: Apache-2.0
//! status: looks at everything that an administrator asks first. Changes nothing, and ends with the reasons to act.
//!
//! Each look has three outcomes. What could not be seen is reported, and is never taken for good.

use anyhow::{Result, anyhow};

use crate::error::{Code, Fault};
use crate::model::report::Report;
use crate::model::restore::Stage;
use crate::model::retention::of_own_cluster;
use crate::model::snapshot::Snapshot;
use crate::model::status::{
    EtcdStatus, Job, KitStatus, Limits, LocationStatus, MemberFact, Newest, SqliteStatus, Status, Unknown,
    of_uploads, reasons,
};
use crate::source::{LiveMember, MemberStatus};
use crate::store::{RemoteStore, Store};

/// A look at one fact of the machine.
pub type Look<'a, T> = &'a dyn Fn() -> Result<T>;

/// What is looked at, and how.
pub struct Request<'a> {
    /// What is allowed.
    pub limits: Limits,
    /// The snapshot directory, if this machine has one.
    pub local: Option<&'a dyn Store>,
    /// The bucket, if one is used.
    pub remote: Option<Look<'a, Box<dyn RemoteStore>>>,
    /// The rules of the retention policies of both.
    pub keeps: [Vec<String>; 2],
    /// The cluster of this server: snapshots of others do not count.
    pub cluster: Option<&'a str>,
    /// The live datastore.
    pub datastore: Live<'a>,
    /// The size limit of its database.
    pub quota: u64,
    /// The jobs of the timers.
    pub jobs: Look<'a, Vec<Job>>,
    /// The stage of an interrupted restore.
    pub restore: Look<'a, Option<Stage>>,
    /// The recovery kit; `None` if no recipients are configured.
    pub kit: Look<'a, Option<KitStatus>>,
    /// Free bytes for snapshots; `None` if the file system does not report them.
    pub free_bytes: Look<'a, Option<u64>>,
    /// The schedule of K3s for its own snapshots.
    pub k3s_schedule: Option<String>,
}

/// How the live datastore is looked at.
pub enum Live<'a> {
    /// It is, or should be, etcd.
    Etcd(Look<'a, MemberStatus>),
    /// It is SQLite.
    Sqlite(Look<'a, SqliteStatus>),
}

/// Gathers the facts.
///
/// # Errors
/// [`Code::StatusReasons`] if there is a reason to act.
pub fn run(req: &Request, report: &mut Report) -> Result<()> {
    let mut status = Status { k3s_schedule: req.k3s_schedule.clone(), ..Status::default() };
    let local = list_local(req, &mut status);
    look_at_uploads(req, &local, &mut status);
    look_at_datastore(req, &mut status);
    status.free_bytes = status.see("space", (req.free_bytes)()).flatten();
    status.jobs = status.see("jobs", (req.jobs)()).unwrap_or_default();
    status.kit = status.see("kit", (req.kit)()).flatten();
    let stage = status.see("restore", (req.restore)()).flatten();
    status.set_restore(stage);
    finish(status, req.limits, report)
}

fn look_at_datastore(req: &Request, status: &mut Status) {
    match req.datastore {
        Live::Etcd(look) => {
            status.etcd = status.see("etcd", look()).map(|member| EtcdStatus {
                revision: member.revision,
                db_bytes: u64::try_from(member.db_size).unwrap_or_default(),
                quota_bytes: req.quota,
                has_leader: member.has_leader(),
                members: members(&member),
                alarms: member.alarms,
            });
        }
        Live::Sqlite(look) => status.sqlite = status.see("sqlite", look()),
    }
    let of_etcd = status.etcd.as_ref().map(|etcd| etcd.revision);
    let Some(live) = of_etcd.or(status.sqlite.map(|sqlite| sqlite.revision)) else { return };
    for location in [&mut status.local, &mut status.s3].into_iter().flatten() {
        location.newest.iter_mut().for_each(|newest| newest.compare(live));
    }
}

fn members(member: &MemberStatus) -> Vec<MemberFact> {
    let fact = |one: &LiveMember| MemberFact {
        name: one.name.clone(),
        here: one.id == member.member_id,
        leader: one.id == member.leader_id,
        learner: one.learner,
    };
    member.members.iter().map(fact).collect()
}

/// The status of a machine whose settings may not be read: all that needs no settings.
///
/// # Errors
/// As [`run`].
pub fn run_without_settings(
    why: &anyhow::Error,
    jobs: Look<Vec<Job>>,
    limits: Limits,
    report: &mut Report,
) -> Result<()> {
    let unknown = Unknown { fact: "settings", reason: format!("{why:#}") };
    let mut status = Status { unknown: vec![unknown], ..Status::default() };
    status.jobs = status.see("jobs", jobs()).unwrap_or_default();
    finish(status, limits, report)
}

fn list_local(req: &Request, status: &mut Status) -> Vec<Snapshot> {
    let Some(store) = req.local else { return Vec::new() };
    let Some(listing) = status.see("snapshots", store.list()) else { return Vec::new() };
    if !listing.complete {
        status.cannot_see("snapshots", &anyhow!("not everything in the snapshot directory could be listed"));
    }
    if !listing.manifests_readable {
        status.cannot_see("manifests", &anyhow!("the manifests of the snapshots cannot be read"));
    }
    let found =
        LocationStatus::from_listing(&of_own_cluster(&listing.snapshots, req.cluster), req.limits.now);
    let [keeps, _] = &req.keeps;
    status.local = Some(LocationStatus { keeps: keeps.clone(), ..found });
    listing.snapshots
}

/// The bucket as it is; if it is not listed, what this server has recorded of its uploads.
fn look_at_uploads(req: &Request, local: &[Snapshot], status: &mut Status) {
    let [_, keeps] = &req.keeps;
    let (pending, _) = of_uploads(local, req.limits.now);
    let (_, recorded) = of_uploads(&of_own_cluster(local, req.cluster), req.limits.now);
    let is_known = status.local.is_some() && !status.is_unknown("manifests");
    status.pending_uploads = is_known.then_some(pending);
    let listed = req.remote.map(|open| open().and_then(|remote| remote.list()));
    let listing = listed.and_then(|listing| status.see("s3", listing));
    status.s3 = match listing {
        Some(listing) => {
            if !listing.complete || !listing.manifests_readable {
                status.cannot_see("s3", &anyhow!("not everything in the bucket could be listed"));
            }
            let found = LocationStatus::from_listing(
                &of_own_cluster(&listing.snapshots, req.cluster),
                req.limits.now,
            );
            Some(LocationStatus { keeps: keeps.clone(), newest: with_revision(found.newest, local), ..found })
        }
        None if recorded.is_some() || req.remote.is_some() => {
            Some(LocationStatus { newest: recorded, counts: None, keeps: keeps.clone() })
        }
        None => None,
    };
}

/// A listing of the bucket shows no revision; the snapshot of the same name here has it.
fn with_revision(newest: Option<Newest>, local: &[Snapshot]) -> Option<Newest> {
    let mut newest = newest?;
    let same = local.iter().find(|s| s.file == newest.name && s.size == newest.size);
    newest.revision = newest.revision.or(same.and_then(|s| s.manifest.as_ref()).map(|m| m.revision));
    Some(newest)
}

fn finish(mut status: Status, limits: Limits, report: &mut Report) -> Result<()> {
    status.reasons = reasons(&status, limits);
    let first = status.reasons.first().map(|reason| reason.message.clone());
    let more = status.reasons.len().saturating_sub(1);
    report.status = Some(status);
    let Some(first) = first else { return Ok(()) };
    let text = if more == 0 { first } else { format!("{first}; and {more} more reasons to act") };
    Err(Fault::new(Code::StatusReasons, text)
        .hint("Look up each reason under REASONS in k3s-snapshot-status(8).")
        .into())
}
