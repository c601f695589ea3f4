// SPDX-License-Identifier: Apache-2.0
//! Restores a snapshot.

use anyhow::Result;

use super::context::{Context, Machine};
use super::identity::{ensure_same_cluster, highest_revision};
use super::peers::Peers;
use super::preflight::{self, Facts, Refusals, WAL_RESERVE};
use super::prepare::fits_beside;
use super::prepared::{From, Prepared};
use super::recover::clear_left_over;
use super::select::{self, Selected, VerifiedSnapshot};
use super::transaction::{Transaction, record_last_restore};
use super::verify::{Goal, not_ready};
use crate::datastore::Datastore;
use crate::host::ServerFiles;
use crate::model::report::Report;
use crate::model::restore::{LAST_VERSION, LastRestore, MissingServer, Operation};
use crate::model::token;
use crate::model::warning::WarningCode;

/// Restores the snapshot that the options name; a dry run ends with the plan.
///
/// # Errors
/// If it was not restored: before K3s was stopped, nothing was changed; after that, everything was rolled back.
pub fn restore(cx: Context, report: &mut Report) -> Result<()> {
    clear_left_over(cx.machine, report)?;
    let selected = select::select(&cx, report)?;
    // On a machine without a database, the snapshot decides.
    let files = cx.machine.files.clone();
    let files = ServerFiles { datastore: selected.datastore(&cx)?, ..files };
    let machine = Machine { files: &files, ..*cx.machine };
    let cx = Context { machine: &machine, ..cx };
    let facts = preflight::gather(&cx, Operation::Restore, report)?;
    let mut tx = Transaction::begin(cx, Operation::Restore, &facts, report)?;
    match tx.plan_restore(&selected, &facts) {
        Err(e) => Err(tx.give_up(e)),
        Ok(None) => {
            tx.abandon();
            Ok(())
        }
        Ok(Some(snapshot)) => match tx.prepare_restore(&snapshot, &facts) {
            Err(e) => Err(tx.give_up(e)),
            Ok(prepared) => {
                let goal = Goal::Serves(&prepared);
                tx.exchange(Some(&prepared), &goal)
            }
        },
    }
}

