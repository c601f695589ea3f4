// SPDX-License-Identifier: Apache-2.0
//! Prepares a new database of SQLite aside: a copy of the snapshot, with revisions that are raised. K3s needs no reset for it.
//!
//! At its start K3s writes the files of its bootstrap data to the disk, unless other files there are newer: then it does not
//! start. So the files are prepared with the database.

use anyhow::{Context as _, Result, anyhow};

use super::prepare::differs;
use super::prepared::Prepared;
use super::transaction::Transaction;
use crate::distribution;
use crate::inspect::{self, Comparison, Content};
use crate::io::ReadAt;
use crate::model::restore::StepId;
use crate::model::{bootstrap, token};

impl Transaction<'_> {
    /// Makes, raises, compares and rehearses the new database.
    ///
    /// # Errors
    /// If any of it fails. Nothing live was touched.
    pub(super) fn prepare_sqlite(
        &mut self,
        content: &Content,
        live_revision: Option<i64>,
    ) -> Result<Prepared> {
        let machine = self.cx.machine;
        let scratch = machine.files.scratch();
        self.step(StepId::Prepare, "creating the new database aside", |tx| {
            let size = tx.state.snapshot.size;
            let db_len =
                inspect::database_len(size).map_err(|f| anyhow!("the snapshot is too short: {f}"))?;
            scratch.make_sqlite_database(db_len)?;
            tx.prepare_server_files(content)
        })?;
        self.raise(content, live_revision)?;
        let mut verified = None;
        self.step(StepId::VerifyNew, "comparing the new database", |tx| {
            verified = Some(tx.compare_sqlite(content)?);
            Ok(())
        })?;
        let new = verified.context("the new database was not compared")?;
        let database = scratch.new_database()?.context("the new database is gone")?;
        self.rehearse(database.file.map_or(0, |f| f.size))?;
        // The rehearsal ran on a copy.
        let after = scratch.new_database()?;
        anyhow::ensure!(after == Some(database), "the new database changed during the rehearsal");
        machine.files.sync()?;
        Ok(Prepared { content: new, database, member: None })
    }

    /// The new database was changed again: it is compared with what it was.
    pub(super) fn verify_sqlite(&mut self, prepared: &mut Prepared) -> Result<()> {
        let scratch = self.cx.machine.files.scratch();
        prepared.content = self.compare_sqlite(&prepared.content)?;
        prepared.database = scratch.new_database()?.context("the new database is gone")?;
        self.cx.machine.files.sync()
    }

    /// The new database, verified as a snapshot is: every byte of it was read, it has the content of its origin, and the
    /// revisions are raised as they should be.
    fn compare_sqlite(&self, origin: &Content) -> Result<Content> {
        let scratch = self.cx.machine.files.scratch();
        scratch.sync_sqlite_database()?;
        let file = scratch.new_database_file()?;
        let new = inspect::read_content(&file as &dyn ReadAt, file.size(), Some(origin.revision))
            .context("reading the new database")?
            .map_err(|all| {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                differs(format!("the new database is corrupt: {}", all.join("; ")))
            })?;
        if origin.compare(&new) != Comparison::Equal {
            return Err(differs("the new database differs from the snapshot".to_owned()));
        }
        let expected = self.report.restore.as_ref().and_then(|restore| restore.revision_after);
        let (revision, compacted) = (new.facts.revision, new.facts.compacted);
        match expected.is_none_or(|to| (revision, compacted) == (to, to)) {
            true => Ok(new),
            false => {
                Err(differs(format!("the new database is at revision {revision}, compacted to {compacted}")))
            }
        }
    }

    /// The certificates, keys and the token that K3s needs for this database.
    fn prepare_server_files(&self, content: &Content) -> Result<()> {
        let Some(secret) = self.cx.cluster.token else { return Ok(()) };
        let scratch = self.cx.machine.files.scratch();
        let hash = token::hash(secret.expose());
        let parsed = token::parse(secret).map_err(|why| anyhow!("the server token cannot be used: {why}"))?;
        if let Some(sealed) = content.bootstrap.iter().find(|sealed| sealed.hash == hash) {
            let files = bootstrap::files(&sealed.value, &parsed.password)
                .map_err(|why| anyhow!("opening the bootstrap data of the snapshot: {why}"))?;
            for file in files {
                let known = distribution::BOOTSTRAP_FILES.iter().find(|(name, _)| *name == file.name);
                if let Some((_, path)) = known {
                    scratch.write_file(path, &file.content)?;
                }
            }
        }
        // K3s completes it at its start.
        let is_known = scratch.token().is_some_and(|known| token::hash(known.expose()) == hash);
        match is_known {
            true => Ok(()),
            false => scratch.write_file("token", format!("{}\n", secret.expose()).as_bytes()),
        }
    }
}
