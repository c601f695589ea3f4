// SPDX-License-Identifier: Apache-2.0
//! Resets the cluster to this server only, with its present data, after the quorum was lost permanently.
//!
//! K3s works on a copy of the database at rest. The database itself is exchanged for the result, as in a restore.

use anyhow::{Context as _, Result};

use super::context::Context;
use super::identity::read_offline;
use super::peers::{self, Peers};
use super::preflight::{self, Facts, Refusals, WAL_RESERVE};
use super::prepared::{From, Prepared};
use super::recover::clear_left_over;
use super::transaction::Transaction;
use super::verify::Goal;
use crate::error::{Code, Fault};
use crate::inspect::Content;
use crate::io::ReadAt;
use crate::model::report::Report;
use crate::model::restore::Operation;

/// Resets the cluster; a dry run ends with the plan.
///
/// # Errors
/// If it was not reset: before K3s was stopped, nothing was changed; after that, everything was rolled back.
pub fn cluster_reset(cx: Context, report: &mut Report) -> Result<()> {
    clear_left_over(cx.machine, report)?;
    let facts = preflight::gather(&cx, Operation::ClusterReset, report)?;
    let mut tx = Transaction::begin(cx, Operation::ClusterReset, &facts, report)?;
    match tx.plan_reset(&facts) {
        Err(e) => Err(tx.give_up(e)),
        Ok(false) => {
            tx.abandon();
            Ok(())
        }
        Ok(true) => match tx.prepare_reset(&facts) {
            Err(e) => Err(tx.give_up(e)),
            Ok(prepared) => tx.exchange(Some(&prepared), &Goal::Serves(&prepared)),
        },
    }
}

impl Transaction<'_> {
    /// False ends a dry run.
    fn plan_reset(&mut self, facts: &Facts) -> Result<bool> {
        let cx = self.cx;
        let files = cx.machine.files;
        let Some(file) = files.database_file()? else {
            let what = format!("there is no database in '{}'", files.etcd().display());
            return Err(Fault::new(Code::DatabaseNotFound, what)
                .hint("Run 'k3s-snapshot restore latest' instead.")
                .into());
        };
        let size = file.size();
        // While etcd has it open, it cannot be read as a whole; that is done once it is at rest.
        let content = if files.is_database_open()? { None } else { Some(read_database(&cx)?) };
        self.peers = Peers::gather(&cx, facts.live.as_ref(), content.as_ref());
        let mut refusals = Refusals::default();
        if let Some(content) = &content {
            refusals.add(
                preflight::check_token(&cx, content).map(|token| self.report.restore_mut().token = token),
            );
        }
        refusals.add(ensure_needed(&cx, facts));
        refusals.add(self.peers.ensure_stopped(&cx, self.report));
        refusals.add(preflight::check_exclusive(&cx, &facts.unit));
        refusals.add(files.ensure_renamable());
        // The copy that K3s works on, the one that it makes at its start, a log for each; and the snapshot.
        let copies = if cx.options.safety_snapshot { 3 } else { 2 };
        refusals.add(preflight::check_space(
            &cx,
            size.saturating_mul(copies).saturating_add(WAL_RESERVE.saturating_mul(2)),
        ));
        self.record_others(content.as_ref());
        refusals.check(&cx, self.report)?;
        preflight::confirm(&cx, Operation::ClusterReset, self.report)
    }

    fn record_others(&mut self, content: Option<&Content>) {
        let tasks = self.peers.tasks(&self.cx, content);
        let restore = self.report.restore_mut();
        restore.others = self.peers.describe();
        restore.runbook.clone_from(&tasks);
        self.state.runbook = tasks;
    }

    fn prepare_reset(&mut self, facts: &Facts) -> Result<Prepared> {
        if facts.live.is_some() {
            self.save_present_state(false)?;
        }
        self.bring_down()?;
        let files = self.cx.machine.files;
        let content = read_database(&self.cx)?;
        let token = preflight::check_token(&self.cx, &content)?;
        self.report.restore_mut().token = token;
        self.state.snapshot.revision = content.facts.revision;
        self.record_others(Some(&content));
        self.create_scratch()?;
        files.copy_server_files()?;
        files.scratch().copy_database(&files.etcd()).context("copying the database")?;
        // Another member may have written more than this one.
        self.prepare(&From::Database(&content), None)
    }
}

fn read_database(cx: &Context) -> Result<Content> {
    let file = cx.machine.files.database_file()?.context("the database is gone")?;
    read_offline(file, None).map_err(|e| {
        e.context(
            Fault::new(Code::DatabaseCorrupt, "verifying the database that the reset would keep")
                .hint("Run 'k3s-snapshot restore latest' instead."),
        )
    })
}

/// Fails if the cluster is this server alone already, and works.
fn ensure_needed(cx: &Context, facts: &Facts) -> Result<()> {
    match &facts.live {
        Some(live) if live.has_leader() && peers::of_live(live).is_empty() && !cx.options.force => {
            Err(Fault::new(
                Code::NothingToReset,
                "etcd has a leader and no other members: there is nothing to reset",
            )
            .hint("Check the log of K3s for another cause, or reset the cluster anyway with --force.")
            .into())
        }
        _ => Ok(()),
    }
}
