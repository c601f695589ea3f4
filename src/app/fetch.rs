// SPDX-License-Identifier: Apache-2.0
//! Builds a fetch from the settings.

use std::path::Path;

use anyhow::Result;

use super::command::Command;
use super::context::Context;
use crate::cli::{self, Common};
use crate::commands;
use crate::model::command;
use crate::model::report::Report;

impl Command for cli::Fetch {
    const NAME: command::Command = command::Command::Fetch;

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let (token, keys) = (cx.token_hash()?, cx.keyring());
        let bucket = cx.bucket()?;
        let request = commands::fetch::Request {
            file: &self.snapshot,
            to: Path::new(&self.directory),
            parallel: bucket.readers(),
            token: token.as_deref(),
            keys: &keys,
        };
        commands::fetch::run(&request, &bucket, cx.progress, report)
    }
}
