// SPDX-License-Identifier: Apache-2.0
//! Builds a list from the settings.

use anyhow::Result;

use super::command::Command;
use super::context::Context;
use crate::cli::{self, Common};
use crate::commands;
use crate::model::command;
use crate::model::report::Report;
use crate::output::render::Format;
use crate::store::Store;

impl Command for cli::List {
    const NAME: command::Command = command::Command::List;

    fn common(&self) -> &Common {
        &self.common
    }

    fn format(&self) -> Format {
        match self.output {
            cli::Output::Table => Format::Text,
            cli::Output::Json => Format::Json,
            cli::Output::Yaml => Format::Yaml,
        }
    }

    fn skips_without_etcd(&self) -> bool {
        self.skip_without_etcd
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let s = cx.settings;
        if !s.s3 {
            cx.require_local_store()?;
        }
        let local = cx.has_local_store().then(|| cx.local_store());
        let bucket = match s.s3.then(|| cx.bucket()).transpose() {
            Ok(bucket) => bucket.map(|b| b.with_details(self.details)),
            // The directory is worth showing if the settings of the bucket cannot be used.
            Err(e) if local.is_some() => {
                report.fail(&e);
                None
            }
            Err(e) => return Err(e),
        };
        let mut locations: Vec<&dyn Store> = Vec::new();
        locations.extend(local.as_ref().map(|l| l as &dyn Store));
        locations.extend(bucket.as_ref().map(|b| b as &dyn Store));
        commands::list::run(
            &locations,
            (cx.token_hash()?.as_deref(), &cx.keyring()),
            s.max_age,
            cx.now,
            report,
        )
    }
}
