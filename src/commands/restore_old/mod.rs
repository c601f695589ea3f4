// SPDX-License-Identifier: Apache-2.0
//! restore: everything is looked at while K3s still runs, then done in an order in which each step can be undone, and
//! undone if a later one fails. What a killed run leaves is on the disk, and finished by `resume`.
//!
//! `find` pins the snapshot, which `bucket` fetches where it is not here, and proves it; `check` looks at everything that could stand in the way; `walk` does the deeds;
//! `undo` takes them back; `resume` ends what was cut off. `reset_only` and `rejoin` go the same way without a snapshot; `begin`
//! is what all three begin with.

mod begin;
mod bucket;
mod check;
mod clean;
mod find;
mod others;
mod ready;
mod rejoin;
mod reset_only;
mod resume;
mod tests;
mod undo;
mod walk;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

pub use bucket::{Bucket, Far};
pub use clean::clean;
pub use rejoin::rejoin;
pub use reset_only::reset_only;
pub use resume::{conclude, recover};

use crate::error::{Code, Fault, Kind};
use crate::host::{JoinServer, K3s, Listener, Progress, ServerFiles, UnitControl};
use crate::model::report::Report;
use crate::model::restore::Operation;
use crate::model::restore_report::Restore;
use crate::model::secret::Secret;
use crate::model::warning::WarningCode;
use crate::source::EtcdProbe;
use crate::store::Store;

/// What is to be restored, and how far it may go.
pub struct Request<'a> {
    /// A name in the snapshot folder, a path, or `latest`; `None` where only a time was given.
    pub target: Option<&'a str>,
    /// Only snapshots from before this moment: seconds since the epoch.
    pub before: Option<u64>,
    /// Where snapshots are looked for that are not in the folder.
    pub bucket: Option<Bucket<'a>>,
    /// Whether it ends with the plan.
    pub dry_run: bool,
    /// Whether a snapshot of another cluster or of a newer K3s is taken all the same.
    pub force: bool,
    /// Whether what is live is saved first.
    pub safety: bool,
    /// Whether the other members are said to be stopped, whatever they answer.
    pub others_stopped: bool,
    /// How long K3s may take to stop.
    pub stop_timeout: Duration,
    /// How long K3s may take until it serves again.
    pub ready_timeout: Duration,
    /// How long K3s has to stay ready until that is believed.
    pub steady: Duration,
    /// How often a wait looks again.
    pub poll: Duration,
    /// Seconds since the epoch, when the run began.
    pub now: u64,
    /// The server token that K3s will go by.
    pub token: Option<&'a Secret>,
    /// What K3s is given instead of its configuration, for the reset.
    pub config: &'a Secret,
    /// The server that K3s's configuration names to join.
    pub door: Option<&'a dyn JoinServer>,
    /// The hash of the authority of this server's cluster, where something here tells.
    pub authority: Option<&'a str>,
    /// The base of the snapshots that this verb makes, which are not what `latest` means.
    pub safety_base: &'a str,
    /// The node in their names, which is this one.
    pub node: &'a str,
    /// K3s's unit on an agent.
    pub agent_unit: &'a str,
    /// The ports that K3s and its etcd need.
    pub ports: &'a [u16],
    /// Whether the plan may be carried out.
    pub confirm: &'a dyn Fn(&Report) -> Result<bool>,
}

/// What was saved of what is live.
#[derive(Debug)]
pub struct Saved {
    /// The snapshot's file name.
    pub name: String,
    /// The id of the cluster in it.
    pub cluster: Option<String>,
}

/// The machine that is restored.
pub struct Machine<'a> {
    /// Its files.
    pub site: &'a ServerFiles,
    /// Its service manager.
    pub service: &'a dyn UnitControl,
    /// Its K3s.
    pub k3s: &'a dyn K3s,
    /// Its etcd, while that runs.
    pub live: &'a dyn EtcdProbe,
    /// The snapshot folder.
    pub home: &'a dyn Store,
    /// The store of another folder.
    pub elsewhere: &'a dyn Fn(&Path) -> Box<dyn Store>,
    /// Saves what is live.
    pub save: &'a dyn Fn(&mut Report) -> Result<Saved>,
    /// Saves the database that nobody serves.
    pub save_at_rest: &'a dyn Fn(&mut Report) -> Result<Saved>,
    /// Who listens on these ports.
    pub listeners: &'a dyn Fn(&[u16]) -> Result<Vec<Listener>>,
    /// Whether somebody asked us to stop.
    pub asked: &'a dyn Fn() -> bool,
    /// Seconds since the epoch, now.
    pub clock: &'a dyn Fn() -> u64,
    /// Who hears how far it is.
    pub progress: &'a dyn Progress,
}

/// Restores, or says why not.
pub fn run(req: &Request, machine: &Machine, report: &mut Report) -> Result<()> {
    if machine.site.record()?.is_some() {
        return interrupted(req, machine, report);
    }
    let found = find::find(req, machine)?;
    let done = restore(req, machine, &found, report);
    // Whatever came of it: a record that is left still needs the pinned file.
    if machine.site.record().is_ok_and(|r| r.is_none()) {
        found.release(machine, report);
    }
    done
}

fn restore(req: &Request, machine: &Machine, found: &find::Found, report: &mut Report) -> Result<()> {
    let proven = find::prove(found, req, machine, report)?;
    let plan = check::check(req, machine, found, &proven, report)?;
    if !begin::agreed(req, Operation::Restore, report)? {
        return Ok(());
    }
    walk::walk(req, machine, &proven, plan, report)
}

/// An earlier restore was cut off. It is ended first, and nothing else is done: the operator should see what came of it.
fn interrupted(req: &Request, machine: &Machine, report: &mut Report) -> Result<()> {
    if req.dry_run {
        return Err(Fault::new(
            Code::RestoreInterrupted,
            "an earlier restore was cut off and is not ended yet",
        )
        .hint("End it with 'k3s-snapshot-restore --conclude', then plan again.")
        .into());
    }
    let how = match conclude(req, machine, report) {
        Ok(()) => "it is ended now: K3s serves the snapshot of that restore".to_owned(),
        Err(e) if crate::error::kind_of(&e) == Kind::RolledBack => format!("{e:#}"),
        Err(e) => return Err(e),
    };
    Err(Fault::new(
        Code::RestoreInterrupted,
        format!("an earlier restore was cut off; {how}. Nothing else was done"),
    )
    .hint("Look at K3s, then start this restore again if it is still wanted.")
    .into())
}

/// Removes our folders beside K3s's files, unless a record still needs them.
fn tidy(machine: &Machine, report: &mut Report) {
    if machine.site.record().is_ok_and(|r| r.is_none())
        && let Err(e) = machine.site.clear_work()
    {
        report.warn(WarningCode::TidyFailed, format!("{e:#}"));
    }
}

/// The part of the report that is the restore's.
fn told(report: &mut Report) -> &mut Restore {
    report
        .restore
        .get_or_insert_with(|| Restore::new("", String::new(), crate::model::restore::PriorState::Stopped))
}

/// Waits until the answer is yes; false where it is not in time.
fn until(limit: Duration, poll: Duration, progress: &dyn Progress, mut ask: impl FnMut() -> bool) -> bool {
    let begun = std::time::Instant::now();
    loop {
        if ask() {
            return true;
        }
        if begun.elapsed() >= limit {
            return false;
        }
        progress.advance(0);
        std::thread::sleep(poll);
    }
}
