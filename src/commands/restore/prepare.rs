// SPDX-License-Identifier: Apache-2.0
//! Prepares the new database aside. Nothing live is touched here: if a step fails, the scratch directory is deleted.

use anyhow::{Context as _, Error, Result};

use super::context::Rehearsal;
use super::identity::read_offline;
use super::preflight::WAL_RESERVE;
use super::prepared::{From, Prepared};
use super::transaction::Transaction;
use crate::datastore::Datastore;
use crate::error::{Code, Fault, code_of};
use crate::etcd_files;
use crate::host::Host;
use crate::host::server_files::RESET_LOG;
use crate::inspect::{Comparison, Content};
use crate::model::restore::{Operation, StepId, StepState};
use crate::model::runbook::host_of;
use crate::model::warning::WarningCode;
use crate::source::sqlite;

/// Memory that the reset of K3s needs in addition to the database, which is mapped. Measured: 241 MB for a small one.
const RESET_MEMORY: u64 = 400 << 20;
/// Memory that a whole server without an agent needs. Measured: 436 to 485 MB.
const REHEARSAL_MEMORY: u64 = 700 << 20;
/// Revisions are raised by this much above the live revision, if that is known: what the cluster can write until it is
/// stopped is far less.
const KNOWN_MARGIN: i64 = 1_000_000;
/// Revisions are raised by this much above what is known, if another server can have written more.
const UNKNOWN_MARGIN: i64 = 1_000_000_000;

/// The new database is not what it was made from.
pub(super) fn differs(what: String) -> Error {
    Fault::new(Code::NewDatabaseDiffers, what).hint("Keep the snapshot, and restore another one.").into()
}

/// Whether there is memory for a second K3s next to the live one.
pub(super) fn fits_beside(host: &dyn Host, database: u64) -> bool {
    host.available_memory() >= RESET_MEMORY.saturating_add(database)
}

