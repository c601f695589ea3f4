// SPDX-License-Identifier: Apache-2.0
//! A restore at work: its state, its steps with their times, and the exchange. Each stage is written down before the actions
//! that it describes: the order of the lines here is what `recover` relies on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::context::{Context, Machine, ms};
use super::failure::rollback_failed;
use super::identity::offline_revision;
use super::peers::Peers;
use super::preflight::Facts;
use super::prepared::Prepared;
use crate::datastore::Datastore;
use crate::error::{Fault, hint_of};
use crate::host::server_files::save_last_restore;
use crate::model::report::Report;
use crate::model::restore::{
    Database, Operation, PriorState, RestoreState, STATE_VERSION, SnapshotRef, Stage, StepId, StepState,
};
use crate::model::snapshot::Digest;
use crate::model::warning::WarningCode;

/// A restore at work.
pub(super) struct Transaction<'a> {
    pub(super) cx: Context<'a>,
    pub(super) state: RestoreState,
    pub(super) report: &'a mut Report,
    pub(super) peers: Peers,
    /// The part of the downtime that is K3s's own.
    pub(super) k3s_time: Duration,
    /// Since when K3s is down.
    pub(super) down_since: Option<Instant>,
    /// Whether the start is blocked.
    pub(super) blocked: bool,
    /// When K3s was started, seconds since the epoch: for its log.
    pub(super) started_at: u64,
    started: Instant,
}

