// SPDX-License-Identifier: Apache-2.0
//! Joins another server again, with an empty database: what every other server of a cluster does after one was restored.
//! Everything that would make K3s fail there, or start a cluster of its own, is looked at before anything is touched.

use anyhow::{Result, anyhow};

use super::begin::{agreed, alone, record};
use super::check::{WAL, may_be_moved, nobody_else, room_for, unit_of};
use super::walk::{Aim, Walk, carry_out};
use super::{Machine, Request, told};
use crate::error::{Code, Fault};
use crate::host::JoinServer;
use crate::io::ReadAt;
use crate::model::report::Report;
use crate::model::restore::{EtcdBefore, Operation, PriorState, Stage};
use crate::model::restore_report::Restore;
use crate::model::runbook::node_of;
use crate::model::secret::Secret;
use crate::model::warning::WarningCode;
use crate::source::MemberStatus;

/// Joins, or says why not.
pub fn rejoin(req: &Request, machine: &Machine, report: &mut Report) -> Result<()> {
    alone(req, machine, report, join)
}

fn join(req: &Request, machine: &Machine, report: &mut Report) -> Result<()> {
    let (was, before) = check(req, machine, report)?;
    if !agreed(req, Operation::Rejoin, report)? {
        return Ok(());
    }
    anyhow::ensure!(!(machine.asked)(), "asked to stop; nothing was touched");
    let record = record(req, machine, Operation::Rejoin, was, before)?;
    carry_out(req, machine, record, report, |walk| {
        walk.halt()?;
        walk.keep()?;
        walk.step("move-database", "moving the database aside", Walk::set_aside)?;
        Ok(Aim::Voter)
    })
}

fn check(req: &Request, machine: &Machine, report: &mut Report) -> Result<(PriorState, EtcdBefore)> {
    let (unit, was) = unit_of(machine)?;
    let plan = Restore::of(Operation::Rejoin, &unit.name, machine.site.data_dir.display().to_string(), was);
    report.restore = Some(plan);
    let Some(door) = req.door else {
        return Err(Fault::new(
            Code::JoinServerNotConfigured,
            "K3s's configuration here names no server to join: it would start an empty cluster of its own",
        )
        .hint(
            "Write 'server: https://ADDRESS:6443' of the restored server into it. On the restored server itself there is \
             nothing to rejoin.",
        )
        .into());
    };
    told(report).server = Some(door.url().to_owned());
    let theirs = door.authority()?;
    match req.authority {
        Some(ours) if ours != theirs => {
            return Err(Fault::new(
                Code::JoinServerMismatch,
                format!(
                    "the server at {} has another certificate authority than the one that this server's token names",
                    door.url()
                ),
            )
            .hint("Check the address. If the cluster was set up anew, its token has to be written into K3s's configuration here.")
            .into());
        }
        Some(_) => {
            let (token, how) = lets_in(req, door)?;
            told(report).token = how;
            no_member_yet(req, door, token, machine, report)?;
        }
        None => {
            // K3s would believe it at first sight; a password is not sent to somebody like that.
            told(report).token = "not checked: nothing here tells the cluster's authority".to_owned();
            report.warn(
                WarningCode::JoinServerUnverified,
                "nothing on this server tells which certificate authority the other one has to have",
            );
        }
    }
    let look = machine.live.look().ok();
    let before = EtcdBefore {
        member: look.as_ref().map(|l| l.member_id),
        revision: look.as_ref().map(|l| l.revision),
    };
    told(report).live_revision = before.revision;
    nobody_else(req, machine, &unit)?;
    may_be_moved(machine)?;
    let live = machine.site.database()?.map_or(0, |d| d.size());
    room_for(machine, live.saturating_add(WAL))?;
    Ok((was, before))
}

/// The token that opens the door, and that it does.
fn lets_in<'a>(req: &Request<'a>, door: &dyn JoinServer) -> Result<(&'a Secret, String)> {
    let hint = "Write the token of the restored server into K3s's configuration here: server/token below its data-dir has it.";
    let Some(token) = req.token else {
        return Err(Fault::new(Code::TokenMissing, "no server token is known here").hint(hint).into());
    };
    if !door.lets_in(token)? {
        let what = format!("the server at {} does not accept this server's token", door.url());
        return Err(Fault::new(Code::TokenRejected, what).hint(hint).into());
    }
    Ok((token, "proven: the other server accepts it".to_owned()))
}

/// A cluster takes no second member of a node: K3s would end with `duplicate node name found`. And without the member that
/// it has, a cluster of two could not even be asked.
fn no_member_yet(
    req: &Request,
    door: &dyn JoinServer,
    token: &Secret,
    machine: &Machine,
    report: &mut Report,
) -> Result<()> {
    let members = match door.members(token) {
        Ok(members) => members,
        Err(e) => {
            report.warn(
                WarningCode::MembersUnknown,
                format!("whether this server is a member of that cluster already is not known: {e:#}"),
            );
            return Ok(());
        }
    };
    let Some(one) = members.iter().find(|m| node_of(m).eq_ignore_ascii_case(req.node)) else { return Ok(()) };
    let what = format!(
        "the cluster of {} has a member of this server already: '{}'",
        door.url(),
        one.escape_debug()
    );
    let own = machine.site.member_name();
    let hint = match own.as_ref() == Some(one) && machine.live.look().is_ok_and(|l| l.leader && !l.learner) {
        true => "It is joined and its etcd answers: there is nothing to do.".to_owned(),
        false => format!(
            "Start K3s if this is its database. Otherwise take the member out first: delete this server's node on the other \
             one ('kubectl delete node {}'), and wait until etcd's list of members has lost it.",
            req.node
        ),
    };
    Err(Fault::new(Code::AlreadyAMember, what).hint(hint).into())
}

impl Walk<'_> {
    fn set_aside(&mut self) -> Result<()> {
        let machine = self.machine;
        self.enter(Stage::Resetting)?;
        machine.site.wait_for_a_free_second(machine.clock, &|| std::thread::sleep(self.req.poll))?;
        machine.site.set_aside((machine.clock)(), false)?;
        told(self.report).old_database =
            machine.site.old_database(&self.record)?.map(|p| p.display().to_string());
        Ok(())
    }
}

/// `None` where this member votes in a cluster that is not it alone; an answer where it never will.
pub(super) fn joined(look: &MemberStatus) -> Result<Option<anyhow::Error>> {
    if look.learner {
        anyhow::bail!("the etcd here is still a learner");
    }
    if !look.leader {
        anyhow::bail!("the etcd here knows no leader");
    }
    if look.members.len() < 2 {
        return Ok(Some(anyhow!("the etcd here has started a cluster of its own")));
    }
    Ok(None)
}
