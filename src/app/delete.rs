// SPDX-License-Identifier: Apache-2.0
//! Builds a delete from the settings. A bucket is deleted from only if our own configuration or command line sets it: the
//! switch in the configuration of K3s is for saves.

use anyhow::{Context as _, Result};

use super::command::Command;
use super::context::Context;
use crate::cli::{self, Common};
use crate::commands;
use crate::error::{Code, Fault};
use crate::model::command;
use crate::model::report::Report;
use crate::output::prompt;
use crate::store::RemoteStore;

impl Command for cli::Delete {
    const NAME: command::Command = command::Command::Delete;

    fn common(&self) -> &Common {
        &self.common
    }

    fn locks(&self) -> bool {
        !self.dry_run
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let s = cx.settings;
        cx.require_local_store()?;
        let token = cx.token_hash()?;
        let request = commands::delete::Request {
            names: &self.snapshots,
            force: self.force,
            ignore_missing: self.ignore_missing,
            dry_run: self.dry_run,
            confirm: &|files| confirm(self.yes, files),
            token: token.as_deref(),
        };
        let bucket = (s.s3 && s.s3_enabled_here).then(|| cx.bucket()).transpose()?;
        let bucket = bucket.as_ref().map(|b| b as &dyn RemoteStore);
        commands::delete::run(&request, &cx.local_store(), bucket, cx.progress, report)
    }
}

/// Whether these files may be deleted: `--yes`, or the answer at the terminal.
fn confirm(yes: bool, files: &[&str]) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    let answer =
        prompt::confirm(&format!("Delete {}?", files.join(", "))).context("asking for a confirmation")?;
    answer.ok_or_else(|| {
        Fault::new(
            Code::NotATerminal,
            "cannot ask for a confirmation: standard input is not a terminal; nothing was deleted",
        )
        .hint("Use --yes to skip the confirmation.")
        .into()
    })
}
