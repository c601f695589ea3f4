// SPDX-License-Identifier: Apache-2.0
//! Puts together what deletes. A bucket is deleted from only where that was said to us: K3s's own switch does not
//! count.

use anyhow::{Context as _, Result};

use super::{bucket, home, require_place, restore, timer, token_hash};
use crate::app::run::Context;
use crate::cli;
use crate::commands;
use crate::config::settings::Settings;
use crate::error::{Code, Fault};
use crate::model::name::check_part;
use crate::model::report::Report;
use crate::model::retention::{Location, Policies, Selection};
use crate::output::prompt;
use crate::store::Remote;
use crate::store::s3::S3;

/// The bases of the snapshots that this tool makes by itself.
const OUR_BASES: [&str; 3] = ["on-demand", timer::BASE, restore::SAFETY];

pub(super) fn prune(run: &Context<cli::Prune>, report: &mut Report) -> Result<()> {
    let (s, args) = (run.settings, run.args);
    if timer::skips(args.skip_without_etcd, s, report)? {
        return Ok(());
    }
    require_place(s)?;
    let usage = |option: &str, value: &str, why: String| {
        Fault::new(
            Code::InvalidArgument,
            format!("option '{option}' (value '{}') {why}", value.escape_debug()),
        )
    };
    for base in &args.base {
        check_part(base).map_err(|why| usage("name", base, why))?;
    }
    if let Some(node) = &args.node {
        check_part(node).map_err(|why| usage("node", node, why))?;
    }
    let policies = s.policies(Location::Folder)?;
    let scheduled = vec![s.scheduled_base.clone(), run.distribution.scheduled_base.to_owned()];
    let selection = Selection {
        bases: if args.base.is_empty() { known_bases(s, &policies) } else { args.base.clone() },
        named: !args.base.is_empty(),
        node: args.node.clone().unwrap_or_else(|| s.node_name.clone()),
        all: args.all,
        all_nodes: args.all_nodes,
        scheduled,
        told: None,
    };
    let token = token_hash(s)?;
    let request = commands::prune::Request {
        selection: &selection,
        now: run.now,
        accept_drop: args.accept_drop,
        dry_run: args.dry_run,
        token: token.as_deref(),
    };
    let open = || Ok(Box::new(bucket(s)?) as Box<dyn Remote>);
    let in_bucket = deletes_in_bucket(s).then(|| s.policies(Location::Bucket)).transpose()?;
    let there = in_bucket.as_ref().map(|policies| commands::prune::Bucket { open: &open, policies });
    commands::prune::run(&request, &home(s), &policies, there.as_ref(), run.progress, report)
}

/// Those that this tool makes, and those that have a policy of their own.
fn known_bases(s: &Settings, policies: &Policies) -> Vec<String> {
    let made = OUR_BASES.into_iter().chain([s.name.as_str()]);
    made.chain(policies.of_base.keys().map(String::as_str)).map(str::to_owned).collect()
}

fn deletes_in_bucket(s: &Settings) -> bool {
    if s.s3 && !s.s3_by_us {
        log::info!("K3s's bucket is left alone; with --s3 it would be deleted from too");
    }
    s.s3 && s.s3_by_us
}

pub(super) fn delete(run: &Context<cli::Delete>, report: &mut Report) -> Result<()> {
    let (s, args) = (run.settings, run.args);
    require_place(s)?;
    let token = token_hash(s)?;
    let request = commands::delete::Request {
        names: &args.snapshots,
        force: args.force,
        ignore_missing: args.ignore_missing,
        dry_run: args.dry_run,
        confirm: &|files| confirm(args.yes, files),
        token: token.as_deref(),
    };
    let there: Option<S3> = deletes_in_bucket(s).then(|| bucket(s)).transpose()?;
    let there = there.as_ref().map(|b| b as &dyn Remote);
    commands::delete::run(&request, &home(s), there, run.progress, report)
}

/// Whether these may be deleted: somebody said so in advance, or does now.
fn confirm(yes: bool, files: &[&str]) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    let answer =
        prompt::confirm(&format!("Delete {}?", files.join(", "))).context("asking whether to delete")?;
    answer.ok_or_else(|| {
        Fault::new(Code::NotATerminal, "nobody is at a terminal to be asked; nothing was deleted")
            .hint("Say --yes to delete without being asked.")
            .into()
    })
}
