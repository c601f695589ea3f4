// SPDX-License-Identifier: Apache-2.0
//! Rebuilds a server on a machine without a datastore.

use std::path::Path;

use anyhow::Result;

use super::record::RecordFile;
use super::select::{Keys, Selected, Wanted, select};
use super::write::{ensure_writable, write};
use crate::commands::kit::{Reading, ensure_opens};
use crate::error::{Code, Fault};
use crate::host::Progress;
use crate::model::kit::Kit;
use crate::model::rebuild::{RebuildPlan, RebuildRecord, RebuildReport};
use crate::model::report::{Report, Row};
use crate::model::version::Version;
use crate::model::warning::WarningCode;
use crate::store::{KitStore, Store};

/// What is rebuilt, and how.
pub(crate) struct RebuildRequest<'a> {
    /// Where the snapshots are.
    pub(crate) store: &'a dyn Store,
    /// Where the kits are.
    pub(crate) kits: Option<&'a dyn KitStore>,
    /// The name of a snapshot; `None` for the newest verified one.
    pub(crate) name: Option<&'a str>,
    /// The beginning of the id of a cluster, or the name of one of its nodes.
    pub(crate) cluster: Option<&'a str>,
    /// What opens the snapshot.
    pub(crate) keys: Keys,
    /// The base name of snapshots of the state before a restore.
    pub(crate) safety_base: &'a str,
    /// Whether files that differ are replaced.
    pub(crate) overwrite: bool,
    /// Whether a snapshot is accepted that is not known to be authentic.
    pub(crate) force: bool,
    /// Whether only the plan is made.
    pub(crate) dry_run: bool,
    /// How a snapshot is read in a dry run.
    pub(crate) reading: Reading<'a>,
    /// Seconds since the epoch.
    pub(crate) now: u64,
    /// The record of an interrupted rebuild.
    pub(crate) record: Option<RebuildRecord>,
    /// Where the record is.
    pub(crate) record_file: &'a RecordFile,
    /// The version of the K3s of this machine, as it prints it.
    pub(crate) k3s_version: &'a dyn Fn() -> Result<String>,
    /// What is written.
    pub(crate) plan: &'a dyn Fn(&Kit, &RebuildRecord) -> Result<RebuildPlan>,
    /// Fails if there is a datastore in this data-dir, or that is not known.
    pub(crate) ensure_empty: &'a dyn Fn(&Path) -> Result<()>,
    /// Asks whether the plan may be carried out.
    pub(crate) confirm: &'a dyn Fn(&Report) -> Result<bool>,
    /// Restores the snapshot of this name, with the configuration that was written.
    pub(crate) restore: &'a dyn Fn(&str, &RebuildPlan, &mut Report) -> Result<()>,
}

/// Rebuilds; a dry run ends with the plan. Success means that the API server is ready.
///
/// # Errors
/// If it was not rebuilt. The record stays: the next run goes on.
pub(crate) fn rebuild(req: &RebuildRequest, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let wanted = Wanted {
        store: req.store,
        name: req.name,
        cluster: req.cluster,
        safety_base: req.safety_base,
        now: req.now,
    };
    progress.step("finding the snapshot and its recovery kit", None);
    let selected = select(&wanted, req.kits, &req.keys)?;
    selected.ensure_fits(req.store, req.force)?;
    ensure_reads(req, &selected)?;
    let record = req.record.clone().unwrap_or_else(|| RebuildRecord::new(req.now));
    let plan = match &selected.kit {
        Some((kit, _)) => {
            (req.ensure_empty)(Path::new(&kit.data_dir))?;
            (req.plan)(kit, &record)?
        }
        None => RebuildPlan::default(),
    };
    report_plan(req, &selected, &plan, report);
    ensure_writable(&plan, req.overwrite)?;
    if req.dry_run {
        if let Some((kit, _)) = &selected.kit {
            ensure_opens(&req.reading, kit, &selected.opened, progress)?;
        }
        report.snapshots.push(Row::from_snapshot(&selected.opened.snapshot, None));
        return Ok(());
    }
    if !(req.confirm)(report)? {
        return Err(Fault::new(Code::NotConfirmed, "canceled; nothing was written").into());
    }
    write(&plan, record, req.record_file)?;
    (req.restore)(&selected.opened.snapshot.file, &plan, report)?;
    req.record_file.remove()
}

/// Fails if the K3s of this machine is older than that of the snapshot. The restore looks again, at what the snapshot holds,
/// but then the files are written.
fn ensure_reads(req: &RebuildRequest, selected: &Selected) -> Result<()> {
    let own = (req.k3s_version)()?;
    let (manifest, kit) = (selected.opened.manifest.as_ref(), selected.kit.as_ref().map(|(kit, _)| kit));
    let recorded = manifest.and_then(|manifest| manifest.k3s_version.as_deref());
    let writer = recorded.or_else(|| kit?.versions.k3s.as_deref()).and_then(Version::parse);
    let storage = manifest.and_then(|manifest| manifest.etcd_storage_version.as_deref());
    let storage = storage.or_else(|| kit?.versions.etcd_storage.as_deref());
    let writer = writer.or_else(|| Version::oldest_with_storage(storage?));
    let (Some(own), Some(writer)) = (Version::parse(&own), writer) else { return Ok(()) };
    match own.ensure_reads(&writer) {
        // The restore warns of it.
        Err(_) if req.force => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn report_plan(req: &RebuildRequest, selected: &Selected, plan: &RebuildPlan, report: &mut Report) {
    let (snapshot, manifest) = (&selected.opened.snapshot, selected.opened.manifest.as_ref());
    let mut rebuild = RebuildReport {
        cluster_id: snapshot.cluster_id().map(str::to_owned),
        snapshot: Some(snapshot.file.clone()),
        old_node: manifest.and_then(|m| m.node.clone()),
        kit: selected.kit.as_ref().map(|(_, name)| name.clone()),
        resumed: req.record.is_some(),
        ..RebuildReport::default()
    };
    rebuild.set_plan(plan);
    report.rebuild = Some(rebuild);
    let list =
        |all: &[String]| all.iter().map(|one| one.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    for (code, all, text) in [
        (
            WarningCode::KitFilesNotWritten,
            &plan.not_written,
            "these files of the recovery kit are not written",
        ),
        (
            WarningCode::OldAddressInUse,
            &plan.old_addresses,
            "these flags of K3s have an address of the old machine",
        ),
        (
            WarningCode::VariablesNotSet,
            &plan.variables,
            "the new K3s service lacks these variables of the old one",
        ),
    ] {
        if !all.is_empty() {
            report.warn(code, format!("{text}: {}", list(all)));
        }
    }
}
