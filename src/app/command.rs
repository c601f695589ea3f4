// SPDX-License-Identifier: Apache-2.0
//! What every command of the program is to the run loop.
//!
//! A new command is a file in `commands/`, its arguments in `cli/`, its wiring here in `app/`, and a row in the table of
//! `dispatch`.

use anyhow::Result;

use super::context::Context;
use crate::cli::Common;
use crate::host::Progress;
use crate::model::command;
use crate::model::report::Report;
use crate::output::render::Format;

/// A command with its parsed arguments.
pub(crate) trait Command: clap::CommandFactory + clap::FromArgMatches {
    /// Its name.
    const NAME: command::Command;

    /// The common part of its arguments.
    fn common(&self) -> &Common;

    /// Whether it changes files, so that only one such run at a time is allowed.
    fn locks(&self) -> bool {
        false
    }

    /// Whether it ends at once on a machine that is not expected to have a datastore with snapshots.
    fn skips_without_etcd(&self) -> bool {
        false
    }

    /// Whether such a run is a job, whose metrics are written, and about which pings are sent.
    fn is_job(&self) -> bool {
        false
    }

    /// Runs it, if its arguments mean something that must work whatever the configuration is.
    fn run_without_settings(&self, _: &dyn Progress, _: &mut Report) -> Option<Result<()>> {
        None
    }

    /// Runs it if this user may not read the settings; `why` is the error.
    ///
    /// # Errors
    /// `why`, if the command needs the settings.
    fn run_without_permission(&self, why: anyhow::Error, _now: u64, _: &mut Report) -> Result<()> {
        Err(why)
    }

    /// How its rows are printed.
    fn format(&self) -> Format {
        Format::Text
    }

    /// Runs it.
    ///
    /// # Errors
    /// The error that ends the run; what is worth keeping is in the report already.
    fn run(&self, cx: &Context, report: &mut Report) -> Result<()>;
}
