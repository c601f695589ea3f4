// SPDX-License-Identifier: Apache-2.0
//! Builds a prune from the settings.
//!
//! In a bucket that only the configuration of K3s sets, K3s prunes its own snapshots: only the base names of this tool
//! are pruned there, because no other program does it. With `--s3` or our own configuration, the selection is as in the
//! snapshot directory.

use anyhow::Result;

use super::command::Command;
use super::context::Context;
use super::live_datastore::own_cluster;
use super::{restore, save};
use crate::cli::{self, Common};
use crate::commands::prune;
use crate::config::settings::Settings;
use crate::error::{Code, Fault, hint_of};
use crate::model::command;
use crate::model::name::check_part;
use crate::model::report::Report;
use crate::model::retention::{ClusterScope, Location, Policies, Selection};
use crate::model::s3_config::S3Config;
use crate::store::RemoteStore;
use crate::store::s3::S3;

/// The default base name of a save by hand.
const MANUAL_BASE: &str = "manual";
/// The base names of the snapshots that this tool makes by itself.
const OUR_BASES: [&str; 3] = [MANUAL_BASE, save::TIMER_BASE, restore::SAFETY_BASE];

impl Command for cli::Prune {
    const NAME: command::Command = command::Command::Prune;

    fn common(&self) -> &Common {
        &self.common
    }

    fn locks(&self) -> bool {
        !self.dry_run
    }

    fn is_job(&self) -> bool {
        !self.dry_run
    }

    fn skips_without_etcd(&self) -> bool {
        self.skip_without_etcd
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let s = cx.settings;
        if !(s.s3 && s.s3_enabled_here) {
            cx.require_local_store()?;
        }
        if !self.dry_run {
            s.require_known_for_prune(self.node.is_some())?;
        }
        let policies = s.policies(Location::Local)?;
        let selection = self.selection(cx, &policies)?;
        let token = cx.token_hash()?;
        let store = cx.has_local_store().then(|| cx.local_store());
        let own = if self.all_clusters { None } else { own_cluster(cx, store.as_ref()) };
        let kits = cx.kits();
        let request = prune::Request {
            selection: &selection,
            clusters: match &own {
                _ if self.all_clusters => ClusterScope::All,
                Some(id) => ClusterScope::Own(id),
                None => ClusterScope::Unknown,
            },
            now: cx.now,
            accept_drop: self.accept_drop,
            dry_run: self.dry_run,
            token: token.as_deref(),
            kits: Some(&kits),
        };
        let settings = s.s3.then(|| BucketSettings::read(cx));
        let open = || -> Result<Box<dyn RemoteStore>> {
            Ok(Box::new(settings.as_ref().map_or_else(|| cx.bucket(), BucketSettings::open)?))
        };
        let bucket_policies = settings.as_ref().map(|settings| settings.policies(s)).transpose()?;
        let bucket_selection = match s.s3_enabled_here {
            true => selection.clone(),
            false => ours_alone(&selection),
        };
        let bucket = bucket_policies.as_ref().map(|policies| prune::Bucket {
            open: &open,
            selection: &bucket_selection,
            policies,
        });
        let local = store.as_ref().map(|store| prune::Local { store, policies: &policies });
        prune::run(&request, local.as_ref(), bucket.as_ref(), cx.progress, report)
    }
}

/// The settings of the bucket, and the number of snapshots in it if a Secret has that.
struct BucketSettings(Result<(S3Config, Option<Policies>)>);

impl BucketSettings {
    /// A failure is one of the bucket: the directory is pruned anyway.
    fn read(cx: &Context) -> BucketSettings {
        let s = cx.settings;
        let read = || {
            let Some(secret) = s.config_secret()? else { return Ok((s.bucket()?, None)) };
            let values = cx.secret_values(&secret)?;
            let policies = s.policies_of_secret(&secret, &values)?;
            Ok((s.bucket_of_secret(&secret, &values)?, Some(policies)))
        };
        BucketSettings(read())
    }

    fn policies(&self, s: &Settings) -> Result<Policies> {
        match &self.0 {
            Ok((_, Some(policies))) => Ok(policies.clone()),
            _ => s.policies(Location::S3),
        }
    }

    fn open(&self) -> Result<S3> {
        match &self.0 {
            Ok((config, _)) => Context::open_bucket(config.clone()),
            Err(e) => {
                let fault = Fault::about(e, format!("{e:#}"));
                Err(hint_of(e).map_or(fault.clone(), |hint| fault.hint(hint)).into())
            }
        }
    }
}

impl cli::Prune {
    fn selection(&self, cx: &Context, policies: &Policies) -> Result<Selection> {
        let s = cx.settings;
        let invalid = |option: &str, value: &str, why: String| {
            let what = format!("option '{option}' (value '{}') {why}", value.escape_debug());
            Fault::new(Code::InvalidArgument, what)
        };
        for base in &self.base {
            check_part(base).map_err(|why| invalid("name", base, why))?;
        }
        if let Some(node) = &self.node {
            check_part(node).map_err(|why| invalid("node", node, why))?;
        }
        Ok(Selection {
            bases: if self.base.is_empty() { known_bases(s, policies) } else { self.base.clone() },
            named: !self.base.is_empty(),
            node: self.node.clone().unwrap_or_else(|| s.node_name.clone()),
            all: self.all,
            all_nodes: self.all_nodes,
            scheduled: vec![s.scheduled_base.clone(), cx.distribution.scheduled_base.to_owned()],
            owners: None,
        })
    }
}

/// The base names that this tool makes, and those that have a policy of their own.
fn known_bases(s: &Settings, policies: &Policies) -> Vec<String> {
    let made = OUR_BASES.into_iter().chain([s.name.as_str()]);
    made.chain(policies.of_base.keys().map(String::as_str)).map(str::to_owned).collect()
}

/// The same selection without any base name that K3s, or another program, may use.
fn ours_alone(selection: &Selection) -> Selection {
    let bases = selection.bases.iter().filter(|b| OUR_BASES.contains(&b.as_str())).cloned().collect();
    Selection { bases, all: false, named: true, ..selection.clone() }
}
