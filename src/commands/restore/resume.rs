// SPDX-License-Identifier: Apache-2.0
//! Ends a restore that was cut off, wherever that was: by a kill, a power cut, a reboot.
//!
//! `recover` is file work alone, so that it can run before K3s at boot: it brings the disk to one of the two good states and
//! opens the gate. `conclude` runs after it, when K3s may be started: it proves and reports.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::undo::{bring_back, put_back, rolled_back, stuck};
use super::walk::{Aim, Walk, at_rest};
use super::{Machine, Request};
use crate::error::{Code, Fault};
use crate::inspect;
use crate::model::report::Report;
use crate::model::restore::{Operation, RestoreState, Stage, Way};
use crate::model::restore_report::Restore;

const CUT_OFF: &str = "the restore was cut off";

/// Brings the disk to one of the two good states and opens the gate. Starts nothing. Nothing to do is a success.
pub fn recover(machine: &Machine, report: &mut Report) -> Result<()> {
    let Some(mut record) = machine.site.record()? else {
        return match machine.site.is_closed()? {
            // One that was killed before it wrote anything down has left its pinned snapshot at most.
            false => machine.site.clear_work(),
            true => Err(Fault::new(
                Code::RestoreStateMissing,
                format!("K3s is barred from starting, but there is no '{}'", machine.site.record_path().display()),
            )
            .hint("Somebody has removed it. Make sure that K3s's database is the right one, then remove the file 'gate' there.")
            .into()),
        };
    };
    report.restore = Some(Restore::of(
        record.operation,
        &record.unit,
        record.data_dir.display().to_string(),
        record.previous_state,
    ));
    release(machine, &mut record, report).map_err(|e| {
        let why = record.rollback_reason.clone().unwrap_or_else(|| CUT_OFF.to_owned());
        stuck(&why, &e, machine, &record)
    })
}

fn release(machine: &Machine, record: &mut RestoreState, report: &mut Report) -> Result<()> {
    match record.stage.way() {
        Way::Release => record.stage = Stage::Undone,
        Way::PutBack => {
            record.stage = Stage::Undoing;
            machine.site.write(record)?;
            down(machine)?;
            put_back(machine, record, report)?;
            record.stage = Stage::Undone;
        }
        Way::Forward | Way::Clear => {}
    }
    machine.site.write(record)?;
    machine.site.unbar()?;
    log::info!(
        "{}",
        match record.stage {
            Stage::Undone => "the interrupted restore is undone: K3s's files are as they were",
            _ => "the interrupted restore had made its database: K3s may start on it",
        }
    );
    // Without a bus there is nothing loaded that would have to be read again.
    if let Err(e) = machine.service.reload() {
        log::debug!("{e:#}");
    }
    Ok(())
}

/// K3s may still run on what is being undone, or be about to: what was cut off had let it start, and was killed before it
/// had barred it again. At boot it does not run yet.
fn down(machine: &Machine) -> Result<()> {
    machine.site.close()?;
    if let Err(e) = machine.service.reload() {
        log::debug!("{e:#}");
    }
    if machine.service.unit().is_ok_and(|u| !u.active.is_down()) {
        machine.service.stop(Duration::from_secs(120))?;
    }
    Ok(())
}

/// Ends what was cut off: K3s is brought to where it was, or proven on the new database. An error of the kind "rolled back"
/// where the restore did not come to its end.
pub fn conclude(req: &Request, machine: &Machine, report: &mut Report) -> Result<()> {
    recover(machine, report)?;
    let Some(record) = machine.site.record()? else {
        log::info!("no restore was cut off");
        return Ok(());
    };
    let why = record.rollback_reason.clone().unwrap_or_else(|| CUT_OFF.to_owned());
    match record.stage {
        Stage::Restored => machine.site.forget(),
        Stage::Starting => forward(req, machine, record, report),
        _ => {
            let back = bring_back(req, machine, &record, report);
            machine.site.forget()?;
            Err(rolled_back(&why, back, &record))
        }
    }
}

/// The new database was proven before the cut; what is missing is that it is served.
fn forward(req: &Request, machine: &Machine, record: RestoreState, report: &mut Report) -> Result<()> {
    let aim = aim(machine, &record);
    let mut walk = Walk::new(req, machine, record, report);
    match aim.and_then(|aim| walk.up(&aim)) {
        Ok(()) => walk.ready(),
        Err(e) => Err(walk.roll_back(e)),
    }
}

fn aim(machine: &Machine, record: &RestoreState) -> Result<Aim> {
    Ok(match record.operation {
        Operation::Rejoin => Aim::Voter,
        Operation::Restore => Aim::Holds(Box::new(read(machine, record)?)),
        Operation::ClusterReset => {
            let old = machine.site.old_file(record)?;
            Aim::Holds(Box::new(at_rest(old, None).context("reading the database that was live")?))
        }
    })
}

fn read(machine: &Machine, record: &RestoreState) -> Result<inspect::Content> {
    let data = machine.site.open(&record.pinned)?;
    let db_len = inspect::database_len(crate::io::ReadAt::size(&data)).map_err(|f| anyhow!("{f}"))?;
    inspect::read_content(&data, db_len, None).context("reading the snapshot again")?.map_err(|all| {
        anyhow!(
            "the pinned snapshot is damaged: {}",
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        )
    })
}
