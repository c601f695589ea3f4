// SPDX-License-Identifier: Apache-2.0
//! Puts the parts together: the only folder that names concrete stores and sources.

pub mod dispatch;
pub mod generator;
mod manual_restore;
mod prune;
pub mod restore;
pub mod run;
mod timer;

use std::path::Path;

use anyhow::Result;

use crate::app::run::{Command, Context};
use crate::cli;
use crate::commands;
use crate::config::etcd;
use crate::config::load::in_root;
use crate::config::settings::Settings;
use crate::distribution;
use crate::error::{Code, Fault};
use crate::host::fs::permission_context;
use crate::host::{Draft, datastore};
use crate::model::method::Method;
use crate::model::report::Report;
use crate::model::token;
use crate::output::render::Format;
use crate::source::Source;
use crate::source::etcd::EtcdStream;
use crate::source::reflink::ReflinkSource;
use crate::store::local::Local;
use crate::store::s3::S3;
use crate::store::{Remote, Store};

/// Where large files lie that are gone at the end of the run.
const SCRATCH: &str = "/var/tmp";

/// k3s-snapshot-save
pub const SAVE: Command<cli::Save> = Command {
    name: "save",
    locks: true,
    common: |a| &a.common,
    distribution: |_| None,
    format: |_| Format::Text,
    run: save,
};

/// k3s-snapshot-list
pub const LIST: Command<cli::List> = Command {
    name: "list",
    locks: false,
    common: |a| &a.common,
    distribution: |_| None,
    format: |a| match a.output {
        cli::Output::Table => Format::Text,
        cli::Output::Json => Format::Json,
        cli::Output::Yaml => Format::Yaml,
    },
    run: list,
};

/// k3s-snapshot-verify
pub const VERIFY: Command<cli::Verify> = Command {
    name: "verify",
    locks: false,
    common: |a| &a.common,
    distribution: |_| None,
    format: |_| Format::Text,
    run: verify,
};

/// k3s-snapshot-prune
pub const PRUNE: Command<cli::Prune> = Command {
    name: "prune",
    locks: true,
    common: |a| &a.common,
    distribution: |_| None,
    format: |_| Format::Text,
    run: prune::prune,
};

/// k3s-snapshot-delete
pub const DELETE: Command<cli::Delete> = Command {
    name: "delete",
    locks: true,
    common: |a| &a.common,
    distribution: |_| None,
    format: |_| Format::Text,
    run: prune::delete,
};

fn save(run: &Context<cli::Save>, report: &mut Report) -> Result<()> {
    let s = run.settings;
    if timer::skips(run.args.skip_without_etcd, s, report)? {
        return Ok(());
    }
    let (clone, stream) = sources(s)?;
    timer::tell_of_k3s(s, run.distribution, report);
    let sources: &[&dyn Source] = match s.method {
        Method::Auto => &[&clone, &stream],
        Method::Clone => &[&clone],
        Method::Stream => &[&stream],
    };
    let token = token_hash(s)?;
    let (base, node) = s.new_name()?;
    let open = || Ok(Box::new(bucket(s)?) as Box<dyn Remote>);
    let request = commands::save::Request {
        base,
        node,
        now: run.now,
        compress: s.compress,
        scheduled_base: &s.scheduled_base,
        token: token.as_deref(),
        bucket: s.s3.then_some(commands::upload::Bucket {
            open: &open,
            backlog: s.s3_backlog && !run.args.no_backlog,
        }),
    };
    commands::save::run(&request, sources, &home(s), run.progress, report)
}

fn list(run: &Context<cli::List>, report: &mut Report) -> Result<()> {
    let s = run.settings;
    if timer::skips(run.args.skip_without_etcd, s, report)? {
        return Ok(());
    }
    require_place(s)?;
    if run.args.check_s3 {
        return check_s3(s, report);
    }
    if let [file, folder] = run.args.fetch.as_slice() {
        let token = token_hash(s)?;
        let ways = s.bucket()?.readers();
        let request = commands::fetch::Request { file, to: Path::new(folder), ways, token: token.as_deref() };
        return commands::fetch::run(&request, &bucket(s)?, run.progress, report);
    }
    let home = home(s);
    let bucket = s.s3.then(|| bucket(s)).transpose().unwrap_or_else(|e| {
        // The folder is worth showing where the bucket cannot even be understood.
        report.fail(&e);
        None
    });
    let bucket = bucket.map(|b| b.with_details(run.args.details));
    let mut places: Vec<&dyn Store> = vec![&home];
    places.extend(bucket.as_ref().map(|b| b as &dyn Store));
    commands::list::run(&places, token_hash(s)?.as_deref(), s.max_age, run.now, report)
}

fn verify(run: &Context<cli::Verify>, report: &mut Report) -> Result<()> {
    if run.args.snapshots.is_empty() && !run.args.all {
        return Err(Fault::new(Code::MissingArgument, "no snapshot is named")
            .hint("Name one or more, by NAME or PATH, or take the whole folder with --all.")
            .into());
    }
    let s = run.settings;
    if timer::skips(run.args.skip_without_etcd, s, report)? {
        return Ok(());
    }
    require_place(s)?;
    let token = token_hash(s)?;
    let home = home(s);
    // Only where this command line says so: a bucket in K3s's configuration is for save and list.
    let bucket = if s.s3 && run.args.s3.s3.is_some() { Some(bucket(s)?) } else { None };
    let request = commands::verify::Request {
        targets: &run.args.snapshots,
        quick: run.args.quick,
        sample: run.args.sample.and_then(|n| usize::try_from(n).ok()),
        far: bucket.as_ref().map(S3::readers),
        now: run.now,
        token: token.as_deref(),
        home: bucket.as_ref().map_or(&home as &dyn Store, |b| b),
        elsewhere: &|folder| Box::new(Local::new(folder, &s.state_dir, false)),
        scratch: &|| Draft::new(Path::new(SCRATCH)),
    };
    commands::verify::run(&request, run.progress, report)
}