impl Transaction<'_> {
    /// Verifies the snapshot and checks everything that could be in the way, while K3s runs. `None` ends a dry run.
    fn plan_restore(&mut self, selected: &Selected, facts: &Facts) -> Result<Option<VerifiedSnapshot>> {
        let cx = self.cx;
        self.create_scratch()?;
        let snapshot = selected.pin_and_verify(&cx, self.report)?;
        let content = &snapshot.content;
        self.peers = Peers::gather(&cx, facts.live.as_ref(), Some(content));
        let restore = self.report.restore_mut();
        restore.age_s = snapshot.age;
        restore.lost_revisions = facts.live.as_ref().map(|l| l.revision - snapshot.reference.revision);
        restore.others = self.peers.describe();
        restore.runbook = self.peers.tasks(&cx, Some(content));
        let mut refusals = Refusals::default();
        let token = preflight::check_token(&cx, content).map(|token| self.report.restore_mut().token = token);
        refusals.add(token);
        refusals.add(preflight::check_version(&cx, content, self.report));
        let (alarms, is_etcd) = (&content.facts.alarms, self.state.datastore == Datastore::Etcd);
        if is_etcd {
            refusals.add(preflight::check_quota(&cx, snapshot.reference.size, alarms, self.report));
        }
        refusals.add(ensure_same_cluster(&cx, content));
        refusals.add(self.peers.ensure_stopped(&cx, self.report));
        refusals.add(preflight::check_exclusive(&cx, &facts.unit));
        refusals.add(cx.machine.files.ensure_renamable());
        // The database that K3s makes, and the copy that it makes of it at its start. A file of SQLite is the new database.
        // Then there are a log, and the snapshot of the present state.
        let size = snapshot.reference.size.saturating_mul(if is_etcd { 2 } else { 1 });
        let live = self.state.live_database.as_ref().filter(|_| cx.options.safety_snapshot);
        let live = live.and_then(|live| live.file).map_or(0, |file| file.size);
        refusals.add(preflight::check_space(&cx, size.saturating_add(live).saturating_add(WAL_RESERVE)));
        refusals.check(&cx, self.report)?;
        self.state.snapshot = snapshot.reference.clone();
        self.state.runbook.clone_from(&self.report.restore_mut().runbook);
        Ok(preflight::confirm(&cx, Operation::Restore, self.report)?.then_some(snapshot))
    }

    /// Prepares the new database, with K3s up as long as memory allows, and brings K3s down.
    fn prepare_restore(&mut self, snapshot: &VerifiedSnapshot, facts: &Facts) -> Result<Prepared> {
        let machine = self.cx.machine;
        let is_up = !facts.unit.active.is_down();
        let needs_k3s = self.state.datastore == Datastore::Etcd;
        let beside = !is_up || !needs_k3s || fits_beside(machine.host, snapshot.reference.size);
        let from = From::Snapshot(&snapshot.content);
        machine.files.copy_server_files()?;
        if !beside {
            log::info!(
                "there is not enough memory for a second K3s: K3s is stopped while the new database is prepared"
            );
            self.save_present_state(false)?;
            self.bring_down()?;
        }
        let live_revision = highest_revision(&self.cx, facts.live.as_ref(), &snapshot.content);
        let mut prepared = self.prepare(&from, live_revision)?;
        if beside {
            if is_up {
                self.save_present_state(false)?;
            }
            self.bring_down()?;
        }
        self.ensure_raised(&mut prepared)?;
        self.warn_if_token_changes();
        Ok(prepared)
    }

    /// A snapshot from before a token rotation brings its token back.
    fn warn_if_token_changes(&mut self) {
        let files = self.cx.machine.files;
        let (Some(live), Some(new)) = (files.token(), files.scratch().token()) else { return };
        let (live, new) = (token::hash(live.expose()), token::hash(new.expose()));
        if live != new {
            self.report.warn(
                WarningCode::TokenChanged,
                format!(
                    "the server token in force is the one with the hash {new} again, not the one with the hash {live}: set it \
                     on the other servers and agents"
                ),
            );
        }
    }

    /// Blocks the start of K3s, stops it, and looks again: from here on its database is at rest.
    pub(super) fn bring_down(&mut self) -> Result<()> {
        self.block_start()?;
        self.stop_k3s()?;
        self.look_again()?;
        self.save_present_state(true)
    }

    /// Exchanges the files, starts K3s and verifies that it serves the new database. If not, everything is reversed.
    ///
    /// # Errors
    /// [`crate::error::Code::RolledBack`], or [`crate::error::Code::NotReady`] if only the API server is not ready in time.
    pub(super) fn exchange(mut self, prepared: Option<&Prepared>, goal: &Goal) -> Result<()> {
        self.state.last = prepared.map(|p| self.last_restore(p));
        let verified = self
            .swap(prepared)
            .and_then(|()| self.start_k3s())
            .and_then(|()| self.verify_served(goal))
            .and_then(|()| self.wait_until_ready());
        match verified {
            Err(e) => Err(self.give_up(e)),
            Ok(unready) => {
                record_last_restore(self.cx.machine, &self.state, self.report);
                self.finish();
                unready.map_or(Ok(()), |why| Err(not_ready(&self, &why)))
            }
        }
    }

    /// What is left for later runs.
    fn last_restore(&self, prepared: &Prepared) -> LastRestore {
        LastRestore {
            version: LAST_VERSION,
            at: self.state.id,
            revision: prepared.content.facts.revision,
            missing: self
                .peers
                .members()
                .map(|peer| MissingServer { name: peer.node().to_owned(), addresses: peer.addresses() })
                .collect(),
        }
    }
}