impl Transaction<'_> {
    /// Makes, compares, raises, fences and rehearses the new database.
    ///
    /// # Errors
    /// If any of it fails. Nothing live was touched.
    pub(super) fn prepare(&mut self, from: &From, live_revision: Option<i64>) -> Result<Prepared> {
        let content = from.content();
        if self.state.datastore == Datastore::Sqlite {
            return self.prepare_sqlite(content, live_revision);
        }
        self.step(StepId::Prepare, "creating the new database aside", |tx| tx.reset_aside(from))?;
        self.step(StepId::VerifyNew, "comparing the new database", |tx| tx.compare_new(content))?;
        self.cx.machine.files.scratch().free_space()?;
        self.raise(content, live_revision)?;
        self.step(StepId::Fence, "giving the new member a cluster id of its own", |tx| tx.fence())?;
        let scratch = self.cx.machine.files.scratch();
        let database = scratch.new_database()?.context("the new database is gone")?;
        let member = scratch.new_member_name().context("the new member has no name")?;
        // The whole file is read again: etcd will serve it, and the changes of this program must be valid.
        let content = read_offline(scratch.new_database_file()?, None).context("reading the new database")?;
        self.rehearse(database.file.map_or(0, |f| f.size))?;
        // The rehearsal ran on a copy.
        let after = scratch.new_database()?;
        anyhow::ensure!(after == Some(database), "the new database changed during the rehearsal");
        self.cx.machine.files.sync()?;
        Ok(Prepared { content, database, member: Some(member) })
    }

    fn reset_aside(&mut self, from: &From) -> Result<()> {
        let (machine, report) = (self.cx.machine, &mut *self.report);
        let scratch = machine.files.scratch();
        let from_snapshot = matches!(from, From::Snapshot(_));
        let outcome = machine.k3s.reset_aside(&scratch, from_snapshot, machine.progress)?;
        let failed = |but: String| {
            let log = machine.files.state.join(RESET_LOG);
            Fault::new(
                Code::K3sResetFailed,
                format!("the reset of K3s ended with {}{but}: {}", outcome.how, outcome.reason),
            )
            .hint(format!("Read the output of K3s in '{}'.", log.display()))
        };
        if !outcome.success {
            return Err(failed(String::new()).into());
        }
        // K3s has been seen to exit with 0 although the reset had failed.
        if let Some(what) = scratch.missing_after_reset()? {
            return Err(failed(format!(", but {what}")).into());
        }
        if !outcome.confirmed {
            report.warn(
                WarningCode::ResetNotConfirmed,
                "K3s did not print its usual success message; the files show that the reset succeeded",
            );
        }
        Ok(())
    }

    /// The new database holds what it was made from, and one member: this server.
    fn compare_new(&mut self, content: &Content) -> Result<()> {
        let scratch = self.cx.machine.files.scratch();
        let new = read_offline(scratch.new_database_file()?, Some(content.facts.revision))
            .context("reading the new database")?;
        match content.compare(&new) {
            Comparison::Equal => {}
            Comparison::Compacted => {
                return Err(differs(
                    "the new database was compacted past the revision of its origin".to_owned(),
                ));
            }
            Comparison::Differs(what) => {
                return Err(differs(format!("the new database differs from its origin: {what}")));
            }
        }
        let [member] = new.facts.members.as_slice() else {
            return Err(differs(format!(
                "the new database has {} members instead of one",
                new.facts.members.len()
            )));
        };
        let own = self.cx.machine.host.addresses();
        // Without a host of its own it is a loopback address: a K3s that is set to serve only itself.
        let is_own = |url: &String| host_of(url).is_none_or(|host| own.iter().any(|a| a == host));
        if member.peer_urls.is_empty() || !member.peer_urls.iter().all(is_own) {
            return Err(differs(format!(
                "the new member has the peer URL {}, which is not an address of this machine",
                member.peer_urls.join(", ")
            )));
        }
        Ok(())
    }

    /// Every client of the cluster must list again: a revision that it knows must not come again with other data.
    pub(super) fn raise(&mut self, content: &Content, live_revision: Option<i64>) -> Result<()> {
        if self.cx.options.keep_revisions {
            self.end_step(StepId::RaiseRevisions, StepState::Skipped, None);
            return Ok(());
        }
        let target = match live_revision {
            Some(live) => live.max(content.facts.revision).saturating_add(KNOWN_MARGIN),
            None => content.facts.revision.saturating_add(UNKNOWN_MARGIN),
        };
        self.step(StepId::RaiseRevisions, "raising the revisions", |tx| tx.raise_to(target))
    }

    /// Raises the revision of the new database to `target`, and marks everything before as compacted.
    pub(super) fn raise_to(&mut self, target: i64) -> Result<()> {
        let scratch = self.cx.machine.files.scratch();
        let from = match self.state.datastore {
            Datastore::Sqlite => sqlite::raise_revision(&scratch.new_database_path(), target)?,
            Datastore::Etcd => {
                let path = scratch.new_database_dir().join(crate::distribution::ETCD_DB_FILE);
                let files = self.cx.machine.files;
                files.with_database(&path, |file| etcd_files::raise_revision(file, target))?.from
            }
        };
        let restore = self.report.restore_mut();
        restore.revision_before = restore.revision_before.or(Some(from));
        restore.revision_after = Some(target);
        Ok(())
    }

    /// Members of the lost cluster that start again have another cluster id, and are refused by etcd.
    fn fence(&mut self) -> Result<()> {
        let wal = self.cx.machine.files.scratch().new_database_dir().join("member").join("wal");
        let id = self.cx.machine.host.random_id()?;
        etcd_files::fence(&wal, id).map(drop)
    }

    /// K3s is started on a copy, aside, and must become ready.
    pub(super) fn rehearse(&mut self, size: u64) -> Result<()> {
        let machine = self.cx.machine;
        let needed = REHEARSAL_MEMORY.saturating_add(size);
        let fits = machine.host.available_memory() >= needed;
        // The copy, and the one that K3s makes of it at its start, with a log.
        let room = || machine.files.ensure_free_space(size.saturating_mul(2).saturating_add(WAL_RESERVE));
        let wanted = match self.cx.options.rehearsal {
            // A cluster reset is done while K3s is down: each second counts.
            Rehearsal::Auto if !fits || self.state.operation != Operation::Restore => false,
            // The disk of a cluster that runs must not become full.
            Rehearsal::Auto => room().map_err(|e| log::info!("there is no rehearsal: {e:#}")).is_ok(),
            Rehearsal::Always if !fits => {
                return Err(Fault::new(
                    Code::NoMemory,
                    format!("a rehearsal needs {needed} bytes of memory"),
                )
                .hint("Free memory, or skip the rehearsal with --no-rehearse.")
                .into());
            }
            Rehearsal::Always => {
                room().map_err(|e| {
                    let fault = Fault::about(&e, "not enough space for a rehearsal");
                    e.context(fault.hint("Free some space, or skip the rehearsal with --no-rehearse."))
                })?;
                true
            }
            Rehearsal::Never => false,
        };
        if !wanted {
            self.end_step(StepId::Rehearse, StepState::Skipped, None);
            return Ok(());
        }
        self.step(StepId::Rehearse, "starting K3s aside on a copy of the new database", |tx| {
            let scratch = tx.cx.machine.files.scratch();
            scratch.copy_for_rehearsal().context("copying the new database for the rehearsal")?;
            let ready =
                tx.cx.machine.k3s.rehearse(&scratch, tx.cx.machine.timeouts.ready, tx.cx.machine.progress);
            scratch.remove_rehearsal()?;
            if !ready.map_err(rehearsal_failed)? {
                log::info!("this server runs no API server, so nothing was rehearsed");
            }
            Ok(())
        })
    }
}

/// An error without a code of its own is one of K3s.
fn rehearsal_failed(e: Error) -> Error {
    let what = "K3s does not become ready on the new database";
    if code_of(&e) != Code::Unexpected {
        return e.context(what);
    }
    Fault::new(Code::RehearsalFailed, format!("{what}: {e:#}"))
        .hint(
            "Remove the cause that K3s reports, usually an argument or the configuration of K3s; its lines are in \
             'journalctl -t k3s-aside'.",
        )
        .into()
}
