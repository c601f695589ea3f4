// SPDX-License-Identifier: Apache-2.0
//! Builds a check-s3 from the settings.

use anyhow::Result;

use super::command::Command;
use super::context::Context;
use crate::cli::{self, Common};
use crate::commands;
use crate::model::command;
use crate::model::report::Report;
use crate::store::s3::S3;

impl Command for cli::CheckS3 {
    const NAME: command::Command = command::Command::CheckS3;

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let config = cx.bucket_config()?;
        let url = config.url();
        commands::check_s3::run(S3::probe(config), &url, report)
    }
}
