// SPDX-License-Identifier: Apache-2.0
//! What the restore, the reset without a snapshot and the rejoin begin with.

use std::time::Instant;

use anyhow::Result;

use super::walk::ms;
use super::{Machine, Request, Saved, interrupted, tidy, told};
use crate::error::{Code, Fault};
use crate::model::report::Report;
use crate::model::restore::{
    EtcdBefore, Operation, PriorState, RECORD_VERSION, RestoreState, SnapshotRef, Stage,
};
use crate::model::snapshot::Digest;

/// Does what needs no snapshot, unless an earlier deed was cut off: that is ended instead. Our folders are gone after it.
pub(super) fn alone(
    req: &Request,
    machine: &Machine,
    report: &mut Report,
    deed: impl FnOnce(&Request, &Machine, &mut Report) -> Result<()>,
) -> Result<()> {
    if machine.site.record()?.is_some() {
        return interrupted(req, machine, report);
    }
    let done = deed(req, machine, report);
    tidy(machine, report);
    done
}

/// Whether the deeds may begin; false where only the plan was asked for.
pub(super) fn agreed(req: &Request, deed: Operation, report: &mut Report) -> Result<bool> {
    if req.dry_run {
        return Ok(false);
    }
    if !(req.confirm)(report)? {
        let what = format!("not {}: it was not confirmed", deed.past());
        return Err(Fault::new(Code::NotConfirmed, what).into());
    }
    Ok(true)
}

/// The safety snapshot of what is live, told in the report. `refusal` says what a failure means for the deed.
pub(super) fn save_live(
    machine: &Machine,
    report: &mut Report,
    refusal: impl FnOnce(anyhow::Error) -> anyhow::Error,
) -> Result<Saved> {
    let begun = Instant::now();
    machine.progress.step("saving what is live", None);
    let saved = (machine.save)(report).map_err(refusal)?;
    told(report).safety_snapshot = Some(saved.name.clone());
    told(report).step("pre-restore-save", "done", Some(ms(begun.elapsed())));
    Ok(saved)
}

/// What is written down before the first deed; a restore adds its snapshot.
pub(super) fn record(
    req: &Request,
    machine: &Machine,
    deed: Operation,
    was: PriorState,
    before: EtcdBefore,
) -> Result<RestoreState> {
    Ok(RestoreState {
        version: RECORD_VERSION,
        id: req.now,
        operation: deed,
        stage: Stage::Closing,
        unit: machine.site.unit.clone(),
        data_dir: machine.site.data_dir.clone(),
        snapshot: SnapshotRef {
            name: String::new(),
            location: String::new(),
            sha256: Digest([0; 32]),
            size: 0,
            revision: before.revision.unwrap_or_default(),
            created_at: req.now,
        },
        pinned: Default::default(),
        previous_state: was,
        before,
        live_database: machine.site.live()?,
        backups: vec![],
        reset: None,
        rollback_reason: None,
    })
}
