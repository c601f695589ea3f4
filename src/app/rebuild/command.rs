// SPDX-License-Identifier: Apache-2.0
//! The command: whether there is something to rebuild, and what it is given.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::datastore;
use crate::app::command::Command;
use crate::app::context::Context;
use crate::app::kit::{identities, open_file};
use crate::app::manual_restore;
use crate::app::restore::{self, SAFETY_BASE, STATE_DIR};
use crate::cli::{self, Common};
use crate::commands::kit::Reading;
use crate::commands::rebuild::{FinishRequest, Keys, RebuildRequest, RecordFile, finish, rebuild};
use crate::config::options::OptionId;
use crate::error::{Code, Fault, Kind, kind_of};
use crate::host::k3s::Program;
use crate::host::lock::Lock;
use crate::host::server_files::load_state;
use crate::host::{Host as _, K3s as _, machine, signals};
use crate::model::command;
use crate::model::kit::Kit;
use crate::model::rebuild::{NewMachine, RebuildPlan, RebuildRecord, RebuildReport};
use crate::model::report::Report;
use crate::model::secret::Secret;
use crate::store::s3::S3;
use crate::store::{KitStore, Store};

/// The record of a rebuild that is not done. No setting changes its place.
const RECORD: &str = "/var/lib/k3s-snapshot/rebuild/state.json";

impl Command for cli::Rebuild {
    const NAME: command::Command = command::Command::Rebuild;

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        run(self, cx, report)
    }
}

fn run(args: &cli::Rebuild, cx: &Context, report: &mut Report) -> Result<()> {
    let s = cx.settings;
    manual_restore::refuse(s, args.snapshot.as_deref())?;
    if s.root != Path::new("/") {
        let what = "a rebuild works on the running machine, not below --root";
        return Err(Fault::new(Code::RootUnsupported, what).hint("Omit --root.").into());
    }
    restore::require_root()?;
    signals::listen()?;
    let record_file = RecordFile(PathBuf::from(RECORD));
    if !args.dry_run && load_state(Path::new(STATE_DIR))?.is_some() {
        recover(args, cx, report)?;
    }
    let record = record_file.load()?;
    if datastore::exists(cx, &s.data_dir)? {
        return with_datastore(args, cx, record, &record_file, report);
    }
    restore::require_restorable(cx, false)?;
    let _lock = match args.dry_run {
        true => None,
        false => Some(Lock::acquire(&s.run_dir, &s.data_dir, s.retry_lock.unwrap_or_default(), cx.progress)?),
    };
    without_datastore(args, cx, record, &record_file, report)
}

/// Finishes the restore of a rebuild that was interrupted: forward, or back to a machine without a datastore.
fn recover(args: &cli::Rebuild, cx: &Context, report: &mut Report) -> Result<()> {
    match restore::recover(&args.restore(None), cx.progress, report) {
        Err(e) if kind_of(&e) == Kind::RolledBack => {
            log::warn!("{e:#}");
            report.restore = None;
            Ok(())
        }
        done => done,
    }
}

/// There is nothing to restore: a rebuild that was interrupted is finished when K3s is ready.
fn with_datastore(
    args: &cli::Rebuild,
    cx: &Context,
    record: Option<RebuildRecord>,
    record_file: &RecordFile,
    report: &mut Report,
) -> Result<()> {
    let s = cx.settings;
    let Some(record) = record else {
        let what = format!("there is a datastore in '{}'", s.data_dir.display());
        if args.if_empty {
            report.skip(what);
            return Ok(());
        }
        return Err(Fault::new(Code::DatastoreExists, what)
            .hint("Restore a snapshot over it with 'k3s-snapshot restore --s3 latest'.")
            .into());
    };
    report.rebuild = Some(RebuildReport { resumed: true, ..RebuildReport::default() });
    if args.dry_run {
        return Ok(());
    }
    let unit = restore::service(cx)?;
    let timeouts = restore::timeouts(&args.restore(None))?;
    let k3s = k3s(args, cx)?;
    let request = FinishRequest {
        unit: &unit,
        k3s: &k3s,
        host: &machine::Machine,
        progress: cx.progress,
        limit: timeouts.ready,
        poll: timeouts.poll,
        since: record.started_at,
    };
    finish(&request)?;
    record_file.remove()
}

