// SPDX-License-Identifier: Apache-2.0
//! Builds a verify from the settings.

use anyhow::Result;

use super::command::Command;
use super::context::Context;
use crate::cli::{self, Common};
use crate::commands;
use crate::error::{Code, Fault};
use crate::model::command;
use crate::model::report::Report;
use crate::store::Store;
use crate::store::s3::S3;

impl Command for cli::Verify {
    const NAME: command::Command = command::Command::Verify;

    fn common(&self) -> &Common {
        &self.common
    }

    fn is_job(&self) -> bool {
        self.all
    }

    fn skips_without_etcd(&self) -> bool {
        self.skip_without_etcd
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        if self.snapshots.is_empty() && !self.all {
            return Err(Fault::new(Code::MissingArgument, "no snapshot was given")
                .hint("Give one or more names or paths, or use --all for the whole snapshot directory.")
                .into());
        }
        let s = cx.settings;
        // Only if this command line sets it: a bucket in the configuration of K3s is for save and list.
        let bucket = if s.s3 && self.s3.s3.is_some() { Some(cx.bucket()?) } else { None };
        // A path needs no K3s on this machine, and neither does a bucket.
        let in_directory = self.all || self.snapshots.iter().any(|target| !target.contains('/'));
        if bucket.is_none() && in_directory {
            cx.require_local_store()?;
        }
        let (token, keys) = (cx.token_hash()?, cx.keyring());
        let local = cx.local_store();
        let request = commands::verify::Request {
            targets: &self.snapshots,
            quick: self.quick,
            sample: self.sample.and_then(|n| usize::try_from(n).ok()),
            parallel: bucket.as_ref().map(S3::readers),
            now: cx.now,
            token: token.as_deref(),
            keys: &keys,
            store: bucket.as_ref().map_or(&local as &dyn Store, |b| b),
            open_dir: &|dir| Box::new(cx.store_of(dir)),
            scratch: &|size| cx.scratch(size),
        };
        commands::verify::run(&request, cx.progress, report)
    }
}