fn home(s: &Settings) -> Local {
    Local::new(&s.dir, &s.state_dir, s.dir_is_default)
}

fn check_s3(s: &Settings, report: &mut Report) -> Result<()> {
    let bucket = s.bucket()?;
    let url = bucket.url();
    report.checks = S3::probe(bucket);
    match report.checks.iter().filter(|c| !c.ok).count() {
        0 => Ok(()),
        n => Err(Fault::new(
            Code::S3CheckFailed,
            format!("{n} of {} checks of '{url}' failed", report.checks.len()),
        )
        .into()),
    }
}

/// The bucket. What lies there for a moment, to be proven, has no name and lies where there is room for large files.
fn bucket(s: &Settings) -> Result<S3> {
    let bucket = s.bucket()?;
    if let Some(why) = bucket.unreadable_for_k3s() {
        log::warn!("{why}");
    }
    S3::new(bucket, SCRATCH.into())
}

/// The etcd to save from. Whoever names endpoints means that etcd, whatever the data-dir looks like.
fn sources(s: &Settings) -> Result<(ReflinkSource, EtcdStream)> {
    if s.etcd_endpoints.is_empty() && s.root == Path::new("/") {
        datastore::require_etcd(s.distribution, &s.data_dir, timer::said(s))?;
    }
    let etcd = etcd_of(s)?;
    let db = match s.etcd_endpoints.is_empty() {
        // etcd may have been told another folder than K3s's own.
        true => Ok(match etcd_config(s)?.data_dir {
            Some(dir) => in_root(&s.root, Path::new(&dir)).join(distribution::ETCD_DB_FILE),
            None => s.data_dir.join(distribution::ETCD_DB),
        }),
        false => {
            Err("etcd was named by etcd-endpoints, so its database file may be another machine's (not local)"
                .to_owned())
        }
    };
    Ok((ReflinkSource { db, etcd: etcd.clone(), only: s.method == Method::Clone }, etcd))
}

/// The etcd of this machine, or the one that is named.
fn etcd_of(s: &Settings) -> Result<EtcdStream> {
    let mut endpoints = s.etcd_endpoints.clone();
    if endpoints.is_empty() {
        if s.root != Path::new("/") {
            return Err(Fault::new(
                Code::EtcdEndpointRequired,
                "with --root, no etcd is contacted that was not named",
            )
            .hint("Name it with --etcd-endpoints.")
            .into());
        }
        endpoints = etcd_config(s)?.client_urls;
        if endpoints.is_empty() {
            endpoints = distribution::ETCD_ENDPOINTS.map(str::to_owned).to_vec();
        }
    }
    Ok(EtcdStream {
        endpoints,
        cacert: s.etcd_cacert.clone(),
        cert: s.etcd_cert.clone(),
        key: s.etcd_key.clone(),
        stall: s.stall_timeout,
        unit: s.unit.clone().unwrap_or_else(|| s.distribution.unit.to_owned()),
    })
}

/// What K3s wrote for its etcd. Only where there is nothing may something else be guessed.
fn etcd_config(s: &Settings) -> Result<etcd::EtcdConfig> {
    let path = s.data_dir.join(distribution::ETCD_CONFIG);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => {
            return Err(permission_context(e, format!("reading etcd's configuration '{}'", path.display())));
        }
    };
    etcd::parse(&text).map_err(|why| {
        Fault::new(
            Code::EtcdConfigUnreadable,
            format!("reading etcd's configuration '{}': {why}", path.display()),
        )
        .hint("Name etcd's address with --etcd-endpoints.")
        .into()
    })
}

/// The hash of this server's token: from its file, else from the configuration. Without it, nothing is marked.
fn token_hash(s: &Settings) -> Result<Option<String>> {
    let text = match std::fs::read_to_string(&s.token_file) {
        Ok(text) => Some(text),
        // Whoever names a file wants it read.
        Err(e) if s.token_file_is_named => {
            let context = format!("reading the token file '{}'", s.token_file.display());
            return Err(anyhow::Error::from(e).context(Fault::new(Code::TokenFileUnreadable, context)));
        }
        Err(_) => s.token.as_ref().map(|t| t.expose().to_owned()),
    };
    Ok(text.filter(|t| !t.trim().is_empty()).map(|t| token::hash(&t)))
}

/// A folder that K3s made exists where K3s is. Without K3s, no snapshots is no good news.
fn require_place(s: &Settings) -> Result<()> {
    if s.dir_is_default && !s.dir.exists() && !s.data_dir.join(distribution::SERVER).is_dir() {
        return Err(Fault::new(
            Code::DataDirNotFound,
            format!("'{}' is not the data-dir of a {} server", s.data_dir.display(), s.distribution.name),
        )
        .hint("Name the right one with --data-dir, or the snapshot folder with --dir; or check that it is mounted.")
        .into());
    }
    Ok(())
}