fn without_datastore(
    args: &cli::Rebuild,
    cx: &Context,
    record: Option<RebuildRecord>,
    record_file: &RecordFile,
    report: &mut Report,
) -> Result<()> {
    let addresses = machine::Machine.addresses();
    ensure_own(&args.node_ip, &addresses)?;
    let keys = match &args.identity {
        None => Keys::Token(given_token(cx)?),
        Some(file) => {
            let identities = identities(Some(file))?;
            match &args.kit {
                Some(path) => Keys::Kit(Box::new(open_file(path, &identities)?), path.clone()),
                None => Keys::Identities(identities),
            }
        }
    };
    let place = Place::of(args.snapshot.as_deref(), cx)?;
    let new_machine =
        NewMachine { node_name: args.node_name.as_deref(), node_ips: &args.node_ip, addresses: &addresses };
    let plan = |kit: &Kit, record: &RebuildRecord| {
        cx.settings.rebuild_plan(kit, &new_machine, &|path, text| record.has(path, text))
    };
    let request = RebuildRequest {
        store: place.store(),
        kits: place.kits(),
        name: place.name(),
        cluster: args.cluster.as_deref(),
        keys,
        safety_base: SAFETY_BASE,
        overwrite: args.overwrite,
        force: args.force,
        dry_run: args.dry_run,
        reading: Reading { parallel: place.parallel(), scratch: &|size| cx.scratch(size) },
        now: cx.now,
        record,
        record_file,
        k3s_version: &|| k3s(args, cx)?.version(),
        plan: &plan,
        ensure_empty: &|data_dir| ensure_empty(cx, data_dir),
        confirm: &|report| restore::confirm(args.yes, report),
        restore: &|file, plan, report| restore_snapshot(args, cx, file, plan, report),
    };
    rebuild(&request, cx.progress, report)
}

/// The K3s of this machine.
fn k3s(args: &cli::Rebuild, cx: &Context) -> Result<Program> {
    restore::program(cx, args.k3s_binary.as_deref(), None, Duration::ZERO, Path::new(STATE_DIR))
}

/// Restores the snapshot with the configuration that K3s has now.
fn restore_snapshot(
    args: &cli::Rebuild,
    cx: &Context,
    file: &str,
    plan: &RebuildPlan,
    report: &mut Report,
) -> Result<()> {
    let is_path = args.snapshot.as_deref().is_some_and(|name| name.contains('/'));
    let mut more = vec![(OptionId::S3, (!is_path).to_string())];
    more.extend(plan.token_file.iter().map(|path| (OptionId::TokenFile, path.display().to_string())));
    let settings = (cx.reload)(&more).context("reading the configuration that was written")?;
    let cx = Context { settings: &settings, distribution: settings.distribution, ..*cx };
    let target = args.snapshot.clone().filter(|_| is_path).unwrap_or_else(|| file.to_owned());
    args.restore(Some(target)).run(&cx, report)
}

/// The kit can set another data-dir than this machine has now.
fn ensure_empty(cx: &Context, data_dir: &Path) -> Result<()> {
    if !datastore::exists(cx, data_dir)? {
        return Ok(());
    }
    let what =
        format!("there is a datastore in '{}', the data directory of the old server", data_dir.display());
    Err(Fault::new(Code::DatastoreExists, what).hint("Move it away first. Nothing was written.").into())
}

/// The server token without a kit.
fn given_token(cx: &Context) -> Result<Secret> {
    let s = cx.settings;
    if !s.token_file_is_ours {
        return Err(Fault::new(Code::MissingArgument, "no identity was given")
            .hint("Give the file with the private key with --identity FILE, or the server token with --token-file FILE.")
            .into());
    }
    restore::read_token(&s.token_file)
}

/// An address that is not of this machine is a mistake: K3s would not start with it.
fn ensure_own(given: &[String], own: &[String]) -> Result<()> {
    let own: Vec<IpAddr> = own.iter().filter_map(|address| address.parse().ok()).collect();
    let is_own = |text: &&String| text.parse::<IpAddr>().is_ok_and(|ip| own.contains(&ip));
    match given.iter().find(|text| !is_own(text)) {
        None => Ok(()),
        Some(other) => {
            let what = format!("--node-ip '{}' is not an address of this machine", other.escape_debug());
            Err(Fault::new(Code::InvalidArgument, what).hint("Run 'ip address' to see the addresses.").into())
        }
    }
}

/// Where the snapshot is.
enum Place {
    Bucket(S3, Option<String>),
    Directory(Box<dyn Store>, String),
}

impl Place {
    fn of(snapshot: Option<&str>, cx: &Context) -> Result<Place> {
        match snapshot.and_then(|path| path.rsplit_once('/')) {
            Some((dir, file)) => {
                let dir = Path::new(if dir.is_empty() { "/" } else { dir });
                Ok(Place::Directory(Box::new(cx.store_of(dir)), file.to_owned()))
            }
            None => Ok(Place::Bucket(cx.bucket()?, snapshot.map(str::to_owned))),
        }
    }

    fn store(&self) -> &dyn Store {
        match self {
            Place::Bucket(bucket, _) => bucket,
            Place::Directory(store, _) => &**store,
        }
    }

    fn kits(&self) -> Option<&dyn KitStore> {
        match self {
            Place::Bucket(bucket, _) => Some(bucket),
            Place::Directory(..) => None,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Place::Bucket(_, name) => name.as_deref(),
            Place::Directory(_, file) => Some(file),
        }
    }

    fn parallel(&self) -> Option<usize> {
        match self {
            Place::Bucket(bucket, _) => Some(bucket.readers()),
            Place::Directory(..) => None,
        }
    }
}
