// SPDX-License-Identifier: Apache-2.0
//! Makes the cluster one of this server alone, with the data that it has: the cure for a quorum that is lost for good.
//!
//! K3s rewrites the database where it lies. So it is moved aside first and K3s works on a copy: the way back is that of a
//! restore, and finds the database by its inode.

use anyhow::{Context, Result};

use super::begin::{agreed, alone, record, save_live};
use super::check::{WAL, fits, may_be_moved, nobody_else, other, others_on_disk, room_for, stopped, unit_of};
use super::others::{Member, orders};
use super::walk::{Aim, Walk, at_rest, carry_out};
use super::{Machine, Request, told};
use crate::error::{Code, Fault};
use crate::inspect::Content;
use crate::io::ReadAt;
use crate::model::report::Report;
use crate::model::restore::{EtcdBefore, Operation, PriorState};
use crate::model::restore_report::Restore;

/// What the deeds need to know.
struct Plan {
    was: PriorState,
    before: EtcdBefore,
    others: Vec<Member>,
    answers: bool,
}

/// Resets, or says why not.
pub fn reset_only(req: &Request, machine: &Machine, report: &mut Report) -> Result<()> {
    alone(req, machine, report, reset)
}

fn reset(req: &Request, machine: &Machine, report: &mut Report) -> Result<()> {
    let plan = check(req, machine, report)?;
    if !agreed(req, Operation::ClusterReset, report)? {
        return Ok(());
    }
    if req.safety && plan.answers {
        save_live(machine, report, |e| {
            let hint = "Nothing was touched. --no-safety-snapshot resets without it.";
            let fault = Fault::about(&e, "not reset").hint(hint);
            e.context(fault)
        })?;
    }
    anyhow::ensure!(!(machine.asked)(), "asked to stop; nothing was touched");
    let record = record(req, machine, Operation::ClusterReset, plan.was, plan.before)?;
    carry_out(req, machine, record, report, |walk| {
        walk.halt()?;
        let content = walk.look_at_rest(&plan.others)?;
        if req.safety && !plan.answers {
            walk.step("pre-restore-save", "saving the database at rest", |w| {
                let saved = (w.machine.save_at_rest)(w.report).context("saving the database at rest")?;
                told(w.report).safety_snapshot = Some(saved.name);
                Ok(())
            })?;
        }
        walk.keep()?;
        walk.theirs("reset", "K3s makes the database one of this server alone", Walk::reset)?;
        walk.check(&content)?;
        Ok(Aim::Holds(Box::new(content)))
    })
}

impl Walk<'_> {
    /// The database that is at rest now: whole, and to be opened with this server's token.
    fn look_at_rest(&mut self, others: &[Member]) -> Result<Content> {
        let file = self.machine.site.database()?.context("the database is gone")?;
        let content = at_rest(file, None).context("reading the database; restore a snapshot instead")?;
        told(self.report).token = fits(self.req, &content)?;
        self.record.snapshot.revision = content.facts.revision;
        // While etcd had the file and answered nobody, its other members were not known.
        let found = others_on_disk(self.machine)?;
        let others = if others.is_empty() { &found } else { others };
        stopped(self.req, self.machine, others, self.report)?;
        told(self.report).runbook = orders(self.req, self.machine, Some(&content), others);
        Ok(content)
    }
}

fn check(req: &Request, machine: &Machine, report: &mut Report) -> Result<Plan> {
    let (unit, was) = unit_of(machine)?;
    let data_dir = machine.site.data_dir.display().to_string();
    report.restore = Some(Restore::of(Operation::ClusterReset, &unit.name, data_dir, was));
    let Some(file) = machine.site.database()? else {
        return Err(Fault::new(
            Code::DatabaseNotFound,
            format!("there is no database in '{}' that could be kept", machine.site.etcd().display()),
        )
        .hint("Restore a snapshot instead.")
        .into());
    };
    let size = file.size();
    told(report).k3s_version = Some(machine.k3s.version()?);
    let look = machine.live.look();
    let answers = look.is_ok();
    let (before, others) = match look {
        Ok(look) => {
            let others: Vec<Member> = look
                .members
                .into_iter()
                .filter(|m| m.id != look.member_id)
                .map(|m| other(m.id, m.name, m.client_urls, m.peer_urls))
                .collect();
            if look.leader && others.is_empty() && !req.force {
                return Err(Fault::new(
                    Code::NothingToReset,
                    "the etcd here has a leader and no other members: there is nothing to reset",
                )
                .hint("Look at K3s's log for what else is wrong. --force resets all the same.")
                .into());
            }
            (EtcdBefore { member: Some(look.member_id), revision: Some(look.revision) }, others)
        }
        Err(e) => {
            log::info!("etcd does not answer: {e:#}");
            (EtcdBefore { member: None, revision: None }, others_on_disk(machine)?)
        }
    };
    told(report).live_revision = before.revision;
    told(report).others = others.iter().map(|(name, urls)| format!("{name} ({})", urls.join(", "))).collect();
    // While etcd has the file, it cannot be read as a whole; that is done once it is at rest.
    let content = match machine.site.held()? {
        true => None,
        false => Some(at_rest(file, None).map_err(|e| {
            e.context(
                Fault::new(Code::DatabaseCorrupt, "the database here must not be kept")
                    .hint("Restore a snapshot instead."),
            )
        })?),
    };
    told(report).token = match &content {
        Some(content) => fits(req, content)?,
        None => "not checked yet: the database is in use".to_owned(),
    };
    told(report).runbook = orders(req, machine, content.as_ref(), &others);
    stopped(req, machine, &others, report)?;
    nobody_else(req, machine, &unit)?;
    may_be_moved(machine)?;
    // The copy that K3s works on, the one that it makes at each start, a log; and the safety snapshot.
    let copies: u64 = if req.safety { 3 } else { 2 };
    room_for(machine, size.saturating_mul(copies).saturating_add(WAL.saturating_mul(2)))?;
    if !req.safety {
        told(report).step("pre-restore-save", "skipped", None);
    }
    Ok(Plan { was, before, others, answers })
}