impl<'a> Transaction<'a> {
    /// Begins: the state file says that something is being prepared.
    ///
    /// # Errors
    /// If it cannot be written, or the live database cannot be examined.
    pub(super) fn begin(
        cx: Context<'a>,
        operation: Operation,
        facts: &Facts,
        report: &'a mut Report,
    ) -> Result<Transaction<'a>> {
        let files = cx.machine.files;
        let state = RestoreState {
            version: STATE_VERSION,
            id: cx.cluster.now,
            operation,
            datastore: files.datastore,
            stage: Stage::Preparing,
            unit: files.unit.clone(),
            data_dir: files.data_dir.clone(),
            kubeconfig: files.kubeconfig.clone(),
            previous_state: facts.previous_state,
            was_ready: facts.was_ready,
            api: cx.cluster.api.to_vec(),
            snapshot: SnapshotRef {
                name: String::new(),
                location: String::new(),
                sha256: Digest([0; 32]),
                size: 0,
                revision: facts.live.as_ref().map_or(0, |l| l.revision),
                created_at: cx.cluster.now,
            },
            databases: files.databases()?,
            live_database: files.live_database()?,
            old_name: files.free_old_name(cx.cluster.now)?,
            new_database: None,
            backups: vec![],
            backed_up_directories: vec![],
            created: vec![],
            runbook: vec![],
            rollback_reason: None,
            last: None,
        };
        files.save_state(&state)?;
        Ok(Transaction {
            cx,
            state,
            report,
            peers: Peers::default(),
            k3s_time: Duration::ZERO,
            down_since: None,
            blocked: false,
            started_at: 0,
            started: Instant::now(),
        })
    }

    /// Runs a step: its time and its end go into the report and, one line each, into the log.
    pub(super) fn step(
        &mut self,
        id: StepId,
        text: &str,
        action: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        self.cx.machine.progress.step(text, None);
        let result = self.cx.machine.ensure_not_stopped().and_then(|()| action(self));
        let state = if result.is_ok() { StepState::Done } else { StepState::Failed };
        self.end_step(id, state, Some(begun.elapsed()));
        result
    }

    /// Records how a step ended, and logs it in one line.
    pub(super) fn end_step(&mut self, id: StepId, state: StepState, took: Option<Duration>) {
        self.report.restore_mut().set_step(id, state, took.map(ms));
        let took = took.map(|t| format!(" ({:.1} s)", t.as_secs_f64())).unwrap_or_default();
        let what = id.description(self.state.operation, self.state.datastore);
        log::info!("[{:5.1} s] {}: {what}{took}", self.started.elapsed().as_secs_f64(), state.as_str());
    }

    /// A step whose time is that of K3s itself.
    pub(super) fn k3s_step(
        &mut self,
        id: StepId,
        text: &str,
        action: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        let result = self.step(id, text, action);
        self.k3s_time += begun.elapsed();
        result
    }

    /// Writes down how far the restore is, before the actions of that stage.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn set_stage(&mut self, stage: Stage) -> Result<()> {
        let before = std::mem::replace(&mut self.state.stage, stage);
        let saved = self.cx.machine.files.save_state(&self.state);
        if saved.is_err() {
            self.state.stage = before;
        }
        saved
    }

    /// From here on systemd does not start K3s. If this process is killed from here on, the watching unit recovers.
    pub(super) fn block_start(&mut self) -> Result<()> {
        self.step(StepId::BlockStart, "blocking the start of K3s", |tx| {
            let machine = tx.cx.machine;
            // Before the block, so that no kill leaves K3s blocked. Without the unit, an interrupted restore is recovered
            // when K3s starts, or by hand.
            if let Err(e) = machine.unit.watch_restore() {
                log::info!("{e:#}");
            }
            tx.blocked = true;
            machine.files.block_start(tx.state.id)?;
            machine.unit.reload()
        })
    }

    /// K3s is down, and no process has its database open.
    pub(super) fn stop_k3s(&mut self) -> Result<()> {
        self.down_since = Some(Instant::now());
        self.k3s_step(StepId::Stop, "stopping K3s", |tx| {
            tx.cx.machine.unit.stop(tx.cx.machine.timeouts.stop)?;
            tx.cx.machine.wait_until_idle()
        })
    }

    /// What preflight saw is still true, and what could not be seen while K3s ran is seen now.
    pub(super) fn look_again(&mut self) -> Result<()> {
        let files = self.cx.machine.files;
        let now = files.live_database()?;
        let was = self.state.live_database.as_ref();
        let same = Database::is_same(now.as_ref(), was) || now.is_none() && was.is_none();
        anyhow::ensure!(
            same,
            "the database in '{}' was replaced in the meantime",
            files.database_path().display()
        );
        self.state.live_database = now;
        let unknown = self.peers.unknown;
        self.peers.look_again(&self.cx);
        self.peers.ensure_stopped(&self.cx, self.report)?;
        if unknown {
            self.report.restore_mut().others = self.peers.describe();
        }
        Ok(())
    }

    /// A live cluster that went on writing must not have passed the raised revision.
    pub(super) fn ensure_raised(&mut self, prepared: &mut Prepared) -> Result<()> {
        let Some(to) = self.report.restore_mut().revision_after else { return Ok(()) };
        let machine = self.cx.machine;
        let live = match machine.files.datastore {
            Datastore::Etcd => machine.files.database_file()?.as_ref().and_then(offline_revision),
            Datastore::Sqlite => machine.etcd.look().ok().map(|live| live.revision),
        };
        match live.filter(|live| *live >= to) {
            None => Ok(()),
            Some(live) => {
                self.raise_to(live.saturating_add(1_000_000))?;
                if machine.files.datastore == Datastore::Sqlite {
                    return self.verify_sqlite(prepared);
                }
                let scratch = self.cx.machine.files.scratch();
                prepared.content = super::identity::read_offline(scratch.new_database_file()?, None)?;
                prepared.database = scratch.new_database()?.context("the new database is gone")?;
                Ok(())
            }
        }
    }

    /// Saves the present state: the live etcd if it answers, else the database at rest once K3s is down. Without one, the
    /// previous database is still kept under its other name.
    pub(super) fn save_present_state(&mut self, offline: bool) -> Result<()> {
        if !self.cx.options.safety_snapshot {
            self.end_step(StepId::PreRestoreSave, StepState::Skipped, None);
            return Ok(());
        }
        if self.report.restore_mut().step_state(StepId::PreRestoreSave) == Some(StepState::Done) {
            return Ok(());
        }
        if offline && !self.cx.machine.files.has_database()? {
            self.end_step(StepId::PreRestoreSave, StepState::Skipped, None);
            return Ok(());
        }
        let begun = Instant::now();
        self.cx.machine.progress.step("saving the present state", None);
        let safety = self.cx.safety;
        let saved = if offline { safety.save_offline(self.report) } else { safety.save_live(self.report) };
        match saved {
            Ok(saved) => {
                self.report.restore_mut().safety_snapshot = Some(saved.name);
                self.end_step(StepId::PreRestoreSave, StepState::Done, Some(begun.elapsed()));
                Ok(())
            }
            // The save is tried again when K3s is down.
            Err(e) if !offline => {
                log::info!("the live datastore cannot be saved: {e:#}");
                Ok(())
            }
            Err(e) => {
                self.end_step(StepId::PreRestoreSave, StepState::Failed, Some(begun.elapsed()));
                self.report.warn(
                    WarningCode::SafetySnapshotSkipped,
                    format!(
                        "the present state cannot be saved as a snapshot: {e:#}; its database is kept as {}",
                        self.state.old_name
                    ),
                );
                Ok(())
            }
        }
    }

    /// Exchanges the files. Everything that is needed to reverse it is on the disk before the first rename.
    pub(super) fn swap(&mut self, prepared: Option<&Prepared>) -> Result<()> {
        self.step(StepId::Swap, "exchanging the databases", |tx| {
            let files = tx.cx.machine.files;
            files.reserve_space()?;
            let (backups, directories) = files.back_up().context("copying the files that K3s rewrites")?;
            tx.state.backups = backups;
            tx.state.backed_up_directories = directories;
            tx.state.new_database = prepared.map(|p| p.database);
            tx.set_stage(Stage::Swapping)?;
            files.swap(&tx.state)?;
            if tx.state.live_database.is_some() {
                let old = files.old_database(&tx.state).display().to_string();
                tx.report.restore_mut().old_database = Some(old);
            }
            files.sync()
        })
    }

    /// Starts K3s on the new files. From here on, a later process never reverses the exchange.
    pub(super) fn start_k3s(&mut self) -> Result<()> {
        self.step(StepId::Start, "starting K3s", |tx| {
            tx.set_stage(Stage::Starting)?;
            let machine = tx.cx.machine;
            machine.files.unblock_start()?;
            tx.blocked = false;
            tx.started_at = now();
            machine.unit.reset_failed()?;
            machine.unit.start()
        })
    }

    /// Records how long K3s did not serve: until `end`, else until now.
    pub(super) fn record_downtime(&mut self, end: Option<Instant>) {
        let Some(down) = self.down_since else { return };
        if self.state.previous_state != PriorState::Running {
            // This restore is not why K3s did not serve.
            return;
        }
        let all = ms(end.unwrap_or_else(Instant::now).saturating_duration_since(down));
        let k3s = ms(self.k3s_time).min(all);
        let restore = self.report.restore_mut();
        restore.downtime_ms = Some(all);
        restore.k3s_ms = Some(k3s);
        restore.own_ms = Some(all.saturating_sub(k3s));
    }

    /// Creates the empty scratch directory.
    pub(super) fn create_scratch(&mut self) -> Result<()> {
        // Written down before: what is created is removed with the scratch directory.
        let files = self.cx.machine.files;
        self.state.created = files.create_scratch()?;
        self.state.databases = files.databases()?;
        files.save_state(&self.state)
    }

    /// Ends: everything that the restore needed is removed. What cannot be removed is a warning, not an error.
    pub(super) fn finish(&mut self) {
        clean_up(self.cx.machine, &self.state, self.report);
    }

    /// Gives up after `why`: deletes what was prepared, or reverses what was done, and returns the error of the run.
    pub(super) fn give_up(mut self, why: anyhow::Error) -> anyhow::Error {
        if self.state.stage != Stage::Preparing || self.down_since.is_some() {
            return self.roll_back(why);
        }
        if self.blocked
            && let Err(e) = self.cx.machine.files.unblock_start()
        {
            return rollback_failed(self.cx.machine, &self.state, &format!("{why:#}"), &e);
        }
        self.finish();
        self.cx.machine.files.remove_created(&self.state);
        let what = format!("not {}, and nothing was changed", self.state.operation.past_participle());
        let fault = Fault::about(&why, what);
        let fault = match hint_of(&why) {
            Some(hint) => fault.hint(hint.to_owned()),
            None => fault,
        };
        why.context(fault)
    }

    /// Ends a dry run.
    pub(super) fn abandon(mut self) {
        self.finish();
        self.cx.machine.files.remove_created(&self.state);
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Leaves for later runs that the revision went back on purpose, and which servers have to rejoin: the new database stays.
pub(super) fn record_last_restore(machine: &Machine, state: &RestoreState, report: &mut Report) {
    if let Some(Err(e)) = state.last.as_ref().map(|last| save_last_restore(&machine.files.state, last)) {
        report.warn(WarningCode::TidyFailed, format!("{e:#}"));
    }
}

/// Removes everything that a restore needed, the state file last. What cannot be removed is a warning.
pub(super) fn clean_up(machine: &Machine, state: &RestoreState, report: &mut Report) {
    let files = machine.files;
    let mut errors = Vec::new();
    errors.extend(files.scratch().remove().err());
    errors.extend(files.remove_backups(state).err());
    errors.extend(files.remove_marker_drafts().err());
    match files.remove_drop_ins() {
        Ok(false) => {}
        Ok(true) => errors.extend(machine.unit.reload().err().map(|e| {
            e.context(
                "systemd has not read its units again after the start block; run 'systemctl daemon-reload'",
            )
        })),
        Err(e) => errors.push(e),
    }
    // Without what it names, the state is of no more use: a file that is left is found by name.
    errors.extend(files.remove_state().err());
    for e in errors {
        report.warn(WarningCode::TidyFailed, format!("{e:#}"));
    }
}
